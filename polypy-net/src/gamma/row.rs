//! One row of a Gamma answer to one [`Market`], or to the reason why not.
//!
//! Rows are read one by one and field by field, because fields come as null,
//! missing, number, text, or text that contains JSON, and because one bad row
//! must cost no other. Fields that only describe (question, dates, price grid)
//! never cost the row: what cannot be read is left out. Decimals are taken from
//! the digits of the number, never through a float.

use std::sync::Arc;

use polypy_core::decimal::{MAX_TEXT, UNITS, parse_millionths, without_exponent, write_millionths};
use polypy_core::{
    AssetId, Cents, ConditionId, DecimalText, EventRef, Figures, Group, Listed, Market, Tag,
    Timestamp, Token,
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Tokens of one market at most. Two in practice; the bound keeps one absurd
/// row from filling the catalogue.
const MAX_TOKENS: usize = 64;
/// Bytes of a name at most: some times what the venue's longest have.
const MAX_NAME: usize = 512;
/// Tags of one market at most: three times what the venue's most filed ones have.
const MAX_TAGS: usize = 32;

/// What one row said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The market it speaks of, when it says so.
    pub condition_id: Option<ConditionId>,
    /// Whether Gamma calls the market closed: its word that the market has ended.
    pub closed: bool,
    /// The token that won, if the market is closed and the prices of its outcomes leave no
    /// doubt.
    pub winner: Option<AssetId>,
    /// When Gamma says that it was closed, if it is and that is stated.
    pub closed_at: Option<Timestamp>,
    /// The market, if it can be traded and kept.
    pub market: Result<Market, SkipReason>,
    /// What the venue counts of it.
    pub figures: Figures,
    /// What the venue files it under; `None` when the row does not say, as one that was
    /// asked for without them does not.
    pub tags: Option<Vec<Tag>>,
}

/// Why a row gives no market to keep books for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// Not a JSON object.
    Malformed,
    /// `conditionId` is missing or empty: the row is not filled in yet.
    NoCondition,
    /// `conditionId` is not one.
    BadCondition,
    /// No token ids: not filled in yet, or never traded on a book.
    NoTokens,
    /// Token ids that are not ids, or the same one twice.
    BadTokens,
    /// `closed` is true.
    Closed,
    /// `enableOrderBook` is false.
    NoOrderBook,
    /// `acceptingOrders` is false: not yet, for the moment, or no longer.
    NotAccepting,
}

impl SkipReason {
    /// All of them, in the order of [`Self::index`].
    pub const ALL: [Self; 8] = [
        Self::Malformed,
        Self::NoCondition,
        Self::BadCondition,
        Self::NoTokens,
        Self::BadTokens,
        Self::Closed,
        Self::NoOrderBook,
        Self::NotAccepting,
    ];

    /// Its place in [`Self::ALL`].
    pub fn index(self) -> usize {
        match self {
            Self::Malformed => 0,
            Self::NoCondition => 1,
            Self::BadCondition => 2,
            Self::NoTokens => 3,
            Self::BadTokens => 4,
            Self::Closed => 5,
            Self::NoOrderBook => 6,
            Self::NotAccepting => 7,
        }
    }

    /// Its name in `/stats`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NoCondition => "no_condition",
            Self::BadCondition => "bad_condition",
            Self::NoTokens => "no_tokens",
            Self::BadTokens => "bad_tokens",
            Self::Closed => "closed",
            Self::NoOrderBook => "no_order_book",
            Self::NotAccepting => "not_accepting",
        }
    }
}

