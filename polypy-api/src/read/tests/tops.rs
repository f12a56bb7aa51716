//! Tops as they are written, and for how long.

use std::cell::Cell;
use std::time::{Duration, Instant};

use polypy_core::{BookLookup, BookState, MarketNumber, MarketStatus, StaleReason, Tag};
use polypy_http::{Memory, Query};
use serde_json::{Value, json};

use super::world::World;
use crate::read::books::NoRoom;
use crate::read::query::{FILTER, Wanted};
use crate::read::testing::{NOW, row};
use crate::read::tops::SharedTops;

fn tops(world: &std::sync::Arc<World>) -> Value {
    let (body, _) = world.reads().read_tops(&Memory::new(1 << 20));
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn rows_stand_by_market_under_columns_that_are_named_once() {
    let world = World::with(2);
    let [live, stale] = [world.keys(0)[0], world.keys(0)[1]];
    world.change(stale, |view| {
        view.state = BookState::Stale(StaleReason::Hash);
        view.asks.clear();
    });
    world.change(live, |view| view.position.revision = 8);
    world.set_lookup(world.keys(1)[1], BookLookup::Requested);
    let shown = tops(&world);
    let columns = shown["columns"]["top"].as_array().unwrap();
    let expected = json!([
        "token_id",
        "outcome",
        "state",
        "reason",
        "best_bid",
        "best_bid_size",
        "best_ask",
        "best_ask_size",
        "ts_event_ms",
        "epoch",
        "sequence",
        "revision",
        "verified"
    ]);
    assert_eq!(json!(columns), expected);
    assert_eq!(
        shown["columns"]["market"],
        json!(["condition_id", "slug", "tops"])
    );
    let at = NOW - 250;
    let pending = json!([
        "12", "No", "pending", null, null, null, null, null, null, null, null, null, null
    ]);
    let live = |id: &str, outcome: &str, revision: u32| {
        json!([
            id, outcome, "live", null, "0.49", "29.5", "0.53", "120", at, 3, 4_711, revision, true
        ])
    };
    let stale = json!([
        "2", "No", "stale", "hash", "0.49", "29.5", null, null, at, 3, 4_711, 7, true
    ]);
    assert_eq!(
        shown["rows"],
        json!([
            [
                format!("0x{:064x}", 0),
                "does-0-hold",
                [live("1", "Yes", 8), stale]
            ],
            [
                format!("0x{:064x}", 1),
                "does-1-hold",
                [live("11", "Yes", 7), pending]
            ],
        ])
    );
    assert_eq!(shown["unknown_tags"], json!([]));
    let mut tagged = row(2);
    let (slug, label) = ("crypto".into(), "Crypto".into());
    tagged.tags = Some(vec![Tag { slug, label }]);
    world.listed.take([tagged]);
    let query = Query::parse("exclude_tags=wether", &FILTER).unwrap();
    let wanted = Wanted::read(&query).unwrap();
    let written = world.reads().write_tops(&wanted, &Memory::new(1 << 20));
    let filtered: Value = serde_json::from_slice(written.unwrap().0.bytes()).unwrap();
    assert_eq!(filtered["unknown_tags"], json!(["wether"]));
    // The third market is listed, and not followed.
    assert_eq!(
        (&shown["markets"], &shown["tokens"]),
        (&json!(2), &json!(4))
    );
    let widths = shown["rows"].as_array().unwrap().iter();
    let widths = widths.flat_map(|market| market[2].as_array().unwrap());
    assert!(
        widths
            .map(|top| top.as_array().unwrap().len())
            .all(|width| width == columns.len())
    );
    // Of one that is over no book comes any more.
    let (number, status) = (MarketNumber::new(1), MarketStatus::Closed);
    world.listed.table.lock().set_status(number, status, None);
    let query = Query::parse("status=closed", &FILTER).unwrap();
    let wanted = Wanted::read(&query).unwrap();
    let written = world.reads().write_tops(&wanted, &Memory::new(1 << 20));
    let shown: Value = serde_json::from_slice(written.unwrap().0.bytes()).unwrap();
    let states: Vec<_> = shown["rows"][0][2]
        .as_array()
        .unwrap()
        .iter()
        .map(|top| top[2].clone())
        .collect();
    assert_eq!(
        states,
        ["live", "settled"],
        "the book says itself how it stands"
    );
}

#[test]
fn many_markets_are_read_in_batches_and_all_are_there() {
    let world = World::with(300);
    let shown = tops(&world);
    let rows = shown["rows"].as_array().unwrap();
    let slugs = rows.iter().map(|row| row[1].as_str().unwrap().to_owned());
    let expected = (0..300).map(|number| format!("does-{number}-hold"));
    assert!(slugs.eq(expected));
    assert_eq!(shown["tokens"], 600);
    assert!(world.asked.lock().len() < 600);
    assert_eq!(tops(&World::new())["rows"], json!([]));
}

#[test]
fn what_was_written_lasts_for_ten_times_as_long_as_it_took() {
    let world = World::with(1);
    let (reads, memory) = (world.reads(), Memory::new(1 << 20));
    let shared = SharedTops::default();
    let written = Cell::new(0);
    let took = Duration::from_millis(20);
    let write = || {
        written.set(written.get() + 1);
        let until = Instant::now() + took;
        while Instant::now() < until {
            std::thread::yield_now();
        }
        reads.write_all_tops(&memory)
    };
    let first = shared.renewed(write).unwrap();
    let begun = Instant::now();
    let again = shared.renewed(write).unwrap();
    // Unless this thread was put aside for all that time.
    if begun.elapsed() < took * 5 {
        assert_eq!(written.get(), 1);
        assert!(std::sync::Arc::ptr_eq(&first, &again));
    }
    *first.until.lock() = begun;
    let next = shared.renewed(write).unwrap();
    assert!(!std::sync::Arc::ptr_eq(&first, &next));
    // Where there is no room for others, those from before are the answer.
    *next.until.lock() = begun;
    let kept = shared.renewed(|| Err(NoRoom)).unwrap();
    assert!(std::sync::Arc::ptr_eq(&kept, &next));
    assert!(SharedTops::default().renewed(|| Err(NoRoom)).is_err());
}

#[test]
fn tops_that_do_not_fit_are_refused_before_they_are_written() {
    let world = World::with(40);
    let reads = world.reads();
    assert!(reads.write_all_tops(&Memory::new(4 << 10)).is_err());
    assert!(world.asked.lock().is_empty(), "nothing was read for it");
}
