//! What readers see of a book: levels, epoch, sequence, receive time, history.
//!
//! Levels change in two ways: [`Shown::apply`] takes in a change of the feed that the
//! book is shown from, [`Shown::adopt`] puts another copy in its place. Both write
//! into the [`ChangeLog`] exactly what a consumer has to apply, and `sequence` counts
//! that: a level that is set to the size it has counts nothing. [`Shown::attempt`]
//! applies what was left out before, and writes it only once it is kept.
//!
//! An *epoch* is history without a known hole.

use std::time::{Duration, Instant};

use polypy_core::{
    AssetKey, BookHash, Change, FeedId, HistoryPoint, LevelChange, PriceChange, Side, TopHistory,
};

use super::changes::ChangeLog;
use super::feed_book::{Applied, FeedBook, Tried};
use crate::compact_instant::CompactInstant;
use crate::integrity::{Past, Recent};

/// Whether a book goes on, or what came before it may be incomplete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Epoch {
    Same,
    New,
}

/// Nearly all of it is read by nearly every change.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Shown {
    /// The copy that is shown; `None` before the first whole book.
    copy: Option<FeedBook>,
    sequence: u64,
    received: CompactInstant,
    recent: Recent,
    /// Thirty-two bits: a book that begins one a second does so for 136 years.
    epoch: u32,
    past: Past,
    history: TopHistory,
}