/// The fields read, each still as it was written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow, default)]
    condition_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    question: Option<&'a RawValue>,
    #[serde(borrow, default)]
    outcomes: Option<&'a RawValue>,
    #[serde(borrow, default)]
    clob_token_ids: Option<&'a RawValue>,
    #[serde(borrow, default)]
    position_ids: Option<&'a RawValue>,
    #[serde(borrow, default)]
    version: Option<&'a RawValue>,
    #[serde(borrow, default)]
    closed: Option<&'a RawValue>,
    #[serde(borrow, default)]
    closed_time: Option<&'a RawValue>,
    #[serde(borrow, default)]
    enable_order_book: Option<&'a RawValue>,
    #[serde(borrow, default)]
    accepting_orders: Option<&'a RawValue>,
    #[serde(borrow, default)]
    end_date: Option<&'a RawValue>,
    #[serde(borrow, default)]
    end_date_iso: Option<&'a RawValue>,
    #[serde(borrow, default)]
    order_price_min_tick_size: Option<&'a RawValue>,
    #[serde(borrow, default)]
    order_min_size: Option<&'a RawValue>,
    #[serde(borrow, default)]
    neg_risk: Option<&'a RawValue>,
    #[serde(borrow, default)]
    slug: Option<&'a RawValue>,
    #[serde(borrow, default)]
    events: Option<&'a RawValue>,
    #[serde(borrow, default)]
    group_item_title: Option<&'a RawValue>,
    #[serde(borrow, default)]
    group_item_threshold: Option<&'a RawValue>,
    #[serde(borrow, default)]
    category: Option<&'a RawValue>,
    #[serde(borrow, default)]
    start_date: Option<&'a RawValue>,
    #[serde(borrow, default)]
    outcome_prices: Option<&'a RawValue>,
    #[serde(borrow, default)]
    volume: Option<&'a RawValue>,
    #[serde(borrow, default)]
    volume_num: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "volume24hr")]
    volume_day: Option<&'a RawValue>,
    #[serde(borrow, default)]
    liquidity: Option<&'a RawValue>,
    #[serde(borrow, default)]
    liquidity_num: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tags: Option<&'a RawValue>,
}

/// What is read of a tag.
#[derive(Debug, Deserialize)]
struct TagFields<'a> {
    #[serde(borrow, default)]
    slug: Option<&'a RawValue>,
    #[serde(borrow, default)]
    label: Option<&'a RawValue>,
}

/// What is read of an event that a market is part of.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventFields<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    neg_risk: Option<&'a RawValue>,
    #[serde(borrow, default)]
    neg_risk_augmented: Option<&'a RawValue>,
    #[serde(borrow, default)]
    slug: Option<&'a RawValue>,
    #[serde(borrow, default)]
    title: Option<&'a RawValue>,
}

impl Row {
    /// Reads one row.
    pub fn parse(json: &str) -> Self {
        // A derived struct would also be read from an array, by position.
        let fields = json
            .trim_ascii_start()
            .starts_with('{')
            .then(|| serde_json::from_str::<Fields<'_>>(json));
        let Some(Ok(fields)) = fields else {
            return Self {
                condition_id: None,
                closed: false,
                winner: None,
                closed_at: None,
                market: Err(SkipReason::Malformed),
                figures: Figures::default(),
                tags: None,
            };
        };
        let condition = condition(fields.condition_id);
        let closed = flag(fields.closed) == Some(true);
        Self {
            condition_id: condition.clone().ok(),
            closed,
            winner: closed.then(|| winner(&fields)).flatten(),
            closed_at: closed.then(|| closed_at(&fields)).flatten(),
            figures: Figures {
                volume: cents([fields.volume, fields.volume_num]),
                volume_day: cents([fields.volume_day, None]),
                liquidity: cents([fields.liquidity, fields.liquidity_num]),
            },
            tags: tags(fields.tags),
            market: condition.and_then(|condition| market(condition, &fields)),
        }
    }

    /// All that it says of a market that can be traded and kept.
    ///
    /// # Errors
    /// Why there is none.
    pub fn listed(self) -> Result<Listed, SkipReason> {
        let Self {
            market,
            figures,
            tags,
            ..
        } = self;
        market.map(|market| Listed {
            market,
            figures,
            tags,
        })
    }
}

/// An amount in dollars, as text or number, from the first field that states one.
fn cents<'a>(fields: impl IntoIterator<Item = Option<&'a RawValue>>) -> Option<Cents> {
    let texts = fields.into_iter().filter_map(text);
    texts.filter_map(|text| text.parse().ok()).next()
}

