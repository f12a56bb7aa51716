//! A book as one feed has sent it: a whole book, and the changes since.
//!
//! The venue sends the changes of one token in the order of their exchange time,
//! with exceptions: frames come twice, overtake each other, and its clock may be
//! set back. So a change that is not younger than the newest is judged by content
//! and hash. What was applied before is a *copy*, and is left out. What cannot be
//! told from a copy is *left out*, too, but remembered: the hash of a later state
//! may show that it was none.

use std::cmp::Ordering;

use polypy_core::{BookHash, Change, FeedId, OrderBook, Price, PriceChange, Side, Size, Timestamp};

/// Copies come up to 120 ms late and snapshots overlap by milliseconds. What
/// is older than this is no copy: the venue's clock has been set back, and its
/// changes count.
const COPY_WINDOW_MS: u64 = 10_000;

/// Changes of one millisecond that are remembered; more than two are rare.
const MOST_PASSED: usize = 32;

/// Changes left out that are remembered: more than one is rare.
const MOST_LEFT_OUT: usize = 32;

/// Levels whose last change is remembered while no hash can tell copies apart.
const MOST_ORDERED: usize = 64;

/// Changes of one millisecond that are remembered without memory of their own;
/// a frame of one order makes one a token.
const FEW_PASSED: usize = 2;

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
    /// Whether changes were left out that may have been no copies.
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
    /// Exchange time of the snapshot, never after the newest change.
    snapshot: Timestamp,
    /// The newest millisecond's changes beyond the first.
    passed: Vec<Passed>,
    /// No memory for a feed that sends everything in order, with hashes.
    irregular: Option<Box<Irregular>>,
}

#[derive(Debug)]
struct Irregular {
    left_out: Vec<LeftOut>,
    /// When levels changed, oldest first, while changes come without a hash.
    order: Vec<(Timestamp, Side, Price)>,
    /// Since when `order` holds every change.
    ordered_since: Timestamp,
}

/// A change that was left out, and may have been no copy.
#[derive(Debug, Clone, Copy)]
struct LeftOut {
    timestamp: Timestamp,
    hash: Option<BookHash>,
    level: SetLevel,
}

/// A level and the size it is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SetLevel {
    pub(crate) side: Side,
    pub(crate) price: Price,
    /// Zero removes the level.
    pub(crate) size: Size,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It is in the book, and did this to its level.
    InOrder(Change),
    /// Left out: it was applied before.
    Duplicate,
    /// Left out, though the book has moved on since it was applied: a copy that
    /// came late, or a return to an earlier state within the millisecond.
    Ambiguous,
}

