//! The seeded flow of orders and trades.
//!
//! [`Flow::next_action`] looks at the books and says what happens next; it
//! changes nothing. The sequence of actions depends on the seed, on the number
//! of steps and on the books, which themselves are its own work: the same seed
//! gives the same events whatever the clock and the clients do.
//!
//! Markets are chosen with a probability falling as one over their rank, so a
//! few are hot and most are quiet, as on the venue. Changes cluster near the
//! touch; a trade takes liquidity from the top; prices wander, and some drift to
//! the edges of the range, where the grid becomes finer.

use std::time::Duration;

use fastrand::Rng;
use polypy_core::{DecimalText, Level, OrderBook, Price, Side, Size};

use crate::catalogue::{self, Listing};
use crate::config::{self, SimConfig};
use crate::render::Print;
use crate::venue::{LevelChange, MarketState, Venue};

/// What happens next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Orders were placed, changed or cancelled.
    Change {
        market: usize,
        changes: Vec<LevelChange>,
        /// Sent as one frame a change, all with the hash after the last, as
        /// the venue does in bursts.
        split: bool,
    },
    /// Orders met.
    Trade {
        market: usize,
        changes: Vec<LevelChange>,
        print: Print,
        /// How long after the books the print comes.
        delay: Duration,
    },
    /// A market (with its siblings, if its event has several) is announced.
    Announce,
    /// A market is settled.
    Settle {
        market: usize,
        winner: usize,
        /// How long after the books are emptied it is said.
        delay: Duration,
    },
}

/// Where trades are 2 % of events there are about 50 changes to a trade; the
/// venue's busiest markets show 130 to 150, its quiet ones fewer.
const TRADE_SHARE: f64 = 0.02;
/// Share of order events that move several levels at once.
const BURST_SHARE: f64 = 0.08;
/// Levels a side beyond which nothing more is placed; real books hold 20 to 260.
const MAX_LEVELS: usize = 80;
/// Levels a side below which nothing is cancelled outright.
const MIN_LEVELS: usize = 3;
/// Draws for a live market before a step is given up; settled ones leave the
/// ranking, so one is enough unless the list is empty.
const LEVEL_DECAY: f64 = 0.65;

/// Chooses what happens.
#[derive(Debug)]
pub(crate) struct Flow {
    rng: Rng,
    /// Live markets, hottest first.
    ranks: Vec<usize>,
    announces_per_minute: f64,
    settles_per_minute: f64,
    announce_share: f64,
    settle_share: f64,
    print_delay: std::ops::RangeInclusive<Duration>,
}

impl Flow {
    pub(crate) fn new(config: &SimConfig) -> Self {
        let mut flow = Self {
            rng: Rng::with_seed(config.seed),
            ranks: Vec::with_capacity(config.markets),
            announces_per_minute: config.new_markets_per_minute,
            settles_per_minute: config.resolve_per_minute,
            announce_share: 0.0,
            settle_share: 0.0,
            print_delay: config.print_delay.clone(),
        };
        flow.share_out(config.events_per_second);
        flow
    }

    /// Keeps announcements and settlements at their times when so many steps a
    /// second are taken from now on.
    pub(crate) fn share_out(&mut self, events_per_second: f64) {
        let share = |per_minute: f64| {
            if events_per_second > 0.0 {
                (per_minute / 60.0 / events_per_second).min(0.5)
            } else {
                0.0
            }
        };
        self.announce_share = share(self.announces_per_minute);
        self.settle_share = share(self.settles_per_minute);
    }

    /// The book a market opens with, and a place in the ranking of heat.
    pub(crate) fn open(&mut self, market: usize, listing: &Listing) -> OrderBook {
        let at = self.rng.usize(..=self.ranks.len());
        self.ranks.push(market);
        let last = self.ranks.len() - 1;
        self.ranks.swap(at, last);

        let tick = millionths(listing.tick_size);
        let steps = 1_000_000 / tick;
        let mid = (listing.opening_price / tick).clamp(2, steps - 2);
        let mut side = |away: i64| {
            let mut levels = Vec::new();
            let mut at = i64::from(mid) + away * i64::from(self.rng.u32(1..=2));
            for _ in 0..self.rng.u32(10..50) {
                let Some(price) = u32::try_from(at)
                    .ok()
                    .filter(|at| (1..steps).contains(at))
                    .and_then(|at| Price::from_millionths(at * tick))
                else {
                    break;
                };
                levels.push(Level::new(price, order_size(&mut self.rng)));
                at += away * i64::from(self.rng.u32(1..=3));
            }
            levels
        };
        let (bids, asks) = (side(-1), side(1));
        let mut book = OrderBook::default();
        book.apply_snapshot(bids, asks);
        book
    }

