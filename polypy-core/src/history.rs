//! A short history of the top of one book.

use std::collections::VecDeque;

use serde::Serialize;

use crate::book::OrderBook;
use crate::decimal::SignedDecimal;
use crate::price::Price;
use crate::time::Timestamp;

/// Exchange time between two points.
pub const INTERVAL_MS: u64 = 30_000;
/// Points kept: 50 minutes of a market that never rests.
pub const CAPACITY: usize = 100;

/// The top of the book at one moment of exchange time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HistoryPoint {
    /// Exchange time of the change that made the point.
    pub timestamp: Timestamp,
    /// Best bid, `None` while the side was empty.
    pub best_bid: Option<Price>,
    /// Best ask, `None` while the side was empty.
    pub best_ask: Option<Price>,
    /// Best ask less best bid.
    pub spread: Option<SignedDecimal>,
    /// Mean of the two.
    pub mid_price: Option<SignedDecimal>,
}

/// At most [`CAPACITY`] points, one per [`INTERVAL_MS`] of exchange time. Holds
/// no memory until the first point.
#[derive(Debug, Clone, Default)]
pub struct TopHistory {
    /// Exchange time before which no point is taken.
    due: Timestamp,
    points: Option<Box<Points>>,
}

#[derive(Debug, Clone, Default)]
struct Points(VecDeque<HistoryPoint>);

impl TopHistory {
    /// Takes a point if the newest is at least [`INTERVAL_MS`] older. Time that
    /// runs backwards takes none.
    #[inline]
    pub fn record(&mut self, timestamp: Timestamp, book: &OrderBook) {
        if timestamp >= self.due {
            self.take(timestamp, book);
        }
    }

    #[cold]
    fn take(&mut self, timestamp: Timestamp, book: &OrderBook) {
        self.due = Timestamp::from_millis(timestamp.millis().saturating_add(INTERVAL_MS));
        let Points(points) = &mut **self.points.get_or_insert_default();
        if points.len() == CAPACITY {
            points.pop_front();
        }
        points.push_back(HistoryPoint {
            timestamp,
            best_bid: book.best_bid().map(|level| level.price),
            best_ask: book.best_ask().map(|level| level.price),
            spread: book.spread(),
            mid_price: book.mid(),
        });
    }

    /// The points, oldest first.
    pub fn points(&self) -> impl DoubleEndedIterator<Item = &HistoryPoint> {
        self.points.iter().flat_map(|points| points.0.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_point_per_thirty_seconds_and_a_hundred_kept() {
        let mut history = TopHistory::default();
        let book = OrderBook::default();
        for second in 0..4_000u64 {
            history.record(Timestamp::from_millis(second * 1_000), &book);
        }
        let stamps: Vec<_> = history
            .points()
            .map(|point| point.timestamp.millis())
            .collect();
        assert_eq!(stamps.len(), CAPACITY);
        assert!(
            stamps
                .windows(2)
                .all(|pair| pair[1] - pair[0] == INTERVAL_MS)
        );
        assert_eq!(stamps.last(), Some(&3_990_000));
    }

    #[test]
    fn time_that_runs_backwards_takes_no_point() {
        let mut history = TopHistory::default();
        history.record(Timestamp::from_millis(90_000), &OrderBook::default());
        history.record(Timestamp::from_millis(10), &OrderBook::default());
        assert_eq!(history.points().count(), 1);
    }
}
