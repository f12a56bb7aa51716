//! `/v1/markets` and `/v1/markets/{market}`.

use std::net::SocketAddr;
use std::sync::Arc;

use polypy_core::catalogue::{Kinds, MarketFilter, Selection};
use polypy_core::{
    BookState, Cents, Component as _, DecimalText, Figures, MarketNumber, MarketStatus, Resolution,
    ResolutionSource, Timestamp,
};
use polypy_http::{HttpServer, Sources};
use serde_json::{Value, json};

use super::common::{Catalogue, NOW, Program, ask, config};
use crate::cursor::Instance;
use crate::door::Doors;
use crate::read::testing::{Listed, Shelf, of_event, row, tag};

pub(super) struct Server {
    pub(super) http: HttpServer,
    pub(super) address: SocketAddr,
    pub(super) listed: Arc<Listed>,
    pub(super) shelf: Arc<Shelf>,
}

impl Server {
    pub(super) async fn start() -> Self {
        let (listed, shelf) = (Arc::<Listed>::default(), Arc::<Shelf>::default());
        let program = Arc::new(Program);
        let doors = Doors::new(&config(), shelf.clone()).with_reads(
            Arc::new(Catalogue::new()),
            listed.clone(),
            program.clone(),
            Instance::random(),
        );
        let sources = Sources::new(program.clone(), program.clone(), program);
        let http = HttpServer::builder(config(), sources)
            .routes(doors.routes())
            .build();
        http.start().await.unwrap();
        let address = http.local_addr().unwrap();
        Self {
            http,
            address,
            listed,
            shelf,
        }
    }

    /// An answer of 200 as JSON.
    pub(super) async fn get(&self, target: &str) -> Value {
        let (status, head, body) = ask(self.address, "GET", target, "").await;
        assert_eq!(status, 200, "{target}: {head}\n{body}");
        serde_json::from_str(&body).unwrap()
    }

    pub(super) async fn refused(&self, target: &str) -> (u16, Value) {
        let (status, head, body) = ask(self.address, "GET", target, "").await;
        assert!(
            head.contains("content-type: application/problem+json"),
            "{head}"
        );
        (status, serde_json::from_str(&body).unwrap())
    }
}

/// One market of which everything is known.
pub(super) fn known() -> polypy_core::Listed {
    let mut row = of_event(row(7), "what-holds", 2);
    row.market.start = Some(Timestamp::from_millis(NOW - 1_000));
    row.market.end_timestamp = Some(Timestamp::from_millis(NOW + 1_000));
    row.market.tick_size = DecimalText::new("0.01").ok();
    row.market.min_order_size = DecimalText::new("5").ok();
    row.figures = Figures {
        volume: "1321616.859".parse().ok(),
        volume_day: Some(Cents::new(5)),
        liquidity: None,
    };
    row.tags = Some(vec![tag("middle-east", "Middle East"), tag("", "Oil")]);
    row
}

