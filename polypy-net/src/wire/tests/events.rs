//! Every event in the shape the venue sends today, and every control text.

use polypy_core::{BookHash, Level, Side, Timestamp, Top};

use super::*;

fn level(price: &str, size: &str) -> Level {
    Level::new(price.parse().unwrap(), size.parse().unwrap())
}

/// A frame with one event of this type. A new type does not compile without one.
fn sample(kind: EventKind) -> String {
    match kind {
        EventKind::Book => book(NO),
        EventKind::PriceChange => price_change(&[entry(YES, "BUY", "0.49", "50")]),
        EventKind::LastTradePrice => trade(YES),
        EventKind::TickSizeChange => tick_size_change(YES),
        EventKind::BestBidAsk => best_bid_ask(YES),
        EventKind::NewMarket => new_market(),
        EventKind::MarketResolved => market_resolved(),
    }
}

/// The type a decoded event is of. A new event does not compile without one.
fn type_of(event: &MarketEvent) -> EventKind {
    match event {
        MarketEvent::Book(_) => EventKind::Book,
        MarketEvent::PriceChange(_) => EventKind::PriceChange,
        MarketEvent::Trade(_) => EventKind::LastTradePrice,
        MarketEvent::TickSizeChange(_) => EventKind::TickSizeChange,
        MarketEvent::BestBidAsk(_) => EventKind::BestBidAsk,
    }
}

fn type_of_lifecycle(event: &LifecycleEvent) -> EventKind {
    match event {
        LifecycleEvent::NewMarket(_) => EventKind::NewMarket,
        LifecycleEvent::Resolved(_) => EventKind::MarketResolved,
    }
}

#[test]
fn every_type_in_the_table_is_decoded_counted_and_handed_on() {
    for kind in EventKind::ALL {
        let run = run(sample(kind));
        let events = run.out.events.iter().map(type_of);
        let decoded: Vec<_> = events
            .chain(run.out.lifecycle.iter().map(type_of_lifecycle))
            .collect();
        assert_eq!(decoded, [kind]);
        for other in EventKind::ALL {
            let expected = u64::from(other == kind);
            assert_eq!(run.stats.events[other.name()], expected, "{kind:?}");
        }
        assert_eq!((run.stats.parse_errors, run.stats.unknown_events), (0, 0));
    }
}

#[test]
fn an_opening_array_of_books() {
    let frame = format!(
        concat!(
            r#"[{{"market":"{m}","asset_id":"{a}","timestamp":"1791199970000","hash":"{h}","#,
            r#""bids":[{{"price":"0.47","size":"250"}},{{"price":"0.4825","size":"100"}}],"#,
            r#""asks":[],"tick_size":"0.0025","event_type":"book","last_trade_price":"0.500"}},"#,
            r#"{{"market":"{m}","asset_id":"{b}","timestamp":"1791199970001","hash":"{h}","#,
            r#""bids":[],"asks":[],"tick_size":"0.01","event_type":"book","last_trade_price":"","version":"v2"}}]"#,
            "\n"
        ),
        m = MARKET,
        a = YES,
        b = NO,
        h = HASH
    );
    let run = run(&frame);
    assert_eq!((run.frame, run.stats.parse_errors), (Frame::Data, 0));
    let [MarketEvent::Book(yes), MarketEvent::Book(no)] = &run.out.events[..] else {
        panic!("{:?}", run.out.events)
    };
    assert_eq!(yes.info.asset_id.as_str(), YES);
    assert_eq!(yes.timestamp, Timestamp::from_millis(1_791_199_970_000));
    assert_eq!(yes.hash, BookHash::from_hex(HASH.as_bytes()));
    assert_eq!(yes.bids, [level("0.47", "250"), level("0.4825", "100")]);
    assert_eq!(yes.asks, []);
    assert_eq!(yes.tick_size.unwrap().as_str(), "0.0025");
    assert_eq!(yes.last_trade_price.unwrap().as_str(), "0.500");
    assert_eq!((yes.version.as_deref(), yes.neg_risk), (None, None));
    // Before any trade the price is the empty text, which is hashed as such.
    assert!(no.last_trade_price.unwrap().is_empty());
    assert_eq!(no.version.as_deref(), Some("v2"));
    assert_eq!(run.stats.events["book"], 2);
    assert_eq!((run.stats.frames, run.stats.bytes), (1, frame.len() as u64));
}

#[test]
fn a_later_book() {
    let book = run(book(NO)).only_book();
    assert_eq!(book.info.asset_id.as_str(), NO);
    assert_eq!(book.bids, [level("0.47", "250"), level("0.48", "100.5")]);
    assert_eq!(book.asks, [level("0.53", "300"), level("0.52", "120")]);
    assert_eq!((book.tick_size, book.last_trade_price), (None, None));
}

#[test]
fn both_mirrored_changes() {
    let run = run(price_change(&[
        entry(YES, "BUY", "0.49", "50"),
        entry(NO, "SELL", "0.51", "0"),
    ]));
    let expected = |asset, side, price: &str, size: &str| PriceChange {
        asset: run.key(asset),
        timestamp: Timestamp::from_millis(1_791_200_000_100),
        side,
        price: price.parse().unwrap(),
        size: size.parse().unwrap(),
        hash: BookHash::from_hex(HASH.as_bytes()),
        best_bid: Top::At("0.49".parse().unwrap()),
        best_ask: Top::At("0.52".parse().unwrap()),
        last_in_frame: true,
    };
    assert_eq!(
        run.changes(),
        [
            expected(YES, Side::Bid, "0.49", "50"),
            expected(NO, Side::Ask, "0.51", "0")
        ]
    );
    assert_eq!(run.stats.events["price_change"], 1);
    assert_eq!(run.stats.level_changes, 2);
}

