//! The crawl against a listing in memory, and real answers where there are any.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::rest::RestConfig;
use crate::rest::fake::{FakeService, Reply, Seen};

fn market(number: usize) -> Value {
    json!({
        "id": number.to_string(),
        "conditionId": format!("0x{number:x}"),
        "clobTokenIds": format!("[\"{number}1\",\"{number}2\"]"),
    })
}

fn page(numbers: impl IntoIterator<Item = usize>, cursor: Option<&str>) -> Reply {
    let markets: Vec<Value> = numbers.into_iter().map(market).collect();
    let mut page = json!({ "markets": markets });
    if let Some(cursor) = cursor {
        page["next_cursor"] = cursor.into();
    }
    Reply::Ok(page.to_string())
}

fn client(service: &Arc<FakeService>) -> GammaClient {
    GammaClient::new(
        service.client(RestConfig::default()),
        GammaConfig::default(),
    )
}

/// Crawls to the end; the condition ids handed over, and what it came to.
async fn crawl(service: &Arc<FakeService>) -> (Vec<String>, Crawl) {
    let mut conditions = Vec::new();
    let crawl = client(service)
        .crawl(Listing::Steady, |rows| {
            conditions.extend(rows.into_iter().map(|row| {
                row.condition_id
                    .map_or("?".to_owned(), |condition| condition.to_string())
            }));
            ControlFlow::Continue(())
        })
        .await;
    (conditions, crawl)
}

