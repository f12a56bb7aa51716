//! A book as one feed tells it.
//!
//! The venue sends the changes of one token in the order of their exchange
//! time. So a change that is older than what it should follow is a copy that
//! was sent twice, or was already in the snapshot, and applying it would move
//! the book back. Only while a hash says that something is missing is an older
//! change taken for the missing one.

use std::hint::black_box;

use polypy_core::{BookHash, FeedId, OrderBook, Price, PriceChange, Side, Size, Timestamp};

/// Copies come up to 120 ms late and snapshots overlap by milliseconds. What
/// is older than this is no copy: the venue's clock has been set back, and its
/// changes count.
const COPY_WINDOW_MS: u64 = 10_000;

/// Changes of one millisecond that are remembered; more than two are rare.
const MOST_PASSED: usize = 32;

/// What makes a change a copy of another: the same level set to the same size,
/// giving the same book. The hash alone does not, since an order that comes and
/// goes within a millisecond leads back to a book that was there before. Of all
/// that, 64 bits: two changes of one millisecond that share them by accident are
/// one in 10¹⁹.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Passed(u64);

impl Passed {
    fn new(hash: BookHash, change: &PriceChange) -> Self {
        let side = u64::from(change.side == Side::Ask) << 32;
        let place = side | u64::from(change.price.millionths());
        let what = place.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ change.size.millionths();
        let mixed = (what ^ (what >> 29)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        Self(hash.prefix() ^ mixed ^ (mixed >> 32))
    }
}

/// Changes of one millisecond that are remembered without memory of their own;
/// a frame of one order makes one a token.
const FEW_PASSED: usize = 2;

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
    /// The first changes of the newest millisecond, and how many there were.
    passed: [Passed; FEW_PASSED],
    passed_count: u8,
    moment: Option<Box<Moment>>,
}

/// What else a millisecond has brought that few have.
#[derive(Debug, Default)]
struct Moment {
    /// Changes beyond the first.
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
            passed: [Passed::default(); FEW_PASSED],
            passed_count: 0,
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
            self.passed_count = 0;
            self.newest = at;
            self.snapshot = self.snapshot.min(at);
            self.proven = false;
        } else if self.proven && change.hash.is_some() && change.hash == self.hash {
            return Applied::Duplicate;
        }
        if let Some(hash) = change.hash {
            let passed = Passed::new(hash, change);
            if self.has_passed(passed) {
                if change.hash == self.hash {
                    return Applied::Duplicate;
                }
                let moment = self.moment.get_or_insert_default();
                moment.doubtful = Some((change.side, change.price, change.size));
                return Applied::Ambiguous;
            }
            self.note_passed(passed);
        }
        if change.hash != self.hash {
            self.hash = change.hash;
            self.proven = false;
        }
        self.set_level(change);
        Applied::InOrder
    }

    fn has_passed(&self, passed: Passed) -> bool {
        let count = usize::from(self.passed_count);
        let few = self.passed.iter().take(count);
        let more = count.saturating_sub(FEW_PASSED);
        let kept = self.moment.as_ref().filter(|_| more > 0);
        let rest = kept
            .into_iter()
            .flat_map(|moment| &moment.passed)
            .take(more);
        few.chain(rest).any(|known| *known == passed)
    }

    fn note_passed(&mut self, passed: Passed) {
        let count = usize::from(self.passed_count);
        if let Some(place) = self.passed.get_mut(count) {
            *place = passed;
        } else if count < MOST_PASSED {
            let rest = &mut self.moment.get_or_insert_default().passed;
            rest.truncate(count - FEW_PASSED);
            rest.push(passed);
        } else {
            return;
        }
        self.passed_count += 1;
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

    /// Has come into the cache what the next change will look at.
    #[inline]
    pub(crate) fn touch(&self) {
        black_box((self.newest, self.snapshot, self.hash.is_some()));
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
