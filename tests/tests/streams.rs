//! Books rebuilt from the streams' deltas are the program's own at every sequence, and the
//! exchange's at rest, whatever happens on the way.
//!
//! `POLYPY_SOAK=full` follows a million changes, and `POLYPY_PYTHON` names an interpreter
//! with which the Python client does, too: `make streams` sets both.

use std::time::{Duration, Instant};

use hyper::Uri;
use polypy_client::{Books, Client, Event, Filter, Message};
use polypy_sim::{Fault, FaultKind, SimConfig, digest};
use polypy_tests::follower::{Door, Follower, Reader, Record, States, levels};
use polypy_tests::http;
use polypy_tests::python::{Python, Shown};
use polypy_tests::wait;
use polypy_tests::world::{SOON, World};
use serde_json::Value;

const DOORS: [Door; 2] = [Door::Events, Door::Socket];

fn is_full() -> bool {
    std::env::var("POLYPY_SOAK").is_ok_and(|value| value == "full")
}

/// Levels that deltas set, before a run may end.
fn wanted() -> u64 {
    if is_full() { 1_000_000 } else { 60_000 }
}

/// The Python client at both doors, if there is an interpreter for it.
fn pythons(world: &World) -> Vec<(Door, Python)> {
    let Ok(interpreter) = std::env::var("POLYPY_PYTHON") else {
        return Vec::new();
    };
    let start = |door| (door, Python::start(&interpreter, world.http(), door));
    DOORS.map(start).into()
}

fn config(seed: u64) -> SimConfig {
    SimConfig {
        seed,
        markets: 60,
        events_per_second: 2_500.0,
        ..SimConfig::for_tests()
    }
}

