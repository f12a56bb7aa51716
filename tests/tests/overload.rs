//! More than the program can take: what it sheds, what it shows meanwhile, and
//! how it comes back.
//!
//! The program is given a tenth of the machine, as a container with too small a
//! share would be, and the exchange's rate is doubled until something is shed;
//! then it is doubled again. So the overload is one on any machine, by its own
//! measure. `make scale` runs it at full length and prints the table.
//!
//! | sockets | what is shed |
//! |---|---|
//! | help a worker that is behind, as by default | what stays in them too long: the exchange closes them |
//! | leave it alone | what its queue cannot take: the program drops it |

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use polypy_tests::figures::{Table, conditions, figure, mib};
use polypy_tests::pair::Pair;
use polypy_tests::program::{MemoryWatch, Throttle};
use serde_json::Value;

/// Share of the time that the program gets, in percent.
const SHARE: u32 = 10;
/// Events a second before, and after.
const CALM: f64 = 500.0;
/// What the queue's bound allows on top: each event it holds stands for itself,
/// for 32 levels of a book at most, and as much again for memory that grows by
/// doubling. And a part for what sockets hold while the program is held.
const LEVEL_BYTES: u64 = 16;
const EVENT_BYTES: u64 = 256;
const SOCKETS: u64 = 32 << 20;

/// How large and how long.
struct Size {
    markets: usize,
    queue: u64,
    /// Time at each rate while the capacity is looked for: the queue alone
    /// takes the excess of some moments.
    step: Duration,
    /// How long the overload lasts, twice.
    lasts: Duration,
}

const FULL: Size = Size {
    markets: 2_000,
    queue: 65_536,
    step: Duration::from_secs(3),
    lasts: Duration::from_secs(20),
};

const SMALL: Size = Size {
    markets: 200,
    queue: 1_024,
    step: Duration::from_secs(1),
    lasts: Duration::from_secs(3),
};

fn size() -> Size {
    match std::env::var("POLYPY_SCALE").as_deref() {
        Ok("full") => FULL,
        _ => SMALL,
    }
}

/// Counters of one moment, both sides'.
struct Moment {
    at: Instant,
    /// What the exchange has done.
    steps: u64,
    closed_slow: u64,
    /// What the program has taken and shed.
    applied: u64,
    routed: u64,
    dropped: u64,
    queue_full: u64,
    went_stale: u64,
    resyncs: u64,
    live: u64,
    reasons: BTreeSet<String>,
}

impl Moment {
    async fn now(pair: &Pair) -> Self {
        let stats = pair.stats().await;
        let exchange = pair.exchange_stats().await;
        let count = |of: &Value| of.as_u64().expect("a count");
        let books = &stats["workers"]["books"];
        // Left out while there are none.
        let reasons = books["stale_by_reason"].as_object();
        let worker = &stats["workers"]["worker_stats"]["0"];
        Self {
            at: Instant::now(),
            steps: count(&exchange["totals"]["steps"]),
            closed_slow: count(&exchange["totals"]["closed_slow"]),
            applied: count(&worker["updates_applied"]),
            routed: count(&stats["router"]["messages_routed"]),
            dropped: count(&stats["router"]["messages_dropped"]),
            queue_full: count(&stats["router"]["queue_full_events"]),
            went_stale: count(&stats["workers"]["events"]["went_stale"]),
            resyncs: count(&stats["pool"]["resync"]["dispatched"]),
            live: count(&books["live"]),
            reasons: reasons
                .into_iter()
                .flat_map(|reasons| reasons.keys().cloned())
                .collect(),
        }
    }

    /// Something is more than the program can take.
    fn has_shed_since(&self, before: &Self) -> bool {
        self.dropped > before.dropped || self.closed_slow > before.closed_slow
    }

    fn a_second(&self, before: &Self, count: impl Fn(&Self) -> u64) -> f64 {
        figure(count(self) - count(before)) / (self.at - before.at).as_secs_f64()
    }
}

/// The rate at which the program first sheds, doubling from the calm one.
#[expect(clippy::print_stdout, clippy::panic, reason = "part of a test")]
async fn capacity(pair: &Pair, step: Duration) -> f64 {
    let mut rate = CALM;
    for _ in 0..12 {
        rate *= 2.0;
        let before = Moment::now(pair).await;
        pair.set_rate(rate).await;
        tokio::time::sleep(step).await;
        let now = Moment::now(pair).await;
        println!(
            "{rate:>7.0} events/s: {:>7.0} offered, {:>6} shed",
            now.a_second(&before, |moment| moment.steps),
            now.dropped - before.dropped,
        );
        if now.has_shed_since(&before) {
            return rate;
        }
    }
    panic!("nothing was shed at {rate} events a second");
}

