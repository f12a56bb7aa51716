//! Finds an asset by its id where it stands in a frame, without cutting it out
//! first.
//!
//! Beside the interner's map, which knows every id, this is a table of those as
//! long as real ones (a 256-bit number has fewer than 72 digits once in 10⁶).
//! It holds an id together with the text that stands behind it in a level change,
//! 80 bytes in all, so that neither the id's end nor its length need be known
//! before it is found: all 80 are compared, and the last 16, which hold the last
//! digits, are what it is keyed by. Those are random in real ids and count up in
//! made-up ones. It may miss an id that the map knows, never the other way round:
//! whoever misses asks the map. Ids that all end alike therefore cost speed, and
//! a bounded amount.

use std::hint::black_box;
use std::num::NonZeroU8;

use crate::id::MAX_ASSET_DIGITS;
use crate::key::AssetKey;

/// Bytes from an id's first digit on that [`crate::Interner::at_front`] reads: the
/// longest id, the quote behind it, and more.
pub const ID_WINDOW: usize = 80;
/// What stands behind the id in an entry of the venue's own form.
const BEHIND: &[u8] = b"\",\"price\":\"";
/// Shorter ids are left to the map. Not much shorter ones would not fill the
/// window together with [`BEHIND`].
const SHORTEST: usize = 72;
/// Buckets looked at before giving up. At half load a run longer than this is
/// made on purpose.
const PROBES: usize = 128;

/// What a look-up reads.
type Text = [u8; ID_WINDOW];

/// What an id that is long enough looks like in an entry.
fn text_of(id: &str) -> Option<Text> {
    let mut text = [0; ID_WINDOW];
    let (front, back) = text.split_at_mut_checked(id.len())?;
    front.copy_from_slice(id.as_bytes());
    back.copy_from_slice(BEHIND.get(..back.len())?);
    (id.len() >= SHORTEST).then_some(text)
}

/// Whether it is the same text, word by word: `==` would be a call.
#[inline]
fn same(a: &Text, b: &Text) -> bool {
    let (a, _) = a.as_chunks::<8>();
    let (b, _) = b.as_chunks::<8>();
    let differing = a.iter().zip(b).fold(0, |all, (a, b)| {
        all | (u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b))
    });
    differing == 0
}

