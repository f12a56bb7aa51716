//! The selection changed again and again while the market moves: what is followed is
//! right after each change, no other book is touched, and nothing is left behind.
//!
//! `make reselection` changes it a hundred times at full size, with tokens on one
//! connection and on two; `cargo test` twenty times in all on a third of the markets.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fastrand::Rng;
use polypy::config::{Config, Overlay};
use polypy::{PolyPy, SelectionError};
use polypy_sim::{Fault, FaultKind, SimConfig, SimHandle};
use polypy_tests::choice::{Choice, Wanted};
use polypy_tests::judge::trial::DELIVERY;
use polypy_tests::judge::truth::Truth;
use polypy_tests::judge::verdict::{Rules, judge};
use polypy_tests::judge::watch::{Record, Watch};
use polypy_tests::listing::{Row, followed, listing, unlike};
use polypy_tests::spans::{self, Change, Listener, REST_OF_A_STATE};
use polypy_tests::wait;
use polypy_tests::world::{self, SOON, World};
use tokio::runtime::Handle;

const SEED: u64 = 20_261_129;
/// Tokens of a connection, as is aimed at.
const TARGET: usize = 40;
/// So long frames of a token go on after it was let go.
const LATE: Duration = Duration::from_millis(700);
/// By then what such a frame did to a new book is found: a hash tells, and hashes come with
/// the next frames of the token.
const FOUND: Duration = Duration::from_secs(1);

/// How large and how long.
struct Size {
    markets: usize,
    events_per_second: f64,
    changes: usize,
    /// Between two changes at most, if the first is through.
    pause: u64,
}

const FULL: Size = Size {
    markets: 300,
    events_per_second: 500.0,
    changes: 100,
    pause: 1_000,
};

const SMALL: Size = Size {
    markets: 100,
    events_per_second: 200.0,
    changes: 10,
    pause: 300,
};

fn size() -> Size {
    match std::env::var("POLYPY_SOAK").as_deref() {
        Ok("full") => FULL,
        _ => SMALL,
    }
}

fn config(replicas: usize) -> Config {
    let seconds = Duration::from_secs;
    let mut config = world::unhurried();
    config.lifecycle.discovery_interval = seconds(1);
    (config.pool.target, config.pool.cap) = (TARGET, 2 * TARGET);
    config.pool.replicas = replicas;
    config.pool.merge_after = seconds(1);
    config.recycler.check_interval = seconds(1);
    config.recycler.age = seconds(2);
    config
}

/// A program whose selection changes, beside its exchange.
struct Trial {
    world: World,
    rng: Rng,
    /// What the exchange listed at first.
    rows: Vec<Row>,
    choice: Choice,
    changes: Vec<Change>,
}

async fn select(polypy: &PolyPy, choice: &Choice) -> Result<(), SelectionError> {
    let overlay = Overlay::parse(&choice.to_json()).expect("an overlay that can be read");
    polypy.select(overlay).await.map(|_selected| ())
}

impl Trial {
    async fn start(size: &Size, replicas: usize) -> Self {
        let sim = SimConfig {
            markets: size.markets,
            events_per_second: size.events_per_second,
            journal: 100_000,
            // As the venue's: frames of before come while a book is waited for.
            snapshot_delay: Duration::from_millis(REST_OF_A_STATE)..=Duration::from_millis(400),
            ..SimConfig::for_tests()
        };
        let world = World::configured(sim, config(replicas)).await;
        let late =
            Fault::new(FaultKind::LateFrames).with("delay", format!("{}ms", LATE.as_millis()));
        world.sim.add_fault(late.expect("a parameter of it"));
        let rows = listing(&world.sim).await;
        Self {
            world,
            rng: Rng::with_seed(SEED + replicas as u64),
            rows,
            choice: Choice::everything(),
            changes: Vec::new(),
        }
    }

    fn tokens(&self, ids: &BTreeSet<String>) -> BTreeSet<String> {
        let rows = self.rows.iter().filter(|row| ids.contains(&row.id));
        let tokens = rows.flat_map(|row| &row.tokens);
        tokens.map(ToString::to_string).collect()
    }

    fn note(&mut self, asked: u64, through: Option<u64>, wanted: &Wanted) {
        self.changes.push(Change {
            asked,
            through,
            must: self.tokens(&wanted.must),
            may: self.tokens(&wanted.may),
        });
    }

