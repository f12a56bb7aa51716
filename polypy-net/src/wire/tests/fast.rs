//! Which frames are read the fast way, and that it leaves no trace when it
//! gives one up. What both ways read is compared in every other test, too.

use super::*;

#[track_caller]
fn is_fast(frame: &str) -> bool {
    let stats = run(frame).stats;
    assert_eq!(stats.fast_frames + stats.general_frames, 1, "{frame}");
    stats.fast_frames == 1
}

fn two_changes() -> String {
    price_change(&[
        entry(YES, "BUY", "0.49", "50"),
        entry(NO, "SELL", "0.51", "1234567.89"),
    ])
}

#[test]
fn what_the_venue_sends_is_read_fast() {
    let frames = [
        book(YES),
        two_changes(),
        price_change(&vec![entry(YES, "BUY", "0.4", "5"); 40]),
        two_changes().replace(&format!(r#""hash":"{HASH}","#), ""),
        two_changes().replace("0.49", "0").replace("0.52", "1"),
        trade(NO),
        tick_size_change(UP),
        best_bid_ask(DOWN),
        "[]".to_owned(),
        format!("[{},{}]", book(YES), book(NO)),
        format!("[{},{}]", two_changes(), trade(NO)),
    ];
    for frame in frames {
        assert!(is_fast(&frame), "{frame}");
        let spaced = frame.replace(':', " :\t").replace(',', "\r\n, ");
        assert!(is_fast(&format!(" {spaced}\n")), "{spaced}");
    }
}

#[test]
fn keys_may_come_in_any_order() {
    let frames = [
        format!(
            r#"{{"event_type":"price_change","price_changes":[{{"size":"5","price":"0.4","side":"BUY","best_ask":"","asset_id":"{YES}"}}],"timestamp":"1791200000100"}}"#
        ),
        format!(
            r#"{{"asks":[{{"size":"5","price":"0.4"}}],"event_type":"book","timestamp":"1","bids":[],"extra":"x","asset_id":"{YES}"}}"#
        ),
    ];
    for frame in frames {
        assert!(is_fast(&frame), "{frame}");
    }
}

#[test]
fn what_is_not_certain_is_left_to_the_general_way() {
    let frame = two_changes();
    let book = book(YES);
    let long = "9".repeat(40);
    for odd in [
        // Not the venue's text.
        frame.replace("0x", "0\\u0078"),
        frame.replace("0x", "ü"),
        frame.replace("0x", "\u{1}"),
        frame.replace("\"BUY\"", "\"buy\""),
        // Other values.
        frame.replace("\"0.49\"", "0.49"),
        frame.replace("\"0.49\"", "null"),
        frame.replace("\"1791200000100\"", "1791200000100"),
        frame.replace("\"price_change\"", "\"price_changed\""),
        frame.replacen('{', r#"{"extra":{},"#, 1),
        book.replacen('{', r#"{"neg_risk":"true","#, 1),
        book.replacen('{', &format!(r#"{{"version":"{long}","#), 1),
        // A field twice.
        frame.replacen('{', r#"{"price_changes":[],"#, 1),
        frame.replacen('{', r#"{"timestamp":"1","#, 1),
        frame.replacen(r#""price""#, r#""price":"0.1","price""#, 1),
        book.replacen('{', r#"{"bids":[],"#, 1),
        // Fields of another event, or missing ones.
        book.replacen('{', r#"{"price_changes":[],"#, 1),
        frame.replace("\"timestamp\"", "\"time\""),
        trade(YES).replace("\"size\"", "\"amount\""),
        // Errors.
        frame.replace("1234567.89", "1234567.1234567"),
        frame.replace("1234567.89", &long),
        frame.replace("\"0.51\"", "\"1.01\""),
        frame.replace("\"0.51\"", "\"0.5x\""),
        frame.replace("\"0.51\"", "\"0.0000001\""),
        frame.replace(HASH, &HASH.replace('b', "g")),
        frame.replace(HASH, &HASH[1..]),
        frame.replace("\"SELL\"", "\"HOLD\""),
        frame[..frame.len() - 1].to_owned(),
        format!("{frame}x"),
        format!("[{frame},]"),
        format!("[{frame}"),
        // It should have said something.
        price_change(&[]),
        // Not ours.
        price_change(&[
            entry(YES, "BUY", "0.4", "1"),
            entry(STRANGER, "BUY", "0.4", "1"),
        ]),
        trade(STRANGER),
        new_market(),
        market_resolved(),
    ] {
        assert!(!is_fast(&odd), "{odd}");
        // In an array it takes its neighbours along.
        assert!(!is_fast(&format!("[{frame},{odd}]")), "{odd}");
    }
}

#[test]
fn a_read_is_counted_once_for_all_its_frames() {
    let (assets, stats, mut out) = (interner(), WireStats::default(), Decoded::default());
    let frames = [two_changes(), trade(NO), new_market(), "PONG".to_owned()];
    let mut reading = Reading::new(&assets, &stats, &mut out);
    for frame in &frames {
        reading.expect(frame.as_bytes());
        reading.frame(frame.as_bytes());
    }
    assert_eq!(stats.snapshot().fast_frames, 0);
    drop(reading);
    let snapshot = stats.snapshot();
    assert_eq!((snapshot.frames, snapshot.level_changes), (4, 2));
    assert_eq!((snapshot.fast_frames, snapshot.general_frames), (2, 1));
    let bytes: usize = frames.iter().map(String::len).sum();
    assert_eq!(snapshot.bytes, bytes as u64);
    assert_eq!(snapshot.events["last_trade_price"], 1);
    assert_eq!(out.events.len(), 3);
}
