//! One table of numbers for everyone who shows them.
//!
//! ```text
//! part: counters ── ROWS: key, metric, labels, kind, unit, help, how it is read
//!                     │
//!                     ▼  StatsSource::show
//!                   Sheet ──► JSON        /stats
//!                         ├─► exposition  /metrics
//!                         └─► manual      docs/metrics.md
//! ```
//!
//! A [`Row`] says what a number is, an [`Entry`] also how it is read from the part
//! that counts it. A part shows its rows on a [`Sheet`] and does not know which one
//! it is: so the three cannot drift apart.
//!
//! Counting costs a relaxed load and store, or one addition where several threads
//! count ([`Counter`], [`Histogram`]). Rows are looked at when somebody asks.

mod counter;
mod histogram;
mod json;
mod manual;
mod row;
mod sheet;

pub use counter::{Counter, Gauge, count, millis, ratio};
pub use histogram::{BUCKETS, Histogram, Reading, Span};
pub use json::{JsonSheet, write_count};
pub use manual::{ManualLine, ManualSheet};
pub use row::{Entry, Kind, List, Number, Part, Row, Unit};
pub use sheet::Sheet;

/// What is said of `polypy_events_dropped_total`, a family of several parts.
pub const DROPPED: &str = "Events that reached no book, by the stage that dropped them.";

#[cfg(test)]
mod sheet_tests;
