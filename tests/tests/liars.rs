//! A venue that misstates its listing: what is followed meanwhile, what is doubted, and
//! that all is right again afterwards.
//!
//! Each fault lasts for three rounds of discovery. A review that would release more than
//! three markets and a tenth of what is followed is put off until the next listing says
//! the same; what it put off is counted.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use polypy::PolyPy;
use polypy::config::{Config, MarketsSection, Setting};
use polypy_core::BookLookup;
use polypy_sim::{Fault, FaultKind, SimConfig, SimHandle};
use polypy_tests::listing::{Row, followed, listing, unlike};
use polypy_tests::world::{self, SOON, exchange};
use polypy_tests::{http, wait};
use serde_json::Value;

const MARKETS: usize = 80;
/// Rounds of discovery that a fault lasts.
const ROUNDS: u64 = 3;
/// Between two looks at what is followed.
const LOOK: Duration = Duration::from_millis(25);

/// A program with a selection, beside an exchange that is about to lie.
struct Trial {
    name: &'static str,
    sim: SimHandle,
    polypy: PolyPy,
    /// What the exchange listed before any fault.
    rows: Vec<Row>,
    /// What the program followed then.
    before: BTreeSet<String>,
}

/// What was followed at one time, after so many complete listings.
#[derive(Debug, PartialEq)]
struct Look {
    listings: u64,
    doubted: u64,
    followed: BTreeSet<String>,
}

fn figure(stats: &Value, path: &str) -> u64 {
    let figure = stats.pointer(path).and_then(Value::as_u64);
    figure.expect("a figure of the statistics")
}

fn listings(polypy: &PolyPy) -> u64 {
    figure(&polypy.stats(), "/lifecycle/discovery/complete_crawls")
}

fn doubted(polypy: &PolyPy) -> u64 {
    figure(&polypy.stats(), "/lifecycle/releases_doubted")
}

async fn follower(sim: &SimHandle, markets: MarketsSection) -> PolyPy {
    let mut config = Config {
        markets,
        ..world::unhurried()
    };
    config.lifecycle.discovery_interval = Duration::from_secs(1);
    config.workers.count = Setting::parse("1").expect("a number");
    let builder = PolyPy::builder().config(config);
    let builder = builder.venue(&sim.gamma_url(), &sim.clob_url(), &sim.ws_url());
    let polypy = builder.build().expect("the settings are usable");
    polypy.start().await.expect("the program starts");
    polypy
}

/// The section with these keys.
fn section(set: impl FnOnce(&mut MarketsSection)) -> MarketsSection {
    let mut section = Config::default().markets;
    set(&mut section);
    section
}

fn parse<T: Setting>(text: &str) -> T {
    T::parse(text).expect("a value of this key")
}

impl Trial {
    /// Starts both, and waits until all that `wanted` says is followed and live.
    async fn start(
        name: &'static str,
        select: impl FnOnce(&[Row]) -> MarketsSection,
        wanted: impl Fn(&[Row]) -> BTreeSet<String>,
    ) -> Self {
        let sim = exchange(SimConfig {
            markets: MARKETS,
            events_per_second: 100.0,
            ..SimConfig::for_tests()
        })
        .await;
        let rows = listing(&sim).await;
        assert_eq!(rows.len(), MARKETS);
        let polypy = follower(&sim, select(&rows)).await;
        let before = wanted(&rows);
        assert!(!before.is_empty(), "{name}");
        let trial = Self {
            name,
            sim,
            polypy,
            rows,
            before,
        };
        trial.are_live(&trial.before).await;
        trial.listed(1).await;
        assert_eq!(doubted(&trial.polypy), 0, "{name}");
        trial
    }

    /// Switches a fault on for all tokens.
    fn lie(&self, kind: FaultKind) {
        self.sim.add_fault(Fault::new(kind));
    }

    /// Switches a fault on for the first market with a property; its id.
    fn lie_about(&self, fault: Fault, which: impl Fn(&Row) -> bool) -> String {
        let row = self.rows.iter().find(|row| which(row));
        let row = row.expect("there is such a market");
        self.sim.add_fault(fault.on_assets(row.tokens.clone()));
        row.id.clone()
    }

    /// Waits for so many listings that began from now on.
    async fn listed(&self, times: u64) {
        let until = listings(&self.polypy) + times + 1;
        let what = format!("{}: {times} listings", self.name);
        wait::until(&what, SOON, async || listings(&self.polypy) >= until).await;
    }

