//! The table behind the catalogue: one writer, who holds it under a lock, and views for
//! everybody else.
//!
//! A row that is taken in replaces what it states and leaves what it does not: tags come
//! only where they were asked for, and no answer states everything. Markets, events and
//! outcomes that are equal are one piece of memory.
//!
//! Bounds: [`MOST_MARKETS`] markets, [`MOST_TAGS`] tags of each, [`MOST_WORDS`] bytes of words;
//! what goes beyond is left out and counted.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use super::chunk::{CHUNK, Chunk, EntryRef};
use super::entry::{
    Listed, MarketEntry, MarketNumber, MarketStatus, NotFollowed, Resolution, Tag, TagId, Verdict,
    VerdictCounts,
};
use super::tags::Tags;
use super::text::{fold, words};
use super::view::{CatalogueView, chunk_of};
use crate::id::ConditionId;
use crate::key::AssetKey;
use crate::market::Market;
use crate::slug::folded;

/// Markets at most: ten times what the venue lists.
pub const MOST_MARKETS: usize = 500_000;
/// Tags of a market at most.
pub const MOST_TAGS: usize = 32;
/// Bytes of a market's words at most.
pub const MOST_WORDS: usize = 512;
/// Markets of an event that are asked for what can be shared: the first has it nearly always.
const ASKED: usize = 8;
/// Outcomes that are shared at most: "Yes", "No", and the names of many teams.
const MOST_OUTCOMES: usize = 4_096;

/// What a row has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// Anything of the [`Market`].
    pub market: bool,
    /// What it is called, or what it belongs to.
    pub names: bool,
    /// When it ends.
    pub end: bool,
    /// Its tags.
    pub tags: bool,
    /// Its figures.
    pub figures: bool,
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// The market's place.
    pub number: MarketNumber,
    /// It was not known.
    pub is_new: bool,
    /// What has changed of a known one.
    pub changed: Facts,
}

/// What was left out so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// Markets, for there were too many.
    pub markets: u64,
    /// Tags, for one market had too many, or they had no name or too long a one.
    pub tags: u64,
    /// Words behind the end of what is kept of a market: so many markets have some.
    pub words: u64,
}

/// Every market that is listed.
#[derive(Debug, Default)]
pub struct CatalogueTable {
    chunks: Vec<Chunk>,
    /// Hashes of condition ids, token ids, slugs and events' slugs, each with a market that
    /// has it. There are five of a market: in half of their bits they take half the memory,
    /// and what is found by them is compared anyway.
    names: BTreeSet<(u32, u32)>,
    hasher: RandomState,
    tags: Arc<Tags>,
    outcomes: HashSet<Arc<str>>,
    len: usize,
    next: u64,
    version: u64,
    figures_version: u64,
    is_complete: bool,
    /// The newest, until something changes.
    view: Option<Arc<CatalogueView>>,
    left_out: LeftOut,
    counts: VerdictCounts,
}

