//! What a lost socket cost: one receipt for each time a connection was without.
//!
//! An *outage* begins when a serving socket ends unasked and lasts until the
//! connection has, on another socket, a book for each asset that still has one
//! anywhere; attempts in between belong to it. The receipt says how long that
//! was, and how many of the books another connection delivered meanwhile.
//!
//! A socket that ends because its connection is handed over or closed is no
//! outage; an outage that ends that way is one, with that outcome.

use std::collections::VecDeque;

use parking_lot::Mutex;
use polypy_core::metrics::{Entry, List, Sheet, Unit};
use tokio::time::Instant;

use crate::counter::{count, millis};
use crate::registry::ConnectionId;

use super::state::AwaitedBook;

/// Receipts kept; older ones are in the log.
const KEPT: usize = 16;

/// How an outage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutageOutcome {
    /// Every book that exists was there again.
    Recovered,
    /// The connection was closed before.
    Closed,
}

impl OutageOutcome {
    /// Its name in the log and in `/stats`.
    fn name(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Closed => "closed",
        }
    }
}

/// One outage of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReconnectReceipt {
    /// The connection.
    pub connection: String,
    /// Why its socket ended.
    pub cause: &'static str,
    /// Assets it carried then.
    pub books: usize,
    /// Those of them that another connection delivered at that moment.
    pub covered: usize,
    /// Sockets that could not be opened, or ended before all books were there.
    pub attempts_failed: u64,
    /// Time until the first of its books was there again; `None` if none was.
    pub first_book_ms: Option<u64>,
    /// Time until the last of them was, or until the connection was closed.
    pub downtime_ms: u64,
    /// How it ended.
    pub outcome: OutageOutcome,
}

/// Whether a connection is in an outage, from socket to socket.
#[derive(Debug, Default)]
pub(super) struct OutageWatch(Option<Outage>);

/// An outage under way.
#[derive(Debug)]
struct Outage {
    cause: &'static str,
    lost: Instant,
    books: usize,
    covered: usize,
    attempts_failed: u64,
    first_book: Option<Instant>,
}

impl OutageWatch {
    /// A socket of a connection that carries so many `books` ended unasked: an
    /// outage begins, or goes on. `covered` are those that another connection
    /// delivers.
    pub(super) fn lost(
        &mut self,
        cause: &'static str,
        books: usize,
        covered: impl FnOnce() -> usize,
        now: Instant,
    ) {
        match &mut self.0 {
            Some(outage) => outage.failed(),
            None => {
                self.0 = Some(Outage {
                    cause,
                    lost: now,
                    books,
                    covered: covered(),
                    attempts_failed: 0,
                    first_book: None,
                });
            }
        }
    }

    /// An attempt of an outage under way came to nothing.
    pub(super) fn failed(&mut self) {
        if let Some(outage) = &mut self.0 {
            outage.failed();
        }
    }

    /// Of so many assets these are without the feed's own book: the outage may be
    /// over.
    pub(super) fn note_books(
        &mut self,
        carried: usize,
        awaited: &[AwaitedBook],
        id: ConnectionId,
        reconnects: &Reconnects,
    ) {
        let Some(outage) = &mut self.0 else {
            return;
        };
        let now = Instant::now();
        let bookless = awaited.iter().filter(|book| !book.has_snapshot).count();
        if bookless < carried {
            outage.first_book.get_or_insert(now);
        }
        if Self::is_over(awaited)
            && let Some(outage) = self.0.take()
        {
            reconnects.keep(outage.receipt(id, now, OutageOutcome::Recovered));
        }
    }

    /// Whether a connection that waits for these has all books that exist.
    pub(super) fn is_over(awaited: &[AwaitedBook]) -> bool {
        !awaited.iter().any(AwaitedBook::is_retryable)
    }

    /// The connection is closed.
    pub(super) fn closed(&mut self, id: ConnectionId, reconnects: &Reconnects) {
        if let Some(outage) = self.0.take() {
            reconnects.keep(outage.receipt(id, Instant::now(), OutageOutcome::Closed));
        }
    }
}

impl Outage {
    fn failed(&mut self) {
        self.attempts_failed += 1;
        self.first_book = None;
    }

    fn receipt(self, id: ConnectionId, now: Instant, outcome: OutageOutcome) -> ReconnectReceipt {
        let since = |at: Instant| millis(at.saturating_duration_since(self.lost));
        ReconnectReceipt {
            connection: id.to_string(),
            cause: self.cause,
            books: self.books,
            covered: self.covered,
            attempts_failed: self.attempts_failed,
            first_book_ms: self.first_book.map(since),
            downtime_ms: since(now),
            outcome,
        }
    }
}

