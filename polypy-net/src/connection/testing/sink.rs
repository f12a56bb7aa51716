//! Takes what connections deliver, and knows which feeds keep each book.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use polypy_core::{AssetKey, EventSink, FeedId, MarketEvent, StaleReason};

/// What the sink was told, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    Opened(FeedId),
    Closed(FeedId),
    /// Feed, assets with a book, other events.
    Delivered(FeedId, Vec<AssetKey>, usize),
    Stale(FeedId, Vec<AssetKey>, StaleReason),
    /// Feed, suspensions.
    Resumed(FeedId, u64),
}

/// Takes what workers would take, and remembers it in order. It keeps no books: what
/// readers see of a book is for the workers to say. It knows only which feeds keep one.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    told: Mutex<Vec<Told>>,
    feeds: Mutex<Feeds>,
}

#[derive(Debug, Default)]
struct Feeds {
    open: BTreeSet<FeedId>,
    /// Feeds never come back.
    closed: BTreeSet<FeedId>,
    keepers: Keepers,
}

/// The open feeds that keep each book: from a snapshot of it to a mark on it, or to
/// the feed's end.
#[derive(Debug, Default)]
struct Keepers(BTreeMap<AssetKey, BTreeSet<FeedId>>);

impl Keepers {
    fn note(&mut self, told: &Told) {
        match told {
            Told::Delivered(feed, whole, _) => {
                for asset in whole {
                    self.0.entry(*asset).or_default().insert(*feed);
                }
            }
            Told::Closed(feed) => self.0.values_mut().for_each(|by| {
                by.remove(feed);
            }),
            Told::Stale(feed, marked, _) => {
                for asset in marked {
                    self.0.entry(*asset).or_default().remove(feed);
                }
            }
            Told::Opened(_) | Told::Resumed(..) => {}
        }
    }

    fn has(&self, asset: AssetKey) -> bool {
        self.0.get(&asset).is_some_and(|by| !by.is_empty())
    }
}

impl Recorder {
    fn tell(&self, feeds: &mut Feeds, told: Told) {
        feeds.keepers.note(&told);
        self.told.lock().push(told);
    }

    pub(crate) fn all(&self) -> Vec<Told> {
        self.told.lock().clone()
    }

    pub(crate) fn open_feeds(&self) -> BTreeSet<FeedId> {
        self.feeds.lock().open.clone()
    }

    pub(crate) fn feeds(&self) -> usize {
        let opened = |told: &&Told| matches!(told, Told::Opened(_));
        self.told.lock().iter().filter(opened).count()
    }

    /// The books that an open feed keeps.
    pub(crate) fn books(&self) -> BTreeSet<AssetKey> {
        let feeds = self.feeds.lock();
        let known = feeds.keepers.0.keys().copied();
        known.filter(|asset| feeds.keepers.has(*asset)).collect()
    }

    /// The open feeds that keep each book.
    pub(crate) fn keepers(&self) -> BTreeMap<AssetKey, BTreeSet<FeedId>> {
        self.feeds.lock().keepers.0.clone()
    }

    /// From what was told `from` on: none of these books was ever without a feed that
    /// keeps it, not even for a moment that no reader would meet.
    pub(crate) fn assert_kept(&self, assets: &[AssetKey], from: usize) {
        let mut keepers = Keepers::default();
        for (at, told) in self.told.lock().iter().enumerate() {
            keepers.note(told);
            let lost = assets.iter().find(|asset| !keepers.has(**asset));
            assert!(at < from || lost.is_none(), "{lost:?} at {at}: {told:?}");
        }
    }
}

impl EventSink for Recorder {
    fn deliver(&self, feed: FeedId, events: &mut Vec<MarketEvent>) {
        let mut feeds = self.feeds.lock();
        assert!(
            feeds.open.contains(&feed),
            "{feed} delivers and is not open"
        );
        let mut whole = Vec::new();
        let mut others = 0;
        for event in events.drain(..) {
            match event {
                MarketEvent::Book(book) => whole.push(book.info.key),
                MarketEvent::PriceChange(_)
                | MarketEvent::Trade(_)
                | MarketEvent::TickSizeChange(_)
                | MarketEvent::BestBidAsk(_) => others += 1,
            }
        }
        self.tell(&mut feeds, Told::Delivered(feed, whole, others));
    }

    fn feed_opened(&self, feed: FeedId) {
        let mut feeds = self.feeds.lock();
        assert!(!feeds.closed.contains(&feed), "{feed} came back");
        assert!(feeds.open.insert(feed), "{feed} opens twice");
        self.tell(&mut feeds, Told::Opened(feed));
    }

    fn feed_closed(&self, feed: FeedId, _reason: StaleReason) {
        let mut feeds = self.feeds.lock();
        assert!(feeds.open.remove(&feed), "{feed} closes and is not open");
        feeds.closed.insert(feed);
        self.tell(&mut feeds, Told::Closed(feed));
    }

    fn mark_feed_stale(&self, feed: FeedId, assets: &[AssetKey], reason: StaleReason) {
        let mut feeds = self.feeds.lock();
        assert!(
            feeds.open.contains(&feed),
            "{feed} is marked and is not open"
        );
        self.tell(&mut feeds, Told::Stale(feed, assets.to_vec(), reason));
    }

    fn feed_resumed(&self, feed: FeedId, suspensions: u64) {
        let mut feeds = self.feeds.lock();
        self.tell(&mut feeds, Told::Resumed(feed, suspensions));
    }
}
