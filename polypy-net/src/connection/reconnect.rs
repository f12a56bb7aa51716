//! What a lost socket cost: one receipt for each time a connection was without.
//!
//! An *outage* begins when a serving socket ends unasked and lasts until the
//! connection has, on another socket, a book for each asset that still has one
//! anywhere; attempts in between belong to it. The receipt says how long that
//! was, and how many of the books another connection told meanwhile.
//!
//! A socket that ends because its connection is handed over or closed is no
//! outage; an outage that ends that way is, with that outcome.

use std::collections::VecDeque;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

use crate::registry::ConnectionId;

use super::millis;

/// Receipts kept; older ones are in the log.
const KEPT: usize = 16;

/// One outage of one connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReconnectReceipt {
    /// The connection.
    pub connection: String,
    /// Why its socket ended.
    pub cause: &'static str,
    /// Assets it carried then.
    pub books: usize,
    /// Those of them that another connection told at that moment.
    pub covered: usize,
    /// Sockets that could not be opened, or ended before all books were there.
    pub attempts_failed: u64,
    /// Time until the first of its books was there again; `None` if none was.
    pub first_book_ms: Option<u64>,
    /// Time until the last of them was, or until the connection was closed.
    pub downtime_ms: u64,
    /// `recovered`, or `closed` before it could.
    pub outcome: &'static str,
}

/// An outage under way.
#[derive(Debug)]
pub(super) struct Outage {
    cause: &'static str,
    lost: Instant,
    books: usize,
    covered: usize,
    attempts_failed: u64,
    first_book: Option<Instant>,
}

impl Outage {
    pub(super) fn new(cause: &'static str, books: usize, covered: usize, now: Instant) -> Self {
        Self {
            cause,
            lost: now,
            books,
            covered,
            attempts_failed: 0,
            first_book: None,
        }
    }

    /// A socket could not be opened, or did not last.
    pub(super) fn failed(&mut self) {
        self.attempts_failed += 1;
        self.first_book = None;
    }

    /// A book is there again.
    pub(super) fn book_arrived(&mut self, now: Instant) {
        self.first_book.get_or_insert(now);
    }

    fn receipt(self, id: ConnectionId, now: Instant, outcome: &'static str) -> ReconnectReceipt {
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
    /// Books that another connection told, times milliseconds.
    covered_book_ms: u64,
    receipts: VecDeque<ReconnectReceipt>,
}

impl Reconnects {
    /// The connection has its books again.
    pub(super) fn recovered(&self, id: ConnectionId, outage: Outage, now: Instant) {
        self.keep(outage.receipt(id, now, "recovered"));
    }

    /// The connection was closed before it had.
    pub(super) fn closed(&self, id: ConnectionId, outage: Outage, now: Instant) {
        self.keep(outage.receipt(id, now, "closed"));
    }

    fn keep(&self, receipt: ReconnectReceipt) {
        tracing::info!(
            connection = %receipt.connection,
            cause = receipt.cause,
            books = receipt.books,
            covered = receipt.covered,
            attempts_failed = receipt.attempts_failed,
            first_book_ms = ?receipt.first_book_ms,
            downtime_ms = receipt.downtime_ms,
            outcome = receipt.outcome,
            "connection was without a socket"
        );
        let mut record = self.0.lock();
        if receipt.outcome == "recovered" {
            record.recovered += 1;
        } else {
            record.closed += 1;
        }
        record.downtime_ms = record.downtime_ms.saturating_add(receipt.downtime_ms);
        let covered = u64::try_from(receipt.covered).unwrap_or(u64::MAX);
        let saved = covered.saturating_mul(receipt.downtime_ms);
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

    /// A JSON object.
    pub(crate) fn stats(&self) -> serde_json::Value {
        let record = self.0.lock();
        serde_json::json!({
            "recovered": record.recovered,
            "closed": record.closed,
            "downtime_ms": record.downtime_ms,
            "covered_book_ms": record.covered_book_ms,
            "receipts": record.receipts,
        })
    }
}
