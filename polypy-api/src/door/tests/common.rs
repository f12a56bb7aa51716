//! A server with the doors, books and a hub that tests direct, and clients.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use parking_lot::Mutex;
use polypy_core::metrics::Sheet;
use polypy_core::{
    AssetId, AssetInfo, AssetKey, BookLookup, BookPosition, BookSource, BookState, BookTop,
    BookView, CatalogueSource, Clock, Component as _, ConditionId, EventRef, Health, HealthSource,
    Interner, Level, Market, OrderBook, Selector, Side, StatsSource, Timestamp, Token, TokenInfo,
    TradesLookup, TradesView,
};
use polypy_http::{HttpConfig, HttpServer, Sources};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::hub::Hub;
use crate::cursor::Instance;
use crate::door::Doors;
pub(crate) use crate::read::testing::Listed;
use crate::read::testing::Running;

/// 2025-12-08T10:30:00.000Z.
pub(crate) const NOW: u64 = 1_765_189_800_000;
/// Past anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Program;

impl HealthSource for Program {
    fn health(&self) -> Health {
        Health::of(true)
    }
}

impl StatsSource for Program {
    fn show(&self, _sheet: &mut dyn Sheet) {}
}

impl Clock for Program {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(NOW)
    }
}

/// Books that tests set.
#[derive(Default)]
pub(crate) struct Books(
    Mutex<HashMap<String, BookLookup>>,
    Mutex<HashMap<String, TradesView>>,
    AtomicUsize,
);

impl Books {
    pub(crate) fn set(&self, asset_id: &str, lookup: BookLookup) {
        self.0.lock().insert(asset_id.to_owned(), lookup);
    }

    /// How often anybody has asked for a book.
    pub(crate) fn looks(&self) -> usize {
        self.2.load(Ordering::SeqCst)
    }

    pub(crate) fn set_trades(&self, asset_id: &str, view: TradesView) {
        self.1.lock().insert(asset_id.to_owned(), view);
    }
}

impl BookSource for Books {
    fn book(&self, asset_id: &str, depth: usize) -> BookLookup {
        self.2.fetch_add(1, Ordering::SeqCst);
        match self.0.lock().get(asset_id) {
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

    fn trades(&self, asset_id: &str, limit: usize) -> TradesLookup {
        match self.1.lock().get(asset_id) {
            None => TradesLookup::Unknown,
            Some(view) => {
                let mut view = view.clone();
                view.trades.truncate(limit);
                TradesLookup::Found(view)
            }
        }
    }

    // No key names one of these books.
    fn books(&self, assets: &[AssetKey], _: usize) -> Vec<BookLookup> {
        assets.iter().map(|_| BookLookup::Unknown).collect()
    }

    fn tops(&self, assets: &[AssetKey]) -> Vec<Option<BookTop>> {
        assets.iter().map(|_| None).collect()
    }
}

/// When every book of the tests was looked at.
pub(crate) fn moment() -> Instant {
    static MOMENT: LazyLock<Instant> = LazyLock::new(Instant::now);
    *MOMENT
}

/// One market, of the tokens 11 and 12.
pub(crate) struct Catalogue(Arc<AssetInfo>);

impl Catalogue {
    pub(crate) fn new() -> Self {
        let market = market();
        let (token, condition) = (&market.tokens[0].token_id, &market.condition_id);
        let describe = |key| AssetInfo::new(key, token.clone(), condition.clone());
        Self(Interner::default().insert(token, condition, describe))
    }

    pub(crate) fn key(&self) -> AssetKey {
        self.0.key
    }
}

impl CatalogueSource for Catalogue {
    fn resolve(&self, selector: &Selector) -> Vec<AssetKey> {
        match selector.text() {
            "11" => vec![self.0.key],
            _ => Vec::new(),
        }
    }

    fn token(&self, _asset: AssetKey) -> Option<TokenInfo> {
        Some(TokenInfo {
            info: Arc::clone(&self.0),
            outcome: Some("Yes".into()),
            winner: None,
        })
    }

    fn market(&self, _asset: AssetKey) -> Option<Arc<Market>> {
        Some(Arc::new(market()))
    }
}

fn market() -> Market {
    let token = |id, outcome: &str| Token {
        token_id: AssetId::new(id).unwrap(),
        outcome: outcome.into(),
    };
    Market {
        question: "Does it hold?".to_owned(),
        slug: Some("does-it-hold".into()),
        event: Some(Arc::new(EventRef {
            id: None,
            slug: "what-holds".into(),
            title: "What holds?".into(),
            neg_risk: false,
            neg_risk_augmented: false,
        })),
        ..Market::new(
            ConditionId::new(&format!("0x{:064x}", 7)).unwrap(),
            vec![token("11", "Yes"), token("12", "No")],
        )
    }
}

/// A book of twelve levels a side around this ask.
pub(crate) fn found(asset_id: &str, state: BookState, ask: &str) -> BookLookup {
    let level = |price: &str, size: &str| Level::new(price.parse().unwrap(), size.parse().unwrap());
    let mut book = OrderBook::default();
    let bids = (1..=12).map(|cent| level(&format!("0.{:02}", 50 - cent), "29.5"));
    let asks = (1..=11).map(|cent| level(&format!("0.{:02}", 60 + cent), "120"));
    book.apply_snapshot(bids.collect(), asks.chain([level(ask, "0.29")]).collect());
    BookLookup::Found(Box::new(BookView {
        asset_id: AssetId::new(asset_id).unwrap(),
        state,
        position: BookPosition {
            epoch: 3,
            sequence: 4_711,
            revision: 7,
        },
        key_life: 1,
        bids: book.levels(Side::Bid).collect(),
        asks: book.levels(Side::Ask).collect(),
        bid_levels: 12,
        ask_levels: 12,
        spread: book.spread(),
        mid_price: book.mid(),
        imbalance: book.imbalance(10),
        last_update: Timestamp::from_millis(NOW - 250),
        at: moment(),
        received: Duration::from_millis(250),
        lasted: Duration::from_millis(1_250),
        tick_size: None,
        last_trade: None,
        hash: None,
        hash_verified: None,
        verified_ago: None,
        feed: None,
        history: Vec::new(),
    }))
}

/// Loopback, a port of the system's choice.
pub(crate) fn config() -> HttpConfig {
    HttpConfig {
        host: Ipv4Addr::LOCALHOST.into(),
        port: 0,
        ..HttpConfig::default()
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) http: HttpServer,
    pub(crate) address: SocketAddr,
    pub(crate) books: Arc<Books>,
    pub(crate) hub: Hub,
}

impl Server {
    pub(crate) async fn start(config: HttpConfig) -> Self {
        let program = Arc::new(Program);
        let sources = Sources::new(program.clone(), program.clone(), program);
        let books = Arc::new(Books::default());
        let hub = Hub::start();
        let doors = Doors::new(&config, books.clone())
            .with_streams(hub.streams())
            .with_reads(
                Arc::new(Catalogue::new()),
                Arc::new(Listed::default()),
                Arc::new(Running::new()),
                Instance::random(),
            );
        let mut http = HttpServer::builder(config, sources);
        for route in doors.routes() {
            http = http.route(route).unwrap();
        }
        let http = http.build();
        http.start().await.unwrap();
        let address = http.local_addr().unwrap();
        Self {
            http,
            address,
            books,
            hub,
        }
    }

    /// What the server counts, once it satisfies a condition.
    pub(crate) async fn until(&self, holds: impl Fn(&Value) -> bool) {
        let wait = async {
            while !holds(&self.http.stats()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, wait)
            .await
            .unwrap_or_else(|_| panic!("never held: {}", self.http.stats()));
    }
}

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "never: {what}");
}

/// An answer: status, headers as text, body.
pub(crate) async fn ask(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &str,
) -> (u16, String, String) {
    let request =
        format!("{method} {target} HTTP/1.1\r\nHost: polypy\r\nConnection: close\r\n{headers}\r\n");
    let text = raw(address, &request).await;
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_owned(), body.to_owned())
}

