//! What readers see of a slot.

use std::time::{Duration, Instant};

use polypy_core::{BookState, BookView, Side};

use super::BookSlot;
use crate::stats::WorkerStats;

impl BookSlot {
    /// The state to be shown.
    pub(crate) fn state(&self) -> BookState {
        match (self.state, self.doubts.reason()) {
            (BookState::Live, Some(reason)) => BookState::Stale(reason),
            (state, _) => state,
        }
    }

    /// The state that is shown may have changed; `before` is what it was.
    pub(crate) fn note_shown(&mut self, before: BookState, stats: &WorkerStats, now: Instant) {
        let after = self.state();
        if before.name() == after.name() {
            return;
        }
        let lasted = now.saturating_duration_since(self.since);
        self.since = now;
        match (before, after) {
            (_, BookState::Stale(_)) if self.state == BookState::Live => {
                stats.integrity.doubts.increment();
                self.fell = false;
            }
            (_, BookState::Stale(_)) => self.fell = true,
            (BookState::Stale(_), BookState::Live) if self.fell => {
                stats.stale_time.record(lasted, 1);
            }
            (BookState::Stale(_), BookState::Live) => {
                stats.integrity.healed.increment();
                stats.doubt_time.record(lasted, 1);
            }
            (_, BookState::Pending | BookState::Live | BookState::Settled) => {}
        }
    }

    /// A copy, in the state the reader is to see; `None` before any snapshot.
    pub(crate) fn view(&self, depth: usize, state: BookState, now: Instant) -> Option<BookView> {
        let (main, info) = (self.main.as_ref()?, self.info.as_ref()?);
        let book = &main.book;
        let millis = |passed: Duration| u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        let since = now.saturating_duration_since(self.since);
        // What the worker has not seen yet has only just happened.
        let known = state.name() == self.state().name();
        Some(BookView {
            asset_id: info.asset_id.clone(),
            state,
            epoch: self.epoch,
            sequence: self.sequence,
            bids: book.levels(Side::Bid).take(depth).collect(),
            asks: book.levels(Side::Ask).take(depth).collect(),
            bid_levels: book.depth(Side::Bid),
            ask_levels: book.depth(Side::Ask),
            spread: book.spread(),
            mid_price: book.mid(),
            imbalance: book.imbalance(depth),
            last_update: main.newest,
            age_ms: millis(self.received.age(now)),
            since_ms: if known { millis(since) } else { 0 },
            tick_size: self.hash.tick_size(),
            last_trade_price: self.hash.last_trade_price(),
            hash: main.hash,
            hash_verified: self.hash.last(),
            history: self.history.points().collect(),
        })
    }
}