impl Shown {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            copy: None,
            sequence: 0,
            received: now.into(),
            recent: Recent::default(),
            epoch: 0,
            past: Past::default(),
            history: TopHistory::default(),
        }
    }

    /// The copy that is shown.
    #[inline]
    pub(crate) fn copy(&self) -> Option<&FeedBook> {
        self.copy.as_ref()
    }

    /// The feed it is shown from; [`FeedId::default`], which no connection has, once
    /// that is gone and another feed's copy is to come as far.
    #[inline]
    pub(crate) fn feed(&self) -> Option<FeedId> {
        self.copy.as_ref().map(FeedBook::feed)
    }

    /// Whether its last hash was reproduced.
    pub(crate) fn is_proven(&self) -> bool {
        self.copy.as_ref().is_some_and(FeedBook::is_proven)
    }

    /// Whether the best bid is not below the best ask.
    #[inline]
    pub(crate) fn is_crossed(&self) -> bool {
        self.copy.as_ref().is_some_and(|copy| {
            let levels = copy.levels();
            match (levels.best_price(Side::Bid), levels.best_price(Side::Ask)) {
                (Some(bid), Some(ask)) => bid >= ask,
                (None, _) | (_, None) => false,
            }
        })
    }

    /// Whether it was in this state lately, or is.
    pub(crate) fn was_in(&self, hash: BookHash) -> bool {
        self.copy.as_ref().and_then(FeedBook::hash) == Some(hash)
            || self.recent.contains(hash, &self.past)
    }

    /// The book has come to a state with this hash.
    #[inline]
    pub(crate) fn note_state(&mut self) {
        if let Some(hash) = self.copy.as_ref().and_then(FeedBook::hash) {
            self.recent.push(hash, &mut self.past);
        }
    }

    /// Its hash was reproduced.
    #[inline]
    pub(crate) fn prove(&mut self) {
        if let Some(copy) = self.copy.as_mut() {
            copy.prove();
        }
    }

    /// The feed it is shown from speaks for it no longer.
    pub(crate) fn detach(&mut self) {
        if let Some(copy) = self.copy.as_mut() {
            copy.detach();
        }
    }

    /// Takes in a change of its own feed.
    #[inline(always)]
    pub(crate) fn apply(
        &mut self,
        change: &PriceChange,
        received: CompactInstant,
        log: &mut ChangeLog,
    ) -> Applied {
        let Some(copy) = self.copy.as_mut() else {
            return Applied::Duplicate;
        };
        let applied = copy.apply(change);
        if let Applied::InOrder(done) = applied {
            self.history.record(copy.newest(), copy.levels());
            self.received = received;
            if done != Change::Unchanged {
                self.sequence += 1;
                log.level(change.asset, change.level());
            }
        }
        applied
    }

    /// Leaves a change out that may be no duplicate.
    pub(crate) fn leave_out(&mut self, change: &PriceChange) {
        if let Some(copy) = self.copy.as_mut() {
            copy.leave_out(change);
        }
    }

    /// Tries changes that were left out: they are kept if the book that they make is
    /// proven, and else taken back, and nobody sees them.
    pub(crate) fn attempt(
        &mut self,
        asset: AssetKey,
        tried: Tried,
        log: &mut ChangeLog,
        is_proven: impl FnOnce(&FeedBook) -> bool,
    ) -> bool {
        let Some(copy) = self.copy.as_mut() else {
            return false;
        };
        let before = copy.try_left_out(tried);
        if before.is_empty() {
            return false;
        }
        if !is_proven(copy) {
            copy.take_back(&before);
            return false;
        }
        if tried == Tried::LastState {
            copy.come_to_left_out();
        }
        copy.prove();
        self.history.record(copy.newest(), copy.levels());
        for LevelChange { side, price, size } in before {
            let now = copy.levels().size_at(side, price);
            if now != size {
                self.sequence += 1;
                let size = now;
                log.level(asset, LevelChange { side, price, size });
            }
        }
        true
    }

    /// Shows another copy from now on, and returns the one before. `received`: when its
    /// newest change reached us, if the book comes further by that.
    pub(crate) fn adopt(
        &mut self,
        asset: AssetKey,
        mut copy: FeedBook,
        epoch: Epoch,
        received: Option<CompactInstant>,
        log: &mut ChangeLog,
    ) -> Option<FeedBook> {
        self.history.record(copy.newest(), copy.levels());
        self.received = received.unwrap_or(self.received);
        if let Some(old) = &self.copy {
            copy.remember_passed(old);
            if epoch == Epoch::Same {
                copy.continue_from(old);
            }
        }
        let old = self.copy.replace(copy);
        match (epoch, &old, &self.copy) {
            (Epoch::Same, Some(old), Some(copy)) if old.levels() == copy.levels() => {
                // Nearly always: the venue sends the whole book after a trade.
                log.whole(asset);
            }
            (Epoch::Same, Some(old), Some(copy)) => {
                old.levels().for_each_difference(copy.levels(), |level| {
                    self.sequence += 1;
                    log.level(asset, level);
                });
                log.whole(asset);
            }
            (Epoch::New, ..) | (_, None, _) | (.., None) => self.begin_epoch(asset, log),
        }
        old
    }

    /// The book goes on from here, and what came before may be incomplete.
    pub(crate) fn begin_epoch(&mut self, asset: AssetKey, log: &mut ChangeLog) {
        if let Some(copy) = &self.copy {
            self.epoch = self.epoch.saturating_add(1);
            self.sequence += 1;
            log.new_epoch(asset, copy.levels());
        }
    }

    /// Reads what a change will read, so that it is in the cache by then.
    #[inline]
    pub(crate) fn prefetch(&self) -> u64 {
        self.copy.as_ref().map_or(0, FeedBook::prefetch)
    }

    /// The same for what it only points to.
    #[inline]
    pub(crate) fn prefetch_further(&self, change: &PriceChange) -> u64 {
        let copy = self.copy.as_ref();
        let levels = copy.map_or(0, |copy| copy.levels().prefetch(change.side));
        let point = self.history.prefetch(change.timestamp);
        levels | point | self.recent.prefetch(&self.past)
    }

    /// Levels on both sides.
    pub(crate) fn depth(&self) -> usize {
        self.copy.as_ref().map_or(0, FeedBook::depth)
    }

    /// Grows with every new epoch.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.into()
    }

    /// Grows with every change that a consumer has to apply, across epochs.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How long ago the newest change reached us.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        self.received.age(now)
    }

    /// The best prices over time, oldest first.
    pub(crate) fn history(&self) -> impl Iterator<Item = HistoryPoint> + '_ {
        self.history.points()
    }
}
