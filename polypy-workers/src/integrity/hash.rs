//! The venue's hash against our levels.
//!
//! Contract: [`HashCheck::check`] is called with the state after the last change
//! of a frame, or after a snapshot. A hash that cannot be reproduced at once
//! becomes the *open expectation*: it may be the first part of a batch (later
//! frames carry the same time and hash), or it may already include the next
//! change. When the venue moves on to another state, the expectation is tried
//! once more, against the new levels under its own time; only then has it failed.
//!
//! A failure stands for itself only when the unannounced part of the hashed text
//! is ruled out: after a search for it, or when the stated top disagreed, too.
//! One for which no search could be afforded leaves the book in doubt.
//!
//! A book none of whose hashes was ever reproduced is *unverified*: there the
//! format is in doubt, not the levels, and nothing follows from it. So is one
//! sent whole twice that still does not give its own hash, and one whose hash fails
//! while those of all books do ([`FormatDoubt`](super::FormatDoubt)).

use std::time::{Duration, Instant};

use polypy_core::fingerprint::{Fingerprint, Form};
use polypy_core::{
    AssetInfo, BookEvent, BookHash, Checkpoint, DecimalText, OrderBook, Timestamp, WholeBook,
};

use super::Checker;
use super::hash_format::HashFormat;
use super::pace::{CheckPace, SearchPace};
use super::price::{PriceSource, TradePrices};
use crate::compact_instant::CompactInstant;
use crate::config::HashChecking;
use crate::stats::IntegrityStats;

/// Whole books in a row that fail after a search, before it is the format that
/// is wrong: levels that were just sent are right.
const WHOLE_FAILURES: u8 = 2;

/// A state to be checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) book: &'a OrderBook,
    pub(crate) info: &'a AssetInfo,
    pub(crate) timestamp: Timestamp,
    pub(crate) hash: Option<BookHash>,
    pub(crate) stage: Stage,
}

/// How much of a state is there, as far as can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The book was just sent whole.
    Whole,
    /// The last change of a frame was applied.
    Frame,
    /// It was, and the stated top disagrees: more of the batch is to come, or
    /// something is missing.
    Unfinished,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There was nothing to compare with, or the format is not known.
    NotApplicable,
    /// Left out for now.
    Skipped,
    /// The levels are the venue's.
    Proven,
    /// They are not, or not yet.
    Open,
    /// They were for the hash before, and are not, or not yet, for this one.
    Reopened,
    /// They are not.
    Diverged,
}

/// One book's standing with the venue's hashes.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct HashCheck {
    open: Option<Box<OpenHash>>,
    /// Whether the format ever reproduced a hash.
    format_known: bool,
    /// Whether it did and does not any more: counted as long as that lasts.
    format_lost: bool,
    last: Option<bool>,
    /// Whole books in a row that failed for good.
    whole_failures: u8,
    /// Hashes in a row that did.
    failures: u32,
    /// When a hash was reproduced the last time, if one ever was.
    proven: CompactInstant,
    checks: CheckPace,
    searches: SearchPace,
    format: HashFormat,
    prices: TradePrices,
}

/// A hash that was not reproduced yet.
#[derive(Debug)]
struct OpenHash {
    timestamp: Timestamp,
    hash: BookHash,
    /// The levels it came with, ready for another last trade price.
    fingerprint: Fingerprint,
    /// Whether the stated top agreed.
    complete: bool,
    searched: bool,
}

impl HashCheck {
    /// Takes over what a snapshot says besides its levels.
    pub(crate) fn take(&mut self, event: &BookEvent) {
        self.format.take(event, self.format_known);
        if let Some(price) = event.last_trade_price {
            self.prices.state(price);
        }
    }

    /// A trade of this market was announced.
    pub(crate) fn trade(&mut self, trade: &polypy_core::Trade) {
        let proven = self.last == Some(true);
        self.prices.announce(trade.price, trade.price_text, proven);
    }

    /// The price grid, once known.
    pub(crate) fn tick_size(&self) -> Option<DecimalText> {
        self.format.tick_size
    }

    /// The price grid changes.
    pub(crate) fn set_tick_size(&mut self, tick: DecimalText) {
        self.format.tick_size = Some(tick);
    }

    /// The last trade price, once known.
    #[cfg(test)]
    pub(crate) fn last_trade_price(&self) -> Option<DecimalText> {
        self.prices.current()
    }

