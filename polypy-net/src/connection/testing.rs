//! A venue in memory for the tests of connections, pool and recycler: streams
//! are `tokio::io::duplex`, the far end speaks WebSocket, REST is a table, and
//! everything that reaches the sink is recorded. Time can be paused.

mod sink;
mod tapped;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::Uri;
use parking_lot::{Mutex, RwLock};
use polypy_core::{
    AssetId, AssetInfo, AssetKey, BoxFuture, Clock, FrameSink, Interner, LifecycleEvent, Market,
    MarketEvent, Purpose, SuspensionWatch, Timestamp, Token,
};
use serde_json::Value;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;

use super::ConnectionConfig;
use crate::clob::{BookFetch, ClobError, Fetched};
use crate::dial::{Dial, Stream};
use crate::early_audit::EarlyAudits;
use crate::registry::AssetRegistry;
use crate::resync::{ResyncConfig, ResyncQueue};
use crate::venue::{LifecycleListener, Venue};
use crate::wire::{self, WireStats};

pub(crate) use sink::{Recorder, Told};
pub(crate) use tapped::{Said, Tapped};

#[derive(Debug, Default)]
pub(crate) struct Listener {
    pub(crate) offered: Mutex<Vec<LifecycleEvent>>,
    pub(crate) gone: Mutex<Vec<AssetKey>>,
}

impl LifecycleListener for Listener {
    fn offer(&self, event: LifecycleEvent) {
        self.offered.lock().push(event);
    }
    fn confirm_gone(&self, assets: &[AssetKey]) {
        self.gone.lock().extend(assets);
    }
}

/// REST: knows the books of all assets, or of some.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    pub(crate) unknown: Mutex<BTreeSet<String>>,
    pub(crate) asked: Mutex<Vec<Vec<String>>>,
    pub(crate) fails: Mutex<bool>,
}

impl BookFetch for Rest {
    fn books<'a>(
        &'a self,
        assets: &'a [AssetId],
        known: &'a RwLock<Interner>,
        _purpose: Purpose,
    ) -> BoxFuture<'a, Fetched> {
        Box::pin(async move {
            let ids: Vec<_> = assets.iter().map(|id| id.as_str().to_owned()).collect();
            self.asked.lock().push(ids.clone());
            tokio::time::sleep(Duration::from_millis(50)).await;
            if *self.fails.lock() {
                return Fetched {
                    unanswered: assets.to_vec(),
                    failure: Some(refusal()),
                    ..Fetched::default()
                };
            }
            let unknown = self.unknown.lock().clone();
            let text = opening(ids.iter().filter(|id| !unknown.contains(*id)));
            let mut decoded = wire::Decoded::default();
            wire::decode(
                text.as_bytes(),
                &known.read(),
                &WireStats::default(),
                &mut decoded,
            );
            let books = decoded.events.into_iter().filter_map(|event| match event {
                MarketEvent::Book(book) => Some(*book),
                _ => None,
            });
            Fetched {
                books: books.collect(),
                ..Fetched::default()
            }
        })
    }
}

fn refusal() -> ClobError {
    let broken = serde_json::from_str::<u64>("out of order");
    ClobError::Time(broken.unwrap_err())
}

/// How the far end answers the next dials.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Accept,
    /// No byte stream.
    Unreachable,
    /// The stream opens and says nothing.
    Silence,
    /// HTTP status and `Retry-After`.
    Refuse(u16, Option<u32>),
}

/// The far end: hands each accepted socket to the test.
pub(crate) struct Network {
    answers: Mutex<Vec<Answer>>,
    otherwise: Mutex<Answer>,
    pub(crate) dials: Mutex<Vec<Instant>>,
    accepted: mpsc::Sender<Peer>,
    silent: Mutex<Vec<DuplexStream>>,
}

impl Network {
    /// Scripts the next dials, then what happens ever after.
    pub(crate) fn script(&self, answers: &[Answer], otherwise: Answer) {
        *self.answers.lock() = answers.iter().rev().cloned().collect();
        *self.otherwise.lock() = otherwise;
    }

    pub(crate) fn dial_count(&self) -> usize {
        self.dials.lock().len()
    }
}

impl Dial for Network {
    fn dial<'a>(&'a self, _uri: &'a Uri) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            self.dials.lock().push(Instant::now());
            let answer = self.answers.lock().pop();
            let answer = answer.unwrap_or_else(|| self.otherwise.lock().clone());
            let (near, far) = tokio::io::duplex(1 << 20);
            match answer {
                Answer::Unreachable => {
                    return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
                }
                Answer::Silence => self.silent.lock().push(far),
                Answer::Accept | Answer::Refuse(..) => {
                    let accepted = self.accepted.clone();
                    drop(tokio::spawn(serve(far, answer, accepted)));
                }
            }
            Ok(Box::new(near) as Box<dyn Stream>)
        })
    }
}

