//! How often each rung of the first-book ladder was taken.

use std::ops::AddAssign;

use serde::Serialize;

/// Counters of the ladder, of one connection or of several together; in assets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Rungs {
    /// Subscribed anew because their book was overdue.
    pub(crate) resubscribed: u64,
    /// Asked of REST.
    pub(crate) asked_rest: u64,
    /// Given a book by REST.
    pub(crate) seeded: u64,
    /// Of which REST has no book.
    pub(crate) missing: u64,
    /// Joined to their feed by hash.
    pub(crate) joined_by_hash: u64,
    /// Joined to their feed by time.
    pub(crate) joined_by_time: u64,
    /// Whose REST book was behind what their feed had said, and was not used.
    pub(crate) refused: u64,
    /// For which nothing was left here but to ask for another connection.
    pub(crate) stranded: u64,
    /// Moved to another connection for it.
    pub(crate) moved: u64,
}

impl AddAssign for Rungs {
    fn add_assign(&mut self, other: Self) {
        let Self {
            resubscribed,
            asked_rest,
            seeded,
            missing,
            joined_by_hash,
            joined_by_time,
            refused,
            stranded,
            moved,
        } = other;
        self.resubscribed += resubscribed;
        self.asked_rest += asked_rest;
        self.seeded += seeded;
        self.missing += missing;
        self.joined_by_hash += joined_by_hash;
        self.joined_by_time += joined_by_time;
        self.refused += refused;
        self.stranded += stranded;
        self.moved += moved;
    }
}
