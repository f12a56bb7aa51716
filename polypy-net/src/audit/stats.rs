//! What the auditor has compared.

use polypy_core::metrics::{Counter, Entry, Gauge, Sheet, Unit};

/// Counters. The rounds and the early comparisons both write.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) sweeps: Counter,
    pub(super) requests: Counter,
    pub(super) failures: Counter,
    pub(super) compared: Counter,
    pub(super) missing: Counter,
    pub(super) unanswered: Counter,
    pub(super) resubscribed: Counter,
    pub(super) last_sweep_ms: Gauge,
}

type Counted = Entry<Counters>;

const BOOKS: &str = "Books to be compared, by what the answer had.";
static ROWS: &[Counted] = &[
    Counted::counter(
        "sweeps",
        "polypy_audit_sweeps_total",
        "Rounds over all books.",
        |counters| counters.sweeps.get().into(),
    ),
    Counted::counter(
        "requests",
        "polypy_audit_requests_total",
        "Sets of books asked for.",
        |counters| counters.requests.get().into(),
    ),
    Counted::counter(
        "failures",
        "polypy_audit_failures_total",
        "Sets that could not be had as a whole.",
        |counters| counters.failures.get().into(),
    ),
    Counted::counter(
        "books_compared",
        "polypy_audit_books_total",
        "Books fetched and handed over to be compared.",
        |counters| counters.compared.get().into(),
    )
    .label("outcome=\"compared\"")
    .family(BOOKS),
    Counted::counter(
        "books_missing",
        "polypy_audit_books_total",
        "Books that the venue has not.",
        |counters| counters.missing.get().into(),
    )
    .label("outcome=\"missing\"")
    .family(BOOKS),
    Counted::counter(
        "books_unanswered",
        "polypy_audit_books_total",
        "Books about which there was no answer.",
        |counters| counters.unanswered.get().into(),
    )
    .label("outcome=\"unanswered\"")
    .family(BOOKS),
    Counted::counter(
        "tokens_resubscribed",
        "polypy_audit_tokens_resubscribed_total",
        "Tokens resubscribed because round after round had no book of them.",
        |counters| counters.resubscribed.get().into(),
    ),
    Counted::gauge(
        "last_sweep_ms",
        "polypy_audit_last_sweep_seconds",
        "How long the newest round took.",
        |counters| counters.last_sweep_ms.get().into(),
    )
    .unit(Unit::Millis),
];
static EARLY: &[Entry<u64>] = &[Entry::<u64>::counter(
    "early_requested",
    "polypy_audit_early_requested_total",
    "Tokens to be compared before their turn, since an event about them was not understood.",
    |requested| (*requested).into(),
)];

impl Counters {
    /// Shows them; so many tokens were to be compared early.
    pub(super) fn show(&self, early: u64, sheet: &mut dyn Sheet) {
        sheet.table(ROWS, self);
        sheet.table(EARLY, &early);
    }
}
