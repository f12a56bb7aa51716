//! Copies of books to begin from later: what a recording holds beside the frames.
//!
//! A recorder copies every book once, and those that have changed from time to time
//! ([`CheckpointSource`]). A frame is recorded before it is delivered, so what stands
//! in a recording behind a checkpoint is never in it; what stands shortly before may be
//! missing from it, unless it was delivered before [`Copied::applied_before`].

use std::sync::Arc;
use std::time::Instant;

use crate::change::{BookPosition, Lane, WholeBook};
use crate::decimal::DecimalText;
use crate::event::BookEvent;
use crate::key::AssetKey;
use crate::level::Side;

/// A book, and what its hashes are made of besides the levels: a reader who begins with
/// it can prove the next state.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The book, in the state that readers saw.
    pub whole: WholeBook,
    /// The last trade price that its hashes are made with, as far as it is known.
    pub last_trade_price: Option<DecimalText>,
    /// Smallest order, if a hash has shown that it is this one; else the catalogue's is
    /// the best that is known.
    pub min_order_size: Option<DecimalText>,
    /// Negative risk, likewise.
    pub neg_risk: Option<bool>,
    /// `version` of a protocol-V2 book.
    pub version: Option<Box<str>>,
}

impl Checkpoint {
    /// The book as the venue would send it whole.
    pub fn as_event(&self) -> BookEvent {
        let whole = &self.whole;
        BookEvent {
            info: Arc::clone(&whole.info),
            timestamp: whole.at,
            hash: whole.hash,
            bids: whole.book.worst_first(Side::Bid).collect(),
            asks: whole.book.worst_first(Side::Ask).collect(),
            tick_size: whole.status.tick_size,
            last_trade_price: self.last_trade_price,
            min_order_size: self.min_order_size,
            neg_risk: self.neg_risk,
            version: self.version.clone(),
        }
    }
}

/// How far a call of [`CheckpointSource::copy`] has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Where to go on; `None` once every book of the lane has been looked at.
    pub next: Option<usize>,
    /// All that was delivered before this moment is in the copies.
    pub applied_before: Instant,
}

/// Where checkpoints come from. Implemented by the workers' books; called by a recorder
/// from its own thread, at any time.
pub trait CheckpointSource: Send + Sync {
    /// How many lanes there are. Never another number.
    fn lanes(&self) -> u16;

    /// Looks at the next books of a lane, from the place `from` on (zero at first), and
    /// appends copies to `out` of those that are `wanted`, which is asked with the lane's
    /// books held: it must be quick, and may wait for nobody. Looks at 256 places and
    /// makes 16 copies at most, so that the lane's writer is held up for no longer.
    ///
    /// A book without levels yet, and one that is forgotten, is passed over. One that is
    /// not live is copied as it is: nobody may begin with it.
    ///
    /// `None`: nothing was done, since others hold the books, or the lane's worker does
    /// not run: ask again later.
    fn copy(
        &self,
        lane: Lane,
        from: usize,
        wanted: &dyn Fn(AssetKey, BookPosition) -> bool,
        out: &mut Vec<Checkpoint>,
    ) -> Option<Copied>;
}