#[tokio::test]
async fn a_market_is_shown_whole_by_any_of_its_names() {
    let server = Server::start().await;
    server.listed.take([known()]);
    let keys = server.listed.follow(0);
    server
        .shelf
        .set(keys[0], BookState::Live, "0.489", "0.5025", NOW);
    let id = format!("0x{:064x}", 7);
    let shown = server.get(&format!("/v1/markets/{id}?tops")).await;
    let mut expected = json!({
        "condition_id": id,
        "slug": "does-7-hold",
        "question": "Does 7 hold?",
        "event": {
            "slug": "what-holds", "title": "What of what-holds?",
            "neg_risk": true, "neg_risk_augmented": false,
        },
        "group_title": "Number 2",
        "category": null,
        "tags": [{ "slug": "middle-east", "label": "Middle East" }, { "slug": null, "label": "Oil" }],
        "status": "open",
        "followed": true,
        "not_followed": null,
        "volume": "1321616.85", "volume_day": "0.05", "liquidity": null,
        "start_ms": NOW - 1_000, "start": "2025-12-08T10:29:59.000Z",
        "end_ms": NOW + 1_000, "end": "2025-12-08T10:30:01.000Z",
        "neg_risk": true,
        "tick_size": "0.01", "min_order_size": "5",
        "resolution": null,
        "tokens": [
            {
                "token_id": "71", "outcome": "Yes",
                "top": {
                    "state": "live", "reason": null, "verified": true, "epoch": 3, "sequence": 4_711,
                    "revision": 7,
                    "ts_event_ms": NOW,
                    "best_bid": "0.489", "best_bid_size": "12.5",
                    "best_ask": "0.5025", "best_ask_size": "12.5",
                    "spread": "0.0135", "mid_price": "0.49575",
                },
            },
            { "token_id": "72", "outcome": "No", "top": null },
        ],
        "same_slug": [],
    });
    assert_eq!(shown, expected);
    expected["tokens"] = json!([
        { "token_id": "71", "outcome": "Yes" }, { "token_id": "72", "outcome": "No" },
    ]);
    for name in [
        "does-7-hold",
        "Does-7-HOLD",
        "0x7",
        "0x07",
        "0X7",
        "does%2D7-hold",
    ] {
        assert_eq!(
            server.get(&format!("/v1/markets/{name}")).await,
            expected,
            "{name}"
        );
    }
    let few = server
        .get("/v1/markets/0x7?fields=tokens,slug&tops=false")
        .await;
    let few: Vec<_> = few.as_object().unwrap().keys().cloned().collect();
    assert_eq!(few, ["slug", "tokens", "same_slug"]);
    // Tops that are asked for are not left out without a word.
    for (list, field) in [
        ("/v1/markets/0x7?", None),
        ("/v1/markets?", Some("markets")),
        ("/v1/events/What-Holds?", Some("markets")),
    ] {
        let shown = server.get(&format!("{list}fields=slug&tops")).await;
        let market = field.map_or(&shown, |field| &shown[field][0]);
        let state = &market["tokens"][0]["top"]["state"];
        assert_eq!(
            (&market["question"], state),
            (&Value::Null, &json!("live")),
            "{list}"
        );
    }
    let plain = server.get("/v1/events/what-holds?fields=slug").await;
    assert_eq!(plain["markets"][0], json!({ "slug": "does-7-hold" }));

    let resolution = Resolution {
        winner: Some(known().market.tokens[1].token_id.clone()),
        at: Some(Timestamp::from_millis(NOW)),
        source: ResolutionSource::Feed,
    };
    let (number, status) = (MarketNumber::new(0), MarketStatus::Resolved);
    server
        .listed
        .table
        .lock()
        .set_status(number, status, Some(resolution));
    // A later market with the name of an earlier one.
    let mut later = row(8);
    later.market.slug = Some("does-7-hold".into());
    server.listed.take([later]);
    let newest = server.get("/v1/markets/does-7-hold").await;
    assert_eq!(newest["condition_id"], format!("0x{:064x}", 8));
    assert_eq!(newest["same_slug"], json!([id]));
    let decided = server.get("/v1/markets/0x7").await;
    let at = "2025-12-08T10:30:00.000Z";
    let resolution = json!({ "winner": "72", "at_ms": NOW, "at": at, "source": "feed" });
    assert_eq!(
        (&decided["resolution"], &decided["status"]),
        (&resolution, &json!("resolved"))
    );

    for (target, status, kind, part) in [
        (
            "/v1/markets/nobody",
            404,
            "urn:polypy:problem:unknown_market",
            "?q=",
        ),
        (
            "/v1/markets/0x7?fields=slugs",
            400,
            "about:blank",
            "some of condition_id, slug",
        ),
        (
            "/v1/markets/0x7?fields=",
            400,
            "about:blank",
            "some of condition_id",
        ),
        (
            "/v1/markets/0x7?explain=seats",
            400,
            "about:blank",
            "must be selection",
        ),
        ("/v1/markets/0x7?top", 400, "about:blank", "takes tops"),
    ] {
        let (got, body) = server.refused(target).await;
        assert_eq!((got, &body["type"]), (status, &json!(kind)), "{target}");
        assert!(body["error"].as_str().unwrap().contains(part), "{body}");
    }
    server.http.stop().await;
}

