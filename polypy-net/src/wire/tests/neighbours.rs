//! A bad event, entry or element costs none of the others, and what is lost is
//! named.

use proptest::prelude::*;

use super::*;

/// Elements of an array that are counted as one error each.
fn bad_events() -> Vec<String> {
    vec![
        book(YES).replace("0.47", "-0.47"),
        book(YES).replace("100.5", "100.1234567"),
        book(YES).replace("100.5", "1e3"),
        book(YES).replace(
            "{\"price\":\"0.52\",\"size\":\"120\"}",
            "[\"0.52\",\"120\"]",
        ),
        book(YES).replace("\"1791200000105\"", "\"soon\""),
        book(YES).replace("\"book\"", "[]"),
        price_change(&[]).replace('[', "{").replace(']', "}"),
        price_change(&[entry(YES, "BUY", "0.4", "1")]).replace("timestamp", "time"),
        trade(YES).replace("0.520", ""),
        trade(YES).replace("219.217767", "99999999999999999999"),
        tick_size_change(YES).replace("0.001", "fine"),
        best_bid_ask(YES).replace("0.52", "5.2"),
        new_market().replace(MARKET, "0xnothing"),
        market_resolved().replace("\"market\"", "\"mart\""),
        "{}".to_owned(),
        "null".to_owned(),
        "17".to_owned(),
        "1e999".to_owned(),
        "\"PONG\"".to_owned(),
        "[{},[]]".to_owned(),
        "{bad: json}".to_owned(),
        "{\"event_type\":\"book\",}".to_owned(),
        "nul".to_owned(),
        String::new(),
    ]
}

/// Entries of a price change that are counted as one error each.
fn bad_entries() -> Vec<String> {
    vec![
        entry(YES, "BUY", "0.49", "-1"),
        entry(YES, "BUY", "1.01", "1"),
        entry(YES, "HOLD", "0.49", "1"),
        entry(YES, "", "0.49", "1"),
        entry(YES, "BUY", "", "1"),
        entry(YES, "BUY", "0.49", "0.0000001"),
        entry(YES, "BUY", "0.49", "1").replace("\"size\"", "\"volume\""),
        entry(YES, "BUY", "0.49", "1").replace("\"0.49\"", "[0.49]"),
        entry("", "BUY", "0.49", "1"),
        "null".to_owned(),
        "[]".to_owned(),
        "1e999".to_owned(),
        "\"x\"".to_owned(),
        "{}".to_owned(),
    ]
}

/// `good` in order, with `bad` put in at the places given.
fn mixed(good: &[String], bad: &[(prop::sample::Index, String)]) -> Vec<String> {
    let mut all = good.to_vec();
    for (place, text) in bad {
        all.insert(place.index(all.len() + 1), text.clone());
    }
    all
}

fn some_bad(of: Vec<String>) -> impl Strategy<Value = Vec<(prop::sample::Index, String)>> {
    let one = (any::<prop::sample::Index>(), prop::sample::select(of));
    prop::collection::vec(one, 0..8)
}

proptest! {
    #[test]
    fn every_good_event_of_an_array_is_decoded(
        good in prop::collection::vec(prop::sample::select(every_event()), 0..8),
        bad in some_bad(bad_events()),
    ) {
        let alone = run(format!("[{}]", good.join(",")));
        prop_assert_eq!(alone.stats.parse_errors, 0);
        let all = mixed(&good, &bad);
        // A lone empty element is an empty array.
        prop_assume!(all.len() != 1 || !all[0].is_empty());
        let run = run(format!("[{}]", all.join(",")));
        prop_assert_eq!(run.frame, Frame::Data);
        prop_assert_eq!(&run.out.events, &alone.out.events);
        prop_assert_eq!(&run.out.lifecycle, &alone.out.lifecycle);
        prop_assert_eq!(run.stats.parse_errors, bad.len() as u64);
    }

    #[test]
    fn every_good_entry_of_a_price_change_is_decoded(
        good in prop::collection::vec(
            prop::sample::select(vec![
                entry(YES, "BUY", "0.49", "50"),
                entry(NO, "SELL", "0.51", "50.01"),
                entry(STRANGER, "SELL", "0.51", "50.01"),
            ]),
            0..12,
        ),
        bad in some_bad(bad_entries()),
    ) {
        // Without any it would be of nothing that is known, and refused as a whole.
        let mut good = good;
        good.push(entry(NO, "SELL", "0.52", "7"));
        let alone = run(price_change(&good));
        prop_assert_eq!(alone.stats.parse_errors, 0);
        let run = run(price_change(&mixed(&good, &bad)));
        prop_assert_eq!(run.frame, Frame::Data);
        prop_assert_eq!(&run.out.events, &alone.out.events);
        prop_assert_eq!(run.stats.unknown_assets, alone.stats.unknown_assets);
        prop_assert_eq!(run.stats.parse_errors, bad.len() as u64);
        if bad.iter().any(|(_, text)| text.contains(YES)) {
            prop_assert!(run.lost().contains(&YES));
        }
    }
}

