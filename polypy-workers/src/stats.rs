//! What the workers have done, in numbers that are current at every read.
//!
//! Each worker writes its own [`WorkerStats`]; a reader adds them up. The
//! cost of a read grows with the number of workers, never with that of assets.

use polypy_core::{BookState, StaleReason};
use serde_json::{Map, Value, json};

use crate::counter::{Counter, Histogram, ratio};

/// Books by state, as the workers have marked them so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BookCounts {
    /// Spoken of, without a snapshot yet.
    pub pending: u64,
    /// Live.
    pub live: u64,
    /// Readable and not to be trusted.
    pub stale: u64,
    /// Of settled markets.
    pub settled: u64,
    /// The stale ones by reason, in the order of [`StaleReason::ALL`].
    pub by_reason: [u64; StaleReason::ALL.len()],
}

impl BookCounts {
    /// One more book is in this state.
    pub(crate) fn enter(&mut self, state: BookState) {
        *self.of(state) += 1;
        if let BookState::Stale(reason) = state {
            self.by_reason[reason as usize] += 1;
        }
    }

    /// One fewer is.
    pub(crate) fn leave(&mut self, state: BookState) {
        *self.of(state) -= 1;
        if let BookState::Stale(reason) = state {
            self.by_reason[reason as usize] -= 1;
        }
    }

    fn of(&mut self, state: BookState) -> &mut u64 {
        match state {
            BookState::Pending => &mut self.pending,
            BookState::Live => &mut self.live,
            BookState::Stale(_) => &mut self.stale,
            BookState::Settled => &mut self.settled,
        }
    }

    /// The live ones counted as stale.
    pub(crate) fn with_live_as(mut self, reason: StaleReason) -> Self {
        let live = std::mem::take(&mut self.live);
        self.stale += live;
        self.by_reason[reason as usize] += live;
        self
    }

    /// All books that can be read.
    pub fn readable(&self) -> u64 {
        self.live + self.stale + self.settled
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            pending: self.pending + other.pending,
            live: self.live + other.live,
            stale: self.stale + other.stale,
            settled: self.settled + other.settled,
            by_reason: std::array::from_fn(|at| self.by_reason[at] + other.by_reason[at]),
        }
    }

    pub(crate) fn to_json(self) -> Value {
        json!({
            "pending": self.pending,
            "live": self.live,
            "stale": self.stale,
            "settled": self.settled,
            "stale_by_reason": self.reasons(),
        })
    }

    /// The reasons there are now, each with its books.
    fn reasons(self) -> Map<String, Value> {
        let all = StaleReason::ALL.into_iter().zip(self.by_reason);
        let present = all.filter(|(_, count)| *count > 0);
        present
            .map(|(reason, count)| (reason.name().to_owned(), count.into()))
            .collect()
    }
}

