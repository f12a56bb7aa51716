//! Shapes the venue does not send today and may send tomorrow.

use polypy_core::{Price, Side, Top};

use super::*;

/// `frame` decodes to the very events of `plain`, without an error.
#[track_caller]
fn same(frame: &str, plain: &str) {
    let (frame, plain) = (run(frame), run(plain));
    assert_eq!(frame.causes(), BTreeMap::new());
    assert_eq!(frame.out.events, plain.out.events);
    assert_eq!(frame.out.lifecycle, plain.out.lifecycle);
    assert_eq!(frame.frame, Frame::Data);
    assert!(!plain.out.events.is_empty() || !plain.out.lifecycle.is_empty());
}

#[test]
fn array_or_object_is_the_same() {
    for event in every_event() {
        same(&format!("[{event}]"), &event);
        same(&format!("\r\n [ {event} ]\n"), &event);
        same(&format!(" \t{event}\n"), &event);
    }
}

#[test]
fn a_byte_order_mark_does_not_matter() {
    for event in every_event() {
        same(&format!("\u{feff}{event}"), &event);
        same(&format!("\u{feff}[{event}]\n"), &event);
    }
}

#[test]
fn an_unknown_event_concerns_the_books_that_it_names() {
    let about = |text: &str| {
        let run = run(text);
        assert_eq!((run.stats.parse_errors, run.stats.unknown_events), (0, 1));
        assert_eq!(run.out.undecodable, []);
        let ids = run.out.unknown.iter();
        let id = |key: &AssetKey| run.assets.info(*key).unwrap().asset_id.to_string();
        let mut ids: Vec<_> = ids.map(id).collect();
        ids.sort();
        ids
    };
    let renamed = |text: String| text.replace("\"price_change\"", "\"price_delta\"");
    let change = price_change(&[entry(YES, "BUY", "0.49", "50")]);
    assert_eq!(about(&renamed(change.clone())), [YES, NO]);
    assert_eq!(
        about(&renamed(change.replace("asset_id", "token"))),
        [YES, NO]
    );
    assert_eq!(
        about(&format!(r#"{{"event_type":"fees","asset_id":"{UP}"}}"#)),
        [UP, DOWN]
    );
    assert_eq!(
        about(&format!(
            r#"{{"event_type":"fees","asset_id":"{STRANGER}","market":"0x1"}}"#
        )),
        Vec::<String>::new()
    );
}

#[test]
fn white_space_does_not_matter() {
    for event in every_event() {
        same(&event.replace(",\"", ", \""), &event);
        same(
            &event.replace("\":", "\" :\n\t").replace('}', " } "),
            &event,
        );
    }
}

#[test]
fn unknown_and_repeated_keys_do_not_matter() {
    for event in every_event() {
        let extra =
            r#"{"event_types":"book","x":[{"asset_id":[[1e999,"}"]]}],"y":null,"z\"":-0.0,"#;
        same(&event.replacen('{', extra, 1), &event);
        // Of two values the last one counts.
        same(&event.replacen('{', r#"{"timestamp":"7","#, 1), &event);
    }
    let entries = entry(YES, "BUY", "0.49", "50").replacen('{', r#"{"size":"9","new":{},"#, 1);
    same(
        &price_change(&[entries]),
        &price_change(&[entry(YES, "BUY", "0.49", "50")]),
    );
}

#[test]
fn any_order_of_keys() {
    let plain = price_change(&[entry(YES, "BUY", "0.49", "50")]);
    let turned = format!(
        r#"{{"event_type":"price_change","timestamp":"1791200000100","price_changes":[{{"best_ask":"0.52","best_bid":"0.49","hash":"{HASH}","side":"BUY","size":"50","price":"0.49","asset_id":"{YES}"}}],"market":"{MARKET}"}}"#
    );
    same(&turned, &plain);
}

#[test]
fn numbers_for_strings_stay_exact() {
    for event in every_event() {
        let mut bare = event.clone();
        for field in [
            "asset_id",
            "price",
            "size",
            "timestamp",
            "best_bid",
            "best_ask",
            "new_tick_size",
        ] {
            let key = format!("\"{field}\":\"");
            while let Some(start) = bare.find(&key) {
                let value = start + key.len();
                let end = value + bare[value..].find('"').unwrap();
                bare.remove(end);
                bare.remove(value - 1);
            }
        }
        same(&bare, &event);
    }
    // 2⁵³ + 1 and a size that no double holds.
    let frame = price_change(&[entry(YES, "BUY", "0.49", "9007199254740.993001")])
        .replace("\"9007199254740.993001\"", "9007199254740.993001")
        .replace("\"1791200000100\"", "9007199254740993");
    let MarketEvent::PriceChange(change) = run(frame).only() else {
        panic!("no change")
    };
    assert_eq!(change.size.millionths(), 9_007_199_254_740_993_001);
    assert_eq!(change.timestamp.millis(), 9_007_199_254_740_993);
}

#[test]
fn a_timestamp_is_an_integer_of_any_width() {
    for (text, millis) in [
        ("0", 0),
        ("1791200000", 1_791_200_000),
        ("18446744073709551615", u64::MAX),
    ] {
        let book = run(book(YES).replace("1791200000105", text)).only_book();
        assert_eq!(book.timestamp.millis(), millis);
    }
    for text in [
        "+5",
        "-5",
        "1.5",
        "1e3",
        " 7",
        "2026-10-04",
        "18446744073709551616",
    ] {
        let run = run(book(YES).replace("1791200000105", text));
        assert_eq!(run.causes(), BTreeMap::from([("timestamp", 1)]), "{text}");
        assert_eq!(run.lost(), [YES]);
    }
}

#[test]
fn escapes_are_read() {
    let plain = price_change(&[entry(YES, "BUY", "0.49", "50")]);
    same(&plain.replace("\"0.49\"", "\"\\u0030.49\""), &plain);
    same(
        &plain.replace("\"price_change\"", "\"price\\u005fchange\""),
        &plain,
    );
    same(&plain.replace("\"side\"", "\"\\u0073ide\""), &plain);
}

#[test]
fn optional_fields_may_be_empty_null_or_missing() {
    for value in ["\"\"", "null"] {
        let frame = price_change(&[format!(
            r#"{{"asset_id":"{YES}","price":"0.4","size":"5","side":"SELL","hash":{value},"best_bid":{value},"best_ask":{value}}}"#
        )]);
        let missing = price_change(&[format!(
            r#"{{"asset_id":"{YES}","price":"0.4","size":"5","side":"SELL"}}"#
        )]);
        same(&frame, &missing);
        let MarketEvent::PriceChange(change) = run(frame).only() else {
            panic!("no change")
        };
        assert_eq!(change.hash, None);
        assert_eq!(
            (change.best_bid, change.best_ask),
            (Top::Unstated, Top::Unstated)
        );

        let book = run(book(YES).replace(&format!("\"{HASH}\""), value)).only_book();
        assert_eq!(book.hash, None);
        let MarketEvent::Trade(trade) = run(trade(YES).replace("\"BUY\"", value)).only() else {
            panic!("no trade")
        };
        assert_eq!(trade.side, None);
        let tick = tick_size_change(YES).replace("\"0.01\"", value);
        let MarketEvent::TickSizeChange(tick) = run(tick).only() else {
            panic!("no tick size change")
        };
        assert_eq!(tick.old, None);
        let resolved = run(market_resolved().replace(&format!(":\"{NO}\""), &format!(":{value}")));
        let [LifecycleEvent::Resolved(resolved)] = &resolved.out.lifecycle[..] else {
            panic!("not resolved")
        };
        assert_eq!(resolved.winner, None);
    }
}

#[test]
fn a_settled_market_counts_whether_it_is_said_when_or_not() {
    for (other, causes) in [
        ("\"was\":\"1", BTreeMap::new()),
        ("\"timestamp\":\"x", BTreeMap::from([("timestamp", 1)])),
    ] {
        let run = run(market_resolved().replace("\"timestamp\":\"1", other));
        let [LifecycleEvent::Resolved(resolved)] = &run.out.lifecycle[..] else {
            panic!("not resolved")
        };
        assert_eq!(resolved.at, None, "{other}");
        assert_eq!(run.causes(), causes, "{other}");
    }
}

#[test]
fn a_side_without_levels_may_be_null_but_not_missing() {
    let with_null = book(YES).replacen("\"bids\":[", "\"bids\":null,\"was\":[", 1);
    assert_eq!(run(with_null).only_book().bids, []);
    let missing = run(book(YES).replace("\"bids\"", "\"buys\""));
    assert_eq!(missing.causes(), BTreeMap::from([("missing_field", 1)]));
    assert_eq!(missing.lost(), [YES]);
}

#[test]
fn side_in_any_case() {
    for (text, side) in [("buy", Side::Bid), ("Buy", Side::Bid), ("sELL", Side::Ask)] {
        let MarketEvent::PriceChange(change) =
            run(price_change(&[entry(YES, text, "0.4", "1")])).only()
        else {
            panic!("no change")
        };
        assert_eq!(change.side, side);
    }
}

#[test]
fn tops_of_empty_sides() {
    let at = |price: &str| Top::At(price.parse().unwrap());
    for (bid, ask, best_bid, best_ask) in [
        ("0", "1", Top::Empty, Top::Empty),
        ("0.000", "1.0", Top::Empty, Top::Empty),
        ("", "", Top::Unstated, Top::Unstated),
        ("0.001", "0.999", at("0.001"), at("0.999")),
        // Neither a price nor the mark of its side.
        ("0", "0", Top::Empty, Top::Unstated),
        ("1", "1", Top::Unstated, Top::Empty),
    ] {
        let frame = best_bid_ask(YES)
            .replace("\"0.49\"", &format!("\"{bid}\""))
            .replace("\"0.52\"", &format!("\"{ask}\""));
        let MarketEvent::BestBidAsk(top) = run(frame).only() else {
            panic!("no top")
        };
        assert_eq!(
            (top.best_bid, top.best_ask),
            (best_bid, best_ask),
            "{bid} {ask}"
        );
    }
}

#[test]
fn prices_of_zero_and_one_can_be_levels() {
    let run = run(price_change(&[
        entry(YES, "BUY", "0", "0"),
        entry(NO, "SELL", "1", "0"),
        entry(YES, "BUY", ".48", "7."),
    ]));
    let prices: Vec<_> = run.changes().iter().map(|change| change.price).collect();
    assert_eq!(prices, [Price::ZERO, Price::ONE, ".48".parse().unwrap()]);
}

#[test]
fn a_token_twice_in_the_opening_array() {
    let run = run(format!("[{0},{1},{0}]", book(YES), book(NO)));
    assert_eq!((run.out.events.len(), run.stats.parse_errors), (3, 0));
}

#[test]
fn unknown_types_are_counted_by_name_and_skipped() {
    let odd = format!(r#"{{"event_type":"order_filled","asset_id":"{YES}"}}"#);
    let run = run(format!("[{odd},{},{odd}]", book(YES)));
    assert_eq!((run.out.events.len(), run.stats.parse_errors), (1, 0));
    assert_eq!(run.out.undecodable, []);
    assert_eq!(run.stats.unknown_events, 2);
    assert_eq!(run.stats.unknown_events_by_name["order_filled"], 2);
}

#[test]
fn unknown_assets_are_counted_and_skipped() {
    let run = run(format!(
        "[{},{},{},{},{}]",
        book(STRANGER),
        trade(STRANGER),
        tick_size_change(STRANGER),
        best_bid_ask("17"),
        price_change(&[
            entry(STRANGER, "BUY", "0.4", "1"),
            entry(YES, "BUY", "0.4", "1")
        ]),
    ));
    assert_eq!((run.out.events.len(), run.stats.parse_errors), (1, 0));
    assert_eq!(run.stats.unknown_assets, 5);
}

/// What cannot be read of an optional field costs the field alone.
#[test]
fn a_bad_optional_field_is_counted_and_left_out() {
    let frame = price_change(&[entry(YES, "BUY", "0.4", "1")])
        .replace(HASH, "0xabc")
        .replace("\"0.52\"", "\"1.2\"")
        .replace("\"0.49\"", "{}");
    let run1 = run(frame);
    assert_eq!(
        run1.causes(),
        BTreeMap::from([("decimal_out_of_range", 1), ("hash", 1), ("wrong_type", 1)])
    );
    assert_eq!(run1.out.undecodable, []);
    let [change] = run1.changes()[..] else {
        panic!("no change")
    };
    assert_eq!(
        (change.hash, change.best_bid, change.best_ask),
        (None, Top::Unstated, Top::Unstated)
    );

    let odd = r#"{"tick_size":"fine","last_trade_price":"0.12345678901234","neg_risk":"maybe","version":"a version that goes on","min_order_size":"-5","#;
    let run2 = run(book(YES).replacen('{', odd, 1));
    assert_eq!(run2.stats.parse_errors, 5);
    assert_eq!(run2.stats.parse_errors_by_event["book"], 5);
    assert_eq!((run2.out.events.len(), run2.out.undecodable.len()), (1, 0));
}