    /// Asks for another choice, and has what is followed then held against the model.
    async fn choose(&mut self, choice: Choice) {
        let asked = spans::now();
        let chosen = select(&self.world.polypy, &choice).await;
        assert!(chosen.is_ok(), "{}: {chosen:?}", choice.to_json());
        self.is_right(choice, asked).await;
    }

    async fn is_right(&mut self, choice: Choice, asked: u64) {
        let through = spans::now();
        let now = followed(&self.world.polypy);
        let rows = listing(&self.world.sim).await;
        let wanted = choice.wanted(&self.choice, &self.rows, &rows);
        let wrong = wanted.differences(&now);
        assert!(wrong.is_empty(), "{}: {wrong:#?}", choice.to_json());
        self.note(asked, Some(through), &wanted);
        self.choice = choice;
    }

    /// Asks for two, the second while the first is on its way, if it is still.
    async fn choose_twice(&mut self, one: Choice, other: Choice) {
        let asked = spans::now();
        let wait = Duration::from_micros(self.rng.u64(0..4_000));
        let polypy = &self.world.polypy;
        let second = async {
            tokio::time::sleep(wait).await;
            (spans::now(), select(polypy, &other).await)
        };
        let (first, (asked_again, second)) = tokio::join!(
            async {
                let chosen = select(polypy, &one).await;
                (spans::now(), chosen)
            },
            second
        );
        let (at, first) = first;
        let is_replaced = matches!(first, Err(SelectionError::Superseded));
        assert!(first.is_ok() || is_replaced, "{}: {first:?}", one.to_json());
        assert!(second.is_ok(), "{}: {second:?}", other.to_json());
        let through = (!is_replaced).then_some(at);
        let rows = listing(&self.world.sim).await;
        let wanted = one.wanted(&self.choice, &self.rows, &rows);
        // It may have been through before the second was asked for, or have begun after it.
        self.note(asked, through, &wanted);
        self.choice = one;
        self.is_right(other, asked_again).await;
    }

    async fn change(&mut self, times: usize, pause: u64) {
        let mut left = times;
        while left > 0 {
            let choice = Choice::random(&mut self.rng, &self.rows, &self.choice);
            if left > 1 && self.rng.u8(0..4) == 0 {
                let other = Choice::random(&mut self.rng, &self.rows, &choice);
                self.choose_twice(choice, other).await;
                left -= 2;
            } else {
                self.choose(choice).await;
                left -= 1;
            }
            let wait = Duration::from_millis(self.rng.u64(0..pause));
            tokio::time::sleep(wait).await;
        }
    }

    /// Waits until all that is listed is followed, with live books that are the exchange's.
    async fn all_live(&self) {
        let all: Vec<_> = self.rows.iter().flat_map(|row| &row.tokens).collect();
        wait::until("all books are live and right", SOON, async || {
            self.world.sim.pause();
            let unlike = unlike(&self.world.sim, &self.world.polypy, all.iter().copied());
            self.world.sim.resume();
            if !unlike.is_empty() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            unlike.is_empty()
        })
        .await;
    }

    /// Waits until there are no more connections than their tokens need.
    async fn few_connections(&self, replicas: usize) -> u64 {
        let tokens = 2 * self.rows.len();
        let most = (tokens / (TARGET / 2) + 1) * replicas;
        let mut count = 0;
        wait::until("small connections are merged", SOON, async || {
            let stats = self.world.stats().await;
            count = stats["pool"]["connection_count"].as_u64().expect("a count");
            count <= most as u64 && count == self.world.sim.stats().connections as u64
        })
        .await;
        count
    }
}

/// What a process holds that must not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    tasks: usize,
    descriptors: usize,
}

impl Held {
    fn now() -> Self {
        let open = std::fs::read_dir("/proc/self/fd").expect("the list of open files");
        Self {
            tasks: Handle::current().metrics().num_alive_tasks(),
            descriptors: open.count(),
        }
    }

    fn is_within(self, most: Self) -> bool {
        self.tasks <= most.tasks && self.descriptors <= most.descriptors
    }
}

