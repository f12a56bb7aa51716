//! A market as JSON has it.

use polypy_core::catalogue::Tags;
use polypy_core::{
    AssetId, AssetKey, BookSource, BookTop, MarketEntry, Price, SignedDecimal, Size, StaleReason,
    TagId, Timestamp, Verdict,
};
use polypy_http::Query;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::reason;

/// A field of a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    ConditionId,
    Slug,
    Question,
    Event,
    GroupTitle,
    Category,
    Tags,
    Status,
    Followed,
    NotFollowed,
    Volume,
    VolumeDay,
    Liquidity,
    StartMs,
    Start,
    EndMs,
    End,
    NegRisk,
    TickSize,
    MinOrderSize,
    Resolution,
    Tokens,
}

impl Field {
    /// All, in the order in which they are written.
    pub(crate) const ALL: [Self; 22] = [
        Self::ConditionId,
        Self::Slug,
        Self::Question,
        Self::Event,
        Self::GroupTitle,
        Self::Category,
        Self::Tags,
        Self::Status,
        Self::Followed,
        Self::NotFollowed,
        Self::Volume,
        Self::VolumeDay,
        Self::Liquidity,
        Self::StartMs,
        Self::Start,
        Self::EndMs,
        Self::End,
        Self::NegRisk,
        Self::TickSize,
        Self::MinOrderSize,
        Self::Resolution,
        Self::Tokens,
    ];

    /// The names of all.
    pub(crate) const NAMES: [&'static str; Self::ALL.len()] = {
        let mut names = [""; Self::ALL.len()];
        let mut at = 0;
        while at < names.len() {
            names[at] = Self::ALL[at].name();
            at += 1;
        }
        names
    };

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ConditionId => "condition_id",
            Self::Slug => "slug",
            Self::Question => "question",
            Self::Event => "event",
            Self::GroupTitle => "group_title",
            Self::Category => "category",
            Self::Tags => "tags",
            Self::Status => "status",
            Self::Followed => "followed",
            Self::NotFollowed => "not_followed",
            Self::Volume => "volume",
            Self::VolumeDay => "volume_day",
            Self::Liquidity => "liquidity",
            Self::StartMs => "start_ms",
            Self::Start => "start",
            Self::EndMs => "end_ms",
            Self::End => "end",
            Self::NegRisk => "neg_risk",
            Self::TickSize => "tick_size",
            Self::MinOrderSize => "min_order_size",
            Self::Resolution => "resolution",
            Self::Tokens => "tokens",
        }
    }
}

/// Which fields are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fields(u32);

impl Default for Fields {
    fn default() -> Self {
        Self(u32::MAX)
    }
}

impl Fields {
    /// The fields that a query names, of which [`Field::NAMES`] has all; without any, all.
    /// Tops that are asked for bring the field in which they stand.
    pub(crate) fn named(query: &Query) -> Self {
        let Some(names) = query.list("fields") else {
            return Self::default();
        };
        let names: Vec<_> = names.collect();
        let fields = Field::ALL.into_iter();
        let named = fields.filter(|field| names.contains(&field.name()));
        let with_tops = query.flag("tops") == Some(true);
        let named = named.chain(with_tops.then_some(Field::Tokens));
        Self(named.fold(0, |bits, field| bits | 1 << field as u32))
    }

    pub(crate) fn has(self, field: Field) -> bool {
        self.0 & 1 << field as u32 != 0
    }

    /// What tells it from other sets.
    pub(crate) fn bits(self) -> u32 {
        self.0
    }
}

/// The tops of some markets' books, read together.
#[derive(Debug)]
pub(crate) struct Tops {
    found: Vec<Option<BookTop>>,
    /// Where those of each market begin.
    starts: Vec<usize>,
}

