//! What the administration listener refuses because of how things stand: 409, with the
//! reason, and nothing is changed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use hyper::Method;
use polypy::config::Config;
use polypy_core::{AssetId, Component as _};
use polypy_sim::{Fault, FaultKind, SimConfig};
use polypy_tests::http::{Answer, ask_with};
use polypy_tests::wait;
use polypy_tests::world::{SOON, World, beside, exchange};

const TOKEN: &str = "a-token-to-administer-with";

/// Written once: one that is being written again is empty for a moment.
static TOKEN_FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("administration-token");
    std::fs::write(&file, TOKEN).expect("a file");
    file
});

fn configured(tune: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    config.admin.listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    config.admin.token_file = Some(TOKEN_FILE.clone());
    config.http.enabled = true;
    config.http.port = 0;
    tune(&mut config);
    config
}

async fn administer(world: &World, method: Method, path: &str) -> Answer {
    let address = world.polypy.admin_addr().expect("it listens");
    let token = format!("Bearer {TOKEN}");
    let headers = [("authorization", token.as_str())];
    let answer = ask_with(address, method, path, &headers).await;
    answer.expect("an answer")
}

/// What a conflict says.
async fn conflict(world: &World, method: Method, path: &str) -> (String, Option<String>) {
    let answer = administer(world, method, path).await;
    let body = answer.json();
    assert_eq!(answer.status, 409, "{path}: {body}");
    assert_eq!(body["status"], 409);
    let retry = answer.headers.get("retry-after");
    let retry = retry.map(|it| it.to_str().expect("text").to_owned());
    (body["error"].as_str().expect("a reason").to_owned(), retry)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_another_program_keeps_is_not_changed_here() {
    let config = configured(|_| {});
    let world = World::configured(SimConfig::for_tests(), config).await;
    for method in [Method::GET, Method::PUT] {
        let (why, _) = conflict(&world, method, "/log-level").await;
        assert!(why.contains("program that embeds this one"), "{why}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn books_are_fetched_again_of_subscribed_tokens_alone() {
    let sim = exchange(SimConfig::for_tests()).await;
    let unlisted = sim.add_fault(Fault::new(FaultKind::Gamma5xx));
    let token: AssetId = sim.assets().into_iter().next().expect("a token");
    let builder = beside(&sim).config(configured(|_| {}));
    let builder = builder.venue(&sim.gamma_url(), &sim.clob_url(), &sim.ws_url());
    let polypy = builder.build().expect("the settings are usable");
    polypy.start().await.expect("the program starts");
    let world = World { sim, polypy };
    // Markets that are found now find no pool that would carry them.
    world.polypy.pool().stop().await;
    assert!(world.sim.remove_fault(unlisted));
    let path = format!("/tokens/{token}/resync");

    wait::until("the token is known", SOON, async || {
        administer(&world, Method::POST, &path).await.status != 404
    })
    .await;
    let (why, _) = conflict(&world, Method::POST, &path).await;
    assert!(why.contains("waits for a connection"), "{why}");

    world.polypy.pool().start().await.expect("it starts again");
    world.all_live(SOON).await;
    let ask = async || {
        let answer = administer(&world, Method::POST, &path).await;
        assert_eq!(answer.status, 202, "{:?}", answer.json());
        answer.json()["resync"].clone()
    };
    assert_eq!(ask().await, "queued");
    // Once the first is under way the next one has to wait, and the one after it finds it.
    wait::until("one waits already", SOON, async || {
        ask().await == "already_waiting"
    })
    .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_book_of_a_market_that_has_ended_stays() {
    let config = SimConfig {
        resolve_per_minute: 600.0,
        ..SimConfig::for_tests()
    };
    let world = World::configured(config, configured(|_| {})).await;
    let assets = world.sim.assets();
    let mut settled = None;
    wait::until("a market has ended", SOON, async || {
        for asset in &assets {
            let book = world.sim.true_book(asset).expect("its own token");
            let path = format!("/tokens/{asset}/resync");
            let ended = book.settled && administer(&world, Method::POST, &path).await.status == 409;
            if ended {
                settled = Some(path);
                return true;
            }
        }
        false
    })
    .await;
    let path = settled.expect("found above");
    let (why, _) = conflict(&world, Method::POST, &path).await;
    assert!(why.contains("has ended"), "{why}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_replaced_at_once_than_is_allowed() {
    let config = configured(|config| {
        config.pool.target = 20;
        config.pool.cap = 40;
        config.recycler.concurrency = 2;
        config.recycler.deadline = Duration::from_secs(60);
    });
    let world = World::configured(SimConfig::for_tests(), config).await;
    world.all_live(SOON).await;
    // Replacements get no book, and so never take over.
    world.sim.add_fault(Fault::new(FaultKind::MissingFirstBook));
    let names: Vec<String> = world
        .polypy
        .pool()
        .connections()
        .iter()
        .map(|connection| connection.id().to_string())
        .collect();
    let [first, second, ..] = &names[..] else {
        panic!("two connections at least: {names:?}");
    };
    let recycle = |name: &str| format!("/connections/{name}/recycle");
    let address = world.polypy.admin_addr().expect("it listens");
    let token = format!("Bearer {TOKEN}");
    let begin = |path: String| {
        let token = token.clone();
        tokio::spawn(async move {
            let headers = [("authorization", token.as_str())];
            ask_with(address, Method::POST, &path, &headers).await
        })
    };
    let under_way = async |number: usize| {
        wait::until("replacements are under way", SOON, async || {
            let stats = world.stats().await;
            let active = stats["recycler"]["active_recycles"].as_array();
            active.map(Vec::len) == Some(number)
        })
        .await;
    };

    let one = begin(recycle(first));
    under_way(1).await;
    let (why, _) = conflict(&world, Method::POST, &recycle(first)).await;
    assert!(why.contains(first.as_str()), "{why}");
    let two = begin(recycle(second));
    under_way(2).await;
    let (why, retry) = conflict(&world, Method::POST, &recycle(second)).await;
    assert!(why.contains("recycler.concurrency"), "{why}");
    assert_eq!(retry.as_deref(), Some("1"));

    // Its client is gone, and so is what it asked for, once it notices.
    one.abort();
    two.abort();
    world.sim.clear_faults();
    world.stop().await;
}
