//! What the hashed text contains besides levels, time and last trade price.
//!
//! The feed does not say all of it: the smallest order and negative risk come
//! from discovery or REST, the tick runs ahead of its announcement, older
//! recordings hash fewer fields. A format that reproduced a hash is kept; one
//! that did not is varied.

use polypy_core::fingerprint::{Attributes, Form};
use polypy_core::{AssetInfo, BookEvent, DecimalText, Price, Timestamp};

/// Every grid seen on the venue.
const TICKS: [&str; 7] = ["0.01", "0.001", "0.0001", "0.0025", "0.005", "0.1", "0.025"];
/// Smallest orders seen: 5 nearly everywhere, 15 on sports, others rarely.
const MIN_ORDERS: [&str; 8] = ["5", "15", "1", "10", "20", "50", "100", "0"];

/// The attributes of one book's hashed text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HashFormat {
    pub(crate) form: Form,
    /// Whether anybody said what the tick is.
    pub(crate) tick_size: Option<DecimalText>,
    pub(crate) min_order_size: DecimalText,
    pub(crate) neg_risk: bool,
    pub(crate) version: Option<Box<str>>,
}

impl Default for HashFormat {
    fn default() -> Self {
        Self {
            form: Form::Ten,
            tick_size: None,
            min_order_size: text(MIN_ORDERS[0]),
            neg_risk: false,
            version: None,
        }
    }
}

impl HashFormat {
    /// Takes over what a snapshot says. What discovery says counts only until
    /// the format is `proven`: it may lag.
    pub(crate) fn take(&mut self, event: &BookEvent, proven: bool) {
        if !proven {
            self.tick_size = event.info.tick_size.or(self.tick_size);
            self.min_order_size = event.info.min_order_size.unwrap_or(self.min_order_size);
            self.neg_risk = event.info.neg_risk;
        }
        self.tick_size = event.tick_size.or(self.tick_size);
        self.min_order_size = event.min_order_size.unwrap_or(self.min_order_size);
        self.neg_risk = event.neg_risk.unwrap_or(self.neg_risk);
        if event.version.is_some() {
            self.version.clone_from(&event.version);
        }
    }

    /// The attributes as the fingerprint takes them.
    pub(crate) fn attributes<'a>(
        &'a self,
        info: &'a AssetInfo,
        timestamp: Timestamp,
    ) -> Attributes<'a> {
        Attributes {
            info,
            timestamp,
            tick_size: self
                .tick_size
                .as_ref()
                .map_or(TICKS[0], DecimalText::as_str),
            min_order_size: self.min_order_size.as_str(),
            neg_risk: self.neg_risk,
            version: self.version.as_deref(),
            form: self.form,
        }
    }

    /// Other formats worth trying. Of one that was proven only the tick can
    /// have changed; of another, anything can be wrong.
    pub(crate) fn variants(&self, proven: bool) -> Vec<Self> {
        let own_tick = self.attributes_tick();
        let mut variants: Vec<Self> = TICKS
            .iter()
            .filter(|tick| **tick != own_tick)
            .map(|tick| self.with_tick(tick))
            .collect();
        if proven {
            return variants;
        }
        let min_orders = MIN_ORDERS
            .iter()
            .map(|size| text(size))
            .filter(|size| *size != self.min_order_size);
        let attributes: Vec<_> = std::iter::once(self.min_order_size)
            .chain(min_orders)
            .flat_map(|size| [(size, self.neg_risk), (size, !self.neg_risk)])
            .collect();
        for form in [Form::Ten, Form::Nine] {
            variants.extend(attributes.iter().map(|&(min_order_size, neg_risk)| Self {
                form,
                min_order_size,
                neg_risk,
                ..self.clone()
            }));
        }
        variants.push(Self {
            form: Form::Six,
            ..self.clone()
        });
        variants.retain(|variant| variant != self);
        variants
    }

    /// The same format on each other grid, the finer ones first, for a market whose grid
    /// is known. A coarser one is that of before: another feed may be ahead of the shown
    /// copy, and has announced the new grid for both.
    pub(crate) fn other_grids(&self) -> Vec<Self> {
        let Some(own) = self.tick_size else {
            return Vec::new();
        };
        let is_finer = |tick: &&&str| is_coarser(own, text(tick));
        let is_coarser = |tick: &&&str| is_coarser(text(tick), own);
        let finer = TICKS.iter().filter(is_finer);
        let others = finer.chain(TICKS.iter().filter(is_coarser));
        others.map(|tick| self.with_tick(tick)).collect()
    }

    fn attributes_tick(&self) -> &str {
        self.tick_size
            .as_ref()
            .map_or(TICKS[0], DecimalText::as_str)
    }

    fn with_tick(&self, tick: &str) -> Self {
        Self {
            tick_size: Some(text(tick)),
            ..self.clone()
        }
    }
}

/// Whether `new` is the coarser grid of the two.
pub(crate) fn is_coarser(new: DecimalText, old: DecimalText) -> bool {
    match (new.as_str().parse::<Price>(), old.as_str().parse::<Price>()) {
        (Ok(new), Ok(old)) => new > old,
        // A grid that cannot be read may be anything.
        (Err(_), _) | (_, Err(_)) => new != old,
    }
}

/// One of the constants above, all of which are decimals.
fn text(constant: &str) -> DecimalText {
    DecimalText::new(constant).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_constant_is_a_decimal() {
        for constant in TICKS.iter().chain(&MIN_ORDERS) {
            assert_eq!(text(constant).as_str(), *constant);
        }
    }

    #[test]
    fn variants_cover_every_form_once_and_never_the_format_itself() {
        let format = HashFormat::default();
        let variants = format.variants(false);
        assert!(!variants.contains(&format));
        assert_eq!(variants.len(), 6 + 15 + 16 + 1);
        for (at, variant) in variants.iter().enumerate() {
            assert!(!variants[..at].contains(variant), "{variant:?} twice");
        }
        assert_eq!(format.variants(true).len(), TICKS.len() - 1);
    }

    #[test]
    fn coarser_is_a_greater_step() {
        let of = |text| DecimalText::new(text).unwrap();
        assert!(is_coarser(of("0.01"), of("0.001")));
        assert!(!is_coarser(of("0.001"), of("0.01")));
        assert!(!is_coarser(of("0.010"), of("0.01")));
    }
}
