//! Two connections for each token.

use std::num::NonZeroUsize;
use std::time::Duration;

use parking_lot::Mutex;
use polypy_core::StatsSource;
use tokio::sync::broadcast;
use tokio::time::Instant;

use super::tests::pool;
use super::*;
use crate::connection::testing::{Peer, PeerBehaviour, SimulatedVenue, until};
use crate::recycler::{ConnectionRecycler, RecyclerConfig};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn twofold(target: usize) -> PoolConfig {
    PoolConfig {
        target,
        replicas: NonZeroUsize::new(2).unwrap(),
        ..PoolConfig::default()
    }
}

/// Books of which so many open feeds have a whole copy.
fn carried_by(world: &SimulatedVenue, count: usize) -> usize {
    let copies = world.sink.keepers();
    copies.values().filter(|feeds| feeds.len() == count).count()
}

/// Sees at every moment that each of so many books is kept by a feed, and counted once.
fn watch(world: &SimulatedVenue, assets: usize) -> tokio::task::JoinHandle<()> {
    let sink = Arc::clone(&world.sink);
    let registry = Arc::clone(&world.registry);
    tokio::spawn(async move {
        loop {
            assert_eq!(sink.books().len(), assets, "no feed kept a book");
            let (_, subscribed, _) = registry.counts();
            assert_eq!(subscribed, assets);
            tokio::time::sleep(Duration::from_millis(7)).await;
        }
    })
}

#[tokio::test(start_paused = true)]
async fn every_token_is_on_two_connections_and_counts_once() {
    let (world, _behaviour) = SimulatedVenue::new(4).serve_all();
    let pool = pool(&world, twofold(4));
    pool.start().await.unwrap();
    until("both", 3 * SECOND, || carried_by(&world, 2) == 8).await;
    assert_eq!(pool.connections().len(), 4);
    let (_, subscribed, _) = world.registry.counts();
    assert_eq!(subscribed, 8);
    let stats = pool.stats();
    assert_eq!(stats["replicas"]["per_token"], 2);
    assert_eq!(stats["replicas"]["pairs"].as_array().unwrap().len(), 2);
    let loads = stats["stats"].as_array().unwrap().iter();
    let held: u64 = loads
        .map(|stats| stats["subscribed_markets"].as_u64().unwrap())
        .sum();
    assert_eq!(held, 8);
    for connection in stats["stats"].as_array().unwrap() {
        assert_eq!(connection["total_markets"], 4);
    }
    // What comes and goes does so on both.
    world.expire(0);
    world.add_market(10);
    until("the new one", 2 * SECOND, || carried_by(&world, 2) == 10).await;
    for connection in pool.connections() {
        let json = connection.json(Default::default());
        assert_eq!(json["total_markets"], 4);
    }
    // A connection that carries nothing takes the other of its pair with it.
    for market in [1, 2, 3, 10] {
        world.expire(market);
    }
    until("all closed", SECOND, || pool.connections().is_empty()).await;
    assert_eq!(pool.stats()["replicas"]["pairs"], serde_json::json!([]));
    pool.stop().await;
    assert!(world.sink.open_feeds().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_connection_is_all_there_is_by_default() {
    let (world, _behaviour) = SimulatedVenue::new(2).serve_all();
    let pool = pool(&world, PoolConfig::default());
    pool.start().await.unwrap();
    until("books", SECOND, || carried_by(&world, 1) == 4).await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(pool.connections().len(), 1);
    assert_eq!(pool.stats()["replicas"]["per_token"], 1);
    pool.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_pair_is_replaced_one_connection_at_a_time_and_stays_a_pair() {
    let (world, behaviour) = SimulatedVenue::new(4).serve_all();
    let pool = pool(&world, twofold(20));
    pool.start().await.unwrap();
    until("both", 3 * SECOND, || carried_by(&world, 2) == 8).await;
    let watcher = watch(&world, 8);
    for round in 0..4 {
        let ids: Vec<_> = pool.connections().iter().map(|view| view.id()).collect();
        // Both ask; the second one waits for the first.
        let began = Instant::now();
        let (first, second) = tokio::join!(pool.replace(ids[0]), pool.replace(ids[1]));
        let first = first.unwrap();
        assert_eq!(first.downtime, Duration::ZERO);
        let second = second.unwrap();
        assert!(began.elapsed() >= first.took + second.took, "round {round}");
        until("end", SECOND, || pool.connections().len() == 2).await;
        assert_eq!(carried_by(&world, 2), 8);
        let (_, subscribed, _) = world.registry.counts();
        assert_eq!(subscribed, 8);
        assert_eq!(
            pool.stats()["replicas"]["pairs"].as_array().unwrap().len(),
            1
        );
    }
    // And what comes later goes to both.
    world.add_market(9);
    assert!(!watcher.is_finished(), "the watcher failed");
    watcher.abort();
    until("the new one", 2 * SECOND, || carried_by(&world, 2) == 10).await;
    // One that cannot be replaced leaves the pair as it was.
    behaviour.lock().stalled = true;
    let id = pool.connections()[1].id();
    let abandoned = tokio::time::timeout(5 * SECOND, pool.replace(id)).await;
    assert!(abandoned.is_err());
    until("cleaning up", 2 * SECOND, || pool.connections().len() == 2).await;
    assert_eq!(carried_by(&world, 2), 10);
    pool.stop().await;
    assert!(world.sink.open_feeds().is_empty());
}

/// A peer that answers, and says what the venue announces while it speaks.
fn serve(
    mut peer: Peer,
    speaks: Arc<Mutex<bool>>,
    mut news: broadcast::Receiver<String>,
) -> tokio::task::JoinHandle<()> {
    let behaviour = PeerBehaviour::default();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                text = peer.frame() => match text {
                    Some(text) => peer.answer(&text, &behaviour).await,
                    None => return,
                },
                said = news.recv() => {
                    let Ok(said) = said else { return };
                    if *speaks.lock() {
                        peer.say(said).await;
                    }
                }
            }
        }
    })
}

