//! Many books at once.

use polypy_core::{AssetId, ConditionId, Level};
use serde::{Deserialize, Serialize};

use crate::message::Trust;
use crate::text;

/// Which books are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Wanted {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tokens: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) markets: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) events: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) depth: Option<u32>,
}

impl Wanted {
    /// Adds tokens by their ids.
    #[must_use]
    pub fn tokens<T: Into<String>>(mut self, ids: impl IntoIterator<Item = T>) -> Self {
        self.tokens.extend(ids.into_iter().map(Into::into));
        self
    }

    /// Adds the tokens of markets, by condition id or slug.
    #[must_use]
    pub fn markets<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.markets.extend(names.into_iter().map(Into::into));
        self
    }

    /// Adds the tokens of events, by slug.
    #[must_use]
    pub fn events<T: Into<String>>(mut self, slugs: impl IntoIterator<Item = T>) -> Self {
        self.events.extend(slugs.into_iter().map(Into::into));
        self
    }

    /// Levels a side at most.
    #[must_use]
    pub fn depth(mut self, levels: u32) -> Self {
        self.depth = Some(levels);
        self
    }
}

/// Books at a moment. Those of one market were read together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct BooksRead {
    /// In the order in which they were named.
    pub books: Vec<BookRead>,
    /// What was named and has no book here.
    pub missing: Vec<MissingBook>,
}

/// A book at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct BookRead {
    /// Whose book.
    #[serde(deserialize_with = "text::parsed")]
    pub token_id: AssetId,
    /// Its market.
    #[serde(deserialize_with = "text::parsed")]
    pub condition_id: ConditionId,
    /// What the token pays for.
    pub outcome: Option<String>,
    /// How far to trust it.
    pub state: Trust,
    /// Why it is stale.
    pub reason: Option<String>,
    /// History without a known hole.
    pub epoch: u64,
    /// The book's sequence.
    pub sequence: u64,
    /// Best first.
    #[serde(deserialize_with = "text::levels")]
    pub bids: Vec<Level>,
    /// Best first.
    #[serde(deserialize_with = "text::levels")]
    pub asks: Vec<Level>,
}

/// Why something that was named has no book.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct MissingBook {
    /// As it was named.
    pub name: String,
    /// For programs: `unknown_token`, `not_followed`, `no_snapshot` and others.
    pub code: String,
    /// For people.
    pub message: String,
    /// Where the server explains it.
    pub explain: Option<String>,
}
