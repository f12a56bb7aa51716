//! Which books are meant by tokens, markets and events, and what is to be said of names
//! of which there are none.

use std::collections::{HashMap, HashSet};

use polypy_core::catalogue::{MarketEntry, MarketStatus, Verdict};
use polypy_core::{AssetId, AssetKey, ConditionId, Selector};
use serde::Serialize;

use super::Reads;
use crate::filter::quoted;

/// Tokens that one answer shows at most.
pub(crate) const MOST_TOKENS: usize = 500;

/// What a request names, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// Token ids.
    pub(crate) tokens: Vec<AssetId>,
    /// Condition ids or slugs.
    pub(crate) markets: Vec<String>,
    /// Slugs.
    pub(crate) events: Vec<String>,
}

/// A name without a book, and why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Missing {
    /// As it was asked for.
    pub(crate) name: String,
    /// For programs.
    pub(crate) code: &'static str,
    /// For people.
    pub(crate) message: String,
    /// Where the checks are that a market did not pass.
    pub(crate) explain: Option<String>,
}

impl Missing {
    /// The code of what is listed, and not followed.
    pub(crate) const NOT_FOLLOWED: &'static str = "not_followed";
    /// The code of what may be there in a moment.
    pub(crate) const NO_SNAPSHOT: &'static str = "no_snapshot";

    pub(crate) fn new(name: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            code,
            message: message.into(),
            explain: None,
        }
    }

    /// A token that is followed and has no book yet.
    pub(crate) fn no_snapshot(name: &str) -> Self {
        let message = "no snapshot of this book has arrived yet";
        Self::new(name, Self::NO_SNAPSHOT, message)
    }

    /// A token whose market is over.
    pub(crate) fn ended(name: &str) -> Self {
        let message = "the market is over, and no snapshot of this book ever arrived";
        Self::new(name, "ended", message)
    }

    pub(crate) fn not_followed(name: &str, entry: &MarketEntry) -> Self {
        let id = &entry.market.condition_id;
        let explain = format!("/v1/markets/{id}?explain=selection");
        let why = match entry.verdict {
            Verdict::NotFollowed(reason) => reason.name(),
            // It was until a moment ago, or is from this one on.
            Verdict::Followed => "changing",
        };
        let message = match entry.status {
            MarketStatus::Open => {
                format!("the market is listed and not followed ({why}): {explain} says why")
            }
            MarketStatus::Resolved | MarketStatus::Closed => {
                format!("the market is over and its books are not kept: {explain} says more")
            }
        };
        Self {
            explain: Some(explain),
            ..Self::new(name, Self::NOT_FOLLOWED, message)
        }
    }
}

/// What names come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// In the order in which they were named, each once, with its token's id.
    pub(crate) books: Vec<(AssetKey, AssetId)>,
    pub(crate) missing: Vec<Missing>,
}

/// More tokens than one answer shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "these are more than {MOST_TOKENS} tokens, which is as many as one answer shows: ask for \
     them in parts, or for /v1/tops"
)]
pub(crate) struct TooMany;

impl Reads {
    /// What the names come to.
    ///
    /// # Errors
    /// When they come to too many tokens.
    pub(crate) fn resolve(&self, names: &Names) -> Result<Resolved, TooMany> {
        let mut resolved = Resolved::default();
        let mut seen = HashSet::new();
        let mut take =
            |resolved: &mut Resolved, books: &mut dyn Iterator<Item = (AssetKey, AssetId)>| {
                resolved
                    .books
                    .extend(books.filter(|(key, _)| seen.insert(*key)));
                if resolved.books.len() > MOST_TOKENS {
                    return Err(TooMany);
                }
                Ok(())
            };
        for id in &names.tokens {
            match self.token(id.as_str()) {
                Ok(key) => take(&mut resolved, &mut std::iter::once((key, id.clone())))?,
                Err(missing) => resolved.missing.push(*missing),
            }
        }
        for name in &names.markets {
            match self.market(name) {
                Ok(entry) => take(&mut resolved, &mut books_of(&entry))?,
                Err(missing) => resolved.missing.push(*missing),
            }
        }
        for slug in &names.events {
            let entries = self.listed.event(slug);
            for entry in &entries {
                take(&mut resolved, &mut books_of(entry))?;
            }
            resolved.missing.extend(event_missing(slug, &entries));
        }
        Ok(resolved)
    }

    /// The key of a token, or why there is none.
    pub(crate) fn token(&self, id: &str) -> Result<AssetKey, Box<Missing>> {
        let keys = self.catalogue.resolve(&Selector::Token(id.into()));
        keys.first()
            .copied()
            .ok_or_else(|| Box::new(self.without_token(id)))
    }

    /// Why nothing is known of a token's book.
    pub(crate) fn without_token(&self, id: &str) -> Missing {
        match self.listed.of_token(id) {
            Some(entry) => Missing::not_followed(id, &entry),
            None => {
                let text =
                    "no market that is listed has this token: /v1/markets finds those that are";
                Missing::new(id, "unknown_token", self.unlisted(text))
            }
        }
    }

    /// The market of this condition id or slug that is followed, with its keys; or why
    /// there is none.
    pub(crate) fn market(&self, name: &str) -> Result<MarketEntry, Box<Missing>> {
        let mut entries = self.listed.find(name);
        if let Some(at) = entries.iter().position(|entry| entry.keys.is_some()) {
            return Ok(entries.swap_remove(at));
        }
        Err(Box::new(match entries.first() {
            Some(entry) => Missing::not_followed(name, entry),
            None => {
                let message = format!("no market is listed as {}", quoted(name));
                Missing::new(name, "unknown_market", self.unlisted(&message))
            }
        }))
    }

    /// The places of these books so that tokens of one market stand side by side.
    pub(crate) fn by_market(&self, books: &[(AssetKey, AssetId)]) -> Vec<usize> {
        let mut first: HashMap<ConditionId, usize> = HashMap::new();
        let places = books.iter().enumerate().map(|(at, (key, _))| {
            let token = self.catalogue.token(*key);
            let market = token.map(|token| token.info.condition_id.clone());
            let place = market.map_or(at, |market| *first.entry(market).or_insert(at));
            (place, at)
        });
        let mut order: Vec<_> = places.collect();
        order.sort_unstable();
        order.into_iter().map(|(_, at)| at).collect()
    }
}

/// The books of a market that is followed.
fn books_of(entry: &MarketEntry) -> impl Iterator<Item = (AssetKey, AssetId)> {
    let keys = entry.keys.iter().flat_map(|keys| keys.iter().copied());
    let tokens = entry.market.tokens.iter();
    keys.zip(tokens.map(|token| token.token_id.clone()))
}

/// What is to be said of an event of which not all markets are followed.
fn event_missing(slug: &str, entries: &[MarketEntry]) -> Option<Missing> {
    let all = entries.len();
    let others = entries.iter().filter(|entry| entry.keys.is_none()).count();
    if all == 0 {
        let message = format!("no event is listed as {}", quoted(slug));
        return Some(Missing::new(slug, "unknown_event", message));
    }
    (others > 0).then(|| {
        let explain = format!("/v1/events/{slug}");
        let message = format!(
            "{others} of the event's {all} markets are listed and not followed: {explain} names them"
        );
        Missing {
            explain: Some(explain),
            ..Missing::new(slug, Missing::NOT_FOLLOWED, message)
        }
    })
}
