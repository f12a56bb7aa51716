//! Clients of the streams, in this process: the hub on its own thread, and a thread that
//! reads for all of them.
//!
//! Each client follows every change of every book of a corpus. They read as they do behind
//! a door: from their outbox, some bytes at once.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use polypy_api::{
    Batch, Channel, Channels, Client, Door, Event, Filter, Item, StreamConfig, StreamHub, Streams,
};
use polypy_core::{
    AssetInfo, AssetKey, CatalogueSource, ChangeSink, ChangeSource, Clock, Component as _, Market,
    Selector, Timestamp, TokenInfo,
};
use tokio::runtime::{Builder, Runtime};

use crate::clock::wall_millis;
use crate::corpus::Corpus;

/// Bytes that a client takes at once, as a door does.
const BATCH: usize = 64 << 10;

/// The hub, before it has clients.
pub struct Hub {
    hub: StreamHub,
    runtime: Runtime,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl Hub {
    /// A hub of one worker, for so many clients.
    ///
    /// # Panics
    /// If no runtime can be built.
    pub fn new(clients: usize) -> Self {
        let config = StreamConfig {
            max_clients: clients.max(1),
            ..StreamConfig::default()
        };
        Self {
            hub: StreamHub::new(config, 1, "polypy-benches"),
            runtime: runtime(),
        }
    }

    /// Where the worker writes.
    pub fn sink(&self) -> Arc<dyn ChangeSink> {
        self.hub.sink()
    }

    /// Starts the hub and opens the clients; returns once each of them has every book.
    ///
    /// # Panics
    /// If the hub does not start, or refuses a client.
    pub fn listen(
        self,
        corpus: &Corpus,
        changes: Arc<dyn ChangeSource>,
        clients: usize,
    ) -> Listeners {
        let books = corpus.books().map(|(info, _)| Arc::new(info.clone()));
        let catalogue = Arc::new(Books(books.collect()));
        self.hub
            .connect(changes, catalogue, Arc::new(Wall), Arc::default());
        self.runtime
            .block_on(self.hub.start())
            .expect("the hub starts");
        let streams = self.hub.streams();
        let (asks, asked) = sync_channel(1);
        let (tells, told) = sync_channel(1);
        let reader = std::thread::Builder::new()
            .name("listeners".to_owned())
            .spawn(move || runtime().block_on(read(&streams, clients, &asked, &tells)))
            .expect("a thread can be started");
        told.recv().expect("every client is served");
        Listeners {
            hub: self,
            asks,
            told,
            reader: OnceLock::from(reader),
        }
    }
}

/// Clients that follow everything. Dropping them ends the hub, too.
#[derive(Debug)]
pub struct Listeners {
    hub: Hub,
    asks: SyncSender<usize>,
    told: Receiver<()>,
    reader: OnceLock<JoinHandle<()>>,
}

impl Listeners {
    /// Returns once each client has been told of so many levels more.
    ///
    /// # Panics
    /// If a client missed something, or its stream ended.
    pub fn read(&self, levels: usize) {
        self.asks.send(levels).expect("the reader runs");
        self.told.recv().expect("every client is told of all");
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        let (nobody, _) = sync_channel(1);
        self.asks = nobody;
        if let Some(reader) = self.reader.take() {
            let ended = reader.join();
            assert!(ended.is_ok() || std::thread::panicking(), "a client failed");
        }
        self.hub.runtime.block_on(self.hub.hub.stop());
    }
}

/// Opens the clients, and reads for all of them when asked to.
async fn read(streams: &Streams, clients: usize, asked: &Receiver<usize>, tells: &SyncSender<()>) {
    let mut open = Vec::new();
    for _ in 0..clients {
        let client = streams.open(Door::WebSocket).expect("there is room");
        let books = Filter::everything(Channels::NONE.with(Channel::Book));
        let subscribed = client.subscribe(0, books, None).await;
        subscribed.expect("the books are known");
        until_ready(&client).await;
        open.push(client);
    }
    if tells.send(()).is_err() {
        return;
    }
    while let Ok(levels) = asked.recv() {
        for client in &open {
            follow(client, levels).await;
        }
        if tells.send(()).is_err() {
            return;
        }
    }
}

async fn until_ready(client: &Client) {
    loop {
        let events = next(client).await;
        if events
            .iter()
            .any(|item| matches!(item.message.event(), Event::Ready(_)))
        {
            return;
        }
    }
}

/// Reads until so many levels were told.
async fn follow(client: &Client, levels: usize) {
    let mut left = levels;
    while left > 0 {
        for item in next(client).await {
            match item.message.event() {
                Event::Delta(delta) => left -= delta.changes.len(),
                event => assert!(!matches!(event, Event::Gap(_)), "missed: {event:?}"),
            }
        }
    }
}

async fn next(client: &Client) -> Vec<Item> {
    let batch = client.next(BATCH).await;
    assert!(matches!(batch, Batch::Messages(_)), "ended: {batch:?}");
    match batch {
        Batch::Messages(items) => items,
        Batch::End(_) => Vec::new(),
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime can be built")
}

/// The tokens of a corpus. Their markets have no names.
struct Books(Vec<Arc<AssetInfo>>);

impl CatalogueSource for Books {
    fn resolve(&self, selector: &Selector) -> Vec<AssetKey> {
        match selector {
            Selector::Everything => self.0.iter().map(|info| info.key).collect(),
            _ => Vec::new(),
        }
    }

    fn token(&self, asset: AssetKey) -> Option<TokenInfo> {
        let info = self.0.iter().find(|info| info.key == asset)?;
        Some(TokenInfo {
            info: Arc::clone(info),
            outcome: None,
            winner: None,
        })
    }

    fn market(&self, _asset: AssetKey) -> Option<Arc<Market>> {
        None
    }
}

struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(wall_millis())
    }
}
