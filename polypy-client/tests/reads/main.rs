//! Reads over real sockets: lists that page by themselves, and what becomes of refusals.

mod server;

use polypy_client::Client;
use polypy_client::message::Trust;
use polypy_client::reads::{Query, ReadError, Sort, Wanted};
use serde_json::{Value, json};

use server::{Answer, Server};

fn market(number: u32) -> Value {
    let token = |which: u32, outcome: &str| {
        json!({
            "token_id": format!("{number}{which}"), "outcome": outcome,
            "top": {
                "state": "live", "reason": null, "epoch": 1, "sequence": 7, "revision": 9,
                "ts_event_ms": 1_795_429_799_750_u64, "best_bid": "0.489", "best_bid_size": "29.5",
                "best_ask": "0.5025", "best_ask_size": null, "spread": "0.0135",
                "mid_price": "0.49575"
            }
        })
    };
    json!({
        "condition_id": format!("0x{number:064x}"), "slug": format!("market-{number}"),
        "question": "Will it rain?",
        "event": {"slug": "rain", "title": "Rain", "neg_risk": false, "neg_risk_augmented": false},
        "group_title": null, "category": null, "tags": [{"slug": "weather", "label": null}],
        "status": "open", "followed": true, "not_followed": null,
        "volume": "1321616.85", "volume_day": null, "liquidity": "12.00",
        "start_ms": null, "start": null, "end_ms": 1_795_429_800_000_u64,
        "end": "2026-11-23T10:30:00.000Z", "neg_risk": false, "tick_size": "0.001",
        "min_order_size": "5", "resolution": null, "a_new_field": {"of": "later"},
        "tokens": [token(1, "Yes"), token(2, "No")]
    })
}

fn page(numbers: &[u32], next: Option<&str>) -> Answer {
    let markets: Vec<_> = numbers.iter().map(|number| market(*number)).collect();
    Answer::Ok(json!({
        "markets": markets, "next_cursor": next, "matched": 5, "unfollowed": 12, "listed": 50_000, "complete": false,
        "unknown_tags": ["rian"],
        "sort": "volume_day", "instance": "5f3a9c1d2b7e4a60", "version": 1, "figures_version": 1,
        "moment_ms": 1, "moment": "1970-01-01T00:00:00.001Z"
    }))
}

fn problem(status: u16, kind: &str, text: &str) -> Answer {
    let body = json!({
        "type": format!("urn:polypy:problem:{kind}"), "title": "?", "status": status,
        "detail": text, "error": text, "request_id": "1", "parameter": null,
        "explain": "/v1/markets/0xa?explain=selection"
    });
    Answer::Status(status, body)
}

async fn asked(answers: Vec<Answer>) -> (Client, Server) {
    let server = Server::start(answers).await;
    (
        Client::new(&server.url())
            .expect("an address")
            .with_token("secret"),
        server,
    )
}

#[tokio::test]
async fn a_list_is_paged_to_its_end() {
    let (client, server) = asked(vec![page(&[1, 2], Some("c+1")), page(&[3], None)]).await;
    let query = Query::default().text("rain").sort(Sort::VolumeDay).page(2);
    let mut markets = client.markets(&query);
    assert!(markets.head().is_none());
    let first = markets.next().await.unwrap().unwrap();
    assert_eq!(first.slug.as_deref(), Some("market-1"));
    assert_eq!(first.volume.as_deref(), Some("1321616.85"));
    assert_eq!(first.event.as_ref().unwrap().slug, "rain");
    let top = first.tokens[0].top.as_ref().unwrap();
    assert!(top.is_live());
    assert_eq!(top.spread().unwrap().to_string(), "0.0135");
    let head = markets.head().unwrap();
    assert_eq!(
        (head.matched, head.unfollowed, head.listed, head.complete),
        (5, 12, Some(50_000), Some(false))
    );
    assert_eq!(head.unknown_tags, ["rian"]);
    let rest = markets.all().await.unwrap();
    let rest: Vec<_> = rest.iter().map(|market| market.slug.as_deref()).collect();
    assert_eq!(rest, [Some("market-2"), Some("market-3")]);
    let asked = server.asked().await;
    let query = "/v1/markets?q=rain&sort=volume_day&limit=2";
    assert!(
        asked[0].starts_with(&format!("GET {query} HTTP/1.1\r\n")),
        "{}",
        asked[0]
    );
    assert!(asked[0].contains("authorization: Bearer secret\r\n"));
    assert!(asked[1].starts_with(&format!("GET {query}&cursor=c%2B1 HTTP/1.1\r\n")));
}

