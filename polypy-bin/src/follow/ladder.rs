//! A book as a ladder of prices: asks above, bids below, best ones in the middle.

use polypy_core::{Level, SignedDecimal};

/// What there is to say of a book besides its levels.
#[derive(Debug)]
pub(super) struct Head {
    /// How far to trust it, in words.
    pub(super) trust: String,
    /// Its numbers, and what else fits into a line.
    pub(super) detail: String,
}

/// The text of a book, with an end of line. Levels best first.
pub(super) fn ladder(head: &Head, bids: &[Level], asks: &[Level]) -> String {
    let rows = bids.iter().chain(asks);
    let width = |text: fn(&Level) -> String| {
        rows.clone()
            .map(|level| text(level).len())
            .max()
            .unwrap_or(0)
    };
    let price = width(|level| level.price.to_string()).max(5);
    let size = width(|level| level.size.to_string()).max(4);
    let row = |side: &str, level: &Level| {
        let (at, shares) = (level.price.to_string(), level.size.to_string());
        format!("  {side}  {at:<price$}  {shares:>size$}\n")
    };
    let mut text = format!("{}\n{}\n", head.trust, head.detail);
    for level in asks.iter().rev() {
        text.push_str(&row("ask", level));
    }
    match (bids.first(), asks.first()) {
        (Some(bid), Some(ask)) => {
            let [bid, ask] = [bid, ask].map(|level| i64::from(level.price.millionths()));
            let spread = SignedDecimal::from_ten_millionths((ask - bid) * 10);
            let mid = SignedDecimal::from_ten_millionths((ask + bid) * 5);
            text.push_str(&format!("       spread {spread}, middle {mid}\n"));
        }
        (None, None) => text.push_str("       no orders\n"),
        (None, _) => text.push_str("       no bids\n"),
        (_, None) => text.push_str("       no asks\n"),
    }
    for level in bids {
        text.push_str(&row("bid", level));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(levels: &[(&str, &str)]) -> Vec<Level> {
        let levels = levels
            .iter()
            .map(|(price, size)| Level::new(price.parse().unwrap(), size.parse().unwrap()));
        levels.collect()
    }

    fn head() -> Head {
        Head {
            trust: "live, verified".to_owned(),
            detail: "epoch 1, sequence 7".to_owned(),
        }
    }

    #[test]
    fn the_best_prices_meet_in_the_middle() {
        let bids = levels(&[("0.489", "29.5"), ("0.48", "1200")]);
        let asks = levels(&[("0.5025", "0.29"), ("0.521", "120")]);
        assert_eq!(
            ladder(&head(), &bids, &asks),
            "\
live, verified
epoch 1, sequence 7
  ask  0.521    120
  ask  0.5025  0.29
       spread 0.0135, middle 0.49575
  bid  0.489   29.5
  bid  0.48    1200
"
        );
    }

    #[test]
    fn an_empty_side_is_said() {
        let one = levels(&[("0.5", "1")]);
        assert!(ladder(&head(), &one, &[]).contains("no asks\n  bid  0.5       1\n"));
        assert!(ladder(&head(), &[], &one).contains("  ask  0.5       1\n       no bids\n"));
        assert!(ladder(&head(), &[], &[]).ends_with("no orders\n"));
    }
}
