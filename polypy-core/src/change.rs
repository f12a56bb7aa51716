//! How changes of books leave the workers.
//!
//! Each worker writes what readers can see of the books that are followed into its own
//! *lane*, in the order in which the books were held ([`ChangeSink`]). Whoever reads
//! the lanes says which books are followed ([`ChangeSource`]): the whole book stands in
//! the lane before the first change after it, so that nothing is between the two.
//!
//! | entry | epoch, sequence | the reader of the lane |
//! |---|---|---|
//! | [`BookChange::Level`] | the same epoch, one more | sets the level; zero removes it |
//! | [`BookChange::StateEnd`] | – | knows that one state of the venue is complete |
//! | [`BookChange::Whole`] | stated | takes the whole book, whatever it had |
//! | [`BookChange::Status`] | stated | takes state, verification and tick size |
//! | [`BookChange::Trade`] | a sequence of the token's trades | – |
//! | [`BookChange::Gone`] | – | forgets the book |
//! | [`BookChange::Reset`] | – | follows every book of the lane again |

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use crate::book::OrderBook;
use crate::decimal::DecimalText;
use crate::fingerprint::BookHash;
use crate::key::AssetKey;
use crate::level::LevelChange;
use crate::market::AssetInfo;
use crate::source::{BookState, LastTrade};
use crate::time::Timestamp;

/// The changes of one worker's books, which have one order. Numbered from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(pub u16);

/// Where a book stands: two reads with equal positions of one key show the same book,
/// but for its age and for what is read ahead of the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct BookPosition {
    /// History without a known hole: grows when a stale book is live again, and when
    /// the thread that kept it died.
    pub epoch: u64,
    /// Grows by one for every level that has to be set to follow the book, and for every
    /// new epoch, across epochs.
    pub sequence: u64,
    /// Grows with what readers see and that sets no level: state, verification, trade,
    /// tick size, time, hash. Wraps around, and may skip numbers.
    pub revision: u32,
}

/// What readers see of a book apart from its levels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BookStatus {
    /// How far to trust it.
    pub state: BookState,
    /// Whether the venue's hash came out of the levels; `None`: unverified.
    pub verified: Option<bool>,
    /// Price grid.
    pub tick_size: Option<DecimalText>,
    /// Since when it has been live, or not live, without a break.
    pub since: Instant,
}

/// One thing that readers can see of a followed book.
#[derive(Debug, Clone)]
pub enum BookChange {
    /// A level was set.
    Level(LevelSet),
    /// A state of the venue whose last event set no level is complete.
    StateEnd(AssetKey),
    /// The whole book, as it is after everything before this entry: of a book that is
    /// newly followed, or of a new epoch.
    Whole(Box<WholeBook>),
    /// State, verification or tick size is another one.
    Status(Box<StatusChange>),
    /// A trade of the token.
    Trade(Box<TradeKept>),
    /// The book is forgotten, and its key with it.
    Gone(AssetKey),
    /// The worker began, or died and is back: what it had not written is lost, and none
    /// of its books is followed any more.
    Reset,
}

/// A level that was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LevelSet {
    /// Whose book.
    pub asset: AssetKey,
    /// The level and its new size.
    pub level: LevelChange,
    /// The book's sequence with it.
    pub sequence: u64,
    /// Exchange time.
    pub at: Timestamp,
    /// When it reached us.
    pub received: Instant,
    /// Whether the state of the venue that it belongs to is complete with it.
    pub ends_state: bool,
}

/// A whole book.
#[derive(Debug, Clone)]
pub struct WholeBook {
    /// Whose book.
    pub info: Arc<AssetInfo>,
    /// Its levels.
    pub book: OrderBook,
    /// Where it stands.
    pub position: BookPosition,
    /// How far it can be trusted.
    pub status: BookStatus,
    /// The venue's hash that came with the last change.
    pub hash: Option<BookHash>,
    /// Exchange time of the last change.
    pub at: Timestamp,
    /// When that reached us.
    pub received: Instant,
}

/// A book's new status.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StatusChange {
    /// Whose book.
    pub asset: AssetKey,
    /// Where the book stands with it.
    pub position: BookPosition,
    /// The status from now on.
    pub status: BookStatus,
}

/// A trade that was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TradeKept {
    /// Whose trade.
    pub asset: AssetKey,
    /// How many trades of the token were kept with it.
    pub sequence: u64,
    /// The trade.
    pub trade: LastTrade,
    /// When it reached us.
    pub received: Instant,
}

/// Where the workers write.
pub trait ChangeSink: Send + Sync {
    /// Takes what was written since the last call, in order, and leaves `changes` empty
    /// with its memory. Called with the lane's books held: it may wait for no other
    /// lock than the lane's own, renders nothing and calls nobody.
    fn append(&self, lane: Lane, changes: &mut Vec<BookChange>);

    /// Something was appended. Called with no book held.
    fn wake(&self);
}

/// Who says what is written. Any of the calls may be made at any time, from any thread.
pub trait ChangeSource: Send + Sync {
    /// How many lanes there are. Never another number.
    fn lanes(&self) -> u16;

    /// The lane in which this book's changes are.
    fn lane_of(&self, asset: AssetKey) -> Lane;

    /// Whether the lane's worker runs. While it does not, its books are stale.
    fn is_running(&self, lane: Lane) -> bool;

    /// From now on these books are followed. Each is answered in the lane: by a
    /// [`BookChange::Whole`], also if it was followed already; by a
    /// [`BookChange::Status`] while it has no levels yet; by a [`BookChange::Gone`] if
    /// it is forgotten. `false`: nothing was done, for the books are held or half
    /// changed: ask again soon. Holds the lane's writer up for no longer than the copies.
    fn follow(&self, lane: Lane, assets: &[AssetKey]) -> bool;

    /// These books are followed no longer; what is in the lane already stays there.
    /// `false`: as for [`follow`](Self::follow).
    fn unfollow(&self, lane: Lane, assets: &[AssetKey]) -> bool;

    /// Writes the status of each followed book as readers see it now, where it is
    /// another one than the last that was written. Asked for after a suspension of the
    /// process, of which the worker does not know yet. `Some(true)`: there are feeds that
    /// have not answered since, so that more is to be said once they have; `None`: the
    /// books are held, ask again. Looks at every followed book of the lane.
    fn review(&self, lane: Lane) -> Option<bool>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_takes_a_cache_line() {
        assert!(size_of::<BookChange>() <= 64, "{}", size_of::<BookChange>());
    }
}