#[tokio::test]
async fn a_list_whose_moment_is_over_is_begun_again_and_repeats_nothing() {
    let over = || problem(410, "moment_expired", "begin again without cursor");
    let answers = vec![
        page(&[1, 2], Some("a")),
        over(),
        page(&[2, 3], Some("b")),
        page(&[1, 4], None),
    ];
    let (client, server) = asked(answers).await;
    let mut markets = client.markets(&Query::default());
    let mut slugs = Vec::new();
    while let Some(market) = markets.next().await.unwrap() {
        slugs.push(market.slug.unwrap());
    }
    assert_eq!(slugs, ["market-1", "market-2", "market-3", "market-4"]);
    assert_eq!(markets.begun_again(), 1);
    let asked = server.asked().await;
    assert!(asked[2].starts_with("GET /v1/markets HTTP"), "{}", asked[2]);

    // Not for ever.
    let (client, _server) = asked_forever(&page(&[1], Some("a")), &over()).await;
    let error = client.markets(&Query::default()).all().await.unwrap_err();
    assert!(matches!(error, ReadError::Restless(10)), "{error}");
}

async fn asked_forever(page: &Answer, over: &Answer) -> (Client, Server) {
    let pairs = std::iter::repeat_n([page.clone(), over.clone()], 10);
    asked(pairs.flatten().collect()).await
}

