//! What says which markets are followed, and why one is not.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::Arc;

use super::chunk::EntryRef;
use super::entry::{Cents, MarketEntry, MarketStatus, NotFollowed, Verdict};
use super::filter::{Check, Ids, MarketFilter, ReadyFilter, Trace};
use super::tags::Tags;
use crate::id::ConditionId;
use crate::key::{SHARDS, Shard};
use crate::slug::folded;
use crate::time::Timestamp;

/// Whole slugs, in any capitals.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slugs(BTreeMap<Box<str>, Written>);

/// How a slug was written: says nothing of which one it is.
#[derive(Debug, Clone)]
struct Written(Box<str>);

impl PartialEq for Written {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Written {}

impl Slugs {
    /// Whether it is among them.
    pub fn contains(&self, slug: &str) -> bool {
        self.0.contains_key(&*folded(slug))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them as they were written, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(|Written(slug)| &**slug)
    }
}

impl FromIterator<Box<str>> for Slugs {
    fn from_iter<I: IntoIterator<Item = Box<str>>>(slugs: I) -> Self {
        let by_name = |slug: Box<str>| (folded(&slug).into(), Written(slug));
        Self(slugs.into_iter().map(by_name).collect())
    }
}

/// Markets by their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// Condition ids.
    pub ids: Ids,
    /// Slugs of markets and of events.
    pub slugs: Slugs,
}

impl Names {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.slugs.is_empty()
    }

    /// The name that a market, or its event, has among these.
    fn name_of<'a>(&self, entry: &'a MarketEntry) -> Option<&'a str> {
        let market = &entry.market;
        let slugs = [
            market.slug.as_deref(),
            market.event.as_ref().map(|event| &*event.slug),
        ];
        if self.ids.contains(&market.condition_id) {
            return Some(market.condition_id.as_str());
        }
        let mut slugs = slugs.into_iter().flatten();
        slugs.find(|slug| self.slugs.contains(slug))
    }
}

/// Who is followed first where not all can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SeatOrder {
    /// The most traded within a day.
    VolumeDay,
    /// The most traded.
    Volume,
    /// The most in their books.
    Liquidity,
    /// Those that end first, of those that have yet to end.
    End,
    /// Those that were listed first.
    Listed,
}

impl SeatOrder {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::VolumeDay,
        Self::Volume,
        Self::Liquidity,
        Self::End,
        Self::Listed,
    ];

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::VolumeDay => "volume_day",
            Self::Volume => "volume",
            Self::Liquidity => "liquidity",
            Self::End => "end",
            Self::Listed => "listed",
        }
    }

    /// Where a market stands in this order.
    pub fn rank(self, entry: &MarketEntry, now: Timestamp) -> Rank {
        let most =
            |figure: Option<Cents>| figure.map_or(u64::MAX, |cents| u64::MAX - 1 - cents.get());
        Rank(match self {
            Self::VolumeDay => most(entry.figures.volume_day),
            Self::Volume => most(entry.figures.volume),
            Self::Liquidity => most(entry.figures.liquidity),
            Self::End => {
                let end = entry.market.end_timestamp.filter(|end| *end >= now);
                end.map_or(u64::MAX, Timestamp::millis)
            }
            Self::Listed => entry.number.get(),
        })
    }

    fn found(self, entry: &MarketEntry) -> String {
        let figure = match self {
            Self::VolumeDay => entry.figures.volume_day,
            Self::Volume => entry.figures.volume,
            Self::Liquidity => entry.figures.liquidity,
            Self::End => {
                let end = entry.market.end_timestamp;
                return end.map_or_else(|| "no end date".to_owned(), |end| format!("end {end}"));
            }
            Self::Listed => return format!("listed as number {}", entry.number.get()),
        };
        let figure = figure.map_or_else(|| "not stated".to_owned(), |figure| figure.to_string());
        format!("{} {figure}", self.name())
    }
}

/// A market's place in an order: the smallest is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank(u64);

impl Rank {
    /// The place with so many before it.
    #[cfg(test)]
    pub(super) fn new(place: u64) -> Self {
        Self(place)
    }
}

/// How many markets are followed at most, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeatRule {
    /// So many.
    pub most: NonZeroUsize,
    /// The first in this order.
    pub order: SeatOrder,
}

/// Why a text names no part of the venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShardError {
    /// Not two numbers.
    #[error("must be two numbers such as 0/4: which process of how many")]
    Form,
    /// More parts than there are shards, or none.
    #[error("there can be 1 to {SHARDS} processes")]
    Parts,
    /// Counted from one, or too far.
    #[error("processes are counted from 0: the last of {0} is {last}/{0}", last = .0 - 1)]
    Beyond(u16),
}

/// One of several processes that divide the venue between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShardOf {
    index: u16,
    parts: u16,
}

impl FromStr for ShardOf {
    type Err = ShardError;

    /// Reads `0/4`.
    fn from_str(text: &str) -> Result<Self, ShardError> {
        let number = |text: &str| {
            let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| is_digits)
        };
        let (index, parts) = text.split_once('/').ok_or(ShardError::Form)?;
        let (index, parts): (Option<u16>, Option<u16>) = (number(index), number(parts));
        let (Some(index), Some(parts)) = (index, parts) else {
            return Err(ShardError::Form);
        };
        if !(1..=SHARDS).contains(&parts) {
            return Err(ShardError::Parts);
        }
        if index >= parts {
            return Err(ShardError::Beyond(parts));
        }
        Ok(Self { index, parts })
    }
}

impl std::fmt::Display for ShardOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.parts)
    }
}

