//! What the market channel says, decoded, exact and interned.
//!
//! [`MarketEvent`] changes books and travels to the workers; [`LifecycleEvent`]
//! changes the catalogue and stays with discovery.

use std::sync::Arc;

use crate::decimal::DecimalText;
use crate::fingerprint::BookHash;
use crate::id::{AssetId, ConditionId};
use crate::key::AssetKey;
use crate::level::{Level, LevelChange, Side};
use crate::market::AssetInfo;
use crate::price::Price;
use crate::size::Size;
use crate::time::Timestamp;

/// Something that concerns one book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MarketEvent {
    /// The whole book, replacing what was known.
    Book(Box<BookEvent>),
    /// One level's new absolute size.
    PriceChange(PriceChange),
    /// A trade that was matched.
    Trade(Trade),
    /// A new price grid.
    TickSizeChange(TickSizeChange),
    /// The top of the book, said apart from the book.
    BestBidAsk(BestBidAsk),
}

impl MarketEvent {
    /// The asset concerned.
    pub fn asset(&self) -> AssetKey {
        match self {
            Self::Book(event) => event.info.key,
            Self::PriceChange(event) => event.asset,
            Self::Trade(event) => event.asset,
            Self::TickSizeChange(event) => event.asset,
            Self::BestBidAsk(event) => event.asset,
        }
    }
}

/// A full book: the opening one, a later one after a trade, or a REST answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookEvent {
    /// The asset and what goes into its hash besides the levels.
    pub info: Arc<AssetInfo>,
    /// Exchange time of the book's last change; for an opening book it may be
    /// hours old.
    pub timestamp: Timestamp,
    /// The venue's hash of this book.
    pub hash: Option<BookHash>,
    /// Levels in the order received.
    pub bids: Vec<Level>,
    /// Levels in the order received.
    pub asks: Vec<Level>,
    /// Present in opening books and in REST answers.
    pub tick_size: Option<DecimalText>,
    /// Present in opening books and in REST answers; empty before any trade.
    pub last_trade_price: Option<DecimalText>,
    /// Present in REST answers.
    pub min_order_size: Option<DecimalText>,
    /// Present in REST answers.
    pub neg_risk: Option<bool>,
    /// Present on protocol-V2 books (`"v2"`); then part of the hashed text.
    pub version: Option<Box<str>>,
}

/// One level's new absolute size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceChange {
    /// The asset.
    pub asset: AssetKey,
    /// Exchange time.
    pub timestamp: Timestamp,
    /// The side the level stands on.
    pub side: Side,
    /// The level.
    pub price: Price,
    /// Its new size; zero removes it.
    pub size: Size,
    /// Hash of the asset's whole book after the batch this change belongs to.
    pub hash: Option<BookHash>,
    /// The venue's own best bid after the change.
    pub best_bid: Top,
    /// The venue's own best ask after the change.
    pub best_ask: Top,
    /// Whether this is the asset's last change in its frame: the moment at
    /// which hash and top can be compared.
    pub last_in_frame: bool,
}

impl PriceChange {
    /// What it does to the book.
    pub fn level(&self) -> LevelChange {
        let Self {
            side, price, size, ..
        } = *self;
        LevelChange { side, price, size }
    }
}

/// A side's best price as the venue states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Top {
    /// Not said: the field was missing or `""`.
    #[default]
    Unstated,
    /// The side is empty (`"0"` for bids, `"1"` for asks).
    Empty,
    /// The best price.
    At(Price),
}

/// A trade that was matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trade {
    /// The asset.
    pub asset: AssetKey,
    /// Exchange time; later than the book change it caused.
    pub timestamp: Timestamp,
    /// Price.
    pub price: Price,
    /// The price's text as received: the form in which it will be hashed next.
    pub price_text: DecimalText,
    /// Shares.
    pub size: Size,
    /// The taker's side, when stated.
    pub side: Option<Side>,
    /// Made of the transaction that the venue names, to tell prints of one moment apart:
    /// one transaction may have several. Zero where none is named.
    pub print: u64,
}

/// A new price grid for one token. Often delivered twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TickSizeChange {
    /// The asset.
    pub asset: AssetKey,
    /// Exchange time.
    pub timestamp: Timestamp,
    /// The grid left behind, when stated.
    pub old: Option<DecimalText>,
    /// The grid from now on.
    pub new: DecimalText,
}

/// The venue's word on the top; may arrive before or after the changes it reflects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BestBidAsk {
    /// The asset.
    pub asset: AssetKey,
    /// Exchange time.
    pub timestamp: Timestamp,
    /// Best bid.
    pub best_bid: Top,
    /// Best ask.
    pub best_ask: Top,
}

/// Something that concerns the catalogue of markets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LifecycleEvent {
    /// A market was announced: a hint to look it up, never proof of life.
    NewMarket(NewMarket),
    /// A market is settled.
    Resolved(MarketResolved),
}

/// A market announced to every connection, subscribed or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMarket {
    /// Its condition id.
    pub condition_id: ConditionId,
    /// Its tokens.
    pub asset_ids: Vec<AssetId>,
}

/// The end of a market.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarketResolved {
    /// Its condition id.
    pub condition_id: ConditionId,
    /// Its tokens.
    pub asset_ids: Vec<AssetId>,
    /// The token that pays one, when stated.
    pub winner: Option<AssetId>,
    /// When the venue said so, when stated.
    pub at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intern::Interner;

    #[test]
    fn every_event_says_whose_book_it_concerns() {
        let mut interner = Interner::default();
        // The second, as the first key has nothing but smallest numbers.
        let mut intern = |asset: &str| {
            let (asset_id, condition_id) = (asset.parse().unwrap(), "0xa1".parse().unwrap());
            interner.insert(
                &AssetId::clone(&asset_id),
                &ConditionId::clone(&condition_id),
                |key| AssetInfo::new(key, asset_id, condition_id),
            )
        };
        let (_, info) = (intern("1"), intern("2"));
        let (asset, timestamp) = (info.key, Timestamp::default());
        let text = DecimalText::default();
        for event in [
            MarketEvent::Book(Box::new(BookEvent {
                info,
                timestamp,
                hash: None,
                bids: Vec::new(),
                asks: Vec::new(),
                tick_size: None,
                last_trade_price: None,
                min_order_size: None,
                neg_risk: None,
                version: None,
            })),
            MarketEvent::PriceChange(PriceChange {
                asset,
                timestamp,
                side: Side::Bid,
                price: Price::ZERO,
                size: Size::ZERO,
                hash: None,
                best_bid: Top::Unstated,
                best_ask: Top::Unstated,
                last_in_frame: true,
            }),
            MarketEvent::Trade(Trade {
                asset,
                timestamp,
                price: Price::ZERO,
                price_text: text,
                size: Size::ZERO,
                side: None,
                print: 0,
            }),
            MarketEvent::TickSizeChange(TickSizeChange {
                asset,
                timestamp,
                old: None,
                new: text,
            }),
            MarketEvent::BestBidAsk(BestBidAsk {
                asset,
                timestamp,
                best_bid: Top::Unstated,
                best_ask: Top::Unstated,
            }),
        ] {
            assert_eq!(event.asset(), asset, "{event:?}");
        }
    }
}
