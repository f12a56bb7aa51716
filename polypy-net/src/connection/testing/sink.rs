//! Takes what connections deliver, and keeps of each book what readers would see.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parking_lot::Mutex;
use polypy_core::{AssetKey, EventSink, FeedId, MarketEvent, StaleReason, Timestamp};
use tokio::time::Instant;

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

/// Takes what workers would take, remembers it, and keeps of each book what the
/// feed rule needs: see [`Shown`].
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    told: Mutex<Vec<Told>>,
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    open: BTreeSet<FeedId>,
    /// Feeds never come back.
    closed: BTreeSet<FeedId>,
    by_asset: BTreeMap<AssetKey, Shown>,
}

/// One book by the feed rule of the workers (decision 7): each feed has a copy of
/// its own, begun by that feed's snapshot, changed by that feed's changes, and gone
/// with its close or a mark on it. Of the copies the one that has come furthest in
/// exchange time is shown; of equals the one that is shown already. A book is live
/// while there is a copy; one that was without is live again as soon as a copy
/// has come as far as what was shown before, or had [`CATCH_UP`] for it.
#[derive(Debug, Default)]
struct Shown {
    copies: BTreeMap<FeedId, Timestamp>,
    feed: Option<FeedId>,
    /// What was shown last, once no copy is left, and the copies' time to reach it.
    behind: Option<(Timestamp, Option<Instant>)>,
}

/// What workers give a snapshot that is older than what was shown before it.
const CATCH_UP: Duration = Duration::from_secs(5);

impl Shown {
    fn snapshot(&mut self, feed: FeedId, timestamp: Timestamp) {
        let newest = self.copies.entry(feed).or_insert(timestamp);
        *newest = timestamp.max(*newest);
        if let Some((_, since)) = &mut self.behind {
            since.get_or_insert_with(Instant::now);
        }
        self.arbitrate();
    }

    fn change(&mut self, feed: FeedId, timestamp: Timestamp) {
        if let Some(newest) = self.copies.get_mut(&feed) {
            *newest = timestamp.max(*newest);
            self.arbitrate();
        }
    }

    fn lose(&mut self, feed: FeedId) {
        let Some(lost) = self.copies.remove(&feed) else {
            return;
        };
        if self.copies.is_empty() {
            let before = self.behind.map_or(lost, |(before, _)| before.max(lost));
            self.behind = Some((before, None));
            self.feed = None;
        } else if self.feed == Some(feed) {
            self.feed = None;
            self.arbitrate();
        }
    }

    /// Shows the copy that has come furthest.
    fn arbitrate(&mut self) {
        let shown = self.feed.and_then(|feed| self.copies.get(&feed)).copied();
        let furthest = self.copies.iter().max_by_key(|(feed, at)| (**at, **feed));
        if let Some((&feed, &at)) = furthest
            && shown.is_none_or(|shown| shown < at)
        {
            self.feed = Some(feed);
        }
        let newest = self.feed.and_then(|feed| self.copies.get(&feed));
        if let (Some(newest), Some((before, _))) = (newest, self.behind)
            && *newest >= before
        {
            self.behind = None;
        }
    }

    /// The feed whose copy is shown as live.
    fn live(&self) -> Option<FeedId> {
        match self.behind {
            None => self.feed,
            Some((_, since)) => {
                let waited = since.is_some_and(|since| since.elapsed() >= CATCH_UP);
                self.feed.filter(|_| waited)
            }
        }
    }
}

impl Recorder {
    fn tell(&self, told: Told) {
        self.told.lock().push(told);
    }

    pub(crate) fn all(&self) -> Vec<Told> {
        self.told.lock().clone()
    }

    pub(crate) fn open_feeds(&self) -> BTreeSet<FeedId> {
        self.books.lock().open.clone()
    }

    pub(crate) fn feeds(&self) -> usize {
        let opened = |told: &&Told| matches!(told, Told::Opened(_));
        self.told.lock().iter().filter(opened).count()
    }

    /// What readers would see as live, each book with the feed that is shown.
    pub(crate) fn live(&self) -> BTreeMap<AssetKey, FeedId> {
        let books = self.books.lock();
        let live = books.by_asset.iter();
        live.filter_map(|(asset, book)| Some((*asset, book.live()?)))
            .collect()
    }

    /// Open feeds with a whole copy of each book.
    pub(crate) fn copies(&self) -> BTreeMap<AssetKey, BTreeSet<FeedId>> {
        let books = self.books.lock();
        let copies = books.by_asset.iter();
        copies
            .map(|(asset, book)| (*asset, book.copies.keys().copied().collect()))
            .collect()
    }
}

impl EventSink for Recorder {
    fn deliver(&self, feed: FeedId, events: &mut Vec<MarketEvent>) {
        let mut books = self.books.lock();
        assert!(
            books.open.contains(&feed),
            "{feed} delivers and is not open"
        );
        let mut whole = Vec::new();
        let mut others = 0;
        for event in events.drain(..) {
            match event {
                MarketEvent::Book(book) => {
                    whole.push(book.info.key);
                    let known = books.by_asset.entry(book.info.key).or_default();
                    known.snapshot(feed, book.timestamp);
                }
                MarketEvent::PriceChange(change) => {
                    others += 1;
                    if let Some(known) = books.by_asset.get_mut(&change.asset) {
                        known.change(feed, change.timestamp);
                    }
                }
                MarketEvent::Trade(_)
                | MarketEvent::TickSizeChange(_)
                | MarketEvent::BestBidAsk(_) => others += 1,
            }
        }
        self.tell(Told::Delivered(feed, whole, others));
    }

    fn feed_opened(&self, feed: FeedId) {
        let mut books = self.books.lock();
        assert!(!books.closed.contains(&feed), "{feed} came back");
        assert!(books.open.insert(feed), "{feed} opens twice");
        self.tell(Told::Opened(feed));
    }

    fn feed_closed(&self, feed: FeedId, _reason: StaleReason) {
        let mut books = self.books.lock();
        assert!(books.open.remove(&feed), "{feed} closes and is not open");
        books.closed.insert(feed);
        books.by_asset.values_mut().for_each(|book| book.lose(feed));
        self.tell(Told::Closed(feed));
    }

    fn mark_feed_stale(&self, feed: FeedId, assets: &[AssetKey], reason: StaleReason) {
        let mut books = self.books.lock();
        assert!(
            books.open.contains(&feed),
            "{feed} is marked and is not open"
        );
        for asset in assets {
            if let Some(book) = books.by_asset.get_mut(asset) {
                book.lose(feed);
            }
        }
        self.tell(Told::Stale(feed, assets.to_vec(), reason));
    }

    fn feed_resumed(&self, feed: FeedId, suspensions: u64) {
        self.tell(Told::Resumed(feed, suspensions));
    }
}
