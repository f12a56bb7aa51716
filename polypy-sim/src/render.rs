//! Frames and REST books as the venue writes them: compact JSON in the venue's
//! own key order, decimals as strings without trailing zeros, time stamps as
//! strings of milliseconds.
//!
//! | frame | key order |
//! |---|---|
//! | opening book | market, asset_id, timestamp, hash, bids, asks, tick_size, event_type, last_trade_price |
//! | later book | market, asset_id, bids, asks, hash, timestamp, event_type |
//! | REST book | market, asset_id, timestamp, hash, bids, asks, min_order_size, tick_size, neg_risk, last_trade_price |
//! | price_change | market, price_changes, timestamp, event_type |

use std::fmt::{Display, Write};

use polypy_core::{BookHash, DecimalText, OrderBook, Price, Side, SignedDecimal, Timestamp};

use crate::venue::{LevelChange, MarketState};

/// A text under construction. Writing to a `String` cannot fail, so the
/// formatter's result has nothing to say.
#[derive(Debug, Default)]
struct Text(String);

impl Text {
    fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    fn push(mut self, text: &str) -> Self {
        self.0.push_str(text);
        self
    }

    fn show(mut self, value: impl Display) -> Self {
        write!(self.0, "{value}").unwrap_or_default();
        self
    }

    /// A JSON string with whatever escapes it needs.
    fn quote(mut self, text: &str) -> Self {
        self.0.push_str(&serde_json::Value::from(text).to_string());
        self
    }

    fn quotes<'a>(mut self, texts: impl Iterator<Item = &'a str>) -> Self {
        for (at, text) in texts.enumerate() {
            self = self.push(if at == 0 { "" } else { "," }).quote(text);
        }
        self
    }

    /// The field of a hash, where one is stated.
    fn hash(self, hash: Option<BookHash>) -> Self {
        match hash {
            Some(hash) => self.push(",\"hash\":\"").show(hash).push("\""),
            None => self,
        }
    }

    fn levels(mut self, book: &OrderBook, side: Side) -> Self {
        for (at, level) in book.worst_first(side).enumerate() {
            self = self
                .push(if at == 0 {
                    "{\"price\":\""
                } else {
                    ",{\"price\":\""
                })
                .show(level.price)
                .push("\",\"size\":\"")
                .show(level.size)
                .push("\"}");
        }
        self
    }
}

/// Bytes of one level in JSON, roughly: what a book's text will take.
const LEVEL_BYTES: usize = 34;

fn book_capacity(book: &OrderBook) -> usize {
    let levels = book.depth(Side::Bid) + book.depth(Side::Ask);
    400 + levels * LEVEL_BYTES
}

/// A book as the first answer to a subscription holds it.
pub(crate) fn opening_book(market: &mut MarketState, outcome: usize) -> String {
    let hash = market.stated_hash(outcome);
    let token = &market.tokens[outcome];
    Text::with_capacity(book_capacity(&token.book))
        .push("{\"market\":\"")
        .show(&market.listing.condition_id)
        .push("\",\"asset_id\":\"")
        .show(&token.info.asset_id)
        .push("\",\"timestamp\":\"")
        .show(token.changed.millis())
        .push("\"")
        .hash(hash)
        .push(",\"bids\":[")
        .levels(&token.book, Side::Bid)
        .push("],\"asks\":[")
        .levels(&token.book, Side::Ask)
        .push("],\"tick_size\":\"")
        .show(market.tick_size)
        .push("\",\"event_type\":\"book\",\"last_trade_price\":\"")
        .show(market.last_trade_price)
        .push("\"}")
        .0
}

/// A book as it follows a trade.
pub(crate) fn later_book(market: &mut MarketState, outcome: usize) -> String {
    let hash = market.hash(outcome);
    let token = &market.tokens[outcome];
    Text::with_capacity(book_capacity(&token.book))
        .push("{\"market\":\"")
        .show(&market.listing.condition_id)
        .push("\",\"asset_id\":\"")
        .show(&token.info.asset_id)
        .push("\",\"bids\":[")
        .levels(&token.book, Side::Bid)
        .push("],\"asks\":[")
        .levels(&token.book, Side::Ask)
        .push("],\"hash\":\"")
        .show(hash)
        .push("\",\"timestamp\":\"")
        .show(token.changed.millis())
        .push("\",\"event_type\":\"book\"}")
        .0
}