#[tokio::test]
async fn why_a_market_is_followed_or_not_is_explained_check_by_check() {
    let server = Server::start().await;
    server.listed.take([row(1), known()]);
    server.listed.select(Selection {
        filter: MarketFilter {
            include: Kinds {
                tags: vec![polypy_core::catalogue::Label::new("oil").unwrap()],
                ..Kinds::default()
            },
            min_volume_day: Some(Cents::new(100)),
            ..MarketFilter::default()
        },
        origins: Arc::new([("tags", "file".into())]),
        ..Selection::default()
    });
    let explained = server.get("/v1/markets/0x7?explain=selection").await;
    assert_eq!(
        explained["selection"],
        json!({
            "followed": false, "not_followed": "min_volume_day", "generation": 1,
            "checks": [
                {
                    "key": "tags", "holds": true, "wanted": "oil", "found": "Middle East, Oil",
                    "origin": "file",
                },
                {
                    "key": "min_volume_day", "holds": false, "wanted": "1.00", "found": "0.05",
                    "origin": null,
                },
            ],
        })
    );
    assert_eq!(explained["not_followed"], "min_volume_day");
    let other = server
        .get("/v1/markets/0x1?explain=selection&fields=slug")
        .await;
    assert_eq!(other["selection"]["not_followed"], "tags_unknown");
    server.http.stop().await;
}

#[tokio::test]
async fn before_the_listing_was_read_to_its_end_lists_and_refusals_say_so() {
    let server = Server::start().await;
    server.listed.take([row(7)]);
    // A tag of it would be good for ever if it did not change with that.
    let list = "/v1/markets?followed=any&sort=listed";
    let mut tags = Vec::new();
    for is_complete in [false, true] {
        let page = server
            .get(&format!("{list}&limit={}", 1 + tags.len()))
            .await;
        assert_eq!(page["complete"], is_complete);
        tags.push((page["version"].clone(), page["figures_version"].clone()));
        let names = ["/v1/markets/nobody", "/v1/events/nobody", "/v1/books/1"];
        for name in names {
            let (status, refused) = server.refused(name).await;
            assert_eq!(status, 404, "{refused:#}");
            let text = refused["error"].as_str().unwrap();
            let is_told = text.contains("not been read to its end");
            assert_eq!(is_told, !is_complete, "{name}: {refused:#}");
        }
        server.listed.complete();
    }
    assert_ne!(tags[0], tags[1]);
    server.http.stop().await;
}

