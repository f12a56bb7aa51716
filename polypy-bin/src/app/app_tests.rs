use polypy_core::BookLookup;
use polypy_sim::{Sim, SimConfig, SimHandle};

use super::*;
use crate::clock::SystemClock;

async fn exchange() -> SimHandle {
    let sim = Sim::start(SimConfig::for_tests(), Arc::new(SystemClock)).await;
    sim.unwrap()
}

fn app(sim: &SimHandle) -> PolyPyBuilder {
    PolyPy::builder()
        .num_workers(1)
        .venue(&sim.gamma_url(), &sim.clob_url(), &sim.ws_url())
        .http_port(0)
}

/// Polls until `ready`; the time allowed is longer than anything here takes.
async fn until(what: &str, ready: impl Fn() -> bool) {
    let wait = async {
        while !ready() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), wait).await;
    assert!(waited.is_ok(), "not within a minute: {what}");
}

#[test]
fn default_http_disabled() {
    let app = PolyPy::builder().build().unwrap();
    assert!(!app.config().http.enabled);
    assert_eq!(app.config().http.port, 8080);
    assert!(app.http_server().is_none());
}

#[test]
fn enable_http_configuration() {
    let app = PolyPy::builder()
        .enable_http(true)
        .http_port(9090)
        .build()
        .unwrap();
    assert!(app.config().http.enabled);
    assert_eq!(app.config().http.port, 9090);
    assert!(app.http_server().is_none(), "not made until the start");
    assert_eq!(app.http_addr(), None);
}

#[tokio::test]
async fn http_server_not_created_when_disabled() {
    let sim = exchange().await;
    let app = app(&sim).enable_http(false).build().unwrap();
    app.start().await.unwrap();
    assert!(app.is_running());
    assert!(app.http_server().is_none());
    assert_eq!(app.http_addr(), None);
    app.stop().await;
    sim.stop().await;
}

/// Clients have threads of their own, the venue's sockets and everything else have the
/// others.
#[tokio::test]
async fn clients_are_served_on_the_runtime_that_is_named() {
    let sim = exchange().await;
    let clients = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let tasks = || clients.metrics().num_alive_tasks();
    let app = app(&sim).enable_http(true);
    let app = app.serve_clients_on(clients.handle().clone());
    let app = app.build().unwrap();
    app.start().await.unwrap();
    until("it accepts", || tasks() == 1).await;
    let address = app.http_addr().unwrap();
    let client = tokio::net::TcpStream::connect(address).await.unwrap();
    until("the client is served there", || tasks() == 2).await;
    drop(client);
    app.stop().await;
    until("all has ended", || tasks() == 0).await;
    sim.stop().await;
    clients.shutdown_background();
}

#[test]
fn sections_can_be_asked_for_before_the_start() {
    let app = PolyPy::builder().build().unwrap();
    assert!(!app.is_running());
    assert!(!app.is_healthy());
    let stats = app.stats();
    assert_eq!(stats["running"], false);
    for section in [
        "registry",
        "pool",
        "router",
        "workers",
        "lifecycle",
        "recycler",
        "audit",
        "http",
        "wire",
    ] {
        assert!(stats[section].is_object(), "{section}: {stats}");
    }
    assert_eq!(stats["version"], env!("CARGO_PKG_VERSION"));
    assert!(app.health().components.iter().all(|(_, healthy)| !healthy));
    assert!(app.markets().markets().is_empty());
    assert!(matches!(app.books().book("1", 1), BookLookup::Unknown));
}

#[test]
fn the_builder_refuses_what_the_configuration_refuses() {
    for (builder, key) in [
        (PolyPy::builder().num_workers(0), "workers.count"),
        (
            PolyPy::builder().venue("ftp://a", "http://a", "ws://a"),
            "venue.gamma_url",
        ),
        (
            PolyPy::builder().venue("http://a", "http://a", "http://a"),
            "venue.ws_url",
        ),
        (
            PolyPy::builder().config({
                let mut config = Config::default();
                config.pool.cap = 1;
                config
            }),
            "pool.cap",
        ),
    ] {
        let error = builder.build().expect_err(key);
        assert!(
            matches!(error, BuildError::Value { key: named, .. } if named == key),
            "{error}"
        );
        assert!(error.to_string().starts_with(key));
    }
    assert!(
        PolyPy::builder()
            .num_workers(0)
            .num_workers(2)
            .build()
            .is_ok(),
        "what is said later counts"
    );
}

