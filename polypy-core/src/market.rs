//! What is known of a market and of its tokens, apart from their books.

use std::sync::Arc;

use serde::Serialize;

use crate::decimal::DecimalText;
use crate::id::{AssetId, ConditionId};
use crate::key::AssetKey;
use crate::time::Timestamp;

/// One tradable outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Token {
    /// The token's id.
    pub token_id: AssetId,
    /// The outcome it pays for, as the venue names it (`"Yes"`). Nearly all markets name
    /// the same few.
    pub outcome: Arc<str>,
}

/// What a market is part of: a question with several answers, or several questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRef {
    /// The venue's number of it, when stated.
    pub id: Option<Box<str>>,
    /// Its name in the venue's addresses.
    pub slug: Box<str>,
    /// What people read.
    pub title: Box<str>,
    /// Whether exactly one of its markets can be won.
    pub neg_risk: bool,
    /// Whether outcomes may still be added to such an event: the prices of the markets
    /// that it has now need not add up to one.
    pub neg_risk_augmented: bool,
}

/// What a market stands for within its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The answer that it stands for (`"Spain"`).
    pub title: Box<str>,
    /// Where the venue shows it among the others, when stated; smaller is earlier.
    pub order: Option<i32>,
}

/// A market as discovery found it. Text comes from the venue and is not to be
/// trusted by a page that displays it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Market {
    /// The market's id.
    pub condition_id: ConditionId,
    /// The question it settles.
    pub question: String,
    /// Its tokens, two in practice, in the venue's order of outcomes.
    pub tokens: Vec<Token>,
    /// End date as the venue wrote it. Trading goes on after it.
    pub end_date_iso: Option<String>,
    /// The same in milliseconds since the Unix epoch, when it could be read.
    pub end_timestamp: Option<Timestamp>,
    /// Smallest price step, as text (`"0.01"`); discovery's may lag the feed's.
    pub tick_size: Option<DecimalText>,
    /// Smallest order in shares, as text (`"5"`).
    pub min_order_size: Option<DecimalText>,
    /// Whether the market belongs to a negative-risk event.
    pub neg_risk: bool,
    /// Its name in the venue's addresses, when stated.
    #[serde(skip)]
    pub slug: Option<Box<str>>,
    /// The event that it is part of, when stated. One of many markets shares it with them.
    #[serde(skip)]
    pub event: Option<Arc<EventRef>>,
    /// What it stands for within its event, when stated.
    #[serde(skip)]
    pub group: Option<Box<Group>>,
    /// What the venue files it under, when stated. New markets have tags instead.
    #[serde(skip)]
    pub category: Option<Arc<str>>,
    /// When it was opened, as far as the venue states it.
    #[serde(skip)]
    pub start: Option<Timestamp>,
}

impl Market {
    /// A market of which nothing but its ids is known yet.
    pub fn new(condition_id: ConditionId, tokens: Vec<Token>) -> Self {
        Self {
            condition_id,
            question: String::new(),
            tokens,
            end_date_iso: None,
            end_timestamp: None,
            tick_size: None,
            min_order_size: None,
            neg_risk: false,
            slug: None,
            event: None,
            group: None,
            category: None,
            start: None,
        }
    }

    /// Takes over the names that this answer does not state and `known` has: not every
    /// answer of the venue has them.
    pub fn complete_from(&mut self, known: &Self) {
        self.slug = self.slug.take().or_else(|| known.slug.clone());
        self.event = self.event.take().or_else(|| known.event.clone());
        self.group = self.group.take().or_else(|| known.group.clone());
        self.category = self.category.take().or_else(|| known.category.clone());
        self.start = self.start.or(known.start);
    }
}

/// What the hot path knows of one token. Shared by reference, replaced whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetInfo {
    /// Its key.
    pub key: AssetKey,
    /// Its text id.
    pub asset_id: AssetId,
    /// Its market.
    pub condition_id: ConditionId,
    /// The market's other token, once both are interned.
    pub complement: Option<AssetKey>,
    /// Smallest price step known from discovery; the feed's own is newer.
    pub tick_size: Option<DecimalText>,
    /// Smallest order; part of the hashed text and absent from the feed.
    pub min_order_size: Option<DecimalText>,
    /// Negative risk; part of the hashed text and absent from the feed.
    pub neg_risk: bool,
}

impl AssetInfo {
    /// A token of which nothing but its ids is known yet.
    pub fn new(key: AssetKey, asset_id: AssetId, condition_id: ConditionId) -> Self {
        Self {
            key,
            asset_id,
            condition_id,
            complement: None,
            tick_size: None,
            min_order_size: None,
            neg_risk: false,
        }
    }
}