/// What a market is found by.
#[derive(Debug, Hash)]
enum Name<'a> {
    /// In the one spelling that all have in common.
    Condition(Cow<'a, str>),
    Token(&'a str),
    /// Capitals make no difference, nor in that of an event.
    Slug(Cow<'a, str>),
    Event(Cow<'a, str>),
}

fn names(market: &Market) -> impl Iterator<Item = Name<'_>> {
    let id = Name::Condition(market.condition_id.canonical());
    let slug = market.slug.as_deref();
    let slug = slug.map(|slug| Name::Slug(folded(slug)));
    let event = market.event.as_ref();
    let event = event.map(|event| Name::Event(folded(&event.slug)));
    let tokens = market.tokens.iter();
    let tokens = tokens.map(|token| Name::Token(token.token_id.as_str()));
    std::iter::once(id).chain(slug).chain(event).chain(tokens)
}

/// A market's number in the index of names: no larger one is given out.
fn short(number: MarketNumber) -> u32 {
    u32::try_from(number.get()).unwrap_or(u32::MAX)
}

fn has_other_names(market: &Market, before: &Market) -> bool {
    market.question != before.question
        || market.tokens != before.tokens
        || market.slug != before.slug
        || market.event != before.event
        || market.group != before.group
        || market.category != before.category
        || market.neg_risk != before.neg_risk
}

impl CatalogueTable {
    /// How many markets there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What was left out so far.
    pub fn left_out(&self) -> LeftOut {
        self.left_out
    }

    /// How many open markets are followed or not.
    pub fn counts(&self) -> VerdictCounts {
        self.counts
    }

    /// The tags that entries have.
    pub fn tags(&self) -> &Tags {
        &self.tags
    }

    /// Everything as it is now, to be read without the table.
    pub fn view(&mut self) -> Arc<CatalogueView> {
        let view = self.view.get_or_insert_with(|| {
            let versions = (self.version, self.figures_version);
            let tags = Arc::clone(&self.tags);
            let chunks = self.chunks.clone();
            Arc::new(CatalogueView::new(chunks, tags, versions, self.is_complete))
        });
        Arc::clone(view)
    }

    /// The market of this number.
    pub fn get(&self, number: MarketNumber) -> Option<EntryRef<'_>> {
        let chunk = self.chunks.get(chunk_of(&self.chunks, number))?;
        let found = chunk.get(chunk.position(number))?;
        (found.entry.number == number).then_some(found)
    }

    /// The place of the market with exactly this id.
    pub fn number_of(&self, condition: &ConditionId) -> Option<MarketNumber> {
        let mut same = self.named(Name::Condition(condition.canonical()));
        same.find(|entry| entry.market.condition_id == *condition)
            .map(|entry| entry.number)
    }

    /// The markets with this condition id, in any spelling, or this slug; those that have
    /// not ended first, the newest first.
    pub fn find(&self, name: &str) -> Vec<MarketEntry> {
        let mut found: Vec<_> = match ConditionId::new(name) {
            Ok(condition) => {
                let id = Name::Condition(condition.canonical());
                self.named(id).cloned().collect()
            }
            Err(_) => self.named(Name::Slug(folded(name))).cloned().collect(),
        };
        found.sort_by_key(|entry| {
            (
                entry.status != MarketStatus::Open,
                u64::MAX - entry.number.get(),
            )
        });
        found
    }

    /// The market that has this token; of several one that has not ended, and the newest.
    pub fn of_token(&self, token_id: &str) -> Option<MarketEntry> {
        let found = self.named(Name::Token(token_id));
        let rank = |entry: &&MarketEntry| (entry.status == MarketStatus::Open, entry.number);
        found.max_by_key(rank).cloned()
    }

    /// The markets of the event with this slug, in the order in which the venue shows them.
    pub fn event(&self, slug: &str) -> Vec<MarketEntry> {
        let mut found: Vec<_> = self.named(Name::Event(folded(slug))).cloned().collect();
        found.sort_by_key(|entry| {
            let order = entry.market.group.as_ref().and_then(|group| group.order);
            (order.is_none(), order, entry.number)
        });
        found
    }

    /// The markets that have this name.
    fn named<'a>(&'a self, name: Name<'a>) -> impl Iterator<Item = &'a MarketEntry> {
        let hash = self.hash(&name);
        self.names
            .range((hash, 0)..=(hash, u32::MAX))
            .filter_map(|(_, number)| Some(self.get(MarketNumber::new((*number).into()))?.entry))
            .filter(move |entry| match &name {
                Name::Condition(id) => entry.market.condition_id.canonical() == *id,
                Name::Token(id) => {
                    let mut tokens = entry.market.tokens.iter();
                    tokens.any(|token| token.token_id.as_str() == *id)
                }
                Name::Slug(slug) => {
                    let own = entry.market.slug.as_deref();
                    own.is_some_and(|own| own.eq_ignore_ascii_case(slug))
                }
                Name::Event(slug) => {
                    let event = entry.market.event.as_ref();
                    event.is_some_and(|event| event.slug.eq_ignore_ascii_case(slug))
                }
            })
    }

    /// Takes in what a row says of a market. `None`: there are too many markets.
    ///
    /// A new one has not been judged yet. One that has ended stays so.
    pub fn take_in(&mut self, listed: Listed) -> Option<Taken> {
        match self.number_of(&listed.market.condition_id) {
            Some(number) => self.update(number, listed),
            None => self.insert(listed),
        }
    }

    fn update(&mut self, number: MarketNumber, listed: Listed) -> Option<Taken> {
        let Listed {
            mut market,
            figures,
            tags,
        } = listed;
        let tags = tags.map(|tags| self.tag_ids(tags));
        let known = self.get(number)?.entry;
        let before = Arc::clone(&known.market);
        market.complete_from(&before);
        let figures = figures.or(known.figures);
        let changed = Facts {
            market: market != *before,
            names: has_other_names(&market, &before),
            end: market.end_timestamp != before.end_timestamp,
            tags: tags.is_some() && tags.as_deref() != known.tags.as_deref(),
            figures: figures != known.figures,
        };
        let taken = Taken {
            number,
            is_new: false,
            changed,
        };
        if changed == Facts::default() {
            return Some(taken);
        }
        self.version += u64::from(changed.market || changed.tags);
        self.figures_version += u64::from(changed.figures);
        if changed.market {
            self.share(&mut market);
        }
        if changed.names {
            self.rename(&before, &market, number);
        }
        let tags = tags.filter(|_| changed.tags);
        let tags = tags.map(|tags| self.share_tags(&market, tags));
        self.change(number, |entry| {
            if changed.market {
                entry.market = Arc::new(market);
            }
            if changed.tags {
                entry.tags = tags;
            }
            entry.figures = figures;
        });
        Some(taken)
    }

    fn insert(&mut self, listed: Listed) -> Option<Taken> {
        let Listed {
            mut market,
            figures,
            tags,
        } = listed;
        if self.len >= MOST_MARKETS || self.next > u32::MAX.into() {
            self.left_out.markets += 1;
            return None;
        }
        let tags = tags.map(|tags| self.tag_ids(tags));
        let tags = tags.map(|tags| self.share_tags(&market, tags));
        self.share(&mut market);
        let number = MarketNumber::new(self.next);
        let words = self.words_of(&market);
        self.enter(&market, number);
        self.view = None;
        self.next += 1;
        self.len += 1;
        self.version += 1;
        if self.chunks.last().is_none_or(Chunk::is_full) {
            self.chunks.push(Chunk::new());
        }
        let entry = MarketEntry {
            number,
            market: Arc::new(market),
            figures,
            tags,
            status: MarketStatus::Open,
            resolution: None,
            verdict: Verdict::NotFollowed(NotFollowed::Unjudged),
            keys: None,
        };
        self.counts.add(&entry);
        if let Some(last) = self.chunks.last_mut() {
            last.push(entry, &words);
        }
        Some(Taken {
            number,
            is_new: true,
            changed: Facts::default(),
        })
    }

    /// Says whether a market is followed; with the keys of its tokens while it is.
    pub fn set_verdict(
        &mut self,
        number: MarketNumber,
        verdict: Verdict,
        keys: Option<Arc<[AssetKey]>>,
    ) {
        let is_so = |entry: &MarketEntry| entry.verdict == verdict && entry.keys == keys;
        if self.get(number).is_some_and(|found| !is_so(found.entry)) {
            self.version += 1;
            self.change(number, |entry| {
                entry.verdict = verdict;
                entry.keys = keys;
            });
        }
    }

    /// Says whether a market trades, and how it came out as far as that is known.
    pub fn set_status(
        &mut self,
        number: MarketNumber,
        status: MarketStatus,
        resolution: Option<Resolution>,
    ) {
        let is_so = |entry: &MarketEntry| {
            entry.status == status && entry.resolution.as_deref() == resolution.as_ref()
        };
        if self.get(number).is_some_and(|found| !is_so(found.entry)) {
            self.version += 1;
            self.change(number, |entry| {
                entry.status = status;
                entry.resolution = resolution.map(Arc::new);
            });
        }
    }

    /// The venue's listing was read to its end.
    pub fn complete(&mut self) {
        if !self.is_complete {
            self.is_complete = true;
            self.version += 1;
            self.view = None;
        }
    }

    /// Leaves a market out from now on. Whether it was there.
    pub fn remove(&mut self, number: MarketNumber) -> bool {
        let Some(entry) = self.get(number).map(|found| found.entry.clone()) else {
            return false;
        };
        let market = &entry.market;
        self.counts.subtract(&entry);
        self.leave(market, number);
        self.view = None;
        self.version += 1;
        self.len -= 1;
        let at = chunk_of(&self.chunks, number);
        if let Some(chunk) = self.chunks.get_mut(at) {
            chunk.remove(chunk.position(number));
        }
        self.join(at);
        true
    }

    /// Joins a chunk that is half empty with a neighbour, so that chunks stay few.
    fn join(&mut self, at: usize) {
        let len = |at: usize| self.chunks.get(at).map_or(CHUNK + 1, Chunk::len);
        if len(at) > CHUNK / 2 {
            return;
        }
        let pair = [at.checked_sub(1), Some(at)];
        let first = pair
            .into_iter()
            .flatten()
            .find(|first| len(*first) + len(first + 1) <= CHUNK);
        if let Some(first) = first {
            let later = self.chunks.remove(first + 1);
            if let Some(first) = self.chunks.get_mut(first) {
                first.append(&later);
            }
        } else if len(at) == 0 {
            self.chunks.remove(at);
        }
    }

    /// Changes one entry; copies its chunk if a reader holds it.
    fn change(&mut self, number: MarketNumber, change: impl FnOnce(&mut MarketEntry)) {
        // First, so that the table itself is no reader.
        self.view = None;
        let at = chunk_of(&self.chunks, number);
        if let Some(chunk) = self.chunks.get_mut(at) {
            let at = chunk.position(number);
            if let Some(entry) = chunk.entry_mut(at) {
                self.counts.subtract(entry);
                change(entry);
                self.counts.add(entry);
            }
        }
    }

    fn enter(&mut self, market: &Market, number: MarketNumber) {
        for name in names(market) {
            self.names.insert((self.hash(&name), short(number)));
        }
    }

    fn leave(&mut self, market: &Market, number: MarketNumber) {
        for name in names(market) {
            self.names.remove(&(self.hash(&name), short(number)));
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "half of the bits will do")]
    fn hash(&self, name: &Name<'_>) -> u32 {
        self.hasher.hash_one(name) as u32
    }

    fn rename(&mut self, before: &Market, market: &Market, number: MarketNumber) {
        self.view = None;
        self.leave(before, number);
        self.enter(market, number);
        let words = self.words_of(market);
        let at = chunk_of(&self.chunks, number);
        if let Some(chunk) = self.chunks.get_mut(at) {
            let at = chunk.position(number);
            if chunk.get(at).is_some_and(|found| found.words != words) {
                chunk.set_words(at, &words);
            }
        }
    }

    /// Makes what is equal to what is there already the same piece of memory.
    fn share(&mut self, market: &mut Market) {
        if let Some(event) = &mut market.event {
            let same = self
                .named(Name::Event(folded(&event.slug)))
                .take(ASKED)
                .filter_map(|entry| entry.market.event.as_ref())
                .find(|other| *other == event)
                .cloned();
            if let Some(same) = same {
                *event = same;
            }
        }
        for token in &mut market.tokens {
            match self.outcomes.get(&token.outcome) {
                Some(same) => token.outcome = Arc::clone(same),
                None if self.outcomes.len() < MOST_OUTCOMES => {
                    self.outcomes.insert(Arc::clone(&token.outcome));
                }
                None => {}
            }
        }
    }

    /// The same tags as another market of the event has, if one has them: a market's tags
    /// are its event's.
    fn share_tags(&self, market: &Market, tags: Vec<TagId>) -> Arc<[TagId]> {
        let event = market.event.as_ref();
        let others = event.map(|event| self.named(Name::Event(folded(&event.slug))).take(ASKED));
        let mut others = others.into_iter().flatten();
        let same = others.find_map(|entry| entry.tags.as_ref().filter(|own| ***own == *tags));
        same.map_or_else(|| tags.into(), Arc::clone)
    }

    /// The tags' numbers, in order, each once.
    fn tag_ids(&mut self, mut tags: Vec<Tag>) -> Vec<TagId> {
        let too_many = tags.len().saturating_sub(MOST_TAGS);
        tags.truncate(MOST_TAGS);
        let stated = tags.len();
        let mut ids: Vec<_> = tags
            .into_iter()
            .filter_map(|tag| {
                let known = self.tags.known(&tag);
                known.or_else(|| Arc::make_mut(&mut self.tags).take_in(tag))
            })
            .collect();
        self.left_out.tags += (too_many + stated - ids.len()) as u64;
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// What a market is found by: its question, and the words of its event's title and of
    /// its slug that are not in there. These repeat it nearly always.
    fn words_of(&mut self, market: &Market) -> String {
        let mut all = String::with_capacity(market.question.len() + 1);
        fold(&market.question, &mut all);
        let mut more = String::new();
        if let Some(event) = &market.event {
            fold(&event.title, &mut more);
        }
        fold(market.slug.as_deref().unwrap_or_default(), &mut more);
        for word in words(&more) {
            if !words(&all).any(|known| known == word) {
                all.push(' ');
                all.push_str(word);
            }
        }
        if all.len() > MOST_WORDS {
            self.left_out.words += 1;
            // A word of the question may be longer than all that is kept.
            let end = all.floor_char_boundary(MOST_WORDS);
            let end = all[..end].rfind(' ').filter(|end| *end > 0).unwrap_or(end);
            all.truncate(end);
        }
        all.shrink_to_fit();
        all
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
