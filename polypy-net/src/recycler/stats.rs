//! What was replaced, and what came of it.

use std::collections::BTreeSet;

use polypy_core::metrics::{Entry, Histogram, Kind, List, Row, Sheet, Span, Unit, ratio};

use super::receipt::{Receipt, Receipts, RecycleReason};
use crate::counter::{count, millis};
use crate::pool::Migration;
use crate::registry::ConnectionId;

/// Counters, what is under way, and the newest receipts.
#[derive(Debug, Default)]
pub(super) struct Record {
    initiated: u64,
    completed: u64,
    failed: u64,
    migrated: u64,
    /// Assets times milliseconds without a feed.
    downtime_ms: u64,
    active: BTreeSet<ConnectionId>,
    /// In the order of [`RecycleReason::ALL`].
    by_reason: [u64; RecycleReason::ALL.len()],
    overlap: Histogram,
    took: Histogram,
    pub(super) receipts: Receipts,
}

type Counted = Entry<Record>;
type Each = Entry<Receipt>;

const ENDED: &str = "Replacements of connections that ended, by result.";
static ROWS: &[Counted] = &[
    Counted::shown("recycles_initiated", "Replacements begun.", |record| {
        record.initiated.into()
    }),
    Counted::counter(
        "recycles_completed",
        "polypy_recycles_total",
        "Replacements done.",
        |record| record.completed.into(),
    )
    .label("result=\"completed\"")
    .family(ENDED),
    Counted::counter(
        "recycles_failed",
        "polypy_recycles_total",
        "Replacements given up; the connection served on.",
        |record| record.failed.into(),
    )
    .label("result=\"failed\"")
    .family(ENDED),
    Counted::shown(
        "success_rate",
        "The share of those ended that were done; null while none has ended.",
        |record| {
            let ended = record.completed + record.failed;
            let rate = ratio(record.completed, ended);
            Some(rate).filter(|_| ended > 0).into()
        },
    ),
    Counted::counter(
        "markets_migrated",
        "polypy_recycled_tokens_total",
        "Tokens that moved to a new connection. A market has two.",
        |record| record.migrated.into(),
    ),
    Counted::shown(
        "avg_downtime_ms",
        "The mean time that such a token was without a live feed.",
        |record| ratio(record.downtime_ms, record.migrated).into(),
    )
    .unit(Unit::Millis),
    Counted::exported(
        Kind::Counter,
        "polypy_recycle_downtime_token_seconds_total",
        "Tokens that moved, times how long each was without a live feed.",
        |record| record.downtime_ms.into(),
    )
    .unit(Unit::Millis),
    Counted::exported(
        Kind::Gauge,
        "polypy_recycles_active",
        "Replacements under way.",
        |record| record.active.len().into(),
    ),
];
static ACTIVE: Row = Row::text("active_recycles", "Connections that are being replaced.");
static BY_REASON: Row = Row::by(
    Kind::Counter,
    "by_reason",
    "polypy_recycles_started_total",
    "reason",
    "Replacements begun, by reason. `/stats` has the reasons that occurred.",
)
.sparse();
static OVERLAP: Row = Row::histogram(
    "polypy_recycle_overlap_seconds",
    "How long the old and the new connection both delivered.",
    Span::LONG,
);
static TOOK: Row = Row::histogram(
    "polypy_recycle_duration_seconds",
    "How long a replacement took, done or given up.",
    Span::LONG,
);
static RECEIPTS: List = List::array("receipts", "The newest of them.");
static RECEIPT: &[Each] = &[
    Each::shown("connection", "Which one was to be replaced.", |receipt| {
        (*receipt.connection).into()
    }),
    Each::shown("replacement", "Which one took over.", |receipt| {
        receipt.replacement.as_deref().into()
    }),
    Each::shown("reason", "Why it was to be.", |receipt| {
        receipt.reason.name().into()
    }),
    Each::shown("tokens", "Tokens that moved.", |receipt| {
        receipt.assets.into()
    }),
    Each::shown("overlap_ms", "Time in which both delivered.", |receipt| {
        receipt.overlap_ms.into()
    })
    .unit(Unit::Millis),
    Each::shown("downtime_ms", "Time in which neither did.", |receipt| {
        receipt.downtime_ms.into()
    })
    .unit(Unit::Millis),
    Each::shown(
        "compared_ms",
        "Exchange time over which both were compared.",
        |receipt| receipt.comparison.compared_ms.into(),
    )
    .unit(Unit::Millis),
    Each::shown("old_only", "Changes only the old one brought.", |receipt| {
        receipt.comparison.old_only.into()
    }),
    Each::shown("new_only", "Changes only the new one brought.", |receipt| {
        receipt.comparison.new_only.into()
    }),
    Each::shown("both", "Changes both brought.", |receipt| {
        receipt.comparison.both.into()
    }),
    Each::shown(
        "books_compared",
        "Books that changed in that time.",
        |receipt| receipt.comparison.books_compared.into(),
    ),
    Each::shown(
        "books_equal",
        "Those of them of which both brought the same.",
        |receipt| receipt.comparison.books_equal.into(),
    ),
    Each::shown(
        "digests_equal",
        "Whether both brought the same of every book; null when none changed.",
        |receipt| receipt.comparison.digests_equal.into(),
    ),
    Each::shown("took_ms", "From the decision to the end.", |receipt| {
        receipt.took_ms.into()
    })
    .unit(Unit::Millis),
];
/// Why it was given up is a text of its own.
static OUTCOME: &[Entry<String>] = &[Entry::<String>::shown(
    "outcome",
    "`completed`, or why it was given up.",
    |outcome| (**outcome).into(),
)];

