//! The venue's hash against our levels.
//!
//! Contract: [`HashCheck::check`] is called with the state after the last change
//! of a frame, or after a snapshot. A hash that cannot be reproduced at once
//! becomes the *open expectation*: it may be the first part of a batch (later
//! frames carry the same time and hash), or it may already include the next
//! change. When the venue moves on to another state, the expectation is tried
//! once more, against the new levels under its own time; only then has it failed.
//!
//! A book none of whose hashes was ever reproduced is *unverifiable*: there the
//! recipe is in doubt, not the levels, and nothing follows from it.

use polypy_core::fingerprint::{Fingerprint, Form};
use polypy_core::{AssetInfo, BookEvent, BookHash, DecimalText, OrderBook, Timestamp};

use super::Checker;
use super::price::{Origin, TradePrices};
use super::recipe::Recipe;
use crate::config::HashChecking;

/// Most checks between two searches for a book on which searching keeps failing.
const MOST_PATIENCE: u32 = 1_024;

/// A state to be checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) book: &'a OrderBook,
    pub(crate) info: &'a AssetInfo,
    pub(crate) timestamp: Timestamp,
    pub(crate) hash: Option<BookHash>,
    /// Whether the state is complete as far as can be told: a top that
    /// disagrees says that more of the batch is to come.
    pub(crate) complete: bool,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There was nothing to compare with.
    NotApplicable,
    /// The levels are the venue's.
    Proven,
    /// They are not, or not yet.
    Open,
    /// They have not been for too long.
    Diverged,
}

/// One book's standing with the venue's hashes.
#[derive(Debug, Default)]
pub(crate) struct HashCheck {
    recipe: Recipe,
    prices: TradePrices,
    open: Option<Box<Expectation>>,
    /// Expectations in a row that failed for good.
    failures: u32,
    /// Whether the recipe ever reproduced a hash.
    proven: bool,
    last: Option<bool>,
    /// Checks to let pass before the next search, and how many it was last time.
    search_in: u32,
    search_every: u32,
}

/// A hash that was not reproduced yet.
#[derive(Debug)]
struct Expectation {
    timestamp: Timestamp,
    hash: BookHash,
    /// The levels it came with, ready for another last trade price.
    fingerprint: Fingerprint,
    searched: bool,
}

impl HashCheck {
    /// Takes over what a snapshot says besides its levels.
    pub(crate) fn take(&mut self, event: &BookEvent) {
        self.recipe.take(event, self.proven);
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
        self.recipe.tick_size
    }

    /// The price grid changes.
    pub(crate) fn set_tick_size(&mut self, tick: DecimalText) {
        self.recipe.tick_size = Some(tick);
    }

    /// The last trade price, once known.
    pub(crate) fn last_trade_price(&self) -> Option<DecimalText> {
        self.prices.current()
    }

    /// Whether the last hash that could be judged was reproduced.
    pub(crate) fn last(&self) -> Option<bool> {
        self.last
    }

    /// Whether a hash waits for a change that has not come.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The book is to be replaced: nothing that was expected of it matters.
    pub(crate) fn forget_expectation(&mut self) {
        self.open = None;
        self.failures = 0;
        self.last = None;
    }

    /// Compares a state with its hash.
    pub(crate) fn check(&mut self, subject: &Subject<'_>, checker: &mut Checker<'_>) -> Outcome {
        let stats = checker.stats;
        let (HashChecking::All, Some(hash)) = (checker.config.hash, subject.hash) else {
            stats.not_applicable.increment();
            return Outcome::NotApplicable;
        };
        if let Some(open) = self.open.take()
            && (open.timestamp, open.hash) != (subject.timestamp, hash)
        {
            self.resolve(*open, subject, checker);
        }
        let attributes = self.recipe.attributes(subject.info, subject.timestamp);
        let fingerprint = Fingerprint::new(subject.book, &attributes);
        let form = self.recipe.form;
        match self.prices.find(&fingerprint, form, hash, subject.book) {
            Some(Origin::Known) => {
                stats.passed.increment();
                return self.prove();
            }
            Some(Origin::Candidate) => {
                stats.passed_with_candidate_price.increment();
                return self.prove();
            }
            None => {}
        }
        let searched = subject.complete && self.may_search(checker);
        if searched {
            if self.sweep(&fingerprint, hash, subject.book) {
                stats.passed_with_candidate_price.increment();
                return self.prove();
            }
            if self.vary(subject, hash) {
                stats.passed_with_other_recipe.increment();
                return self.prove();
            }
        }
        self.open = Some(Box::new(Expectation {
            timestamp: subject.timestamp,
            hash,
            fingerprint,
            searched,
        }));
        if self.proven {
            self.last = Some(false);
        }
        self.verdict(checker)
    }

