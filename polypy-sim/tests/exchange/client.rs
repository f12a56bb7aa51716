//! A client of the exchange over real sockets, and small helpers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use polypy_core::{AssetId, Clock, Level, OrderBook, Side, Timestamp};
use polypy_sim::{Sim, SimConfig, SimHandle, TrueBook};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Long enough for a loaded machine, short enough to fail a hanging test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A clock that moves by one millisecond a reading.
#[derive(Debug)]
pub(crate) struct StepClock(AtomicU64);

impl Clock for StepClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

pub(crate) fn clock() -> Arc<StepClock> {
    Arc::new(StepClock(AtomicU64::new(1_795_000_000_000)))
}

pub(crate) async fn start(config: SimConfig) -> SimHandle {
    Sim::start(config, clock()).await.unwrap()
}

/// What a socket gave.
#[derive(Debug)]
pub(crate) enum Got {
    Text(String),
    Close(Option<CloseFrame>),
    /// The stream ended without a close frame.
    End,
}

pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    pub(crate) async fn connect(sim: &SimHandle) -> Self {
        let (socket, _answer) = connect_async(sim.ws_url()).await.unwrap();
        Self { socket }
    }

    pub(crate) async fn send(&mut self, frame: impl ToString) {
        self.socket
            .send(Message::text(frame.to_string()))
            .await
            .unwrap();
    }

    pub(crate) async fn open(&mut self, assets: &[AssetId]) {
        self.send(json!({ "type": "market", "assets_ids": ids(assets) }))
            .await;
    }

    pub(crate) async fn open_custom(&mut self, assets: &[AssetId]) {
        self.send(json!({
            "type": "market", "assets_ids": ids(assets), "custom_feature_enabled": true
        }))
        .await;
    }

    pub(crate) async fn operation(&mut self, operation: &str, assets: &[AssetId]) {
        self.send(json!({ "operation": operation, "assets_ids": ids(assets) }))
            .await;
    }

    pub(crate) async fn next(&mut self) -> Got {
        loop {
            match timeout(PATIENCE, self.socket.next())
                .await
                .expect("nothing came")
            {
                Some(Ok(Message::Text(text))) => return Got::Text(text.as_str().to_owned()),
                Some(Ok(Message::Close(frame))) => return Got::Close(frame),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Got::End,
            }
        }
    }

    pub(crate) async fn text(&mut self) -> String {
        match self.next().await {
            Got::Text(text) => text,
            other => panic!("{other:?} instead of a text"),
        }
    }

    /// The next text that `wanted` accepts.
    pub(crate) async fn text_where(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let text = self.text().await;
            if wanted(&text) {
                return text;
            }
        }
    }

    /// The next frame of an event type.
    pub(crate) async fn event(&mut self, kind: &str) -> Value {
        let mark = format!("\"event_type\":\"{kind}\"");
        let text = self
            .text_where(|text| text.starts_with('{') && text.contains(&mark))
            .await;
        serde_json::from_str(&text).unwrap()
    }

    /// Everything up to the answer of a `PING`.
    pub(crate) async fn until_pong(&mut self) -> Vec<String> {
        self.send("PING").await;
        let mut texts = Vec::new();
        loop {
            match self.text().await.as_str() {
                "PONG" => return texts,
                text => texts.push(text.to_owned()),
            }
            assert!(texts.len() < 100_000, "no answer to the ping");
        }
    }

    /// How the socket ends.
    pub(crate) async fn ending(&mut self) -> Got {
        loop {
            match self.next().await {
                Got::Text(_) => {}
                end => return end,
            }
        }
    }
}

pub(crate) fn ids(assets: &[AssetId]) -> Vec<&str> {
    assets.iter().map(AssetId::as_str).collect()
}

/// A book kept from frames, as a client keeps it.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) book: OrderBook,
    pub(crate) hash: String,
    pub(crate) opened: bool,
}

impl Kept {
    /// Applies every event of a frame that concerns `asset`.
    pub(crate) fn apply(&mut self, asset: &AssetId, text: &str) {
        let events = match serde_json::from_str(text) {
            Ok(Value::Array(events)) => events,
            Ok(event) => vec![event],
            Err(_) => return,
        };
        for event in events {
            match event["event_type"].as_str() {
                Some("book") if event["asset_id"] == asset.as_str() => {
                    self.book
                        .apply_snapshot(levels(&event["bids"]), levels(&event["asks"]));
                    self.hash = event["hash"].as_str().unwrap().to_owned();
                    self.opened = true;
                }
                Some("price_change") => {
                    for change in event["price_changes"].as_array().unwrap() {
                        if change["asset_id"] == asset.as_str() && self.opened {
                            let side = match change["side"].as_str().unwrap() {
                                "BUY" => Side::Bid,
                                _ => Side::Ask,
                            };
                            let text = |key: &str| change[key].as_str().unwrap().to_owned();
                            self.book.apply_change(
                                side,
                                text("price").parse().unwrap(),
                                text("size").parse().unwrap(),
                            );
                            self.hash = text("hash");
                        }
                    }
                }
                _ => {}
            }
        }
    }

    pub(crate) fn equals(&self, truth: &TrueBook) -> bool {
        self.book.levels(Side::Bid).eq(truth.bids.iter().copied())
            && self.book.levels(Side::Ask).eq(truth.asks.iter().copied())
    }
}

fn levels(side: &Value) -> Vec<Level> {
    side.as_array()
        .unwrap()
        .iter()
        .map(|level| {
            let text = |key: &str| level[key].as_str().unwrap().to_owned();
            Level::new(
                text("price").parse().unwrap(),
                text("size").parse().unwrap(),
            )
        })
        .collect()
}

/// One HTTP request over a connection of its own: status and body.
pub(crate) async fn request(
    sim: &SimHandle,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, String) {
    let mut stream = TcpStream::connect(sim.local_addr()).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    let status = answer[9..12].parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    (status, body)
}

pub(crate) async fn get(sim: &SimHandle, path: &str) -> (u16, Value) {
    let (status, body) = request(sim, "GET", path, "").await;
    (
        status,
        serde_json::from_str(&body).unwrap_or(Value::String(body)),
    )
}

pub(crate) async fn post(sim: &SimHandle, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let (status, body) = request(sim, "POST", path, &body).await;
    (
        status,
        serde_json::from_str(&body).unwrap_or(Value::String(body)),
    )
}

/// Waits until `reached`, looking every few milliseconds.
pub(crate) async fn eventually(what: &str, mut reached: impl FnMut() -> bool) {
    let patience = async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, patience)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}