#[tokio::test(flavor = "multi_thread")]
async fn twice_too_much_is_shed_truthfully_within_bounds_and_recovered_from() {
    let (before, amid, end) = overload("256", "sockets help").await;
    assert!(amid.has_shed_since(&before), "nothing was shed");
    assert!(end.went_stale > before.went_stale, "no book went stale");
    assert!(
        end.resyncs > before.resyncs || end.closed_slow > before.closed_slow,
        "no book was sent again, by itself or with its connection"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_queue_sheds_goes_stale_and_is_asked_for_again() {
    let (before, amid, end) = overload("0", "sockets leave workers alone").await;
    assert!(amid.dropped > before.dropped, "no event was dropped");
    assert!(end.went_stale > before.went_stale, "no book went stale");
    assert!(end.resyncs > before.resyncs, "no book was asked for again");
    let dropped = [&amid, &end].map(|moment| moment.reasons.contains("dropped"));
    assert!(
        dropped.contains(&true) || end.closed_slow > before.closed_slow,
        "{:?} {:?}",
        amid.reasons,
        end.reasons
    );
}

/// The counters before, in the middle and at the end of twice too much, where what
/// a read brings is applied by the socket up to `direct_events`.
#[expect(clippy::print_stdout, reason = "part of a test")]
async fn overload(direct_events: &str, named: &str) -> (Moment, Moment, Moment) {
    let size = size();
    println!("{}; {named}", conditions());
    let queue = size.queue.to_string();
    let flags = [
        ("workers-count", "1"),
        ("workers-queue-events", queue.as_str()),
        ("workers-direct-events", direct_events),
        ("integrity-hash-cpu-percent", "100"),
        ("pool-pace", "2ms"),
        // Its ring is not full before the overload, and has a bound of its own.
        ("flight-recorder-memory", "0B"),
    ];
    let pair = Pair::start(size.markets, CALM, &flags).await;
    pair.all_live(Duration::from_secs(60)).await;
    let memory = pair.program.memory().now;
    let bound = memory + size.queue * 2 * (EVENT_BYTES + 32 * LEVEL_BYTES) + SOCKETS;
    let watch = MemoryWatch::of(&pair.program);

    let throttle = Throttle::of(&pair.program, SHARE);
    let sheds_at = capacity(&pair, size.step).await;
    let before = Moment::now(&pair).await;
    pair.set_rate(sheds_at * 2.0).await;
    tokio::time::sleep(size.lasts).await;
    let amid = Moment::now(&pair).await;

    // Nothing false is shown: what is called live is the truth.
    pair.rest(Duration::from_secs(60)).await;
    let comparison = pair.compare().await;
    assert!(comparison.differing.is_empty(), "{}", comparison.summary());
    println!("{} live books equal to the truth amid it", comparison.live);

    pair.resume().await;
    tokio::time::sleep(size.lasts).await;
    let end = Moment::now(&pair).await;
    drop(throttle);
    pair.set_rate(CALM).await;
    let ended = Instant::now();
    let tokens = figure(u64::try_from(pair.tokens()).expect("few"));
    // A book that was shed again and again is asked for at growing intervals:
    // none longer than the overload was, with the capacity looked for, and a
    // quarter more against unison. All of them together get 200 a second; the
    // rest is for a busy machine.
    let whole = size.lasts * 2 + size.step * 12;
    let allowed = whole.mul_f64(1.25).min(Duration::from_secs(75))
        + Duration::from_secs_f64(tokens / 200.0)
        + Duration::from_secs(10);
    let recovered = loop {
        let moment = Moment::now(&pair).await;
        if moment.live == u64::try_from(pair.tokens()).expect("few") {
            break ended.elapsed();
        }
        assert!(
            ended.elapsed() < allowed,
            "after {allowed:?} {} live, stale for {:?}",
            moment.live,
            moment.reasons
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    pair.rest(Duration::from_secs(60)).await;
    let comparison = pair.assert_equal_to_truth(Duration::from_secs(60)).await;
    assert_eq!(comparison.live, pair.tokens());
    let most = watch.most();

    let mut table = Table::new(
        "twice what a tenth of the machine can take",
        &[
            "events/s offered",
            "first shed at",
            "changes/s applied",
            "shed/s",
            "queue full/s",
            "closed as slow",
            "live amid",
            "of",
            "resyncs",
            "RSS MiB before",
            "most MiB",
            "bound MiB",
            "recovered s",
            "allowed s",
        ],
    );
    table.row(&[
        amid.a_second(&before, |moment| moment.steps),
        sheds_at,
        amid.a_second(&before, |moment| moment.applied),
        amid.a_second(&before, |moment| moment.dropped),
        amid.a_second(&before, |moment| moment.queue_full),
        figure(end.closed_slow - before.closed_slow),
        figure(amid.live),
        tokens,
        figure(end.resyncs - before.resyncs),
        mib(memory),
        mib(most),
        mib(bound),
        recovered.as_secs_f64(),
        allowed.as_secs_f64(),
    ]);
    table.print();
    println!(
        "{:.0} events a second reached the queue or were shed there",
        amid.a_second(&before, |moment| moment.routed + moment.dropped)
    );

    let offered = amid.a_second(&before, |moment| moment.steps);
    assert!(
        offered > sheds_at * 1.5,
        "the exchange offered {offered:.0} events a second only"
    );
    assert!(most < bound, "{} MiB", mib(most));
    pair.stop();
    (before, amid, end)
}
