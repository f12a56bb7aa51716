//! What Gamma says of markets at one moment: the truth, and what faults make of it.

use std::collections::{HashMap, HashSet};

use fastrand::Rng;
use polypy_core::Timestamp;
use tokio::time::Instant;

use crate::exchange::Exchange;
use crate::fault_kind::FaultKind;
use crate::fault_set::Active;
use crate::subject::Tag;
use crate::venue::{MarketState, Phase, Venue};

/// A market's figures, in cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) volume: u64,
    pub(crate) volume_day: u64,
    pub(crate) liquidity: u64,
}

impl Figures {
    fn of(market: &MarketState) -> Self {
        let traded = market.traded;
        Self {
            volume: market.listing.volume + traded,
            volume_day: market.listing.volume / 10 + traded,
            liquidity: market.liquidity,
        }
    }

    /// Up to `factor` times as much, or as little.
    fn wild(self, factor: f64, rng: &mut Rng) -> Self {
        let mut scaled = |cents: u64| {
            let by = factor.powf(rng.f64() * 2.0 - 1.0);
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a wrong figure on purpose, above zero"
            )]
            let scaled = (cents as f64 * by) as u64;
            scaled
        };
        Self {
            volume: scaled(self.volume),
            volume_day: scaled(self.volume_day),
            liquidity: scaled(self.liquidity),
        }
    }
}

/// What a market's row says of its tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tags {
    Missing,
    None,
}

/// What Gamma shows at one moment.
pub(crate) struct View<'a> {
    pub(crate) venue: &'a Venue,
    pub(crate) now: Instant,
    /// Whether rows state tags: they do only if they are asked to.
    has_tags: bool,
    /// Markets that it wrongly calls closed, wherever it names them.
    closed: HashSet<usize>,
    /// The same, in rows of lists of open ones.
    closed_in_lists: HashSet<usize>,
    tags: HashMap<usize, Tags>,
    figures: HashMap<usize, Figures>,
    ends: HashMap<usize, Timestamp>,
    /// Ids that are not spelled as the feed spells them.
    ids: HashMap<usize, String>,
    /// Markets under the slug of the first.
    renamed: HashSet<usize>,
    /// Tells the cursors of one page that comes again from each other.
    pub(crate) nonce: u32,
}

impl<'a> View<'a> {
    pub(crate) fn new(exchange: &'a mut Exchange, now: Instant, has_tags: bool) -> Self {
        let nonce = exchange.rng.u32(..);
        let mut view = View {
            venue: &exchange.venue,
            now,
            has_tags,
            closed: HashSet::new(),
            closed_in_lists: HashSet::new(),
            tags: HashMap::new(),
            figures: HashMap::new(),
            ends: HashMap::new(),
            ids: HashMap::new(),
            renamed: HashSet::new(),
            nonce,
        };
        for active in exchange.faults.all() {
            view.disturb(active, &mut exchange.rng);
        }
        view
    }

    /// Lets a fault act, if it is one of what is said of markets.
    fn disturb(&mut self, active: &Active, rng: &mut Rng) {
        let venue = self.venue;
        let hit = || {
            let tokens = venue.tokens();
            let mut hit: Vec<usize> = tokens
                .filter(|(place, _)| active.hits_asset(*place))
                .map(|(place, _)| place.market)
                .collect();
            hit.dedup();
            hit
        };
        let fault = &active.fault;
        match fault.kind {
            FaultKind::GammaCallsClosed if fault.flag("in_open_lists") => {
                self.closed_in_lists.extend(hit());
            }
            FaultKind::GammaCallsClosed => self.closed.extend(hit()),
            FaultKind::GammaTagsMissing => {
                let hit = hit().into_iter();
                self.tags.extend(hit.map(|market| (market, Tags::Missing)));
            }
            FaultKind::GammaTagsEmpty => {
                let hit = hit().into_iter();
                self.tags.extend(hit.map(|market| (market, Tags::None)));
            }
            FaultKind::GammaVolumeWild => {
                for market in hit() {
                    let truth = Figures::of(&venue.markets[market]);
                    let wild = truth.wild(fault.number("factor"), rng);
                    self.figures.insert(market, wild);
                }
            }
            FaultKind::GammaEndMoved => {
                #[expect(clippy::cast_possible_truncation, reason = "ten years at most")]
                let hours = fault.number("hours") as i64;
                for market in hit() {
                    let end = venue.markets[market].listing.end.millis();
                    let moved = end.saturating_add_signed(hours * 3_600_000);
                    self.ends.insert(market, Timestamp::from_millis(moved));
                }
            }
            FaultKind::GammaIdSpelling => {
                let is_upper = fault.text("spelling") == "upper_case";
                let id = |market: usize| &venue.markets[market].listing.condition_id;
                let spelled = |market| {
                    let digits = if is_upper {
                        id(market).as_str()[2..].to_ascii_uppercase()
                    } else {
                        id(market).canonical().into_owned()
                    };
                    (market, format!("0x{digits}"))
                };
                self.ids.extend(hit().into_iter().map(spelled));
            }
            FaultKind::GammaSlugTwice => self.renamed.extend(hit()),
            _ => return,
        }
        active.struck();
    }

    /// Whether Gamma lists a market by now.
    pub(crate) fn is_listed(&self, market: usize) -> bool {
        self.now >= self.venue.markets[market].listed_at
    }

    /// Whether Gamma takes a market for closed.
    pub(crate) fn is_closed(&self, market: usize) -> bool {
        self.closed.contains(&market)
            || match self.venue.markets[market].phase {
                Phase::Trading => false,
                Phase::Settled { closed_at, .. } => self.now >= closed_at,
            }
    }

    /// Whether rows of lists of open markets call it closed all the same.
    pub(crate) fn is_closed_in_lists(&self, market: usize) -> bool {
        self.closed_in_lists.contains(&market)
    }

    /// What a market's row says of its tags, if it says anything of them.
    pub(crate) fn tags(&self, market: usize) -> Option<&[&'static Tag]> {
        match self.tags.get(&market) {
            _ if !self.has_tags => None,
            None => Some(&self.venue.markets[market].listing.tags),
            Some(Tags::Missing) => None,
            Some(Tags::None) => Some(&[]),
        }
    }

    pub(crate) fn figures(&self, market: usize) -> Figures {
        let wild = self.figures.get(&market);
        wild.copied()
            .unwrap_or_else(|| Figures::of(&self.venue.markets[market]))
    }

    pub(crate) fn end(&self, market: usize) -> Timestamp {
        let moved = self.ends.get(&market);
        moved
            .copied()
            .unwrap_or(self.venue.markets[market].listing.end)
    }

    pub(crate) fn condition_id(&self, market: usize) -> &str {
        let spelled = self.ids.get(&market).map(String::as_str);
        spelled.unwrap_or(self.venue.markets[market].listing.condition_id.as_str())
    }

    pub(crate) fn slug(&self, market: usize) -> &str {
        let named = if self.renamed.contains(&market) {
            0
        } else {
            market
        };
        &self.venue.markets[named].listing.slug
    }
}

#[cfg(test)]
#[path = "gamma_view_tests.rs"]
mod tests;
