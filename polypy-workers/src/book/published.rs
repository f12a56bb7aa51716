//! What those are told who follow books: the changes of followed books, in order, until
//! the executor hands them over.
//!
//! Levels are written as they are set. Whole books and statuses are written at the end
//! of a batch, of the books that were *touched* in it: until then the checks may still
//! change what readers will see.

use std::collections::HashMap;
use std::time::Instant;

use polypy_core::{AssetKey, BookChange, BookState, BookStatus, StatusChange, WholeBook};

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Published {
    changes: Vec<BookChange>,
    /// Followed books of which more than levels may be due. One may stand here twice.
    touched: Vec<AssetKey>,
    /// The status last written of each followed book.
    statuses: HashMap<AssetKey, BookStatus>,
}

impl Published {
    /// Writes what a followed book has come to.
    pub(crate) fn write(&mut self, change: BookChange) {
        self.changes.push(change);
    }

    /// More than levels may be due of a followed book.
    pub(crate) fn touch(&mut self, asset: AssetKey) {
        self.touched.push(asset);
    }

    /// The same of every followed book.
    pub(crate) fn touch_all(&mut self) {
        self.touched.extend(self.statuses.keys());
    }

    /// The books of which more than levels may be due, each once.
    pub(crate) fn take_touched(&mut self) -> Vec<AssetKey> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    /// A book is followed no longer: what was written of it does not matter.
    pub(crate) fn forget(&mut self, asset: AssetKey) {
        self.statuses.remove(&asset);
    }

    /// A followed book is forgotten, or one that was to be followed is.
    pub(crate) fn gone(&mut self, asset: AssetKey) {
        self.statuses.remove(&asset);
        self.changes.push(BookChange::Gone(asset));
    }

    /// Writes a whole book.
    pub(crate) fn whole(&mut self, whole: WholeBook) {
        self.statuses.insert(whole.info.key, whole.status);
        self.changes.push(BookChange::Whole(Box::new(whole)));
    }

    /// Writes a status if that is due, or it is another one than the last.
    pub(crate) fn status(&mut self, change: StatusChange, is_due: bool) {
        let known = self.statuses.insert(change.asset, change.status);
        if is_due || known != Some(change.status) {
            self.changes.push(BookChange::Status(Box::new(change)));
        }
    }

    /// Since when `asset` has been shown in a state of this name, if it was last written.
    pub(crate) fn since(&self, asset: AssetKey, state: BookState) -> Option<Instant> {
        let status = self.statuses.get(&asset)?;
        (status.state.name() == state.name()).then_some(status.since)
    }

    /// Everything that was written and not handed over; `None` if that is nothing.
    #[inline]
    pub(crate) fn written(&mut self) -> Option<&mut Vec<BookChange>> {
        (!self.changes.is_empty()).then_some(&mut self.changes)
    }

    /// Nothing that was written is true any more, and no book is followed: says that.
    pub(crate) fn reset(&mut self) {
        self.changes.clear();
        self.touched.clear();
        self.statuses.clear();
        self.changes.push(BookChange::Reset);
    }
}
