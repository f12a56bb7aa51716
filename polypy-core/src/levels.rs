//! The levels of a book, both sides in one piece of memory.
//!
//! Bids stand in front, worst to best, and asks at the end, best to worst: the best
//! of both are neighbours, with the spare room for new levels between them. A change
//! searches its price from the top of the book inwards, and a book that has not
//! changed for a while is in no cache. The cost of a change is therefore the number
//! of cache lines that the levels near the top take. In this layout they are a few
//! lines in the middle, and a level is *packed* into eight bytes, so that eight share
//! a line. A level that does not fit (a price between ten-thousandths, more than half
//! a billion shares) makes the whole book *wide* until the next snapshot: the same
//! layout, in twelve bytes a level.

use std::fmt;
use std::mem::replace;

use crate::cell::{Cell, Packed};
use crate::level::{Change, LEVEL_BYTES, Level, LevelChange, Side};
use crate::price::Price;
use crate::size::Size;

/// Spare levels that a new book gets, and a full one, at least. Doubling would waste
/// memory: levels are most of the memory of tens of thousands of books.
const MIN_SPARE: usize = 4;
/// Levels compared at once, from the top of the book inwards, where most changes are.
const GROUP: usize = 8;
/// Cells in a cache line.
const CELLS_PER_LINE: usize = 64 / LEVEL_BYTES;
/// Lines of a side that are prefetched: of the changes in recordings two in three
/// are among the best twelve levels.
const PREFETCH_LINES: usize = 3;

/// The levels of a book.
#[derive(Clone)]
pub(crate) enum Levels {
    Packed(Cells<Packed>),
    Wide(Box<Cells<Level>>),
}

/// The cells of a book.
#[derive(Clone)]
pub(crate) struct Cells<C> {
    /// The bids, then the spare cells, then the asks.
    cells: Box<[C]>,
    bids: u32,
    asks: u32,
    /// The sides' best prices in millionths, so that a reader of one need not wait
    /// for the cells; [`NO_PRICE`] for an empty side.
    best_bid: u32,
    best_ask: u32,
}

/// Above every price.
const NO_PRICE: u32 = u32::MAX;

/// How many cells to allocate for so many levels: [`MIN_SPARE`] more, rounded up to
/// whole cache lines of packed cells. Allocators have size classes there and would
/// round up anyway.
fn capacity_for(levels: usize) -> usize {
    (levels + MIN_SPARE).next_multiple_of(CELLS_PER_LINE)
}

impl<C: Cell> Cells<C> {
    /// Cells of these levels, each side worst first; `None` if one does not fit.
    fn of(
        bids: impl ExactSizeIterator<Item = Level>,
        asks: impl DoubleEndedIterator<Item = Level> + ExactSizeIterator,
    ) -> Option<Self> {
        let numbers = [bids.len(), asks.len()];
        let number = capacity_for(numbers[0] + numbers[1]);
        let mut cells = Vec::with_capacity(number);
        for level in bids {
            cells.push(C::of(level)?);
        }
        // With spare cells, or the first new level would move all others.
        cells.resize(number - numbers[1], C::NONE);
        for level in asks.rev() {
            cells.push(C::of(level)?);
        }
        let [bids, asks] = numbers.map(|number| u32::try_from(number).unwrap_or(u32::MAX));
        let mut made = Self {
            cells: cells.into_boxed_slice(),
            bids,
            asks,
            ..Self::default()
        };
        made.update_best_bid();
        made.update_best_ask();
        Some(made)
    }

    /// Worst to best.
    #[inline]
    fn bids(&self) -> &[C] {
        self.cells.get(..self.bids as usize).unwrap_or_default()
    }

    /// Where the best ask stands.
    #[inline]
    fn first_ask(&self) -> usize {
        self.cells.len() - self.asks as usize
    }

    /// Best to worst.
    #[inline]
    fn asks(&self) -> &[C] {
        self.cells.get(self.first_ask()..).unwrap_or_default()
    }

    /// Whether each side is the other's opposite one, at complementary prices. Sides are
    /// kept in opposite orders, so that of both the best come first.
    fn is_mirror_of(&self, other: &Self) -> bool {
        let mirrors = |bids: &[C], asks: &[C]| {
            let best_first = bids.iter().rev();
            bids.len() == asks.len() && best_first.zip(asks).all(|(bid, ask)| bid.mirrors(*ask))
        };
        mirrors(self.bids(), other.asks()) && mirrors(other.bids(), self.asks())
    }

