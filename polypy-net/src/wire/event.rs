//! The events of the market channel, each from its object.

use std::borrow::Cow;

use polypy_core::{
    AssetId, AssetKey, BestBidAsk, ConditionId, LifecycleEvent, MarketEvent, MarketResolved,
    NewMarket, PriceChange, Side, TickSizeChange, Timestamp, Trade,
};

use crate::counter::count;

use super::book::{self, lenient};
use super::elements::Elements;
use super::error::WireError;
use super::general::Decoder;
use super::kind::EventKind;
use super::object::{self, Entry, Event};
use super::scalar::{self, Value};

/// What `event_type` says.
pub(super) enum Type<'a> {
    /// One of ours.
    Known(EventKind),
    /// A name to count and skip.
    Unknown(Cow<'a, str>),
}

/// Tells the type of an event. A REST book has none and is known by its fields.
pub(super) fn recognise<'a>(event: &Event<'a>) -> Result<Type<'a>, WireError> {
    match scalar::text(event.event_type, "event_type")? {
        Some(name) => Ok(match EventKind::of(&name) {
            Some(kind) => Type::Known(kind),
            None => Type::Unknown(name),
        }),
        None if book::has_shape_of_book(event) => Ok(Type::Known(EventKind::Book)),
        None => Err(WireError::Missing("event_type")),
    }
}

