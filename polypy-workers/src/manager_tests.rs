//! Real threads: start, death, restart, overload, stop.
//!
//! Nothing here sleeps to let time pass: what a thread is to do is awaited
//! through [`eventually`], which yields until it has and fails after a minute.

use std::num::NonZeroUsize;
use std::time::Duration;

use polypy_core::{BookState, MarketEvent, Side};

use parking_lot::Mutex;

use super::*;
use crate::testing::{Asked, Harness, LIVE, Truth, assets, stale};

/// Threads, a router that runs, and an open feed.
async fn running(config: WorkersConfig) -> Harness {
    let harness = Harness::start(config).await;
    harness.open(1);
    harness
}

async fn stop(harness: Harness) {
    harness.router.stop().await;
    harness.manager.stop().await;
    assert_eq!(harness.manager.alive_count(), 0);
    assert_eq!(
        harness.manager.life.read(|running| running.threads.len()),
        None
    );
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
    let harness = running(workers(2)).await;
    let mut truths = truths(10);
    harness.queue(1, truths.iter().map(Truth::opening).collect::<Vec<_>>());
    harness.queue(
        1,
        truths
            .iter_mut()
            .map(|truth| truth.change(Side::Bid, "0.49", "3"))
            .collect::<Vec<_>>(),
    );
    // Stopping drains: whatever was accepted is applied.
    harness.router.stop().await;
    for truth in &truths {
        let view = harness.store.book(truth.key(), 100).unwrap();
        assert!(truth.equals(&view));
        assert_eq!(view.state, BookState::Live);
    }
    harness.manager.stop().await;
    assert_eq!(
        harness.store.state(truths[0].key()),
        stale(StaleReason::WorkerDied)
    );
    harness.manager.start().await.unwrap();
    harness.router.start().await.unwrap();
    // Whatever was delivered meanwhile was refused, or lost with the queue.
    assert_eq!(
        harness.store.state(truths[0].key()),
        stale(StaleReason::WorkerDied)
    );
    harness.queue(1, truths.iter().map(Truth::opening).collect::<Vec<_>>());
    let live = || harness.store.counts().live == 20;
    eventually("live again", live).await;
    stop(harness).await;
}

#[tokio::test]
async fn a_failed_worker_is_unhealthy_at_once_and_comes_back_with_its_books_fetched_again() {
    let harness = running(workers(1)).await;
    let mut truths = truths(5);
    let all = |truths: &[Truth]| truths.iter().map(Truth::opening).collect::<Vec<_>>();
    harness.queue(1, all(&truths));
    eventually("live", || harness.store.counts().live == 10).await;

    harness.manager.inject_panic(0);
    harness.queue(1, [truths[0].change(Side::Bid, "0.49", "2")]);
    eventually("unhealthy", || !harness.manager.health().healthy).await;
    for truth in &truths {
        let state = harness.store.state(truth.key());
        assert_eq!(state, stale(StaleReason::WorkerDied));
    }
    // Queued while nobody applies anything: it survives, and lifts nothing.
    harness.queue(1, [truths[0].change(Side::Bid, "0.49", "3")]);
    eventually("healthy", || harness.manager.health().healthy).await;
    eventually("asked", || harness.asked.len() >= 10).await;
    let mut keys: Vec<_> = truths.iter().map(Truth::key).collect();
    keys.sort_unstable();
    let asked = harness.asked.take();
    assert!(asked.iter().all(|(_, why)| *why == StaleReason::WorkerDied));
    assert!(asked.iter().map(|(key, _)| *key).eq(keys));
    for truth in &truths {
        let state = harness.store.state(truth.key());
        assert_eq!(state, stale(StaleReason::WorkerDied));
    }

    harness.queue(1, all(&truths));
    eventually("live again", || harness.store.counts().live == 10).await;
    for truth in &truths {
        assert!(truth.equals(&harness.store.book(truth.key(), 100).unwrap()));
    }
    assert_eq!(harness.manager.stats()["restarts"], 1);
    stop(harness).await;
}

#[tokio::test]
async fn a_worker_that_fails_in_the_midst_of_a_batch_shows_nothing_half_done() {
    let harness = running(workers(1)).await;
    let mut truths = truths(3);
    let opening: Vec<_> = truths[..4].iter().map(Truth::opening).collect();
    harness.queue(1, opening);
    eventually("live", || harness.store.counts().live == 4).await;
    harness.manager.inject_panic(0);
    let changes: Vec<_> = truths
        .iter_mut()
        .map(|truth| truth.change(Side::Bid, "0.49", "3"))
        .chain([unheard_of()])
        .collect();
    harness.queue(1, changes);
    eventually("unhealthy", || !harness.manager.health().healthy).await;
    assert_eq!(
        harness.store.state(truths[0].key()),
        stale(StaleReason::WorkerDied)
    );
    eventually("restarted", || harness.manager.health().healthy).await;
    eventually("asked", || harness.asked.len() > 0).await;
    let asked = harness.asked.take();
    // Those with a book and those whose first events were lost.
    for truth in &truths {
        assert!(asked.iter().any(|(key, _)| *key == truth.key()));
    }
    assert_eq!(harness.depth(), 0);
    harness.queue(1, truths.iter().map(Truth::opening).collect::<Vec<_>>());
    eventually("live again", || harness.store.counts().live == 6).await;
    stop(harness).await;
}

/// The opening book of a token nobody has heard of.
fn unheard_of() -> MarketEvent {
    truths(4)[7].opening()
}