#[expect(
    clippy::result_large_err,
    reason = "the callback's type is tungstenite's"
)]
async fn serve(far: DuplexStream, answer: Answer, accepted: mpsc::Sender<Peer>) {
    let ws =
        tokio_tungstenite::accept_hdr_async(far, |_: &Request, response: Response| match answer {
            Answer::Refuse(status, retry_after) => {
                let mut refusal = ErrorResponse::new(None);
                *refusal.status_mut() = status.try_into().unwrap();
                if let Some(seconds) = retry_after {
                    let headers = refusal.headers_mut();
                    headers.insert(hyper::header::RETRY_AFTER, seconds.into());
                }
                Err(refusal)
            }
            _ => Ok(response),
        })
        .await;
    if let Ok(ws) = ws {
        let peer = Peer {
            ws,
            active: BTreeSet::new(),
            late: Vec::new(),
            number: 0,
        };
        assert!(accepted.send(peer).await.is_ok());
    }
}

/// The venue's end of one socket.
pub(crate) struct Peer {
    ws: WebSocketStream<DuplexStream>,
    pub(crate) active: BTreeSet<String>,
    /// Frames that are under way of what was taken off.
    late: Vec<String>,
    /// How many were accepted before it.
    number: usize,
}

/// How a [`Peer`] behaves when left to itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct PeerBehaviour {
    /// Assets of which it never says anything.
    pub(crate) swallow: BTreeSet<String>,
    /// How many sockets keep quiet about them; all if not given.
    pub(crate) swallowing: Option<usize>,
    /// Answers nothing but `PING`.
    pub(crate) stalled: bool,
    /// Does not answer `PING`.
    pub(crate) no_pong: bool,
    /// Changes of the first active asset this far apart.
    pub(crate) flow: Option<Duration>,
    /// With each of them comes a whole book and a change of what was taken off.
    pub(crate) is_late: bool,
    /// It drops its sockets, at the next change.
    pub(crate) hangs_up: bool,
}

/// What each socket that is served has subscribed, by its number.
pub(crate) type Subscribed = Arc<Mutex<BTreeMap<usize, BTreeSet<String>>>>;

impl PeerBehaviour {
    fn swallows(&self, id: &str, socket: usize) -> bool {
        self.swallow.contains(id) && self.swallowing.is_none_or(|first| socket < first)
    }
}

