use std::time::Instant;

use polypy_core::{Figures, StaleReason};
use polypy_http::Query;
use serde_json::Value;

use super::*;
use crate::read::testing::{Listed, NOW, Shelf, of_event, reads, row};

/// Where the venue shows each market of an event.
const ORDERS: [i32; 9] = [9, 8, 7, 6, 5, 4, 3, 2, 1];

/// Three events of three markets each, and a market of none. Of each event two are followed.
fn three() -> (Arc<Listed>, Arc<Shelf>, Lists) {
    let (listed, shelf, reads) = reads();
    listed.take((0..10).map(|number| {
        let mut row = row(number);
        row.figures = Figures {
            volume_day: Some(Cents::new(number * 100)),
            volume: (number != 4).then(|| Cents::new(10)),
            liquidity: None,
        };
        row.market.end_timestamp = Some(Timestamp::from_millis(NOW + 100 - number));
        match usize::try_from(number).unwrap() {
            9 => row,
            at => of_event(row, ["red", "green", "blue"][at / 3], ORDERS[at]),
        }
    }));
    for number in (0..9).filter(|number| number % 3 < 2) {
        listed.follow(number);
    }
    (listed, shelf, Lists::new(&reads))
}

fn list(lists: &Lists, query: &str) -> Value {
    let query = Query::parse(query, &query::EVENTS).unwrap();
    let listing = Listing::read("events", &query).unwrap();
    let view = lists.reads.listed.view();
    let events = Events(Arc::clone(&lists.reads));
    let page = lists
        .page(&events, &listing, &view, Instant::now())
        .ok()
        .unwrap();
    serde_json::from_slice(&events.write(&listing, &page).unwrap()).unwrap()
}

fn slugs(lists: &Lists, query: &str) -> Vec<String> {
    let list = list(lists, query);
    let slug = |event: &Value| event["slug"].as_str().unwrap().to_owned();
    list["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(slug)
        .collect()
}

#[test]
fn an_event_is_listed_if_one_of_its_markets_matches() {
    let (listed, _, lists) = three();
    for (query, expected) in [
        ("", vec!["blue", "green", "red"]),
        ("sort=listed", vec!["red", "green", "blue"]),
        ("sort=end", vec!["blue", "green", "red"]),
        ("sort=volume&limit=2", vec!["red", "blue"]),
        ("q=does+4", vec!["green"]),
        ("q=what+of+bl", vec!["blue"]),
        ("ids=0x5", vec![]),
        ("ids=0x5&followed=any", vec!["green"]),
        ("ids=0x5&followed=false", vec!["green"]),
        ("ids=0x9&followed=any", vec![]),
        ("min_volume_day=6", vec!["blue"]),
    ] {
        assert_eq!(slugs(&lists, query), expected, "{query}");
    }
    assert_eq!(list(&lists, "ids=0x5,0x1")["unfollowed"], 1);
    assert_eq!(list(&lists, "")["complete"], false);
    listed.complete();
    assert_eq!(list(&lists, "")["complete"], true);
    let found = &list(&lists, "slugs=does-3-hold,does-5-hold")["events"][0];
    for (name, expected) in [
        ("market_count", Value::from(3)),
        ("matched_count", 1.into()),
        ("followed_count", 2.into()),
        ("open_count", 3.into()),
        ("volume", "0.20".into()),
        ("volume_day", "12.00".into()),
        ("liquidity", Value::Null),
        ("end_ms", (NOW + 97).into()),
        ("id", "77".into()),
    ] {
        assert_eq!(found[name], expected, "{name}");
    }
    listed
        .table
        .lock()
        .set_status(MarketNumber::new(3), MarketStatus::Closed, None);
    assert_eq!(
        list(&lists, "q=what+of+green")["events"][0]["open_count"],
        2
    );
}

#[test]
fn pages_of_events_follow_each_other() {
    let (_, _, lists) = three();
    for sort in ["listed", "end", "volume_day", "relevance&q=hold"] {
        let all = slugs(&lists, &format!("sort={sort}"));
        assert_eq!(all.len(), 3);
        let (mut found, mut cursor) = (Vec::new(), String::new());
        for _ in 0..3 {
            let query = format!("sort={sort}&limit=1{cursor}");
            found.extend(slugs(&lists, &query));
            let next = list(&lists, &query)["next_cursor"].clone();
            cursor = next
                .as_str()
                .map_or(String::new(), |next| format!("&cursor={next}"));
        }
        assert_eq!((found, cursor.as_str()), (all, ""), "{sort}");
    }
}

#[test]
fn sums_are_of_the_first_outcomes_of_all_open_markets_or_there_are_none() {
    let (listed, shelf, _) = three();
    let keys: Vec<_> = (0..3).map(|number| listed.follow(number)).collect();
    let set = |at: usize, state, bid, ask| {
        shelf.set(keys[at][0], state, bid, ask, NOW);
        // Second outcomes are not summed.
        shelf.set(keys[at][1], BookState::Live, "0.9", "0.95", NOW);
    };
    let sums = || {
        let entries = polypy_core::catalogue::SelectionSource::event(&*listed, "red");
        let tops = Tops::read(&*shelf, entries.iter());
        let sum = |price| sum_of_first(&entries, &tops, price).map(|sum| sum.to_string());
        (
            sum(|top| Some(top.bid?.price)),
            sum(|top| Some(top.ask?.price)),
        )
    };
    let live = BookState::Live;
    assert_eq!(sums(), (None, None), "no book yet");
    set(0, live, "0.1", "0.15");
    set(1, live, "0.2", "0.25");
    assert_eq!(sums(), (None, None), "one is missing");
    set(2, live, "0.3", "0.3505");
    let whole = (Some("0.6".to_owned()), Some("0.7505".to_owned()));
    assert_eq!(sums(), whole);
    set(1, BookState::Stale(StaleReason::Top), "0.2", "0.25");
    assert_eq!(sums(), (None, None), "one is stale");
    set(1, live, "", "0.25");
    assert_eq!(sums(), (None, whole.1), "one has no bid");
    listed
        .table
        .lock()
        .set_status(MarketNumber::new(1), MarketStatus::Resolved, None);
    assert_eq!(sums(), (Some("0.4".to_owned()), Some("0.5005".to_owned())));
    for number in [0, 2] {
        let status = MarketStatus::Closed;
        listed
            .table
            .lock()
            .set_status(MarketNumber::new(number), status, None);
    }
    assert_eq!(sums(), (None, None), "none is open");
}