    /// What happens in this step. `None` when no market is left.
    pub(crate) fn next_action(&mut self, venue: &Venue) -> Option<Action> {
        let draw = self.rng.f64();
        if draw < self.announce_share {
            return Some(Action::Announce);
        }
        // One market at least stays: an exchange with none would have no flow.
        if draw < self.announce_share + self.settle_share && self.ranks.len() > 1 {
            let market = self.ranks.swap_remove(self.rng.usize(..self.ranks.len()));
            let winner = self.winner(&venue.markets[market]);
            let delay = Duration::from_millis(self.rng.u64(28..=250));
            return Some(Action::Settle {
                market,
                winner,
                delay,
            });
        }
        let market = self.choose_market()?;
        let state = &venue.markets[market];
        if self.rng.f64() < TRADE_SHARE
            && let Some(trade) = self.trade(market, state)
        {
            return Some(trade);
        }
        let mut changes = vec![self.order(state)];
        if self.rng.f64() < BURST_SHARE {
            for _ in 0..self.rng.u32(1..4) {
                let more = self.order(state);
                let fits = changes.iter().all(|change: &LevelChange| {
                    change.price != more.price
                        && (change.side == more.side
                            || match more.side {
                                Side::Bid => more.price < change.price,
                                Side::Ask => more.price > change.price,
                            })
                });
                if fits {
                    changes.push(more);
                }
            }
        }
        let split = changes.len() > 1 && self.rng.f64() < 0.3;
        Some(Action::Change {
            market,
            changes,
            split,
        })
    }

    /// A rank drawn log-uniformly: rank `r` with probability about
    /// 1 / (r · ln n).
    fn choose_market(&mut self) -> Option<usize> {
        let count = u32::try_from(self.ranks.len()).unwrap_or(u32::MAX);
        let draw = (self.rng.f64() * f64::from(count + 1).ln()).exp() - 1.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between zero and the number of markets"
        )]
        let rank = draw as usize;
        self.ranks
            .get(rank.min(self.ranks.len().saturating_sub(1)))
            .copied()
    }

    fn winner(&mut self, state: &MarketState) -> usize {
        let likely = state
            .tokens
            .first()
            .and_then(|token| token.book.best_bid())
            .map_or(0.5, |level| f64::from(level.price.millionths()) / 1e6);
        usize::from(self.rng.f64() >= likely).min(state.tokens.len().saturating_sub(1))
    }

    /// Places, cancels or resizes one order near the touch.
    fn order(&mut self, state: &MarketState) -> LevelChange {
        let book = &state.tokens[0].book;
        let side = if self.rng.bool() {
            Side::Bid
        } else {
            Side::Ask
        };
        let mut levels = book.levels(side);
        let draw = self.rng.u32(0..100);
        if levels.len() == 0 || (draw < 45 && levels.len() < MAX_LEVELS) {
            return self.place(state, side);
        }
        let back = self.distance().min(levels.len() - 1);
        let depth = levels.len();
        let Some(level) = levels.nth(back) else {
            return self.place(state, side);
        };
        let size = if draw < 80 && depth > MIN_LEVELS {
            Size::ZERO
        } else {
            order_size(&mut self.rng)
        };
        LevelChange {
            side,
            price: level.price,
            size,
        }
    }

    fn place(&mut self, state: &MarketState, side: Side) -> LevelChange {
        let book = &state.tokens[0].book;
        let tick = i64::from(millionths(state.tick_size));
        let best = |side| match side {
            Side::Bid => book.best_bid(),
            Side::Ask => book.best_ask(),
        };
        let at = |level: Level| i64::from(level.price.millionths());
        // Prices lie strictly between 0 and 1 and never cross the other side.
        let (low, high) = match side {
            Side::Bid => (tick, best(Side::Ask).map_or(1_000_000, at) - tick),
            Side::Ask => (best(Side::Bid).map_or(0, at) + tick, 1_000_000 - tick),
        };
        // The other side stands at the edge of the range: it gives way.
        if low > high
            && let Some(level) = best(side.opposite())
        {
            return LevelChange {
                side: side.opposite(),
                price: level.price,
                size: Size::ZERO,
            };
        }
        let outwards = if side == Side::Bid { -tick } else { tick };
        let touch = if side == Side::Bid { high } else { low };
        let eagerness = match side {
            Side::Bid => 0.25 + lean(state) / 2.0,
            Side::Ask => 0.25 - lean(state) / 2.0,
        };
        let away = i64::try_from(self.distance()).unwrap_or(0);
        let price = match best(side) {
            Some(level) if self.rng.f64() < eagerness => at(level) - outwards,
            Some(level) => at(level) + outwards * away,
            None => touch + outwards * away,
        };
        let price = if low <= high {
            price.clamp(low, high)
        } else {
            touch
        };
        let price = u32::try_from(price).ok().and_then(Price::from_millionths);
        let price = price.unwrap_or(Price::ZERO);
        let resting = book.worst_first(side).find(|level| level.price == price);
        let added = order_size(&mut self.rng).millionths();
        let size = resting.map_or(0, |level| level.size.millionths() % 10_000_000_000) + added;
        LevelChange {
            side,
            price,
            size: Size::from_millionths(size),
        }
    }

    /// Takes the top of one side, in part or wholly.
    fn trade(&mut self, market: usize, state: &MarketState) -> Option<Action> {
        let book = &state.tokens[0].book;
        let taken = if self.rng.f64() < 0.5 + lean(state) {
            Side::Ask
        } else {
            Side::Bid
        };
        let mut changes = Vec::new();
        let mut filled = 0;
        let mut price = Price::ZERO;
        // One trade in eight sweeps several levels: so prices really move.
        let sweeps = self.rng.u32(0..8) == 0;
        let levels = if sweeps {
            self.rng.usize(3..10)
        } else {
            self.rng.usize(1..=2)
        };
        for level in book.levels(taken).take(levels) {
            let resting = level.size.millionths();
            price = level.price;
            // Levels keep two decimals, so a partial fill is of whole cents.
            let part = resting / 10_000 * self.rng.u64(1..100) / 100 * 10_000;
            let wholly = sweeps || self.rng.f64() < 0.4 || part == 0;
            let fill = if wholly { resting } else { part };
            filled += fill;
            changes.push(LevelChange {
                side: taken,
                price: level.price,
                size: Size::from_millionths(resting - fill),
            });
            if !wholly {
                break;
            }
        }
        if changes.is_empty() {
            return None;
        }
        // Taking asks is buying this outcome, or selling the other.
        let outcome = self.rng.usize(..state.tokens.len());
        let bought = if taken == Side::Ask {
            Side::Bid
        } else {
            Side::Ask
        };
        // Prints have up to six decimals: part of an order may be filled elsewhere.
        let dust = self.rng.u64(0..10_000.min(filled));
        let print = Print {
            outcome,
            price: if outcome == 0 {
                price
            } else {
                price.complement()
            },
            size: Size::from_millionths(filled - dust),
            side: if outcome == 0 {
                bought
            } else {
                bought.opposite()
            },
            transaction_hash: catalogue::hex32(&mut self.rng),
        };
        let delay = config::pick(&self.print_delay, &mut self.rng);
        Some(Action::Trade {
            market,
            changes,
            print,
            delay,
        })
    }

    /// Levels from the touch: 0 most often.
    fn distance(&mut self) -> usize {
        let mut steps = 0;
        while steps < 20 && self.rng.f64() < LEVEL_DECAY {
            steps += 1;
        }
        steps
    }
}

