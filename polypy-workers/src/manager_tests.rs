//! Real threads: start, death, restart, overload, stop.
//!
//! Nothing here sleeps to let time pass: what a thread is to do is awaited
//! through [`eventually`], which yields until it has and fails after a minute.

use std::num::NonZeroUsize;
use std::time::Duration;

use polypy_core::{BookState, EventSink, FeedId, MarketEvent, Side};

use super::*;
use crate::router::MessageRouter;
use crate::testing::{Asked, LIVE, Truth, assets, stale};

struct Running {
    manager: WorkerManager,
    router: MessageRouter,
    store: BookStore,
    asked: Arc<Asked>,
}

async fn running(config: WorkersConfig) -> Running {
    let asked = Arc::new(Asked::default());
    let manager = WorkerManager::new(config, Arc::clone(&asked) as Arc<dyn ResyncSink>);
    let router = MessageRouter::new(&manager);
    manager.start().await.unwrap();
    router.start().await.unwrap();
    router.feed_opened(FeedId(1));
    Running {
        store: manager.store(),
        manager,
        router,
        asked,
    }
}

impl Running {
    fn send(&self, events: impl Into<Vec<MarketEvent>>) {
        self.router.deliver(FeedId(1), &mut events.into());
    }

    fn healthy(&self) -> bool {
        self.manager.health().healthy
    }

    async fn stop(self) {
        self.router.stop().await;
        self.manager.stop().await;
        assert_eq!(self.manager.alive_count(), 0);
        assert!(self.manager.crew.threads.lock().is_empty());
    }
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "never {what}");
        tokio::task::yield_now().await;
    }
}

fn workers(count: usize) -> WorkersConfig {
    WorkersConfig {
        count: NonZeroUsize::new(count).unwrap(),
        // By its thread, which is what is tested here.
        direct_events: 0,
        restart_delay: Duration::from_millis(20),
        ..WorkersConfig::default()
    }
}

/// Two tokens a market would have; each of a market of its own, as its changes
/// come alone.
fn truths(markets: usize) -> Vec<Truth> {
    let tokens = assets(2 * markets);
    tokens.iter().step_by(2).map(Truth::new).collect()
}

#[tokio::test]
async fn health_and_statistics_answer_before_start_and_after_stop() {
    let asked: Arc<dyn ResyncSink> = Arc::new(Asked::default());
    let manager = WorkerManager::new(workers(2), asked);
    assert!(!manager.health().healthy);
    assert_eq!(manager.stats()["alive_count"], 0);
    assert_eq!(manager.state(), ComponentState::Stopped);
    manager.start().await.unwrap();
    manager.start().await.unwrap();
    assert!(manager.health().healthy);
    let stats = manager.stats();
    assert_eq!(stats["alive_count"], 2);
    assert_eq!(stats["is_healthy"], true);
    for field in [
        "messages_processed",
        "updates_applied",
        "snapshots_received",
        "avg_processing_time_us",
        "orderbook_count",
        "memory_usage_mb",
    ] {
        assert!(stats["worker_stats"]["1"][field].is_number(), "{field}");
    }
    manager.stop().await;
    manager.stop().await;
    assert!(!manager.health().healthy);
    assert_eq!(manager.stats()["alive_count"], 0);
}

#[tokio::test]
async fn books_are_kept_by_threads_and_again_after_a_restart_of_the_whole() {
    let running = running(workers(2)).await;
    let mut truths = truths(10);
    running.send(truths.iter().map(Truth::opening).collect::<Vec<_>>());
    running.send(
        truths
            .iter_mut()
            .map(|truth| truth.change(Side::Bid, "0.49", "3"))
            .collect::<Vec<_>>(),
    );
    // Stopping drains: whatever was accepted is applied.
    running.router.stop().await;
    for truth in &truths {
        let view = running.store.book(truth.key(), 100).unwrap();
        assert!(truth.equals(&view));
        assert_eq!(view.state, BookState::Live);
    }
    running.manager.stop().await;
    assert_eq!(
        running.store.state(truths[0].key()),
        stale(StaleReason::WorkerDied)
    );
    running.manager.start().await.unwrap();
    running.router.start().await.unwrap();
    running.send(truths.iter().map(Truth::opening).collect::<Vec<_>>());
    let live = || running.store.counts().live == 20;
    eventually("live again", live).await;
    running.stop().await;
}

