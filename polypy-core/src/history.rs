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
/// Points that the first allocation has room for: four minutes of a busy market.
const FIRST_CAPACITY: usize = 8;

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

/// At most [`CAPACITY`] points, one per [`INTERVAL_MS`] of exchange time. Allocates
/// nothing before the first point.
#[derive(Debug, Clone, Default)]
#[repr(C)]
pub struct TopHistory {
    /// The points, then spare room; a ring once there are [`CAPACITY`] of them. Where
    /// many books change seldom, nearly every change records a point: recording
    /// writes one and reads none.
    points: Box<[Point]>,
    /// Exchange time before which no point is recorded: the lower 32 bits of its
    /// milliseconds, to keep small what every change reads.
    due: u32,
    len: u8,
    /// Index of the oldest point.
    oldest: u8,
}

/// What a [`HistoryPoint`] is computed from, in sixteen bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Point {
    timestamp: Timestamp,
    /// In millionths; [`NO_PRICE`] while the side was empty.
    best_bid: u32,
    best_ask: u32,
}

/// Above every price.
const NO_PRICE: u32 = u32::MAX;

/// The lower 32 bits of a time in milliseconds, which start again every 49 days.
#[expect(clippy::cast_possible_truncation, reason = "that is the purpose")]
fn low_bits(timestamp: Timestamp) -> u32 {
    timestamp.millis() as u32
}

impl TopHistory {
    /// Records a point if the newest is at least [`INTERVAL_MS`] older. An earlier time
    /// records none, unless it is earlier by more than [`INTERVAL_MS`]: the venue's
    /// clock was wrong before, or is now, and the history continues from the new time.
    #[inline]
    pub fn record(&mut self, timestamp: Timestamp, book: &OrderBook) {
        if self.is_due(timestamp) {
            self.push(timestamp, book);
        }
    }

    #[inline]
    fn is_due(&self, timestamp: Timestamp) -> bool {
        let wait = self.due.wrapping_sub(low_bits(timestamp));
        // More than half of what 32 bits hold is a time that has passed.
        wait == 0 || u64::from(wait) > 2 * INTERVAL_MS || self.len == 0
    }

    #[inline(never)]
    fn push(&mut self, timestamp: Timestamp, book: &OrderBook) {
        self.due = low_bits(timestamp).wrapping_add(INTERVAL);
        let best = |side| book.best_price(side).map_or(NO_PRICE, Price::millionths);
        let point = Point {
            timestamp,
            best_bid: best(Side::Bid),
            best_ask: best(Side::Ask),
        };
        let at = self.next_index();
        if at == self.points.len() {
            self.grow();
        }
        self.points[at] = point;
        if usize::from(self.len) < CAPACITY {
            self.len += 1;
        } else {
            self.oldest = u8::try_from((at + 1) % CAPACITY).unwrap_or(0);
        }
    }

    /// Index that the next point is written to.
    #[inline]
    fn next_index(&self) -> usize {
        let is_full = usize::from(self.len) == CAPACITY;
        usize::from(if is_full { self.oldest } else { self.len })
    }

    fn grow(&mut self) {
        let len = self.points.len();
        let mut points = std::mem::take(&mut self.points).into_vec();
        points.reserve_exact(len.max(FIRST_CAPACITY).min(CAPACITY - len));
        points.resize(points.capacity().min(CAPACITY), Point::default());
        self.points = points.into_boxed_slice();
    }

    /// Reads where a point of this time would be written, if one is due, so that it is
    /// in the cache by then: see [`OrderBook::prefetch`].
    #[inline]
    pub fn prefetch(&self, timestamp: Timestamp) -> u64 {
        if !self.is_due(timestamp) {
            return 0;
        }
        let point = self.points.get(self.next_index());
        point.map_or(0, |point| point.timestamp.millis())
    }

    /// The points, oldest first.
    pub fn points(&self) -> impl DoubleEndedIterator<Item = HistoryPoint> + '_ {
        let points = &self.points[..usize::from(self.len)];
        let (newer, older) = points.split_at(usize::from(self.oldest));
        older.iter().chain(newer).map(|point| point.expand())
    }
}

impl Point {
    fn expand(&self) -> HistoryPoint {
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

    fn recorded(stamps: &[u64]) -> Vec<u64> {
        let mut history = TopHistory::default();
        for stamp in stamps {
            history.record(Timestamp::from_millis(*stamp), &OrderBook::default());
        }
        let points = history.points();
        points.map(|point| point.timestamp.millis()).collect()
    }

    #[test]
    fn a_point_is_due_thirty_seconds_after_the_last_or_thirty_before_it() {
        const NEWEST: u64 = 1_000_000;
        for (next, is_recorded) in [
            (NEWEST, false),
            (NEWEST + 29_999, false),
            (NEWEST + 30_000, true),
            (NEWEST - 30_000, false),
            (NEWEST - 30_001, true),
        ] {
            let points = recorded(&[NEWEST, next]);
            assert_eq!(points.len() == 2, is_recorded, "{next}");
        }
        // The next is due by the newest, not by the first.
        assert_eq!(recorded(&[0, 45_000, 70_000]), [0, 45_000]);
    }

    #[test]
    fn a_point_holds_the_top_and_what_follows_from_it() {
        let mut book = OrderBook::default();
        let mut history = TopHistory::default();
        let mut set = |side, at: &str, time| {
            book.apply_change(side, at.parse().unwrap(), "1".parse().unwrap());
            history.record(Timestamp::from_millis(time), &book);
        };
        set(Side::Bid, "0.4", 0);
        set(Side::Ask, "0.5", 30_000);
        let points: Vec<_> = history.points().collect();
        let shown = |price: Option<Price>| price.map(|price| price.to_string());
        assert_eq!(shown(points[0].best_bid).as_deref(), Some("0.4"));
        assert_eq!(
            (points[0].best_ask, points[0].spread, points[0].mid_price),
            (None, None, None)
        );
        assert_eq!(shown(points[1].best_ask).as_deref(), Some("0.5"));
        assert_eq!(points[1].spread.unwrap().to_string(), "0.1");
        assert_eq!(points[1].mid_price.unwrap().to_string(), "0.45");
    }

    #[test]
    fn memory_doubles_up_to_a_hundred_points() {
        let mut history = TopHistory::default();
        let mut seen = vec![0];
        for point in 0..250 {
            let time = Timestamp::from_millis(point * INTERVAL_MS);
            history.record(time, &OrderBook::default());
            if seen.last() != Some(&history.points.len()) {
                seen.push(history.points.len());
            }
        }
        assert_eq!(seen, [0, 8, 16, 32, 64, 100]);
        let stamps = history
            .points()
            .map(|point| point.timestamp.millis() / INTERVAL_MS);
        assert!(stamps.eq(150..250));
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