/// The venue's change number `n` of asset 0.
fn change(n: u64) -> String {
    format!(
        r#"{{"market":"0x{:064x}","price_changes":[{{"asset_id":"0","price":"0.41","size":"{n}","side":"BUY","hash":"{:040x}","best_bid":"0.41","best_ask":"0.6"}}],"timestamp":"{}","event_type":"price_change"}}"#,
        0,
        n + 2,
        1_780_000_000_001 + n,
    )
}

struct Pair {
    world: SimulatedVenue,
    pool: Arc<ConnectionPool>,
    recycler: ConnectionRecycler,
    news: broadcast::Sender<String>,
    said: u64,
    speaks: Vec<Arc<Mutex<bool>>>,
    peers: Vec<tokio::task::JoinHandle<()>>,
}

impl Pair {
    async fn new() -> Self {
        let world = SimulatedVenue::new(1);
        let pool = pool(&world, twofold(8));
        pool.start().await.unwrap();
        let (config, registry) = (RecyclerConfig::default(), Arc::clone(&world.registry));
        let recycler = ConnectionRecycler::new(config, Arc::clone(&pool), registry);
        recycler.start().await.unwrap();
        let mut pair = Self {
            world,
            pool,
            recycler,
            news: broadcast::channel(1_000).0,
            said: 0,
            speaks: Vec::new(),
            peers: Vec::new(),
        };
        for _ in 0..2 {
            pair.accept().await;
        }
        let world = &pair.world;
        until("both", 3 * SECOND, || carried_by(world, 2) == 2).await;
        pair
    }

    async fn accept(&mut self) {
        let peer = self.world.accept().await;
        let speaks = Arc::new(Mutex::new(true));
        self.speaks.push(Arc::clone(&speaks));
        self.peers.push(serve(peer, speaks, self.news.subscribe()));
    }

    /// Ten changes a second.
    async fn flow(&mut self, lasting: Duration) {
        for _ in 0..lasting.as_millis() / 100 {
            self.said += 1;
            self.news.send(change(self.said)).unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn stop(self) {
        self.recycler.stop().await;
        self.pool.stop().await;
        assert!(self.world.sink.open_feeds().is_empty());
        for peer in self.peers {
            peer.abort();
        }
    }
}

/// A figure of both connections of all pairs together.
fn both(stats: &serde_json::Value, name: &str) -> u64 {
    let total = &stats["replicas"]["total"];
    ["first_connection", "second_connection"]
        .iter()
        .map(|connection| total[connection][name].as_u64().unwrap())
        .sum()
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_goes_silent_while_its_replica_speaks_is_replaced() {
    let mut pair = Pair::new().await;
    pair.flow(30 * SECOND).await;
    let stats = pair.pool.stats();
    assert_eq!(stats["replicas"]["lagging_found"], 0);
    let first = both(&stats, "first");
    assert_eq!(first, 300);
    *pair.speaks[0].lock() = false;
    let watcher = watch(&pair.world, 2);
    let silent = Instant::now();
    while pair.recycler.stats()["by_reason"]["lagging"] != 1 {
        assert!(silent.elapsed() < 26 * SECOND);
        pair.flow(SECOND).await;
    }
    assert_eq!(pair.pool.connections().len(), 3);
    pair.accept().await;
    let (pool, stats) = (Arc::clone(&pair.pool), pair.recycler.stats());
    assert_eq!(stats["active_recycles"].as_array().unwrap().len(), 1);
    pair.flow(MINUTE).await;
    assert_eq!(pool.connections().len(), 2);
    let stats = pair.recycler.stats();
    assert_eq!(stats["recycles_completed"], 1, "{stats}");
    assert_eq!(stats["receipts"][0]["reason"], "lagging");
    assert_eq!(pool.stats()["replicas"]["lagging_found"], 1);
    let only = both(&pool.stats(), "only");
    assert!(only >= 100, "what the silent one did not bring: {only}");
    assert!(!watcher.is_finished(), "the watcher failed");
    watcher.abort();
    pair.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_socket_is_covered_by_its_replica() {
    let mut pair = Pair::new().await;
    pair.peers[1].abort();
    let watcher = watch(&pair.world, 2);
    tokio::time::sleep(SECOND / 10).await;
    assert_eq!(carried_by(&pair.world, 1), 2);
    pair.accept().await;
    let world = &pair.world;
    until("both", 10 * SECOND, || carried_by(world, 2) == 2).await;
    let receipts = pair.pool.reconnects();
    assert_eq!(receipts.len(), 1);
    assert_eq!((receipts[0].books, receipts[0].covered), (2, 2));
    let saved = pair.pool.stats()["reconnects"]["covered_book_ms"].as_u64();
    assert_eq!(saved, Some(2 * receipts[0].downtime_ms));
    assert!(!watcher.is_finished(), "the watcher failed");
    watcher.abort();
    pair.stop().await;
}