macro_rules! counters {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(crate) struct $name {
            $($(#[$field_doc])* pub(crate) $field: Counter,)*
        }

        impl $name {
            /// Adds every counter to the field of its name.
            pub(crate) fn add_to(&self, sum: &mut Map<String, Value>) {
                $({
                    let before = sum.get(stringify!($field)).and_then(Value::as_u64);
                    let total = before.unwrap_or(0) + self.$field.get();
                    sum.insert(stringify!($field).into(), total.into());
                })*
            }
        }
    };
}

counters! {
    /// Checks, by what they found.
    IntegrityStats {
        /// Hashes reproduced at once.
        passed,
        /// Hashes reproduced with a last trade price that had to be found.
        passed_with_candidate_price,
        /// Hashes reproduced once an attribute was corrected.
        passed_with_other_recipe,
        /// Hashes that the next change healed.
        late,
        /// Hashes that were not reproduced, of books whose hashes had been.
        failed,
        /// Hashes that were not reproduced, of books none of whose hashes were.
        unverifiable,
        /// States that came without a hash, or with checking off.
        not_applicable,
        /// Checks left out because the worker's share of a core was used up.
        skipped,
        /// Hashes that were not reproduced, for want of a search that was
        /// not allowed.
        ambiguous,
        /// Books whose hashes agreed once and whose recipe is unknown now.
        recipes_lost,
        /// Searches for an unannounced price or an unknown attribute.
        searches,
        /// Searches the budget did not allow.
        searches_refused,
        /// Tops that were as stated.
        top_passed,
        /// Tops that were not, once the venue had moved on.
        top_failed,
        /// Changes that stated no top.
        top_not_applicable,
        /// Changes that the market's other token showed, too.
        mirror_passed,
        /// Changes that it did not, at the same exchange time.
        mirror_failed,
        /// Changes that it was not told of, though they come in one message.
        mirror_behind,
        /// Changes of books whose other token was not live, or at another time.
        mirror_not_applicable,
        /// Crossed or locked books that came apart again, or that their hash
        /// proved to be so.
        crossed_passed,
        /// Books that stayed crossed or locked.
        crossed_failed,
        /// Fetched books that were the same as ours, or as ours had been.
        audit_passed,
        /// Fetched books that ours differed from, or never came to.
        audit_failed,
        /// Fetched books with nothing to be compared with.
        audit_not_applicable,
        /// Fetched books that were ahead of the feed.
        audit_leading,
        /// Times a live book was in doubt.
        doubts,
        /// Times it was live again without having been replaced.
        healed,
    }
}

counters! {
    /// What became of the events that did not simply change a book.
    EventStats {
        /// Frames of a feed that is not, or no longer, the book's own.
        late_frames,
        /// Changes before the book's first snapshot.
        deltas_without_book,
        /// Changes that the snapshot already had.
        stale_deltas_skipped,
        /// Changes that had been applied before.
        duplicates,
        /// Changes that had been applied before in the same millisecond, or that
        /// led back to where the book was then.
        ambiguous_copies,
        /// Older changes that were applied because one was missing.
        out_of_order,
        /// Snapshots that would have moved a live book back.
        snapshots_ignored,
        /// Snapshots of another feed, kept beside the shown book.
        snapshots_awaited,
        /// Books that another feed took over.
        takeovers,
        /// Changes told beside the shown book.
        other_feed_changes,
        /// Times another feed's book was shown, because it was first or the
        /// shown one was not to be had any more.
        first_arrivals,
        /// Times a live book's feed closed and another kept it live.
        closings_covered,
        /// Times something was lost on a live book's feed and another kept it live.
        losses_covered,
        /// Times a live book was wrong and another feed's was proven.
        healed_by_other_feed,
        /// Books told beside the shown one that were found wrong.
        other_feed_wrong,
        /// Events for assets that are forgotten.
        events_for_forgotten,
        /// Trades.
        trades,
        /// Changes of the price grid.
        tick_size_changes,
        /// Times a book became stale.
        went_stale,
        /// Fresh snapshots asked for.
        resyncs_requested,
    }
}

/// Everything one worker counts. Written by the thread that holds its books.
#[derive(Debug, Default)]
pub(crate) struct WorkerStats {
    pub(crate) messages_processed: Counter,
    pub(crate) updates_applied: Counter,
    pub(crate) snapshots_received: Counter,
    pub(crate) batches: Counter,
    pub(crate) processing_nanos: Counter,
    /// Written by the supervisor.
    pub(crate) restarts: Counter,
    /// Events lost by a panic, or left over at the end. Written by any thread.
    pub(crate) lost: Counter,
    pub(crate) queue_time: Histogram,
    /// For how long books were in doubt that healed.
    pub(crate) doubt_time: Histogram,
    /// For how long books were stale that are live again.
    pub(crate) stale_time: Histogram,
    pub(crate) events: EventStats,
    pub(crate) integrity: IntegrityStats,
    pub(crate) pending: Counter,
    pub(crate) live: Counter,
    pub(crate) stale: Counter,
    pub(crate) settled: Counter,
    pub(crate) by_reason: [Counter; StaleReason::ALL.len()],
    pub(crate) memory_bytes: Counter,
}

impl WorkerStats {
    pub(crate) fn books(&self) -> BookCounts {
        BookCounts {
            pending: self.pending.get(),
            live: self.live.get(),
            stale: self.stale.get(),
            settled: self.settled.get(),
            by_reason: std::array::from_fn(|at| self.by_reason[at].get()),
        }
    }

    pub(crate) fn set_books(&self, books: BookCounts) {
        self.pending.set(books.pending);
        self.live.set(books.live);
        self.stale.set(books.stale);
        self.settled.set(books.settled);
        for (counter, count) in self.by_reason.iter().zip(books.by_reason) {
            counter.set(count);
        }
    }

    /// One worker's entry in `worker_stats`.
    pub(crate) fn to_json(&self, alive: bool) -> Value {
        let busy = ratio(self.processing_nanos.get(), self.messages_processed.get());
        json!({
            "messages_processed": self.messages_processed.get(),
            "updates_applied": self.updates_applied.get(),
            "snapshots_received": self.snapshots_received.get(),
            "avg_processing_time_us": busy / 1_000.0,
            "orderbook_count": self.books().readable(),
            "memory_usage_mb": ratio(self.memory_bytes.get(), 1_000_000),
            "alive": alive,
            "batches_processed": self.batches.get(),
            "messages_lost": self.lost.get(),
            "restarts": self.restarts.get(),
            "books": self.books().to_json(),
        })
    }
}