    #[inline]
    fn len(&self, side: Side) -> usize {
        let number = match side {
            Side::Bid => self.bids,
            Side::Ask => self.asks,
        };
        number as usize
    }

    /// Bids worst to best, asks best to worst.
    fn of_side(&self, side: Side) -> &[C] {
        match side {
            Side::Bid => self.bids(),
            Side::Ask => self.asks(),
        }
    }

    /// The index of the level with the cell's price; if there is none, the index that
    /// [`Self::insert`] takes for it.
    #[inline(always)]
    fn search(&self, side: Side, cell: C) -> Result<usize, usize> {
        let (candidate, insert_at) = match side {
            Side::Bid => {
                let bids = self.bids();
                let end = bids.len() - count_above(bids, cell);
                (end.checked_sub(1), end)
            }
            Side::Ask => {
                let at = self.first_ask() + count_below(self.asks(), cell);
                (Some(at), at)
            }
        };
        let level = candidate.and_then(|at| self.cells.get(at));
        match (candidate, level) {
            (Some(at), Some(level)) if level.has_price_of(cell) => Ok(at),
            _ => Err(insert_at),
        }
    }

    /// Sets the level to the cell, or removes it where `removes` says so.
    #[inline]
    fn set(&mut self, side: Side, cell: C, removes: bool) -> Change {
        match self.search(side, cell) {
            Ok(at) if removes => {
                self.remove(side, at);
                Change::Removed
            }
            Ok(at) => {
                let before = self.cells.get_mut(at).map(|old| replace(old, cell));
                if before == Some(cell) {
                    Change::Unchanged
                } else {
                    Change::Resized
                }
            }
            Err(_) if removes => Change::Unchanged,
            Err(at) => {
                self.insert(side, at, cell);
                Change::Inserted
            }
        }
    }

    /// Inserts a cell before the one at `at`.
    #[inline(never)]
    fn insert(&mut self, side: Side, at: usize, cell: C) {
        match side {
            Side::Bid => {
                self.reserve_one();
                self.cells.copy_within(at..self.bids as usize, at + 1);
                self.cells[at] = cell;
                self.bids += 1;
                self.update_best_bid();
            }
            Side::Ask => {
                let at = at + self.reserve_one();
                let first = self.first_ask();
                self.cells.copy_within(first..at, first - 1);
                self.cells[at - 1] = cell;
                self.asks += 1;
                self.update_best_ask();
            }
        }
    }

    /// Makes sure that one more cell fits. Returns by how many cells the asks moved.
    fn reserve_one(&mut self) -> usize {
        let len = self.cells.len();
        if self.bids + self.asks < u32::try_from(len).unwrap_or(u32::MAX) {
            return 0;
        }
        let room = capacity_for(len + len / 16) - len;
        let mut cells = Vec::with_capacity(len + room);
        cells.extend_from_slice(self.bids());
        cells.resize(cells.len() + room, C::NONE);
        cells.extend_from_slice(self.asks());
        self.cells = cells.into_boxed_slice();
        room
    }

    #[inline(never)]
    fn remove(&mut self, side: Side, at: usize) {
        match side {
            Side::Bid => {
                self.cells.copy_within(at + 1..self.bids as usize, at);
                self.bids -= 1;
                self.update_best_bid();
            }
            Side::Ask => {
                let first = self.first_ask();
                self.cells.copy_within(first..at, first + 1);
                self.asks -= 1;
                self.update_best_ask();
            }
        }
    }

    fn update_best_bid(&mut self) {
        self.best_bid = millionths(self.bids().last());
    }

    fn update_best_ask(&mut self) {
        self.best_ask = millionths(self.asks().first());
    }
}

fn millionths<C: Cell>(best: Option<&C>) -> u32 {
    best.map_or(NO_PRICE, |cell| cell.level().price.millionths())
}

