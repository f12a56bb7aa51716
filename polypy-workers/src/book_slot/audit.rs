//! What a book fetched apart from the feed says of ours.
//!
//! | the fetched book | means | follows |
//! |---|---|---|
//! | has our hash and our levels | ours is right | it is proven |
//! | has our hash and other levels | ours is wrong | divergence |
//! | has a hash ours had lately | REST is behind | nothing |
//! | is not older and has an unknown hash | the feed is behind | stale until the feed has come as far; after a while, divergence: the token is silent |
//! | is older and has an unknown hash | too much has happened since | nothing |
//!
//! Of states that came without a hash the levels are compared instead. The feed
//! has come as far once it shows that state, or a later one whose own hash
//! proves it; a later one that nothing proves has passed it by, and so something
//! was missing.
//!
//! Nothing of it is ever applied.

use std::time::Instant;

use polypy_core::{BookEvent, BookHash, BookState, OrderBook, StaleReason, Timestamp};

use super::doubt::Doubt;
use super::{BookSlot, Context};
use crate::config::HashChecking;

/// A state the venue is in and our feed has yet to tell.
#[derive(Debug)]
pub(super) struct Expected {
    timestamp: Timestamp,
    hash: BookHash,
    book: OrderBook,
    since: Instant,
}

impl BookSlot {
    /// Compares a fetched book with ours. One that is stale anyway is only told
    /// how far it has to come.
    pub(crate) fn audit(&mut self, event: BookEvent, cx: &mut Context<'_>) {
        let stats = cx.checker.stats;
        let live = match self.state {
            BookState::Live => true,
            BookState::Stale(_) => false,
            BookState::Pending | BookState::Settled => {
                stats.audit_not_applicable.increment();
                return;
            }
        };
        let (Some(main), Some(hash)) = (&self.main, event.hash) else {
            stats.audit_not_applicable.increment();
            return;
        };
        if live && main.hash == Some(hash) {
            self.compare_levels(event, cx);
        } else if live && self.recent.contains(hash, &self.past) {
            stats.audit_passed.increment();
        } else if event.timestamp < main.newest || main.hash == Some(hash) {
            stats.audit_not_applicable.increment();
        } else if live && main.hash.is_none() && main.book == whole(&event) {
            self.compare_levels(event, cx);
        } else {
            stats.audit_leading.increment();
            self.expect(&event, hash, cx);
        }
    }

    /// The venue has come to a state that our feed has yet to tell.
    fn expect(&mut self, event: &BookEvent, hash: BookHash, cx: &mut Context<'_>) {
        let now = cx.checker.now;
        let known = self.expected.as_deref();
        if known.is_none_or(|known| known.timestamp < event.timestamp) {
            self.expected = Some(Box::new(Expected {
                timestamp: event.timestamp,
                hash,
                book: whole(event),
                since: known.map_or(now, |known| known.since),
            }));
        }
        self.raise(Doubt::Behind, cx);
    }

    /// The book is told by another feed: it has all the time to come as far.
    pub(super) fn expect_anew(&mut self, now: Instant) {
        if let Some(expected) = self.expected.as_mut() {
            expected.since = now;
        }
    }

    /// The book has come to a state: remembered, and perhaps the expected one.
    pub(super) fn note_state(&mut self, cx: &mut Context<'_>) {
        let Some(main) = &self.main else {
            return;
        };
        if let Some(hash) = main.hash {
            self.recent.push(hash, &mut self.past);
        }
        let Some(expected) = &self.expected else {
            return;
        };
        let later = main.newest > expected.timestamp;
        let reached = main.hash == Some(expected.hash)
            || (later && main.proven)
            || (!later && main.hash.is_none() && main.book == expected.book);
        // A hash that is yet to be reproduced has the next word.
        let awaits_proof = main.hash.is_some()
            && self.hash.is_verifiable()
            && cx.checker.config.hash == HashChecking::All;
        if reached {
            cx.checker.stats.audit_passed.increment();
            self.forget_expected();
        } else if later && !awaits_proof && self.state == BookState::Live {
            cx.checker.stats.audit_failed.increment();
            self.forget_expected();
            self.diverge(StaleReason::Audit, cx);
        }
    }

    /// The feed had its time.
    pub(super) fn check_expected(&mut self, cx: &mut Context<'_>) {
        let patience = cx.checker.config.audit_patience;
        let over = self.expected.as_ref().is_some_and(|expected| {
            cx.checker.now.saturating_duration_since(expected.since) >= patience
        });
        if over && self.state == BookState::Live {
            cx.checker.stats.audit_failed.increment();
            self.forget_expected();
            self.diverge(StaleReason::Silent, cx);
        }
    }

    /// Nothing is expected of the feed any more.
    pub(super) fn forget_expected(&mut self) {
        self.expected = None;
        self.doubts.settle(Doubt::Behind);
    }

    /// The fetched book has our hash, or our levels where there is none.
    fn compare_levels(&mut self, event: BookEvent, cx: &mut Context<'_>) {
        let stats = cx.checker.stats;
        let fetched = whole(&event);
        let Some(main) = self.main.as_mut() else {
            return;
        };
        if main.book == fetched {
            stats.audit_passed.increment();
            main.proven = true;
            self.doubts.settle_levels();
            self.top.reset();
            self.hash.trust_levels(&event, stats);
        } else if self.doubts.has(Doubt::Hash) {
            // Part of a batch is missing, and known to be.
            stats.audit_not_applicable.increment();
        } else {
            stats.audit_failed.increment();
            self.diverge(StaleReason::Audit, cx);
        }
    }
}

fn whole(event: &BookEvent) -> OrderBook {
    let mut book = OrderBook::default();
    book.apply_snapshot(event.bids.clone(), event.asks.clone());
    book
}
