//! Which markets are meant: for the selection, for readers and for the command line.
//!
//! Values of one kind are alternatives, kinds must all hold, and what is excluded is out
//! whatever else holds. A check that is not set is not made.

use std::collections::HashMap;

use super::bound::Bound;
use super::chunk::EntryRef;
use super::entry::{Cents, NotFollowed, TagId};
use super::glob::Glob;
use super::tags::Tags;
use super::text::{Folded, Label, Phrase};
use crate::id::ConditionId;
use crate::time::Timestamp;

/// A check that was made of a market.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was set, as it is called in the configuration.
    pub key: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// What it was set to.
    pub wanted: String,
    /// What the market has.
    pub found: String,
    /// Where it was set, where that is known.
    pub origin: Option<Box<str>>,
}

impl Check {
    pub(super) fn new(key: &'static str, holds: bool, wanted: String, found: String) -> Self {
        Self {
            key,
            holds,
            wanted,
            found,
            origin: None,
        }
    }
}

/// Who sees the checks that are made: [`Vec`] keeps them, `()` does not.
pub trait Trace {
    /// A check was made.
    fn note(&mut self, check: impl FnOnce() -> Check);
}

impl Trace for () {
    fn note(&mut self, _check: impl FnOnce() -> Check) {}
}

impl Trace for Vec<Check> {
    fn note(&mut self, check: impl FnOnce() -> Check) {
        self.push(check());
    }
}

/// Condition ids, in any spelling.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ids(HashMap<Box<str>, ConditionId>);

impl Ids {
    /// Whether it is among them.
    pub fn contains(&self, condition: &ConditionId) -> bool {
        self.0.contains_key(&*condition.canonical())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them as they were written, in order.
    pub fn sorted(&self) -> Vec<&ConditionId> {
        let mut ids: Vec<_> = self.0.values().collect();
        ids.sort_unstable_by_key(|id| id.as_str());
        ids
    }

    fn wanted(&self) -> String {
        joined(self.sorted().into_iter().map(ConditionId::as_str))
    }
}

impl FromIterator<ConditionId> for Ids {
    fn from_iter<I: IntoIterator<Item = ConditionId>>(ids: I) -> Self {
        let by_digits = |id: ConditionId| (id.canonical().into(), id);
        Self(ids.into_iter().map(by_digits).collect())
    }
}

/// Values by kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kinds {
    /// Slugs or labels of tags.
    pub tags: Vec<Label>,
    /// Categories.
    pub categories: Vec<Label>,
    /// Slugs of events.
    pub events: Vec<Glob>,
    /// Slugs of markets.
    pub slugs: Vec<Glob>,
    /// Words of question, event or slug.
    pub text: Vec<Phrase>,
    /// Condition ids.
    pub ids: Ids,
}

/// Which markets are meant. The default means all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MarketFilter {
    /// One of each kind that is set.
    pub include: Kinds,
    /// None of these.
    pub exclude: Kinds,
    /// What was traded at least.
    pub min_volume: Option<Cents>,
    /// What was traded within a day at least.
    pub min_volume_day: Option<Cents>,
    /// What is in its books at least.
    pub min_liquidity: Option<Cents>,
    /// When it ends at the earliest.
    pub ends_after: Option<Bound>,
    /// When it ends at the latest.
    pub ends_before: Option<Bound>,
    /// Whether it is part of a negative-risk event.
    pub neg_risk: Option<bool>,
}

/// A kind of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tags,
    Categories,
    Events,
    Slugs,
    Text,
    Ids,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Tags,
        Self::Categories,
        Self::Events,
        Self::Slugs,
        Self::Text,
        Self::Ids,
    ];

    /// Why a market that has one of these is left out.
    fn excluded(self) -> NotFollowed {
        match self {
            Self::Tags => NotFollowed::ExcludedTags,
            Self::Categories => NotFollowed::ExcludedCategory,
            Self::Events => NotFollowed::ExcludedEvent,
            Self::Slugs => NotFollowed::ExcludedSlug,
            Self::Text => NotFollowed::ExcludedText,
            Self::Ids => NotFollowed::ExcludedId,
        }
    }

    /// Why a market that has none of these is left out.
    fn left_out(self) -> NotFollowed {
        match self {
            Self::Tags => NotFollowed::Tags,
            Self::Categories => NotFollowed::Category,
            Self::Events => NotFollowed::Event,
            Self::Slugs => NotFollowed::Slug,
            Self::Text => NotFollowed::Text,
            Self::Ids => NotFollowed::Id,
        }
    }

    /// What a market has of this kind, for people.
    fn found(self, tags: &Tags, found: EntryRef<'_>) -> String {
        let market = &found.entry.market;
        let text = match self {
            Self::Tags => {
                let ids = found.entry.tags.as_deref();
                return ids.map_or_else(unstated, |ids| {
                    let labels = ids.iter().filter_map(|id| tags.get(*id));
                    joined(labels.map(|tag| {
                        if tag.label.is_empty() {
                            &*tag.slug
                        } else {
                            &*tag.label
                        }
                    }))
                });
            }
            Self::Categories => market.category.as_deref(),
            Self::Events => market.event.as_ref().map(|event| &*event.slug),
            Self::Slugs => market.slug.as_deref(),
            Self::Text => Some(found.words.trim_start()),
            Self::Ids => Some(market.condition_id.as_str()),
        };
        text.map_or_else(unstated, str::to_owned)
    }
}

