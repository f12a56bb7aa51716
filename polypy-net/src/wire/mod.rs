//! Market-channel frames and REST books, decoded into core events.
//!
//! [`decode`] takes one frame and never fails as a whole: what can be read is
//! appended to [`Decoded`], what cannot is counted in [`WireStats`] and costs
//! its neighbours nothing. Two promises hold for every input:
//!
//! - a change to the book of a known asset is either decoded exactly or, as
//!   long as the frame still names the asset or the other token of its market,
//!   listed in [`Decoded::undecodable`], so that nothing is lost unseen;
//! - no input panics, recurses or allocates beyond a small multiple of its size.
//!
//! | first byte | frame | module |
//! |---|---|---|
//! | `{` | one event, or a REST-form book | `general`, `event`, `book` |
//! | `[` | any number of them | `elements`, then as above |
//! | other | control text (`PONG`) | `control` |
//!
//! Accepted besides the shapes sent today: any key order, white space, unknown
//! and repeated keys (the last one counts), numbers for decimal strings, `""`
//! or `null` for what is optional, any case of `side`. An optional field that
//! cannot be read is counted and left out; a required one refuses its event. A
//! book stands or falls as a whole, since half a book would pass for a whole
//! one.
//!
//! Left to others: applying events, judging their age, checking hashes. The
//! flat price changes of before September 2025 are not read.

mod book;
mod control;
mod elements;
mod error;
mod event;
mod general;
mod object;
mod salvage;
mod scalar;
mod stats;

use std::collections::HashSet;

use polypy_core::{AssetKey, Interner, LifecycleEvent, MarketEvent};

pub use book::{Books, decode_book, decode_books};
pub use error::WireError;
pub use stats::{EventKind, WireSnapshot, WireStats};

/// What one or more frames decoded to; reused from read to read.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Changes to books, in wire order.
    pub events: Vec<MarketEvent>,
    /// Changes to the catalogue.
    pub lifecycle: Vec<LifecycleEvent>,
    /// Known assets of which a change was or may have been lost: each needs a
    /// new snapshot. In no order, each once.
    pub undecodable: Vec<AssetKey>,
    /// Parse errors since the last [`clear`](Self::clear): the reader's own
    /// share of what [`WireStats`] counts for all.
    pub errors: u64,
}

impl Decoded {
    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.events.clear();
        self.lifecycle.clear();
        self.undecodable.clear();
        self.errors = 0;
    }
}

/// What a frame was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// JSON: events, or `[]`. Single events may have been refused.
    Data,
    /// `PONG`: the answer to our `PING`.
    Pong,
    /// `INVALID OPERATION`: the venue refused our last frame.
    InvalidOperation,
    /// `NO NEW ASSETS`: all that was subscribed is subscribed already, and no
    /// snapshot follows.
    NoNewAssets,
    /// `INVALID MESSAGE`: the venue could not read our last frame.
    InvalidMessage,
    /// Other plain text, or nothing at all.
    Control,
    /// Neither text nor whole JSON. Events that stood before the break are
    /// decoded all the same.
    Garbage,
}

/// Decodes one frame, appending to `out`. Never fails as a whole.
pub fn decode(frame: &[u8], assets: &Interner, stats: &WireStats, out: &mut Decoded) -> Frame {
    stats.count_frame(frame.len());
    let first = out.events.len();
    let kind = match std::str::from_utf8(frame) {
        Ok(text) if text.trim_ascii_start().starts_with(['{', '[']) => {
            general::decode(text, assets, stats, out)
        }
        Ok(text) => control::decode(text, stats),
        Err(error) => general::refuse_bytes(frame, error, assets, stats, out),
    };
    if let Some(events) = out.events.get_mut(first..) {
        mark_last_changes(events);
    }
    kind
}

/// Changes in one frame up to which a scan beats a set; two is the rule.
const FEW_CHANGES: usize = 16;

/// Sets `last_in_frame` on each asset's last change.
fn mark_last_changes(events: &mut [MarketEvent]) {
    if events.len() <= FEW_CHANGES {
        let mut seen = [None; FEW_CHANGES];
        for (at, event) in events.iter_mut().rev().enumerate() {
            if let MarketEvent::PriceChange(change) = event {
                change.last_in_frame = !seen[..at].contains(&Some(change.asset));
                seen[at] = Some(change.asset);
            }
        }
    } else {
        let mut seen = HashSet::new();
        for event in events.iter_mut().rev() {
            if let MarketEvent::PriceChange(change) = event {
                change.last_in_frame = seen.insert(change.asset);
            }
        }
    }
}

#[cfg(test)]
mod tests;
