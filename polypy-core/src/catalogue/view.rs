//! The catalogue as it was at one moment, to be read without a lock.

use std::sync::Arc;

use super::chunk::{Chunk, EntryRef};
use super::entry::{MarketEntry, MarketNumber};
use super::tags::Tags;
use super::text::{Fit, Phrase};

/// All markets as they were at one moment. Never changes; a reader that holds it for long holds
/// copies of what has changed since.
#[derive(Debug)]
pub struct CatalogueView {
    chunks: Vec<Chunk>,
    tags: Arc<Tags>,
    len: usize,
    version: u64,
    figures_version: u64,
    is_complete: bool,
}

impl CatalogueView {
    pub(super) fn new(
        chunks: Vec<Chunk>,
        tags: Arc<Tags>,
        versions: (u64, u64),
        is_complete: bool,
    ) -> Self {
        Self {
            is_complete,
            len: chunks.iter().map(Chunk::len).sum(),
            chunks,
            tags,
            version: versions.0,
            figures_version: versions.1,
        }
    }

    /// Two views of one process with equal versions are equal but for figures.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Two views with equal versions of both kinds are equal.
    pub fn figures_version(&self) -> u64 {
        self.figures_version
    }

    /// Whether the venue's listing was read to its end once: until then a market that is not
    /// here may be listed all the same.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// How many markets there are.
    pub fn len(&self) -> usize {
        self.len
    }

    #[cfg(test)]
    pub(super) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The tags that entries have.
    pub fn tags(&self) -> &Tags {
        &self.tags
    }

    /// The market of this number.
    pub fn get(&self, number: MarketNumber) -> Option<&MarketEntry> {
        let first = self.from(number).next()?.entry;
        (first.number == number).then_some(first)
    }

    /// All markets in the order in which they were listed.
    pub fn iter(&self) -> impl Iterator<Item = EntryRef<'_>> {
        self.chunks.iter().flat_map(|chunk| chunk.from(0))
    }

    /// Those from this number on, in the same order.
    pub fn from(&self, number: MarketNumber) -> impl Iterator<Item = EntryRef<'_>> {
        let at = chunk_of(&self.chunks, number);
        let chunks = self.chunks.get(at..).unwrap_or_default();
        chunks
            .iter()
            .flat_map(move |chunk| chunk.from(chunk.position(number)))
    }

    /// Those that a phrase fits, and how well, in the same order.
    pub fn search<'a>(
        &'a self,
        phrase: &'a Phrase,
    ) -> impl Iterator<Item = (EntryRef<'a>, Fit)> + 'a {
        self.chunks.iter().flat_map(|chunk| chunk.search(phrase))
    }
}

/// The chunk in which this number, or the next larger one, stands.
pub(super) fn chunk_of(chunks: &[Chunk], number: MarketNumber) -> usize {
    chunks.partition_point(|chunk| chunk.last() < Some(number))
}
