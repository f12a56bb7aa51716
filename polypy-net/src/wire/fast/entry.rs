//! An entry of a `price_change` in the venue's own form, read as one piece: what
//! nearly all of the venue's bytes are.

use polypy_core::intern::{ID_WINDOW, IdMatch};
use polypy_core::{MarketEvent, PriceChange, Side, Timestamp};

use super::Reader;
use super::window::Window;

/// Longer than an entry, and shorter than the shortest one together with what
/// ends a frame: the last entry is read like the others.
const WINDOW: usize = 256;
/// The same for entries without a hash.
const SHORT_WINDOW: usize = 192;

/// Where the id begins.
const ID: usize = br#"{"asset_id":""#.len();

impl<'a> Reader<'a> {
    /// Reads an entry. Adds and moves nothing unless it has the venue's own form.
    #[inline]
    pub(super) fn entry_in_order(
        &mut self,
        before: Option<IdMatch<'a>>,
        timestamp: Timestamp,
    ) -> Option<IdMatch<'a>> {
        let text = self.cursor.rest();
        match Window::at_front(text) {
            Some(text) => self.entry_in::<WINDOW>(text, before, timestamp),
            None => self.short_entry(before, timestamp),
        }
    }

    /// Apart, so that the usual entry's code is not torn in two.
    #[inline(never)]
    fn short_entry(
        &mut self,
        before: Option<IdMatch<'a>>,
        timestamp: Timestamp,
    ) -> Option<IdMatch<'a>> {
        let text = Window::at_front(self.cursor.rest())?;
        self.entry_in::<SHORT_WINDOW>(text, before, timestamp)
    }

    #[inline]
    fn entry_in<const N: usize>(
        &mut self,
        text: Window<'a, N>,
        before: Option<IdMatch<'a>>,
        timestamp: Timestamp,
    ) -> Option<IdMatch<'a>> {
        text.expect(0, br#"{"asset_id":""#)?;
        let named = self
            .assets
            .match_prefix(text.bytes::<ID_WINDOW>(ID)?, before)?;
        let (price, at) = text.price(ID + named.length(), br#"","price":"0."#)?;
        let at = text.expect(at, br#"","size":""#)?;
        let (size, at) = text.size(at)?;
        let at = text.expect(at, br#"","side":""#)?;
        let (side, hash, at) = text.side_and_hash(at)?;
        let (best_bid, at) = text.top(at, br#"","best_bid":"0."#, Side::Bid)?;
        let (best_ask, at) = text.top(at, br#"","best_ask":"0."#, Side::Ask)?;
        if text.bytes(at)? != br#""}"# {
            return None;
        }
        self.cursor.skip(at + 2)?;
        self.events.push(MarketEvent::PriceChange(PriceChange {
            asset: named.key(),
            timestamp,
            side,
            price,
            size,
            hash,
            best_bid,
            best_ask,
            last_in_frame: true,
        }));
        Some(named)
    }
}