impl ShardOf {
    /// How many processes there are.
    pub fn parts(self) -> u16 {
        self.parts
    }

    /// Whether a market is this process's.
    pub fn has(self, condition: &ConditionId) -> bool {
        Shard::of(condition).index() % self.parts == self.index
    }
}

/// Which markets are followed. The default: all.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Those that are meant.
    pub filter: MarketFilter,
    /// Those that are followed as well, whatever is meant and however many there may be,
    /// unless they are excluded.
    pub also: Names,
    /// How many, without those.
    pub seats: Option<SeatRule>,
    /// Which of them are this process's.
    pub shard: Option<ShardOf>,
    /// Where each key was set. Says nothing of which markets are followed: two selections
    /// that differ in this alone are equal.
    pub origins: Arc<[(&'static str, Box<str>)]>,
}

impl PartialEq for Selection {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            filter,
            also,
            seats,
            shard,
            origins: _,
        } = self;
        (filter, also, seats, shard) == (&other.filter, &other.also, &other.seats, &other.shard)
    }
}

impl Eq for Selection {}

/// What a selection says of a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It is followed.
    Wanted,
    /// It is, if it gets a seat; then [`Judge::seated`] says whether here.
    NeedsSeat(Rank),
    /// It is not.
    Unwanted(NotFollowed),
}

impl Selection {
    /// Whether every market of the venue is followed.
    pub fn is_everything(&self) -> bool {
        let everything = Self {
            also: self.also.clone(),
            ..Self::default()
        };
        *self == everything
    }

    /// Made ready to judge many markets with these tags. `was` is the selection that chose
    /// those that are followed now; the same one where only the markets have changed.
    pub fn judge<'a>(&'a self, was: Option<&'a Self>, tags: &'a Tags, now: Timestamp) -> Judge<'a> {
        Judge {
            selection: self,
            filter: self.filter.ready(was.map(|was| &was.filter), tags, now),
            now,
        }
    }
}

/// A selection at one moment.
#[derive(Debug)]
pub struct Judge<'a> {
    selection: &'a Selection,
    filter: ReadyFilter<'a>,
    now: Timestamp,
}

impl Judge<'_> {
    /// Judges one market.
    pub fn of(&self, found: EntryRef<'_>, trace: &mut impl Trace) -> Judgement {
        let entry = found.entry;
        if let Err(reason) = self.filter.excludes(found, trace) {
            return Judgement::Unwanted(reason);
        }
        if let Some(name) = self.selection.also.name_of(entry) {
            trace.note(|| Check::new("also", true, name.to_owned(), name.to_owned()));
        } else {
            if let Err(reason) = self.filter.includes(found, trace) {
                return Judgement::Unwanted(reason);
            }
            if let Some(rule) = self.selection.seats {
                return Judgement::NeedsSeat(rule.order.rank(entry, self.now));
            }
        }
        match self.seated(&entry.market.condition_id, trace) {
            Ok(()) => Judgement::Wanted,
            Err(reason) => Judgement::Unwanted(reason),
        }
    }

    /// Whether a market that has a seat, or needs none, is followed in this process: the
    /// last check, so that all processes give the same seats.
    ///
    /// # Errors
    /// [`NotFollowed::Shard`] if another process has it.
    pub fn seated(
        &self,
        condition: &ConditionId,
        trace: &mut impl Trace,
    ) -> Result<(), NotFollowed> {
        let Some(shard) = self.selection.shard else {
            return Ok(());
        };
        let holds = shard.has(condition);
        trace.note(|| {
            let own = Shard::of(condition).index();
            let found = format!("{}/{}", own % shard.parts, shard.parts);
            Check::new(NotFollowed::Shard.name(), holds, shard.to_string(), found)
        });
        if holds {
            Ok(())
        } else {
            Err(NotFollowed::Shard)
        }
    }

    /// The checks that lead to the verdict on a market, up to the one that decides it. One
    /// that has ended is judged no more: whether its books were kept then decides.
    pub fn explain(&self, found: EntryRef<'_>) -> Vec<Check> {
        let mut checks = Vec::new();
        let entry = found.entry;
        if entry.status != MarketStatus::Open {
            let is_kept = entry.verdict == Verdict::Followed;
            let wanted = "open, or followed when it ended: kept until it is forgotten".to_owned();
            let found = entry.status.name().to_owned();
            return vec![Check::new("status", is_kept, wanted, found)];
        }
        let judgement = self.of(found, &mut checks);
        let mut is_wanted = judgement == Judgement::Wanted;
        if let (Judgement::NeedsSeat(_), Some(rule)) = (judgement, self.selection.seats) {
            // Seats depend on all others: what was decided stands in the verdict.
            let holds = entry.verdict != Verdict::NotFollowed(NotFollowed::Seats);
            let wanted = format!("the first {} by {}", rule.most, rule.order.name());
            checks.push(Check::new(
                NotFollowed::Seats.name(),
                holds,
                wanted,
                rule.order.found(entry),
            ));
            is_wanted = holds && self.seated(&entry.market.condition_id, &mut checks).is_ok();
        }
        if is_wanted && entry.verdict == Verdict::NotFollowed(NotFollowed::Sockets) {
            let wanted = "no more connections than there may be".to_owned();
            checks.push(Check::new(
                NotFollowed::Sockets.name(),
                false,
                wanted,
                "more would be needed".to_owned(),
            ));
        }
        for check in &mut checks {
            let origin = self
                .selection
                .origins
                .iter()
                .find(|(key, _)| *key == check.key);
            check.origin = origin.map(|(_, origin)| origin.clone());
        }
        checks
    }
}

#[cfg(test)]
#[path = "selection_tests.rs"]
mod tests;
