//! Fakes of the traits, and a client that speaks raw HTTP/1.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use polypy_core::metrics::{Number, Part, Row, Sheet};
use polypy_core::{
    AssetId, AssetKey, BookLookup, BookPosition, BookSource, BookState, BookTop, BookView, Clock,
    Component, ConditionId, Health, HealthSource, HistoryPoint, Level, Market, MarketSource,
    OrderBook, Side, StatsSource, Timestamp, Token, TradesLookup,
};
use polypy_http::{HttpConfig, HttpServer, Sources};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// 2025-12-08T10:30:00.000Z.
pub(crate) const NOW: u64 = 1_765_189_800_000;
pub(crate) const LIVE: &str = "1000000001";
pub(crate) const STALE: &str = "1000000002";
pub(crate) const SETTLED: &str = "1000000003";
pub(crate) const LOCKED: &str = "1000000004";
pub(crate) const PENDING: &str = "1000000005";
pub(crate) const REQUESTED: &str = "1000000006";
pub(crate) const ENDED: &str = "1000000007";
pub(crate) const UNKNOWN: &str = "1999999999";
pub(crate) const POISON: &str = "666";

pub(crate) struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(NOW)
    }
}

/// Health and statistics that tests set.
pub(crate) struct Probe {
    pub(crate) health: Mutex<Health>,
    pub(crate) stats: Mutex<Value>,
}

impl HealthSource for Probe {
    fn health(&self) -> Health {
        self.health.lock().clone()
    }
}

/// Shows an object as it is. Rows are there for ever, so each key is made one once.
fn show(value: &Value, sheet: &mut dyn Sheet) {
    static ROWS: Mutex<BTreeMap<String, (&'static Row, &'static Part)>> =
        Mutex::new(BTreeMap::new());
    for (key, value) in value.as_object().unwrap() {
        let known = ROWS.lock().get(key).copied();
        let (row, part) = known.unwrap_or_else(|| {
            let name: &'static str = Box::leak(key.clone().into_boxed_str());
            let made: (&Row, &Part) = (
                Box::leak(Box::new(Row::text(name, "A field."))),
                Box::leak(Box::new(Part::new(name, "An object."))),
            );
            *ROWS.lock().entry(key.clone()).or_insert(made)
        });
        match value {
            Value::Object(_) => {
                sheet.open(part);
                show(value, sheet);
                sheet.close();
            }
            Value::Bool(flag) => sheet.number(row, Number::Flag(*flag)),
            Value::Number(number) => sheet.number(row, number.as_u64().unwrap().into()),
            Value::String(text) => sheet.number(row, Number::Text(text)),
            Value::Null | Value::Array(_) => panic!("no field of a test is like that"),
        }
    }
}

impl StatsSource for Probe {
    fn show(&self, sheet: &mut dyn Sheet) {
        show(&self.stats.lock(), sheet);
    }
}

pub(crate) fn all_healthy() -> Health {
    [
        "registry",
        "pool",
        "router",
        "workers",
        "lifecycle",
        "recycler",
    ]
    .into_iter()
    .fold(Health::of(true), |health, name| health.with(name, true))
    .because("books_not_live", "396 of 400 books are live")
    .with_counts(
        "books",
        [("wanted", 400), ("live", 396), ("stale", 3), ("awaited", 1)],
    )
}

impl Probe {
    pub(crate) fn healthy() -> Arc<Self> {
        Arc::new(Self {
            health: Mutex::new(all_healthy()),
            stats: Mutex::new(json!({ "running": true, "registry": { "total_markets": 100 } })),
        })
    }
}

/// Statistics that are not ready until the test says so.
#[derive(Default)]
pub(crate) struct SlowStats {
    entered: Arc<Tickets>,
    open: Mutex<bool>,
    opened: Condvar,
}

pub(crate) struct Tickets(Semaphore);

impl Default for Tickets {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl StatsSource for SlowStats {
    fn show(&self, sheet: &mut dyn Sheet) {
        self.entered.0.add_permits(1);
        let mut open = self.open.lock();
        while !*open {
            self.opened.wait(&mut open);
        }
        show(&json!({ "slow": true }), sheet);
    }
}

impl SlowStats {
    /// Returns once a request is inside.
    pub(crate) async fn entered(&self) {
        self.entered.0.acquire().await.unwrap().forget();
    }