/// Waits until nothing is followed and no connection is left; what is held then.
async fn at_rest(trial: &Trial) -> Held {
    wait::until("no connection is left", SOON, async || {
        let stats = trial.world.stats().await;
        stats["pool"]["connection_count"] == 0 && trial.world.sim.stats().connections == 0
    })
    .await;
    let mut before = Held::now();
    wait::until("nothing ends any more", SOON, async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = Held::now();
        std::mem::replace(&mut before, now) == now
    })
    .await;
    before
}

/// Time for which books were wrong while they were shown as live, after there was
/// evidence of it; nobody is to find any.
fn judged(sim: &SimHandle, record: &Record) -> (Duration, Duration) {
    assert!(!sim.is_journal_cut(), "the exchange's journal is too short");
    let rules = Rules {
        delivery: DELIVERY,
        provable: true,
        pauses: record.pauses.clone(),
    };
    let (mut live, mut wrong) = (Duration::ZERO, Duration::ZERO);
    for (number, (asset, seen)) in record.assets.iter().enumerate() {
        // Both tokens of a market stand in succession.
        let sibling = record.assets.get(number ^ 1).map(|(asset, _)| asset);
        let truth = Truth::of(sim, asset, sibling, record.began);
        let verdict = judge(seen, record.end, &truth, &rules);
        assert_eq!(
            verdict.live_refuted, 0,
            "{asset}: live beside a hash of another book"
        );
        live += verdict.live;
        wrong += verdict.after_evidence;
    }
    (live, wrong)
}

#[expect(clippy::print_stdout, reason = "the figures are what is asked for")]
async fn selection_is_changed(size: &Size, replicas: usize) {
    let mut trial = Trial::start(size, replicas).await;
    trial.all_live().await;
    trial.choose(Choice::nothing()).await;
    let held = at_rest(&trial).await;
    trial.choose(Choice::everything()).await;
    trial.all_live().await;
    trial.changes.clear();
    let all = Choice::everything().wanted(&trial.choice, &trial.rows, &trial.rows);
    let now = spans::now();
    trial.note(now, Some(now), &all);

    let begun = Instant::now();
    let listener = Listener::begin(&trial.world.polypy).await;
    let watch = Watch::begin(trial.world.polypy.books(), trial.world.sim.assets());
    trial.change(size.changes, size.pause).await;
    let lasted = begun.elapsed();
    trial.choose(Choice::everything()).await;
    trial.all_live().await;
    let connections = trial.few_connections(replicas).await;
    let told = listener.end().await;
    let record = watch.end().await;

    let late = u64::try_from((LATE + FOUND).as_millis()).expect("it is short");
    let found = spans::look(&told, &trial.changes, spans::now(), late);
    assert!(found.broken.is_empty(), "{:#?}", found.broken);
    let (live, wrong) = judged(&trial.world.sim, &record);
    assert_eq!(wrong, Duration::ZERO, "wrong while live, after evidence");
    let longest = |all: &[Duration]| all.iter().max().copied().unwrap_or_default();
    let replaced = trial.changes.iter().filter(|it| it.through.is_none());
    println!(
        "replicas {replicas}: {} changes in {:.0} s, {} of them replaced; {} times held, {:.0} \
         book-seconds live; {} added, the last live after {} ms; {} released, the last gone \
         after {} ms; {connections} connections for {} tokens",
        trial.changes.len() - 1,
        lasted.as_secs_f64(),
        replaced.count(),
        found.held,
        live.as_secs_f64(),
        found.to_live.len(),
        longest(&found.to_live).as_millis(),
        found.to_gone.len(),
        longest(&found.to_gone).as_millis(),
        2 * trial.rows.len(),
    );
    assert!(found.held > trial.rows.len() && !found.to_gone.is_empty());

    trial.choose(Choice::nothing()).await;
    at_rest(&trial).await;
    let mut now = Held::now();
    wait::until("nothing is left behind", SOON, async || {
        now = Held::now();
        now.is_within(held)
    })
    .await;
    println!("held before: {held:?}, after: {now:?}");
    trial.world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_followed_is_right_after_each_change_and_no_other_book_is_touched() {
    let size = size();
    println!("seed {SEED}");
    // One after the other: both count what the process holds.
    for replicas in [1, 2] {
        selection_is_changed(&size, replicas).await;
    }
}
