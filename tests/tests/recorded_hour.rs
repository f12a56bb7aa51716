//! An hour of the exchange with faults: recorded, verified, and replayed into a program that
//! knows nothing of it.
//!
//! The hour has a hundred order events a second, and is lived sixty times as fast: a minute
//! of 6,000 a second. `make recorded-hour` lives all of it, `make test` five minutes, with half
//! of the events.
//!
//! Of each millisecond the last state counts. Its faults lose, repeat and reorder what the
//! venue says, and none makes it wrong: every state that was recorded has a hash that verifies.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hyper::Method;
use polypy::PolyPy;
use polypy::config::{ByteSize, Config};
use polypy_core::recording::Gap;
use polypy_core::{AssetId, Level};
use polypy_sim::{Fault, FaultKind, SimConfig, digest};
use polypy_tests::history::{Agreement, Histories, History, State, Witness};
use polypy_tests::judge::Patience;
use polypy_tests::program::Program;
use polypy_tests::recording::{self, path_of, run};
use polypy_tests::world::{SOON, World, exchange};
use polypy_tests::{http, wait};
use serde_json::{Value, json};

const SEED: u64 = 20_261_130;
const MARKETS: usize = 40;
/// Between two faults.
const PACE: Duration = Duration::from_millis(800);
/// Longer than a socket may be dead unnoticed.
const STALL: Duration = Duration::from_secs(10);

/// Between two looks at whether all has been told.
const LOOK: Duration = Duration::from_millis(200);

/// How much of the hour is lived.
struct Size {
    events_per_second: f64,
    lasting: Duration,
    /// A file of it lasts for some seconds: each book is to be copied to it.
    file: usize,
}

const FULL: Size = Size {
    events_per_second: 6_000.0,
    lasting: Duration::from_secs(60),
    file: 4 << 20,
};

const SMALL: Size = Size {
    events_per_second: 3_000.0,
    lasting: Duration::from_secs(5),
    file: 1 << 20,
};

fn size() -> Size {
    match std::env::var("POLYPY_SOAK").as_deref() {
        Ok("full") => FULL,
        _ => SMALL,
    }
}

fn folder(name: &str) -> PathBuf {
    recording::folder(env!("CARGO_TARGET_TMPDIR"), name)
}

/// Few tokens a socket, and room for a client on a busy machine.
fn config() -> Config {
    let mut config = Config::default();
    (config.pool.target, config.pool.cap) = (16, 20);
    config.stream.buffer = ByteSize(1 << 30);
    // No check is left out because the machine is busy.
    config.integrity.hash_cpu_percent = 100;
    config.integrity.hash_searches_per_second = 10_000;
    config
}

fn recording_to(folder: &Path, size: &Size) -> Config {
    let mut config = config();
    // Watchdogs of seconds.
    Patience::Short.apply(&mut config);
    config.record.dir = Some(folder.to_owned());
    config.record.rotate_size = ByteSize(size.file);
    config.record.chunk = ByteSize(64 << 10);
    config.record.chunk_after = Duration::from_millis(100);
    config.record.disk_reserve = ByteSize(0);
    config
}

/// What happens in the hour, one after the other.
fn faults(world: &World, round: usize, left: Duration) -> Vec<Fault> {
    let sockets = world.sim.connections();
    let one = sockets[round % sockets.len()];
    let drop = || Fault::new(FaultKind::DropConnection).on_connections([one]);
    let some = |kind| {
        Fault::new(kind)
            .on_share(0.3)
            .lasting(Duration::from_millis(500))
    };
    match round % 7 {
        0 => vec![some(FaultKind::MissingFirstBook), drop()],
        1 => vec![some(FaultKind::Duplicate), some(FaultKind::Reorder)],
        2 => vec![Fault::new(FaultKind::Close1013).on_connections([one])],
        3 => vec![some(FaultKind::UnknownEvent), some(FaultKind::Whitespace)],
        4 => vec![
            some(FaultKind::LateSnapshotDelta),
            some(FaultKind::OpeningDuplicateToken),
            drop(),
        ],
        5 => vec![some(FaultKind::EmptyTops), some(FaultKind::ControlText)],
        // Till the program has found out. A stall that ends before has lost what no gap tells of.
        _ if left > 2 * STALL => {
            let stall = Fault::new(FaultKind::StallAll).on_connections([one]);
            vec![stall.lasting(STALL)]
        }
        _ => Vec::new(),
    }
}