/// Calls `emit` with each level that makes `new` of `old`, both lowest price first; one
/// that is gone has no size. Most cells are the same, and are compared as they are.
fn for_each_difference<C: Cell>(old: &[C], new: &[C], mut emit: impl FnMut(Level)) {
    let mut old = old.iter().copied().peekable();
    let gone = |cell: C| Level::new(cell.level().price, Size::ZERO);
    for &cell in new {
        while let Some(before) = old.next_if(|before| before.below(cell) == 1) {
            emit(gone(before));
        }
        if old.next_if(|before| before.has_price_of(cell)) != Some(cell) {
            emit(cell.level());
        }
    }
    old.for_each(|before| emit(gone(before)));
}

/// How many bids have a higher price than the cell. They are the last ones.
#[inline]
fn count_above<C: Cell>(bids: &[C], cell: C) -> usize {
    let (mut rest, mut number) = (bids, 0);
    // A group is compared whole, without a branch on a level: the processor cannot
    // predict which level is the first that is not better, and a misprediction costs
    // more than the comparisons.
    while let Some((further, near)) = rest.split_last_chunk::<GROUP>() {
        let of_near: u64 = near.iter().map(|level| level.above(cell)).sum();
        number += usize::try_from(of_near).unwrap_or(GROUP);
        if of_near < GROUP as u64 {
            return number;
        }
        rest = further;
    }
    let of_rest = rest.iter().rev().take_while(|level| level.above(cell) == 1);
    number + of_rest.count()
}

/// How many asks have a lower price than the cell. They are the first ones.
#[inline]
fn count_below<C: Cell>(asks: &[C], cell: C) -> usize {
    let (mut rest, mut number) = (asks, 0);
    while let Some((near, further)) = rest.split_first_chunk::<GROUP>() {
        let of_near: u64 = near.iter().map(|level| level.below(cell)).sum();
        number += usize::try_from(of_near).unwrap_or(GROUP);
        if of_near < GROUP as u64 {
            return number;
        }
        rest = further;
    }
    let of_rest = rest.iter().take_while(|level| level.below(cell) == 1);
    number + of_rest.count()
}

impl Levels {
    /// From levels worst first, without two at one price and without a size of zero.
    pub(crate) fn of(
        bids: impl ExactSizeIterator<Item = Level> + Clone,
        asks: impl DoubleEndedIterator<Item = Level> + ExactSizeIterator + Clone,
    ) -> Self {
        match Cells::of(bids.clone(), asks.clone()) {
            Some(cells) => Self::Packed(cells),
            None => Self::Wide(Box::new(Cells::of(bids, asks).unwrap_or_default())),
        }
    }

    /// The number of a side's levels.
    #[inline]
    pub(crate) fn len(&self, side: Side) -> usize {
        match self {
            Self::Packed(cells) => cells.len(side),
            Self::Wide(cells) => cells.len(side),
        }
    }

    /// The price of a side's best level. Reads no level.
    #[inline]
    pub(crate) fn best_price(&self, side: Side) -> Option<Price> {
        let best = match self {
            Self::Packed(cells) => [cells.best_bid, cells.best_ask],
            Self::Wide(cells) => [cells.best_bid, cells.best_ask],
        };
        Price::from_millionths(match side {
            Side::Bid => best[0],
            Side::Ask => best[1],
        })
    }

