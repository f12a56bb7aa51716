//! A book as one feed tells it.
//!
//! The venue sends the changes of one token in the order of their exchange
//! time. So a change that is older than what it should follow is a copy that
//! was sent twice, or was already in the snapshot, and applying it would move
//! the book back. Only while a hash says that something is missing is an older
//! change taken for the missing one.

use polypy_core::{BookHash, FeedId, OrderBook, Price, PriceChange, Side, Size, Timestamp};

/// Copies come up to 120 ms late and snapshots overlap by milliseconds. What
/// is older than this is no copy: the venue's clock has been set back, and its
/// changes count.
const COPY_WINDOW_MS: u64 = 10_000;

/// Changes of one millisecond that are remembered; more than two are rare.
const MOST_PASSED: usize = 32;

/// What makes a change a copy of another: the same level set to the same size,
/// giving the same book. The hash alone does not, since an order that comes and
/// goes within a millisecond leads back to a book that was there before.
type Passed = (BookHash, Side, Price, Size);

/// One feed's book of one asset.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) feed: FeedId,
    pub(crate) book: OrderBook,
    /// Stamp of the batch that brought the snapshot.
    pub(crate) stamp: u64,
    /// Exchange time of the newest change in it.
    pub(crate) newest: Timestamp,
    /// The hash that came with that change.
    pub(crate) hash: Option<BookHash>,
    /// Whether that hash was reproduced.
    pub(crate) proven: bool,
    /// Since which state it has differed from one that is proven.
    pub(crate) suspect: Option<Timestamp>,
    /// Exchange time of the snapshot.
    snapshot: Timestamp,
    /// Apart, for only a book that changes needs it.
    moment: Option<Box<Moment>>,
}

/// What the newest millisecond has brought.
#[derive(Debug, Default)]
struct Moment {
    passed: Vec<Passed>,
    /// A change that was left out as a copy and may have been none.
    doubtful: Option<(Side, Price, Size)>,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It is in the book.
    InOrder,
    /// It is in the book, though the book had moved on: it may have been missing.
    OutOfOrder,
    /// Left out: the snapshot already had it.
    OlderThanSnapshot,
    /// Left out: it was applied before.
    Duplicate,
    /// Left out, though the book has moved on since it was applied: a copy that
    /// came late, or a return to an earlier state within the millisecond.
    Ambiguous,
}

impl Stream {
    pub(crate) fn new(
        feed: FeedId,
        stamp: u64,
        book: OrderBook,
        timestamp: Timestamp,
        hash: Option<BookHash>,
    ) -> Self {
        Self {
            feed,
            book,
            stamp,
            newest: timestamp,
            hash,
            proven: false,
            suspect: None,
            snapshot: timestamp,
            moment: None,
        }
    }

    /// Whether a state of `timestamp` would move this book back in time.
    pub(crate) fn is_ahead_of(&self, timestamp: Timestamp) -> bool {
        is_copy(timestamp, self.newest)
    }

    /// Applies a change. `missing` says that a hash waits for one.
    pub(crate) fn apply(&mut self, change: &PriceChange, missing: bool) -> Applied {
        let at = change.timestamp;
        if is_copy(at, self.snapshot) {
            return Applied::OlderThanSnapshot;
        }
        if is_copy(at, self.newest) {
            if !missing {
                return Applied::Duplicate;
            }
            self.set_level(change);
            return Applied::OutOfOrder;
        }
        if at != self.newest {
            if let Some(moment) = &mut self.moment {
                moment.passed.clear();
            }
            self.newest = at;
            self.snapshot = self.snapshot.min(at);
            self.proven = false;
        } else if self.proven && change.hash.is_some() && change.hash == self.hash {
            return Applied::Duplicate;
        }
        if let Some(hash) = change.hash {
            let passed = (hash, change.side, change.price, change.size);
            let moment = self.moment.get_or_insert_default();
            if moment.passed.contains(&passed) {
                if change.hash == self.hash {
                    return Applied::Duplicate;
                }
                moment.doubtful = Some((change.side, change.price, change.size));
                return Applied::Ambiguous;
            }
            if moment.passed.len() < MOST_PASSED {
                moment.passed.push(passed);
            }
        }
        if change.hash != self.hash {
            self.hash = change.hash;
            self.proven = false;
        }
        self.set_level(change);
        Applied::InOrder
    }

    fn set_level(&mut self, change: &PriceChange) {
        if let Some(moment) = &mut self.moment {
            let place = (change.side, change.price);
            moment
                .doubtful
                .take_if(|doubtful| (doubtful.0, doubtful.1) == place);
        }
        self.book
            .apply_change(change.side, change.price, change.size);
    }

    /// Applies what was left out as a doubtful copy, and returns the level as it
    /// was, for [`Self::restore`].
    pub(crate) fn reconsider(&mut self) -> Option<(Side, Price, Size)> {
        let (side, price, size) = self.moment.as_mut()?.doubtful.take()?;
        let before = self.book.size_at(side, price);
        self.book.apply_change(side, price, size);
        Some((side, price, before))
    }

    /// Sets a level back to what it was.
    pub(crate) fn restore(&mut self, (side, price, size): (Side, Price, Size)) {
        self.book.apply_change(side, price, size);
    }

    /// Nothing that was left out is missing.
    pub(crate) fn settle_copies(&mut self) {
        if let Some(moment) = &mut self.moment {
            moment.doubtful = None;
        }
    }

    /// Levels on both sides.
    pub(crate) fn levels(&self) -> usize {
        use polypy_core::Side::{Ask, Bid};
        self.book.worst_first(Bid).len() + self.book.worst_first(Ask).len()
    }
}

/// Whether something of `timestamp` is older than `than`, by no more than a
/// copy can be.
pub(crate) fn is_copy(timestamp: Timestamp, than: Timestamp) -> bool {
    (1..=COPY_WINDOW_MS).contains(&than.millis_since(timestamp))
}
