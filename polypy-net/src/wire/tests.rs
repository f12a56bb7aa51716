//! Frames in, events out. All samples are invented after the venue's shapes.

mod captures;
mod events;
mod fast;
mod mutation;
mod neighbours;
mod rest;
mod tolerance;

use std::collections::BTreeMap;

use polypy_core::{AssetInfo, PriceChange};

use super::*;

/// The first market: two tokens that know each other.
const YES: &str = "1000000000000000000000000000000000000000000000000000000000000000000000000011";
const NO: &str = "1000000000000000000000000000000000000000000000000000000000000000000000000012";
const MARKET: &str = "0x00000000000000000000000000000000000000000000000000000000000000a1";
/// The second.
const UP: &str = "2000000000000000000000000000000000000000000000000000000000000000000000000021";
const DOWN: &str = "2000000000000000000000000000000000000000000000000000000000000000000000000022";
const OTHER_MARKET: &str = "0x000000000000000000000000000000000000000000000000000000000000b2";
/// Known to nobody.
const STRANGER: &str =
    "3000000000000000000000000000000000000000000000000000000000000000000000000031";
const HASH: &str = "b17e93a1f6202e13d8e0dd3aeb958b4a882dca3c";

/// An interner that knows these markets' tokens.
fn interner_of<'a>(markets: impl IntoIterator<Item = (&'a str, Vec<&'a str>)>) -> Interner {
    let mut interner = Interner::default();
    for (market, tokens) in markets {
        let condition = market.parse().unwrap();
        let keys: Vec<_> = tokens
            .iter()
            .map(|token| {
                let id = token.parse().unwrap();
                let describe =
                    |key| AssetInfo::new(key, token.parse().unwrap(), market.parse().unwrap());
                interner.insert(&id, &condition, describe).key
            })
            .collect();
        if let [first, second] = keys[..] {
            for (key, complement) in [(first, second), (second, first)] {
                let mut info = AssetInfo::clone(interner.info(key).unwrap());
                info.complement = Some(complement);
                interner.update(key, info).unwrap();
            }
        }
    }
    interner
}

fn interner() -> Interner {
    interner_of([(MARKET, vec![YES, NO]), (OTHER_MARKET, vec![UP, DOWN])])
}

/// What one frame came to.
struct Run {
    assets: Interner,
    frame: Frame,
    out: Decoded,
    stats: WireSnapshot,
}

/// Decodes a frame both ways, which have to agree.
#[track_caller]
fn run(frame: impl AsRef<[u8]>) -> Run {
    let assets = interner();
    let [(frame, out, stats), general] = [decode, decode_generally].map(|decode| {
        let (stats, mut out) = (WireStats::default(), Decoded::default());
        let kind = decode(frame.as_ref(), &assets, &stats, &mut out);
        (kind, out, stats.snapshot())
    });
    assert_eq!(stats.parse_errors, out.errors, "one count for two readers");
    assert_eq!(frame, general.0);
    assert_eq!(out.events, general.1.events);
    assert_eq!(out.lifecycle, general.1.lifecycle);
    assert_eq!(out.undecodable, general.1.undecodable);
    let same_way = WireSnapshot {
        fast_frames: general.2.fast_frames,
        general_frames: general.2.general_frames,
        ..stats.clone()
    };
    assert_eq!(same_way, general.2);
    Run {
        assets,
        frame,
        out,
        stats,
    }
}

impl Run {
    /// No error, nothing lost; the only event.
    #[track_caller]
    fn only(mut self) -> MarketEvent {
        assert_eq!(self.causes(), BTreeMap::new());
        assert_eq!(self.out.undecodable, []);
        assert_eq!(self.out.events.len(), 1, "{:?}", self.out.events);
        self.out.events.remove(0)
    }

    #[track_caller]
    fn only_book(self) -> polypy_core::BookEvent {
        match self.only() {
            MarketEvent::Book(book) => *book,
            other => panic!("no book: {other:?}"),
        }
    }

    /// The level changes among the events.
    fn changes(&self) -> Vec<PriceChange> {
        self.out
            .events
            .iter()
            .filter_map(|event| match event {
                MarketEvent::PriceChange(change) => Some(*change),
                _ => None,
            })
            .collect()
    }