#[tokio::test]
async fn an_error_in_the_middle_loses_nothing() {
    let busy = Answer::Status(503, json!({"error": "no thread is free"}));
    let (client, _server) = asked(vec![page(&[1], Some("a")), busy, page(&[2], None)]).await;
    let mut markets = client.markets(&Query::default());
    assert!(markets.next().await.unwrap().is_some());
    let error = markets.next().await.unwrap_err();
    assert!(matches!(error, ReadError::Lost(_)), "{error}");
    assert!(error.to_string().contains("no thread is free"), "{error}");
    let second = markets.next().await.unwrap().unwrap();
    assert_eq!(second.slug.as_deref(), Some("market-2"));
    assert!(markets.next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_market_that_nobody_knows_is_none_and_other_refusals_say_what_is_wrong() {
    let bad = json!({"type": "about:blank", "error": "sort: no order", "parameter": "sort"});
    let answers = vec![
        Answer::Ok(market(7)),
        problem(404, "unknown_market", "no market"),
        problem(404, "unknown_event", "no event"),
        Answer::Status(400, bad),
        Answer::Status(401, json!({"error": "no token"})),
        Answer::Status(404, json!("<html>")),
        Answer::Ok(json!({"markets": 1})),
    ];
    let (client, server) = asked(answers).await;
    let found = client.market("a/b").await.unwrap().unwrap();
    assert_eq!(found.slug.as_deref(), Some("market-7"));
    assert!(client.market("nobody").await.unwrap().is_none());
    assert!(client.event("nobody").await.unwrap().is_none());
    let refused = client.markets(&Query::default()).all().await.unwrap_err();
    let ReadError::Refused(refused) = refused else {
        panic!("{refused}");
    };
    assert_eq!(refused.parameter.as_deref(), Some("sort"));
    assert_eq!(refused.to_string(), "sort: no order");
    for part in ["wants a token", "no such route", "cannot be read"] {
        let error = client
            .tops(&Query::default())
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(part), "{error}");
    }
    let asked = server.asked().await;
    assert!(
        asked[0].starts_with("GET /v1/markets/a%2Fb?tops=true HTTP"),
        "{}",
        asked[0]
    );
}

#[tokio::test]
async fn columns_of_tops_are_found_by_their_names() {
    let answer = json!({
        "consistent": "market", "markets": 1, "tokens": 2,
        "columns": {
            "market": ["slug", "tops", "condition_id", "more"],
            "top": ["outcome", "token_id", "state", "reason", "best_bid", "best_bid_size",
                    "best_ask", "best_ask_size", "ts_event_ms", "epoch", "sequence", "revision", "x"]
        },
        "unknown_tags": ["wether"],
        "rows": [[null, [
            ["Yes", "11", "live", null, "0.489", "29.5", "0.5025", "0.29", 5, 1, 7, 9, []],
            ["No", "12", "pending", null, null, null, null, null, null, null, null, null, 1]
        ], "0xa", {}]]
    });
    let short = json!({"columns": {"market": ["slug"], "top": []}, "rows": [[]]});
    let (client, _server) = asked(vec![Answer::Ok(answer), Answer::Ok(short)]).await;
    let tops = client.tops(&Query::default()).await.unwrap();
    assert_eq!((tops.len(), tops[0].condition_id.as_str()), (1, "0xa"));
    assert_eq!(tops.unknown_tags, ["wether"]);
    let [yes, no] = &tops[0].tokens[..] else {
        panic!("{tops:?}");
    };
    assert_eq!((yes.token_id.as_str(), yes.outcome.as_str()), ("11", "Yes"));
    assert_eq!(yes.top.best_ask.unwrap().to_string(), "0.5025");
    assert_eq!((no.top.state, no.top.spread()), (Trust::Pending, None));
    let error = client
        .tops(&Query::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("a row of 0 columns where 1 are named"),
        "{error}"
    );
}

#[tokio::test]
async fn many_books_are_asked_for_in_several_questions() {
    let book = |token: &str| {
        json!({
            "token_id": token, "condition_id": "0xa", "outcome": "Yes", "state": "live",
            "reason": null, "epoch": 1, "sequence": 7, "bids": [["0.4", "1"]], "asks": []
        })
    };
    let missing = json!({"name": "x", "code": "unknown_token", "message": "?", "explain": null});
    let answer = |token: &str| {
        Answer::Ok(json!({"depth": 5, "books": [book(token)], "missing": [missing.clone()]}))
    };
    let (client, server) = asked(vec![answer("1"), answer("2"), answer("3")]).await;
    let ids = (0..1_200).map(|number| number.to_string());
    let wanted = Wanted::default().tokens(ids).markets(["m"]).depth(5);
    let read = client.books(&wanted).await.unwrap();
    let ids: Vec<_> = read
        .books
        .iter()
        .map(|book| book.token_id.as_str())
        .collect();
    assert_eq!(ids, ["1", "2", "3"]);
    assert_eq!(read.missing.len(), 3);
    let asked = server.asked().await;
    let bodies: Vec<Value> = asked
        .iter()
        .map(|asked| {
            assert!(asked.starts_with("POST /v1/books HTTP/1.1\r\n"), "{asked}");
            serde_json::from_str(asked.split("\r\n\r\n").nth(1).unwrap()).unwrap()
        })
        .collect();
    let counts = bodies
        .iter()
        .map(|body| body["tokens"].as_array().unwrap().len());
    assert_eq!(counts.collect::<Vec<_>>(), [499, 500, 201]);
    assert_eq!(bodies[0]["markets"], json!(["m"]));
    assert!(bodies[1]["markets"].is_null() && bodies[1]["events"].is_null());
    assert!(bodies.iter().all(|body| body["depth"] == 5));
}