fn unstated() -> String {
    "not stated".to_owned()
}

fn joined<'a>(values: impl Iterator<Item = &'a str>) -> String {
    values.collect::<Vec<_>>().join(", ")
}

impl Kinds {
    fn is_set(&self, kind: Kind) -> bool {
        !match kind {
            Kind::Tags => self.tags.is_empty(),
            Kind::Categories => self.categories.is_empty(),
            Kind::Events => self.events.is_empty(),
            Kind::Slugs => self.slugs.is_empty(),
            Kind::Text => self.text.is_empty(),
            Kind::Ids => self.ids.is_empty(),
        }
    }

    fn wanted(&self, kind: Kind) -> String {
        match kind {
            Kind::Tags => joined(self.tags.iter().map(Label::as_str)),
            Kind::Categories => joined(self.categories.iter().map(Label::as_str)),
            Kind::Events => joined(self.events.iter().map(Glob::as_str)),
            Kind::Slugs => joined(self.slugs.iter().map(Glob::as_str)),
            Kind::Text => joined(self.text.iter().map(Phrase::as_str)),
            Kind::Ids => self.ids.wanted(),
        }
    }

    /// The tags that are named, of those that there are.
    fn known_tags(&self, tags: &Tags) -> Vec<TagId> {
        let names = self.tags.iter().map(Label::folded);
        let named = names.filter_map(|name| tags.named(name));
        named.collect()
    }

    /// Whether a market has one of the values of a kind.
    fn has(&self, kind: Kind, tags: &[TagId], found: EntryRef<'_>) -> bool {
        let EntryRef { entry, words } = found;
        let market = &entry.market;
        match kind {
            Kind::Tags => {
                let own = entry.tags.as_deref().unwrap_or_default();
                own.iter().any(|tag| tags.contains(tag))
            }
            Kind::Categories => {
                let own = market.category.as_deref().and_then(Folded::new);
                own.is_some_and(|own| self.categories.iter().any(|label| *label.folded() == own))
            }
            Kind::Events => {
                let event = market.event.as_ref();
                event.is_some_and(|event| self.events.iter().any(|glob| glob.matches(&event.slug)))
            }
            Kind::Slugs => {
                let slug = market.slug.as_deref();
                slug.is_some_and(|slug| self.slugs.iter().any(|glob| glob.matches(slug)))
            }
            Kind::Text => self.text.iter().any(|phrase| phrase.fit(words).is_some()),
            Kind::Ids => self.ids.contains(&market.condition_id),
        }
    }
}

impl MarketFilter {
    /// The tags that are named and that no market was ever listed with: misspelt, perhaps.
    pub fn unknown_tags<'a>(&'a self, tags: &'a Tags) -> impl Iterator<Item = &'a Label> {
        let named = self.include.tags.iter().chain(&self.exclude.tags);
        named.filter(|name| tags.named(name.folded()).is_none())
    }

    /// Made ready for many markets with these tags. `was` is what chose those that are
    /// wanted now: where it has the same bounds, they need not meet them quite.
    pub fn ready<'a>(
        &'a self,
        was: Option<&'a Self>,
        tags: &'a Tags,
        now: Timestamp,
    ) -> ReadyFilter<'a> {
        ReadyFilter {
            filter: self,
            was,
            tags,
            include_tags: self.include.known_tags(tags),
            exclude_tags: self.exclude.known_tags(tags),
            now,
        }
    }
}

/// A filter at one moment.
#[derive(Debug)]
pub struct ReadyFilter<'a> {
    filter: &'a MarketFilter,
    was: Option<&'a MarketFilter>,
    tags: &'a Tags,
    include_tags: Vec<TagId>,
    exclude_tags: Vec<TagId>,
    now: Timestamp,
}

