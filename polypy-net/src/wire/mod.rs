//! Market-channel frames and REST books, decoded into core events.
//!
//! [`decode`] takes one frame and never fails as a whole: what can be read is
//! appended to [`Decoded`], what cannot is counted in [`WireStats`] and costs
//! its neighbours nothing. Two promises hold for every input:
//!
//! - a change to the book of a known asset is either decoded exactly or, as
//!   long as the frame still names the asset, the other token of its market or
//!   the market, listed in [`Decoded::undecodable`], so that nothing is lost unseen;
//! - no input panics, recurses or allocates beyond a small multiple of its size.
//!
//! | first byte | frame | module |
//! |---|---|---|
//! | `{` | one event, or a REST-form book | `fast`, else `general`, `event`, `book` |
//! | `[` | any number of them | `fast`, else `elements`, then as above |
//! | other | control text (`PONG`) | `control` |
//!
//! Accepted besides the shapes sent today: any key order, white space, a byte
//! order mark before it all, unknown
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
mod fast;
mod general;
mod kind;
mod object;
mod renaming;
mod salvage;
mod scalar;
mod stats;

use std::collections::HashSet;

use polypy_core::{AssetKey, Interner, Level, LifecycleEvent, MarketEvent};

use self::stats::Counts;
use crate::counter::count;

pub use book::{Books, decode_book, decode_books};
pub use error::WireError;
pub use kind::EventKind;
pub use stats::{WireSnapshot, WireStats};

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
    /// Known assets that events of unknown types were about. In no order, each
    /// once.
    pub unknown: Vec<AssetKey>,
    /// Parse errors since the last [`clear`](Self::clear): the reader's own
    /// share of what [`WireStats`] counts for all.
    pub errors: u64,
    /// Room for the side of a book that is being read.
    levels: Vec<Level>,
}

impl Decoded {
    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.events.clear();
        self.lifecycle.clear();
        self.undecodable.clear();
        self.unknown.clear();
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

/// Decodes one frame, appending to `out`. Never fails as a whole. Who has
/// several frames at once uses [`Reading`].
pub fn decode(frame: &[u8], assets: &Interner, stats: &WireStats, out: &mut Decoded) -> Frame {
    Reading::new(assets, stats, out).frame(frame)
}

/// Decodes one frame as [`decode`] does, never the fast way. This is the
/// definition of what a frame means, against which the fast way is held.
#[doc(hidden)]
pub fn decode_generally(
    frame: &[u8],
    assets: &Interner,
    stats: &WireStats,
    out: &mut Decoded,
) -> Frame {
    Reading::new(assets, stats, out).frame_generally(frame)
}

/// The decoding of what one read of a socket returned. Good frames are counted
/// in [`WireStats`] when it is dropped: once a read, since all connections
/// count there.
#[derive(Debug)]
pub struct Reading<'a> {
    assets: &'a Interner,
    stats: &'a WireStats,
    out: &'a mut Decoded,
    counts: Counts,
}

impl<'a> Reading<'a> {
    /// Of frames whose assets `assets` knows; their events are appended to `out`.
    pub fn new(assets: &'a Interner, stats: &'a WireStats, out: &'a mut Decoded) -> Self {
        Self {
            assets,
            stats,
            out,
            counts: Counts::default(),
        }
    }

    /// Decodes the next frame. Never fails as a whole.
    pub fn frame(&mut self, frame: &[u8]) -> Frame {
        if fast::decode(frame, self.assets, &mut self.counts, self.out).is_none() {
            return self.frame_generally(frame);
        }
        self.counts.fast_frames += 1;
        self.count(frame);
        Frame::Data
    }

    /// Says that this frame will be decoded soon. With many tokens what decoding
    /// waits for is the memory; announced together, before the first is decoded,
    /// the frames of a read wait for it together.
    pub fn expect(&self, frame: &[u8]) {
        fast::expect(frame, self.assets);
    }

    fn frame_generally(&mut self, frame: &[u8]) -> Frame {
        let Self {
            assets, stats, out, ..
        } = self;
        let first = out.events.len();
        let mut is_general = true;
        // Some encoders put a mark of the byte order before their text; JSON has none.
        let frame = frame.strip_prefix(BYTE_ORDER_MARK).unwrap_or(frame);
        let kind = match std::str::from_utf8(frame) {
            Ok(text) if text.trim_ascii_start().starts_with(['{', '[']) => {
                general::decode(text, assets, stats, out)
            }
            Ok(text) if text.contains('{') => {
                // No control text is an object: what stands before it hides an event.
                general::refuse_text(text, assets, stats, out)
            }
            Ok(text) => {
                is_general = false;
                control::decode(text, stats)
            }
            Err(error) => general::refuse_bytes(frame, error, assets, stats, out),
        };
        mark_last_changes(out.events.get_mut(first..).unwrap_or_default());
        self.counts.general_frames += u64::from(is_general);
        self.count(frame);
        kind
    }

    fn count(&mut self, frame: &[u8]) {
        self.counts.frames += 1;
        self.counts.bytes += count(frame.len());
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.stats.add(&self.counts);
    }
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Changes in one frame up to which comparing each with each beats a set; two
/// is the rule.
const FEW_CHANGES: usize = 16;

/// Sets `last_in_frame` on each asset's last change.
fn mark_last_changes(events: &mut [MarketEvent]) {
    if events.len() <= FEW_CHANGES {
        let mut rest = events;
        while let Some((event, behind)) = rest.split_first_mut() {
            if let MarketEvent::PriceChange(change) = event {
                let again = |event: &MarketEvent| matches!(event, MarketEvent::PriceChange(later) if later.asset == change.asset);
                change.last_in_frame = !behind.iter().any(again);
            }
            rest = behind;
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