#[tokio::test]
async fn a_life_from_start_to_stop_and_once_more() {
    let sim = exchange().await;
    let app = app(&sim).enable_http(true).build().unwrap();
    for life in 0..2 {
        app.start().await.unwrap();
        assert!(app.is_running() && app.http_addr().is_some(), "life {life}");
        app.start().await.unwrap();
        until("every book live", || app.progress().is_complete()).await;
        until("healthy", || app.is_healthy()).await;
        assert_eq!(app.stats()["running"], true);
        let markets = app.markets().markets();
        let asset = &markets[0].tokens[0].token_id;
        assert!(matches!(
            app.books().book(asset.as_str(), 5),
            BookLookup::Found(_)
        ));

        app.stop().await;
        assert!(!app.is_running() && !app.is_healthy(), "life {life}");
        assert_eq!(app.http_addr(), None);
        assert!(app.http_server().is_none());
        assert_eq!(app.stats()["running"], false);
        app.stop().await;
    }
    sim.stop().await;
}

#[tokio::test]
async fn a_taken_port_leaves_the_rest_running() {
    let taken = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let sim = exchange().await;
    let port = taken.local_addr().unwrap().port();
    let app = app(&sim).enable_http(true).http_port(port).build().unwrap();
    app.start().await.unwrap();
    assert!(app.is_running());
    assert!(app.http_server().is_none());
    until("every book live", || app.progress().is_complete()).await;
    app.stop().await;
    sim.stop().await;
}

#[tokio::test]
async fn a_port_that_another_one_gives_back_is_had_in_the_end() {
    let taken = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let sim = exchange().await;
    let port = taken.local_addr().unwrap().port();
    let app = app(&sim).enable_http(true).http_port(port).build().unwrap();
    let given_back = async {
        until("it runs", || app.is_running()).await;
        assert_eq!(app.http_addr(), None);
        let why = app.http_failure().unwrap();
        assert!(why.contains("taken by another process"), "{why}");
        drop(taken);
        until("it listens", || app.http_addr().is_some()).await;
        assert_eq!(app.http_addr().unwrap().port(), port);
        assert_eq!(app.http_failure(), None);
        let asked = std::net::TcpStream::connect(("127.0.0.1", port));
        assert!(asked.is_ok(), "{asked:?}");
    };
    app.run(given_back).await.unwrap();
    assert_eq!(app.http_addr(), None);
    sim.stop().await;
}

#[tokio::test]
async fn a_shutdown_during_the_start_is_clean() {
    let sim = exchange().await;
    let app = app(&sim).enable_http(true).build().unwrap();
    app.run(std::future::ready(())).await.unwrap();
    assert!(!app.is_running());
    assert_eq!(app.http_addr(), None);
    // Nothing of it is in the way of a real start.
    app.start().await.unwrap();
    assert!(app.is_running());
    app.stop().await;
    sim.stop().await;
}

#[tokio::test]
async fn run_ends_when_asked() {
    let sim = exchange().await;
    let app = app(&sim).build().unwrap();
    let asked = until("every book live", || app.progress().is_complete());
    app.run(asked).await.unwrap();
    assert!(!app.is_running());
    sim.stop().await;
}

#[tokio::test]
async fn a_venue_that_is_away_is_unhealthy_and_no_error() {
    let sim = exchange().await;
    let app = app(&sim).build().unwrap();
    sim.stop().await;
    app.start().await.unwrap();
    until("a failed discovery", || !app.is_healthy()).await;
    assert!(app.is_running());
    app.stop().await;
}
