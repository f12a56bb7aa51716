//! What the program costs as tokens and connections grow.
//!
//! `make scale` runs it at full size on the release build and prints the tables;
//! `cargo test` runs the same with few tokens, so that the way there stays whole.
//! The exchange is a process of its own, so that memory and processor time are
//! the program's. What depends on a quiet machine is printed; what is held to a
//! bound here holds on a busy one, too.

use std::time::{Duration, Instant};

use polypy_tests::figures::{Table, conditions, figure, mib, micros, percentile};
use polypy_tests::pair::Pair;
use polypy_tests::program::Memory;
use serde_json::Value;

/// The default settings' least time between two connection attempts.
const PACE: Duration = Duration::from_millis(100);
/// How long the exchange takes to send opening books, at most: 0.5 s as the
/// venue, for both of the frames that ask for a connection's tokens.
const OPENING: Duration = Duration::from_millis(500);
/// What 100,000 tokens may take.
const MOST_MEMORY: u64 = 1 << 30;

/// What a scrape may bring, however much there is: no series for a token or a connection.
const MOST_METRICS: usize = 64 * 1024;

/// So many tokens.
struct Crowd {
    tokens: u64,
    /// Tokens a connection.
    target: u64,
    /// How long the program is watched at work.
    work: Duration,
}

const fn crowd(tokens: u64, target: u64, seconds: u64) -> Crowd {
    Crowd {
        tokens,
        target,
        work: Duration::from_secs(seconds),
    }
}

/// How large and how long.
struct Size {
    /// One run each.
    crowds: &'static [Crowd],
    /// Events a second over all markets; each changes both tokens of one.
    rate: f64,
    /// How long the program is watched at rest, to know what it costs there.
    rest: Duration,
    /// Tokens, over so many connections each.
    spread: (u64, &'static [u64]),
    /// Requests of each route.
    requests: u32,
}

const FULL: Size = Size {
    // As by default, 200 tokens a connection; then all on fifty connections,
    // so that what grows with them does not hide what grows with tokens.
    crowds: &[
        crowd(1_000, 200, 60),
        crowd(10_000, 200, 60),
        crowd(100_000, 200, 60),
        crowd(1_000, 20, 20),
        crowd(100_000, 2_000, 20),
    ],
    rate: 10_000.0,
    rest: Duration::from_secs(10),
    spread: (2_000, &[50, 200, 500]),
    requests: 1_000,
};

const SMALL: Size = Size {
    crowds: &[crowd(1_000, 200, 2)],
    rate: 1_000.0,
    rest: Duration::from_secs(1),
    spread: (200, &[10, 50]),
    requests: 100,
};

fn size() -> Size {
    match std::env::var("POLYPY_SCALE").as_deref() {
        Ok("full") => FULL,
        _ => SMALL,
    }
}

/// Counters of one moment.
struct Moment {
    at: Instant,
    cpu: Duration,
    stats: Value,
}

impl Moment {
    async fn now(pair: &Pair) -> Self {
        let stats = pair.stats().await;
        Self {
            at: Instant::now(),
            cpu: pair.program.cpu(),
            stats,
        }
    }

    fn updates(&self) -> u64 {
        let workers = self.stats["workers"]["worker_stats"].as_object();
        let workers = workers.expect("an object").values();
        workers
            .map(|worker| worker["updates_applied"].as_u64().expect("a count"))
            .sum()
    }