#[tokio::test]
async fn a_list_is_paged_through_and_says_what_it_is_of() {
    let server = Server::start().await;
    server.listed.take((0..250).map(row));
    for number in 0..220 {
        server.listed.follow(number);
    }
    let mut cursor = String::new();
    let mut found = Vec::new();
    for left in [true, true, false] {
        let page = server
            .get(&format!("/v1/markets?sort=listed&fields=slug{cursor}"))
            .await;
        for name in ["matched", "unfollowed", "listed"] {
            let expected = match name {
                "matched" => 220,
                "unfollowed" => 30,
                _ => 250,
            };
            assert_eq!(page[name], expected, "{name}");
        }
        assert_eq!(
            (&page["sort"], &page["moment_ms"]),
            (&json!("listed"), &Value::Null)
        );
        let markets = page["markets"].as_array().unwrap();
        found.extend(markets.iter().map(|market| market["slug"].clone()));
        assert_eq!(page["next_cursor"].is_string(), left);
        cursor = format!(
            "&cursor={}",
            page["next_cursor"].as_str().unwrap_or_default()
        );
    }
    let expected: Vec<_> = (0..220)
        .map(|number| json!(format!("does-{number}-hold")))
        .collect();
    assert_eq!(found, expected);

    let first = server.get("/v1/markets?limit=2").await;
    assert_eq!(
        (&first["sort"], &first["moment_ms"]),
        (&json!("volume_day"), &json!(NOW))
    );
    let next = first["next_cursor"].as_str().unwrap();
    let second = server
        .get(&format!("/v1/markets?limit=2&cursor={next}"))
        .await;
    assert_eq!(second["markets"][0]["slug"], "does-2-hold");
    // Another first digit of the instance is another process.
    let digit = if next.starts_with('0') { '1' } else { '0' };
    let other = format!("{digit}{}", &next[1..]);
    for (query, status, kind, part) in [
        (
            format!("sort=volume&cursor={next}"),
            400,
            "about:blank",
            "of another list",
        ),
        (
            format!("cursor={other}"),
            410,
            "urn:polypy:problem:moment_expired",
            "begin again",
        ),
        (
            format!("cursor=x{next}"),
            400,
            "about:blank",
            "not a cursor",
        ),
        (
            "fields=x".to_owned(),
            400,
            "about:blank",
            "some of condition_id",
        ),
        ("sort=relevance".to_owned(), 400, "about:blank", "add q"),
        ("q=%20".to_owned(), 400, "about:blank", "no letter or digit"),
        (
            "sort=tightest".to_owned(),
            400,
            "about:blank",
            "relevance, volume_day",
        ),
        ("limit=1001".to_owned(), 400, "about:blank", "1 to 1000"),
        (
            "min_volume=much".to_owned(),
            400,
            "about:blank",
            "dollars in plain digits",
        ),
        (
            "min_volume=1e6".to_owned(),
            400,
            "about:blank",
            "dollars in plain digits",
        ),
        (
            format!("ids={}", vec!["0x7"; 51].join(",")),
            400,
            "about:blank",
            "51 are too many, ask for them in parts",
        ),
        (
            format!("cursor={next}0"),
            400,
            "about:blank",
            "not a cursor",
        ),
        (
            "ends_before=soon".to_owned(),
            400,
            "about:blank",
            "such as 7d",
        ),
        (
            "ids=7".to_owned(),
            400,
            "about:blank",
            "\"7\": condition id must be 0x",
        ),
        ("tags=,".to_owned(), 400, "about:blank", "leave it out"),
        (
            "followed=yes".to_owned(),
            400,
            "about:blank",
            "true, false or any",
        ),
        (
            "tag=x".to_owned(),
            400,
            "about:blank",
            "this route takes q, tags",
        ),
    ] {
        let (got, body) = server.refused(&format!("/v1/markets?{query}")).await;
        assert_eq!(
            (got, &body["type"]),
            (status, &json!(kind)),
            "{query}: {body}"
        );
        assert!(body["error"].as_str().unwrap().contains(part), "{body}");
    }
    server.http.stop().await;
}

#[tokio::test]
async fn who_has_the_list_is_spared_it_until_the_catalogue_changes() {
    let server = Server::start().await;
    server.listed.take((0..50).map(row));
    let target = "/v1/markets?followed=any";
    let (status, head, body) = ask(server.address, "GET", target, "").await;
    assert_eq!(status, 200);
    let line = |head: &str, name: &str| {
        let found = head.lines().find_map(|line| line.strip_prefix(name));
        found.map(str::to_owned)
    };
    let tag = line(&head, "etag: ").unwrap();
    assert!(tag.starts_with("W/"), "{tag}");
    let (status, asked, nothing) = ask(server.address, "HEAD", target, "").await;
    assert_eq!((status, nothing.as_str()), (200, ""));
    let length = body.len().to_string();
    assert_eq!(line(&asked, "content-length: "), Some(length));
    for name in ["etag: ", "vary: ", "content-type: ", "cache-control: "] {
        assert_eq!(line(&head, name), line(&asked, name), "{name}");
        assert!(line(&head, name).is_some(), "{name}");
    }
    let zipped = ask(server.address, "HEAD", target, "Accept-Encoding: gzip\r\n")
        .await
        .1;
    assert_eq!(line(&zipped, "content-encoding: ").as_deref(), Some("gzip"));
    assert_eq!(line(&zipped, "etag: "), Some(tag.clone()));
    let known = format!("If-None-Match: {tag}\r\n");
    for same in [
        target,
        "/v1/markets?followed=any&sort=volume",
        "/v1/markets?q=hold",
    ] {
        let (status, head, body) = ask(server.address, "GET", same, &known).await;
        assert_eq!((status, body.as_str()), (304, ""), "{same}: {head}");
    }
    server.listed.take([row(50)]);
    // The list that is kept may be a second behind, so another one is asked for.
    for other in [
        "followed=any&limit=60",
        "tops",
        "sort=spread",
        "ends_after=0d",
    ] {
        let other = format!("/v1/markets?{other}");
        let (status, head, _) = ask(server.address, "GET", &other, &known).await;
        assert_eq!(status, 200, "{other}");
        assert_eq!(
            line(&head, "etag: ").is_some(),
            other.contains("60"),
            "{head}"
        );
    }
    server.http.stop().await;
}

