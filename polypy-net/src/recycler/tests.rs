use std::time::Duration;

use parking_lot::Mutex as PlainMutex;

use super::*;
use crate::connection::testing::{Answer, PeerBehaviour, Served, SimulatedVenue, until};
use crate::pool::PoolConfig;
use crate::pool::tests::pool;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

struct Fixture {
    world: Served,
    behaviour: Arc<PlainMutex<PeerBehaviour>>,
    pool: Arc<ConnectionPool>,
    recycler: Arc<ConnectionRecycler>,
}

impl Fixture {
    async fn new(markets: u64, of_pool: PoolConfig, config: RecyclerConfig) -> Self {
        let (world, behaviour) = SimulatedVenue::new(markets).serve_all();
        let pool = pool(&world, of_pool);
        pool.start().await.unwrap();
        let registry = Arc::clone(&world.registry);
        let recycler = ConnectionRecycler::new(config, Arc::clone(&pool), registry);
        recycler.start().await.unwrap();
        let tokens = usize::try_from(markets).unwrap() * 2;
        until("books", MINUTE, || world.sink.books().len() == tokens).await;
        Self {
            world,
            behaviour,
            pool,
            recycler: Arc::new(recycler),
        }
    }

    async fn stop(self) {
        let start = Instant::now();
        self.recycler.stop().await;
        self.pool.stop().await;
        assert!(start.elapsed() < Duration::from_millis(200));
        assert!(self.world.sink.open_feeds().is_empty());
        assert_eq!(
            self.recycler.stats()["active_recycles"],
            serde_json::json!([])
        );
    }
}