/// A list of tags, each an object or the label alone. One that cannot be read costs no
/// other; what is no list says nothing.
fn tags(field: Option<&RawValue>) -> Option<Vec<Tag>> {
    let tags: Vec<&RawValue> = serde_json::from_str(field?.get()).ok()?;
    let tag = |tag: &RawValue| {
        if tag.get().starts_with('"') {
            let label = short(Some(tag))?;
            let slug = Box::default();
            return Some(Tag { slug, label });
        }
        let fields: TagFields<'_> = serde_json::from_str(tag.get()).ok()?;
        let (slug, label) = (short(fields.slug), short(fields.label));
        (slug.is_some() || label.is_some()).then(|| Tag {
            slug: slug.unwrap_or_default(),
            label: label.unwrap_or_default(),
        })
    };
    Some(tags.into_iter().filter_map(tag).take(MAX_TAGS).collect())
}

fn condition(field: Option<&RawValue>) -> Result<ConditionId, SkipReason> {
    match text(field) {
        None => Err(SkipReason::NoCondition),
        Some(text) if text.is_empty() => Err(SkipReason::NoCondition),
        Some(text) => ConditionId::new(&text).map_err(|_invalid| SkipReason::BadCondition),
    }
}

fn market(condition_id: ConditionId, fields: &Fields<'_>) -> Result<Market, SkipReason> {
    if flag(fields.closed) == Some(true) {
        return Err(SkipReason::Closed);
    }
    // Rows nested in other answers lack these two: only a stated no counts.
    if flag(fields.enable_order_book) == Some(false) {
        return Err(SkipReason::NoOrderBook);
    }
    if flag(fields.accepting_orders) == Some(false) {
        return Err(SkipReason::NotAccepting);
    }
    let tokens = tokens(fields)?;
    let end_date_iso = [fields.end_date, fields.end_date_iso]
        .into_iter()
        .filter_map(text)
        .find(|date| !date.is_empty());
    Ok(Market {
        condition_id,
        question: text(fields.question).unwrap_or_default(),
        tokens,
        end_timestamp: end_date_iso.as_deref().and_then(timestamp),
        end_date_iso,
        tick_size: decimal(fields.order_price_min_tick_size),
        min_order_size: decimal(fields.order_min_size),
        neg_risk: flag(fields.neg_risk) == Some(true),
        slug: short(fields.slug),
        event: event(fields.events),
        group: short(fields.group_item_title).map(|title| {
            let order = text(fields.group_item_threshold);
            let order = order.and_then(|order| order.parse().ok());
            Box::new(Group { title, order })
        }),
        category: short(fields.category).map(Into::into),
        start: text(fields.start_date).as_deref().and_then(timestamp),
    })
}

/// A name: it fits into an address.
fn short(field: Option<&RawValue>) -> Option<Box<str>> {
    let text = text(field)?;
    (1..=MAX_NAME).contains(&text.len()).then(|| text.into())
}

/// The first of the events that has a name; there is one in practice.
fn event(field: Option<&RawValue>) -> Option<Arc<EventRef>> {
    let events: Vec<&RawValue> = serde_json::from_str(field?.get()).ok()?;
    events.into_iter().find_map(|event| {
        let fields: EventFields<'_> = serde_json::from_str(event.get()).ok()?;
        Some(Arc::new(EventRef {
            id: short(fields.id),
            slug: short(fields.slug)?,
            title: text(fields.title).unwrap_or_default().into(),
            neg_risk: flag(fields.neg_risk) == Some(true),
            neg_risk_augmented: flag(fields.neg_risk_augmented) == Some(true),
        }))
    })
}

/// The token whose outcome costs one, if one does and the others are worth nothing.
fn winner(fields: &Fields<'_>) -> Option<AssetId> {
    let tokens = tokens(fields).ok()?;
    let prices = list(fields.outcome_prices)?;
    if prices.len() != tokens.len() {
        return None;
    }
    let mut won = None;
    for (token, price) in tokens.into_iter().zip(&prices) {
        match parse_millionths(price.as_bytes()).ok()? {
            0 => {}
            UNITS if won.is_none() => won = Some(token.token_id),
            _ => return None,
        }
    }
    won
}

