//! One side of a book: its levels, worst to best.
//!
//! A change looks for its price from the touch inwards, and a book that has not
//! changed for a while is far from the processor. What a change costs is therefore
//! how many cache lines the levels near the touch take: a level is *packed* into
//! eight bytes, so that eight of them share a line. What does not fit (a price
//! between ten-thousandths, more than half a billion shares) makes its whole side
//! *wide* until the next snapshot: the same, in twelve bytes a level.
//!
//! Does not know which side it is: whoever calls says which price is better.

use std::fmt;
use std::mem::replace;

use crate::book::{Change, LEVEL_BYTES, Level};
use crate::price::Price;
use crate::size::Size;

/// Levels that a full side grows by, or an eighth of it: doubling would waste the
/// memory of tens of thousands of books, most of which is levels.
const GROWTH: usize = 4;
/// Levels compared at once, from the touch inwards: that is where changes are.
const NEAR: usize = 8;
/// Cells that share a cache line, and the lines in which most changes fall: of
/// real ones two in three are among the best twelve levels.
const A_LINE: usize = 64 / LEVEL_BYTES;
const LINES_AHEAD: usize = 3;

/// Levels sorted worst to best.
#[derive(Clone)]
pub(crate) enum Levels {
    Packed(Cells<Packed>),
    Wide(Box<Cells<Level>>),
}

/// A level as it is kept.
pub(crate) trait Cell: Copy + PartialEq {
    /// What stands where no level does.
    const NONE: Self;

    /// The level in this form, if it fits.
    fn of(level: Level) -> Option<Self>;

    fn level(self) -> Level;

    fn has_price_of(self, other: Self) -> bool;

    /// One if its price is the higher, or zero.
    fn above(self, other: Self) -> u64;

    /// One if its price is the lower, or zero.
    fn below(self, other: Self) -> u64;
}

/// A level's price in ten-thousandths in the upper bits, its size in millionths in
/// the lower ones. The highest bit is never set, so that a difference of two shows
/// in it which one is the greater: the compiler makes vectors of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packed(u64);

const SIZE_BITS: u32 = 49;
const SIZE: u64 = (1 << SIZE_BITS) - 1;
/// Millionths in a ten-thousandth.
const PRICE_UNIT: u32 = 100;

impl Cell for Packed {
    const NONE: Self = Self(0);

    #[inline]
    fn of(level: Level) -> Option<Self> {
        let (price, size) = (level.price.millionths(), level.size.millionths());
        let key = u64::from(price / PRICE_UNIT);
        let fits = price.is_multiple_of(PRICE_UNIT) & (size <= SIZE);
        fits.then_some(Self(key << SIZE_BITS | size))
    }

    #[inline]
    fn level(self) -> Level {
        // The upper 15 bits.
        let units = u32::try_from(self.0 >> SIZE_BITS).unwrap_or(u32::MAX);
        Level {
            price: Price::of_book(units * PRICE_UNIT),
            size: Size::from_millionths(self.0 & SIZE),
        }
    }

    #[inline]
    fn has_price_of(self, other: Self) -> bool {
        (self.0 ^ other.0) <= SIZE
    }

    #[inline]
    fn above(self, other: Self) -> u64 {
        (other.0 | SIZE).wrapping_sub(self.0) >> 63
    }

    #[inline]
    fn below(self, other: Self) -> u64 {
        self.0.wrapping_sub(other.0 & !SIZE) >> 63
    }
}

impl Cell for Level {
    const NONE: Self = Self {
        price: Price::ZERO,
        size: Size::ZERO,
    };

    fn of(level: Level) -> Option<Self> {
        Some(level)
    }

    fn level(self) -> Level {
        self
    }

    fn has_price_of(self, other: Self) -> bool {
        self.price == other.price
    }

    fn above(self, other: Self) -> u64 {
        u64::from(self.price > other.price)
    }

    fn below(self, other: Self) -> u64 {
        u64::from(self.price < other.price)
    }
}