#[tokio::test]
async fn a_dead_worker_is_unhealthy_at_once_and_comes_back_with_its_books_fetched_anew() {
    let running = running(workers(1)).await;
    let mut truths = truths(5);
    let all = |truths: &[Truth]| truths.iter().map(Truth::opening).collect::<Vec<_>>();
    running.send(all(&truths));
    eventually("live", || running.store.counts().live == 10).await;

    running.manager.inject_panic(0);
    eventually("unhealthy", || !running.healthy()).await;
    for truth in &truths {
        let state = running.store.state(truth.key());
        assert_eq!(state, stale(StaleReason::WorkerDied));
    }
    // Queued while nobody is there: it survives, and lifts nothing.
    running.send([truths[0].change(Side::Bid, "0.49", "3")]);
    eventually("healthy", || running.healthy()).await;
    eventually("asked", || running.asked.0.lock().len() >= 10).await;
    let mut keys: Vec<_> = truths.iter().map(Truth::key).collect();
    keys.sort_unstable();
    let asked = running.asked.take();
    assert!(asked.iter().all(|(_, why)| *why == StaleReason::WorkerDied));
    assert!(asked.iter().map(|(key, _)| *key).eq(keys));
    for truth in &truths {
        let state = running.store.state(truth.key());
        assert_eq!(state, stale(StaleReason::WorkerDied));
    }

    running.send(all(&truths));
    eventually("live again", || running.store.counts().live == 10).await;
    for truth in &truths {
        assert!(truth.equals(&running.store.book(truth.key(), 100).unwrap()));
    }
    assert_eq!(running.manager.stats()["restarts"], 1);
    running.stop().await;
}

#[tokio::test]
async fn a_worker_that_dies_in_the_midst_of_a_batch_shows_nothing_half_done() {
    let running = running(workers(1)).await;
    let mut truths = truths(3);
    let opening: Vec<_> = truths[..4].iter().map(Truth::opening).collect();
    running.send(opening);
    eventually("live", || running.store.counts().live == 4).await;
    // Held here, the worker can only take the batch, and die in it.
    let held = running.manager.shared().workers[0].partition.lock();
    let changes: Vec<_> = truths
        .iter_mut()
        .map(|truth| truth.change(Side::Bid, "0.49", "3"))
        .chain([unheard_of()])
        .collect();
    running.send(changes);
    running.manager.inject_panic(0);
    drop(held);
    eventually("unhealthy", || !running.healthy()).await;
    assert_eq!(
        running.store.state(truths[0].key()),
        stale(StaleReason::WorkerDied)
    );
    eventually("restarted", || running.healthy()).await;
    eventually("asked", || !running.asked.0.lock().is_empty()).await;
    let asked = running.asked.take();
    // Those with a book and those whose first events were lost.
    for truth in &truths {
        assert!(asked.iter().any(|(key, _)| *key == truth.key()));
    }
    assert_eq!(running.manager.shared().workers[0].lane.depth(), 0);
    running.send(truths.iter().map(Truth::opening).collect::<Vec<_>>());
    eventually("live again", || running.store.counts().live == 6).await;
    running.stop().await;
}

/// The opening book of a token nobody has heard of.
fn unheard_of() -> MarketEvent {
    truths(4)[7].opening()
}

#[tokio::test]
async fn a_worker_that_keeps_dying_stays_down() {
    let mut config = workers(1);
    config.restart_limit = std::num::NonZeroU32::new(2).unwrap();
    let running = running(config).await;
    for restarts in 1..=2u64 {
        running.manager.inject_panic(0);
        let stats = || running.manager.stats()["restarts"] == restarts;
        eventually("restarted", stats).await;
    }
    running.manager.inject_panic(0);
    let lane = &running.manager.shared().workers[0].lane;
    eventually("given up", || lane.is_given_up()).await;
    assert!(!running.healthy());
    running.stop().await;
}

#[tokio::test]
async fn an_overloaded_worker_stays_bounded_marks_what_it_loses_and_recovers() {
    let mut config = workers(1);
    config.queue_events = NonZeroUsize::new(500).unwrap();
    let running = running(config).await;
    let mut truths = truths(10);
    running.send(truths.iter().map(Truth::opening).collect::<Vec<_>>());
    eventually("live", || running.store.counts().live == 20).await;

    // The worker gets nowhere, and ten times what the queue takes arrives.
    let lane = &running.manager.shared().workers[0].lane;
    let held = running.manager.shared().workers[0].partition.lock();
    for step in 0..5_000 {
        let truth = &mut truths[step % 20];
        running.send([truth.change(Side::Bid, "0.49", &step.to_string())]);
        assert!(lane.depth() <= 500);
    }
    drop(held);
    let dropped = running.router.stats()["messages_dropped"].as_u64().unwrap();
    assert!(dropped >= 4_500, "{dropped}");
    for truth in &truths {
        let state = running.store.state(truth.key());
        assert_eq!(state, stale(StaleReason::Dropped));
    }
    let asked = running.asked.take();
    assert!(
        truths
            .iter()
            .all(|truth| asked.contains(&(truth.key(), StaleReason::Dropped)))
    );

    eventually("drained", || lane.depth() == 0).await;
    assert_eq!(running.store.counts().live, 0);
    running.send(truths.iter().map(Truth::opening).collect::<Vec<_>>());
    eventually("live again", || running.store.counts().live == 20).await;
    for truth in &truths {
        let view = running.store.book(truth.key(), 100).unwrap();
        assert!(truth.equals(&view));
        assert_eq!(Some(view.state), LIVE);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_manager_that_is_dropped_ends_its_threads() {
    let running = running(workers(2)).await;
    let shared = Arc::clone(running.manager.shared());
    drop(running);
    eventually("ended", || shared.alive() == 0).await;
}