#[test]
fn each_bad_event_is_counted_by_kind() {
    let event_errors = |frame: &str| {
        let mut errors = run(frame).stats.parse_errors_by_event;
        errors.retain(|_, count| *count > 0);
        errors
    };
    for (bad, kind) in bad_events().iter().zip(
        ["book"; 5]
            .into_iter()
            .chain(["unrecognised", "price_change", "price_change"])
            .chain(["last_trade_price"; 2])
            .chain([
                "tick_size_change",
                "best_bid_ask",
                "new_market",
                "market_resolved",
            ])
            .chain(["unrecognised"; 10]),
    ) {
        let frame = format!("[{},{bad}]", book(NO));
        assert_eq!(event_errors(&frame), BTreeMap::from([(kind, 1)]), "{bad}");
    }
}

#[test]
fn what_a_bad_event_may_have_changed_is_named() {
    for (text, lost) in [
        (book(YES).replace("0.47", "4.7"), vec![YES]),
        (tick_size_change(NO).replace("0.001", "?"), vec![NO]),
        // A trade and a stated top move no level.
        (trade(YES).replace("0.520", "?"), vec![]),
        (best_bid_ask(YES).replace("0.49", "?"), vec![]),
        // An entry is lost for its own asset only...
        (
            price_change(&[entry(YES, "BUY", "?", "1"), entry(NO, "SELL", "0.5", "1")]),
            vec![YES],
        ),
        // ...unless it does not say whose it is: then for its market.
        (
            price_change(&[entry(YES, "BUY", "0.5", "1"), "null".to_owned()]),
            vec![YES, NO],
        ),
        (price_change(&["null".to_owned()]), vec![YES, NO]),
        (
            price_change(&[entry(NO, "BUY", "0.5", "1")]).replace("1791200000100", "-1"),
            vec![YES, NO],
        ),
        (book(STRANGER).replace("0.47", "4.7"), vec![]),
        // Nothing in it is of a token of the market that it names.
        (
            price_change(&[entry(STRANGER, "BUY", "?", "1")]),
            vec![YES, NO],
        ),
        (price_change(&[]), vec![YES, NO]),
    ] {
        let run = run(&text);
        assert_eq!(run.lost(), lost, "{text}");
    }
}

/// Every shape of a change whose tokens cannot be read loses the market it names.
#[test]
fn a_change_whose_tokens_cannot_be_read_loses_its_market() {
    let good = price_change(&[
        entry(YES, "BUY", "0.49", "50"),
        entry(NO, "SELL", "0.51", "50"),
    ]);
    let entries = &good[good.find('[').unwrap()..=good.find(']').unwrap()];
    let as_text = serde_json::to_string(entries).unwrap();
    let hex = |token: &str| format!("0x{}", &token[..20]);
    let with = |yes: &str, no: &str| {
        let ids = [YES, NO].map(|id| format!("\"asset_id\":\"{id}\""));
        good.replace(&ids[0], yes).replace(&ids[1], no)
    };
    for (shape, text, cause) in [
        ("object", good.replace(entries, "{\"0\":1}"), "wrong_type"),
        ("null", good.replace(entries, "null"), "missing_field"),
        (
            "missing",
            good.replace("price_changes", "changes"),
            "missing_field",
        ),
        ("empty", good.replace(entries, "[]"), "missing_field"),
        ("text", good.replace(entries, &as_text), "wrong_type"),
        ("no ids", with("\"a\":0", "\"a\":0"), "missing_field"),
        (
            "null ids",
            with("\"asset_id\":null", "\"asset_id\":null"),
            "missing_field",
        ),
        (
            "empty ids",
            with("\"asset_id\":\"\"", "\"asset_id\":\"\""),
            "missing_field",
        ),
        (
            "hex ids",
            with(
                &format!("\"asset_id\":\"{}\"", hex(YES)),
                &format!("\"asset_id\":\"{}\"", hex(NO)),
            ),
            "id",
        ),
        (
            "other ids",
            with("\"asset_id\":\"5\"", "\"asset_id\":\"6\""),
            "unknown_asset",
        ),
        ("behind a word", format!("data: {good}"), "not_an_object"),
    ] {
        let mut run = run(&text);
        assert_eq!(run.lost(), [YES, NO], "{shape}");
        assert_eq!(run.out.events, [], "{shape}");
        assert!(
            run.causes().contains_key(cause),
            "{shape}: {:?}",
            run.causes()
        );
        assert_eq!(std::mem::take(&mut run.out.unknown), []);
        // Of a market that nobody follows nothing is lost.
        let run = super::run(text.replace(MARKET, "0xdead").replace("asset_id", "token"));
        assert_eq!(run.lost(), Vec::<&str>::new(), "{shape}");
    }
}

