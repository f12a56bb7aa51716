//! A book as one feed tells it.
//!
//! The venue sends the changes of one token in the order of their exchange
//! time. So a change that is older than what it should follow is a copy that
//! was sent twice, or was already in the snapshot, and applying it would move
//! the book back. Only while a hash says that something is missing is an older
//! change taken for the missing one.

use std::cmp::Ordering;

use polypy_core::{BookHash, Change, FeedId, OrderBook, Price, PriceChange, Side, Size, Timestamp};

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

/// One feed's book of one asset. Everything that a change in order looks at
/// stands here, in one and a half cache lines; the levels apart.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Stream {
    pub(crate) feed: FeedId,
    /// Exchange time of the newest change in it.
    pub(crate) newest: Timestamp,
    /// The hash that came with that change.
    pub(crate) hash: Option<BookHash>,
    /// Whether that hash was reproduced.
    pub(crate) proven: bool,
    /// How many changes the newest millisecond has brought.
    passed_count: u8,
    /// Whether one of them was left out as a copy and may have been none.
    has_doubtful: bool,
    /// The first of them.
    passed: [Passed; FEW_PASSED],
    pub(crate) book: OrderBook,
    pub(crate) rare: Box<Rare>,
}

/// What few changes look at.
#[derive(Debug)]
pub(crate) struct Rare {
    /// Stamp of the batch that brought the snapshot.
    pub(crate) stamp: u64,
    /// Since which state the book has differed from one that is proven.
    pub(crate) suspect: Option<Timestamp>,
    /// Exchange time of the snapshot, never after the newest change.
    snapshot: Timestamp,
    /// The newest millisecond's changes beyond the first.
    passed: Vec<Passed>,
    /// The one that was left out, if one was.
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
            newest: timestamp,
            hash,
            proven: false,
            passed_count: 0,
            has_doubtful: false,
            passed: [Passed::default(); FEW_PASSED],
            book,
            rare: Box::new(Rare {
                stamp,
                suspect: None,
                snapshot: timestamp,
                passed: Vec::new(),
                doubtful: None,
            }),
        }
    }

    /// Whether a state of `timestamp` would move this book back in time.
    pub(crate) fn is_ahead_of(&self, timestamp: Timestamp) -> bool {
        is_copy(timestamp, self.newest)
    }

    /// Applies a change. `missing` says that a hash waits for one.
    #[inline]
    pub(crate) fn apply(&mut self, change: &PriceChange, missing: bool) -> Applied {
        match change.timestamp.cmp(&self.newest) {
            Ordering::Greater => {
                self.advance(change);
                Applied::InOrder
            }
            Ordering::Equal => self.apply_within(change).0,
            Ordering::Less => self.apply_back(change, missing),
        }
    }

    /// Applies a change that is younger than the newest, which is always in order.
    #[inline(always)]
    pub(crate) fn advance(&mut self, change: &PriceChange) -> Change {
        self.newest = change.timestamp;
        self.hash = change.hash;
        self.proven = false;
        self.passed_count = 0;
        if let (Some(hash), [first, ..]) = (change.hash, &mut self.passed) {
            *first = Passed::new(hash, change);
            self.passed_count = 1;
        }
        self.set_level(change)
    }

    /// Applies one that is older than the newest, if it is to be applied.
    fn apply_back(&mut self, change: &PriceChange, missing: bool) -> Applied {
        let at = change.timestamp;
        if is_copy(at, self.rare.snapshot) {
            return Applied::OlderThanSnapshot;
        }
        if is_copy(at, self.newest) {
            if !missing {
                return Applied::Duplicate;
            }
            self.set_level(change);
            return Applied::OutOfOrder;
        }
        self.passed_count = 0;
        self.newest = at;
        self.rare.snapshot = self.rare.snapshot.min(at);
        self.proven = false;
        self.apply_within(change).0
    }

    /// The same for one of the newest millisecond, with what it did to the level.
    pub(crate) fn apply_within(&mut self, change: &PriceChange) -> (Applied, Change) {
        if self.proven && change.hash.is_some() && change.hash == self.hash {
            return (Applied::Duplicate, Change::Unchanged);
        }
        if let Some(hash) = change.hash {
            let passed = Passed::new(hash, change);
            if self.has_passed(passed) {
                if change.hash == self.hash {
                    return (Applied::Duplicate, Change::Unchanged);
                }
                self.has_doubtful = true;
                self.rare.doubtful = Some((change.side, change.price, change.size));
                return (Applied::Ambiguous, Change::Unchanged);
            }
            self.note_passed(passed);
        }
        if change.hash != self.hash {
            self.hash = change.hash;
            self.proven = false;
        }
        (Applied::InOrder, self.set_level(change))
    }

    fn has_passed(&self, passed: Passed) -> bool {
        let count = usize::from(self.passed_count);
        let few = self.passed.iter().take(count);
        if few.clone().any(|known| *known == passed) {
            return true;
        }
        let more = count.saturating_sub(FEW_PASSED);
        more > 0
            && self
                .rare
                .passed
                .iter()
                .take(more)
                .any(|known| *known == passed)
    }

    #[inline]
    fn note_passed(&mut self, passed: Passed) {
        let count = usize::from(self.passed_count);
        if let Some(place) = self.passed.get_mut(count) {
            *place = passed;
        } else if count < MOST_PASSED {
            let rest = &mut self.rare.passed;
            rest.truncate(count - FEW_PASSED);
            rest.push(passed);
        } else {
            return;
        }
        self.passed_count += 1;
    }

    #[inline]
    fn set_level(&mut self, change: &PriceChange) -> Change {
        if self.has_doubtful {
            self.overwrite_doubtful(change);
        }
        self.book
            .apply_change(change.side, change.price, change.size)
    }

    #[cold]
    fn overwrite_doubtful(&mut self, change: &PriceChange) {
        let place = (change.side, change.price);
        let doubtful = &mut self.rare.doubtful;
        doubtful.take_if(|doubtful| (doubtful.0, doubtful.1) == place);
        self.has_doubtful = doubtful.is_some();
    }

    /// Applies what was left out as a doubtful copy, and returns the level as it
    /// was, for [`Self::restore`].
    pub(crate) fn reconsider(&mut self) -> Option<(Side, Price, Size)> {
        let (side, price, size) = self.rare.doubtful.take()?;
        self.has_doubtful = false;
        let before = self.book.size_at(side, price);
        self.book.apply_change(side, price, size);
        Some((side, price, before))
    }

    /// Sets a level back to what it was.
    pub(crate) fn restore(&mut self, (side, price, size): (Side, Price, Size)) {
        self.book.apply_change(side, price, size);
    }

    /// Nothing that was left out is missing.
    #[inline]
    pub(crate) fn settle_copies(&mut self) {
        if self.has_doubtful {
            self.has_doubtful = false;
            self.rare.doubtful = None;
        }
    }

    /// Reads its second line: see `BookSlot::touch`.
    #[inline]
    pub(crate) fn touch(&self) -> u64 {
        u64::from(self.book.best_price(Side::Ask).is_some())
    }

    /// Levels on both sides.
    pub(crate) fn levels(&self) -> usize {
        self.book.depth(Side::Bid) + self.book.depth(Side::Ask)
    }
}

/// Whether something of `timestamp` is older than `than`, by no more than a
/// copy can be.
pub(crate) fn is_copy(timestamp: Timestamp, than: Timestamp) -> bool {
    (1..=COPY_WINDOW_MS).contains(&than.millis_since(timestamp))
}
