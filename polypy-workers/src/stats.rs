//! What the workers have done, in numbers that are current at every read.
//!
//! Each worker writes its own [`WorkerStats`]; a reader adds them up. The
//! cost of a read grows with the number of workers, never with that of assets.

use polypy_core::metrics::{
    Counter, DROPPED, Entry, Gauge, Histogram, Kind, Part, Reading, Row, Sheet, Span,
};
use polypy_core::{BookState, StaleReason, counters};

use crate::book::Seen;

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
    /// The live ones whose hash came out at the last check.
    pub verified: u64,
    /// The stale ones that something speaks against, which is not decided yet.
    pub suspect: u64,
    /// The stale ones by reason, in the order of [`StaleReason::ALL`].
    pub by_reason: [u64; StaleReason::ALL.len()],
}

impl BookCounts {
    /// One more book is seen so.
    pub(crate) fn enter(&mut self, seen: Seen) {
        *self.of(seen.state) += 1;
        self.verified += u64::from(seen.is_verified());
        self.suspect += u64::from(seen.is_suspect);
        if let BookState::Stale(reason) = seen.state {
            self.by_reason[reason as usize] += 1;
        }
    }

    /// One fewer is.
    pub(crate) fn leave(&mut self, seen: Seen) {
        *self.of(seen.state) -= 1;
        self.verified -= u64::from(seen.is_verified());
        self.suspect -= u64::from(seen.is_suspect);
        if let BookState::Stale(reason) = seen.state {
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
        // What is wrong with them is known now.
        (self.verified, self.suspect) = (0, 0);
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
            verified: self.verified + other.verified,
            suspect: self.suspect + other.suspect,
            by_reason: std::array::from_fn(|at| self.by_reason[at] + other.by_reason[at]),
        }
    }

    /// Shows them in an object of their own.
    pub(crate) fn show(&self, sheet: &mut dyn Sheet) {
        sheet.part(&BOOKS, |sheet| {
            sheet.table(BOOKS_BY_STATE, self);
            let reasons = StaleReason::ALL.into_iter().zip(self.by_reason);
            let mut named = reasons.map(|(reason, books)| (reason.name(), books));
            sheet.members(&STALE_BY_REASON, &mut named);
        });
    }
}

type Books = Entry<BookCounts>;

static BOOKS: Part = Part::new("books", "Books by state.");
static BOOKS_BY_STATE: &[Books] = &[
    Books::gauge(
        "pending",
        "polypy_books",
        "Without a first book yet.",
        |books| books.pending.into(),
    )
    .label("state=\"pending\"")
    .family("Books by state."),
    Books::gauge("live", "polypy_books", "Live.", |books| books.live.into())
        .label("state=\"live\"")
        .family("Books by state."),
    Books::gauge(
        "stale",
        "polypy_books",
        "Readable and not to be trusted.",
        |books| books.stale.into(),
    )
    .label("state=\"stale\"")
    .family("Books by state."),
    Books::gauge("settled", "polypy_books", "Of settled markets.", |books| {
        books.settled.into()
    })
    .label("state=\"settled\"")
    .family("Books by state."),
    Books::gauge(
        "verified",
        "polypy_books_verified",
        "Live books whose hash came out at the last check.",
        |books| books.verified.into(),
    ),
    Books::gauge(
        "suspect",
        "polypy_books_suspect",
        "Stale books that something speaks against, which is not decided yet.",
        |books| books.suspect.into(),
    ),
];
static STALE_BY_REASON: Row = Row::by(
    Kind::Gauge,
    "stale_by_reason",
    "polypy_books_stale",
    "reason",
    "Stale books by reason. `/stats` has the reasons there are now.",
)
.sparse();

counters! {
    /// Checks of books against the venue's own word, by what they found.
    pub(crate) HashChecks is "polypy_integrity_checks_total" with "check=\"hash\"," by "result" {
        /// Hashes reproduced at once.
        passed,
        /// Hashes reproduced with a last trade price that had to be found.
        passed_with_candidate_price,
        /// Hashes reproduced once an attribute was corrected.
        passed_with_other_format,
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
    }
}

counters! {
    /// Checks of books against the venue's own word, by what they found.
    pub(crate) TopChecks is "polypy_integrity_checks_total" with "check=\"top\"," by "result" {
        /// Tops that were as stated.
        passed,
        /// Tops that were not, once the venue had moved on.
        failed,
        /// Tops that were not, of books whose hash came out: what was stated is false.
        refuted,
        /// Changes that stated no top.
        not_applicable,
    }
}