/// Sends bytes and reads until the server closes.
pub(crate) async fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    let read = stream.read_to_end(&mut text);
    timeout(PATIENCE, read).await.unwrap().unwrap();
    String::from_utf8(text).unwrap()
}

/// Bytes that a system holds of what goes one way, where it is to hold little.
pub(crate) const NARROW: usize = 4 * 1024;

/// A connection of a client whose system holds little of what it does not read.
pub(crate) async fn narrow(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let bytes = u32::try_from(NARROW).unwrap();
    socket.set_recv_buffer_size(bytes).unwrap();
    socket.connect(address).await.unwrap()
}

/// A WebSocket's client.
pub(crate) struct Client(pub(crate) WebSocketStream<TcpStream>);

impl Client {
    pub(crate) async fn connect(address: SocketAddr, path: &str) -> Self {
        Self::with_origin(address, path, None).await.unwrap()
    }

    /// One over a [`narrow`] connection.
    pub(crate) async fn narrow(address: SocketAddr, path: &str) -> Self {
        let stream = narrow(address).await;
        let (socket, _) = client_async(format!("ws://{address}{path}"), stream)
            .await
            .unwrap();
        Self(socket)
    }

    pub(crate) async fn with_origin(
        address: SocketAddr,
        path: &str,
        origin: Option<&str>,
    ) -> Result<Self, Error> {
        let url = format!("ws://{address}{path}");
        let mut request = url.into_client_request().unwrap();
        if let Some(origin) = origin {
            let headers = request.headers_mut();
            headers.insert("origin", origin.parse().unwrap());
        }
        let stream = TcpStream::connect(address).await.unwrap();
        let (socket, _) = client_async(request, stream).await?;
        Ok(Self(socket))
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// The next message, as JSON. Pings are none.
    pub(crate) async fn hear(&mut self) -> Value {
        match timeout(PATIENCE, self.next()).await.unwrap() {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Reads to the end; the close frame.
    pub(crate) async fn closed(&mut self) -> CloseFrame {
        let read = async {
            loop {
                if let Message::Close(frame) = self.next().await {
                    return frame.unwrap();
                }
            }
        };
        timeout(PATIENCE, read).await.unwrap()
    }

    async fn next(&mut self) -> Message {
        loop {
            match self.0.next().await.unwrap().unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }
}