/// Whether a level may be set by a change that is older than the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LevelOrder {
    /// The level has not changed since.
    Newer,
    /// It has: the change is superseded.
    Older,
    /// Nobody knows.
    Unknown,
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
                snapshot: timestamp,
                passed: Vec::new(),
                irregular: None,
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

    /// Where a change of this time stands against the newest.
    #[inline(always)]
    pub(crate) fn order_of(&self, timestamp: Timestamp) -> Ordering {
        timestamp.cmp(&self.newest)
    }

    /// Whether something of `timestamp` may be a copy of what is in it already.
    pub(crate) fn may_have(&self, timestamp: Timestamp) -> bool {
        is_copy(timestamp, self.newest)
    }

    /// Whether it is older than the snapshot.
    pub(crate) fn is_before_snapshot(&self, timestamp: Timestamp) -> bool {
        is_copy(timestamp, self.cold.snapshot)
    }

    /// Whether a change would alter nothing.
    pub(crate) fn has_level(&self, change: &PriceChange) -> bool {
        self.levels.size_at(change.side, change.price) == change.size
    }

    /// Applies a change that is not older than the newest.
    #[inline(always)]
    pub(crate) fn apply(&mut self, change: &PriceChange) -> Applied {
        if change.timestamp > self.newest {
            self.newest = change.timestamp;
            self.hash = change.hash;
            self.proven = false;
            self.passed_count = 0;
            if let (Some(hash), [first, ..]) = (change.hash, &mut self.passed) {
                *first = Passed::new(hash, change);
                self.passed_count = 1;
            }
            Applied::InOrder(self.set_level(change))
        } else {
            self.apply_within(change)
        }
    }

    /// Applies one of the newest millisecond.
    fn apply_within(&mut self, change: &PriceChange) -> Applied {
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

    /// Applies one that is so much older than the newest that the venue's clock must
    /// have been set back.
    pub(crate) fn apply_set_back(&mut self, change: &PriceChange) -> Applied {
        self.set_back_to(change.timestamp);
        self.apply_within(change)
    }

    fn set_back_to(&mut self, timestamp: Timestamp) {
        self.passed_count = 0;
        self.newest = timestamp;
        self.cold.snapshot = self.cold.snapshot.min(timestamp);
        if let Some(irregular) = &mut self.cold.irregular {
            irregular.order.clear();
            irregular.ordered_since = timestamp;
        }
        self.proven = false;
    }

    /// Applies one that was overtaken by changes of other levels.
    pub(crate) fn apply_overtaken(&mut self, change: &PriceChange) -> Change {
        self.note_order(change);
        self.set_level(change)
    }

    /// Whether a level has changed since an older change of it. Known while changes
    /// come without hashes: elsewhere the hash tells what is missing.
    pub(crate) fn level_order(&self, change: &PriceChange) -> LevelOrder {
        let Some(irregular) = self.cold.irregular.as_deref() else {
            return LevelOrder::Unknown;
        };
        let place = (change.side, change.price);
        let mut known = irregular.order.iter().rev();
        match known.find(|(_, side, price)| (*side, *price) == place) {
            Some((at, ..)) if *at >= change.timestamp => LevelOrder::Older,
            _ if self.hash.is_some() || irregular.order.is_empty() => LevelOrder::Unknown,
            _ if change.timestamp >= irregular.ordered_since => LevelOrder::Newer,
            _ => LevelOrder::Unknown,
        }
    }

    /// Remembers when a level changed, for [`Self::level_order`]. Called for changes
    /// without a hash.
    #[cold]
    pub(crate) fn note_order(&mut self, change: &PriceChange) {
        let irregular = self.irregular();
        if irregular.order.len() == MOST_ORDERED {
            let (dropped, ..) = irregular.order.remove(0);
            // Of that millisecond another change may have been dropped before.
            irregular.ordered_since = Timestamp::from_millis(dropped.millis() + 1);
        }
        let order = (change.timestamp, change.side, change.price);
        irregular.order.push(order);
    }

    fn irregular(&mut self) -> &mut Irregular {
        let ordered_since = self.cold.snapshot;
        self.cold.irregular.get_or_insert_with(|| {
            Box::new(Irregular {
                left_out: Vec::new(),
                order: Vec::new(),
                ordered_since,
            })
        })
    }

    fn left_out(&self) -> &[LeftOut] {
        let irregular = self.cold.irregular.as_deref();
        irregular.map_or(&[], |irregular| &irregular.left_out)
    }

    fn has_passed(&self, passed: Passed) -> bool {
        let count = usize::from(self.passed_count);
        let few = self.passed.iter().take(count);
        if few.clone().any(|known| *known == passed) {
            return true;
        }
        let more = count.saturating_sub(FEW_PASSED);
        let known = self.cold.passed.iter().take(more);
        more > 0 && known.clone().any(|known| *known == passed)
    }

    #[inline]
    fn note_passed(&mut self, passed: Passed) {
        let count = usize::from(self.passed_count);
        if let Some(place) = self.passed.get_mut(count) {
            *place = passed;
        } else if count < MOST_PASSED {
            let rest = &mut self.cold.passed;
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

    /// A level that is set anew says all there is to say of it.
    #[cold]
    fn overwrite_left_out(&mut self, change: &PriceChange) {
        let left_out = &mut self.irregular().left_out;
        left_out
            .retain(|known| (known.level.side, known.level.price) != (change.side, change.price));
        let is_empty = left_out.is_empty();
        self.has_left_out = !is_empty;
    }

    /// Leaves a change out, and remembers it.
    #[cold]
    pub(crate) fn leave_out(&mut self, change: &PriceChange) {
        self.overwrite_left_out(change);
        let left_out = &mut self.irregular().left_out;
        if left_out.len() == MOST_LEFT_OUT {
            left_out.remove(0);
        }
        left_out.push(LeftOut {
            timestamp: change.timestamp,
            hash: change.hash,
            level: SetLevel {
                side: change.side,
                price: change.price,
                size: change.size,
            },
        });
        self.has_left_out = true;
    }

    fn forget_left_out(&mut self) {
        if self.has_left_out {
            self.has_left_out = false;
            self.irregular().left_out.clear();
        }
    }

    /// Sets levels that were left out, and returns them as they were before, the last
    /// first: for [`Self::take_back`].
    pub(crate) fn try_left_out(&mut self, tried: Tried) -> Vec<SetLevel> {
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
            let SetLevel { side, price, size } = level;
            let was = self.levels.size_at(side, price);
            before.push(SetLevel {
                side,
                price,
                size: was,
            });
            self.levels.apply_change(side, price, size);
        }
        before.reverse();
        before
    }

    /// Sets levels back to what they were.
    pub(crate) fn take_back(&mut self, before: &[SetLevel]) {
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
/// copy can be.
pub(crate) fn is_copy(timestamp: Timestamp, than: Timestamp) -> bool {
    (1..=COPY_WINDOW_MS).contains(&than.millis_since(timestamp))
}