/// Cells sorted worst to best.
#[derive(Clone)]
pub(crate) struct Cells<C> {
    /// Those that are levels, then room for more.
    cells: Box<[C]>,
    len: u32,
    /// The last price in millionths, so that who asks for it need not wait for the
    /// cells; [`NOBODY`] in an empty side.
    best: u32,
}

/// Above every price.
const NOBODY: u32 = u32::MAX;

/// Which of two prices is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
}

impl<C: Cell> Cells<C> {
    /// Of all these levels, or of none.
    fn of(levels: impl ExactSizeIterator<Item = Level>) -> Option<Self> {
        let len = levels.len();
        // With some room, or the first level that comes would move all others.
        let mut cells = Vec::with_capacity(len + GROWTH);
        for level in levels {
            cells.push(C::of(level)?);
        }
        cells.resize(len + GROWTH, C::NONE);
        let mut made = Self {
            len: u32::try_from(len).unwrap_or(u32::MAX),
            cells: cells.into_boxed_slice(),
            best: NOBODY,
        };
        made.note_best();
        Some(made)
    }

    #[inline]
    fn levels(&self) -> &[C] {
        self.cells.get(..self.len as usize).unwrap_or_default()
    }

    /// Where the level of a price stands, or would be inserted.
    #[inline]
    fn place(&self, cell: C, better: Better) -> Result<usize, usize> {
        let levels = self.levels();
        let beyond = match better {
            Better::Higher => beyond(levels, |level| level.above(cell)),
            Better::Lower => beyond(levels, |level| level.below(cell)),
        };
        let behind = levels.len() - beyond;
        match behind.checked_sub(1).and_then(|at| levels.get(at)) {
            Some(level) if level.has_price_of(cell) => Ok(behind - 1),
            Some(_) | None => Err(behind),
        }
    }

    /// Sets a level, or removes it.
    #[inline]
    fn set(&mut self, cell: C, is_gone: bool, better: Better) -> Change {
        match self.place(cell, better) {
            Ok(at) if is_gone => {
                self.remove(at);
                Change::Removed
            }
            Ok(at) => {
                let before = self.cells.get_mut(at).map(|place| replace(place, cell));
                if before == Some(cell) {
                    Change::Unchanged
                } else {
                    Change::Resized
                }
            }
            Err(_) if is_gone => Change::Unchanged,
            Err(at) => {
                self.insert(at, cell);
                Change::Inserted
            }
        }
    }

    #[inline(never)]
    fn insert(&mut self, at: usize, cell: C) {
        let len = self.len as usize;
        if len == self.cells.len() {
            let mut cells = Vec::with_capacity(len + GROWTH.max(len / 8));
            cells.extend_from_slice(&self.cells);
            cells.resize(cells.capacity(), C::NONE);
            self.cells = cells.into_boxed_slice();
        }
        self.cells.copy_within(at..len, at + 1);
        self.cells[at] = cell;
        self.len += 1;
        self.note_best();
    }

    #[inline(never)]
    fn remove(&mut self, at: usize) {
        self.cells.copy_within(at + 1..self.len as usize, at);
        self.len -= 1;
        self.note_best();
    }

    fn note_best(&mut self) {
        let best = self.levels().last();
        self.best = best.map_or(NOBODY, |cell| cell.level().price.millionths());
    }
}

/// How many cells at the end are `better`: one for each that is, zero for others.
#[inline]
fn beyond<C: Copy>(cells: &[C], better: impl Fn(C) -> u64) -> usize {
    let (mut rest, mut number) = (cells, 0);
    // All of some, without a branch on any: which of them is the first that is
    // not better nobody can guess, and guessing wrong costs more.
    while let Some((further, near)) = rest.split_last_chunk::<NEAR>() {
        let of_near: u64 = near.iter().map(|cell| better(*cell)).sum();
        number += usize::try_from(of_near).unwrap_or(NEAR);
        if of_near < NEAR as u64 {
            return number;
        }
        rest = further;
    }
    let of_rest = rest.iter().rev().take_while(|cell| better(**cell) == 1);
    number + of_rest.count()
}