#[tokio::test]
async fn a_worker_that_keeps_failing_stays_down() {
    let mut config = workers(1);
    config.restart_limit = std::num::NonZeroU32::new(2).unwrap();
    let harness = running(config).await;
    let truths = truths(1);
    let fail = || {
        harness.manager.inject_panic(0);
        harness.queue(1, [truths[0].opening()]);
    };
    for restarts in 1..=2u64 {
        fail();
        let stats = || harness.manager.stats()["restarts"] == restarts;
        eventually("restarted", stats).await;
    }
    assert_eq!(harness.manager.given_up_count(), 0);
    fail();
    eventually("given up", || harness.is_given_up()).await;
    assert_eq!(harness.manager.given_up_count(), 1);
    assert!(!harness.manager.health().healthy);
    stop(harness).await;
}

#[tokio::test]
async fn an_overloaded_worker_stays_bounded_marks_what_it_loses_and_recovers() {
    let mut config = workers(1);
    config.queue_events = NonZeroUsize::new(500).unwrap();
    let harness = running(config).await;
    let mut truths = truths(10);
    harness.queue(1, truths.iter().map(Truth::opening).collect::<Vec<_>>());
    eventually("live", || harness.store.counts().live == 20).await;

    // The worker gets nowhere, and ten times what the queue takes arrives.
    let held = harness.hold_books();
    let stands_still = || harness.manager.oldest_heartbeat() > Duration::from_secs(1);
    eventually("a heartbeat that stands still", stands_still).await;
    for step in 0..5_000 {
        let truth = &mut truths[step % 20];
        harness.queue(1, [truth.change(Side::Bid, "0.49", &step.to_string())]);
        assert!(harness.depth() <= 500);
    }
    drop(held);
    let dropped = harness.router.stats()["messages_dropped"].as_u64().unwrap();
    assert!(dropped >= 4_500, "{dropped}");
    for truth in &truths {
        let state = harness.store.state(truth.key());
        assert_eq!(state, stale(StaleReason::Dropped));
    }
    let asked = harness.asked.take();
    assert!(
        truths
            .iter()
            .all(|truth| asked.contains(&(truth.key(), StaleReason::Dropped)))
    );

    eventually("drained", || harness.depth() == 0).await;
    assert_eq!(harness.store.counts().live, 0);
    harness.queue(1, truths.iter().map(Truth::opening).collect::<Vec<_>>());
    eventually("live again", || harness.store.counts().live == 20).await;
    for truth in &truths {
        let view = harness.store.book(truth.key(), 100).unwrap();
        assert!(truth.equals(&view));
        assert_eq!(Some(view.state), LIVE);
    }
    stop(harness).await;
}

#[tokio::test]
async fn a_manager_that_is_dropped_ends_its_threads() {
    let harness = running(workers(2)).await;
    let truths = truths(10);
    let openings: Vec<_> = truths.iter().map(Truth::opening).collect();
    harness.queue(1, openings);
    eventually("live", || harness.store.counts().live == 20).await;
    let store = harness.store.clone();
    drop(harness);
    let dead = |truth| store.state(Truth::key(truth)) == stale(StaleReason::WorkerDied);
    eventually("ended", || truths.iter().all(dead)).await;
}

/// The level of each line of the log, and its text with its fields.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<(tracing::Level, String)>>>);

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Vec::new();
        event.record(
            &mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
                line.push(format!("{field}={value:?}"));
            },
        );
        self.0
            .lock()
            .push((*event.metadata().level(), line.join(" ")));
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn hashes_that_many_books_lose_are_one_warning_until_they_are_back() {
    let bench = Harness::new(crate::testing::one_worker());
    let mut truths = truths(8);
    let open = |truths: &[Truth]| {
        for truth in truths {
            bench.send(1, [truth.opening()]);
        }
    };
    let set = |truths: &mut [Truth], size| {
        for truth in truths {
            truth.min_order_size = size;
        }
    };
    let log = Log::default();
    let mut supervisor = Supervisor {
        shared: Arc::clone(bench.manager.shared()),
        stop: Arc::default(),
        failures: Vec::new(),
        formats_reported: false,
    };
    let mut look = || {
        tracing::subscriber::with_default(log.clone(), || supervisor.report_formats());
        std::mem::take(&mut *log.0.lock())
    };
    bench.open(1);
    open(&truths);
    // A format that nobody knows. Of the first seven it is the books that are in doubt.
    set(&mut truths, "7777");
    open(&truths[..14]);
    assert_eq!(bench.count("formats_unknown"), 7);
    assert_eq!(look(), [], "too few for a line");
    open(&truths[14..]);
    assert_eq!(bench.count("formats_unknown"), 9);
    let lines = look();
    let [(tracing::Level::WARN, line)] = &lines[..] else {
        panic!("{lines:?}");
    };
    for part in ["books=9", "no longer reproduced", "unverified"] {
        assert!(line.contains(part), "{line}");
    }
    assert_eq!(look(), [], "it is said already");
    set(&mut truths, "5");
    for truth in &mut truths {
        bench.send(1, [truth.change(Side::Bid, "0.45", "1")]);
    }
    assert_eq!(bench.count("formats_unknown"), 0);
    let lines = look();
    let [(tracing::Level::INFO, line)] = &lines[..] else {
        panic!("{lines:?}");
    };
    assert!(line.contains("reproduced again"), "{line}");
    assert_eq!(look(), []);
}