/// A book as REST answers it: the key order is the order of the hashed text.
pub(crate) fn rest_book(market: &mut MarketState, outcome: usize) -> String {
    let hash = market.stated_hash(outcome);
    let token = &market.tokens[outcome];
    Text::with_capacity(book_capacity(&token.book))
        .push("{\"market\":\"")
        .show(&market.listing.condition_id)
        .push("\",\"asset_id\":\"")
        .show(&token.info.asset_id)
        .push("\",\"timestamp\":\"")
        .show(token.changed.millis())
        .push("\"")
        .hash(hash)
        .push(",\"bids\":[")
        .levels(&token.book, Side::Bid)
        .push("],\"asks\":[")
        .levels(&token.book, Side::Ask)
        .push("],\"min_order_size\":\"")
        .show(market.listing.min_order_size)
        .push("\",\"tick_size\":\"")
        .show(market.tick_size)
        .push("\",\"neg_risk\":")
        .show(market.listing.neg_risk)
        .push(",\"last_trade_price\":\"")
        .show(market.last_trade_price)
        .push("\"}")
        .0
}

/// The top of a side as `price_change` states it: `0` and `1` for empty sides.
pub(crate) fn tops(book: &OrderBook) -> (Price, Price) {
    (
        book.best_bid().map_or(Price::ZERO, |level| level.price),
        book.best_ask().map_or(Price::ONE, |level| level.price),
    )
}

/// `BUY` stands on the bid side.
pub(crate) fn side_name(side: Side) -> &'static str {
    match side {
        Side::Bid => "BUY",
        Side::Ask => "SELL",
    }
}

/// Changes of one batch, already applied: one entry a token and change, each
/// with the hash and the top of the state after the whole batch.
pub(crate) fn price_change(market: &mut MarketState, changes: &[LevelChange]) -> String {
    let count = market.tokens.len();
    let hashes: Vec<BookHash> = (0..count).map(|outcome| market.hash(outcome)).collect();
    let tops: Vec<(Price, Price)> = market
        .tokens
        .iter()
        .map(|token| tops(&token.book))
        .collect();
    let mut text = Text::with_capacity(200 + changes.len() * count * 250)
        .push("{\"market\":\"")
        .show(&market.listing.condition_id)
        .push("\",\"price_changes\":[");
    let mut first = true;
    for change in changes {
        for (outcome, token) in market.tokens.iter().enumerate() {
            let change = change.seen_by(outcome);
            text = text
                .push(if first {
                    "{\"asset_id\":\""
                } else {
                    ",{\"asset_id\":\""
                })
                .show(&token.info.asset_id)
                .push("\",\"price\":\"")
                .show(change.price)
                .push("\",\"size\":\"")
                .show(change.size)
                .push("\",\"side\":\"")
                .push(side_name(change.side))
                .push("\",\"hash\":\"")
                .show(hashes[outcome])
                .push("\",\"best_bid\":\"")
                .show(tops[outcome].0)
                .push("\",\"best_ask\":\"")
                .show(tops[outcome].1)
                .push("\"}");
            first = false;
        }
    }
    let stamp = market
        .tokens
        .first()
        .map_or(0, |token| token.changed.millis());
    text.push("],\"timestamp\":\"")
        .show(stamp)
        .push("\",\"event_type\":\"price_change\"}")
        .0
}

/// What a trade's print says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Print {
    pub(crate) outcome: usize,
    pub(crate) price: Price,
    pub(crate) size: polypy_core::Size,
    /// The taker's side.
    pub(crate) side: Side,
    pub(crate) transaction_hash: String,
}

/// The print of a trade, for the token that was traded.
pub(crate) fn last_trade_price(market: &MarketState, print: &Print, stamp: Timestamp) -> String {
    Text::with_capacity(420)
        .push("{\"market\":\"")
        .show(&market.listing.condition_id)
        .push("\",\"asset_id\":\"")
        .show(&market.tokens[print.outcome].info.asset_id)
        .push("\",\"price\":\"")
        .show(print.price)
        .push("\",\"size\":\"")
        .show(print.size)
        .push("\",\"fee_rate_bps\":\"0\",\"side\":\"")
        .push(side_name(print.side))
        .push("\",\"timestamp\":\"")
        .show(stamp.millis())
        .push("\",\"event_type\":\"last_trade_price\",\"transaction_hash\":\"")
        .push(&print.transaction_hash)
        .push("\"}")
        .0
}

/// A new price grid for one token.
pub(crate) fn tick_size_change(
    market: &MarketState,
    outcome: usize,
    old: DecimalText,
    stamp: Timestamp,
) -> String {
    Text::with_capacity(320)
        .push("{\"market\":\"")
        .show(&market.listing.condition_id)
        .push("\",\"asset_id\":\"")
        .show(&market.tokens[outcome].info.asset_id)
        .push("\",\"old_tick_size\":\"")
        .show(old)
        .push("\",\"new_tick_size\":\"")
        .show(market.tick_size)
        .push("\",\"timestamp\":\"")
        .show(stamp.millis())
        .push("\",\"event_type\":\"tick_size_change\"}")
        .0
}

