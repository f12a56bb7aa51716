//! The client against a service in memory, and real bodies where there are any.

use std::sync::Arc;

use polypy_core::{AssetInfo, ConditionId};
use serde_json::{Value, json};

use super::*;
use crate::rest::RestConfig;
use crate::rest::fake::{FakeService, Reply};

fn interner(assets: &[&str]) -> RwLock<Interner> {
    let mut interner = Interner::default();
    for asset in assets {
        let asset_id: AssetId = asset.parse().unwrap();
        let condition: ConditionId = "0xa1".parse().unwrap();
        interner.insert(&asset_id, &condition, |key| {
            AssetInfo::new(key, asset_id.clone(), condition.clone())
        });
    }
    RwLock::new(interner)
}

fn ids(assets: &[&str]) -> Vec<AssetId> {
    assets.iter().map(|asset| asset.parse().unwrap()).collect()
}

fn book(asset: &str) -> Value {
    json!({
        "market": "0xa1", "asset_id": asset, "timestamp": "1770000000000",
        "hash": "0123456789abcdef0123456789abcdef01234567",
        "bids": [{"price": "0.48", "size": "30"}], "asks": [{"price": "0.52", "size": "25.5"}],
        "min_order_size": "5", "tick_size": "0.01", "neg_risk": true, "last_trade_price": "0.500",
    })
}

fn client(service: &Arc<FakeService>, chunk: usize) -> ClobClient {
    ClobClient::new(service.client(RestConfig::default()), ClobConfig { chunk })
}