    /// The errors by cause, without zeros.
    fn causes(&self) -> BTreeMap<&'static str, u64> {
        let mut causes = self.stats.parse_errors_by_cause.clone();
        causes.retain(|_, count| *count > 0);
        causes
    }

    /// Ids of the assets that are lost, sorted.
    fn lost(&self) -> Vec<&str> {
        let mut ids: Vec<_> = self
            .out
            .undecodable
            .iter()
            .map(|key| self.assets.info(*key).unwrap().asset_id.as_str())
            .collect();
        ids.sort_unstable();
        ids
    }

    fn key(&self, asset: &str) -> AssetKey {
        self.assets.get(asset).unwrap().key
    }
}

/// A book in its later form.
fn book(asset: &str) -> String {
    format!(
        r#"{{"market":"{MARKET}","asset_id":"{asset}","bids":[{{"price":"0.47","size":"250"}},{{"price":"0.48","size":"100.5"}}],"asks":[{{"price":"0.53","size":"300"}},{{"price":"0.52","size":"120"}}],"hash":"{HASH}","timestamp":"1791200000105","event_type":"book"}}"#
    )
}

fn entry(asset: &str, side: &str, price: &str, size: &str) -> String {
    format!(
        r#"{{"asset_id":"{asset}","price":"{price}","size":"{size}","side":"{side}","hash":"{HASH}","best_bid":"0.49","best_ask":"0.52"}}"#
    )
}

fn price_change(entries: &[String]) -> String {
    format!(
        r#"{{"market":"{MARKET}","price_changes":[{}],"timestamp":"1791200000100","event_type":"price_change"}}"#,
        entries.join(",")
    )
}

fn trade(asset: &str) -> String {
    format!(
        r#"{{"market":"{MARKET}","asset_id":"{asset}","price":"0.520","size":"219.217767","fee_rate_bps":"0","side":"BUY","timestamp":"1791200000621","event_type":"last_trade_price","transaction_hash":"0xab"}}"#
    )
}

fn tick_size_change(asset: &str) -> String {
    format!(
        r#"{{"market":"{MARKET}","asset_id":"{asset}","old_tick_size":"0.01","new_tick_size":"0.001","timestamp":"1791200300000","event_type":"tick_size_change"}}"#
    )
}

fn best_bid_ask(asset: &str) -> String {
    format!(
        r#"{{"event_type":"best_bid_ask","market":"{MARKET}","asset_id":"{asset}","best_bid":"0.49","best_ask":"0.52","spread":"0.03","timestamp":"1791200000102"}}"#
    )
}

fn new_market() -> String {
    format!(
        r#"{{"id":"9200001","question":"Synthetic \"A\"?","market":"{MARKET}","slug":"synthetic-a","description":"","assets_ids":["{YES}","{NO}"],"outcomes":["Yes","No"],"event_message":{{"id":"1","title":"]}}"}},"timestamp":"1791190000000","event_type":"new_market","tags":["Crypto","5M"],"condition_id":"{MARKET}","active":false,"clob_token_ids":["{YES}","{NO}"],"sports_market_type":"","line":"","game_start_time":"2026-10-04 14:25:00+00","order_price_min_tick_size":"0.01","taker_base_fee":"1000","fees_enabled":true,"fee_schedule":{{"exponent":"1","rate":"0.07","taker_only":true}}}}"#
    )
}

fn market_resolved() -> String {
    format!(
        r#"{{"id":"9200001","market":"{MARKET}","assets_ids":["{YES}","{NO}"],"winning_asset_id":"{NO}","winning_outcome":"No","event_message":null,"timestamp":"1791210000000","event_type":"market_resolved","tags":["Crypto"]}}"#
    )
}

/// One of each.
fn every_event() -> Vec<String> {
    vec![
        book(YES),
        price_change(&[
            entry(YES, "BUY", "0.49", "50"),
            entry(NO, "SELL", "0.51", "50"),
        ]),
        trade(NO),
        tick_size_change(UP),
        best_bid_ask(DOWN),
        new_market(),
        market_resolved(),
    ]
}