    /// Tries the open expectation against levels that a change out of order
    /// has altered.
    pub(crate) fn recheck(&mut self, subject: &Subject<'_>, checker: &mut Checker<'_>) -> Outcome {
        let Some(open) = self.open.take() else {
            return Outcome::NotApplicable;
        };
        if self.reproduces(&open, subject) {
            checker.stats.late.increment();
            return self.prove();
        }
        self.open = Some(open);
        Outcome::Open
    }

    /// The venue has moved on: the expectation heals now or has failed.
    fn resolve(&mut self, open: Expectation, subject: &Subject<'_>, checker: &mut Checker<'_>) {
        let stats = checker.stats;
        if self.reproduces(&open, subject) {
            stats.late.increment();
            self.prove();
        } else if !open.searched
            && self.may_search(checker)
            && self.sweep(&open.fingerprint, open.hash, subject.book)
        {
            stats.passed_with_candidate_price.increment();
            self.prove();
        } else if self.proven {
            stats.failed.increment();
            self.failures = self.failures.saturating_add(1);
        } else {
            stats.unverifiable.increment();
        }
    }

    /// Looks for the last trade price that gives `hash`.
    fn sweep(&mut self, fingerprint: &Fingerprint, hash: BookHash, book: &OrderBook) -> bool {
        let Recipe {
            form, tick_size, ..
        } = self.recipe;
        self.prices.sweep(fingerprint, form, hash, book, tick_size)
    }

    /// Whether the present levels under the expectation's time give its hash.
    fn reproduces(&mut self, open: &Expectation, subject: &Subject<'_>) -> bool {
        let attributes = self.recipe.attributes(subject.info, open.timestamp);
        let fingerprint = Fingerprint::new(subject.book, &attributes);
        let form = self.recipe.form;
        self.prices
            .find(&fingerprint, form, open.hash, subject.book)
            .is_some()
    }

    /// Looks for another recipe, and keeps it if it gives the hash: first with
    /// the prices that come to mind, then, since a trade that leaves the middle
    /// of the range makes the grid finer too, finer grids with every price.
    fn vary(&mut self, subject: &Subject<'_>, hash: BookHash) -> bool {
        for variant in self.recipe.variants(self.proven) {
            let attributes = variant.attributes(subject.info, subject.timestamp);
            let fingerprint = Fingerprint::new(subject.book, &attributes);
            let found = self
                .prices
                .find(&fingerprint, variant.form, hash, subject.book);
            if found.is_some() {
                // The shorter forms say nothing about the fields they lack.
                if variant.form == Form::Six {
                    self.recipe.form = Form::Six;
                } else {
                    self.recipe = variant;
                }
                return true;
            }
        }
        for variant in self.recipe.finer() {
            let attributes = variant.attributes(subject.info, subject.timestamp);
            let fingerprint = Fingerprint::new(subject.book, &attributes);
            let Recipe {
                form, tick_size, ..
            } = variant;
            if self
                .prices
                .sweep(&fingerprint, form, hash, subject.book, tick_size)
            {
                self.recipe = variant;
                return true;
            }
        }
        false
    }

    /// Whether a search is due, and the worker can afford it.
    fn may_search(&mut self, checker: &mut Checker<'_>) -> bool {
        if let Some(left) = self.search_in.checked_sub(1) {
            self.search_in = left;
            return false;
        }
        if !checker.searches.spend(checker.now) {
            checker.stats.searches_refused.increment();
            return false;
        }
        checker.stats.searches.increment();
        self.search_in = self.search_every;
        self.search_every = (self.search_every * 2 + 1).min(MOST_PATIENCE);
        true
    }

    fn prove(&mut self) -> Outcome {
        self.proven = true;
        self.failures = 0;
        self.last = Some(true);
        (self.search_in, self.search_every) = (0, 0);
        Outcome::Proven
    }

    fn verdict(&self, checker: &Checker<'_>) -> Outcome {
        if self.failures >= checker.config.hash_failures.get() {
            Outcome::Diverged
        } else {
            Outcome::Open
        }
    }
}

#[cfg(test)]
#[path = "hash_tests.rs"]
mod tests;
