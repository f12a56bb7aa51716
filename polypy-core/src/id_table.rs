//! Looks an asset up by its id inside a frame, without cutting the id out first.
//!
//! The interner's map knows every id. This table, beside it, holds the ids that are
//! as long as real ones (a 256-bit number has fewer than 72 digits once in 10⁶). A
//! record is the id together with the text that follows it in a level change, 80
//! bytes in all, so that the lookup needs to know neither the id's end nor its
//! length: it compares all 80 bytes. The hash is of the last 16 of them, which hold
//! the id's last digits: random in real ids, counting up in made-up ones.
//!
//! The table may miss an id that the map knows, and never finds one that the map
//! does not know: after a miss the caller asks the map. Ids that all end alike
//! therefore cost speed only, and at most [`PROBES`] steps a lookup.
//!
//! Collisions are resolved by linear probing, removals by shifting back.

use std::hint::black_box;
use std::num::NonZeroU8;

use crate::id::MAX_ASSET_DIGITS;
use crate::key::AssetKey;

/// Bytes from an id's first digit on that [`crate::Interner::match_prefix`] reads:
/// the longest id, the quote after it, and more.
pub const ID_WINDOW: usize = 80;
/// The text that follows the id in an entry as the venue writes it.
const SUFFIX: &[u8] = b"\",\"price\":\"";
/// The table leaves shorter ids to the map. An id of fewer than 69 digits would not
/// fill the window together with [`SUFFIX`].
const MIN_DIGITS: usize = 72;
/// Buckets that a lookup reads before it gives up. At half load a longer run of
/// full buckets does not come about by chance.
const PROBES: usize = 128;

/// The bytes that a lookup compares.
type Window = [u8; ID_WINDOW];

/// An id as an entry shows it; `None` if it is too short for the table.
fn window_of(id: &str) -> Option<Window> {
    let mut text = [0; ID_WINDOW];
    let (front, back) = text.split_at_mut_checked(id.len())?;
    front.copy_from_slice(id.as_bytes());
    back.copy_from_slice(SUFFIX.get(..back.len())?);
    (id.len() >= MIN_DIGITS).then_some(text)
}

/// Whether two windows are equal, word by word: `==` would be a call of `memcmp`.
#[inline]
fn same(a: &Window, b: &Window) -> bool {
    let (a, _) = a.as_chunks::<8>();
    let (b, _) = b.as_chunks::<8>();
    let differing = a.iter().zip(b).fold(0, |all, (a, b)| {
        all | (u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b))
    });
    differing == 0
}

/// Two multiplications spread every one of the last digits over the upper half.
#[inline]
fn hash(text: &Window) -> u64 {
    let (words, _) = text.as_chunks::<8>();
    let word = |at: usize| words.get(at).map_or(0, |word| u64::from_le_bytes(*word));
    let (low, high) = (word(ID_WINDOW / 8 - 2), word(ID_WINDOW / 8 - 1));
    let mixed = (low ^ (low >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ high;
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ (mixed >> 32)
}

/// An id with what the decoder asks for once it has found it.
#[derive(Debug, Clone, Copy)]
struct Record {
    text: Window,
    key: AssetKey,
    /// The slot of the market's other token, or [`NO_SLOT`].
    complement: u32,
    /// Digits of the id.
    length: NonZeroU8,
}

const NO_SLOT: u32 = u32::MAX;

fn slot_of(key: Option<AssetKey>) -> u32 {
    key.map_or(NO_SLOT, |key| u32::try_from(key.slot()).unwrap_or(NO_SLOT))
}

/// The records of two neighbouring slots: nearly always the two tokens of one
/// market, which are interned one after the other. Together they fill three cache
/// lines; each on its own would span two.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Pair([Option<Record>; 2]);

/// Eight bits of the hash, so that a lookup passes nearly every wrong bucket without
/// reading its record, and one more than the slot; zero when it is empty. Both in
/// one number take half the cache that two numbers would.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Bucket(u32);

impl Bucket {
    const EMPTY: Self = Self(0);
    const SLOT_BITS: u32 = 24;

    /// `None` for a slot above the 16 million that fit.
    fn new(hash: u64, slot: usize) -> Option<Self> {
        let number = u32::try_from(slot).ok()?.checked_add(1)?;
        (number >> Self::SLOT_BITS == 0).then_some(Self(tag(hash) | number))
    }

    fn slot(self) -> Option<usize> {
        ((self.0 << 8 >> 8) as usize).checked_sub(1)
    }

    /// Whether the bucket's id can be one of this hash.
    fn may_match(self, hash: u64) -> bool {
        (self.0 ^ tag(hash)) >> Self::SLOT_BITS == 0
    }
}

/// The asset that a lookup found in a frame.
#[derive(Debug, Clone, Copy)]
pub struct IdMatch<'a>(&'a Record);

impl IdMatch<'_> {
    /// The asset.
    #[inline]
    pub fn key(self) -> AssetKey {
        self.0.key
    }

    /// The number of the id's digits: the offset of the closing quote.
    #[inline]
    pub fn length(self) -> usize {
        // It never is more. Stating it spares the caller its bounds checks.
        usize::from(self.0.length.get()).min(MAX_ASSET_DIGITS)
    }
}

