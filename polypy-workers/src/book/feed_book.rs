//! A book as one feed has sent it: a whole book, and the changes since.
//!
//! The venue sends the changes of one token in the order of their exchange time,
//! with exceptions: frames come twice, overtake each other, and its clock may be
//! set back. So a change that is not younger than the newest is judged by content
//! and hash. What was applied before is a *duplicate*, and is left out. What cannot be
//! told from a duplicate is *left out*, too, but remembered: the hash of a later state
//! may show that it was none.

use polypy_core::{BookHash, Change, FeedId, LevelChange, OrderBook, PriceChange, Side, Timestamp};

/// Duplicates come up to 120 ms late and snapshots overlap by milliseconds. What
/// is older than this is none: the venue's clock has been set back, and its
/// changes count.
const DUPLICATE_WINDOW_MS: u64 = 10_000;

/// Changes of one millisecond that are remembered; more than two are rare.
const MOST_PASSED: usize = 32;

/// Changes left out that are remembered: more than one is rare.
const MOST_LEFT_OUT: usize = 32;

/// Changes of one millisecond that are remembered without memory of their own;
/// a frame of one order makes one a token.
const FEW_PASSED: usize = 2;

/// What makes a change a duplicate of another: the same level set to the same size,
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

/// One feed's copy of one book. Everything that a change in order reads stands
/// here, in one and a half cache lines; the levels apart.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct FeedBook {
    feed: FeedId,
    /// Exchange time of the newest change in it.
    newest: Timestamp,
    /// The hash that came with that change.
    hash: Option<BookHash>,
    /// Whether that hash was reproduced.
    proven: bool,
    /// How many changes the newest millisecond has brought.
    passed_count: u8,
    /// Whether changes were left out that may have been no duplicates.
    has_left_out: bool,
    /// The first changes of the newest millisecond.
    passed: [Passed; FEW_PASSED],
    levels: OrderBook,
    cold: Box<Cold>,
}

/// What few changes read.
#[derive(Debug)]
struct Cold {
    /// Number of the batch that brought the snapshot.
    batch: u64,
    /// Since which state it has differed from one that is proven.
    differs_since: Option<Timestamp>,
    /// Exchange time of the whole book that began what is known, never after the newest
    /// change.
    known_since: Timestamp,
    /// No memory while changes come in order, and few in one millisecond.
    rare: Option<Box<Rare>>,
}

#[derive(Debug, Default)]
struct Rare {
    /// The newest millisecond's changes beyond the first.
    passed: Vec<Passed>,
    left_out: Vec<LeftOut>,
}

/// A change that was left out, and may have been no duplicate.
#[derive(Debug, Clone, Copy)]
struct LeftOut {
    timestamp: Timestamp,
    hash: Option<BookHash>,
    level: LevelChange,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It is in the book, and did this to its level.
    InOrder(Change),
    /// Left out: it was applied before.
    Duplicate,
    /// Left out, though the book has moved on since it was applied: a duplicate that
    /// came late, or a return to an earlier state within the millisecond.
    Ambiguous,
    /// Left out: it is older than the newest, and content and hash must tell whether
    /// it is a duplicate.
    Older,
}

/// Which of the changes left out are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tried {
    /// All of them.
    All,
    /// Those of the state that the last one belongs to.
    LastState,
}

impl FeedBook {
    pub(crate) fn new(
        feed: FeedId,
        batch: u64,
        levels: OrderBook,
        timestamp: Timestamp,
        hash: Option<BookHash>,
    ) -> Self {
        Self {
            feed,
            newest: timestamp,
            hash,
            proven: false,
            passed_count: 0,
            has_left_out: false,
            passed: [Passed::default(); FEW_PASSED],
            levels,
            cold: Box::new(Cold {
                batch,
                differs_since: None,
                known_since: timestamp,
                rare: None,
            }),
        }
    }

    /// Bytes it takes apart from its levels and itself.
    pub(crate) const COLD_BYTES: usize = size_of::<Cold>();

    pub(crate) fn feed(&self) -> FeedId {
        self.feed
    }

    /// No feed speaks for it any more.
    pub(crate) fn detach(&mut self) {
        self.feed = FeedId::default();
    }

    pub(crate) fn newest(&self) -> Timestamp {
        self.newest
    }

    pub(crate) fn hash(&self) -> Option<BookHash> {
        self.hash
    }