impl Tops {
    /// Both tokens of a market at one moment.
    pub(crate) fn read<'a>(
        books: &dyn BookSource,
        entries: impl Iterator<Item = &'a MarketEntry>,
    ) -> Self {
        let mut keys: Vec<AssetKey> = Vec::new();
        let mut starts = vec![0];
        for entry in entries {
            keys.extend(entry.keys.as_deref().unwrap_or_default());
            starts.push(keys.len());
        }
        Self {
            found: books.tops(&keys),
            starts,
        }
    }

    /// Those of the market that was the `at`th, in the order of its tokens; none of one
    /// that is not followed.
    pub(crate) fn of(&self, at: usize) -> &[Option<BookTop>] {
        let start = self.starts.get(at).copied().unwrap_or(0);
        let end = self.starts.get(at + 1).copied().unwrap_or(start);
        self.found.get(start..end).unwrap_or_default()
    }
}

/// A market with the fields that are wanted.
#[derive(Debug)]
pub(crate) struct MarketObject<'a> {
    pub(crate) entry: &'a MarketEntry,
    pub(crate) tags: &'a Tags,
    /// The tops of its books, if they are wanted.
    pub(crate) tops: Option<&'a [Option<BookTop>]>,
    pub(crate) fields: Fields,
}

impl Serialize for MarketObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for field in Field::ALL.into_iter().filter(|it| self.fields.has(*it)) {
            self.write(field, &mut map)?;
        }
        map.end()
    }
}

impl MarketObject<'_> {
    /// Writes all fields that are wanted into an object with others.
    pub(crate) fn write_into<M: serde::ser::SerializeMap>(
        &self,
        map: &mut M,
    ) -> Result<(), M::Error> {
        let mut wanted = Field::ALL.into_iter().filter(|it| self.fields.has(*it));
        wanted.try_for_each(|field| self.write(field, map))
    }

    fn write<M: serde::ser::SerializeMap>(
        &self,
        field: Field,
        map: &mut M,
    ) -> Result<(), M::Error> {
        let (entry, market, figures) = (self.entry, &*self.entry.market, &self.entry.figures);
        let name = field.name();
        match field {
            Field::ConditionId => map.serialize_entry(name, &market.condition_id),
            Field::Slug => map.serialize_entry(name, &market.slug),
            Field::Question => map.serialize_entry(name, &market.question),
            Field::Event => map.serialize_entry(name, &market.event.as_deref().map(EventObject)),
            Field::GroupTitle => {
                let group = market.group.as_ref();
                map.serialize_entry(name, &group.map(|group| &*group.title))
            }
            Field::Category => map.serialize_entry(name, &market.category.as_deref()),
            Field::Tags => {
                let ids = entry.tags.as_deref();
                map.serialize_entry(name, &ids.map(|ids| TagList(ids, self.tags)))
            }
            Field::Status => map.serialize_entry(name, entry.status.name()),
            Field::Followed => map.serialize_entry(name, &is_followed(entry)),
            Field::NotFollowed => map.serialize_entry(name, &not_followed(entry)),
            Field::Volume => map.serialize_entry(name, &figures.volume.map(Text)),
            Field::VolumeDay => map.serialize_entry(name, &figures.volume_day.map(Text)),
            Field::Liquidity => map.serialize_entry(name, &figures.liquidity.map(Text)),
            Field::StartMs => map.serialize_entry(name, &market.start),
            Field::Start => map.serialize_entry(name, &market.start.map(Text)),
            Field::EndMs => map.serialize_entry(name, &market.end_timestamp),
            Field::End => map.serialize_entry(name, &market.end_timestamp.map(Text)),
            Field::NegRisk => map.serialize_entry(name, &market.neg_risk),
            Field::TickSize => map.serialize_entry(name, &market.tick_size),
            Field::MinOrderSize => map.serialize_entry(name, &market.min_order_size),
            Field::Resolution => {
                let resolution = entry.resolution.as_deref();
                let object = resolution.map(|resolution| ResolutionObject {
                    winner: resolution.winner.as_ref(),
                    at_ms: resolution.at,
                    at: resolution.at.map(Text),
                    source: resolution.source.name(),
                });
                map.serialize_entry(name, &object)
            }
            Field::Tokens => map.serialize_entry(name, &TokenList(self)),
        }
    }
}