    fn hash_checks(&self, name: &str) -> u64 {
        let checks = &self.stats["workers"]["integrity"]["hash"];
        checks[name].as_u64().expect("a count")
    }
}

/// What one run came to.
struct Run {
    crowd: &'static Crowd,
    live: Duration,
    at_live: Memory,
    after: Memory,
    connections: u64,
    /// Processor time a change, all told, and without what rest costs.
    gross: f64,
    net: f64,
    /// Share of a core at rest, in percent.
    rest: f64,
    updates: u64,
    seconds: f64,
    checks: u64,
    compared: Duration,
    metrics: Route,
}

/// The least time in which so many connections can be opened and their books
/// told: the first at once, each other a pace later, the last one's books then.
fn paced(connections: u64) -> Duration {
    PACE * u32::try_from(connections - 1).expect("few") + OPENING
}

async fn run(size: &Size, crowd: &'static Crowd) -> Run {
    let (tokens, target) = (crowd.tokens, crowd.target.to_string());
    let markets = usize::try_from(tokens / 2).expect("few");
    let flags = [
        ("workers-count", "1"),
        ("pool-target", target.as_str()),
        ("pool-cap", target.as_str()),
        ("pool-pace", "100ms"),
        ("integrity-hash-cpu-percent", "100"),
    ];
    let pair = Pair::start(markets, size.rate, &flags).await;
    let connections = tokens.div_ceil(crowd.target);
    let bound = paced(connections);
    let live = pair.all_live(bound * 2 + Duration::from_secs(30)).await;
    let at_live = pair.program.memory();

    pair.pause().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = Moment::now(&pair).await;
    tokio::time::sleep(size.rest).await;
    let rested = Moment::now(&pair).await;
    let rest = (rested.cpu - before.cpu).as_secs_f64() / (rested.at - before.at).as_secs_f64();

    pair.resume().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = Moment::now(&pair).await;
    tokio::time::sleep(crowd.work).await;
    let worked = Moment::now(&pair).await;
    let after = pair.program.memory();
    let seconds = (worked.at - before.at).as_secs_f64();
    let cpu = (worked.cpu - before.cpu).as_secs_f64();
    let updates = worked.updates() - before.updates();
    let checks = worked.hash_checks("passed") - before.hash_checks("passed");

    pair.rest(Duration::from_secs(60)).await;
    let comparing = Instant::now();
    let comparison = pair.assert_equal_to_truth(Duration::from_secs(60)).await;
    let compared = comparing.elapsed();
    assert_eq!(comparison.live, pair.tokens());

    let end = Moment::now(&pair).await;
    for left_out in ["skipped", "ambiguous", "unverifiable", "not_applicable"] {
        assert_eq!(end.hash_checks(left_out), 0, "hash checks {left_out}");
    }
    let router = &end.stats["router"];
    assert_eq!(router["messages_dropped"], 0, "{router:#}");
    let pool = &end.stats["pool"];
    assert_eq!(pool["connection_count"], connections, "{tokens} tokens");
    assert!(
        updates > 0 && checks > 0,
        "{updates} changes, {checks} checks"
    );
    assert!(after.peak < MOST_MEMORY, "{} MiB", mib(after.peak));
    // The first one brings memory that the others use again.
    ask(&pair, "/metrics", 1).await;
    let metrics = ask(&pair, "/metrics", size.requests).await;
    assert!(metrics.bytes < MOST_METRICS, "{} bytes", metrics.bytes);
    pair.stop();
    Run {
        crowd,
        live,
        at_live,
        after,
        connections,
        gross: cpu * 1e6 / figure(updates),
        net: (cpu - rest * seconds) * 1e6 / figure(updates),
        rest: rest * 100.0,
        updates,
        seconds,
        checks,
        compared,
        metrics,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_book_of_every_size_is_live_and_true_with_every_hash_checked() {
    let size = size();
    println!("{}", conditions());
    let mut start = Table::new(
        "time until every book is live, and memory",
        &[
            "tokens",
            "connections",
            "live after s",
            "pacing allows s",
            "RSS MiB",
            "after flow MiB",
            "most MiB",
            "equal to truth",
        ],
    );
    let mut cost = Table::new(
        "cost of a change, with the hash of every batch checked",
        &[
            "tokens",
            "connections",
            "changes/s",
            "hashes/s",
            "CPU us/change",
            "less rest us/change",
            "core % at rest",
        ],
    );
    let mut scrapes = Table::new(
        "/metrics, one request after the other, the flow at rest",
        &[
            "tokens",
            "connections",
            "p50 us",
            "p99 us",
            "CPU us",
            "bytes",
        ],
    );
    let mut runs = Vec::new();
    for crowd in size.crowds {
        let tokens = crowd.tokens;
        let run = run(&size, crowd).await;
        let bound = paced(run.connections);
        start.row(&[
            figure(tokens),
            figure(run.connections),
            run.live.as_secs_f64(),
            bound.as_secs_f64(),
            mib(run.at_live.now),
            mib(run.after.now),
            mib(run.after.peak),
            figure(tokens),
        ]);
        cost.row(&[
            figure(tokens),
            figure(run.connections),
            figure(run.updates) / run.seconds,
            figure(run.checks) / run.seconds,
            run.gross,
            run.net,
            run.rest,
        ]);
        scrapes.row(&[
            figure(tokens),
            figure(run.connections),
            micros(run.metrics.p50),
            micros(run.metrics.p99),
            run.metrics.cpu,
            figure(u64::try_from(run.metrics.bytes).expect("few")),
        ]);
        println!("{tokens} books compared in {:?}", run.compared);
        runs.push(run);
    }
    start.print();
    cost.print();
    scrapes.print();
    for (small, large) in pairs(&runs, |one, other| one.target == other.target) {
        let bytes = large.after.now.saturating_sub(small.after.now);
        println!(
            "{:.0} bytes a token with its share of a connection of {}, from {} to {} tokens",
            figure(bytes) / figure(large.crowd.tokens - small.crowd.tokens),
            large.crowd.target,
            small.crowd.tokens,
            large.crowd.tokens
        );
    }
    // A change must not cost more because there are more books it does not
    // concern. Caches do not grow with them, hence not one.
    let alike = |one: &Crowd, other: &Crowd| {
        one.tokens.div_ceil(one.target) == other.tokens.div_ceil(other.target)
    };
    for (first, last) in pairs(&runs, alike) {
        assert!(
            last.net < first.net * 2.0,
            "{:.1} us a change of {} tokens became {:.1} of {}",
            first.net,
            first.crowd.tokens,
            last.net,
            last.crowd.tokens
        );
    }
}

/// Runs of the same kind, each with every larger one.
fn pairs(runs: &[Run], alike: impl Fn(&Crowd, &Crowd) -> bool) -> Vec<(&Run, &Run)> {
    let all = runs
        .iter()
        .flat_map(|one| runs.iter().map(move |other| (one, other)));
    all.filter(|(one, other)| one.crowd.tokens < other.crowd.tokens)
        .filter(|(one, other)| alike(one.crowd, other.crowd))
        .collect()
}

/// What one route costs.
struct Route {
    p50: Duration,
    p99: Duration,
    cpu: f64,
    bytes: usize,
}

async fn ask(pair: &Pair, path: &str, requests: u32) -> Route {
    let mut client = pair.client().await;
    let mut took = Vec::new();
    let mut bytes = 0;
    let before = pair.program.cpu();
    for _ in 0..requests {
        let asked = Instant::now();
        let answer = client.get(path).await.expect("an answer");
        took.push(asked.elapsed());
        assert_eq!(answer.status, 200, "{path}");
        bytes = answer.body.len();
    }
    let cpu = pair.program.cpu() - before;
    took.sort_unstable();
    Route {
        p50: percentile(&took, 50),
        p99: percentile(&took, 99),
        cpu: micros(cpu) / f64::from(requests),
        bytes,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_stats_stay_cheap_as_connections_grow() {
    let size = size();
    let (tokens, spread) = size.spread;
    println!("{}", conditions());
    let mut table = Table::new(
        "one request after the other, the flow at rest",
        &[
            "connections",
            "/health p50 us",
            "p99 us",
            "CPU us",
            "/stats p50 us",
            "p99 us ",
            "CPU us ",
            "bytes",
            "RSS MiB",
        ],
    );
    let mut seen = Vec::new();
    for &connections in spread {
        let target = (tokens / connections).to_string();
        let flags = [
            ("workers-count", "1"),
            ("pool-target", target.as_str()),
            // Nobody minds a burst of upgrades here.
            ("pool-pace", "2ms"),
        ];
        let markets = usize::try_from(tokens / 2).expect("few");
        let pair = Pair::start(markets, 0.0, &flags).await;
        pair.all_live(Duration::from_secs(60)).await;
        let stats = pair.stats().await;
        assert_eq!(stats["pool"]["connection_count"], connections);
        let memory = pair.program.memory();
        // The first answers warm the way.
        ask(&pair, "/stats", 10).await;
        let health = ask(&pair, "/health", size.requests).await;
        let stats = ask(&pair, "/stats", size.requests).await;
        table.row(&[
            figure(connections),
            micros(health.p50),
            micros(health.p99),
            health.cpu,
            micros(stats.p50),
            micros(stats.p99),
            stats.cpu,
            figure(u64::try_from(stats.bytes).expect("few")),
            mib(memory.now),
        ]);
        seen.push((connections, health, stats, memory));
        pair.stop();
    }
    table.print();
    let [
        (few, health, stats, memory),
        ..,
        (many, health_then, stats_then, memory_then),
    ] = &seen[..]
    else {
        unreachable!("two settings at least")
    };
    let bytes = memory_then.now.saturating_sub(memory.now);
    println!(
        "{:.0} bytes a connection of {} tokens and fewer",
        figure(bytes) / figure(many - few),
        tokens / few
    );
    // Answering about a connection costs what it costs; all of them together
    // at most so many times that. Half as much again, and a step of the clock,
    // for the noise of the machine.
    let step = 1e4 / f64::from(size.requests);
    let grown = figure(*many) / figure(*few) * 1.5;
    assert!(
        stats_then.cpu < (stats.cpu + step) * grown,
        "/stats cost {:.0} us, then {:.0} us",
        stats.cpu,
        stats_then.cpu
    );
    assert!(
        health_then.cpu < (health.cpu + step) * 2.0,
        "/health cost {:.0} us, then {:.0} us",
        health.cpu,
        health_then.cpu
    );
}