    pub(crate) fn release(&self) {
        *self.open.lock() = true;
        self.opened.notify_all();
    }
}

pub(crate) struct FakeBooks(HashMap<&'static str, BookLookup>);

impl BookSource for FakeBooks {
    fn book(&self, asset_id: &str, depth: usize) -> BookLookup {
        assert_ne!(asset_id, POISON, "poisoned book");
        match self.0.get(asset_id) {
            None => BookLookup::Unknown,
            Some(BookLookup::Found(view)) => {
                let mut view = view.clone();
                view.bids.truncate(depth);
                view.asks.truncate(depth);
                BookLookup::Found(view)
            }
            Some(other) => other.clone(),
        }
    }

    fn trades(&self, _: &str, _: usize) -> TradesLookup {
        TradesLookup::Unknown
    }

    // No key names one of these books.
    fn books(&self, assets: &[AssetKey], _: usize) -> Vec<BookLookup> {
        assets.iter().map(|_| BookLookup::Unknown).collect()
    }

    fn tops(&self, assets: &[AssetKey]) -> Vec<Option<BookTop>> {
        assets.iter().map(|_| None).collect()
    }
}

fn level(price: &str, size: &str) -> Level {
    Level::new(price.parse().unwrap(), size.parse().unwrap())
}

pub(crate) fn view(asset_id: &str, state: BookState) -> BookView {
    let mut book = OrderBook::default();
    let bids = (1..=60).map(|cent| level(&format!("0.{:03}", 490 - cent), "29.5"));
    let mut asks: Vec<_> = (0..40)
        .map(|cent| level(&format!("0.{:03}", 520 + cent), "120"))
        .collect();
    asks[0] = level("0.5025", "0.29");
    book.apply_snapshot(bids.collect(), asks);
    BookView {
        asset_id: AssetId::new(asset_id).unwrap(),
        state,
        position: BookPosition {
            epoch: 3,
            sequence: 4_711,
            revision: 12,
        },
        key_life: 7 << 16 | 1,
        bids: book.levels(Side::Bid).collect(),
        asks: book.levels(Side::Ask).collect(),
        bid_levels: 60,
        ask_levels: 40,
        spread: book.spread(),
        mid_price: book.mid(),
        imbalance: book.imbalance(10),
        last_update: Timestamp::from_millis(NOW - 250),
        at: Instant::now(),
        received: Duration::from_millis(250),
        lasted: Duration::from_millis(1_250),
        tick_size: Some(polypy_core::DecimalText::new("0.001").unwrap()),
        last_trade: Some(polypy_core::LastTrade {
            timestamp: Timestamp::from_millis(NOW - 750),
            price: "0.850".parse().unwrap(),
            size: "219.217767".parse().unwrap(),
            side: Some(Side::Bid),
        }),
        hash: polypy_core::BookHash::from_hex(b"0123456789abcdef0123456789abcdef01234567"),
        hash_verified: Some(true),
        verified_ago: Some(Duration::from_millis(750)),
        feed: Some(polypy_core::FeedId(7)),
        history: (0..100)
            .map(|point| HistoryPoint {
                timestamp: Timestamp::from_millis(point * 30_000),
                best_bid: None,
                best_ask: None,
                spread: None,
                mid_price: None,
            })
            .collect(),
    }
}

pub(crate) fn books() -> Arc<FakeBooks> {
    use polypy_core::StaleReason;
    let found = |view| BookLookup::Found(Box::new(view));
    let mut locked = view(LOCKED, BookState::Live);
    locked.spread = Some(polypy_core::SignedDecimal::from_ten_millionths(0));
    locked.last_trade = None;
    locked.hash = None;
    locked.hash_verified = None;
    Arc::new(FakeBooks(HashMap::from([
        (LIVE, found(view(LIVE, BookState::Live))),
        (
            STALE,
            found(view(STALE, BookState::Stale(StaleReason::WorkerDied))),
        ),
        (SETTLED, found(view(SETTLED, BookState::Settled))),
        (LOCKED, found(locked)),
        (PENDING, BookLookup::Pending),
        (REQUESTED, BookLookup::Requested),
        (ENDED, BookLookup::Ended),
    ])))
}

pub(crate) struct FakeMarkets(Vec<Arc<Market>>);

impl MarketSource for FakeMarkets {
    fn markets(&self) -> Vec<Arc<Market>> {
        self.0.clone()
    }

    fn version(&self) -> u64 {
        1
    }
}

pub(crate) fn markets(number: usize) -> Arc<FakeMarkets> {
    let market = |at: usize| {
        let outcomes = ["Yes", "No"].into_iter().enumerate();
        let tokens = outcomes.map(|(side, outcome)| Token {
            token_id: AssetId::new(&format!("{}", 10 * at + side)).unwrap(),
            outcome: outcome.into(),
        });
        Arc::new(Market {
            question: format!("Does \"{at}\" hold?"),
            end_date_iso: Some("2026-12-31T00:00:00Z".to_owned()),
            end_timestamp: Timestamp::from_rfc3339("2026-12-31T00:00:00Z"),
            tick_size: Some(polypy_core::DecimalText::new("0.01").unwrap()),
            ..Market::new(
                ConditionId::new(&format!("0x{at:064x}")).unwrap(),
                tokens.collect(),
            )
        })
    };
    Arc::new(FakeMarkets((0..number).map(market).collect()))
}

/// Loopback, a port of the system's choice.
pub(crate) fn config() -> HttpConfig {
    HttpConfig {
        host: Ipv4Addr::LOCALHOST.into(),
        port: 0,
        ..HttpConfig::default()
    }
}

pub(crate) fn sources(probe: &Arc<Probe>) -> Sources {
    Sources::new(probe.clone(), probe.clone(), Arc::new(FixedClock))
}

pub(crate) async fn started(config: HttpConfig, sources: Sources) -> (HttpServer, SocketAddr) {
    let server = HttpServer::new(config, sources);
    server.start().await.unwrap();
    let address = server.local_addr().unwrap();
    (server, address)
}

/// A server with everything.
pub(crate) async fn full() -> (HttpServer, SocketAddr) {
    let sources = sources(&Probe::healthy())
        .with_markets(markets(25))
        .with_books(books());
    started(config(), sources).await
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Reads answers off what a connection returned until it closed.
    pub(crate) fn all(mut text: &str) -> Vec<Self> {
        let mut answers = Vec::new();
        while let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let mut lines = head.split("\r\n");
            let status = lines.next().unwrap().split(' ').nth(1).unwrap();
            let headers: Vec<(String, String)> = lines
                .map(|line| line.split_once(": ").unwrap())
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect();
            let mut answer = Self {
                status: status.parse().unwrap(),
                headers,
                body: String::new(),
            };
            let length: usize = answer
                .header("content-length")
                .map_or(0, |length| length.parse().unwrap());
            let length = length.min(rest.len());
            answer.body = rest[..length].to_owned();
            text = &rest[length..];
            answers.push(answer);
        }
        answers
    }
}

/// Sends bytes and reads until the server closes.
pub(crate) async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    read_all(stream).await
}