/// A frame that breaks off keeps what stood before the break.
#[test]
fn a_frame_cut_short_names_the_rest() {
    let up = book(UP).replace(MARKET, OTHER_MARKET);
    let whole = format!("[{},{up}]", book(YES));
    for cut in 0..whole.len() {
        let run = run(&whole[..cut]);
        if cut == 0 {
            assert_eq!(run.frame, Frame::Control);
            continue;
        }
        assert_eq!(run.frame, Frame::Garbage, "{cut}");
        let mut seen: Vec<_> = run.out.events.iter().map(MarketEvent::asset).collect();
        seen.extend(&run.out.undecodable);
        let yes_is_whole = cut > 1 + book(YES).len();
        assert_eq!(run.out.events.len(), usize::from(yes_is_whole), "{cut}");
        for asset in [YES, UP] {
            let named = whole[..cut].contains(&format!("\"asset_id\":\"{asset}\""));
            assert!(!named || seen.contains(&run.key(asset)), "{cut}");
        }
        // What was decoded is not in doubt.
        assert!(!yes_is_whole || !run.lost().contains(&YES), "{cut}");
    }
    let single = price_change(&[entry(YES, "BUY", "0.5", "1"), entry(NO, "SELL", "0.5", "1")]);
    for cut in single.find(YES).unwrap() + YES.len() + 1..single.len() {
        let run = run(&single[..cut]);
        assert_eq!((run.frame, run.out.events.len()), (Frame::Garbage, 0));
        assert_eq!(run.lost(), [YES, NO], "{cut}");
    }
}

#[test]
fn what_follows_the_end_is_garbage() {
    for tail in ["x", "]", "}", "{}", ",", "\0"] {
        let array = run(format!("[{}]{tail}", book(YES)));
        assert_eq!((array.frame, array.out.events.len()), (Frame::Garbage, 1));
        assert_eq!(
            (array.stats.parse_errors, array.out.undecodable.len()),
            (1, 0)
        );
        let object = run(format!("{}{tail}", book(YES)));
        assert_eq!((object.frame, object.out.events.len()), (Frame::Garbage, 0));
        assert_eq!(object.lost(), [YES, NO]);
    }
}

#[test]
fn bytes_that_are_no_text_are_garbage_and_name_what_they_held() {
    let mut frame = book(YES).into_bytes();
    let end = frame.len() - 3;
    frame[end] = 0xff;
    let run1 = run(&frame);
    assert_eq!(run1.frame, Frame::Garbage);
    assert_eq!(run1.causes(), BTreeMap::from([("utf8", 1)]));
    assert_eq!(run1.lost(), [YES, NO]);
    let run2 = run(b"\xff\xfe\x00");
    assert_eq!((run2.frame, run2.stats.parse_errors), (Frame::Garbage, 1));
}

#[test]
fn depth_costs_no_stack() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"bids\":", "}]")] {
        let deep = open.repeat(200_000);
        run(&deep);
        run(format!("{deep}1{}", close.repeat(200_000)));
        let inside = book(YES).replacen(
            '{',
            &format!("{{\"x\":{}{},", "[".repeat(50_000), "]".repeat(50_000)),
            1,
        );
        run(inside).only_book();
    }
}
