//! `price_change`: the frame in the venue's own form, and entries in any.

use polypy_core::{MarketEvent, PriceChange, Side, Timestamp};

use super::{EventKind, Reader, event, number};

/// What ends a frame of the venue's own form.
const END: usize = br#"],"timestamp":"1791200000100","event_type":"price_change"}"#.len();

impl Reader<'_> {
    /// Reads a frame in the venue's own form and counts the event. If the frame
    /// is none, nothing is done.
    pub(super) fn price_change_in_order(&mut self) -> Option<()> {
        let (start, first) = (self.cursor, self.events.len());
        let read = self.frame_in_order();
        if read.is_some() {
            self.count_changes(first);
        } else {
            self.events.truncate(first);
            self.cursor = start;
        }
        read
    }

    fn frame_in_order(&mut self) -> Option<()> {
        // The time stands behind the entries that want it.
        let timestamp = end(self.cursor.rest().last_chunk()?)?;
        self.cursor.literal(br#"{"market":""#)?;
        self.cursor.long_string_end()?;
        self.cursor.literal(br#","price_changes":["#)?;
        self.entries(timestamp)?;
        // What was taken for the frame's end stands behind the last entry.
        (self.cursor.rest().len() == END - 1).then_some(())
    }

    /// Reads entries from behind `[` to behind `]`.
    pub(super) fn entries(&mut self, timestamp: Timestamp) -> Option<()> {
        let mut before = None;
        if self.cursor.closes(b']') {
            return Some(());
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
            last_in_frame: false,
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
        self.counts.level_changes += u64::try_from(changes).unwrap_or(u64::MAX);
        self.counts.count_event(EventKind::PriceChange);
    }
}

/// The time in what ends a frame of the venue's own form.
fn end(text: &[u8; END]) -> Option<Timestamp> {
    let time = text.strip_prefix(br#"],"timestamp":""#)?;
    let time = time.strip_suffix(br#"","event_type":"price_change"}"#)?;
    number::timestamp(time)
}