counters! {
    /// Checks of books against the venue's own word, by what they found.
    pub(crate) MirrorChecks is "polypy_integrity_checks_total" with "check=\"mirror\"," by "result" {
        /// Changes that the market's other token showed, too.
        passed,
        /// Changes that it did not, at the same exchange time.
        failed,
        /// Changes that it was not told of, though they come in one message.
        behind,
        /// Changes of books whose other token was not live, or at another time.
        not_applicable,
    }
}

counters! {
    /// Checks of books against the venue's own word, by what they found.
    pub(crate) CrossedChecks is "polypy_integrity_checks_total" with "check=\"crossed\"," by "result" {
        /// Crossed or locked books that came apart again, or that their hash
        /// proved to be so.
        passed,
        /// Books that stayed crossed or locked.
        failed,
    }
}

counters! {
    /// Checks of books against the venue's own word, by what they found.
    pub(crate) AuditChecks is "polypy_integrity_checks_total" with "check=\"audit\"," by "result" {
        /// Fetched books that were the same as ours, or as ours had been.
        passed,
        /// Fetched books that ours differed from, or never came to.
        failed,
        /// Fetched books with nothing to be compared with.
        not_applicable,
        /// Fetched books that were ahead of the feed.
        leading,
    }
}

/// What the checks found. The frequent ones stand first, close together.
#[derive(Debug, Default)]
pub(crate) struct IntegrityStats {
    pub(crate) hash: HashChecks,
    pub(crate) top: TopChecks,
    pub(crate) mirror: MirrorChecks,
    pub(crate) crossed: CrossedChecks,
    pub(crate) audit: AuditChecks,
    pub(crate) searches: Counter,
    pub(crate) searches_refused: Counter,
    pub(crate) formats_lost: Counter,
    /// Those of them whose hashes have not been reproduced since.
    pub(crate) formats_unknown: Gauge,
    pub(crate) suspected: Counter,
    pub(crate) healed: Counter,
}

type Integrity = Entry<IntegrityStats>;

static INTEGRITY: Part = Part::new("integrity", "Checks of books, and what followed.");
static HASH: Part = Part::new("hash", "Hashes that came with books and changes.");
static TOP: Part = Part::new("top", "Best prices that came with changes.");
static MIRROR: Part = Part::new("mirror", "The market's other token.");
static CROSSED: Part = Part::new("crossed", "Best bids that are not below the best ask.");
static AUDIT: Part = Part::new("audit", "Books fetched apart from the feed.");
static FOLLOWED: &[Integrity] = &[
    Integrity::counter(
        "searches",
        "polypy_integrity_searches_total",
        "Searches for an unannounced price or an unknown attribute.",
        |stats| stats.searches.get().into(),
    )
    .label("outcome=\"made\"")
    .family(SEARCHES),
    Integrity::counter(
        "searches_refused",
        "polypy_integrity_searches_total",
        "Searches that the budget did not allow.",
        |stats| stats.searches_refused.get().into(),
    )
    .label("outcome=\"refused\"")
    .family(SEARCHES),
    Integrity::counter(
        "formats_lost",
        "polypy_integrity_formats_lost_total",
        "Times a book's hashes, which had agreed, could not be reproduced any more.",
        |stats| stats.formats_lost.get().into(),
    ),
    Integrity::gauge(
        "formats_unknown",
        "polypy_integrity_formats_unknown",
        "Books whose hashes agreed once and are not reproduced now: unverified.",
        |stats| stats.formats_unknown.get().into(),
    ),
    Integrity::counter(
        "suspected",
        "polypy_books_suspected_total",
        "Times something spoke against a live book.",
        |stats| stats.suspected.get().into(),
    ),
    Integrity::counter(
        "healed",
        "polypy_books_healed_total",
        "Times such a book was live again without having been replaced.",
        |stats| stats.healed.get().into(),
    ),
];
const SEARCHES: &str = "Searches for what a hash was made of, by whether they were allowed.";

type Time = Entry<Reading>;

static SUSPECT_TIME: &[Time] = &[
    Time::shown("suspect_p50_ms", SUSPECT_BOUND, |time| {
        time.percentile_ms(50).into()
    }),
    Time::shown("suspect_p99_ms", SUSPECT_BOUND, |time| {
        time.percentile_ms(99).into()
    }),
    Time::shown("suspect_mean_ms", "The mean of it.", |time| {
        time.mean_ms().into()
    }),
];
const SUSPECT_BOUND: &str = "How long books were suspected that healed: a bound for this share of them, exact to a factor of two.";
static STALE_TIME: &[Time] = &[
    Time::shown("stale_p50_ms", STALE_BOUND, |time| {
        time.percentile_ms(50).into()
    }),
    Time::shown("stale_p99_ms", STALE_BOUND, |time| {
        time.percentile_ms(99).into()
    }),
    Time::shown("stale_mean_ms", "The mean of it.", |time| {
        time.mean_ms().into()
    }),
];
const STALE_BOUND: &str = "How long books were stale that are live again: a bound for this share of them, exact to a factor of two.";
static SUSPECT_SECONDS: Row = Row::histogram(
    "polypy_suspect_seconds",
    "How long books were suspected that healed.",
    Span::LONG,
);
static STALE_SECONDS: Row = Row::histogram(
    "polypy_stale_seconds",
    "How long books were stale that are live again.",
    Span::LONG,
);