impl Record {
    /// False, and nothing is counted, if it is under way already.
    pub(super) fn begin(&mut self, connection: ConnectionId, reason: RecycleReason) -> bool {
        if !self.active.insert(connection) {
            return false;
        }
        self.initiated += 1;
        self.by_reason[reason as usize] += 1;
        true
    }

    /// It is no longer under way.
    pub(super) fn leave(&mut self, connection: ConnectionId) {
        self.active.remove(&connection);
    }

    /// It ended; with what it came to, if it was done.
    pub(super) fn end(&mut self, migration: Option<&Migration>, receipt: Receipt) {
        self.took
            .record(std::time::Duration::from_millis(receipt.took_ms), 1);
        if let Some(migration) = migration {
            let assets = count(migration.assets);
            self.completed += 1;
            self.migrated += assets;
            self.downtime_ms = self
                .downtime_ms
                .saturating_add(assets.saturating_mul(millis(migration.downtime)));
            self.overlap.record(migration.overlap, 1);
        } else {
            self.failed += 1;
        }
        self.receipts.keep(receipt);
    }

    pub(super) fn show(&self, sheet: &mut dyn Sheet) {
        sheet.table(ROWS, self);
        let active: Vec<_> = self.active.iter().map(ToString::to_string).collect();
        sheet.words(&ACTIVE, &mut active.iter().map(String::as_str));
        let reasons = RecycleReason::ALL.into_iter().zip(self.by_reason);
        let mut named = reasons.map(|(reason, count)| (reason.name(), count));
        sheet.members(&BY_REASON, &mut named);
        sheet.histogram(&OVERLAP, &self.overlap.reading());
        sheet.histogram(&TOOK, &self.took.reading());
        let receipts = self.receipts.all().into_iter();
        let receipts = receipts.map(|receipt| ("", receipt));
        sheet.each_with(&RECEIPTS, RECEIPT, receipts, |sheet, receipt| {
            let outcome = receipt.map(Receipt::outcome_text).unwrap_or_default();
            sheet.table(OUTCOME, &outcome);
        });
    }
}
