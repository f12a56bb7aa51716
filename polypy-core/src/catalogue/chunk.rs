//! A run of entries, shared by reference between the table and the views of it.
//!
//! Entries and their words stand apart: figures move with every crawl and words hardly
//! ever, so that what is copied for a reader who still holds a chunk is as small as may be.

use std::sync::Arc;

use super::entry::{MarketEntry, MarketNumber};
use super::text::{Fit, Phrase};

/// Entries of a chunk at most. A copy of one takes some ten microseconds.
pub(super) const CHUNK: usize = if cfg!(test) { 8 } else { 1_024 };

/// An entry where it stands.
#[derive(Debug, Clone, Copy)]
pub struct EntryRef<'a> {
    /// The entry.
    pub entry: &'a MarketEntry,
    /// The words of its question, its event's title and its slug, folded.
    pub words: &'a str,
}

/// Some entries, in the order of their numbers.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    entries: Arc<Vec<MarketEntry>>,
    words: Arc<Words>,
}

/// The words of each entry one after the other.
#[derive(Debug, Clone, Default)]
struct Words {
    text: String,
    ends: Vec<u32>,
}

impl Chunk {
    pub(super) fn new() -> Self {
        Self {
            entries: Arc::new(Vec::with_capacity(CHUNK)),
            words: Arc::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= CHUNK
    }

    /// The number of its last entry.
    pub(super) fn last(&self) -> Option<MarketNumber> {
        self.entries.last().map(|entry| entry.number)
    }

    /// Where the entry of this number, or the next larger one, stands.
    pub(super) fn position(&self, number: MarketNumber) -> usize {
        self.entries.partition_point(|entry| entry.number < number)
    }

    pub(super) fn get(&self, at: usize) -> Option<EntryRef<'_>> {
        Some(EntryRef {
            entry: self.entries.get(at)?,
            words: self.words_of(at),
        })
    }

    fn words_of(&self, at: usize) -> &str {
        let Words { text, ends } = &*self.words;
        let begin = begin(ends, at);
        let end = ends.get(at).map_or(begin, |end| *end as usize);
        text.get(begin..end).unwrap_or_default()
    }

    /// The entries from this place on.
    pub(super) fn from(&self, at: usize) -> impl Iterator<Item = EntryRef<'_>> {
        (at..self.len()).filter_map(|at| self.get(at))
    }

    /// The entries that a phrase fits.
    pub(super) fn search<'a>(
        &'a self,
        phrase: &'a Phrase,
    ) -> impl Iterator<Item = (EntryRef<'a>, Fit)> {
        let Words { text, ends } = &*self.words;
        let hits = phrase.fits(text, ends);
        hits.filter_map(|(at, fit)| Some((self.get(at)?, fit)))
    }

    /// Adds an entry whose number is larger than all that are there.
    pub(super) fn push(&mut self, entry: MarketEntry, words: &str) {
        let entries = Arc::make_mut(&mut self.entries);
        entries.push(entry);
        let all = Arc::make_mut(&mut self.words);
        all.text.push_str(words);
        all.ends.push(length(&all.text));
        if entries.len() >= CHUNK {
            entries.shrink_to_fit();
            all.text.shrink_to_fit();
            all.ends.shrink_to_fit();
        }
    }

    pub(super) fn entry_mut(&mut self, at: usize) -> Option<&mut MarketEntry> {
        Arc::make_mut(&mut self.entries).get_mut(at)
    }

    pub(super) fn set_words(&mut self, at: usize, words: &str) {
        let all = Arc::make_mut(&mut self.words);
        let begin = begin(&all.ends, at);
        let Some(end) = all.ends.get(at).map(|end| *end as usize) else {
            return;
        };
        all.text.replace_range(begin..end, words);
        let added = length(words);
        for other in all.ends.iter_mut().skip(at) {
            *other = (*other + added).saturating_sub(u32::try_from(end - begin).unwrap_or(0));
        }
    }

    pub(super) fn remove(&mut self, at: usize) {
        self.set_words(at, "");
        Arc::make_mut(&mut self.words).ends.remove(at);
        Arc::make_mut(&mut self.entries).remove(at);
    }

    /// Adds all of a chunk whose numbers are larger.
    pub(super) fn append(&mut self, later: &Self) {
        for at in 0..later.len() {
            if let Some(EntryRef { entry, words }) = later.get(at) {
                self.push(entry.clone(), words);
            }
        }
    }
}

/// Where the words of one begin: behind those of the one before.
fn begin(ends: &[u32], at: usize) -> usize {
    at.checked_sub(1)
        .and_then(|before| ends.get(before))
        .map_or(0, |end| *end as usize)
}

/// Texts are cut so that a chunk's are far from the end of `u32`.
fn length(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}