fn names(books: &[BookEvent]) -> Vec<&str> {
    books
        .iter()
        .map(|book| book.info.asset_id.as_str())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn asks_in_chunks_and_leaves_out_what_has_no_book() {
    let service = FakeService::new(|seen| {
        let wanted: Vec<Value> = serde_json::from_str(&seen.body).unwrap();
        let books: Vec<Value> = wanted
            .iter()
            .filter_map(|wanted| wanted["token_id"].as_str())
            .filter(|token| *token != "3")
            .map(book)
            .collect();
        Reply::Ok(Value::from(books).to_string())
    });
    let assets = ["1", "2", "3", "4", "5"];
    let clob = client(&service, 2);
    let known = interner(&assets);
    let books = clob.books(&ids(&assets), &known, Purpose::Seed).await.books;
    assert_eq!(names(&books), ["1", "2", "4", "5"]);
    assert_eq!(books[0].min_order_size.unwrap().as_str(), "5");
    assert_eq!(books[0].neg_risk, Some(true));
    let bodies: Vec<String> = service.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(
        bodies,
        [
            r#"[{"token_id":"1"},{"token_id":"2"}]"#,
            r#"[{"token_id":"3"},{"token_id":"4"}]"#,
            r#"[{"token_id":"5"}]"#,
        ]
    );
    assert_eq!(clob.stats()["books_asked"], 5);
    assert_eq!(clob.stats()["books"]["received"], 4);
    assert_eq!(clob.stats()["books"]["missing"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_bad_book_or_one_not_asked_for_costs_no_other() {
    let mut bad = book("2");
    bad["bids"][0]["price"] = "1.5".into();
    let answer = json!([book("1"), bad, book("4"), book("1"), book("3")]);
    let service = FakeService::scripted([Reply::Ok(answer.to_string())]);
    let clob = client(&service, 100);
    let known = interner(&["1", "2", "3", "4"]);
    let books = clob
        .books(&ids(&["1", "2", "3"]), &known, Purpose::Seed)
        .await
        .books;
    assert_eq!(names(&books), ["1", "3"]);
    assert_eq!(clob.stats()["books"]["refused"], 1);
    assert_eq!(clob.stats()["books"]["missing"], 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_asked_is_nothing_sent() {
    let service = FakeService::scripted([]);
    let known = interner(&[]);
    let fetched = client(&service, 100)
        .books(&[], &known, Purpose::Seed)
        .await;
    assert!(fetched.books.is_empty() && fetched.failure.is_none());
    assert!(service.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_book_or_none_or_an_error() {
    let service = FakeService::scripted([
        Reply::Ok(book("1").to_string()),
        Reply::Status(404, Vec::new(), r#"{"error":"No orderbook"}"#.to_owned()),
        Reply::Ok("[]".to_owned()),
        Reply::Status(400, Vec::new(), String::new()),
    ]);
    let clob = client(&service, 100);
    let known = interner(&["1"]);
    let asset: AssetId = "1".parse().unwrap();
    assert!(clob.book(&asset, &known).await.unwrap().is_some());
    assert!(clob.book(&asset, &known).await.unwrap().is_none());
    let error = clob.book(&asset, &known).await.unwrap_err();
    assert!(matches!(error, ClobError::Decode(_)), "{error:?}");
    let error = clob.book(&asset, &known).await.unwrap_err();
    assert!(matches!(error, ClobError::Rest(_)), "{error:?}");
    assert_eq!(service.lines()[0], "GET /book?token_id=1");
}

#[tokio::test(start_paused = true)]
async fn the_venues_clock_is_in_seconds() {
    let service = FakeService::scripted([
        Reply::Ok("1770000000".to_owned()),
        Reply::Ok("\"noon\"".to_owned()),
    ]);
    let clob = client(&service, 100);
    assert_eq!(clob.time().await.unwrap().millis(), 1_770_000_000_000);
    assert!(matches!(clob.time().await, Err(ClobError::Time(_))));
}

/// Every book body in the captures of the real venue decodes.
#[tokio::test(start_paused = true)]
async fn real_books_decode() {
    let Some(captures) = std::env::var_os("POLYPY_CAPTURES") else {
        println!("POLYPY_CAPTURES is not set: real books not read");
        return;
    };
    let mut bodies = Vec::new();
    for entry in std::fs::read_dir(std::path::Path::new(&captures).join("clob")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for value in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
            collect_books(value.unwrap(), &mut bodies);
        }
    }
    assert!(!bodies.is_empty());
    for body in bodies {
        let asset = body["asset_id"].as_str().unwrap().to_owned();
        let levels = |side: &str| body[side].as_array().unwrap().len();
        let (bids, asks) = (levels("bids"), levels("asks"));
        let service = FakeService::scripted([Reply::Ok(body.to_string())]);
        let known = interner(&[&asset]);
        let book = client(&service, 100)
            .book(&asset.parse().unwrap(), &known)
            .await
            .unwrap()
            .unwrap();
        assert_eq!((book.bids.len(), book.asks.len()), (bids, asks));
        assert!(book.hash.is_some() && book.tick_size.is_some());
    }
}

fn collect_books(value: Value, books: &mut Vec<Value>) {
    match value {
        Value::Object(fields) if fields.contains_key("bids") => books.push(fields.into()),
        Value::Object(fields) => fields
            .into_iter()
            .for_each(|(_, value)| collect_books(value, books)),
        Value::Array(items) => items
            .into_iter()
            .for_each(|item| collect_books(item, books)),
        _ => {}
    }
}

/// A recorder of answers: how many books were known when each came.
#[derive(Default)]
struct Answers {
    told: parking_lot::Mutex<Vec<(String, String, Purpose)>>,
}

impl FrameSink for Answers {
    fn opened(&self, _opened: &polypy_core::Opened<'_>) -> Box<dyn polypy_core::SocketSink> {
        unreachable!("no socket here")
    }

    fn answered(&self, answer: &Answer<'_>) {
        assert_eq!((answer.path, answer.status), ("/books", 200));
        assert!(answer.requested <= answer.received);
        let body = std::str::from_utf8(answer.body).unwrap();
        let told = (answer.request.to_owned(), body.to_owned(), answer.purpose);
        self.told.lock().push(told);
    }
}

#[tokio::test(start_paused = true)]
async fn each_answer_is_told_as_it_came_also_one_that_cannot_be_read() {
    let service = FakeService::scripted([
        Reply::Ok(json!([book("1")]).to_string()),
        Reply::Ok("no books".to_owned()),
        Reply::Status(500, Vec::new(), "no answer".to_owned()),
    ]);
    let answers = Arc::new(Answers::default());
    let recorder = Arc::clone(&answers) as Arc<dyn FrameSink>;
    let clob = client(&service, 1).with_frames(Some(recorder));
    let known = interner(&["1", "2"]);
    clob.books(&ids(&["1"]), &known, Purpose::Seed).await;
    clob.books(&ids(&["2"]), &known, Purpose::Audit).await;
    let expected = [
        (
            r#"[{"token_id":"1"}]"#.to_owned(),
            json!([book("1")]).to_string(),
            Purpose::Seed,
        ),
        (
            r#"[{"token_id":"2"}]"#.to_owned(),
            "no books".to_owned(),
            Purpose::Audit,
        ),
    ];
    assert_eq!(answers.told.lock()[..2], expected);
}