/// The newest receipts of all connections, and how many there ever were.
#[derive(Debug, Default)]
pub(crate) struct Reconnects(Mutex<Record>);

#[derive(Debug, Default)]
struct Record {
    recovered: u64,
    closed: u64,
    downtime_ms: u64,
    /// Books that another connection delivered, times milliseconds.
    covered_book_ms: u64,
    receipts: VecDeque<ReconnectReceipt>,
}

impl Reconnects {
    fn keep(&self, receipt: ReconnectReceipt) {
        tracing::debug!(
            connection = %receipt.connection,
            cause = receipt.cause,
            books = receipt.books,
            covered = receipt.covered,
            attempts_failed = receipt.attempts_failed,
            first_book_ms = receipt.first_book_ms,
            downtime_ms = receipt.downtime_ms,
            outcome = receipt.outcome.name(),
            "connection was without a socket"
        );
        let mut record = self.0.lock();
        match receipt.outcome {
            OutageOutcome::Recovered => record.recovered += 1,
            OutageOutcome::Closed => record.closed += 1,
        }
        record.downtime_ms = record.downtime_ms.saturating_add(receipt.downtime_ms);
        let saved = count(receipt.covered).saturating_mul(receipt.downtime_ms);
        record.covered_book_ms = record.covered_book_ms.saturating_add(saved);
        if record.receipts.len() == KEPT {
            record.receipts.pop_front();
        }
        record.receipts.push_back(receipt);
    }

    /// The newest receipts, oldest first.
    pub(crate) fn receipts(&self) -> Vec<ReconnectReceipt> {
        self.0.lock().receipts.iter().cloned().collect()
    }

    /// Shows all of them together, and the newest receipts.
    pub(crate) fn show(&self, sheet: &mut dyn Sheet) {
        let record = self.0.lock();
        sheet.table(ROWS, &*record);
        let receipts = record.receipts.iter().cloned();
        sheet.each(&RECEIPTS, RECEIPT, receipts.map(|receipt| ("", receipt)));
    }
}

type Counted = Entry<Record>;
type Each = Entry<ReconnectReceipt>;

const OUTAGES: &str = "Times a connection was without a socket, by how that ended.";
static ROWS: &[Counted] = &[
    Counted::counter(
        "recovered",
        "polypy_outages_total",
        "Times a connection was without a socket and got every book again.",
        |record| record.recovered.into(),
    )
    .label("outcome=\"recovered\"")
    .family(OUTAGES),
    Counted::counter(
        "closed",
        "polypy_outages_total",
        "Times that the connection was closed before.",
        |record| record.closed.into(),
    )
    .label("outcome=\"closed\"")
    .family(OUTAGES),
    Counted::counter(
        "downtime_ms",
        "polypy_outage_seconds_total",
        "How long connections were without a socket or books, all together.",
        |record| record.downtime_ms.into(),
    )
    .unit(Unit::Millis),
    Counted::counter(
        "covered_book_ms",
        "polypy_outage_covered_book_seconds_total",
        "Books that another connection brought meanwhile, times how long.",
        |record| record.covered_book_ms.into(),
    )
    .unit(Unit::Millis),
];
static RECEIPTS: List = List::array("receipts", "The newest of them.");
static RECEIPT: &[Each] = &[
    Each::shown("connection", "Which one.", |receipt| {
        (*receipt.connection).into()
    }),
    Each::shown("cause", "Why its socket ended.", |receipt| {
        receipt.cause.into()
    }),
    Each::shown("books", "Tokens it carried then.", |receipt| {
        receipt.books.into()
    }),
    Each::shown(
        "covered",
        "Those of them that another connection brought.",
        |receipt| receipt.covered.into(),
    ),
    Each::shown(
        "attempts_failed",
        "Sockets that came to nothing meanwhile.",
        |receipt| receipt.attempts_failed.into(),
    ),
    Each::shown(
        "first_book_ms",
        "Until the first book was there again; null if none was.",
        |receipt| receipt.first_book_ms.into(),
    )
    .unit(Unit::Millis),
    Each::shown("downtime_ms", "Until the last book was.", |receipt| {
        receipt.downtime_ms.into()
    })
    .unit(Unit::Millis),
    Each::shown("outcome", "How it ended.", |receipt| {
        receipt.outcome.name().into()
    }),
];
