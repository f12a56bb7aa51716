//! What happens, as frames: each change of the truth is applied and published
//! in one call, in the venue's order: the top ahead of the changes that moved
//! it, a trade's books after its changes, its print later still.

use std::time::Duration;

use polypy_core::{DecimalText, Price, Size, Timestamp};
use tokio::time::Instant;

use crate::delivery::{Frame, FrameKind};
use crate::exchange::{Due, Exchange};
use crate::fault_kind::FaultKind;
use crate::flow;
use crate::outbox::Ending;
use crate::render::{self, Print};
use crate::venue::{LevelChange, Phase, TokenRef};

/// Text of the close after the last settlement, in the venue's own words.
pub(crate) const ALL_RESOLVED: &str = "all subscribed assets resolved";

/// Levels of a settlement's burst in one frame.
const CLEARING_LEVELS: usize = 20;

impl Exchange {
    pub(crate) fn publish_change(&mut self, market: usize, changes: &[LevelChange], split: bool) {
        if !self.faults.is_empty() {
            self.move_price_ahead(market);
        }
        let stamped = self.config.stamp.map(|stamp| stamped(changes, stamp()));
        let changes = stamped.as_deref().unwrap_or(changes);
        self.remember(market);
        let before = self.tops(market);
        let now = self.clock.now();
        self.venue.markets[market].apply(changes, now);
        self.enter(market);
        self.release_with_next_hash(market);
        if self.subscribers[market].is_empty() {
            return;
        }
        self.publish_tops(market, &before);
        let split = split || (changes.len() > 1 && self.shares_hash(market));
        let frames = if split { 1 } else { changes.len().max(1) };
        let holds = self.holds_change(market);
        for part in changes.chunks(frames) {
            let text = render::price_change(&mut self.venue.markets[market], part);
            let frame = Frame::of_market(FrameKind::PriceChange, market, text);
            if holds {
                self.awaiting.entry(market).or_default().push(frame);
            } else {
                self.publish(&frame);
            }
        }
    }

    pub(crate) fn publish_trade(
        &mut self,
        market: usize,
        changes: &[LevelChange],
        print: Print,
        printed_at: Instant,
    ) {
        self.counters.trades.increment();
        let state = &mut self.venue.markets[market];
        // The hash shows the trade's price before anything announces it.
        state.last_trade_price = hashed_price(print.price);
        state.last_trade_side = Some(print.side);
        self.publish_change(market, changes, false);
        self.venue.markets[market].count_trade(print.price, print.size);
        // A trade's books follow its changes and never overtake them.
        self.release_changes(market);
        if self.subscribers[market].is_empty() {
            return;
        }
        for outcome in 0..self.venue.markets[market].tokens.len() {
            let text = render::later_book(&mut self.venue.markets[market], outcome);
            let place = TokenRef { market, outcome };
            self.publish(&Frame::of_token(FrameKind::Book, place, text));
        }
        self.schedule(printed_at, Due::Print { market, print });
    }

    pub(crate) fn publish_print(&mut self, market: usize, print: &Print) {
        let stamp = self.stamp(market);
        let text = render::last_trade_price(&self.venue.markets[market], print, stamp);
        let place = TokenRef {
            market,
            outcome: print.outcome,
        };
        self.publish(&Frame::of_token(FrameKind::Trade, place, text));
    }

    /// The tops of a market's tokens.
    fn tops(&self, market: usize) -> Vec<(Price, Price)> {
        let tokens = &self.venue.markets[market].tokens;
        tokens
            .iter()
            .map(|token| render::tops(&token.book))
            .collect()
    }

    /// Says the tops that moved, ahead of the changes that moved them: so the
    /// venue does.
    fn publish_tops(&mut self, market: usize, before: &[(Price, Price)]) {
        for (outcome, (old, new)) in before.iter().zip(self.tops(market)).enumerate() {
            if *old != new {
                let text = render::best_bid_ask(&self.venue.markets[market], outcome);
                let place = TokenRef { market, outcome };
                self.publish(&Frame::of_token(FrameKind::BestBidAsk, place, text));
            }
        }
    }

    pub(crate) fn refine_tick(&mut self, market: usize) {
        if let Some(tick) = flow::refined(&self.venue.markets[market]) {
            // Half of all tick changes reach clients twice on the venue.
            let twice = self.rng.bool();
            self.change_tick(market, tick, twice);
        }
    }