/// When a market was closed: as the venue writes it (`2026-05-28 05:29:05+00`), or as its
/// other dates are.
fn closed_at(fields: &Fields<'_>) -> Option<Timestamp> {
    let date = text(fields.closed_time)?;
    Timestamp::from_rfc3339(&date)
}

/// The ids that trade, with the outcomes they stand for.
fn tokens(fields: &Fields<'_>) -> Result<Vec<Token>, SkipReason> {
    let clob = list(fields.clob_token_ids);
    let positions = list(fields.position_ids);
    let ids = match (is_second_protocol(fields.version), positions, clob) {
        (true, Some(positions), _) | (false, Some(positions), None) => positions,
        (_, _, Some(clob)) => clob,
        (_, None, None) => return Err(SkipReason::NoTokens),
    };
    if ids.len() > MAX_TOKENS {
        return Err(SkipReason::BadTokens);
    }
    let mut outcomes = list(fields.outcomes).unwrap_or_default().into_iter();
    let mut tokens: Vec<Token> = Vec::with_capacity(ids.len());
    for id in ids {
        let token_id = AssetId::new(&id).map_err(|_invalid| SkipReason::BadTokens)?;
        if tokens.iter().any(|token| token.token_id == token_id) {
            return Err(SkipReason::BadTokens);
        }
        tokens.push(Token {
            token_id,
            outcome: outcomes.next().unwrap_or_default().into(),
        });
    }
    Ok(tokens)
}

/// Whether `version` names the second protocol or a later one, whose markets
/// trade position ids: `2`, `"2"`, `"v2"`, `"2.1"`.
fn is_second_protocol(version: Option<&RawValue>) -> bool {
    text(version).is_some_and(|version| {
        let digits = version.trim_start_matches(['v', 'V']);
        let major = digits.split('.').next().unwrap_or(digits);
        major.parse::<u32>().is_ok_and(|major| major >= 2)
    })
}

/// A text as such; a number by its digits. `None` for null and all else.
pub(super) fn text(field: Option<&RawValue>) -> Option<String> {
    let json = field?.get();
    match json.bytes().next()? {
        b'"' => serde_json::from_str(json).ok(),
        b'-' | b'0'..=b'9' => Some(json.to_owned()),
        _ => None,
    }
}

/// A boolean, also as text.
fn flag(field: Option<&RawValue>) -> Option<bool> {
    match field?.get() {
        "true" | "\"true\"" => Some(true),
        "false" | "\"false\"" => Some(false),
        _ => None,
    }
}

/// A non-empty array of texts, or a text that contains one.
fn list(field: Option<&RawValue>) -> Option<Vec<String>> {
    let json = field?.get();
    let inner: String;
    let array = if json.starts_with('"') {
        inner = serde_json::from_str(json).ok()?;
        inner.as_str()
    } else {
        json
    };
    let items: Vec<&RawValue> = serde_json::from_str(array).ok()?;
    let items: Vec<String> = items
        .into_iter()
        .map(|item| text(Some(item)))
        .collect::<Option<_>>()?;
    (!items.is_empty()).then_some(items)
}

/// An exact decimal above zero, written as the venue hashes it: no trailing zeros.
fn decimal(field: Option<&RawValue>) -> Option<DecimalText> {
    let text = text(field)?;
    // Small ticks come as 5e-05.
    let plain = without_exponent(&text)?;
    let units = parse_millionths(plain.as_bytes()).ok()?;
    let mut buffer = [0; MAX_TEXT];
    let written = write_millionths(units, &mut buffer);
    (units > 0).then(|| DecimalText::new(written).ok())?
}

/// RFC 3339, or a bare date taken at midnight UTC.
fn timestamp(date: &str) -> Option<Timestamp> {
    Timestamp::from_rfc3339(date).or_else(|| Timestamp::from_rfc3339(&format!("{date}T00:00:00Z")))
}

#[cfg(test)]
#[path = "row_tests.rs"]
mod tests;
