//! The HTTP server within the life of the whole program.

use std::time::{Duration, Instant};

use hyper::Method;
use polypy_sim::SimConfig;
use polypy_tests::http::{self, Client};
use polypy_tests::wait;
use polypy_tests::world::{SOON, World, beside, exchange};
use serde_json::Value;

fn quiet() -> SimConfig {
    SimConfig {
        markets: 5,
        ..SimConfig::for_tests()
    }
}

#[tokio::test]
async fn the_http_server_lives_as_long_as_the_program() {
    let world = World::start(quiet(), |builder| builder).await;
    let address = world.http();
    world.all_live(SOON).await;

    let health = http::get(address, "/health").await.unwrap();
    assert_eq!(health.status, 200);
    assert_eq!(health.json()["healthy"], true);
    let stats = http::get(address, "/stats").await.unwrap();
    assert_eq!(stats.status, 200);
    assert_eq!(stats.json()["running"], true);

    world.polypy.stop().await;
    assert!(!world.polypy.is_running());
    assert!(world.polypy.http_server().is_none());
    assert!(
        http::get(address, "/health").await.is_err(),
        "nobody listens any more"
    );
    world.sim.stop().await;
}

#[tokio::test]
async fn health_reflects_the_state_of_the_program() {
    let world = World::start(quiet(), |builder| builder).await;
    world.all_live(SOON).await;
    let health = http::get(world.http(), "/health").await.unwrap();
    assert_eq!(health.status, 200);
    for component in [
        "registry",
        "pool",
        "router",
        "workers",
        "lifecycle",
        "recycler",
    ] {
        assert_eq!(health.json()["components"][component], true, "{component}");
    }
    let stamp = health.json()["timestamp"].as_str().unwrap().to_owned();
    assert!(stamp.ends_with('Z') && stamp.len() == 24, "{stamp}");
    world.stop().await;
}

/// Zero live connections while assets are wanted is not healthy.
#[tokio::test]
async fn losing_the_venue_is_unhealthy_until_it_is_back() {
    let World { sim, polypy } = World::start(quiet(), |builder| builder).await;
    wait::until("healthy", SOON, async || polypy.is_healthy()).await;
    let address = sim.local_addr();
    sim.stop().await;
    wait::until("unhealthy without the venue", SOON, async || {
        !polypy.is_healthy()
    })
    .await;
    let health = polypy.health();
    assert!(health.components.contains(&("pool", false)), "{health:?}");

    let sim = exchange(SimConfig {
        listen: address,
        ..quiet()
    })
    .await;
    wait::until("healthy again", SOON * 2, async || polypy.is_healthy()).await;
    World { sim, polypy }.stop().await;
}

