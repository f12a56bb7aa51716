//! Recordings of the real venue, read from the directory that `POLYPY_CAPTURES`
//! names; without it these tests say so and pass.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use polypy_core::OrderBook;
use polypy_core::fingerprint::{Attributes, Fingerprint, Form};
use serde_json::Value;

use super::*;

fn captures() -> Option<PathBuf> {
    let directory = std::env::var_os("POLYPY_CAPTURES").map(PathBuf::from);
    if directory.is_none() {
        println!("skipped: POLYPY_CAPTURES is not set");
    }
    directory
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The events of a frame as a plain JSON library sees them.
fn plain_events(frame: &Value) -> Vec<&Value> {
    frame
        .as_array()
        .map_or_else(|| vec![frame], |array| array.iter().collect())
}

fn entries(event: &Value) -> &[Value] {
    event["price_changes"].as_array().map_or(&[], Vec::as_slice)
}

/// Interns every asset that the frames name.
fn interner_for<'a>(frames: impl IntoIterator<Item = &'a Value>) -> Interner {
    let mut markets: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for event in frames.into_iter().flat_map(plain_events) {
        let tokens = markets
            .entry(event["market"].as_str().unwrap())
            .or_default();
        let named = entries(event).iter().chain([event]);
        for token in named.filter_map(|object| object["asset_id"].as_str()) {
            if !tokens.contains(&token) {
                tokens.push(token);
            }
        }
    }
    interner_of(markets)
}

/// Digits and point only, to compare decimals without the decoder's own parser.
fn normal(text: &Value) -> String {
    let text = text.as_str().unwrap();
    match text.split_once('.') {
        Some((whole, fraction)) => {
            let fraction = fraction.trim_end_matches('0');
            let point = if fraction.is_empty() { "" } else { "." };
            format!("{whole}{point}{fraction}")
        }
        None => text.to_owned(),
    }
}

/// Decodes every line and compares each change with what the line says.
fn decode_all(lines: &[String]) -> WireSnapshot {
    let plain: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let assets = interner_for(&plain);
    let (stats, mut out) = (WireStats::default(), Decoded::default());
    for (line, plain) in lines.iter().zip(&plain) {
        out.clear();
        assert_eq!(
            decode(line.as_bytes(), &assets, &stats, &mut out),
            Frame::Data
        );
        assert_eq!((out.errors, &out.undecodable[..]), (0, &[][..]), "{line}");
        let said = plain_events(plain)
            .into_iter()
            .flat_map(entries)
            .map(|entry| {
                (
                    entry["asset_id"].as_str().unwrap().to_owned(),
                    entry["side"].as_str().unwrap() == "BUY",
                    normal(&entry["price"]),
                    normal(&entry["size"]),
                )
            });
        let decoded = out.events.iter().filter_map(|event| match event {
            MarketEvent::PriceChange(change) => Some((
                assets.info(change.asset).unwrap().asset_id.to_string(),
                change.side == polypy_core::Side::Bid,
                change.price.to_string(),
                change.size.to_string(),
            )),
            _ => None,
        });
        assert!(said.eq(decoded), "{line}");
    }
    stats.snapshot()
}

/// Counted by hand from the recordings: a REST body counts as a book.
const FRAMES: [(&str, &[(&str, u64)]); 5] = [
    (
        "polyarb_capture_20260630",
        &[("book", 3), ("price_change", 4)],
    ),
    (
        "polybotv2_raw_20251223",
        &[("book", 3), ("price_change", 1)],
    ),
    (
        "polypy_ws_vs_rest_20251023",
        &[("book", 3), ("price_change", 2)],
    ),
    ("ssmd_book_20260212", &[("book", 10)]),
    (
        "tinli_fed_20260720",
        &[("book", 2), ("price_change", 24), ("last_trade_price", 1)],
    ),
];

#[test]
fn every_recorded_frame_is_decoded() {
    let Some(captures) = captures() else { return };
    for (file, expected) in FRAMES {
        let snapshot = decode_all(&lines(&captures.join(format!("frames/{file}.jsonl"))));
        let mut events = snapshot.events.clone();
        events.retain(|_, count| *count > 0);
        assert_eq!(events, expected.iter().copied().collect(), "{file}");
        assert_eq!(
            (snapshot.unknown_events, snapshot.unknown_assets),
            (0, 0),
            "{file}"
        );
    }
}

#[test]
fn a_recorded_quarter_of_an_hour_is_decoded() {
    let Some(captures) = captures() else { return };
    let file = captures.join("events/tickscope_20260607_0130.reframed.jsonl.gz");
    let zcat = Command::new("zcat")
        .arg(&file)
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut zcat) = zcat else {
        println!("skipped: there is no zcat");
        return;
    };
    let output = std::io::BufReader::new(zcat.stdout.take().unwrap());
    let lines: Vec<String> = output.lines().map(Result::unwrap).collect();
    assert!(zcat.wait().unwrap().success());
    let snapshot = decode_all(&lines);
    assert_eq!(snapshot.frames, 103_666);
    assert_eq!(snapshot.events["price_change"], 103_183);
    assert_eq!(snapshot.events["last_trade_price"], 483);
    assert_eq!(snapshot.unknown_assets, 0);
}

/// The venue's own hash comes out only if no digit was lost anywhere.
#[test]
fn recorded_rest_books_reproduce_their_hashes() {
    let Some(captures) = captures() else { return };
    let mut bodies: Vec<Value> = lines(&captures.join("clob/tinli_books.jsonl"))
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["body"].take())
        .collect();
    for file in [
        "polyarb_clob_book_binary.json",
        "polycopy_clob_orderbook_sample.json",
    ] {
        let text = std::fs::read_to_string(captures.join("clob").join(file)).unwrap();
        bodies.push(serde_json::from_str(&text).unwrap());
    }
    let assets = interner_for(&bodies);
    for body in &bodies {
        let event = decode_book(body.to_string().as_bytes(), &assets).unwrap();
        let mut book = OrderBook::default();
        book.apply_snapshot(event.bids.clone(), event.asks.clone());
        let fingerprint = Fingerprint::new(
            &book,
            &Attributes {
                info: &event.info,
                timestamp: event.timestamp,
                tick_size: event.tick_size.unwrap().as_str(),
                min_order_size: event.min_order_size.unwrap().as_str(),
                neg_risk: event.neg_risk.unwrap(),
                version: event.version.as_deref(),
                form: Form::Ten,
            },
        );
        let price = event.last_trade_price.unwrap();
        assert_eq!(
            Some(fingerprint.with_last_trade_price(price.as_str())),
            event.hash,
            "{body}"
        );
    }
    assert_eq!(bodies.len(), 24);
    let all = Value::from(bodies).to_string();
    let all = decode_books(all.as_bytes(), &assets).unwrap();
    assert_eq!((all.books.len(), all.refused.len()), (24, 0));
}