impl ReadyFilter<'_> {
    /// Whether a market is meant.
    ///
    /// # Errors
    /// The first check that does not hold.
    pub fn matches(&self, found: EntryRef<'_>, trace: &mut impl Trace) -> Result<(), NotFollowed> {
        self.excludes(found, trace)?;
        self.includes(found, trace)
    }

    /// The checks that nothing outweighs.
    pub(super) fn excludes(
        &self,
        found: EntryRef<'_>,
        trace: &mut impl Trace,
    ) -> Result<(), NotFollowed> {
        let kinds = &self.filter.exclude;
        for kind in Kind::ALL.into_iter().filter(|kind| kinds.is_set(*kind)) {
            let holds = !kinds.has(kind, &self.exclude_tags, found);
            trace.note(|| {
                let (wanted, found) = (kinds.wanted(kind), kind.found(self.tags, found));
                Check::new(
                    kind.excluded().name(),
                    holds,
                    format!("none of {wanted}"),
                    found,
                )
            });
            if !holds {
                return Err(kind.excluded());
            }
        }
        Ok(())
    }

    /// All others.
    pub(super) fn includes(
        &self,
        found: EntryRef<'_>,
        trace: &mut impl Trace,
    ) -> Result<(), NotFollowed> {
        let kinds = &self.filter.include;
        for kind in Kind::ALL.into_iter().filter(|kind| kinds.is_set(*kind)) {
            let holds = kinds.has(kind, &self.include_tags, found);
            trace.note(|| {
                let own = kind.found(self.tags, found);
                Check::new(kind.left_out().name(), holds, kinds.wanted(kind), own)
            });
            if !holds {
                let is_unstated = kind == Kind::Tags && found.entry.tags.is_none();
                return Err(if is_unstated {
                    NotFollowed::TagsUnknown
                } else {
                    kind.left_out()
                });
            }
        }
        self.figures(found, trace)?;
        self.end(found, trace)?;
        let Some(wanted) = self.filter.neg_risk else {
            return Ok(());
        };
        let own = found.entry.market.neg_risk;
        trace.note(|| {
            Check::new(
                NotFollowed::NegRisk.name(),
                own == wanted,
                wanted.to_string(),
                own.to_string(),
            )
        });
        if own == wanted {
            Ok(())
        } else {
            Err(NotFollowed::NegRisk)
        }
    }

    /// Figures move all the time: who is in is not out before they are half of the bound.
    fn figures(&self, found: EntryRef<'_>, trace: &mut impl Trace) -> Result<(), NotFollowed> {
        let own = &found.entry.figures;
        let volume: fn(&MarketFilter) -> Option<Cents> = |filter| filter.min_volume;
        let volume_day: fn(&MarketFilter) -> Option<Cents> = |filter| filter.min_volume_day;
        let liquidity: fn(&MarketFilter) -> Option<Cents> = |filter| filter.min_liquidity;
        for (bound_of, own, reason) in [
            (volume, own.volume, NotFollowed::Volume),
            (volume_day, own.volume_day, NotFollowed::VolumeDay),
            (liquidity, own.liquidity, NotFollowed::Liquidity),
        ] {
            let Some(bound) = bound_of(self.filter) else {
                continue;
            };
            let is_in = self.is_in(found, |was| bound_of(was) == Some(bound));
            let least = if is_in { bound.half() } else { bound };
            let holds = own.is_some_and(|own| own >= least);
            trace.note(|| {
                let wanted = if is_in {
                    format!("{bound}, of which half is enough while it is followed")
                } else {
                    bound.to_string()
                };
                let own = own.map_or_else(unstated, |own| own.to_string());
                Check::new(reason.name(), holds, wanted, own)
            });
            if !holds {
                return Err(reason);
            }
        }
        Ok(())
    }

    /// When a market ends is not judged again: it would leave the window by itself, and
    /// trades on.
    fn end(&self, found: EntryRef<'_>, trace: &mut impl Trace) -> Result<(), NotFollowed> {
        let (after, before) = (self.filter.ends_after, self.filter.ends_before);
        let own = found.entry.market.end_timestamp;
        let is_in = self.is_in(found, |was| {
            (was.ends_after, was.ends_before) == (after, before)
        });
        for (bound, reason) in [
            (after, NotFollowed::EndsAfter),
            (before, NotFollowed::EndsBefore),
        ] {
            let Some(bound) = bound.map(|bound| bound.at(self.now)) else {
                continue;
            };
            let is_within = |own: Timestamp| match reason {
                NotFollowed::EndsAfter => own >= bound,
                _ => own <= bound,
            };
            let holds = is_in || own.is_some_and(is_within);
            trace.note(|| {
                let wanted = if is_in {
                    format!("{bound}, which is not asked again while it is followed")
                } else {
                    bound.to_string()
                };
                let own = own.map_or_else(unstated, |own| own.to_string());
                Check::new(reason.name(), holds, wanted, own)
            });
            if !holds {
                return Err(reason);
            }
        }
        Ok(())
    }

    /// Whether a market is wanted already by what is set as it was.
    fn is_in(&self, found: EntryRef<'_>, is_same: impl FnOnce(&MarketFilter) -> bool) -> bool {
        found.entry.verdict.is_wanted() && self.was.is_some_and(is_same)
    }
}