#[derive(Debug, Default)]
pub(crate) struct IdTable {
    /// A power of two of them, or none.
    buckets: Vec<Bucket>,
    /// By slot.
    records: Vec<Pair>,
    len: usize,
}

impl IdTable {
    /// See [`crate::Interner::match_prefix`].
    #[inline]
    pub(crate) fn match_prefix(
        &self,
        text: &[u8],
        previous: Option<IdMatch<'_>>,
    ) -> Option<IdMatch<'_>> {
        let text = text.first_chunk()?;
        // Once the other token is forgotten, another asset may have its slot. The
        // comparison refuses it, because its text differs.
        if let Some(IdMatch(previous)) = previous
            && let Some(other) = self.record(previous.complement as usize)
            && same(&other.text, text)
        {
            return Some(IdMatch(other));
        }
        self.find(text).map(IdMatch)
    }

    /// See [`crate::Interner::prefetch`].
    #[inline]
    pub(crate) fn prefetch(&self, text: &[u8]) {
        let Some(text) = text.first_chunk() else {
            return;
        };
        let mask = self.buckets.len().wrapping_sub(1);
        let Some(bucket) = self.buckets.get(home(hash(text)) & mask) else {
            return;
        };
        let pair = bucket.slot().and_then(|slot| self.records.get(slot / 2));
        if let Some(Pair([first, second])) = pair {
            // A read of each of the pair's three lines is all that is wanted.
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

    fn find(&self, text: &Window) -> Option<&Record> {
        let hash = hash(text);
        let mask = self.buckets.len().wrapping_sub(1);
        for probe in 0..PROBES {
            let at = home(hash).wrapping_add(probe) & mask;
            let bucket = *self.buckets.get(at)?;
            let slot = bucket.slot()?;
            if bucket.may_match(hash)
                && let Some(record) = self.record(slot)
                && same(&record.text, text)
            {
                return Some(record);
            }
        }
        None
    }

    /// The buckets in which an id of this hash may be, in the order of probing.
    fn probes(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let mask = self.buckets.len().wrapping_sub(1);
        let probes = PROBES.min(self.buckets.len());
        let home = home(hash);
        (0..probes).map(move |probe| home.wrapping_add(probe) & mask)
    }

    /// Adds an id, unless it is too short: the map alone knows that one.
    pub(crate) fn insert(&mut self, id: &str, key: AssetKey, complement: Option<AssetKey>) {
        let length = u8::try_from(id.len()).ok().and_then(NonZeroU8::new);
        let (Some(text), Some(length)) = (window_of(id), length) else {
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
        self.len += 1;
        if self.len * 2 > self.buckets.len() {
            self.grow();
        } else {
            self.fill_bucket(&text, key.slot());
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
        self.len -= 1;
        let mut probes = self.probes(hash(&record.text));
        let own = |bucket: &Bucket| bucket.slot() == Some(slot);
        if let Some(at) = probes.find(|at| self.buckets.get(*at).is_some_and(own)) {
            self.shift_back(at);
        }
    }

    /// Empties a bucket, and shifts the buckets of the run after it back into the
    /// gap, so that no lookup ends early at an empty bucket.
    fn shift_back(&mut self, mut gap: usize) {
        let mask = self.buckets.len() - 1;
        self.buckets[gap] = Bucket::EMPTY;
        let mut at = gap;
        // The loop ends: half of all buckets are empty.
        loop {
            at = (at + 1) & mask;
            let bucket = self.buckets[at];
            let Some(record) = bucket.slot().and_then(|slot| self.record(slot)) else {
                return;
            };
            let home = home(hash(&record.text)) & mask;
            // A bucket may move into the gap only if the gap is not before its home.
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
                self.fill_bucket(&text, slot);
            }
        }
    }

    /// Puts a slot into the first free bucket that a lookup would probe, if there is
    /// one. Without one the map alone knows the id.
    fn fill_bucket(&mut self, text: &Window, slot: usize) {
        let hash = hash(text);
        let mut probes = self.probes(hash);
        let free = |at: &usize| self.buckets.get(*at) == Some(&Bucket::EMPTY);
        if let Some(at) = probes.find(free)
            && let Some(bucket) = Bucket::new(hash, slot)
        {
            self.buckets[at] = bucket;
        }
    }
}

/// The half of the hash that chooses the first bucket probed.
fn home(hash: u64) -> usize {
    usize::try_from(hash & u64::from(u32::MAX)).unwrap_or(0)
}

/// Eight bits of the other half, at their place in a bucket.
fn tag(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or(0) & 0xff00_0000
}

#[cfg(test)]
#[path = "id_table_tests.rs"]
mod tests;