    /// Gives a market a new price grid and says so for each token.
    pub(crate) fn change_tick(&mut self, market: usize, tick: DecimalText, twice: bool) {
        self.release_changes(market);
        self.remember(market);
        let state = &mut self.venue.markets[market];
        let old = state.tick_size;
        state.set_tick(tick);
        self.enter(market);
        self.counters.tick_changes.increment();
        let stamp = self.stamp(market);
        for outcome in 0..self.venue.markets[market].tokens.len() {
            let text = render::tick_size_change(&self.venue.markets[market], outcome, old, stamp);
            let place = TokenRef { market, outcome };
            let frame = Frame::of_token(FrameKind::TickSize, place, text);
            self.publish(&frame);
            if twice {
                self.publish(&frame);
            }
        }
    }

    /// Opens a market, or all of a new event's, and tells every socket with
    /// custom features. Gamma learns of it later.
    pub(crate) fn announce(&mut self) {
        let late = self.faults.on_exchange(FaultKind::GammaListedLate);
        let lag = late.map_or(self.config.listing_lag, |fault| fault.duration("delay"));
        loop {
            let market = self.open_market(Instant::now() + lag);
            self.counters.markets_announced.increment();
            let text = render::new_market(&self.venue.markets[market], self.clock.now());
            self.broadcast(&Frame::of_market(FrameKind::NewMarket, market, text));
            if !self.catalogue.has_open_event() {
                return;
            }
        }
    }

    /// Empties a market's books. The word of it follows after `delay`.
    pub(crate) fn settle(&mut self, market: usize, winner: usize, delay: Duration) {
        self.counters.markets_settled.increment();
        self.release_changes(market);
        let late = self.faults.on_exchange(FaultKind::GammaClosedLate);
        let lag = late.map_or(self.config.closing_lag, |fault| fault.duration("delay"));
        let clearing = self.venue.markets[market].clearing();
        let before = self.tops(market);
        let now = self.clock.now();
        let state = &mut self.venue.markets[market];
        state.apply(&clearing, now);
        let instant = Instant::now();
        state.phase = Phase::Settled {
            winner,
            closed_at: instant + lag,
        };
        self.enter(market);
        if !self.subscribers[market].is_empty() {
            self.publish_tops(market, &before);
            for part in clearing.chunks(CLEARING_LEVELS) {
                let text = render::price_change(&mut self.venue.markets[market], part);
                self.publish(&Frame::of_market(FrameKind::PriceChange, market, text));
            }
        }
        self.schedule(instant + delay, Due::Resolved { market, winner });
    }

    pub(crate) fn publish_resolved(&mut self, market: usize, winner: usize) {
        let stamp = self.stamp(market);
        let text = render::market_resolved(&self.venue.markets[market], winner, stamp);
        self.publish(&Frame::of_market(FrameKind::Resolved, market, text));
        for subscriber in std::mem::take(&mut self.subscribers[market]) {
            let Some(session) = self.sessions.get_mut(&subscriber.link.id) else {
                continue;
            };
            let was_subscribed = session.forget_market(market);
            if was_subscribed && session.is_idle() {
                self.counters.closed_resolved.increment();
                let ending = Ending::CloseAfterQueue(1000, ALL_RESOLVED.into());
                subscriber.link.outbox.end(ending);
            }
        }
    }

    /// A stamp of now that is not before the market's last change.
    fn stamp(&self, market: usize) -> Timestamp {
        let changed = self.venue.markets[market]
            .tokens
            .first()
            .map(|token| token.changed);
        self.clock.now().max(changed.unwrap_or_default())
    }
}

/// The same changes, with this size of what is not removed.
fn stamped(changes: &[LevelChange], millionths: u64) -> Vec<LevelChange> {
    let size = Size::from_millionths(millionths.max(1));
    let stamped = changes.iter().map(|change| LevelChange {
        size: if change.size == Size::ZERO {
            Size::ZERO
        } else {
            size
        },
        ..*change
    });
    stamped.collect()
}

/// A trade's price in the form that books state and hash: three decimals, more
/// only where the grid is finer.
pub(crate) fn hashed_price(price: Price) -> DecimalText {
    let millionths = price.millionths();
    let text = if millionths.is_multiple_of(1_000) {
        format!(
            "{}.{:03}",
            millionths / 1_000_000,
            millionths % 1_000_000 / 1_000
        )
    } else {
        price.to_string()
    };
    DecimalText::new(&text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashed_prices_have_three_decimals_or_as_many_as_they_need() {
        for (price, text) in [
            ("0.5", "0.500"),
            ("0.85", "0.850"),
            ("0.001", "0.001"),
            ("0.4925", "0.4925"),
            ("0.0001", "0.0001"),
            ("1", "1.000"),
        ] {
            assert_eq!(hashed_price(price.parse().unwrap()).as_str(), text);
        }
    }
}