    /// A side's levels, worst first.
    pub(crate) fn worst_first(
        &self,
        side: Side,
    ) -> impl DoubleEndedIterator<Item = Level> + ExactSizeIterator + Clone + '_ {
        let (packed, wide) = match self {
            Self::Packed(cells) => (cells.of_side(side), &[][..]),
            Self::Wide(cells) => (&[][..], cells.of_side(side)),
        };
        // One of the two is empty.
        let len = packed.len() + wide.len();
        (0..len).map(move |at| {
            let at = match side {
                Side::Bid => at,
                Side::Ask => len - 1 - at,
            };
            packed.get(at).map_or_else(|| wide[at], |cell| cell.level())
        })
    }

    /// The size at `price`, if there is such a level.
    pub(crate) fn size_at(&self, side: Side, price: Price) -> Option<Size> {
        let level = Level::new(price, Size::ZERO);
        match self {
            Self::Packed(cells) => {
                let at = cells.search(side, Packed::of(level)?).ok()?;
                Some(cells.cells[at].level().size)
            }
            Self::Wide(cells) => {
                let at = cells.search(side, level).ok()?;
                Some(cells.cells[at].size)
            }
        }
    }

    /// Sets the size at `price`; zero removes the level.
    #[inline]
    pub(crate) fn set(&mut self, side: Side, price: Price, size: Size) -> Change {
        let level = Level::new(price, size);
        match (&mut *self, Packed::of(level)) {
            (Self::Packed(cells), Some(cell)) => cells.set(side, cell, size.is_zero()),
            _ => self.set_wide(side, level),
        }
    }

    #[cold]
    #[inline(never)]
    fn set_wide(&mut self, side: Side, level: Level) -> Change {
        match self {
            Self::Wide(cells) => cells.set(side, level, level.size.is_zero()),
            // A packed book has no level that does not fit: nothing to remove.
            Self::Packed(_) if level.size.is_zero() => Change::Unchanged,
            Self::Packed(_) => {
                let [bids, asks] = [Side::Bid, Side::Ask].map(|side| self.worst_first(side));
                let mut cells = Cells::of(bids, asks).unwrap_or_default();
                let change = cells.set(side, level, false);
                *self = Self::Wide(Box::new(cells));
                change
            }
        }
    }

    /// See [`crate::OrderBook::prefetch`].
    #[inline]
    pub(crate) fn prefetch(&self, side: Side) -> u64 {
        let Self::Packed(cells) = self else {
            return 0;
        };
        // Copies the cell: taking a reference would read nothing.
        let line = |line: usize| {
            let cell = match side {
                Side::Bid => cells.bids().iter().nth_back(line * CELLS_PER_LINE),
                Side::Ask => cells.asks().get(line * CELLS_PER_LINE),
            };
            cell.copied().unwrap_or(Packed::NONE).0
        };
        (0..PREFETCH_LINES).fold(0, |all, at| all | line(at))
    }
}

impl<C> Default for Cells<C> {
    fn default() -> Self {
        Self {
            cells: Box::default(),
            bids: 0,
            asks: 0,
            best_bid: NO_PRICE,
            best_ask: NO_PRICE,
        }
    }
}

impl Default for Levels {
    fn default() -> Self {
        Self::Packed(Cells::default())
    }
}

impl Levels {
    /// Whether each side is the other's opposite one, at complementary prices.
    pub(crate) fn is_mirror_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Packed(own), Self::Packed(its)) => own.is_mirror_of(its),
            (Self::Wide(own), Self::Wide(its)) => own.is_mirror_of(its),
            // What fits into one form is not in the other, but for levels that are gone.
            (Self::Packed(_), Self::Wide(_)) | (Self::Wide(_), Self::Packed(_)) => {
                [Side::Bid, Side::Ask].into_iter().all(|side| {
                    let own = self.worst_first(side);
                    let its = other.worst_first(side.opposite());
                    own.len() == its.len() && own.zip(its).all(|(own, its)| own.mirrors(its))
                })
            }
        }
    }
}

impl Levels {
    /// See [`crate::OrderBook::for_each_difference`].
    pub(crate) fn for_each_difference(&self, new: &Self, mut emit: impl FnMut(LevelChange)) {
        for side in [Side::Bid, Side::Ask] {
            let emit = |Level { price, size }| emit(LevelChange { side, price, size });
            match (self, new) {
                (Self::Packed(old), Self::Packed(new)) => {
                    for_each_difference(old.of_side(side), new.of_side(side), emit);
                }
                (Self::Wide(_), _) | (_, Self::Wide(_)) => {
                    let [old, new] = [self, new].map(|levels| levels.lowest_first(side));
                    for_each_difference(&old, &new, emit);
                }
            }
        }
    }

    fn lowest_first(&self, side: Side) -> Vec<Level> {
        let mut levels: Vec<_> = self.worst_first(side).collect();
        if side == Side::Ask {
            levels.reverse();
        }
        levels
    }
}

impl PartialEq for Levels {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Packed(own), Self::Packed(its)) => {
                own.bids() == its.bids() && own.asks() == its.asks()
            }
            _ => [Side::Bid, Side::Ask]
                .into_iter()
                .all(|side| self.worst_first(side).eq(other.worst_first(side))),
        }
    }
}

impl Eq for Levels {}

impl fmt::Debug for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sides = [Side::Bid, Side::Ask].map(|side| self.worst_first(side));
        f.debug_list().entries(sides.into_iter().flatten()).finish()
    }
}

#[cfg(test)]
#[path = "levels_tests.rs"]
mod tests;