    pub(crate) fn is_proven(&self) -> bool {
        self.proven
    }

    pub(crate) fn levels(&self) -> &OrderBook {
        &self.levels
    }

    /// Number of the batch that brought the snapshot it stands on.
    pub(crate) fn batch(&self) -> u64 {
        self.cold.batch
    }

    /// Levels on both sides.
    pub(crate) fn depth(&self) -> usize {
        self.levels.depth(Side::Bid) + self.levels.depth(Side::Ask)
    }

    /// Its hash was reproduced: nothing that was left out is missing.
    #[inline]
    pub(crate) fn prove(&mut self) {
        self.proven = true;
        self.forget_left_out();
    }

    /// Whether something is older than all that is known of the book.
    pub(crate) fn is_before_known(&self, timestamp: Timestamp) -> bool {
        is_shortly_before(timestamp, self.cold.known_since)
    }

    /// It continues an older copy: what is known of that is known of it.
    pub(crate) fn continue_from(&mut self, older: &Self) {
        self.cold.known_since = self.cold.known_since.min(older.cold.known_since);
    }

    /// A whole book takes the place of its feed's older copy: what the newest millisecond
    /// has brought may come again.
    pub(crate) fn remember_passed(&mut self, older: &Self) {
        if (older.feed, older.newest) != (self.feed, self.newest) {
            return;
        }
        for passed in older.passed() {
            if !self.has_passed(passed) {
                self.note_passed(passed);
            }
        }
    }

    /// Whether a change would alter nothing.
    pub(crate) fn has_level(&self, change: &PriceChange) -> bool {
        self.levels.size_at(change.side, change.price) == change.size
    }

    /// Applies a change, unless it is older than the newest or was applied before.
    #[inline(always)]
    pub(crate) fn apply(&mut self, change: &PriceChange) -> Applied {
        if change.timestamp <= self.newest {
            return self.apply_back(change);
        }
        self.newest = change.timestamp;
        self.hash = change.hash;
        self.proven = false;
        self.passed_count = 0;
        if let (Some(hash), [first, ..]) = (change.hash, &mut self.passed) {
            *first = Passed::new(hash, change);
            self.passed_count = 1;
        }
        Applied::InOrder(self.set_level(change))
    }

    /// The same, and remembers what is left out, unless it is in the book already.
    pub(crate) fn apply_or_leave_out(&mut self, change: &PriceChange) {
        if self.apply(change) == Applied::Older && !self.has_level(change) {
            self.leave_out(change);
        }
    }

    /// Applies one that is not younger than the newest.
    fn apply_back(&mut self, change: &PriceChange) -> Applied {
        if is_shortly_before(change.timestamp, self.newest) {
            return Applied::Older;
        }
        if change.timestamp < self.newest {
            // So much older that the venue's clock must have been set back.
            self.set_back_to(change.timestamp);
        }
        if self.proven && change.hash.is_some() && change.hash == self.hash {
            return Applied::Duplicate;
        }
        if let Some(hash) = change.hash {
            let passed = Passed::new(hash, change);
            if self.has_passed(passed) {
                if change.hash == self.hash {
                    return Applied::Duplicate;
                }
                self.leave_out(change);
                return Applied::Ambiguous;
            }
            self.note_passed(passed);
        }
        if change.hash != self.hash {
            self.hash = change.hash;
            self.proven = false;
        }
        Applied::InOrder(self.set_level(change))
    }

    fn set_back_to(&mut self, timestamp: Timestamp) {
        self.passed_count = 0;
        self.newest = timestamp;
        self.cold.known_since = self.cold.known_since.min(timestamp);
        self.proven = false;
    }

    /// Whether changes were left out that may have been no duplicates.
    #[inline]
    pub(crate) fn has_left_out(&self) -> bool {
        self.has_left_out
    }

    fn left_out(&self) -> &[LeftOut] {
        let rare = self.cold.rare.as_deref();
        rare.map_or(&[], |rare| &rare.left_out)
    }

    fn has_passed(&self, passed: Passed) -> bool {
        self.passed().any(|known| known == passed)
    }