impl Levels {
    /// Of levels in this order. No price comes twice, no size is zero.
    pub(crate) fn of(levels: impl ExactSizeIterator<Item = Level> + Clone) -> Self {
        match Cells::of(levels.clone()) {
            Some(cells) => Self::Packed(cells),
            None => Self::Wide(Box::new(Cells::of(levels).unwrap_or_default())),
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Packed(cells) => cells.len as usize,
            Self::Wide(cells) => cells.len as usize,
        }
    }

    /// The best level's price, without a look at the levels.
    #[inline]
    pub(crate) fn best_price(&self) -> Option<Price> {
        let best = match self {
            Self::Packed(cells) => cells.best,
            Self::Wide(cells) => cells.best,
        };
        Price::from_millionths(best)
    }

    /// The best level.
    pub(crate) fn best(&self) -> Option<Level> {
        self.worst_first().next_back()
    }

    /// All of them.
    pub(crate) fn worst_first(
        &self,
    ) -> impl DoubleEndedIterator<Item = Level> + ExactSizeIterator + Clone + '_ {
        let (packed, wide) = match self {
            Self::Packed(cells) => (cells.levels(), &[][..]),
            Self::Wide(cells) => (&[][..], cells.levels()),
        };
        // One of the two is empty.
        (0..packed.len() + wide.len()).map(move |at| match packed.get(at) {
            Some(cell) => cell.level(),
            None => wide[at],
        })
    }

    /// The size at `price`, if there is such a level.
    pub(crate) fn size_at(&self, price: Price, better: Better) -> Option<Size> {
        match self {
            Self::Packed(cells) => {
                let cell = Packed::of(Level::new(price, Size::ZERO))?;
                let at = cells.place(cell, better).ok()?;
                Some(cells.cells[at].level().size)
            }
            Self::Wide(cells) => {
                let cell = Level::new(price, Size::ZERO);
                let at = cells.place(cell, better).ok()?;
                Some(cells.cells[at].size)
            }
        }
    }

    /// Sets the size at `price`; zero removes the level.
    #[inline]
    pub(crate) fn set(&mut self, price: Price, size: Size, better: Better) -> Change {
        let level = Level::new(price, size);
        match (&mut *self, Packed::of(level)) {
            (Self::Packed(cells), Some(cell)) => cells.set(cell, size.is_zero(), better),
            _ => self.set_wide(level, better),
        }
    }

    #[cold]
    #[inline(never)]
    fn set_wide(&mut self, level: Level, better: Better) -> Change {
        match self {
            Self::Wide(cells) => cells.set(level, level.size.is_zero(), better),
            // Nothing that does not fit is here to be removed.
            Self::Packed(_) if level.size.is_zero() => Change::Unchanged,
            Self::Packed(_) => {
                let mut cells = Cells::of(self.worst_first()).unwrap_or_default();
                let change = cells.set(level, false, better);
                *self = Self::Wide(Box::new(cells));
                change
            }
        }
    }

    /// Reads the levels near the best one, so that they are in the cache when a
    /// change looks at them. What it returns means nothing.
    #[inline]
    pub(crate) fn touch(&self) -> u64 {
        let Self::Packed(cells) = self else {
            return 0;
        };
        let near = cells.levels();
        let line = |line: usize| {
            // A copy, for a reference alone fetches nothing.
            let cell = near.iter().nth_back(line * A_LINE).copied();
            cell.unwrap_or(Packed::NONE).0
        };
        (0..LINES_AHEAD).fold(0, |all, at| all | line(at))
    }
}

impl<C: Cell> Default for Cells<C> {
    fn default() -> Self {
        Self {
            cells: Box::default(),
            len: 0,
            best: NOBODY,
        }
    }
}

impl Default for Levels {
    fn default() -> Self {
        Self::Packed(Cells::default())
    }
}

impl PartialEq for Levels {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Packed(own), Self::Packed(its)) => own.levels() == its.levels(),
            _ => self.worst_first().eq(other.worst_first()),
        }
    }
}

impl Eq for Levels {}

impl fmt::Debug for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.worst_first()).finish()
    }
}
