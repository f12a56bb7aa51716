//! What feeds other than the shown one tell of a book.
//!
//! Bounded: a token is on two connections at most, and one of them may be
//! handed over to a third. Takes no memory for a book that one feed alone tells.

use polypy_core::{FeedId, Timestamp};

use crate::feeds::Feeds;
use crate::queue::Mark;
use crate::stream::Stream;

/// Feeds beside the shown one.
const MOST: usize = 2;
/// Marks of feeds remembered: of every feed that may still speak.
const MOST_MARKS: usize = 4;

/// The books that are not shown, at most one a feed.
#[derive(Debug, Default)]
pub(super) struct Others(Option<Box<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    streams: Vec<Stream>,
    /// Feeds on which something was lost, and when.
    lost: Vec<(FeedId, Mark)>,
}

impl Others {
    pub(super) fn streams(&self) -> &[Stream] {
        self.0.as_deref().map_or(&[], |inner| &inner.streams)
    }

    pub(super) fn get(&self, feed: FeedId) -> Option<&Stream> {
        self.streams().iter().find(|stream| stream.feed == feed)
    }

    pub(super) fn get_mut(&mut self, feed: FeedId) -> Option<&mut Stream> {
        let inner = self.0.as_deref_mut()?;
        inner.streams.iter_mut().find(|stream| stream.feed == feed)
    }

    /// Keeps a stream in place of its feed's last one. With too many, one of a
    /// closed feed goes, or the one that is furthest behind.
    pub(super) fn keep(&mut self, stream: Stream, feeds: &Feeds) {
        let inner = self.0.get_or_insert_default();
        inner.streams.retain(|known| known.feed != stream.feed);
        inner.streams.push(stream);
        if inner.streams.len() > MOST {
            inner
                .streams
                .retain(|known| feeds.closed(known.feed).is_none());
        }
        while inner.streams.len() > MOST {
            let last = (0..inner.streams.len()).min_by_key(|at| inner.streams[*at].newest);
            inner.streams.remove(last.unwrap_or(0));
        }
    }

    pub(super) fn take(&mut self, feed: FeedId) -> Option<Stream> {
        let streams = &mut self.0.as_deref_mut()?.streams;
        let at = streams.iter().position(|stream| stream.feed == feed)?;
        Some(streams.swap_remove(at))
    }

    /// Lets go of streams whose snapshots are older than a mark.
    pub(super) fn drop_before(&mut self, stamp: u64) {
        if let Some(inner) = self.0.as_deref_mut() {
            inner.streams.retain(|stream| stream.rare.stamp >= stamp);
        }
    }

    /// Something was lost on a feed.
    pub(super) fn note_lost(&mut self, feed: FeedId, mark: Mark, feeds: &Feeds) {
        let inner = self.0.get_or_insert_default();
        inner
            .streams
            .retain(|stream| stream.feed != feed || stream.rare.stamp >= mark.stamp);
        inner
            .lost
            .retain(|(known, _)| *known != feed && feeds.closed(*known).is_none());
        if inner.lost.len() == MOST_MARKS {
            inner.lost.remove(0);
        }
        inner.lost.push((feed, mark));
    }

    /// The newest mark of a feed.
    pub(super) fn lost_on(&self, feed: FeedId) -> Option<Mark> {
        let lost = &self.0.as_deref()?.lost;
        let found = lost.iter().find(|(known, _)| *known == feed);
        found.map(|(_, mark)| *mark)
    }

    /// Forgets every stream.
    pub(super) fn clear(&mut self) {
        if let Some(inner) = self.0.as_deref_mut() {
            inner.streams.clear();
        }
    }

    /// The feed that has come furthest of those that `is_wanted`, the youngest
    /// of equals.
    pub(super) fn furthest(&self, is_wanted: impl Fn(&Stream) -> bool) -> Option<FeedId> {
        let wanted = self.streams().iter().filter(|stream| is_wanted(stream));
        let place = |stream: &&Stream| -> (Timestamp, FeedId) { (stream.newest, stream.feed) };
        wanted.max_by_key(place).map(|stream| stream.feed)
    }
}

#[cfg(test)]
mod tests {
    use polypy_core::{OrderBook, StaleReason};

    use super::*;

    fn stream(feed: u64, newest: u64) -> Stream {
        let newest = Timestamp::from_millis(newest);
        Stream::new(FeedId(feed), feed, OrderBook::default(), newest, None)
    }

    fn kept(others: &Others) -> Vec<u64> {
        let mut feeds: Vec<_> = others.streams().iter().map(|known| known.feed.0).collect();
        feeds.sort_unstable();
        feeds
    }

    #[test]
    fn of_too_many_the_closed_go_first_then_the_furthest_behind() {
        let feeds = Feeds::new(1);
        for feed in 1..=4 {
            feeds.open(FeedId(feed));
        }
        let mut others = Others::default();
        others.keep(stream(1, 50), &feeds);
        others.keep(stream(2, 20), &feeds);
        others.keep(stream(2, 30), &feeds);
        assert_eq!(kept(&others), [1, 2]);
        others.keep(stream(3, 40), &feeds);
        assert_eq!(kept(&others), [1, 3]);
        feeds.close(FeedId(1), StaleReason::Disconnected);
        others.keep(stream(4, 10), &feeds);
        assert_eq!(kept(&others), [3, 4]);
        assert_eq!(others.furthest(|_| true), Some(FeedId(3)));
        assert_eq!(others.furthest(|known| known.feed.0 == 4), Some(FeedId(4)));
        others.drop_before(4);
        assert_eq!(kept(&others), [4]);
    }

    #[test]
    fn a_mark_lets_go_of_its_own_feed_and_is_remembered_while_that_is_open() {
        let feeds = Feeds::new(1);
        feeds.open(FeedId(1));
        feeds.open(FeedId(2));
        let mut others = Others::default();
        others.keep(stream(1, 1), &feeds);
        others.keep(stream(2, 1), &feeds);
        let mark = |stamp| Mark {
            stamp,
            reason: StaleReason::Dropped,
        };
        others.note_lost(FeedId(1), mark(9), &feeds);
        assert_eq!(kept(&others), [2]);
        assert_eq!(others.lost_on(FeedId(1)), Some(mark(9)));
        feeds.close(FeedId(1), StaleReason::Disconnected);
        others.note_lost(FeedId(2), mark(10), &feeds);
        assert_eq!(others.lost_on(FeedId(1)), None);
        assert_eq!(kept(&others), Vec::<u64>::new());
    }
}
