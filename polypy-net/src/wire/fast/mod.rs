//! The way for the frames that the venue really sends, many times faster than
//! the general one.
//!
//! Reads `price_change`, `book`, `last_trade_price`, `best_bid_ask` and
//! `tick_size_change`, alone or in an array, in one pass over the bytes. Keys
//! may come in any order and with white space; the venue's own form is read
//! fastest.
//!
//! All or nothing: [`decode`] does exactly what the general way would do,
//! without an error among it, or it says `None` and has done nothing at all.
//! Whatever it is not sure of is for the general way: an escape, a byte beyond
//! ASCII, a number or `null` for a string, a key twice, a value that is not a
//! string behind a key it does not know, an asset that nobody interned, a
//! decimal that does not fit. It therefore counts no errors and loses nothing.
//!
//! | module | |
//! |---|---|
//! | `cursor` | a place in a frame; strings, literals, white space |
//! | `number` | decimals and times, eight digits at a time |
//! | `window` | text whose form is known: literals, prices, sizes at their places |
//! | `entry` | an entry of `price_changes` in the venue's own form |
//! | `change` | a `price_change` in the venue's own form, and entries in any |
//! | `levels` | a side of a book |
//! | `event` | an event from its fields |

mod change;
mod cursor;
mod entry;
mod event;
mod levels;
mod number;
mod window;

use polypy_core::{Interner, Level, MarketEvent};

use self::cursor::Cursor;
use super::kind::EventKind;
use super::stats::Counts;
use super::{Decoded, mark_last_changes};

/// Decodes a frame, its changes marked, or leaves everything as it was.
pub(super) fn decode(
    frame: &[u8],
    assets: &Interner,
    counts: &mut Counts,
    out: &mut Decoded,
) -> Option<()> {
    let mut reader = Reader {
        cursor: Cursor::new(frame),
        assets,
        events: &mut out.events,
        levels: &mut out.levels,
        counts,
    };
    match reader.price_change_in_order() {
        Some(()) => Some(()),
        None => reader.whole(),
    }
}

/// Where the first id stands in a `price_change` of the venue's form, with a
/// market's id of 64 bytes; those of 66 are the other length seen.
const FIRST_ID: usize = r#"{"market":"","price_changes":[{"asset_id":""#.len() + 64;
/// Where that market's id ends.
const MARKET_END: usize = r#"{"market":""#.len() + 64;

/// Has the memory fetched that a frame will need, if it is what most are.
pub(super) fn expect(frame: &[u8], assets: &Interner) {
    let is_longer = frame.get(MARKET_END) != Some(&b'"');
    if let Some(text) = frame.get(FIRST_ID + 2 * usize::from(is_longer)..) {
        assets.prefetch(text);
    }
}

/// One frame's decoding under way.
struct Reader<'a> {
    cursor: Cursor<'a>,
    assets: &'a Interner,
    events: &'a mut Vec<MarketEvent>,
    /// A side of a book while its number of levels is not known.
    levels: &'a mut Vec<Level>,
    counts: &'a mut Counts,
}

impl Reader<'_> {
    /// Reads the whole frame, or leaves everything as it was.
    fn whole(self) -> Option<()> {
        let Self { events, counts, .. } = self;
        let first = events.len();
        // Goes to the others once the frame is known to be good.
        let mut own = Counts::default();
        let mut reader = Reader {
            events: &mut *events,
            counts: &mut own,
            ..self
        };
        if reader.frame().is_none() {
            events.truncate(first);
            return None;
        }
        mark_last_changes(events.get_mut(first..).unwrap_or_default());
        counts.add(&own);
        Some(())
    }

    fn frame(&mut self) -> Option<()> {
        self.cursor.space();
        if self.cursor.literal(b"[").is_some() {
            if !self.cursor.closes(b']') {
                loop {
                    self.event()?;
                    if !self.cursor.goes_on(b']')? {
                        break;
                    }
                }
            }
        } else {
            self.event()?;
        }
        self.cursor.end()
    }
}