fn of(target: usize) -> PoolConfig {
    PoolConfig {
        target,
        ..PoolConfig::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_completed_recycle_is_counted_as_what_it_was() {
    let fixture = Fixture::new(3, of(200), RecyclerConfig::default()).await;
    assert!(fixture.recycler.stats()["success_rate"].is_null());
    let receipt = fixture.recycler.recycle_now(ConnectionId(0)).await.unwrap();
    assert_eq!(receipt.assets, 6);
    assert_eq!(receipt.replacement.as_deref(), Some("conn-1"));
    assert_eq!((receipt.downtime_ms, &receipt.outcome), (0, &Ok(())));
    assert!(receipt.overlap_ms >= 1_000);
    let stats = fixture.recycler.stats();
    assert_eq!(stats["recycles_initiated"], 1);
    assert_eq!(stats["recycles_completed"], 1);
    assert_eq!(stats["markets_migrated"], 6);
    assert_eq!(stats["avg_downtime_ms"], 0.0);
    assert_eq!(stats["by_reason"]["request"], 1);
    assert_eq!(stats["receipts"][0]["connection"], "conn-0");
    assert_eq!(stats["receipts"][0]["outcome"], "completed");
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_recycle_is_counted_and_changes_nothing() {
    let fixture = Fixture::new(1, of(200), RecyclerConfig::default()).await;
    let told = fixture.world.sink.all();
    fixture.world.network.script(&[], Answer::Unreachable);
    let result = fixture.recycler.recycle_now(ConnectionId(0)).await;
    assert_eq!(result, Err(RecycleError::Setback));
    assert_eq!(fixture.world.sink.all(), told);
    let stats = fixture.recycler.stats();
    assert_eq!(stats["recycles_failed"], 1);
    assert_eq!(stats["success_rate"], 0.0);
    assert_eq!(stats["markets_migrated"], 0);
    assert_eq!(fixture.recycler.receipts().len(), 1);
    let outcome = &stats["receipts"][0]["outcome"];
    assert_eq!(*outcome, RecycleError::Setback.to_string());
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ended_markets_left_in_place_are_left_behind_by_a_recycle() {
    let of_pool = PoolConfig {
        unsubscribe_expired: false,
        ..of(200)
    };
    let fixture = Fixture::new(10, of_pool, RecyclerConfig::default()).await;
    fixture.world.expire(0);
    fixture.world.expire(1);
    tokio::time::sleep(3 * MINUTE).await;
    assert_eq!(fixture.recycler.stats()["recycles_initiated"], 0);
    assert_eq!(fixture.pool.stats()["stats"][0]["pollution_ratio"], 0.2);
    fixture.world.expire(2);
    until("recycle", 2 * MINUTE, || {
        fixture.recycler.stats()["recycles_completed"] == 1
    })
    .await;
    let stats = fixture.recycler.stats();
    assert_eq!(stats["by_reason"]["pollution"], 1);
    assert_eq!(stats["markets_migrated"], 14);
    assert_eq!(fixture.pool.connections().len(), 1);
    assert_eq!(fixture.pool.stats()["stats"][0]["total_markets"], 14);
    assert_eq!(fixture.pool.stats()["stats"][0]["pollution_ratio"], 0.0);
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn old_connections_are_replaced_two_at_a_time_and_spread_out() {
    let config = RecyclerConfig {
        age: HOUR,
        ..RecyclerConfig::default()
    };
    let fixture = Fixture::new(10, of(4), config).await;
    let recycler = Arc::clone(&fixture.recycler);
    let watcher = tokio::spawn(async move {
        let mut most = 0;
        loop {
            let active = recycler.stats()["active_recycles"]
                .as_array()
                .unwrap()
                .len();
            most = most.max(active);
            assert!(most <= 2);
            tokio::time::sleep(SECOND / 2).await;
        }
    });
    tokio::time::sleep(59 * MINUTE).await;
    assert_eq!(fixture.recycler.stats()["recycles_initiated"], 0);
    tokio::time::sleep(10 * MINUTE).await;
    assert!(!watcher.is_finished());
    watcher.abort();
    let stats = fixture.recycler.stats();
    assert_eq!(stats["recycles_completed"], 5);
    assert_eq!(stats["by_reason"]["age"], 5);
    assert_eq!(stats["avg_downtime_ms"], 0.0);
    assert_eq!(fixture.world.sink.books().len(), 20);
    assert_eq!(fixture.pool.connections().len(), 5);
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_connection_is_left_alone_and_an_unhealthy_one_is_not() {
    let config = RecyclerConfig {
        age: 1_000 * HOUR,
        ..RecyclerConfig::default()
    };
    let fixture = Fixture::new(2, of(200), config).await;
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!(fixture.recycler.stats()["recycles_initiated"], 0);
    // It loses its socket, and a new one gets no answer: replacing is
    // tried, fails, and is not tried again at each check.
    fixture.behaviour.lock().no_pong = true;
    fixture.world.network.script(&[], Answer::Silence);
    tokio::time::sleep(12 * MINUTE).await;
    let stats = fixture.recycler.stats();
    let tried = stats["by_reason"]["unhealthy"].as_u64().unwrap();
    assert!((2..=3).contains(&tried), "{tried}");
    assert_eq!(stats["recycles_failed"], tried);
    assert_eq!(fixture.pool.connections().len(), 1);
    *fixture.behaviour.lock() = PeerBehaviour::default();
    fixture.world.network.script(&[], Answer::Accept);
    until("books", MINUTE, || fixture.world.sink.books().len() == 4).await;
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn stopping_gives_up_what_is_under_way() {
    let config = RecyclerConfig {
        age: HOUR,
        age_jitter: 0.0,
        ..RecyclerConfig::default()
    };
    let fixture = Fixture::new(2, of(200), config).await;
    // Just before: a book that stays away for long moves to another connection.
    tokio::time::sleep(HOUR - 5 * SECOND).await;
    fixture.behaviour.lock().swallow.extend(["0".to_owned()]);
    *fixture.world.rest.fails.lock() = true;
    until("recycle", HOUR, || {
        fixture.recycler.stats()["active_recycles"] == serde_json::json!(["conn-0"])
    })
    .await;
    fixture.recycler.stop().await;
    fixture.recycler.stop().await;
    assert_eq!(fixture.recycler.state(), ComponentState::Stopped);
    until("undoing", 2 * SECOND, || {
        fixture.pool.connections().len() == 1
    })
    .await;
    assert_eq!(fixture.pool.connections()[0].id(), ConnectionId(0));
    assert_eq!(
        fixture.recycler.stats()["active_recycles"],
        serde_json::json!([])
    );
    assert_eq!(fixture.recycler.stats()["recycles_initiated"], 1);
    fixture.recycler.start().await.unwrap();
    assert!(fixture.recycler.health().healthy);
    fixture.stop().await;
}