/// What a run of the program told, and what it had at the end.
struct Lived {
    histories: Histories,
    books: Vec<(AssetId, Value)>,
}

impl Lived {
    /// Leaves only what the venue had; of the rest there is little.
    fn keep_real(&mut self, had: &Had) {
        let (mut real, mut parts) = (0, 0);
        for (token, history) in &mut self.histories {
            let (kept, left_out) = std::mem::take(history).of_the_venue(&had[token]);
            parts += left_out;
            real += kept.0.len();
            *history = kept.by_time();
        }
        assert!(parts * 100 < real, "{parts} parts of states, {real} states");
    }
}

/// Every state that a book ever had.
type Had = BTreeMap<AssetId, HashSet<State>>;

/// What was played again.
struct Again {
    lived: Lived,
    /// Frames that were read.
    frames: u64,
    /// The books before anything was played.
    begun: BTreeMap<AssetId, State>,
    /// The books of the CLOB once all was played.
    ended: BTreeMap<AssetId, State>,
}

/// The exchange has its hour, and the program that follows it records.
async fn live(size: &Size, folder: &Path) -> (Lived, Had) {
    let sim = SimConfig {
        seed: SEED,
        markets: MARKETS,
        events_per_second: size.events_per_second,
        // More than any token has.
        journal: 200_000,
        ..SimConfig::for_tests()
    };
    let sim = exchange(sim).await;
    // Nothing happens before somebody listens.
    sim.pause();
    let world = World::of_exchange(sim, recording_to(folder, size)).await;
    let witness = Witness::start(world.http());
    wait::until("every book is told", SOON, async || {
        witness.is_ready() && witness.books() == 2 * MARKETS
    })
    .await;
    world.all_live(SOON).await;
    world.sim.resume();
    let (began, mut round) = (Instant::now(), 0);
    while began.elapsed() < size.lasting {
        let left = size.lasting.saturating_sub(began.elapsed());
        for fault in faults(&world, round, left) {
            world.sim.add_fault(fault);
        }
        round += 1;
        tokio::time::sleep(PACE).await;
    }
    world.sim.clear_faults();
    world.all_live(SOON).await;
    world.assert_equal_to_truth(SOON).await;
    let mut tokens = world.sim.assets();
    tokens.sort();
    let mut lived = finish(&world.polypy, witness, &tokens, None).await;
    let states = tokens.into_iter().map(|token| {
        let states = world.sim.journal(&token);
        let states = states
            .iter()
            .map(|state| (state.timestamp.millis(), state.digest));
        (token, states.collect())
    });
    let had: Had = states.collect();
    world.sim.stop().await;
    lived.keep_real(&had);
    (lived, had)
}

