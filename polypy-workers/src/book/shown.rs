//! What readers see of a book: levels, epoch, sequence, receive time, history.
//!
//! Levels change in two ways: [`Shown::apply`] takes in a change of the feed that the
//! book is shown from, [`Shown::adopt`] puts another copy in its place. Both write
//! into the [`ChangeLog`] exactly what a consumer has to apply, and `sequence` counts
//! that: a level that is set to the size it has counts nothing. [`Shown::attempt`]
//! applies what was left out before, and writes it only once it is kept.
//!
//! The same is written for those who follow the book, if somebody does ([`Published`]).
//! Of a new epoch they are given the whole book at the end of the batch, and the levels
//! until then are in it.
//!
//! An *epoch* is history without a known hole.

use std::time::{Duration, Instant};

use polypy_core::{
    AssetKey, BookChange, BookHash, Change, FeedId, HistoryPoint, LevelChange, LevelSet,
    PriceChange, Side, TopHistory,
};

use super::changes::ChangeLog;
use super::feed_book::{Applied, FeedBook, Tried};
use super::published::Published;
use crate::compact_instant::CompactInstant;
use crate::integrity::{Past, Recent};

/// Whether a book goes on, or what came before it may be incomplete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Epoch {
    Same,
    New,
}

/// Whether somebody follows the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Follow {
    #[default]
    No,
    Yes,
    /// The same, and the whole book is written at the end of the batch.
    WholeDue,
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
    follow: Follow,
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
            follow: Follow::No,
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
            if self.follow != Follow::No {
                self.write_change(change, done, log.published_mut());
            }
        }
        applied
    }

    /// Writes a change for those who follow the book.
    #[cold]
    fn write_change(&self, change: &PriceChange, done: Change, published: &mut Published) {
        let ends_state = change.last_in_frame;
        if done != Change::Unchanged {
            self.write_level(change.asset, change.level(), ends_state, published);
        } else if ends_state {
            self.write_end(change.asset, published);
        }
    }

    /// Writes a level that has got its place in the sequence.
    fn write_level(
        &self,
        asset: AssetKey,
        level: LevelChange,
        ends_state: bool,
        published: &mut Published,
    ) {
        let (Follow::Yes, Some(copy)) = (self.follow, &self.copy) else {
            return;
        };
        published.write(BookChange::Level(LevelSet {
            asset,
            level,
            sequence: self.sequence,
            at: copy.newest(),
            received: self.received.into(),
            ends_state,
        }));
    }

    /// Writes that a state is complete.
    fn write_end(&self, asset: AssetKey, published: &mut Published) {
        if self.follow == Follow::Yes {
            published.write(BookChange::StateEnd(asset));
        }
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
        let set: Vec<_> = before
            .into_iter()
            .filter_map(|before| {
                let size = copy.levels().size_at(before.side, before.price);
                (size != before.size).then_some(LevelChange { size, ..before })
            })
            .collect();
        for level in set {
            self.set_level(asset, level, log);
        }
        self.write_end(asset, log.published_mut());
        true
    }

    /// A level is set that belongs to no single change.
    fn set_level(&mut self, asset: AssetKey, level: LevelChange, log: &mut ChangeLog) {
        self.sequence += 1;
        log.level(asset, level);
        self.write_level(asset, level, false, log.published_mut());
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
                let mut differences = Vec::new();
                old.levels()
                    .for_each_difference(copy.levels(), |level| differences.push(level));
                for level in differences {
                    self.set_level(asset, level, log);
                }
                self.write_end(asset, log.published_mut());
                log.whole(asset);
            }
            (Epoch::New, ..) | (_, None, _) | (.., None) => self.begin_epoch(asset, log),
        }
        old
    }

    /// The book goes on from here, and what came before may be incomplete.
    pub(crate) fn begin_epoch(&mut self, asset: AssetKey, log: &mut ChangeLog) {
        if self.copy.is_some() {
            self.epoch = self.epoch.saturating_add(1);
            self.sequence += 1;
            log.new_epoch(asset);
            if self.follow != Follow::No {
                self.whole_is_due(asset, log);
            }
        }
    }

    // ---- who follows it -----------------------------------------------------

    /// From now on somebody follows the book. The whole of it is written at the end of
    /// what is being done, also if somebody did already.
    pub(crate) fn follow(&mut self, asset: AssetKey, log: &mut ChangeLog) {
        self.whole_is_due(asset, log);
    }

    /// Nobody does any more.
    pub(crate) fn unfollow(&mut self, asset: AssetKey, log: &mut ChangeLog) {
        self.follow = Follow::No;
        log.published_mut().forget(asset);
    }

    #[inline]
    pub(crate) fn is_followed(&self) -> bool {
        self.follow != Follow::No
    }

    fn whole_is_due(&mut self, asset: AssetKey, log: &mut ChangeLog) {
        self.follow = Follow::WholeDue;
        log.published_mut().touch(asset);
    }

    /// Whether the whole book is to be written; its changes are, from now on.
    pub(crate) fn take_whole_due(&mut self) -> bool {
        let is_due = self.follow == Follow::WholeDue;
        if is_due {
            self.follow = Follow::Yes;
        }
        is_due
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

    /// When the newest change reached us.
    pub(crate) fn received(&self) -> Instant {
        self.received.into()
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