    /// The book together with what its hashes are made of besides the levels.
    pub(crate) fn checkpoint(&self, whole: WholeBook) -> Checkpoint {
        // Before a hash has shown it, it is a guess.
        let shown = self.format_known.then_some(&self.format);
        Checkpoint {
            whole,
            last_trade_price: self.prices.current(),
            min_order_size: shown.map(|format| format.min_order_size),
            neg_risk: shown.map(|format| format.neg_risk),
            version: self.format.version.clone(),
        }
    }

    /// Whether the last hash that could be judged was reproduced.
    pub(crate) fn last(&self) -> Option<bool> {
        self.last
    }

    /// How long ago the last hash was reproduced, if that is the last one that could be judged.
    pub(crate) fn proven_ago(&self, now: Instant) -> Option<Duration> {
        (self.last == Some(true)).then(|| self.proven.age(now))
    }

    /// Whether a hash waits for a change that has not come.
    pub(crate) fn is_open(&self) -> bool {
        self.format_known && self.open.is_some()
    }

    /// Another feed's book, whose hash was reproduced, is the book from now on.
    pub(crate) fn replaced_by_proven(&mut self, now: Instant) {
        self.forget_expectation();
        self.checks.made(now);
        self.note_proven(now);
    }

    /// The hash that waits for a change, and the one that its levels give.
    pub(crate) fn open_hashes(&self) -> Option<(BookHash, BookHash)> {
        let open = self.open.as_ref()?;
        let price = self.prices.current().unwrap_or_default();
        let ours = open.fingerprint.with_last_trade_price(price.as_str());
        Some((open.hash, ours))
    }

    /// Whether the book has changed since its last check.
    pub(crate) fn is_unchecked(&self) -> bool {
        self.checks.is_behind()
    }

    /// Whether the format is known, so that a hash says something of the levels.
    pub(crate) fn is_format_known(&self) -> bool {
        self.format_known
    }

    /// The next check is not to be left out.
    pub(crate) fn force_next_check(&mut self) {
        self.checks.force_next();
    }

    /// A last trade price that the market's other token was hashed with.
    pub(crate) fn add_candidate(&mut self, price: DecimalText) {
        self.prices.add_candidate(price);
    }

    /// The book is to be replaced: nothing that was expected of it matters.
    pub(crate) fn forget_expectation(&mut self) {
        self.open = None;
        self.failures = 0;
        self.checks.forget();
        self.last = None;
    }

    /// Another source shows the same levels under the same hash: what does not
    /// fit is the format.
    pub(crate) fn trust_levels(&mut self, event: &BookEvent, stats: &IntegrityStats) {
        if self.is_open() {
            self.lose_format(stats);
        }
        self.open = None;
        if !self.format_known {
            self.format.take(event, false);
        }
        if let Some(price) = event.last_trade_price {
            self.prices.add_candidate(price);
        }
    }

    /// Compares a state with its hash.
    pub(crate) fn check(&mut self, subject: &Subject<'_>, checker: &mut Checker) -> Outcome {
        let (HashChecking::All, Some(hash)) = (checker.config.hash, subject.hash) else {
            // Nothing confirms these levels.
            self.last = self.last.filter(|was_proven| !was_proven);
            checker.stats().hash.not_applicable.increment();
            return Outcome::NotApplicable;
        };
        if !self.is_due(subject, checker) {
            checker.stats().hash.skipped.increment();
            self.checks.skip();
            return Outcome::Skipped;
        }
        let started = Instant::now();
        let outcome = self.compare(subject, hash, checker);
        checker.cpu.charge(started.elapsed());
        self.checks.made(checker.now);
        outcome
    }

    /// Tries the open expectation against levels that a change out of order
    /// has altered.
    pub(crate) fn recheck(&mut self, subject: &Subject<'_>, checker: &mut Checker) -> Outcome {
        let Some(open) = self.open.take() else {
            return Outcome::NotApplicable;
        };
        if self.reproduces(&open, subject) {
            checker.stats().hash.late.increment();
            return self.prove(checker);
        }
        self.open = Some(open);
        Outcome::Open
    }

    /// Whether a book that was found wrong is right by now.
    pub(crate) fn reproves(&mut self, subject: &Subject<'_>, checker: &mut Checker) -> bool {
        let (true, Some(hash)) = (self.format_known, subject.hash) else {
            return false;
        };
        if !checker.cpu.allows(checker.now) {
            return false;
        }
        let started = Instant::now();
        let attributes = self.format.attributes(subject.info, subject.timestamp);
        let fingerprint = Fingerprint::new(subject.book, &attributes);
        let form = self.format.form;
        let found = self.prices.find(&fingerprint, form, hash, subject.book);
        checker.cpu.charge(started.elapsed());
        if found.is_some() {
            checker.stats().hash.passed.increment();
            self.prove(checker);
        }
        found.is_some()
    }

