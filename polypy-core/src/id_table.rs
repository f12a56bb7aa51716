//! Finds an asset by its id where it stands in a frame, without cutting it out
//! first.
//!
//! Beside the interner's map, which knows every id, this is a table of those as
//! long as real ones (a 256-bit number has fewer than 72 digits once in 10⁶).
//! It is keyed by the last 16 digits, which are random in real ids and count up
//! in made-up ones, and compares the whole id before it says yes. It may miss
//! an id that the map knows, never the other way round: whoever misses asks the
//! map. Ids that all end alike therefore cost speed, and a bounded amount.

use std::hint::black_box;

use crate::intern::AssetKey;

/// Bytes from an id's first digit on that a look-up reads: the longest id and
/// the quote behind it.
const WINDOW: usize = 80;
/// Digits compared from the front; together with the last [`TAIL`], all of an
/// id of up to 80.
const HEAD: usize = 64;
const TAIL: usize = 16;
/// The quote is looked for in the last eight bytes of the window.
const SHORTEST: usize = WINDOW - 8;
/// Buckets looked at before giving up. At half load a run longer than this is
/// made on purpose.
const PROBES: usize = 128;
const QUOTES: u64 = u64::from_le_bytes([b'"'; 8]);
const LOW_BITS: u64 = u64::from_le_bytes([0x01; 8]);
const HIGH_BITS: u64 = u64::from_le_bytes([0x80; 8]);

/// An id in the form in which it is compared.
#[derive(Debug, Clone, Copy)]
struct Id {
    head: [u64; HEAD / 8],
    tail: [u64; TAIL / 8],
    length: u32,
}

impl Id {
    /// The bytes up to the first quote that can end an id; whether they are all
    /// digits shows when they are compared.
    #[inline]
    fn before_quote(window: &[u8; WINDOW]) -> Option<Self> {
        let (words, _) = window.as_chunks::<8>();
        let word = |at: usize| words.get(at).map_or(0, |word| u64::from_le_bytes(*word));
        let length = SHORTEST + quote_in(word(WINDOW / 8 - 1))?;
        let tail: &[u8; TAIL] = window.get(length - TAIL..)?.first_chunk()?;
        let half = |at: usize| {
            tail[at..]
                .first_chunk()
                .map(|half| u64::from_le_bytes(*half))
        };
        Some(Self {
            head: std::array::from_fn(word),
            tail: [half(0)?, half(8)?],
            length: u32::try_from(length).ok()?,
        })
    }

    fn of_text(text: &str) -> Option<Self> {
        let mut window = [b'"'; WINDOW];
        window
            .get_mut(..text.len())?
            .copy_from_slice(text.as_bytes());
        Self::before_quote(&window).filter(|id| id.length as usize == text.len())
    }

    /// Whether it is the same id. All of it is compared at once: a branch for
    /// each part, or a call, would cost more.
    #[inline]
    fn is(&self, other: &Self) -> bool {
        let heads = self.head.iter().zip(&other.head);
        let tails = self.tail.iter().zip(&other.tail);
        let differing = heads.chain(tails).fold(0, |all, (a, b)| all | (a ^ b));
        differing | u64::from(self.length ^ other.length) == 0
    }

    /// Two products spread every digit of the tail over the upper half.
    #[inline]
    fn hash(&self) -> u64 {
        let [low, high] = self.tail;
        let mixed = (low ^ (low >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ high;
        let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ (mixed >> 32)
    }
}

/// The place of the first quote among eight bytes.
fn quote_in(word: u64) -> Option<usize> {
    let differing = word ^ QUOTES;
    // The lowest bit set is exact; those above it need not be.
    let quotes = differing.wrapping_sub(LOW_BITS) & !differing & HIGH_BITS;
    (quotes != 0).then(|| (quotes.trailing_zeros() / 8) as usize)
}

/// An id with what is asked for next. Never in more than two cache lines: its
/// 96 bytes begin in the first half of one, or in its last third.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
struct Record {
    id: Id,
    key: AssetKey,
    /// The slot of the market's other token, or [`NO_SLOT`].
    complement: u32,
}

const NO_SLOT: u32 = u32::MAX;

fn slot_of(key: Option<AssetKey>) -> u32 {
    key.map_or(NO_SLOT, |key| u32::try_from(key.slot()).unwrap_or(NO_SLOT))
}

/// A tag of the hash, so that nearly every wrong bucket is passed by without
/// touching its record, and the slot.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    tag: u32,
    /// One more than the slot; zero when the bucket is empty.
    slot: u32,
}

#[derive(Debug, Default)]
pub(crate) struct IdTable {
    /// A power of two of them, or none.
    buckets: Vec<Bucket>,
    /// By slot.
    records: Vec<Option<Record>>,
    entered: usize,
}

impl IdTable {
    /// See [`crate::Interner::at_front`].
    #[inline]
    pub(crate) fn at_front(
        &self,
        text: &[u8],
        before: Option<AssetKey>,
    ) -> Option<(AssetKey, usize)> {
        let id = Id::before_quote(text.first_chunk()?)?;
        if let Some(partner) = before.and_then(|key| self.partner(key))
            && partner.id.is(&id)
        {
            return Some((partner.key, id.length as usize));
        }
        let record = self.find(&id)?;
        Some((record.key, id.length as usize))
    }