counters! {
    /// What became of events that did not simply change a book.
    pub(crate) EventStats is "polypy_book_events_total" with "" by "outcome" {
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
        /// Trades that were kept already, as another feed had brought them, or that are
        /// older than all that is kept.
        trades_repeated,
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
    /// From the delivery of an event until it was in its book.
    pub(crate) applied_after: Histogram,
    /// For how long books were suspected that healed.
    pub(crate) suspect_time: Histogram,
    /// For how long books were stale that are live again.
    pub(crate) stale_time: Histogram,
    pub(crate) events: EventStats,
    pub(crate) integrity: IntegrityStats,
    pub(crate) pending: Gauge,
    pub(crate) live: Gauge,
    pub(crate) stale: Gauge,
    pub(crate) settled: Gauge,
    pub(crate) verified: Gauge,
    pub(crate) suspect: Gauge,
    pub(crate) by_reason: [Gauge; StaleReason::ALL.len()],
    pub(crate) memory_bytes: Gauge,
    /// When the worker's thread last looked for work, in milliseconds since it was made.
    pub(crate) beat_ms: Gauge,
}

type Lost = Entry<WorkerStats>;

static LOST: &[Lost] = &[Lost::exported(
    Kind::Counter,
    "polypy_events_dropped_total",
    "Events lost by a worker's failure, or left over at its end.",
    |stats| stats.lost.get().into(),
)
.label("stage=\"worker\"")
.family(DROPPED)];
static EVENTS: Part = Part::new("events", "Events that did not simply change a book.");

impl WorkerStats {
    pub(crate) fn books(&self) -> BookCounts {
        BookCounts {
            pending: self.pending.get(),
            live: self.live.get(),
            stale: self.stale.get(),
            settled: self.settled.get(),
            verified: self.verified.get(),
            suspect: self.suspect.get(),
            by_reason: std::array::from_fn(|at| self.by_reason[at].get()),
        }
    }

    pub(crate) fn set_books(&self, books: BookCounts) {
        self.pending.set(books.pending);
        self.live.set(books.live);
        self.stale.set(books.stale);
        self.settled.set(books.settled);
        self.verified.set(books.verified);
        self.suspect.set(books.suspect);
        for (gauge, count) in self.by_reason.iter().zip(books.by_reason) {
            gauge.set(count);
        }
    }

    /// Shows what several workers have counted together.
    pub(crate) fn show_sum<'s>(
        sheet: &mut dyn Sheet,
        workers: impl Iterator<Item = &'s Self> + Clone,
    ) {
        sheet.sum(LOST, workers.clone());
        sheet.part(&EVENTS, |sheet| {
            sheet.sum(EventStats::ROWS, workers.clone().map(|stats| &stats.events));
        });
        sheet.part(&INTEGRITY, |sheet| {
            let checks = workers.clone().map(|stats| &stats.integrity);
            sheet.part(&HASH, |sheet| {
                sheet.sum(HashChecks::ROWS, checks.clone().map(|checks| &checks.hash));
            });
            sheet.part(&TOP, |sheet| {
                sheet.sum(TopChecks::ROWS, checks.clone().map(|checks| &checks.top));
            });
            sheet.part(&MIRROR, |sheet| {
                sheet.sum(
                    MirrorChecks::ROWS,
                    checks.clone().map(|checks| &checks.mirror),
                );
            });
            sheet.part(&CROSSED, |sheet| {
                sheet.sum(
                    CrossedChecks::ROWS,
                    checks.clone().map(|checks| &checks.crossed),
                );
            });
            sheet.part(&AUDIT, |sheet| {
                sheet.sum(
                    AuditChecks::ROWS,
                    checks.clone().map(|checks| &checks.audit),
                );
            });
            sheet.sum(FOLLOWED, checks);
            let (mut suspect, mut stale) = (Reading::default(), Reading::default());
            for stats in workers {
                stats.suspect_time.add_to(&mut suspect);
                stats.stale_time.add_to(&mut stale);
            }
            sheet.table(SUSPECT_TIME, &suspect);
            sheet.histogram(&SUSPECT_SECONDS, &suspect);
            sheet.table(STALE_TIME, &stale);
            sheet.histogram(&STALE_SECONDS, &stale);
        });
    }
}