    /// The doubt has lasted. Diverged, unless what has to be searched for still
    /// cannot be afforded.
    pub(crate) fn decide(&mut self, subject: &Subject<'_>, checker: &mut Checker) -> Outcome {
        let Some(open) = self.open.take() else {
            return Outcome::Diverged;
        };
        let present = (Some(open.hash), open.timestamp) == (subject.hash, subject.timestamp);
        if present && open.complete && !open.searched {
            if !self.can_search(checker) {
                self.open = Some(open);
                return Outcome::Open;
            }
            if self.search(&open.fingerprint, subject, open.hash, checker) {
                return self.prove(checker);
            }
        }
        checker.stats().hash.failed.increment();
        Outcome::Diverged
    }

    /// Whether a check is to be made now. One that something depends on is.
    fn is_due(&self, subject: &Subject<'_>, checker: &mut Checker) -> bool {
        subject.stage == Stage::Whole
            || self.is_open()
            || checker.cpu.allows(checker.now)
            || self.checks.is_overdue(checker.now)
    }

    fn compare(&mut self, subject: &Subject<'_>, hash: BookHash, checker: &mut Checker) -> Outcome {
        let before = self.open.take();
        let healed = before
            .filter(|open| (open.timestamp, open.hash) != (subject.timestamp, hash))
            .is_some_and(|open| self.resolve(*open, subject, checker));
        let attributes = self.format.attributes(subject.info, subject.timestamp);
        let fingerprint = Fingerprint::new(subject.book, &attributes);
        let form = self.format.form;
        match self.prices.find(&fingerprint, form, hash, subject.book) {
            Some(PriceSource::Known) => {
                checker.stats().hash.passed.increment();
                return self.prove(checker);
            }
            Some(PriceSource::Candidate) => {
                checker.stats().hash.passed_with_candidate_price.increment();
                checker.found = self.prices.current();
                return self.prove(checker);
            }
            None => {}
        }
        let wrong = self.failures >= checker.config.hash_failures.get();
        let complete = subject.stage != Stage::Unfinished;
        let searched = complete && !wrong && self.may_search(subject, checker);
        if searched && self.search(&fingerprint, subject, hash, checker) {
            return self.prove(checker);
        }
        self.open = Some(Box::new(OpenHash {
            timestamp: subject.timestamp,
            hash,
            fingerprint,
            complete,
            searched,
        }));
        if self.format_known && self.is_to_blame(subject.stage, searched, checker) {
            self.lose_format(checker.stats());
        }
        if !self.format_known {
            return Outcome::NotApplicable;
        }
        self.last = Some(false);
        match (wrong, healed) {
            (true, _) => Outcome::Diverged,
            (false, true) => Outcome::Reopened,
            (false, false) => Outcome::Open,
        }
    }

    /// Whether a hash that was not reproduced speaks against the format.
    fn is_to_blame(&mut self, stage: Stage, searched: bool, checker: &mut Checker) -> bool {
        if stage == Stage::Whole {
            checker.format_doubt.note_whole_failure();
            self.whole_failures += u8::from(searched);
        }
        self.whole_failures >= WHOLE_FAILURES || checker.format_doubt.holds()
    }

    /// The venue has moved on: the expectation heals now, or has failed.
    fn resolve(&mut self, open: OpenHash, subject: &Subject<'_>, checker: &mut Checker) -> bool {
        if self.reproduces(&open, subject) {
            checker.stats().hash.late.increment();
            self.prove(checker);
            return true;
        }
        let searchable = open.complete && !open.searched;
        let searched = searchable && self.may_search(subject, checker);
        if searched && self.search_all_prices(&open.fingerprint, open.hash, subject.book, checker) {
            self.prove(checker);
            return true;
        }
        if !self.format_known {
            checker.stats().hash.unverifiable.increment();
        } else if searchable && !searched {
            checker.stats().hash.ambiguous.increment();
        } else {
            checker.stats().hash.failed.increment();
            self.failures = self.failures.saturating_add(1);
        }
        false
    }