/// Ends a program once it has the books that it is to end with, if these are known, and has told
/// all of them.
async fn finish(
    polypy: &PolyPy,
    witness: Witness,
    tokens: &[AssetId],
    last: Option<&[(AssetId, Value)]>,
) -> Lived {
    let address = address_of(polypy);
    let (began, mut books) = (Instant::now(), Vec::new());
    // What differs at last is for the caller to say.
    while began.elapsed() < SOON {
        books.clear();
        let mut is_told = true;
        for token in tokens {
            let shown = shown(address, token).await;
            let [epoch, sequence] = ["epoch", "sequence"].map(|name| shown[name].as_u64());
            is_told &= witness.position(token) == epoch.zip(sequence);
            let fields = ["state", "hash_verified", "bids", "asks"].map(|name| &shown[name]);
            books.push((token.clone(), json!(fields)));
        }
        if is_told && last.is_none_or(|last| last == books) {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    let stats = http::get(address, "/stats")
        .await
        .expect("an answer")
        .json();
    assert_eq!(stats["wire"]["parse_errors"], 0, "{:#}", stats["wire"]);
    let histories = witness.end().await;
    polypy.stop().await;
    Lived { histories, books }
}

/// A book as the program shows it.
async fn shown(address: SocketAddr, token: &AssetId) -> Value {
    let path = format!("/orderbook/{token}?depth=1000");
    let answer = http::get(address, &path).await.expect("an answer");
    answer.json()
}

fn address_of(polypy: &PolyPy) -> SocketAddr {
    let address = polypy.http_addr().expect("the HTTP server runs");
    SocketAddr::from(([127, 0, 0, 1], address.port()))
}

/// What a recording says that it lacks.
fn gaps_of(place: &Path) -> Vec<Gap> {
    let info = run(&["info", "--json", path_of(place)]).json();
    let gaps = serde_json::from_value(info["gaps"].clone());
    gaps.expect("gaps")
}

/// The tokens of which a recording has the book at this moment, in microseconds.
fn covered(had: &Had, gaps: &[Gap], at: u64) -> BTreeSet<AssetId> {
    let is_open = |gap: &&Gap| {
        gap.from_ts.is_none_or(|from| from <= at) && gap.to_ts.is_none_or(|to| at <= to)
    };
    let missing = gaps.iter().filter(is_open);
    let missing: BTreeSet<_> = missing.filter_map(|gap| gap.token_id.as_ref()).collect();
    let kept = had.keys().filter(|token| !missing.contains(token));
    kept.cloned().collect()
}

/// Whatever was told of a token that nobody can answer for stands in the recording, with the
/// same reason.
fn assert_recorded(told: &Histories, gaps: &[Gap]) {
    for (token, history) in told {
        for (_, reason) in history.breaks() {
            let has = |gap: &Gap| {
                let mut reasons = gap.also.iter().chain([&gap.reason]);
                gap.token_id.as_ref() == Some(token) && reasons.any(|of| **of == *reason)
            };
            let of_token = || {
                gaps.iter()
                    .filter(|gap| gap.token_id.as_ref() == Some(token))
            };
            assert!(
                gaps.iter().any(has),
                "{token}: {reason} is not in {:#?}",
                of_token().collect::<Vec<_>>()
            );
        }
    }
}

/// Each token has a book at the end, and the CLOB of the replay has the same, level for level.
fn assert_same_books(ended: &BTreeMap<AssetId, State>, books: &[(AssetId, Value)]) {
    assert_eq!(books.len(), 2 * MARKETS);
    for (token, book) in books {
        assert_eq!(book[0], "live", "{token}: {book}");
        let ours = digest(pairs(&book[2]), pairs(&book[3]));
        let theirs = ended.get(token).map(|state| state.1);
        assert_eq!(theirs, Some(ours), "{token} is another book: {book}");
    }
}

/// Levels as the program writes them, best first.
fn pairs(side: &Value) -> Vec<Level> {
    let rows = side.as_array().expect("levels").iter();
    let level = |row: &Value| level(&row[0], &row[1]);
    rows.map(level).collect()
}

/// `polypy replay`, and the program that takes it for the venue. These tokens have a book before
/// anything is played.
async fn replay(
    folder: &Path,
    more: &[&str],
    (had, last): (&Had, &[(AssetId, Value)]),
    expected: &BTreeSet<AssetId>,
) -> Again {
    let mut args = vec!["replay", path_of(folder), "--speed", "2x"];
    args.extend(more);
    let args: Vec<_> = args.into_iter().map(str::to_owned).collect();
    let venue = Program::start(&args);
    let line = venue.says("gamma_url");
    let url = line.split('"').nth(1).expect("an address");
    let place: SocketAddr = url
        .trim_start_matches("http://")
        .parse()
        .expect("an address");
    ask(place, Method::POST, "/sim/pause").await;
    let mut config = config();
    // It asks for nothing again by itself: what it is told has to be enough.
    config.pool.first_book_deadline = SOON;
    // The venue waits for it, and goes on once it is back.
    config.pool.backoff = Duration::from_millis(20);
    config.pool.backoff_cap = Duration::from_millis(100);
    config.pool.pace = Duration::ZERO;
    let polypy = PolyPy::builder()
        .config(config)
        .venue(url, url, &format!("ws://{place}/ws/market"))
        .enable_http(true)
        .http_port(0)
        .build()
        .expect("the settings are usable");
    polypy.start().await.expect("the program starts");
    let witness = Witness::start(address_of(&polypy));
    wait::until("the client listens", SOON, async || witness.is_ready()).await;
    let begun = begun_at(place, had, expected).await;
    ask(place, Method::POST, "/sim/resume").await;
    let mut frames = 0;
    wait::until("the recording is played", 3 * SOON, async || {
        let stats = ask(place, Method::GET, "/sim/stats").await;
        let playback = &stats["playback"];
        frames = playback["total"].as_u64().expect("a count");
        playback["done"] == true
    })
    .await;
    let tokens: Vec<_> = had.keys().cloned().collect();
    let mut lived = finish(&polypy, witness, &tokens, Some(last)).await;
    let ended = books_at(place, had).await;
    venue.stop();
    lived.keep_real(had);
    Again {
        lived,
        frames,
        begun,
        ended,
    }
}

/// The books of a venue once all is played that is before the beginning: those that are expected
/// are there, and no further frame is played.
async fn begun_at(
    place: SocketAddr,
    had: &Had,
    expected: &BTreeSet<AssetId>,
) -> BTreeMap<AssetId, State> {
    let (began, mut played) = (Instant::now(), Value::Null);
    loop {
        tokio::time::sleep(LOOK).await;
        let now = ask(place, Method::GET, "/sim/stats").await["playback"].take();
        let is_still = std::mem::replace(&mut played, now.clone()) == now;
        let books = books_at(place, had).await;
        let missing = expected.iter().filter(|token| !books.contains_key(*token));
        let missing: Vec<_> = missing.collect();
        if is_still && missing.is_empty() {
            return books;
        }
        assert!(
            began.elapsed() < SOON,
            "{played}, and no book of {missing:?}"
        );
    }
}

/// The books that a venue answers look-ups with.
async fn books_at(place: SocketAddr, had: &Had) -> BTreeMap<AssetId, State> {
    let mut books = BTreeMap::new();
    for token in had.keys() {
        let path = format!("/book?token_id={token}");
        let answer = http::get(place, &path).await.expect("an answer");
        if answer.status == 200 {
            let book = answer.json();
            let stamp = book["timestamp"].as_str().expect("a time");
            let levels = digest(levels(&book["bids"]), levels(&book["asks"]));
            let state = (stamp.parse().expect("a time"), levels);
            books.insert(token.clone(), state);
        }
    }
    books
}

/// Levels as the venue writes them, best first.
fn levels(side: &Value) -> Vec<Level> {
    let rows = side.as_array().expect("levels").iter().rev();
    let level = |row: &Value| level(&row["price"], &row["size"]);
    rows.map(level).collect()
}

fn level(price: &Value, size: &Value) -> Level {
    let [price, size] = [price, size].map(|number| number.as_str().expect("a number"));
    Level::new(
        price.parse().expect("a price"),
        size.parse().expect("a size"),
    )
}

async fn ask(place: SocketAddr, method: Method, path: &str) -> Value {
    let answer = http::ask(place, method, path).await.expect("an answer");
    answer.json()
}

/// Every state of the first run is in the second one, in its order, and so is each gap.
fn agree(ours: &Histories, theirs: &Histories) -> Agreement {
    assert!(ours.keys().eq(theirs.keys()), "they are of other tokens");
    let mut all = Agreement::default();
    for (token, history) in ours {
        let found = history.agrees(&theirs[token]);
        assert!(found.is_ok(), "{token}: {found:?}");
        let found = found.unwrap_or_default();
        all.states += found.states;
        all.beside_gaps += found.beside_gaps;
        all.gaps += found.gaps;
        all.empty_gaps += found.empty_gaps;
        all.asked_again += found.asked_again;
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_with_faults_comes_back_state_by_state() {
    let place = folder("hour");
    let size = size();
    let (lived, had) = live(&size, &place).await;
    let said = run(&["verify", "--json", path_of(&place)]);
    let report = said.json();
    assert_eq!(said.code, 0, "{report:#}");
    let checks = &report["checks"];
    let count = |name: &str| checks[name].as_u64().expect("a count");
    // Where a loss cut a state in two nobody can say anything of it.
    let unjudged = count("unjudged");
    assert_eq!(count("verified") + unjudged, count("states"), "{checks:#}");
    assert!(unjudged * 1_000 < count("states"), "{checks:#}");
    assert_eq!(count("tops_failed"), 0, "{checks:#}");
    assert_eq!(count("checkpoints_failed"), 0, "{checks:#}");

    let gaps = gaps_of(&place);
    assert_recorded(&lived.histories, &gaps);
    let last = (&had, &*lived.books);
    let again = replay(&place, &[], last, &BTreeSet::new()).await;
    assert!(again.begun.is_empty(), "nothing is before the beginning");
    let all = agree(&lived.histories, &again.lived.histories);
    assert!(all.beside_gaps * 100 < all.states, "{all:?}");
    println!(
        "{} frames, {} states verified; again {all:?}",
        again.frames, checks["verified"]
    );
    assert_eq!(again.lived.books, lived.books, "the books at the end");
    assert_same_books(&again.ended, &lived.books);
    let (begun, all) = from_the_midst(&place, &lived, (&had, &gaps)).await;
    println!("from the midst: {begun} books before the first frame, {all:?}");
}

/// Plays the last file: what its books began with is in the one before it, and all that is
/// older is not read. How many books there were before it.
async fn from_the_midst(
    place: &Path,
    lived: &Lived,
    (had, gaps): (&Had, &[Gap]),
) -> (usize, Agreement) {
    let info = run(&["info", "--json", path_of(place)]).json();
    let files = info["files"].as_array().expect("files");
    assert!(files.len() > 2, "{files:#?}");
    let [before, last] = files.last_chunk().expect("two files");
    // The one before it ends with the last copies of books that it has to have.
    let ends = [last["from_ts"].as_u64(), before["to_ts"].as_u64()];
    let from = ends.into_iter().flatten().max().expect("a time") + 1_000;
    let expected = covered(had, gaps, from);
    let last = (had, &*lived.books);
    let again = replay(place, &["--from", &from.to_string()], last, &expected).await;
    let read = |count: usize| -> u64 {
        let read = &files[files.len() - count..];
        read.iter().filter_map(|file| file["frames"].as_u64()).sum()
    };
    // On a busy machine a file may end before each book has been copied to it.
    let most = if files.len() < 8 {
        files.len()
    } else {
        files.len() / 2
    };
    let count = (1..=most).find(|count| read(*count) == again.frames);
    assert!(count.is_some(), "{} frames of {files:#?}", again.frames);
    // Each that there was, which is most of them.
    let begun = again.begun.len();
    assert!(expected.len() * 4 > had.len() * 3, "{}", expected.len());
    let (mut ours, mut theirs) = (Histories::new(), Histories::new());
    for (token, history) in again.lived.histories {
        let whole = &lived.histories[&token];
        let (since, history) = match again.begun.get(&token) {
            Some(book) => {
                assert!(had[&token].contains(book), "{token} never had {book:?}");
                let at_its_time = whole.states().into_iter().find(|told| told.0 == book.0);
                let book = &at_its_time.expect("it was told");
                assert!(book.0 * 1_000 <= from, "{token} begins too late: {book:?}");
                let since = History(whole.since(book).0.split_off(1));
                (since.begun_with(*book), history.begun_with(*book))
            }
            None => (whole.since(&history.states()[0]), history),
        };
        ours.insert(token.clone(), since);
        theirs.insert(token, history);
    }
    let all = agree(&ours, &theirs);
    assert_eq!(again.lived.books, lived.books, "the books at the end");
    assert_same_books(&again.ended, &lived.books);
    (begun, all)
}