    /// Looks at what is followed for three rounds that began from now on: each look that
    /// differs from the one before.
    async fn watch(&self) -> Vec<Look> {
        let until = listings(&self.polypy) + ROUNDS + 1;
        let mut looks: Vec<Look> = Vec::new();
        let begun = Instant::now();
        loop {
            let followed = followed(&self.polypy);
            let doubted = doubted(&self.polypy);
            // Counted last, so that what was seen is of this listing's time or before it.
            let listings = listings(&self.polypy);
            let look = Look {
                listings,
                doubted,
                followed,
            };
            if looks.last() != Some(&look) {
                looks.push(look);
            }
            if listings >= until {
                return looks;
            }
            assert!(begun.elapsed() < SOON, "{}: {ROUNDS} rounds", self.name);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Each fault that is on has struck.
    async fn has_struck(&self) {
        let faults = http::get(self.sim.local_addr(), "/sim/faults").await;
        let faults = faults.expect("an answer").json();
        let active = faults["active"].as_array().expect("a list");
        let hits = |fault: &Value| fault["hits"].as_u64() >= Some(ROUNDS);
        assert!(active.iter().all(hits), "{}: {active:#?}", self.name);
    }

    /// The same; nothing may have moved, and nothing have been doubted.
    async fn watch_nothing_move(&self) {
        let stale = "/workers/events/went_stale";
        let stale_before = figure(&self.polypy.stats(), stale);
        for look in self.watch().await {
            assert_eq!(look.followed, self.before, "{}: {look:?}", self.name);
            assert_eq!(look.doubted, 0, "{}: {look:?}", self.name);
        }
        assert_eq!(
            figure(&self.polypy.stats(), stale),
            stale_before,
            "{}",
            self.name
        );
        self.has_struck().await;
    }

    /// Waits until these markets, and no others, are followed, with live books that are
    /// the exchange's.
    async fn are_live(&self, wanted: &BTreeSet<String>) {
        let what = format!("{}: {} markets live and right", self.name, wanted.len());
        let rows = || self.rows.iter().filter(|row| wanted.contains(&row.id));
        let tokens = || rows().flat_map(|row| &row.tokens);
        wait::until(&what, SOON, async || {
            followed(&self.polypy) == *wanted && {
                self.sim.pause();
                let unlike = unlike(&self.sim, &self.polypy, tokens());
                self.sim.resume();
                unlike.is_empty()
            }
        })
        .await;
    }

    /// Ends all faults; waits until what was followed at first is again. How long that took.
    async fn recover(&self) -> Duration {
        self.sim.clear_faults();
        let begun = Instant::now();
        self.are_live(&self.before).await;
        self.listed(1).await;
        assert_eq!(
            followed(&self.polypy),
            self.before,
            "{}: it stays",
            self.name
        );
        begun.elapsed()
    }

    #[expect(clippy::print_stdout, reason = "the figures of a test that passes")]
    async fn end(self, said: &str) {
        println!(
            "{:<46} {} of {MARKETS} followed, {} doubted; {said}",
            self.name,
            self.before.len(),
            doubted(&self.polypy)
        );
        self.polypy.stop().await;
        self.sim.stop().await;
    }
}

fn of_crypto(rows: &[Row]) -> BTreeSet<String> {
    let has_tag = |row: &&Row| row.tags.iter().any(|tag| tag == "crypto");
    rows.iter()
        .filter(has_tag)
        .map(|row| row.id.clone())
        .collect()
}

fn crypto() -> MarketsSection {
    section(|markets| markets.tags = parse("crypto"))
}

/// Dollars with a wide gap around them: `from` markets or more were traded for more.
fn gap(rows: &[Row], from: usize) -> (f64, BTreeSet<String>) {
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by(|one, other| other.volume.total_cmp(&one.volume));
    let widest = (from..from + 20).max_by(|one, other| {
        let ratio = |at: usize| sorted[at - 1].volume / sorted[at].volume;
        ratio(*one).total_cmp(&ratio(*other))
    });
    let count = widest.expect("twenty places");
    let bound = (sorted[count - 1].volume * sorted[count].volume).sqrt();
    let above = sorted[..count].iter().map(|row| row.id.clone());
    (bound.round(), above.collect())
}

async fn tags_left_out() {
    let trial = Trial::start("tags left out", |_| crypto(), of_crypto).await;
    trial.lie(FaultKind::GammaTagsMissing);
    // One that never heard of a tag follows nothing by it, and is not led to follow all.
    let late = follower(&trial.sim, crypto()).await;
    trial.watch_nothing_move().await;
    wait::until("it has listed twice", SOON, async || listings(&late) >= 2).await;
    assert!(followed(&late).is_empty());
    let took = trial.recover().await;
    wait::until("it follows what it is to", SOON, async || {
        followed(&late) == trial.before
    })
    .await;
    late.stop().await;
    trial.end(&format!("right for {took:.1?} after it")).await;
}

/// Frames of released tokens come late, too: they may bring no book back.
async fn tags_denied() {
    let trial = Trial::start("tags denied, frames late", |_| crypto(), of_crypto).await;
    trial.lie(FaultKind::LateFrames);
    let first = listings(&trial.polypy);
    trial.lie(FaultKind::GammaTagsEmpty);
    let count = trial.before.len() as u64;
    assert!(count > 8);
    let looks = trial.watch().await;
    for look in &looks {
        let is_all = look.followed == trial.before;
        // All go in a moment, and a look may fall into it.
        assert!(is_all || look.followed.is_subset(&trial.before), "{look:?}");
        // The first listing that says so, or one that was under way, changes nothing.
        assert!(is_all || look.listings > first + 1, "{look:?}");
        assert!([0, count].contains(&look.doubted), "{look:?}");
        assert!(
            is_all || look.doubted == count,
            "released without a doubt: {look:?}"
        );
    }
    let last = looks.last().expect("looks");
    assert!(last.followed.is_empty(), "it said so twice: {last:?}");
    let books = trial.polypy.books();
    for row in &trial.rows {
        for token in &row.tokens {
            let found = books.book(token.as_str(), 1);
            assert!(matches!(found, BookLookup::Unknown), "{token}: {found:?}");
        }
    }
    let took = trial.recover().await;
    trial
        .end(&format!("all released, and back {took:.1?} after it"))
        .await;
}

async fn wild_figures_and_a_bound() {
    let bound = |rows: &[Row]| gap(rows, 25);
    let select =
        |rows: &[Row]| section(|markets| markets.min_volume = parse(&bound(rows).0.to_string()));
    let trial = Trial::start("wild figures, a least volume", select, |rows| bound(rows).1).await;
    trial.lie(FaultKind::GammaVolumeWild);
    let first = listings(&trial.polypy);
    let looks = trial.watch().await;
    for look in &looks {
        // Who comes to have enough comes at once: only what goes is doubted.
        let is_all = look.followed.is_superset(&trial.before);
        assert!(
            is_all || look.listings > first + 1,
            "without a doubt: {look:?}"
        );
    }
    let doubted = looks.last().expect("looks").doubted;
    assert!(doubted > 3, "{doubted}");
    // Who is in stays down to half of the bound: more than at first may be followed.
    trial.sim.clear_faults();
    let least = bound(&trial.rows).0 / 2.0;
    let enough = trial.rows.iter().filter(|row| row.volume >= least * 0.9);
    let enough: BTreeSet<String> = enough.map(|row| row.id.clone()).collect();
    let begun = Instant::now();
    wait::until(
        "who has enough is followed, and no other",
        SOON,
        async || {
            let now = followed(&trial.polypy);
            now.is_superset(&trial.before) && now.is_subset(&enough)
        },
    )
    .await;
    let took = begun.elapsed();
    trial.end(&format!("right {took:.1?} after it")).await;
}

async fn wild_figures_and_seats() {
    const SEATS: usize = 20;
    let by_volume = |rows: &[Row]| {
        let mut sorted: Vec<&Row> = rows.iter().collect();
        sorted.sort_by(|one, other| other.volume.total_cmp(&one.volume));
        let ids = sorted.into_iter().map(|row| row.id.clone());
        ids.collect::<Vec<_>>()
    };
    let select = |_: &[Row]| {
        section(|markets| {
            markets.max_markets = SEATS;
            markets.order = parse("volume");
        })
    };
    let first = |rows: &[Row]| by_volume(rows).into_iter().take(SEATS).collect();
    let trial = Trial::start("wild figures, seats", select, first).await;
    trial.lie(FaultKind::GammaVolumeWild);
    let looks = trial.watch().await;
    let mut before = (looks[0].listings, trial.before.clone());
    for look in &looks {
        // Between the one that goes and the one that comes there may be one seat free.
        let count = look.followed.len();
        assert!((SEATS - 2..=SEATS).contains(&count), "{look:?}");
        if look.listings > before.0 {
            let rounds = usize::try_from(look.listings - before.0 + 1).expect("few");
            let gone = before.1.difference(&look.followed).count();
            assert!(
                gone <= rounds * SEATS / 10,
                "{gone} gone in a round: {look:?}"
            );
            before = (look.listings, look.followed.clone());
        }
        assert_eq!(look.doubted, 0, "{look:?}");
    }
    let gone = trial.before.difference(&before.1).count();
    assert!(
        gone > 0,
        "figures that are a thousand times others move seats"
    );
    trial.sim.clear_faults();
    let ranked = by_volume(&listing(&trial.sim).await);
    let begun = Instant::now();
    wait::until(
        "the first sit, and none beyond the buffer",
        SOON,
        async || {
            let now = followed(&trial.polypy);
            let sits = |id: &String| now.contains(id);
            let (enters, leaves) = (SEATS * 9 / 10 - 1, SEATS * 11 / 10 + 1);
            ranked[..enters].iter().all(sits) && !ranked[leaves..].iter().any(sits)
        },
    )
    .await;
    let took = begun.elapsed();
    trial
        .end(&format!("{gone} seats moved, right {took:.1?} after it"))
        .await;
}

fn until_a_date(rows: &[Row]) -> (String, BTreeSet<String>) {
    let mut ends: Vec<_> = rows.iter().map(|row| row.end).collect();
    ends.sort_unstable();
    let end = ends[MARKETS / 2];
    let within = rows.iter().filter(|row| row.end <= end);
    (end.to_string(), within.map(|row| row.id.clone()).collect())
}

/// A window is not asked of again while a market is followed: ends that move release
/// nothing, and who once moved into it stays.
async fn moved_ends() {
    let select =
        |rows: &[Row]| section(|markets| markets.ends_before = parse(&until_a_date(rows).0));
    let trial = Trial::start("ends moved", select, |rows| until_a_date(rows).1).await;
    let later = Fault::new(FaultKind::GammaEndMoved).with("hours", 4_800);
    let later = trial.sim.add_fault(later.expect("hours"));
    trial.watch_nothing_move().await;
    trial.sim.remove_fault(later);
    let earlier = Fault::new(FaultKind::GammaEndMoved);
    let added = trial.lie_about(earlier, |row| !trial.before.contains(&row.id));
    let mut now = trial.before.clone();
    now.insert(added);
    trial.are_live(&now).await;
    trial.sim.clear_faults();
    trial.listed(2).await;
    assert_eq!(followed(&trial.polypy), now);
    trial
        .end("later ends move nothing, an earlier one adds one that stays")
        .await;
}

/// Two markets of one slug are both meant by it, and those that were are not touched.
async fn a_slug_of_two_markets(by_name: bool) {
    // As many that listings go on: few are asked for by name.
    const NAMED: usize = 10;
    let list = |rows: &[Row], text: fn(&Row) -> String| {
        let texts: Vec<_> = rows[..NAMED].iter().map(text).collect();
        texts.join(", ")
    };
    let select = |rows: &[Row]| {
        section(|markets| {
            if by_name {
                markets.ids = parse(&list(rows, |row| format!("0x{}", row.id)));
                markets.also = parse(&rows[0].slug);
            } else {
                markets.slugs = parse(&list(rows, |row| row.slug.clone()));
            }
        })
    };
    let name = if by_name {
        "a slug twice, by name"
    } else {
        "a slug twice, by slug"
    };
    let named = |rows: &[Row]| rows[..NAMED].iter().map(|row| row.id.clone()).collect();
    let trial = Trial::start(name, select, named).await;
    let twin = Fault::new(FaultKind::GammaSlugTwice);
    let twin = trial.lie_about(twin, |row| !trial.before.contains(&row.id));
    let mut both = trial.before.clone();
    both.insert(twin);
    trial.are_live(&both).await;
    for look in trial.watch().await {
        assert_eq!(look.followed, both, "{name}: {look:?}");
        assert_eq!(look.doubted, 0, "{name}");
    }
    let took = trial.recover().await;
    let said = format!("both followed, and not {took:.1?} after it");
    trial.end(&said).await;
}

async fn tags_refused() {
    let trial = Trial::start("tags refused", |_| crypto(), of_crypto).await;
    trial.lie(FaultKind::GammaRefusesTag);
    trial.watch_nothing_move().await;
    let took = trial.recover().await;
    trial.end(&format!("right for {took:.1?} after it")).await;
}

async fn ids_in_another_spelling() {
    let all = |rows: &[Row]| rows.iter().map(|row| row.id.clone()).collect();
    let trial = Trial::start("ids in another spelling", |_| section(|_| {}), all).await;
    trial.lie(FaultKind::GammaIdSpelling);
    trial.watch_nothing_move().await;
    let took = trial.recover().await;
    trial.end(&format!("right for {took:.1?} after it")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_venue_that_misstates_its_listing_moves_what_it_must_and_no_more() {
    tokio::join!(
        tags_left_out(),
        tags_denied(),
        wild_figures_and_a_bound(),
        wild_figures_and_seats(),
        moved_ends(),
        a_slug_of_two_markets(true),
        a_slug_of_two_markets(false),
        tags_refused(),
        ids_in_another_spelling(),
    );
}