pub(crate) async fn read_all(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

/// One request with `Connection: close`.
pub(crate) async fn request(address: SocketAddr, line: &str) -> Answer {
    let request = format!("{line} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
    let text = raw(address, request.as_bytes()).await;
    let mut answers = Answer::all(&text);
    assert_eq!(answers.len(), 1, "{text}");
    answers.remove(0)
}

pub(crate) async fn get(address: SocketAddr, target: &str) -> Answer {
    request(address, &format!("GET {target}")).await
}

/// Sends a request and reads exactly one answer, leaving the connection open.
pub(crate) async fn exchange(stream: &mut TcpStream, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).await.unwrap();
        assert_ne!(read, 0, "closed within an answer: {text}");
        text.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
        if let Some((_, rest)) = text.split_once("\r\n\r\n") {
            let rest = rest.len();
            let mut answers = Answer::all(&text);
            let answer = answers.remove(0);
            let length = answer.header("content-length").unwrap_or("0");
            if rest >= length.parse::<usize>().unwrap() {
                return answer;
            }
        }
    }
}

pub(crate) const KEEP_ALIVE: &str = "GET /health HTTP/1.1\r\nHost: here\r\n\r\n";

/// Reads until what has come ends like this.
pub(crate) async fn read_until(stream: &mut TcpStream, ending: &str) -> String {
    let mut text = String::new();
    let mut chunk = [0; 4096];
    while !text.ends_with(ending) {
        let read = stream.read(&mut chunk).await.unwrap();
        assert_ne!(read, 0, "closed early: {text}");
        text.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
    }
    text
}

/// Waits until the server's own statistics satisfy a condition. On paused time
/// this costs nothing; elsewhere it polls.
pub(crate) async fn until(server: &HttpServer, holds: impl Fn(&Value) -> bool) -> Value {
    let wait = async {
        loop {
            let stats = server.stats();
            if holds(&stats) {
                return stats;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(200), wait)
        .await
        .unwrap_or_else(|_| panic!("never held: {}", server.stats()))
}

/// The paused clock, held still until it is advanced or this is dropped.
///
/// A paused clock jumps to the next deadline whenever every task waits, also while the
/// system still carries bytes from one socket to another. A busy machine takes its time
/// for that, and a peer's deadline would pass in between. The clock does not jump while
/// blocking work runs, so this is some.
pub(crate) struct HeldClock {
    _release: std::sync::mpsc::SyncSender<()>,
}

impl HeldClock {
    pub(crate) fn hold() -> Self {
        let (release, held) = std::sync::mpsc::sync_channel::<()>(0);
        // Ends with an error once `release` is dropped.
        drop(tokio::task::spawn_blocking(move || held.recv()));
        Self { _release: release }
    }

    pub(crate) async fn advance(&self, by: Duration) {
        tokio::time::advance(by).await;
    }
}