/// The list that is kept for those who want no tops is none for those who do.
#[tokio::test]
async fn a_list_with_tops_has_them_whatever_was_asked_before() {
    let server = Server::start().await;
    server.listed.take((1..=3).map(row));
    let keys = server.listed.follow(0);
    server
        .shelf
        .set(keys[0], BookState::Live, "0.489", "0.5025", NOW);
    let without = ask(server.address, "GET", "/v1/markets?limit=3", "")
        .await
        .1;
    let tag = |head: &str| {
        let found = head.lines().find_map(|line| line.strip_prefix("etag: "));
        found.map(str::to_owned)
    };
    let known = format!("If-None-Match: {}\r\n", tag(&without).unwrap());
    let (status, head, body) = ask(server.address, "GET", "/v1/markets?limit=3&tops", &known).await;
    assert_eq!((status, tag(&head)), (200, None), "{head}");
    assert!(body.contains(r#""best_bid":"0.489""#), "{body}");
    server.http.stop().await;
}

#[tokio::test]
async fn markets_are_found_by_how_a_book_of_theirs_stands() {
    let server = Server::start().await;
    server.listed.take((1..=4).map(row));
    let stale = BookState::Stale(polypy_core::StaleReason::Hash);
    for (at, states) in [
        [Some(BookState::Live), Some(BookState::Live)],
        [Some(BookState::Live), Some(stale)],
        [None, Some(BookState::Live)],
    ]
    .into_iter()
    .enumerate()
    {
        let keys = server.listed.follow(at as u64);
        for (key, state) in keys.iter().zip(states) {
            if let Some(state) = state {
                server.shelf.set(*key, state, "0.489", "0.5025", NOW);
            }
        }
    }
    for (query, expected) in [
        ("state=stale", json!(["does-2-hold"])),
        ("state=pending", json!(["does-3-hold"])),
        ("state=settled", json!([])),
        (
            "state=live&sort=listed",
            json!(["does-1-hold", "does-2-hold", "does-3-hold"]),
        ),
        ("state=live&sort=spread&limit=1&q=3", json!(["does-3-hold"])),
        // A market that is not followed has no book.
        (
            "state=pending&followed=any&sort=listed",
            json!(["does-3-hold"]),
        ),
    ] {
        let (_, head, body) = ask(server.address, "GET", &format!("/v1/markets?{query}"), "").await;
        let body: Value = serde_json::from_str(&body).unwrap();
        let slugs: Value = body["markets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|market| market["slug"].clone())
            .collect();
        assert_eq!(slugs, expected, "{query}");
        assert_eq!(
            body["matched"],
            expected.as_array().unwrap().len().min(3),
            "{query}"
        );
        assert!(!head.contains("\netag:"), "it moves: {head}");
    }
    // Of one that is over no book comes any more.
    let (number, status) = (MarketNumber::new(2), MarketStatus::Closed);
    server.listed.table.lock().set_status(number, status, None);
    for (query, matched) in [("state=settled", 1), ("state=pending", 0)] {
        let found = server
            .get(&format!("/v1/markets?status=closed&{query}"))
            .await;
        assert_eq!(found["matched"], matched, "{query}");
    }
    for wrong in ["state=dead", "state="] {
        let (status, error) = server.refused(&format!("/v1/markets?{wrong}")).await;
        assert_eq!((status, &error["parameter"]), (400, &"state".into()));
    }
    let (status, error) = server.refused("/v1/events?state=live").await;
    assert_eq!(
        (status, &error["parameter"]),
        (400, &"state".into()),
        "of markets alone"
    );
    server.http.stop().await;
}