/// Waits until both followers have books that are the exchange's, all of them live.
async fn at_rest(world: &World, followers: &[Follower]) {
    world.assert_equal_to_truth(SOON).await;
    for follower in followers {
        wait::until(
            "the follower's books are the exchange's",
            SOON,
            async || {
                let books = follower.books().await;
                let same = is_the_truth(world, &books);
                if !same {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                same
            },
        )
        .await;
    }
}

/// The same of the Python client's books.
async fn pythons_at_rest(world: &World, pythons: &mut [(Door, Python)]) {
    for (_, python) in pythons {
        wait::until("its books are the exchange's", SOON, async || {
            let books = tokio::task::block_in_place(|| python.books());
            let same = is_truth_as_shown(world, &books);
            if !same {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            same
        })
        .await;
    }
}

fn is_truth_as_shown(world: &World, books: &Shown) -> bool {
    world.sim.assets().iter().all(|asset| {
        let truth = world
            .sim
            .true_book(asset)
            .expect("an asset of the exchange");
        let settled = truth.settled;
        let truth = digest(truth.bids, truth.asks);
        let book = books.get(asset);
        book.is_some_and(|(is_live, found)| (settled || *is_live) && *found == truth)
    })
}

fn is_the_truth(world: &World, books: &Books) -> bool {
    world.sim.assets().iter().all(|asset| {
        let truth = world
            .sim
            .true_book(asset)
            .expect("an asset of the exchange");
        let book = books.get(asset.as_str());
        let is_live = truth.settled || book.is_some_and(polypy_client::Book::is_live);
        let truth = digest(truth.bids, truth.asks);
        is_live && book.is_some_and(|book| levels(book) == truth)
    })
}

/// Holds what was seen at equal places against each other; how many there were.
fn same_places(name: &str, left: &States, right: &States) -> usize {
    let common = left
        .iter()
        .filter_map(|(place, levels)| Some((place, levels, right.get(place)?)));
    let mut count = 0;
    for (place, left, right) in common {
        assert_eq!(left, right, "{name}: {place:?}");
        count += 1;
    }
    count
}

/// How many places were read as well, and what to print.
fn report(door: Door, record: &Record, read: &States) -> (usize, String) {
    assert_eq!(record.broken, [], "{door:?}");
    let compared = same_places("reader and follower", read, &record.states);
    let text = format!(
        "{door:?}: {} changes, {} places, {compared} of them read, gaps {:?}, back exactly {} \
         and otherwise {}, lost {}",
        record.changes,
        record.states.len(),
        record.gaps,
        record.resumed.0,
        record.resumed.1,
        record.lost.len()
    );
    (compared, text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_of_the_streams_are_right_at_every_sequence() {
    let world = World::start(config(7), |builder| {
        let program = builder.clone().build().expect("the settings are usable");
        let mut config = program.config().clone();
        config.pool.replicas = 2;
        (config.pool.target, config.pool.cap) = (30, 40);
        builder.config(config)
    })
    .await;
    world.all_live(SOON).await;
    let reader = Reader::start(world.polypy.books(), world.sim.assets());
    let followers = DOORS.map(|door| Follower::start(world.http(), door));
    let mut pythons = pythons(&world);
    if pythons.is_empty() {
        println!("skipped: the Python client, since POLYPY_PYTHON names no interpreter");
    }
    let mut last = (0, Instant::now());
    let mut round = 0_u64;
    loop {
        let theirs = pythons.iter_mut().map(|(_, python)| python.changes());
        let least = followers.iter().map(Follower::changes).chain(theirs).min();
        let least = least.unwrap_or(0);
        if least >= wanted() {
            break;
        }
        if least > last.0 {
            last = (least, Instant::now());
        }
        assert!(
            last.1.elapsed() < SOON,
            "the stream stands still at {last:?}"
        );
        for follower in &followers {
            assert_eq!(follower.broken(), 0, "messages contradict each other");
        }
        for (door, python) in &mut pythons {
            assert_eq!(python.broken(), Vec::<String>::new(), "{door:?} in Python");
            if round % 6 == 4 {
                python.reconnect();
            }
        }
        trouble(&world, &followers, round).await;
        round += 1;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(round >= 6, "every kind of trouble was there");
    world.sim.clear_faults();
    world.all_live(SOON).await;
    at_rest(&world, &followers).await;
    pythons_at_rest(&world, &mut pythons).await;
    let read = reader.end();
    let mut records = Vec::new();
    for (follower, door) in followers.into_iter().zip(DOORS) {
        let record = follower.end().await;
        let (compared, text) = report(door, &record, &read);
        println!("{text}");
        assert!(compared > 1_000);
        records.push(record);
    }
    let [events, socket] = &records[..] else {
        unreachable!("two doors");
    };
    let common = same_places("both doors", &events.states, &socket.states);
    println!("{common} places are common to both doors");
    assert!(common > 10_000);
    for (door, python) in pythons {
        let record = python.end();
        let (_, text) = report(door, &record, &read);
        println!("in Python, {text}");
        let common = same_places("Rust and Python", &record.states, &socket.states);
        println!("{common} of its places are common to both languages");
        assert!(common > 10_000);
    }
    world.stop().await;
}

/// One thing after the other that interrupts books, connections or clients.
async fn trouble(world: &World, followers: &[Follower], round: u64) {
    match round % 6 {
        0 => {
            for connection in world.polypy.pool().connections().iter().take(1) {
                // One that is being replaced already is as good.
                drop(world.polypy.recycler().recycle_now(connection.id()).await);
            }
        }
        1 => {
            let connections = world.sim.connections();
            let lost = Fault::new(FaultKind::DropConnection).on_connections(connections);
            world.sim.add_fault(lost);
        }
        2 => {
            let lost = Fault::new(FaultKind::OmitChange).on_share(0.2);
            world
                .sim
                .add_fault(lost.lasting(Duration::from_millis(500)));
        }
        3 => world.polypy.workers().inject_panic(0),
        4 => {
            for follower in followers {
                follower.reconnect().await;
            }
        }
        _ => {
            for follower in followers {
                let awake = follower.sleep().await;
                tokio::time::sleep(Duration::from_millis(500)).await;
                drop(awake);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_come_back_miss_nothing() {
    let times: u64 = if is_full() { 1_000 } else { 50 };
    let world = World::start(config(8), |builder| builder).await;
    world.all_live(SOON).await;
    let followers = DOORS.map(|door| Follower::start(world.http(), door));
    for follower in &followers {
        wait::until("it has a place to come back to", SOON, async || {
            let books = follower.books().await;
            books.len() == 120 && books.iter().all(|(_, book)| book.is_followed())
        })
        .await;
    }
    let mut random = fastrand::Rng::with_seed(8);
    for time in 1..=times {
        for follower in &followers {
            follower.reconnect().await;
        }
        // Each is answered, whatever it comes back to, and some go before they have all.
        for follower in &followers {
            wait::until("it is told how it goes on", SOON, async || {
                follower.resumed() >= time
            })
            .await;
        }
        tokio::time::sleep(Duration::from_millis(random.u64(..40))).await;
    }
    at_rest(&world, &followers).await;
    for (follower, door) in followers.into_iter().zip(DOORS) {
        let record = follower.end().await;
        println!("{}", report(door, &record, &States::new()).1);
        let (exactly, otherwise) = record.resumed;
        // A place was known before anything was missed: it is always exact.
        assert_eq!((exactly, otherwise), (times, 0), "{door:?}");
        assert!(record.gaps.is_empty(), "{door:?}: {:?}", record.gaps);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_sleeps_is_told_what_it_missed_and_nobody_else_notices() {
    let busy = SimConfig {
        events_per_second: 5_000.0,
        ..config(9)
    };
    let world = World::start(busy, |builder| {
        let program = builder.clone().build().expect("the settings are usable");
        let mut config = program.config().clone();
        config.stream.buffer = polypy::config::ByteSize(1 << 20);
        builder.config(config)
    })
    .await;
    world.all_live(SOON).await;
    for door in DOORS {
        let followers = [door, door].map(|door| Follower::start(world.http(), door));
        let [slow, quick] = &followers;
        wait::until("both follow", SOON, async || {
            slow.changes() > 1_000 && quick.changes() > 1_000
        })
        .await;
        // More than waits for a client here, and in the buffers of both systems.
        let awake = slow.sleep().await;
        let before = quick.changes();
        wait::until("much is missed", SOON, async || {
            quick.changes() > before + 60_000
        })
        .await;
        let before = slow.changes();
        drop(awake);
        wait::until("the slow one follows again", SOON, async || {
            slow.changes() > before + 5_000
        })
        .await;
        let [slow, quick] = followers;
        wait::until("the slow one has books again", SOON, async || {
            let books = slow.books().await;
            books.len() == 120 && books.iter().all(|(_, book)| book.is_followed())
        })
        .await;
        let (slow, quick) = (slow.end().await, quick.end().await);
        let (compared, text) = report(door, &slow, &quick.states);
        println!("{text}");
        assert!(compared > 1_000);
        println!("{}", report(door, &quick, &States::new()).1);
        let cause = ("slow".to_owned(), "client".to_owned());
        assert!(slow.gaps.contains_key(&cause), "{door:?}: {:?}", slow.gaps);
        assert!(quick.gaps.is_empty(), "{door:?}: {:?}", quick.gaps);
        assert_eq!(quick.lost, Vec::<String>::new());
    }
    // Nobody but the client had anything to do with it.
    let stats = world.stats().await;
    assert_eq!(stats["router"]["messages_dropped"], 0);
    world.stop().await;
}

/// Levels that were set in books.
fn applied(stats: &Value) -> u64 {
    let workers = stats["workers"]["worker_stats"].as_object();
    let workers = workers.expect("an object").values();
    let applied = workers.map(|worker| worker["updates_applied"].as_u64().expect("a count"));
    applied.sum()
}

/// The latest state merged for two clients that read nothing for seconds: far more than
/// their queues hold, at six thousand changes a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflated_clients_that_sleep_are_never_cut_and_end_with_the_books() {
    let busy = SimConfig {
        events_per_second: 2_700.0,
        ..config(11)
    };
    let world = World::start(busy, |builder| {
        let program = builder.clone().build().expect("the settings are usable");
        let mut config = program.config().clone();
        config.stream.buffer = polypy::config::ByteSize(64 << 10);
        builder.config(config)
    })
    .await;
    world.all_live(SOON).await;
    let filter = Filter::everything()
        .channels(["book", "state", "trade"])
        .conflated(Duration::from_millis(50));
    let followers = DOORS.map(|door| Follower::of(world.http(), door, filter.clone()));
    wait::until("both follow", SOON, async || {
        followers.iter().all(|follower| follower.changes() > 1_000)
    })
    .await;
    for _ in 0..if is_full() { 20 } else { 1 } {
        let mut asleep = Vec::new();
        for follower in &followers {
            asleep.push(follower.sleep().await);
        }
        let before = world.stats().await;
        let mut now = Value::Null;
        wait::until("much is missed", SOON, async || {
            now = world.stats().await;
            applied(&now) >= applied(&before) + 12_000
        })
        .await;
        let grown = |name: &str| {
            let count = |stats: &Value| stats["stream"][name].as_u64().expect("a count");
            count(&now) - count(&before)
        };
        // Each message is for both, and most of them were for neither to have.
        let (published, delivered) = (grown("published"), grown("delivered"));
        assert!(
            delivered < published,
            "{delivered} put into queues, {published} published"
        );
        let seen: Vec<_> = followers.iter().map(Follower::changes).collect();
        drop(asleep);
        wait::until("they follow again", SOON, async || {
            let mut both = followers.iter().zip(&seen);
            both.all(|(follower, seen)| follower.changes() > seen + 1_000)
        })
        .await;
    }
    at_rest(&world, &followers).await;
    for (follower, door) in followers.into_iter().zip(DOORS) {
        let record = follower.end().await;
        println!("{}", report(door, &record, &States::new()).1);
        assert_eq!(record.lost, Vec::<String>::new(), "{door:?}");
        let left_out = ("trades_left_out".to_owned(), "client".to_owned());
        let other = record.gaps.keys().find(|gap| **gap != left_out);
        assert_eq!(other, None, "{door:?}");
    }
    let stats = world.stats().await;
    for name in ["emptied_queues", "slow_closed", "slow_warnings"] {
        assert_eq!(stats["stream"][name], 0, "{name}");
    }
    world.stop().await;
}

/// What Gamma says of a market by its slug.
async fn gamma_row(world: &World, slug: &str) -> Value {
    let gamma: Uri = world.sim.gamma_url().parse().expect("a URL");
    let address = gamma.authority().expect("an address").as_str();
    let address = address.parse().expect("an address");
    let answer = http::get(address, &format!("/markets/slug/{slug}")).await;
    answer.expect("Gamma answers").json()
}

/// The token that won, as Gamma writes it: texts with JSON in them.
fn winner_of(row: &Value) -> String {
    let list = |name: &str| -> Vec<String> {
        let text = row[name].as_str().expect("a text");
        serde_json::from_str(text).expect("a list")
    };
    let prices = list("outcomePrices");
    let won = prices.iter().position(|price| price == "1");
    list("clobTokenIds").swap_remove(won.expect("one outcome pays"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_a_market_by_its_slug_is_told_who_won() {
    let exchange = SimConfig {
        markets: 10,
        resolve_per_minute: 120.0,
        ..config(10)
    };
    let world = World::start(exchange, |builder| builder).await;
    let mut slugs = Vec::new();
    for asset in world.sim.assets() {
        let path = format!("/v1/books/{asset}?depth=1");
        let mut book = Value::Null;
        wait::until("the book is known", SOON, async || {
            let answer = http::get(world.http(), &path).await;
            book = answer.expect("an answer").json();
            book["slug"].is_string()
        })
        .await;
        slugs.push(book["slug"].as_str().expect("its slug").to_owned());
    }
    slugs.dedup();
    assert_eq!(slugs.len(), 10);
    let client = Client::new(&format!("http://{}", world.http())).expect("an address");
    let filter = Filter::everything()
        .markets(slugs)
        .channels(["market", "state"]);
    let mut stream = client.subscribe(filter);
    let resolved = async {
        loop {
            let event = stream.next().await.expect("nothing is refused");
            if let Event::Message(received) = event
                && let Message::Market(market) = received.message
                && market.change == "resolved"
            {
                return market;
            }
        }
    };
    let market = tokio::time::timeout(SOON, resolved).await;
    let market = market.expect("a market is resolved soon");
    let slug = market.slug.expect("it has a name");
    let winner = market.winner.expect("the feed says who won");
    let row = gamma_row(&world, &slug).await;
    assert_eq!(winner.as_str(), winner_of(&row));
    for (token, _) in market.tokens {
        wait::until("its book says so, too", SOON, async || {
            let answer = http::get(world.http(), &format!("/v1/books/{token}")).await;
            let book = answer.expect("an answer").json();
            book["state"] == "settled"
                && book["winner"] == winner.as_str()
                && book["slug"] == slug.as_str()
        })
        .await;
    }
    world.stop().await;
}