/// A token's top, said apart from its book.
pub(crate) fn best_bid_ask(market: &MarketState, outcome: usize) -> String {
    let token = &market.tokens[outcome];
    let (bid, ask) = tops(&token.book);
    let spread = (i64::from(ask.millionths()) - i64::from(bid.millionths())) * 10;
    Text::with_capacity(320)
        .push("{\"market\":\"")
        .show(&market.listing.condition_id)
        .push("\",\"asset_id\":\"")
        .show(&token.info.asset_id)
        .push("\",\"best_bid\":\"")
        .show(bid)
        .push("\",\"best_ask\":\"")
        .show(ask)
        .push("\",\"spread\":\"")
        .show(SignedDecimal::from_ten_millionths(spread))
        .push("\",\"timestamp\":\"")
        .show(token.changed.millis())
        .push("\",\"event_type\":\"best_bid_ask\"}")
        .0
}

/// The announcement of a market, sent to every socket with custom features.
pub(crate) fn new_market(market: &MarketState, stamp: Timestamp) -> String {
    let listing = &market.listing;
    let tokens = serde_json::json!(
        listing
            .tokens
            .iter()
            .map(|token| token.token_id.as_str())
            .collect::<Vec<_>>()
    );
    let outcomes = serde_json::json!(
        listing
            .tokens
            .iter()
            .map(|token| &token.outcome)
            .collect::<Vec<_>>()
    );
    Text::with_capacity(1_600)
        .push("{\"id\":\"")
        .show(listing.id)
        .push("\",\"question\":")
        .quote(&listing.question)
        .push(",\"market\":\"")
        .show(&listing.condition_id)
        .push("\",\"slug\":")
        .quote(&listing.slug)
        .push(",\"description\":\"\",\"assets_ids\":")
        .show(&tokens)
        .push(",\"outcomes\":")
        .show(outcomes)
        .push(",\"event_message\":{\"id\":\"")
        .show(listing.event.id)
        .push("\",\"ticker\":")
        .quote(&listing.event.slug)
        .push(",\"slug\":")
        .quote(&listing.event.slug)
        .push(",\"title\":")
        .quote(&listing.event.title)
        .push(",\"description\":\"\"},\"timestamp\":\"")
        .show(stamp.millis())
        .push("\",\"event_type\":\"new_market\",\"tags\":[")
        .quotes(listing.tags.iter().map(|tag| tag.label))
        .push("],\"condition_id\":\"")
        .show(&listing.condition_id)
        .push("\",\"active\":true,\"clob_token_ids\":")
        .show(&tokens)
        .push(
            ",\"sports_market_type\":\"\",\"line\":\"\",\"game_start_time\":\"\",\
             \"order_price_min_tick_size\":\"",
        )
        .show(market.tick_size)
        .push("\",\"group_item_title\":")
        .quote(listing.group.as_ref().map_or("", |group| &group.title))
        .push(
            ",\"taker_base_fee\":\"1000\",\"fees_enabled\":true,\"fee_schedule\":\
             {\"exponent\":\"1\",\"rate\":\"0.07\",\"taker_only\":true,\"rebate_rate\":\"0.2\"}}",
        )
        .0
}

/// The end of a market, sent to its subscribers with custom features.
pub(crate) fn market_resolved(market: &MarketState, winner: usize, stamp: Timestamp) -> String {
    let listing = &market.listing;
    let tokens = serde_json::json!(
        listing
            .tokens
            .iter()
            .map(|token| token.token_id.as_str())
            .collect::<Vec<_>>()
    );
    Text::with_capacity(600)
        .push("{\"id\":\"")
        .show(listing.id)
        .push("\",\"market\":\"")
        .show(&listing.condition_id)
        .push("\",\"assets_ids\":")
        .show(tokens)
        .push(",\"winning_asset_id\":\"")
        .show(&listing.tokens[winner].token_id)
        .push("\",\"winning_outcome\":")
        .quote(&listing.tokens[winner].outcome)
        .push(",\"event_message\":null,\"timestamp\":\"")
        .show(stamp.millis())
        .push("\",\"event_type\":\"market_resolved\",\"tags\":[")
        .quotes(listing.tags.iter().map(|tag| tag.label))
        .push("]}")
        .0
}