    /// The changes that the newest millisecond has brought.
    fn passed(&self) -> impl Iterator<Item = Passed> + '_ {
        let count = usize::from(self.passed_count);
        let more = count.saturating_sub(FEW_PASSED);
        let rare = self.cold.rare.iter().flat_map(|rare| &rare.passed);
        let few = self.passed.iter().take(count);
        few.chain(rare.take(more)).copied()
    }

    #[inline]
    fn note_passed(&mut self, passed: Passed) {
        let count = usize::from(self.passed_count);
        if let Some(place) = self.passed.get_mut(count) {
            *place = passed;
        } else if count < MOST_PASSED {
            let rest = &mut self.rare().passed;
            rest.truncate(count - FEW_PASSED);
            rest.push(passed);
        } else {
            return;
        }
        self.passed_count += 1;
    }

    #[inline]
    fn set_level(&mut self, change: &PriceChange) -> Change {
        if self.has_left_out {
            self.overwrite_left_out(change);
        }
        self.levels
            .apply_change(change.side, change.price, change.size)
    }

    /// A level that is set again says all there is to say of it.
    #[cold]
    fn overwrite_left_out(&mut self, change: &PriceChange) {
        let left_out = &mut self.rare().left_out;
        left_out
            .retain(|known| (known.level.side, known.level.price) != (change.side, change.price));
        let is_empty = left_out.is_empty();
        self.has_left_out = !is_empty;
    }

    fn rare(&mut self) -> &mut Rare {
        self.cold.rare.get_or_insert_default()
    }

    /// Leaves a change out, and remembers it.
    #[cold]
    pub(crate) fn leave_out(&mut self, change: &PriceChange) {
        self.overwrite_left_out(change);
        let left_out = &mut self.rare().left_out;
        if left_out.len() == MOST_LEFT_OUT {
            left_out.remove(0);
        }
        left_out.push(LeftOut {
            timestamp: change.timestamp,
            hash: change.hash,
            level: change.level(),
        });
        self.has_left_out = true;
    }

    fn forget_left_out(&mut self) {
        if self.has_left_out {
            self.has_left_out = false;
            self.rare().left_out.clear();
        }
    }

    /// Sets levels that were left out, and returns them as they were before, the last
    /// first: for [`Self::take_back`].
    pub(crate) fn try_left_out(&mut self, tried: Tried) -> Vec<LevelChange> {
        let state = |known: &LeftOut| (known.timestamp, known.hash);
        let last = self.left_out().last().map(state);
        let wanted = |known: &&LeftOut| tried == Tried::All || Some(state(known)) == last;
        let mut before = Vec::new();
        let levels: Vec<_> = self
            .left_out()
            .iter()
            .filter(wanted)
            .map(|known| known.level)
            .collect();
        for level in levels {
            let LevelChange { side, price, size } = level;
            let was = self.levels.size_at(side, price);
            before.push(LevelChange { size: was, ..level });
            self.levels.apply_change(side, price, size);
        }
        before.reverse();
        before
    }

    /// Sets levels back to what they were.
    pub(crate) fn take_back(&mut self, before: &[LevelChange]) {
        for level in before {
            self.levels
                .apply_change(level.side, level.price, level.size);
        }
    }

    /// The state that the last change left out belongs to.
    pub(crate) fn left_out_state(&self) -> Option<(Timestamp, Option<BookHash>)> {
        let last = self.left_out().last()?;
        Some((last.timestamp, last.hash))
    }

    /// Its newest state is the one that the last change left out belongs to.
    pub(crate) fn come_to_left_out(&mut self) {
        if let Some((timestamp, hash)) = self.left_out_state() {
            self.set_back_to(timestamp);
            self.hash = hash;
        }
    }

    /// Whether it has differed from a proven copy, and that was not settled.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.cold.differs_since.is_some()
    }

    /// It differs from a proven copy of the same state; since which state it has.
    pub(crate) fn note_difference(&mut self) -> Timestamp {
        *self.cold.differs_since.get_or_insert(self.newest)
    }

    /// It does not.
    pub(crate) fn settle_difference(&mut self) {
        self.cold.differs_since = None;
    }

    /// Reads its second line: see `BookSlot::prefetch`.
    #[inline]
    pub(crate) fn prefetch(&self) -> u64 {
        self.newest.millis() | u64::from(self.levels.best_price(Side::Ask).is_some())
    }
}

/// Whether something of `timestamp` is older than `than`, by no more than a
/// duplicate can be.
pub(crate) fn is_shortly_before(timestamp: Timestamp, than: Timestamp) -> bool {
    (1..=DUPLICATE_WINDOW_MS).contains(&than.millis_since(timestamp))
}