/// The hash and the top of a frame describe the state after its last change.
#[test]
fn the_last_change_of_each_asset_is_marked() {
    for repeat in [1, 20] {
        let mut entries = Vec::new();
        for _ in 0..repeat {
            entries.push(entry(YES, "BUY", "0.49", "50"));
            entries.push(entry(NO, "SELL", "0.51", "50"));
            entries.push(entry(YES, "BUY", "0.48", "7"));
        }
        // Across the events of an array, too: the frame is what counts.
        let frame = format!("[{0},{0}]", price_change(&entries));
        let run = run(frame);
        let marked: Vec<_> = run.changes().iter().map(|c| c.last_in_frame).collect();
        let mut expected = vec![false; entries.len() * 2];
        let end = expected.len();
        expected[end - 2..].fill(true);
        assert_eq!(marked, expected);
    }
}

#[test]
fn only_this_frame_is_marked_when_several_share_a_result() {
    let (assets, stats, mut out) = (interner(), WireStats::default(), Decoded::default());
    for _ in 0..3 {
        let frame = price_change(&[entry(YES, "BUY", "0.49", "50")]);
        decode(frame.as_bytes(), &assets, &stats, &mut out);
    }
    assert_eq!(out.events.len(), 3);
    assert!(
        out.events
            .iter()
            .all(|event| matches!(event, MarketEvent::PriceChange(change) if change.last_in_frame))
    );
    out.clear();
    assert_eq!((out.events.len(), out.errors), (0, 0));
}

#[test]
fn a_trade_keeps_its_price_text() {
    let MarketEvent::Trade(trade) = run(trade(YES)).only() else {
        panic!("no trade")
    };
    assert_eq!(trade.price_text.as_str(), "0.520");
    assert_eq!(trade.price.millionths(), 520_000);
    assert_eq!(trade.size.millionths(), 219_217_767);
    assert_eq!(trade.side, Some(Side::Bid));
    assert_eq!(trade.timestamp.millis(), 1_791_200_000_621);
}

#[test]
fn trades_are_told_apart_by_their_transaction() {
    let print = |transaction: &str| {
        let event = trade(YES).replace("\"0xab\"", transaction);
        let MarketEvent::Trade(trade) = run(event).only() else {
            panic!("no trade")
        };
        trade.print
    };
    let one = print("\"0xab\"");
    assert_ne!(one, 0);
    assert_eq!(print("\"0xab\""), one);
    assert_ne!(print("\"0xac\""), one);
    // Written in another way, for the general decoder.
    assert_eq!(print("\"\\u0030xab\""), one);
    for unstated in ["\"\"", "null", "true", "{}"] {
        assert_eq!(print(unstated), 0, "{unstated}");
    }
}

#[test]
fn a_new_price_grid() {
    let MarketEvent::TickSizeChange(change) = run(tick_size_change(YES)).only() else {
        panic!("no tick size change")
    };
    assert_eq!(change.old.unwrap().as_str(), "0.01");
    assert_eq!(change.new.as_str(), "0.001");
}

#[test]
fn the_top_said_apart() {
    let MarketEvent::BestBidAsk(top) = run(best_bid_ask(YES)).only() else {
        panic!("no best bid and ask")
    };
    assert_eq!(top.best_bid, Top::At("0.49".parse().unwrap()));
    assert_eq!(top.best_ask, Top::At("0.52".parse().unwrap()));
}

#[test]
fn a_market_announced_and_a_market_settled() {
    let run = run(format!("[{},{}]", new_market(), market_resolved()));
    assert_eq!(run.causes(), BTreeMap::new());
    let [
        LifecycleEvent::NewMarket(new),
        LifecycleEvent::Resolved(resolved),
    ] = &run.out.lifecycle[..]
    else {
        panic!("{:?}", run.out.lifecycle)
    };
    let tokens = |ids: &[polypy_core::AssetId]| -> Vec<String> {
        ids.iter().map(ToString::to_string).collect()
    };
    assert_eq!(new.condition_id.as_str(), MARKET);
    assert_eq!(tokens(&new.asset_ids), [YES, NO]);
    assert_eq!(resolved.condition_id.as_str(), MARKET);
    assert_eq!(tokens(&resolved.asset_ids), [YES, NO]);
    assert_eq!(resolved.winner.as_ref().unwrap().as_str(), NO);
    let at = Timestamp::from_millis(1_791_210_000_000);
    assert_eq!(resolved.at, Some(at));
    assert_eq!(run.out.events, []);
}

#[test]
fn control_texts_are_no_errors() {
    for (text, frame) in [
        ("PONG", Frame::Pong),
        ("PONG\n", Frame::Pong),
        ("INVALID OPERATION", Frame::InvalidOperation),
        ("NO NEW ASSETS", Frame::NoNewAssets),
        ("INVALID MESSAGE", Frame::InvalidMessage),
        ("SUBSCRIPTION UPDATED", Frame::Control),
        ("\u{1b}[2J<script>", Frame::Control),
        ("null", Frame::Control),
        ("", Frame::Control),
        (" \n", Frame::Control),
    ] {
        let run = run(text);
        assert_eq!(run.frame, frame, "{text:?}");
        assert_eq!(run.stats.parse_errors, 0, "{text:?}");
        assert_eq!(run.stats.control_texts[text.trim()], 1);
        assert_eq!(run.stats.frames, 1);
    }
}

#[test]
fn an_empty_array_is_data() {
    for text in ["[]", "[]\n", " [ ] "] {
        let run = run(text);
        assert_eq!((run.frame, run.stats.parse_errors), (Frame::Data, 0));
        assert_eq!(run.out.events, []);
    }
}