/// Two products spread every digit of the end over the upper half.
#[inline]
fn hash(text: &Text) -> u64 {
    let (words, _) = text.as_chunks::<8>();
    let word = |at: usize| words.get(at).map_or(0, |word| u64::from_le_bytes(*word));
    let (low, high) = (word(ID_WINDOW / 8 - 2), word(ID_WINDOW / 8 - 1));
    let mixed = (low ^ (low >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ high;
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ (mixed >> 32)
}

/// An id with what is asked for next.
#[derive(Debug, Clone, Copy)]
struct Record {
    text: Text,
    key: AssetKey,
    /// The slot of the market's other token, or [`NO_SLOT`].
    complement: u32,
    /// Of the id.
    length: NonZeroU8,
}

const NO_SLOT: u32 = u32::MAX;

fn slot_of(key: Option<AssetKey>) -> u32 {
    key.map_or(NO_SLOT, |key| u32::try_from(key.slot()).unwrap_or(NO_SLOT))
}

/// The records of two slots, which are nearly always the tokens of one market,
/// interned one after the other. Together they fill three cache lines; on their
/// own they would lie in two each.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Pair([Option<Record>; 2]);

/// Eight bits of the hash, so that nearly every wrong bucket is passed by without
/// touching its record, and one more than the slot; zero when it is empty. Half
/// the size of two numbers is half the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Bucket(u32);

impl Bucket {
    const EMPTY: Self = Self(0);
    const SLOT_BITS: u32 = 24;

    /// `None` for a slot beyond the 16 million that fit.
    fn new(hash: u64, slot: usize) -> Option<Self> {
        let number = u32::try_from(slot).ok()?.checked_add(1)?;
        (number >> Self::SLOT_BITS == 0).then_some(Self(tag(hash) | number))
    }

    fn slot(self) -> Option<usize> {
        ((self.0 << 8 >> 8) as usize).checked_sub(1)
    }

    /// Whether an id of this hash may be the one.
    fn may_be(self, hash: u64) -> bool {
        (self.0 ^ tag(hash)) >> Self::SLOT_BITS == 0
    }
}

/// An asset named in a frame.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a>(&'a Record);

impl Named<'_> {
    /// The asset.
    #[inline]
    pub fn key(self) -> AssetKey {
        self.0.key
    }

    /// The number of its id's digits: where the closing quote stands.
    #[inline]
    pub fn length(self) -> usize {
        // Which it is; that it says so spares the caller's own checks.
        usize::from(self.0.length.get()).min(MAX_ASSET_DIGITS)
    }
}

#[derive(Debug, Default)]
pub(crate) struct IdTable {
    /// A power of two of them, or none.
    buckets: Vec<Bucket>,
    /// By slot.
    records: Vec<Pair>,
    entered: usize,
}

impl IdTable {
    /// See [`crate::Interner::at_front`].
    #[inline]
    pub(crate) fn at_front(&self, text: &[u8], before: Option<Named<'_>>) -> Option<Named<'_>> {
        let text = text.first_chunk()?;
        // A forgotten partner's slot may be another asset's by now, whose text is
        // then another one.
        if let Some(Named(before)) = before
            && let Some(partner) = self.record(before.complement as usize)
            && same(&partner.text, text)
        {
            return Some(Named(partner));
        }
        self.find(text).map(Named)
    }

    /// See [`crate::Interner::touch`].
    #[inline]
    pub(crate) fn touch(&self, text: &[u8]) {
        let Some(text) = text.first_chunk() else {
            return;
        };
        let mask = self.buckets.len().wrapping_sub(1);
        let Some(bucket) = self.buckets.get(home(hash(text)) & mask) else {
            return;
        };
        let pair = bucket.slot().and_then(|slot| self.records.get(slot / 2));
        if let Some(Pair([first, second])) = pair {
            // Looked at for nothing else than to have all of them in the cache.
            let head = |record: &Option<Record>| record.as_ref().map_or(0, |record| record.text[0]);
            black_box((first.is_some(), head(first), second.is_some()));
        }
    }

    #[inline]
    fn record(&self, slot: usize) -> Option<&Record> {
        self.records.get(slot / 2)?.0.get(slot % 2)?.as_ref()
    }

    #[inline]
    fn record_mut(&mut self, slot: usize) -> Option<&mut Option<Record>> {
        self.records.get_mut(slot / 2)?.0.get_mut(slot % 2)
    }

    fn find(&self, text: &Text) -> Option<&Record> {
        let hash = hash(text);
        let mask = self.buckets.len().wrapping_sub(1);
        for probe in 0..PROBES {
            let at = home(hash).wrapping_add(probe) & mask;
            let bucket = *self.buckets.get(at)?;
            let slot = bucket.slot()?;
            if bucket.may_be(hash)
                && let Some(record) = self.record(slot)
                && same(&record.text, text)
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
    pub(crate) fn insert(&mut self, id: &str, key: AssetKey, complement: Option<AssetKey>) {
        let length = u8::try_from(id.len()).ok().and_then(NonZeroU8::new);
        let (Some(text), Some(length)) = (text_of(id), length) else {
            return;
        };
        let pairs = key.slot() / 2 + 1;
        if self.records.len() < pairs {
            self.records.resize(pairs, Pair::default());
        }
        if let Some(record) = self.record_mut(key.slot()) {
            *record = Some(Record {
                text,
                key,
                complement: slot_of(complement),
                length,
            });
        }
        self.entered += 1;
        if self.entered * 2 > self.buckets.len() {
            self.grow();
        } else {
            self.enter(&text, key.slot());
        }
    }

    /// Notes the other token of an asset's market.
    pub(crate) fn set_complement(&mut self, key: AssetKey, complement: Option<AssetKey>) {
        if let Some(Some(record)) = self.record_mut(key.slot()) {
            record.complement = slot_of(complement);
        }
    }

    pub(crate) fn remove(&mut self, slot: usize) {
        let Some(record) = self.record_mut(slot).and_then(Option::take) else {
            return;
        };
        self.entered -= 1;
        let mut places = self.places(hash(&record.text));
        let own = |bucket: &Bucket| bucket.slot() == Some(slot);
        if let Some(at) = places.find(|at| self.buckets.get(*at).is_some_and(own)) {
            self.close_gap(at);
        }
    }

    /// Moves up whoever stands behind an emptied bucket, so that no run is cut.
    fn close_gap(&mut self, mut gap: usize) {
        let mask = self.buckets.len() - 1;
        self.buckets[gap] = Bucket::EMPTY;
        let mut at = gap;
        // A run has an end: half of all buckets are empty.
        loop {
            at = (at + 1) & mask;
            let bucket = self.buckets[at];
            let Some(record) = bucket.slot().and_then(|slot| self.record(slot)) else {
                return;
            };
            let home = home(hash(&record.text)) & mask;
            // Only who is as far from home as from the gap may move into it.
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(gap) & mask) {
                self.buckets[gap] = bucket;
                self.buckets[at] = Bucket::EMPTY;
                gap = at;
            }
        }
    }

    fn grow(&mut self) {
        let buckets = (self.buckets.len() * 2).max(16);
        self.buckets.clear();
        self.buckets.resize(buckets, Bucket::EMPTY);
        for slot in 0..self.records.len() * 2 {
            if let Some(Record { text, .. }) = self.record(slot).copied() {
                self.enter(&text, slot);
            }
        }
    }

    /// Puts a slot into a bucket, if one is free where it would be looked for.
    fn enter(&mut self, text: &Text, slot: usize) {
        let hash = hash(text);
        let mut places = self.places(hash);
        let free = |at: &usize| self.buckets.get(*at) == Some(&Bucket::EMPTY);
        if let Some(at) = places.find(free)
            && let Some(bucket) = Bucket::new(hash, slot)
        {
            self.buckets[at] = bucket;
        }
    }
}

/// The half of the hash that chooses the bucket.
fn home(hash: u64) -> usize {
    usize::try_from(hash & u64::from(u32::MAX)).unwrap_or(0)
}

/// Eight bits of the other half, where a bucket has them.
fn tag(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or(0) & 0xff00_0000
}

#[cfg(test)]
#[path = "id_table_tests.rs"]
mod tests;
