//! A short history of the top of one book.

use serde::Serialize;

use crate::book::{self, OrderBook};
use crate::decimal::SignedDecimal;
use crate::level::Side;
use crate::price::Price;
use crate::time::Timestamp;

/// Exchange time between two points.
pub const INTERVAL_MS: u64 = 30_000;
const INTERVAL: u32 = 30_000;
const _: () = assert!(INTERVAL as u64 == INTERVAL_MS, "one number in two types");
/// Points kept: 50 minutes of a market that never rests.
pub const CAPACITY: usize = 100;
/// Points that memory is taken for at first: four minutes of a busy market.
const FIRST: usize = 8;

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
#[repr(C)]
pub struct TopHistory {
    /// The points, then room for more; a ring once there are [`CAPACITY`] of them.
    /// Of many books that change seldom nearly every change makes a point, so that
    /// what is here is written without being looked at.
    points: Box<[Point]>,
    /// Exchange time before which no point is taken, in milliseconds less all but 32
    /// bits: books keep no more than they must where every change reads.
    due: u32,
    len: u8,
    /// Where the oldest stands.
    oldest: u8,
}

/// What the others can be computed from, in sixteen bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Point {
    timestamp: Timestamp,
    /// In millionths; [`NOBODY`] while the side was empty.
    best_bid: u32,
    best_ask: u32,
}

/// Above every price.
const NOBODY: u32 = u32::MAX;

/// The lower 32 bits of a time in milliseconds, which begin anew every 49 days.
#[expect(clippy::cast_possible_truncation, reason = "that is the purpose")]
fn low_bits(timestamp: Timestamp) -> u32 {
    timestamp.millis() as u32
}

impl TopHistory {
    /// Takes a point if the newest is at least [`INTERVAL_MS`] older. Time that runs
    /// backwards takes none, unless by more than that: then the venue's clock was
    /// wrong before, or is now, and the history goes on from there.
    #[inline]
    pub fn record(&mut self, timestamp: Timestamp, book: &OrderBook) {
        if self.is_due(timestamp) {
            self.take(timestamp, book);
        }
    }

    #[inline]
    fn is_due(&self, timestamp: Timestamp) -> bool {
        let wait = self.due.wrapping_sub(low_bits(timestamp));
        // More than half of what 32 bits hold is a time that has passed.
        wait == 0 || u64::from(wait) > 2 * INTERVAL_MS || self.len == 0
    }

    #[inline(never)]
    fn take(&mut self, timestamp: Timestamp, book: &OrderBook) {
        self.due = low_bits(timestamp).wrapping_add(INTERVAL);
        let best = |side| book.best_price(side).map_or(NOBODY, Price::millionths);
        let point = Point {
            timestamp,
            best_bid: best(Side::Bid),
            best_ask: best(Side::Ask),
        };
        let at = self.next();
        if at == self.points.len() {
            self.make_room();
        }
        self.points[at] = point;
        if usize::from(self.len) < CAPACITY {
            self.len += 1;
        } else {
            self.oldest = u8::try_from((at + 1) % CAPACITY).unwrap_or(0);
        }
    }

    /// Where the next point goes.
    #[inline]
    fn next(&self) -> usize {
        let is_full = usize::from(self.len) == CAPACITY;
        usize::from(if is_full { self.oldest } else { self.len })
    }

    fn make_room(&mut self) {
        let len = self.points.len();
        let mut points = std::mem::take(&mut self.points).into_vec();
        points.reserve_exact(len.max(FIRST).min(CAPACITY - len));
        points.resize(points.capacity().min(CAPACITY), Point::default());
        self.points = points.into_boxed_slice();
    }

    /// Reads where a point of this time would go, if one is due then, so that it is
    /// in the cache when it is taken: see [`OrderBook::touch`].
    #[inline]
    pub fn touch(&self, timestamp: Timestamp) -> u64 {
        if !self.is_due(timestamp) {
            return 0;
        }
        let place = self.points.get(self.next());
        place.map_or(0, |point| point.timestamp.millis())
    }

    /// The points, oldest first.
    pub fn points(&self) -> impl DoubleEndedIterator<Item = HistoryPoint> + '_ {
        let points = &self.points[..usize::from(self.len)];
        let (newer, older) = points.split_at(usize::from(self.oldest));
        older.iter().chain(newer).map(|point| point.shown())
    }
}

impl Point {
    fn shown(&self) -> HistoryPoint {
        let timestamp = self.timestamp;
        let best_bid = Price::from_millionths(self.best_bid);
        let best_ask = Price::from_millionths(self.best_ask);
        let both = best_bid.zip(best_ask);
        HistoryPoint {
            timestamp,
            best_bid,
            best_ask,
            spread: both.map(|(bid, ask)| book::spread(bid, ask)),
            mid_price: both.map(|(bid, ask)| book::mid(bid, ask)),
        }
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
        history.record(Timestamp::from_millis(60_000), &OrderBook::default());
        history.record(Timestamp::from_millis(119_999), &OrderBook::default());
        assert_eq!(history.points().count(), 1);
    }

    #[test]
    fn one_time_far_ahead_does_not_end_the_history() {
        for ahead in [9_999_999_999_999, u64::MAX] {
            let mut history = TopHistory::default();
            history.record(Timestamp::from_millis(ahead), &OrderBook::default());
            for second in 0..100 {
                let time = Timestamp::from_millis(1_000_000 + second * 1_000);
                history.record(time, &OrderBook::default());
            }
            let stamps = history.points().map(|point| point.timestamp.millis());
            let after = [1_000_000, 1_030_000, 1_060_000, 1_090_000];
            assert!(stamps.eq([ahead].into_iter().chain(after)));
        }
    }
}
