//! What is kept of each replacement.

use std::collections::VecDeque;

use crate::connection::Comparison;
use crate::counter::millis;
use crate::pool::{Migration, RecycleError};
use crate::registry::ConnectionId;

/// Receipts kept; older ones are in the log.
const KEPT: usize = 16;

/// Why a connection was to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RecycleReason {
    /// Too many of its assets belong to ended markets.
    Pollution,
    /// It is old.
    Age,
    /// It has been unhealthy for a while.
    Unhealthy,
    /// It trails the other connection that carries the same assets.
    Lagging,
    /// Someone asked for it.
    Request,
}

impl RecycleReason {
    /// Every reason, in the order of their counters.
    pub(super) const ALL: [Self; 5] = [
        Self::Pollution,
        Self::Age,
        Self::Unhealthy,
        Self::Lagging,
        Self::Request,
    ];

    /// The reason's name as JSON and the log show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pollution => "pollution",
            Self::Age => "age",
            Self::Unhealthy => "unhealthy",
            Self::Lagging => "lagging",
            Self::Request => "request",
        }
    }
}

/// One replacement, however it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The connection that was to be replaced.
    pub connection: String,
    /// The one that took over.
    pub replacement: Option<String>,
    /// Why.
    pub reason: RecycleReason,
    /// Assets that moved.
    pub assets: usize,
    /// Time in which both delivered.
    pub overlap_ms: u64,
    /// Time in which neither did.
    pub downtime_ms: u64,
    /// How both told the same books while both did.
    pub comparison: Comparison,
    /// Time from the decision to the end.
    pub took_ms: u64,
    /// Whether it was replaced; why not. Shown as `completed`, or as the error's text.
    pub outcome: Result<(), RecycleError>,
}

impl Receipt {
    /// The receipt for a replacement of `connection`.
    pub(super) fn new(
        connection: ConnectionId,
        reason: RecycleReason,
        result: &Result<Migration, RecycleError>,
        took_ms: u64,
    ) -> Self {
        let migration = result.as_ref().ok();
        Self {
            connection: connection.to_string(),
            replacement: migration.map(|migration| migration.to.to_string()),
            reason,
            assets: migration.map_or(0, |migration| migration.assets),
            overlap_ms: migration.map_or(0, |migration| millis(migration.overlap)),
            downtime_ms: migration.map_or(0, |migration| millis(migration.downtime)),
            comparison: migration
                .map(|migration| migration.comparison.clone())
                .unwrap_or_default(),
            took_ms,
            outcome: result.as_ref().map(|_| ()).map_err(Clone::clone),
        }
    }

    /// How it went, in words.
    pub(super) fn outcome_text(&self) -> String {
        match &self.outcome {
            Ok(()) => "completed".to_owned(),
            Err(error) => error.to_string(),
        }
    }
}

/// The newest receipts, oldest first.
#[derive(Debug, Default)]
pub(super) struct Receipts(VecDeque<Receipt>);

impl Receipts {
    pub(super) fn keep(&mut self, receipt: Receipt) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(receipt);
    }

    pub(super) fn all(&self) -> Vec<Receipt> {
        self.0.iter().cloned().collect()
    }
}