/// Where, which keys, and what stands there.
type Required = (&'static str, &'static [&'static str], fn(&Value) -> bool);

/// The keys that the original program's users read, and what stands under each:
/// they stay as they are.
const REQUIRED: [Required; 9] = [
    ("", &["running"], Value::is_boolean),
    (
        "/registry",
        &["total_markets", "pending", "subscribed", "expired"],
        Value::is_u64,
    ),
    (
        "/pool",
        &["connection_count", "active_connections", "total_capacity"],
        Value::is_u64,
    ),
    (
        "/pool/stats/0",
        &[
            "messages_received",
            "bytes_received",
            "parse_errors",
            "reconnect_count",
            "total_markets",
            "subscribed_markets",
            "expired_markets",
            "age_seconds",
            "uptime",
            "pollution_ratio",
        ],
        Value::is_number,
    ),
    (
        "/router",
        &[
            "messages_routed",
            "messages_dropped",
            "batches_sent",
            "queue_full_events",
            "routing_errors",
            "avg_latency_ms",
        ],
        Value::is_number,
    ),
    (
        "/router/queue_depths",
        &["async_queue", "worker_queue", "worker_0", "worker_1"],
        Value::is_u64,
    ),
    (
        "/workers/worker_stats/0",
        &[
            "messages_processed",
            "updates_applied",
            "snapshots_received",
            "avg_processing_time_us",
            "orderbook_count",
            "memory_usage_mb",
        ],
        Value::is_number,
    ),
    (
        "/recycler",
        &[
            "recycles_initiated",
            "recycles_completed",
            "recycles_failed",
            "markets_migrated",
            "avg_downtime_ms",
        ],
        Value::is_number,
    ),
    (
        "",
        &[
            "registry",
            "pool",
            "router",
            "workers",
            "lifecycle",
            "recycler",
        ],
        Value::is_object,
    ),
];

#[tokio::test]
async fn stats_have_every_section_and_field() {
    let world = World::start(quiet(), |builder| builder).await;
    world.all_live(SOON).await;
    let stats = world.stats().await;
    for (part, fields, is_such) in REQUIRED {
        for field in fields {
            let path = format!("{part}/{field}");
            let value = stats.pointer(&path);
            assert!(value.is_some_and(is_such), "{path} is {value:?}");
        }
    }
    let connection = &stats["pool"]["stats"][0];
    assert_eq!(connection["connection_id"], "conn-0");
    assert_eq!(connection["status"], "connected");
    assert_eq!(connection["is_draining"], false);
    assert_eq!(connection["is_healthy"], true);
    assert_eq!(stats["workers"]["alive_count"], 2);
    assert_eq!(stats["workers"]["is_healthy"], true);
    assert_eq!(stats["lifecycle"]["is_running"], true);
    assert_eq!(stats["lifecycle"]["known_market_count"], 5);
    assert_eq!(
        stats["recycler"].get("success_rate"),
        Some(&Value::Null),
        "of nothing"
    );
    assert_eq!(stats["recycler"]["active_recycles"], serde_json::json!([]));
    assert_eq!(
        stats["registry"]["total_markets"], 10,
        "tokens, as the original program counted them"
    );
    world.stop().await;
}

/// Worker statistics are state: two readers in a row see them, both times.
#[tokio::test]
async fn every_scrape_sees_the_workers_and_they_grow() {
    let world = World::start(quiet(), |builder| builder).await;
    world.all_live(SOON).await;
    let applied = |stats: &Value| -> u64 {
        let workers = stats["workers"]["worker_stats"].as_object().unwrap();
        assert_eq!(workers.len(), 2);
        workers
            .values()
            .map(|worker| worker["updates_applied"].as_u64().unwrap())
            .sum()
    };
    let first = applied(&world.stats().await);
    wait::until("updates_applied grows", SOON, async || {
        applied(&world.stats().await) > first
    })
    .await;
    world.stop().await;
}

/// The middle of many answers is far below ten milliseconds; a single one may
/// meet a busy machine.
#[tokio::test]
async fn both_endpoints_answer_within_ten_milliseconds() {
    let world = World::start(quiet(), |builder| builder).await;
    world.all_live(SOON).await;
    let mut client = Client::connect(world.http()).await.unwrap();
    for path in ["/health", "/stats"] {
        let mut took = Vec::new();
        for _ in 0..101 {
            let began = Instant::now();
            assert_eq!(client.get(path).await.unwrap().status, 200);
            took.push(began.elapsed());
        }
        took.sort();
        assert!(
            took[50] < Duration::from_millis(10),
            "{path}: median {:?}",
            took[50]
        );
    }
    world.stop().await;
}

#[tokio::test]
async fn http_is_disabled_by_default() {
    let sim = exchange(quiet()).await;
    let polypy = beside(&sim).build().unwrap();
    assert!(!polypy.config().http.enabled);
    assert_eq!(polypy.config().http.port, 8080);
    polypy.start().await.unwrap();
    assert!(polypy.is_running());
    assert!(polypy.http_server().is_none());
    assert!(polypy.http_addr().is_none());
    World { sim, polypy }.stop().await;
}

/// A request that is being answered when the stop begins gets its answer; idle
/// connections are closed; new ones are refused.
#[tokio::test]
async fn stopping_closes_idle_connections_and_refuses_new_ones() {
    let world = World::start(quiet(), |builder| builder).await;
    let address = world.http();
    let mut idle = Client::connect(address).await.unwrap();
    assert!(idle.get("/stats").await.is_ok());
    let began = Instant::now();
    world.polypy.stop().await;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "an idle connection held the stop up"
    );
    assert!(
        idle.get("/health").await.is_err(),
        "the idle connection is closed"
    );
    assert!(
        http::get(address, "/health").await.is_err(),
        "no new connection"
    );
    world.sim.stop().await;
}

#[tokio::test]
async fn a_second_instance_on_the_same_port_runs_on_without_http() {
    let first = World::start(quiet(), |builder| builder).await;
    let port = first.http().port();
    let sim = exchange(quiet()).await;
    let second = beside(&sim)
        .enable_http(true)
        .http_port(port)
        .build()
        .unwrap();
    second.start().await.unwrap();

    assert!(second.is_running());
    assert!(second.http_server().is_none(), "the port is taken");
    wait::until("the second one is healthy", SOON, async || {
        second.stats()["pool"]["active_connections"].as_u64() > Some(0) && second.is_healthy()
    })
    .await;
    assert_eq!(second.stats()["running"], true);
    assert_eq!(
        http::get(first.http(), "/health").await.unwrap().status,
        200
    );

    World {
        sim,
        polypy: second,
    }
    .stop()
    .await;
    first.stop().await;
}

#[tokio::test]
async fn health_and_stats_can_be_asked_before_start_and_after_stop() {
    let sim = exchange(quiet()).await;
    let polypy = beside(&sim).enable_http(true).http_port(0).build().unwrap();
    for moment in ["before start", "after stop"] {
        assert!(!polypy.is_running(), "{moment}");
        assert!(!polypy.is_healthy(), "{moment}");
        let stats = polypy.stats();
        assert_eq!(stats["running"], false, "{moment}");
        assert!(stats["workers"].is_object(), "{moment}");
        if moment == "before start" {
            polypy.start().await.unwrap();
            polypy.stop().await;
        }
    }
    sim.stop().await;
}

#[tokio::test]
async fn the_program_lives_the_same_life_with_and_without_http() {
    for enabled in [false, true] {
        let sim = exchange(quiet()).await;
        let polypy = beside(&sim)
            .enable_http(enabled)
            .http_port(0)
            .build()
            .unwrap();
        for _life in 0..2 {
            polypy.start().await.unwrap();
            polypy.start().await.unwrap();
            assert_eq!(polypy.http_addr().is_some(), enabled);
            wait::until("healthy", SOON, async || polypy.is_healthy()).await;
            assert_eq!(polypy.stats()["workers"]["is_healthy"], true);
            polypy.stop().await;
            polypy.stop().await;
            assert!(!polypy.is_running());
        }
        World { sim, polypy }.sim.stop().await;
    }
}

#[tokio::test]
async fn wrong_requests_get_json_that_names_them() {
    let world = World::start(quiet(), |builder| builder).await;
    world.all_live(SOON).await;
    let address = world.http();
    let asset = world.sim.assets()[0].to_string();
    for (path, status) in [
        ("/nothing", 404),
        ("/orderbook/1", 404),
        ("/orderbook/x", 400),
        (&*format!("/orderbook/{asset}?depth=abc"), 400),
        (&*format!("/orderbook/{asset}?depth=-1"), 400),
        (&*format!("/orderbook/{asset}?depth=3"), 200),
    ] {
        let answer = http::get(address, path).await.unwrap();
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.json()["error"].is_string(), status != 200, "{path}");
    }
    let refused = http::ask(address, Method::POST, "/health").await.unwrap();
    assert_eq!(refused.status, 405);
    assert_eq!(refused.headers["allow"], "GET, HEAD, OPTIONS");
    let head = http::ask(address, Method::HEAD, "/stats").await.unwrap();
    assert_eq!(head.status, 200);
    assert!(head.body.is_empty());

    let markets = http::get(address, "/markets").await.unwrap().json();
    assert_eq!(markets["markets"].as_array().unwrap().len(), 5);
    world.stop().await;
}