/// How much more often buyers move the price than sellers. A third of the
/// markets leans up, a third down: in time they reach the edges.
fn lean(state: &MarketState) -> f64 {
    match state.listing.opening_price % 3 {
        0 => 0.0,
        1 => -0.2,
        _ => 0.2,
    }
}

/// Shares of one order, in two decimals: 5 to some thousands, the small ones
/// most often.
fn order_size(rng: &mut Rng) -> Size {
    let whole = 5 * 2u64.pow(rng.u32(0..9)) + rng.u64(0..20);
    let cents = if rng.u32(0..3) == 0 {
        rng.u64(0..100)
    } else {
        0
    };
    Size::from_millionths((whole * 100 + cents) * 10_000)
}

/// The finer grid a market gets when its price leaves 0.04 to 0.96.
pub(crate) fn refined(state: &MarketState) -> Option<DecimalText> {
    let book = &state.tokens.first()?.book;
    let bid = book.best_bid().map_or(0, |level| level.price.millionths());
    let ask = book
        .best_ask()
        .map_or(1_000_000, |level| level.price.millionths());
    let mid = u32::midpoint(bid, ask);
    let extreme = !(40_000..=960_000).contains(&mid);
    extreme.then(|| finer(state.tick_size)).flatten()
}

/// The next finer grid that holds every price of this one.
pub(crate) fn finer(tick: DecimalText) -> Option<DecimalText> {
    let finer = match tick.as_str() {
        "0.1" => "0.01",
        "0.01" | "0.005" => "0.001",
        _ => return None,
    };
    DecimalText::new(finer).ok()
}

/// A tick in millionths; 0.01 should a text ever be no price.
fn millionths(tick: DecimalText) -> u32 {
    Price::parse(tick.as_str().as_bytes())
        .ok()
        .map(Price::millionths)
        .filter(|&tick| tick > 0)
        .unwrap_or(10_000)
}

#[cfg(test)]
#[path = "flow_tests.rs"]
mod tests;