    /// See [`crate::Interner::touch`].
    pub(crate) fn touch(&self, text: &[u8]) {
        let Some(id) = text.first_chunk().and_then(Id::before_quote) else {
            return;
        };
        let hash = id.hash();
        let mask = self.buckets.len().wrapping_sub(1);
        let Some(bucket) = self.buckets.get(home(hash) & mask) else {
            return;
        };
        let slot = (bucket.slot as usize).wrapping_sub(1);
        if let Some(record) = self.record(slot) {
            let partner = self.record(record.complement as usize);
            // Looked at for nothing else than to have them in the cache.
            black_box(record.id.length);
            black_box(partner.map(|partner| partner.id.length));
        }
    }

    fn partner(&self, key: AssetKey) -> Option<&Record> {
        let record = self.record(key.slot())?;
        // A forgotten partner's slot may be another asset's by now, whose id
        // is then another one.
        self.record(record.complement as usize)
    }

    fn record(&self, slot: usize) -> Option<&Record> {
        self.records.get(slot)?.as_ref()
    }

    fn find(&self, id: &Id) -> Option<&Record> {
        let hash = id.hash();
        for at in self.places(hash) {
            let bucket = self.buckets.get(at)?;
            if bucket.slot == 0 {
                return None;
            }
            if bucket.tag == tag(hash)
                && let Some(record) = self.record(bucket.slot as usize - 1)
                && record.id.is(id)
            {
                return Some(record);
            }
        }
        None
    }

    /// The buckets in which an id of this hash may be, in order.
    fn places(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let mask = self.buckets.len().wrapping_sub(1);
        let probes = PROBES.min(self.buckets.len());
        let home = home(hash);
        (0..probes).map(move |probe| home.wrapping_add(probe) & mask)
    }

    /// Enters an id. Ids unlike real ones are left to the map.
    pub(crate) fn insert(&mut self, text: &str, key: AssetKey, complement: Option<AssetKey>) {
        let Some(id) = Id::of_text(text) else { return };
        if self.records.len() <= key.slot() {
            self.records.resize(key.slot() + 1, None);
        }
        self.records[key.slot()] = Some(Record {
            id,
            key,
            complement: slot_of(complement),
        });
        self.entered += 1;
        if self.entered * 2 > self.buckets.len() {
            self.grow();
        } else {
            self.enter(&id, key.slot());
        }
    }

    /// Notes the other token of an asset's market.
    pub(crate) fn set_complement(&mut self, key: AssetKey, complement: Option<AssetKey>) {
        if let Some(Some(record)) = self.records.get_mut(key.slot()) {
            record.complement = slot_of(complement);
        }
    }

    pub(crate) fn remove(&mut self, slot: usize) {
        let Some(record) = self.records.get_mut(slot).and_then(Option::take) else {
            return;
        };
        self.entered -= 1;
        let mut places = self.places(record.id.hash());
        let own = |bucket: &Bucket| bucket.slot as usize == slot + 1;
        if let Some(at) = places.find(|at| self.buckets.get(*at).is_some_and(own)) {
            self.close_gap(at);
        }
    }

    /// Moves up whoever stands behind an emptied bucket, so that no run is cut.
    fn close_gap(&mut self, mut gap: usize) {
        let mask = self.buckets.len() - 1;
        self.buckets[gap] = Bucket::default();
        let mut at = gap;
        // A run has an end: half of all buckets are empty.
        loop {
            at = (at + 1) & mask;
            let bucket = self.buckets[at];
            let Some(record) = (bucket.slot as usize)
                .checked_sub(1)
                .and_then(|slot| self.record(slot))
            else {
                return;
            };
            let home = home(record.id.hash()) & mask;
            // Only who is as far from home as from the gap may move into it.
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(gap) & mask) {
                self.buckets[gap] = bucket;
                self.buckets[at] = Bucket::default();
                gap = at;
            }
        }
    }

    fn grow(&mut self) {
        let buckets = (self.buckets.len() * 2).max(16);
        self.buckets.clear();
        self.buckets.resize(buckets, Bucket::default());
        for slot in 0..self.records.len() {
            if let Some(Record { id, .. }) = self.records[slot] {
                self.enter(&id, slot);
            }
        }
    }

    /// Puts a slot into a bucket, if one is free where it would be looked for.
    fn enter(&mut self, id: &Id, slot: usize) {
        let hash = id.hash();
        let mut places = self.places(hash);
        let free = places.find(|at| self.buckets.get(*at).is_some_and(|b| b.slot == 0));
        if let Some(at) = free
            && let Some(slot) = u32::try_from(slot + 1).ok()
        {
            let tag = tag(hash);
            self.buckets[at] = Bucket { tag, slot };
        }
    }
}

/// The half of the hash that chooses the bucket.
fn home(hash: u64) -> usize {
    usize::try_from(hash & u64::from(u32::MAX)).unwrap_or(0)
}

/// The other half.
fn tag(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or(0)
}

#[cfg(test)]
#[path = "id_table_tests.rs"]
mod tests;