/// Whether books of a market are kept here.
pub(crate) fn is_followed(entry: &MarketEntry) -> bool {
    entry.verdict == Verdict::Followed
}

/// Why they are not.
pub(crate) fn not_followed(entry: &MarketEntry) -> Option<&'static str> {
    match entry.verdict {
        Verdict::Followed => None,
        Verdict::NotFollowed(reason) => Some(reason.name()),
    }
}

/// Something as it is written.
#[derive(Debug)]
pub(crate) struct Text<T>(pub(crate) T);

impl<T: std::fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct EventObject<'a>(&'a polypy_core::EventRef);

impl Serialize for EventObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.0;
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("slug", &event.slug)?;
        map.serialize_entry("title", &event.title)?;
        map.serialize_entry("neg_risk", &event.neg_risk)?;
        map.serialize_entry("neg_risk_augmented", &event.neg_risk_augmented)?;
        map.end()
    }
}

struct TagList<'a>(&'a [TagId], &'a Tags);

#[derive(Serialize)]
struct TagObject<'a> {
    slug: Option<&'a str>,
    label: Option<&'a str>,
}

impl Serialize for TagList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stated = |text: &'_ str| !text.is_empty();
        let known = self.0.iter().filter_map(|id| self.1.get(*id));
        serializer.collect_seq(known.map(|tag| TagObject {
            slug: Some(&*tag.slug).filter(|text| stated(text)),
            label: Some(&*tag.label).filter(|text| stated(text)),
        }))
    }
}

#[derive(Serialize)]
struct ResolutionObject<'a> {
    winner: Option<&'a AssetId>,
    at_ms: Option<Timestamp>,
    at: Option<Text<Timestamp>>,
    source: &'static str,
}

struct TokenList<'a>(&'a MarketObject<'a>);

#[derive(Serialize)]
struct TokenObject<'a> {
    token_id: &'a AssetId,
    outcome: &'a str,
    /// Left out unless it is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    top: Option<Option<TopObject>>,
}

impl Serialize for TokenList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let MarketObject { entry, tops, .. } = self.0;
        let tokens = entry.market.tokens.iter().enumerate();
        serializer.collect_seq(tokens.map(|(at, token)| TokenObject {
            token_id: &token.token_id,
            outcome: &token.outcome,
            top: tops.map(|tops| {
                let top = tops.get(at).copied().flatten();
                top.as_ref().map(TopObject::new)
            }),
        }))
    }
}

/// The top of a book.
#[derive(Debug, Serialize)]
pub(crate) struct TopObject {
    state: &'static str,
    reason: Option<StaleReason>,
    verified: Option<bool>,
    epoch: u64,
    sequence: u64,
    revision: u32,
    ts_event_ms: u64,
    best_bid: Option<Price>,
    best_bid_size: Option<Size>,
    best_ask: Option<Price>,
    best_ask_size: Option<Size>,
    spread: Option<SignedDecimal>,
    mid_price: Option<SignedDecimal>,
}

impl TopObject {
    pub(crate) fn new(top: &BookTop) -> Self {
        Self {
            state: top.state.name(),
            reason: reason(top.state),
            verified: top.verified,
            epoch: top.position.epoch,
            sequence: top.position.sequence,
            revision: top.position.revision,
            ts_event_ms: top.last_update.millis(),
            best_bid: top.bid.map(|level| level.price),
            best_bid_size: top.bid.map(|level| level.size),
            best_ask: top.ask.map(|level| level.price),
            best_ask_size: top.ask.map(|level| level.size),
            spread: top.spread(),
            mid_price: top.mid_price(),
        }
    }
}
