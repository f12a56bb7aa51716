//! `price_change`: the frame in the venue's own form, and entries in any.

use polypy_core::{MarketEvent, PriceChange, Side, Timestamp};

use super::cursor::{BLOCK, is_plain, specials};
use super::window::Window;
use super::{EventKind, Reader, event, number};
use crate::counter::count;
use crate::wire::mark_last_changes;

/// What ends a frame of the venue's own form.
const END: usize = br#"],"timestamp":"1791200000100","event_type":"price_change"}"#.len();
/// As long as what begins one, and more: an entry is longer.
const BEGIN: usize = 128;

impl Reader<'_> {
    /// Reads a frame in the venue's own form and counts the event. If the frame
    /// is none, nothing is done.
    pub(super) fn price_change_in_order(&mut self) -> Option<()> {
        let (start, first) = (self.cursor, self.events.len());
        let read = self.frame_in_order();
        if read.is_some() {
            self.count_changes(first);
            mark_last(self.events.get_mut(first..).unwrap_or_default());
        } else {
            self.events.truncate(first);
            self.cursor = start;
        }
        read
    }

    fn frame_in_order(&mut self) -> Option<()> {
        // The time stands behind the entries that want it.
        let timestamp = end(self.cursor.rest().last_chunk()?)?;
        self.cursor.skip(begin(self.cursor.rest())?)?;
        self.entries(timestamp)?;
        // What was taken for the frame's end stands behind the last entry.
        (self.cursor.rest().len() == END - 1).then_some(())
    }

    /// Reads entries from behind `[` to behind `]`.
    pub(super) fn entries(&mut self, timestamp: Timestamp) -> Option<()> {
        let mut before = None;
        // A change that changes nothing is odd, and for the general way.
        if self.cursor.closes(b']') {
            return None;
        }
        loop {
            before = self.entry_in_order(before, timestamp);
            if before.is_none() {
                self.entry(timestamp)?;
            }
            if !self.cursor.goes_on(b']')? {
                return Some(());
            }
        }
    }

    /// Reads an entry whatever the order of its keys.
    #[cold]
    fn entry(&mut self, timestamp: Timestamp) -> Option<()> {
        let [mut asset, mut price, mut size, mut side] = [None; 4];
        let [mut hash, mut best_bid, mut best_ask] = [None; 3];
        self.cursor.token(b'{')?;
        loop {
            let field = match self.cursor.key()? {
                b"asset_id" => Some(&mut asset),
                b"price" => Some(&mut price),
                b"size" => Some(&mut size),
                b"side" => Some(&mut side),
                b"hash" => Some(&mut hash),
                b"best_bid" => Some(&mut best_bid),
                b"best_ask" => Some(&mut best_ask),
                _ => None,
            };
            event::set(field, self.cursor.string()?)?;
            if !self.cursor.goes_on(b'}')? {
                break;
            }
        }
        self.events.push(MarketEvent::PriceChange(PriceChange {
            asset: event::asset(asset?, self.assets)?,
            timestamp,
            side: event::side(side?)?,
            price: event::price(price?)?,
            size: event::size(size?)?,
            hash: event::hash(hash)?,
            best_bid: event::top(best_bid, Side::Bid)?,
            best_ask: event::top(best_ask, Side::Ask)?,
            last_in_frame: true,
        }));
        Some(())
    }

    /// Gives the entries from `first` on the time that was found behind them, and
    /// counts the event.
    pub(super) fn price_changed(&mut self, first: usize, timestamp: Timestamp) {
        for event in self.events.get_mut(first..).unwrap_or_default() {
            if let MarketEvent::PriceChange(change) = event {
                change.timestamp = timestamp;
            }
        }
        self.count_changes(first);
    }

    fn count_changes(&mut self, first: usize) {
        let changes = self.events.len() - first;
        self.counts.level_changes += count(changes);
        self.counts.count_event(EventKind::PriceChange);
    }
}

/// The length of what stands before the entries in the venue's own form, with a
/// market's id of either length seen.
fn begin(frame: &[u8]) -> Option<usize> {
    const MARKET: usize = br#"{"market":""#.len();
    let text: Window<'_, BEGIN> = Window::at_front(frame)?;
    text.expect(0, br#"{"market":""#)?;
    let mut plain = is_plain(text.bytes(MARKET)?);
    let mut end = MARKET + BLOCK;
    if text.bytes(end)? != b"\"" {
        end += 2;
        plain &= specials(text.word(end - 8)?) == 0;
    }
    let begin = text.expect(end, br#"","price_changes":["#)?;
    plain.then_some(begin)
}

/// The time in what ends a frame of the venue's own form.
fn end(frame: &[u8; END]) -> Option<Timestamp> {
    const TIME: usize = br#"],"timestamp":""#.len();
    let text: Window<'_, END> = Window::at_front(frame)?;
    text.expect(0, br#"],"timestamp":""#)?;
    let timestamp = number::timestamp(text.bytes::<13>(TIME)?)?;
    text.expect(TIME + 13, br#"","event_type":"price_change"}"#)?;
    Some(timestamp)
}

/// Entries say of themselves that they are their asset's last; corrects that.
fn mark_last(entries: &mut [MarketEvent]) {
    match entries {
        // Nine frames in ten.
        [first, second] if first.asset() != second.asset() => {}
        entries => mark_last_changes(entries),
    }
}