#[tokio::test(start_paused = true)]
async fn walks_pages_of_any_length_by_after_cursor_with_its_filters_repeated() {
    let service = FakeService::scripted([
        page(1..3, Some("a+b/=")),
        page(3..4, Some("c")),
        page(4..7, None),
    ]);
    let (conditions, crawl) = crawl(&service).await;
    assert_eq!(conditions, ["0x1", "0x2", "0x3", "0x4", "0x5", "0x6"]);
    assert!(matches!(crawl.end, CrawlEnd::Complete));
    assert_eq!((crawl.pages, crawl.rows), (3, 6));
    assert_eq!(
        service.lines(),
        [
            "GET /markets/keyset?limit=100&closed=false&include_tag=true",
            "GET /markets/keyset?limit=100&closed=false&include_tag=true&after_cursor=a%2Bb%2F%3D",
            "GET /markets/keyset?limit=100&closed=false&include_tag=true&after_cursor=c",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn every_way_to_write_the_last_page_ends_the_crawl() {
    for last in [
        r#"{"markets":[]}"#,
        r#"{"markets":[],"next_cursor":null}"#,
        r#"{"next_cursor":"","markets":[],"limit":100}"#,
        r#"{"markets":[],"next_cursor":"LTE="}"#,
    ] {
        let service = FakeService::scripted([page(1..3, Some("a")), Reply::Ok(last.to_owned())]);
        let (conditions, crawl) = crawl(&service).await;
        assert!(matches!(crawl.end, CrawlEnd::Complete), "{last}: {crawl:?}");
        assert_eq!(conditions.len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_page_with_a_cursor_and_a_page_that_comes_again_are_not_the_end() {
    let service = FakeService::scripted([
        page(1..3, Some("a")),
        page([], Some("b")),
        page(3..5, Some("c")),
        page(3..5, Some("d")),
        page(3..5, Some("e")),
        page(5..7, Some("7")),
        Reply::Ok(r#"{"markets":[],"next_cursor":8}"#.to_owned()),
        page(7..8, Some("LTE=")),
    ]);
    let (conditions, crawl) = crawl(&service).await;
    assert!(matches!(crawl.end, CrawlEnd::Complete), "{crawl:?}");
    assert_eq!(
        conditions,
        ["0x1", "0x2", "0x3", "0x4", "0x5", "0x6", "0x7"]
    );
    assert_eq!((crawl.pages, crawl.rows), (8, 7));
    assert!(service.lines()[7].ends_with("&after_cursor=8"));
}

#[tokio::test(start_paused = true)]
async fn empty_pages_without_end_are_an_incomplete_listing() {
    let turn = std::sync::atomic::AtomicUsize::new(1);
    let service = FakeService::new(move |_| {
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        page((1..2).filter(|_| turn == 1), Some(&turn.to_string()))
    });
    let (conditions, crawl) = crawl(&service).await;
    assert!(matches!(crawl.end, CrawlEnd::NothingNew), "{crawl:?}");
    assert_eq!((conditions.len(), service.seen().len()), (1, 7));
}

#[tokio::test(start_paused = true)]
async fn a_listing_stuck_on_page_one_ends_with_what_there_was() {
    let mut turn = 0..;
    let turn = parking_lot::Mutex::new(move || turn.next());
    let service = FakeService::new(move |_| {
        let cursor = format!("cursor-{:?}", turn.lock()());
        page(1..101, Some(&cursor))
    });
    let (conditions, crawl) = crawl(&service).await;
    assert!(matches!(crawl.end, CrawlEnd::NothingNew), "{crawl:?}");
    assert_eq!((conditions.len(), crawl.rows), (100, 100));
    assert_eq!(service.seen().len(), 1 + MAX_FRUITLESS + 1);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_never_advances_ends_the_crawl() {
    let service = FakeService::scripted([
        page(1..3, Some("same")),
        page(3..5, Some("same")),
        page(5..7, None),
    ]);
    let (conditions, crawl) = crawl(&service).await;
    assert!(matches!(crawl.end, CrawlEnd::RepeatedCursor), "{crawl:?}");
    assert_eq!(conditions.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_listing_without_end_has_one() {
    let turn = std::sync::atomic::AtomicUsize::new(1);
    let service = FakeService::new(move |_| {
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        page([turn], Some(&turn.to_string()))
    });
    let config = GammaConfig {
        max_pages: 30,
        ..GammaConfig::default()
    };
    let gamma = GammaClient::new(service.client(RestConfig::default()), config);
    let begin = Instant::now();
    let crawl = gamma
        .crawl(Listing::Steady, |_| ControlFlow::Continue(()))
        .await;
    assert!(matches!(crawl.end, CrawlEnd::TooManyPages), "{crawl:?}");
    assert_eq!(crawl.pages, 30);
    // Within the venue's 300 requests in 10 s.
    assert!(begin.elapsed() >= Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_page_that_cannot_be_had_keeps_those_before_it() {
    for (fault, shape) in [
        (Reply::Status(422, Vec::new(), String::new()), false),
        (Reply::Ok("<html>bad gateway</html>".to_owned()), true),
        (Reply::Ok(r#"{"error":"x"}"#.to_owned()), true),
        (Reply::Ok("[]".to_owned()), true),
    ] {
        let service = FakeService::scripted([page(1..3, Some("a")), fault]);
        let (conditions, crawl) = crawl(&service).await;
        assert_eq!(conditions.len(), 2);
        match crawl.end {
            CrawlEnd::Failed(GammaError::Shape(_)) => assert!(shape),
            CrawlEnd::Failed(GammaError::Rest(_)) => assert!(!shape),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_row_costs_no_other_and_a_page_of_bad_rows_is_not_the_end() {
    let bad = json!({"markets": [null, 7, {"id": "x"}, "row"], "next_cursor": "b"});
    let mixed =
        json!({"markets": [market(1), {"conditionId": [1]}, market(2)], "next_cursor": "a"});
    let service = FakeService::scripted([
        Reply::Ok(mixed.to_string()),
        Reply::Ok(bad.to_string()),
        page(3..4, None),
    ]);
    let (conditions, crawl) = crawl(&service).await;
    assert!(matches!(crawl.end, CrawlEnd::Complete), "{crawl:?}");
    assert_eq!(crawl.rows, 8);
    let known: Vec<_> = conditions.into_iter().filter(|c| c != "?").collect();
    assert_eq!(known, ["0x1", "0x2", "0x3"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_the_pages_may_stop() {
    let service = FakeService::scripted([page(1..3, Some("a")), page(3..5, Some("b"))]);
    let crawl = client(&service)
        .crawl(Listing::FirstBy(SeatOrder::VolumeDay), |_| {
            ControlFlow::Break(())
        })
        .await;
    assert!(matches!(crawl.end, CrawlEnd::Stopped), "{crawl:?}");
    assert_eq!(
        service.lines(),
        [
            "GET /markets/keyset?limit=100&closed=false&include_tag=true&order=volume24hr&ascending=false"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_venue_that_refuses_to_state_tags_is_crawled_without_and_asked_again_at_the_next_crawl() {
    let refuses = Arc::new(AtomicBool::new(true));
    let service = FakeService::new({
        let refuses = Arc::clone(&refuses);
        move |seen: &Seen| {
            if refuses.load(Ordering::Relaxed) && seen.line.contains("include_tag") {
                Reply::Status(422, Vec::new(), "unknown parameter".to_owned())
            } else if seen.line.contains("after_cursor") {
                page(3..4, None)
            } else {
                page(1..3, Some("c"))
            }
        }
    });
    let gamma = client(&service);
    let crawl = async || {
        let before = service.lines().len();
        let crawl = gamma
            .crawl(Listing::Steady, |_| ControlFlow::Continue(()))
            .await;
        assert!(matches!(crawl.end, CrawlEnd::Complete), "{crawl:?}");
        assert_eq!(crawl.rows, 3);
        let lines = service.lines().split_off(before);
        let asks: Vec<_> = lines.iter().map(|l| l.contains("include_tag")).collect();
        asks
    };
    assert_eq!(crawl().await, [true, false, false]);
    let one: ConditionId = "0x1".parse().unwrap();
    gamma.by_condition(&[one], MarketState::Open).await;
    assert!(!service.lines().last().unwrap().contains("include_tag"));
    refuses.store(false, Ordering::Relaxed);
    assert_eq!(crawl().await, [true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_venue_that_fails_is_not_taken_for_one_that_refuses_tags() {
    for status in [429, 408, 503] {
        let service =
            FakeService::new(move |_| Reply::Status(status, Vec::new(), "later".to_owned()));
        let (_, crawl) = crawl(&service).await;
        assert!(matches!(crawl.end, CrawlEnd::Failed(_)), "{crawl:?}");
        let lines = service.lines();
        assert!(lines.iter().all(|line| line.contains("include_tag")));
    }
}

#[tokio::test(start_paused = true)]
async fn looks_markets_up_a_hundred_at_a_time() {
    let service = FakeService::new(|seen: &Seen| {
        let asked = seen.line.matches("condition_ids=0x").count();
        page(0..asked, None)
    });
    let conditions: Vec<ConditionId> = (0..150)
        .map(|number| format!("0x{number:x}").parse().unwrap())
        .collect();
    let gamma = client(&service);
    let found = gamma.by_condition(&conditions, MarketState::Closed).await;
    assert_eq!(found.rows.len(), 150);
    let lines = service.lines();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with(
        "GET /markets/keyset?limit=100&closed=true&include_tag=true&condition_ids=0x0&"
    ));
    assert!(lines[1].ends_with("&condition_ids=0x95"));
    let open = gamma
        .by_condition(&conditions[..1], MarketState::Open)
        .await;
    assert_eq!(open.rows.len(), 1);
    assert!(service.lines()[2].contains("closed=false"));
}

/// Every market object in the captures of the real venue is read, or skipped
/// for a reason that its own fields give.
#[test]
fn real_rows_are_read_or_skipped_for_a_reason() {
    let Some(captures) = std::env::var_os("POLYPY_CAPTURES") else {
        println!("POLYPY_CAPTURES is not set: real rows not read");
        return;
    };
    let mut rows = Vec::new();
    for entry in std::fs::read_dir(std::path::Path::new(&captures).join("gamma")).unwrap() {
        let path = entry.unwrap().path();
        let text = if path.extension().is_some_and(|extension| extension == "gz") {
            let output = std::process::Command::new("zcat").arg(&path).output();
            String::from_utf8(output.unwrap().stdout).unwrap()
        } else {
            std::fs::read_to_string(&path).unwrap()
        };
        for value in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
            collect_rows(&value.unwrap(), &mut rows);
        }
    }
    assert_eq!(rows.len(), 431);
    let mut read = 0;
    for mut row in rows {
        let parsed = Row::parse(&row.to_string());
        assert!(parsed.condition_id.is_some(), "{row}");
        let open = row["closed"] == false && row["acceptingOrders"] == true;
        assert_eq!(parsed.closed, row["closed"] == true, "{row}");
        match parsed.market {
            Ok(market) => {
                assert!(open, "{row}");
                assert_eq!(market.tokens.len(), 2, "{row}");
                assert!(market.tokens.iter().all(|token| !token.outcome.is_empty()));
                assert!(market.tick_size.is_some() && market.end_timestamp.is_some());
                read += 1;
            }
            Err(reason) => {
                assert!(!open, "{reason:?} {row}");
                assert!(
                    matches!(reason, SkipReason::Closed | SkipReason::NotAccepting),
                    "{reason:?} {row}"
                );
            }
        }
        // What has ended was tradable once: all else about it is readable.
        row["closed"] = false.into();
        row["acceptingOrders"] = true.into();
        row["enableOrderBook"] = true.into();
        let parsed = Row::parse(&row.to_string());
        let market = parsed
            .market
            .unwrap_or_else(|reason| panic!("{reason:?} {row}"));
        assert_eq!(market.tokens.len(), 2, "{row}");
        assert!(market.tick_size.is_some(), "{row}");
    }
    println!("{read} of 431 real markets are open, the others are skipped");
    assert!(read > 0);
}

/// Market objects at whatever depth.
fn collect_rows(value: &Value, rows: &mut Vec<Value>) {
    match value {
        Value::Object(fields) if fields.contains_key("clobTokenIds") => rows.push(value.clone()),
        Value::Object(fields) => fields.values().for_each(|v| collect_rows(v, rows)),
        Value::Array(items) => items.iter().for_each(|item| collect_rows(item, rows)),
        _ => {}
    }
}