impl Decoder<'_> {
    /// Decodes an event of a known type. Events of unknown assets are counted
    /// and skipped unread.
    pub(super) fn known_event(
        &mut self,
        kind: EventKind,
        event: &Event<'_>,
    ) -> Result<(), WireError> {
        match kind {
            EventKind::Book => self.book(event),
            EventKind::PriceChange => self.price_change(event),
            EventKind::LastTradePrice => self.trade(event),
            EventKind::TickSizeChange => self.tick_size_change(event),
            EventKind::BestBidAsk => self.best_bid_ask(event),
            EventKind::NewMarket => self.new_market(event),
            EventKind::MarketResolved => self.market_resolved(event),
        }
    }

    fn book(&mut self, event: &Event<'_>) -> Result<(), WireError> {
        if let Some(info) = self.asset(event.asset_id)? {
            let book = book::decode(event, info, &mut |error| {
                self.error(EventKind::Book, &error);
            })?;
            self.out.events.push(MarketEvent::Book(Box::new(book)));
        }
        Ok(())
    }

    fn price_change(&mut self, event: &Event<'_>) -> Result<(), WireError> {
        let timestamp = scalar::timestamp(event.timestamp)?;
        let entries = scalar::array(event.price_changes, "price_changes")?;
        let (first_event, first_lost) = (self.out.events.len(), self.out.undecodable.len());
        let (mut nameless, mut entries_read) = (false, 0);
        for entry in Elements::of(entries).into_iter().flatten() {
            let entry = entry.map_err(|_rest| WireError::BrokenArray)?;
            entries_read += 1;
            match self.change(entry, timestamp) {
                Ok(Some(change)) => self.out.events.push(MarketEvent::PriceChange(change)),
                Ok(None) => {}
                Err(Refused { asset, error }) => {
                    self.error(EventKind::PriceChange, &error);
                    match asset {
                        Some(asset) => self.lose(asset),
                        None => nameless = true,
                    }
                }
            }
        }
        let changes = self.out.events.len() - first_event;
        self.stats.count_level_changes(count(changes));
        if nameless {
            self.lose_market(event, first_event, first_lost);
        } else if entries_read == 0 {
            // A change that changes nothing: what it should have said is lost.
            return Err(WireError::Missing("price_changes"));
        } else if changes == 0
            && self.out.undecodable.len() == first_lost
            && !self.tokens_of(event).is_empty()
        {
            // The market is followed, and nothing in it is of one of its tokens.
            return Err(WireError::UnknownAsset);
        }
        Ok(())
    }

    /// The followed tokens of the market that an event names.
    fn tokens_of(&self, event: &Event<'_>) -> Vec<AssetKey> {
        let Ok(Some(condition)) = scalar::text(event.market, "market") else {
            return Vec::new();
        };
        let tokens = self.assets.market(&condition);
        tokens.map(|info| info.key).collect()
    }

    /// Decodes an entry, `None` if its asset is not known.
    fn change(
        &mut self,
        entry: &str,
        timestamp: Timestamp,
    ) -> Result<Option<PriceChange>, Refused> {
        let entry: Entry<'_> = object::parse(entry)?;
        let Some(info) = self.asset(entry.asset_id)? else {
            return Ok(None);
        };
        self.change_of(info.key, &entry, timestamp)
            .map(Some)
            .map_err(|error| Refused {
                asset: Some(info.key),
                error,
            })
    }

    fn change_of(
        &mut self,
        asset: AssetKey,
        entry: &Entry<'_>,
        timestamp: Timestamp,
    ) -> Result<PriceChange, WireError> {
        let left_out = &mut |error| self.error(EventKind::PriceChange, &error);
        Ok(PriceChange {
            asset,
            timestamp,
            side: scalar::side(entry.side)?.ok_or(WireError::Missing("side"))?,
            price: scalar::price(entry.price, "price")?,
            size: scalar::size(entry.size, "size")?,
            hash: lenient(scalar::hash(entry.hash), left_out),
            best_bid: lenient(scalar::top(entry.best_bid, Side::Bid, "best_bid"), left_out),
            best_ask: lenient(scalar::top(entry.best_ask, Side::Ask, "best_ask"), left_out),
            last_in_frame: false,
        })
    }

    /// An entry did not say whose it is. All entries of one event belong to one
    /// market: the one that the event names, and that of the other entries' assets.
    fn lose_market(&mut self, event: &Event<'_>, first_event: usize, first_lost: usize) {
        let decoded = self.out.events.iter().skip(first_event);
        let mut market: Vec<AssetKey> = decoded.map(MarketEvent::asset).collect();
        market.extend(self.tokens_of(event));
        market.extend(self.out.undecodable.iter().skip(first_lost));
        for asset in market {
            self.lose(asset);
            let info = self.assets.info(asset);
            if let Some(complement) = info.and_then(|info| info.complement) {
                self.lose(complement);
            }
        }
    }

    fn trade(&mut self, event: &Event<'_>) -> Result<(), WireError> {
        let Some(info) = self.asset(event.asset_id)? else {
            return Ok(());
        };
        let price_text = scalar::decimal_text(event.price, "price")?;
        // Whatever else it is, it tells nothing apart.
        let transaction = scalar::text(event.transaction_hash, "transaction_hash");
        let transaction = transaction.ok().flatten();
        let trade = Trade {
            asset: info.key,
            timestamp: scalar::timestamp(event.timestamp)?,
            price: scalar::price(event.price, "price")?,
            price_text: price_text.ok_or(WireError::Missing("price"))?,
            size: scalar::size(event.size, "size")?,
            side: lenient(scalar::side(event.side), &mut |error| {
                self.error(EventKind::LastTradePrice, &error);
            }),
            print: transaction.map_or(0, |text| scalar::print(text.as_bytes())),
        };
        self.out.events.push(MarketEvent::Trade(trade));
        Ok(())
    }

    fn tick_size_change(&mut self, event: &Event<'_>) -> Result<(), WireError> {
        let Some(info) = self.asset(event.asset_id)? else {
            return Ok(());
        };
        let new = scalar::decimal_text(event.new_tick_size, "new_tick_size")?;
        let change = TickSizeChange {
            asset: info.key,
            timestamp: scalar::timestamp(event.timestamp)?,
            new: new.ok_or(WireError::Missing("new_tick_size"))?,
            old: lenient(
                scalar::decimal_text(event.old_tick_size, "old_tick_size"),
                &mut |error| self.error(EventKind::TickSizeChange, &error),
            ),
        };
        self.out.events.push(MarketEvent::TickSizeChange(change));
        Ok(())
    }

    fn best_bid_ask(&mut self, event: &Event<'_>) -> Result<(), WireError> {
        let Some(info) = self.asset(event.asset_id)? else {
            return Ok(());
        };
        let top = BestBidAsk {
            asset: info.key,
            timestamp: scalar::timestamp(event.timestamp)?,
            best_bid: scalar::top(event.best_bid, Side::Bid, "best_bid")?,
            best_ask: scalar::top(event.best_ask, Side::Ask, "best_ask")?,
        };
        self.out.events.push(MarketEvent::BestBidAsk(top));
        Ok(())
    }

    fn new_market(&mut self, event: &Event<'_>) -> Result<(), WireError> {
        let condition_id = condition(event)?;
        let asset_ids = match event.assets_ids {
            Some(_) => self.asset_ids(EventKind::NewMarket, event.assets_ids, "assets_ids"),
            None => self.asset_ids(EventKind::NewMarket, event.clob_token_ids, "clob_token_ids"),
        };
        let market = NewMarket {
            condition_id,
            asset_ids,
        };
        self.out.lifecycle.push(LifecycleEvent::NewMarket(market));
        Ok(())
    }

    fn market_resolved(&mut self, event: &Event<'_>) -> Result<(), WireError> {
        const KIND: EventKind = EventKind::MarketResolved;
        let resolved = MarketResolved {
            condition_id: condition(event)?,
            asset_ids: self.asset_ids(KIND, event.assets_ids, "assets_ids"),
            winner: lenient(
                asset_id(event.winning_asset_id, "winning_asset_id"),
                &mut |error| self.error(KIND, &error),
            ),
            at: lenient(stated(scalar::timestamp(event.timestamp)), &mut |error| {
                self.error(KIND, &error);
            }),
        };
        self.out.lifecycle.push(LifecycleEvent::Resolved(resolved));
        Ok(())
    }

    /// The ids of an array; those that cannot be read are counted and left out.
    /// A missing array is empty: the market's own id is enough to look it up.
    fn asset_ids(&mut self, kind: EventKind, ids: Value<'_>, field: &'static str) -> Vec<AssetId> {
        let text = match scalar::array(ids, field) {
            Ok(text) => text,
            Err(WireError::Missing(_)) => return Vec::new(),
            Err(error) => {
                self.error(kind, &error);
                return Vec::new();
            }
        };
        let mut asset_ids = Vec::with_capacity(2);
        for element in Elements::of(text).into_iter().flatten() {
            let id = element
                .map_err(|_rest| WireError::BrokenArray)
                .and_then(|element| Ok(serde_json::from_str(element)?))
                .and_then(|value| asset_id(Some(value), field));
            match id {
                Ok(id) => asset_ids.extend(id),
                Err(error) => self.error(kind, &error),
            }
        }
        asset_ids
    }
}

/// An entry that could not be decoded, and whose it is if that could be told.
struct Refused {
    asset: Option<AssetKey>,
    error: WireError,
}

impl From<WireError> for Refused {
    fn from(error: WireError) -> Self {
        Self { asset: None, error }
    }
}

/// The market of a life-cycle event: `market`, or `condition_id` beside it.
fn condition(event: &Event<'_>) -> Result<ConditionId, WireError> {
    let (value, field) = match event.market {
        Some(_) => (event.market, "market"),
        None => (event.condition_id, "condition_id"),
    };
    ConditionId::new(&scalar::required(value, field)?)
        .map_err(|source| WireError::Id { field, source })
}

/// What need not be stated.
fn stated<T>(value: Result<T, WireError>) -> Result<Option<T>, WireError> {
    match value {
        Ok(value) => Ok(Some(value)),
        Err(WireError::Missing(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn asset_id(value: Value<'_>, field: &'static str) -> Result<Option<AssetId>, WireError> {
    scalar::text(value, field)?
        .map(|text| AssetId::new(&text).map_err(|source| WireError::Id { field, source }))
        .transpose()
}