impl Peer {
    /// The next text frame; `None` once the socket is gone.
    pub(crate) async fn frame(&mut self) -> Option<String> {
        loop {
            match self.ws.next().await? {
                Ok(Message::Text(text)) => return Some(text.to_string()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next frame with ids: its operation (`open` for the first) and them.
    pub(crate) async fn request(&mut self) -> Option<(String, Vec<String>)> {
        loop {
            let text = self.frame().await?;
            if text != "PING" {
                return Some(request(&text));
            }
        }
    }

    /// A frame that is no text.
    pub(crate) async fn say_binary(&mut self, bytes: &[u8]) {
        drop(self.ws.send(Message::binary(bytes.to_vec())).await);
    }

    pub(crate) async fn say(&mut self, text: impl Into<String>) {
        // A client that is gone is not the venue's concern.
        drop(self.ws.send(Message::text(text.into())).await);
    }

    pub(crate) async fn close(mut self, code: u16, reason: &str) {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.to_owned().into(),
        };
        // The client may be gone before the frame is flushed.
        drop(self.ws.close(Some(frame)).await);
        while self.frame().await.is_some() {}
    }

    /// Answers one frame as the venue does.
    pub(crate) async fn answer(&mut self, text: &str, behaviour: &PeerBehaviour) {
        if text == "PING" {
            if !behaviour.no_pong {
                self.say("PONG").await;
            }
            return;
        }
        let (operation, ids) = request(text);
        if operation == "unsubscribe" {
            for id in &ids {
                if self.active.remove(id) && behaviour.is_late {
                    let one = [id.clone()];
                    self.late
                        .push(opening(one.iter()).replace(r#""tick_size":"0.01","#, ""));
                    self.late.push(change(id));
                }
            }
            return;
        }
        let fresh: Vec<_> = ids
            .into_iter()
            .filter(|id| self.active.insert(id.clone()))
            .collect();
        if behaviour.stalled {
            return;
        }
        if fresh.is_empty() {
            self.say("NO NEW ASSETS").await;
        } else {
            tokio::time::sleep(Duration::from_millis(130)).await;
            let known = fresh
                .iter()
                .filter(|id| !behaviour.swallows(id, self.number));
            self.say(format!("{}\n", opening(known))).await;
        }
    }

    fn spoken_of(&self, behaviour: &PeerBehaviour) -> Option<String> {
        let spoken = |id: &&String| !behaviour.swallows(id, self.number);
        self.active.iter().find(spoken).cloned()
    }

    /// Behaves until the client is gone, or until behaviour are changed for the
    /// last time (the sender is dropped).
    pub(crate) async fn behave(self, behaviour: Arc<Mutex<PeerBehaviour>>) {
        self.behave_and_show(behaviour, &Subscribed::default())
            .await;
    }

    /// The same, showing what it has subscribed.
    async fn behave_and_show(
        mut self,
        behaviour: Arc<Mutex<PeerBehaviour>>,
        subscribed: &Subscribed,
    ) {
        loop {
            let active = self.active.clone();
            subscribed.lock().insert(self.number, active);
            let now = behaviour.lock().clone();
            let flow = async {
                match now.flow {
                    Some(gap) => tokio::time::sleep(gap).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                text = self.frame() => match text {
                    Some(text) => {
                        let now = behaviour.lock().clone();
                        self.answer(&text, &now).await;
                    }
                    None => return,
                },
                () = flow => {
                    if behaviour.lock().hangs_up {
                        return;
                    }
                    for text in std::mem::take(&mut self.late) {
                        self.say(text).await;
                    }
                    if !now.stalled && let Some(id) = self.spoken_of(&now) {
                        self.say(change(&id)).await;
                    }
                }
            }
        }
    }
}

fn request(text: &str) -> (String, Vec<String>) {
    let value: Value = serde_json::from_str(text).unwrap();
    let operation = value["operation"].as_str().unwrap_or("open").to_owned();
    if operation == "open" {
        assert_eq!(value["type"], "market");
    }
    if operation != "unsubscribe" {
        assert_eq!(value["initial_dump"], true);
        assert_eq!(value["custom_feature_enabled"], true);
    }
    let ids = value["assets_ids"].as_array().unwrap();
    let ids = ids.iter().map(|id| id.as_str().unwrap().to_owned());
    (operation, ids.collect())
}

/// An opening array of books.
pub(crate) fn opening<'a>(ids: impl Iterator<Item = &'a String>) -> String {
    let books: Vec<_> = ids
        .map(|id| {
            format!(
                r#"{{"market":"{}","asset_id":"{id}","timestamp":"1780000000000","hash":"{:040x}","bids":[{{"price":"0.4","size":"10"}}],"asks":[{{"price":"0.6","size":"10"}}],"tick_size":"0.01","event_type":"book","last_trade_price":"0.500"}}"#,
                condition(id),
                1
            )
        })
        .collect();
    format!("[{}]", books.join(","))
}

/// A level change of one asset.
pub(crate) fn change(id: &str) -> String {
    format!(
        r#"{{"market":"{}","price_changes":[{{"asset_id":"{id}","price":"0.41","size":"5","side":"BUY","hash":"{:040x}","best_bid":"0.41","best_ask":"0.6"}}],"timestamp":"1780000000001","event_type":"price_change"}}"#,
        condition(id),
        2
    )
}

/// Assets 2n and 2n+1 are the tokens of market n.
fn condition(id: &str) -> String {
    let id: u64 = id.parse().unwrap();
    format!("0x{:064x}", id / 2)
}

/// Two seconds after the stamps of the tests' changes.
#[derive(Debug)]
struct Later;

impl Clock for Later {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_780_000_002_000)
    }
}

/// What a connection needs, and what it leaves behind.
pub(crate) struct SimulatedVenue {
    pub(crate) registry: Arc<AssetRegistry>,
    pub(crate) sink: Arc<Recorder>,
    pub(crate) listener: Arc<Listener>,
    /// Nothing is recorded unless it is set.
    pub(crate) frames: Option<Arc<dyn FrameSink>>,
    pub(crate) rest: Arc<Rest>,
    pub(crate) network: Arc<Network>,
    pub(crate) resync: Arc<ResyncQueue>,
    pub(crate) early_audits: Arc<EarlyAudits>,
    pub(crate) suspension: Arc<SuspensionWatch>,
    /// Milliseconds that the machine has slept: paused time knows nothing of them.
    pub(crate) slept: Arc<AtomicU64>,
    accepted: mpsc::Receiver<Peer>,
}

impl SimulatedVenue {
    /// A world with `markets` markets of two tokens each: ids `0`, `1`, ...
    pub(crate) fn new(markets: u64) -> Self {
        let registry = Arc::new(AssetRegistry::default());
        let (sender, accepted) = mpsc::channel(1_024);
        let (start, slept) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let asleep = Arc::clone(&slept);
        let clock = move || start.elapsed() + Duration::from_millis(asleep.load(Ordering::SeqCst));
        let world = Self {
            suspension: Arc::new(SuspensionWatch::new(clock)),
            slept,
            registry,
            sink: Arc::default(),
            listener: Arc::default(),
            frames: None,
            rest: Arc::default(),
            network: Arc::new(Network {
                answers: Mutex::default(),
                otherwise: Mutex::new(Answer::Accept),
                dials: Mutex::default(),
                accepted: sender,
                silent: Mutex::default(),
            }),
            resync: Arc::new(ResyncQueue::new(ResyncConfig::default())),
            early_audits: Arc::default(),
            accepted,
        };
        for market in 0..markets {
            world.add_market(market);
        }
        world
    }

    pub(crate) fn add_market(&self, market: u64) {
        let token = |id: u64, outcome: &str| Token {
            token_id: id.to_string().parse().unwrap(),
            outcome: outcome.into(),
        };
        self.registry.upsert(Market {
            question: format!("market {market}?"),
            ..Market::new(
                format!("0x{market:064x}").parse().unwrap(),
                vec![token(market * 2, "Yes"), token(market * 2 + 1, "No")],
            )
        });
    }

    pub(crate) fn expire(&self, market: u64) {
        let condition = condition(&(market * 2).to_string());
        self.registry.expire(&condition.parse().unwrap());
    }

    pub(crate) fn venue(&self) -> Venue {
        Venue {
            url: Uri::from_static("ws://venue.test/ws/market"),
            dialer: self.network.clone(),
            books: self.rest.clone(),
            sink: self.sink.clone(),
            frames: self.frames.clone(),
            lifecycle: self.listener.clone(),
            resync: self.resync.clone(),
            early_audits: self.early_audits.clone(),
            suspension: self.suspension.clone(),
            wire: Arc::default(),
            clock: Arc::new(Later),
        }
    }

    pub(crate) fn asset(&self, id: u64) -> Arc<AssetInfo> {
        let interner = self.registry.interner().read();
        interner.get(&id.to_string()).unwrap().clone()
    }

    pub(crate) fn assets(&self, ids: impl Iterator<Item = u64>) -> Vec<Arc<AssetInfo>> {
        ids.map(|id| self.asset(id)).collect()
    }

    /// The next socket that was accepted.
    pub(crate) async fn accept(&mut self) -> Peer {
        self.accepted.recv().await.unwrap()
    }

    /// Serves every socket from now on, each by the same behaviour.
    pub(crate) fn serve_all(mut self) -> (Served, Arc<Mutex<PeerBehaviour>>) {
        let behaviour = Arc::new(Mutex::new(PeerBehaviour::default()));
        let shared = Arc::clone(&behaviour);
        let subscribed = Subscribed::default();
        let shown = Arc::clone(&subscribed);
        let (_, empty) = mpsc::channel(1);
        let mut accepted = std::mem::replace(&mut self.accepted, empty);
        let server = tokio::spawn(async move {
            let mut peers = tokio::task::JoinSet::new();
            for number in 0.. {
                let Some(mut peer) = accepted.recv().await else {
                    break;
                };
                peer.number = number;
                let (shared, shown) = (Arc::clone(&shared), Arc::clone(&shown));
                peers.spawn(async move {
                    peer.behave_and_show(shared, &shown).await;
                    shown.lock().remove(&number);
                });
            }
        });
        (
            Served {
                world: self,
                subscribed,
                server,
            },
            behaviour,
        )
    }
}

/// A [`SimulatedVenue`] whose sockets are served.
pub(crate) struct Served {
    pub(crate) world: SimulatedVenue,
    pub(crate) subscribed: Subscribed,
    server: tokio::task::JoinHandle<()>,
}

impl std::ops::Deref for Served {
    type Target = SimulatedVenue;
    fn deref(&self) -> &SimulatedVenue {
        &self.world
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Lets paused time pass, in small steps, until something holds.
pub(crate) async fn until(
    what: &str,
    limit: Duration,
    mut holds: impl FnMut() -> bool,
) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    start.elapsed()
}

pub(crate) fn config() -> ConnectionConfig {
    ConnectionConfig::default()
}