    /// Looks for what the format does not know, at any price.
    fn search(
        &mut self,
        fingerprint: &Fingerprint,
        subject: &Subject<'_>,
        hash: BookHash,
        checker: &mut Checker,
    ) -> bool {
        if self.search_all_prices(fingerprint, hash, subject.book, checker) {
            return true;
        }
        let varied = self.try_variants(subject, hash);
        if varied {
            checker.stats().hash.passed_with_other_format.increment();
        }
        varied
    }

    /// Looks for the last trade price that gives `hash`.
    fn search_all_prices(
        &mut self,
        fingerprint: &Fingerprint,
        hash: BookHash,
        book: &OrderBook,
        checker: &mut Checker,
    ) -> bool {
        let HashFormat {
            form, tick_size, ..
        } = self.format;
        let found = self
            .prices
            .search_all_prices(fingerprint, form, hash, book, tick_size);
        if found {
            checker.stats().hash.passed_with_candidate_price.increment();
            checker.found = self.prices.current();
        }
        found
    }

    /// Whether the present levels under the expectation's time give its hash.
    fn reproduces(&mut self, open: &OpenHash, subject: &Subject<'_>) -> bool {
        let attributes = self.format.attributes(subject.info, open.timestamp);
        let fingerprint = Fingerprint::new(subject.book, &attributes);
        let form = self.format.form;
        self.prices
            .find(&fingerprint, form, open.hash, subject.book)
            .is_some()
    }

    /// Looks for another format, and keeps it if it gives the hash: first with
    /// the prices that come to mind, then, since a trade that leaves the middle
    /// of the range makes the grid finer too, other grids with every price.
    fn try_variants(&mut self, subject: &Subject<'_>, hash: BookHash) -> bool {
        for variant in self.format.variants(self.format_known) {
            let attributes = variant.attributes(subject.info, subject.timestamp);
            let fingerprint = Fingerprint::new(subject.book, &attributes);
            let found = self
                .prices
                .find(&fingerprint, variant.form, hash, subject.book);
            if found.is_some() {
                // The shorter forms say nothing about the fields they lack.
                if variant.form == Form::Six {
                    self.format.form = Form::Six;
                } else {
                    self.format = variant;
                }
                return true;
            }
        }
        for variant in self.format.other_grids() {
            let attributes = variant.attributes(subject.info, subject.timestamp);
            let fingerprint = Fingerprint::new(subject.book, &attributes);
            let HashFormat {
                form, tick_size, ..
            } = variant;
            if self
                .prices
                .search_all_prices(&fingerprint, form, hash, subject.book, tick_size)
            {
                self.format = variant;
                return true;
            }
        }
        false
    }

    /// Whether a search is due, and the worker can afford it. For a book that
    /// was just sent whole it always is: much depends on it.
    fn may_search(&mut self, subject: &Subject<'_>, checker: &mut Checker) -> bool {
        let depended_on = subject.stage == Stage::Whole && self.format_known;
        let allowed = (depended_on || self.searches.is_due()) && self.can_search(checker);
        if allowed {
            self.searches.made();
        }
        allowed
    }

    /// Whether the worker can afford a search; counts it as made.
    fn can_search(&self, checker: &mut Checker) -> bool {
        let allowed = checker.searches.take(checker.now);
        let counter = if allowed {
            &checker.stats().searches
        } else {
            &checker.stats().searches_refused
        };
        counter.increment();
        allowed
    }

    fn prove(&mut self, checker: &mut Checker) -> Outcome {
        checker.format_doubt.note_proven();
        self.release(checker.stats());
        self.note_proven(checker.now);
        Outcome::Proven
    }

    fn note_proven(&mut self, now: Instant) {
        self.proven = now.into();
        self.format_known = true;
        self.failures = 0;
        self.whole_failures = 0;
        self.last = Some(true);
        self.searches = SearchPace::default();
    }

    fn lose_format(&mut self, stats: &IntegrityStats) {
        stats.formats_lost.increment();
        if !self.format_lost {
            self.format_lost = true;
            stats.formats_unknown.set(stats.formats_unknown.get() + 1);
        }
        self.format_known = false;
        self.failures = 0;
        self.whole_failures = 0;
        self.last = None;
    }

    /// Its hashes are reproduced again, or it is of no interest any more.
    pub(crate) fn release(&mut self, stats: &IntegrityStats) {
        if std::mem::take(&mut self.format_lost) {
            let others = stats.formats_unknown.get().saturating_sub(1);
            stats.formats_unknown.set(others);
        }
    }
}

#[cfg(test)]
#[path = "hash_tests.rs"]
mod tests;
