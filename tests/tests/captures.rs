//! Recordings, played by the exchange through the whole program: what an
//! independent checker verified, the program verifies, state by state.
//!
//! Those of the real venue are not part of the project: `POLYPY_CAPTURES` names
//! their folder, and without it their tests say so and check nothing. One of our
//! own making has the shapes that they have.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use polypy::archive::{Entries, Recording as Archived, SystemDisk};
use polypy::clock::SystemClock;
use polypy::recordings::import;
use polypy_core::Price;
use polypy_core::recording::RecordingSource;
use polypy_sim::{Sim, SimConfig};
use polypy_tests::recording::{self, path_of, run};
use polypy_tests::replay::{Decimal, PlainBook, Replay, replay};
use polypy_tests::world::{SOON, World, unhurried};
use polypy_tests::{http, recorded, wait};
use serde_json::{Value, json};

/// A recording and what an independent checker found in it.
///
/// A state is what consecutive frames with one time stamp and one hash lead to.
/// So the books and changes of a recording state more hashes than it has states:
/// the venue sends a change and then the book that it led to.
struct Recording {
    path: PathBuf,
    found: Found,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    /// Hashes stated by books and by changes to known books.
    stated: usize,
    /// States, every one of which verifies.
    states: usize,
    /// Changes older than their book's snapshot.
    stale: usize,
    /// Times hashes went over to a last trade price that nothing had told.
    unannounced: usize,
}

/// What the recorded frames hold. Those of polybotv2 are hashed with a price
/// of which no announcement was recorded, and then with another.
const FRAMES: [(&str, Found); 5] = [
    ("polyarb_capture_20260630", found(11, 9, 0)),
    ("polybotv2_raw_20251223", found(5, 5, 2)),
    ("polypy_ws_vs_rest_20251023", found(5, 3, 0)),
    ("ssmd_book_20260212", found(10, 10, 0)),
    ("tinli_fed_20260720", found(26, 25, 0)),
];

/// Recorded answers of the CLOB to single look-ups of books.
const BOOKS: [&str; 2] = ["polyarb_clob_book_binary", "polycopy_clob_orderbook_sample"];
/// More of them, one a line, each under `body`.
const WRAPPED_BOOKS: &str = "tinli_books";
/// How many there are together, no two of one token with the same hash.
const BOOK_COUNT: usize = 24;

/// The largest capture, and its frames.
const LARGEST: (&str, u64) = ("tickscope_20260607_0130.reframed.jsonl.gz", 103_666);

/// When captures are imported, in nanoseconds since the epoch.
const NOW: u64 = 1_795_000_000_000_000_000;

const fn found(stated: usize, states: usize, unannounced: usize) -> Found {
    Found {
        stated,
        states,
        stale: 0,
        unannounced,
    }
}

/// The recordings of the real venue; none where there are none. `reader` names
/// the test, so that no two write the same file.
#[expect(
    clippy::print_stderr,
    reason = "a test that checks nothing must say so"
)]
fn recordings(reader: &str) -> Vec<Recording> {
    let Some(folder) = std::env::var_os("POLYPY_CAPTURES").map(PathBuf::from) else {
        eprintln!("nothing checked: POLYPY_CAPTURES names no folder of recordings");
        return Vec::new();
    };
    let frames = FRAMES.iter().map(|(name, found)| Recording {
        path: folder.join("frames").join(format!("{name}.jsonl")),
        found: *found,
    });
    let books = Recording {
        path: recorded_books(&folder.join("clob"), reader),
        found: found(BOOK_COUNT, BOOK_COUNT, 0),
    };
    frames.chain([books]).collect()
}

/// Writes the recorded answers as one recording, oldest first.
fn recorded_books(folder: &Path, reader: &str) -> PathBuf {
    let read = |name: String| std::fs::read_to_string(folder.join(name)).expect("a file of books");
    let mut books: Vec<Value> = BOOKS
        .iter()
        .map(|name| serde_json::from_str(&read(format!("{name}.json"))).expect("a book"))
        .collect();
    books.extend(read(format!("{WRAPPED_BOOKS}.jsonl")).lines().map(|line| {
        let mut wrapped: Value = serde_json::from_str(line).expect("a wrapped book");
        wrapped["body"].take()
    }));
    books.sort_by_key(|book| book["timestamp"].as_str().map(str::to_owned));
    let lines: Vec<String> = books.iter().map(Value::to_string).collect();
    write(&format!("recorded_books_for_{reader}"), &lines.join("\n"))
}

/// A file in the folder of the tests.
fn write(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.jsonl"));
    std::fs::write(&path, text).expect("the folder of the tests can be written");
    path
}

fn replayed(path: &Path) -> Replay {
    replay(&std::fs::read_to_string(path).expect("a recording"))
}

#[test]
fn the_second_opinion_reproduces_the_hash_of_every_state() {
    for Recording { path, found } in recordings("replay") {
        let replay = replayed(&path);
        let name = path.display();
        assert_eq!(replay.unverified, Vec::<String>::new(), "{name}");
        let reread = Found {
            stated: replay.stated,
            states: replay.verified,
            stale: replay.stale,
            unannounced: replay.unannounced,
        };
        assert_eq!(reread, found, "{name}");
    }
}

#[test]
fn the_second_opinion_finds_in_our_own_recording_what_was_put_there() {
    let (lines, contents) = recorded::recording();
    let replay = replay(&lines);
    assert_eq!(replay.unverified, Vec::<String>::new());
    let reread = recorded::Contents {
        states: replay.verified,
        stale: replay.stale,
        repeated_books: replay.repeated_books,
        repeated_changes: replay.repeated_changes,
        unannounced: replay.unannounced,
    };
    assert_eq!(reread, contents);
    assert_eq!((contents.states, contents.stale), (20, 4));
    assert_eq!(contents.unannounced, 2);
}

#[tokio::test]
async fn recorded_frames_become_the_books_of_an_independent_replay() {
    for Recording { path, .. } in recordings("program") {
        verifies_every_state(&path).await;
    }
}

#[tokio::test]
async fn every_shape_of_the_wire_is_verified_state_by_state() {
    let (lines, _) = recorded::recording();
    let path = write("own_recording", &lines);
    verifies_every_state(&path).await;
}

/// Plays a recording through the exchange and the whole program, and holds the
/// books and the counts of checks against the replay's.
#[expect(
    clippy::print_stdout,
    reason = "the figures are for whoever runs the test to see"
)]
async fn verifies_every_state(path: &Path) {
    let expected = replayed(path);
    let config = SimConfig {
        playback: Some(path.to_owned()),
        ..SimConfig::for_tests()
    };
    let world = World::configured(config, unhurried()).await;
    let name = path.display();
    wait::until("the recording is played", SOON, async || {
        let playback = world.sim.stats().playback;
        playback.is_some_and(|playback| playback.done)
    })
    .await;
    let counted = expectation(&expected);
    let began = Instant::now();
    let mut seen = Counts::default();
    // Until all has been applied; what never comes is told by what differs.
    while seen != counted && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
        seen = Counts::of(&world.stats().await);
    }
    let stats = world.stats().await;
    assert_eq!(seen, counted, "{name}: {:#}", stats["workers"]);
    assert_eq!(
        stats["wire"]["parse_errors"], 0,
        "{name}: {:#}",
        stats["wire"]
    );
    has_the_books(&world, &expected, &name.to_string()).await;
    println!(
        "{name}: {} of {} states verified ({} hashes stated), {} stale changes skipped, \
         {} unannounced prices found, {} books equal",
        seen.verified - expected.repeated_books,
        expected.verified,
        expected.stated,
        seen.stale,
        seen.found,
        expected.books.len()
    );
    world.stop().await;
}

/// The program shows each book of the replay, and says of each how far to trust it.
async fn has_the_books(world: &World, expected: &Replay, name: &str) {
    let mut shown_books = Vec::new();
    for asset in expected.books.keys() {
        let path = format!("/orderbook/{asset}?depth=1000");
        let answer = http::get(world.http(), &path).await.expect("an answer");
        shown_books.push((asset, answer.json()));
    }
    for (asset, shown) in &shown_books {
        let book = &expected.books[*asset];
        // A recording that ends with a newer book of the market's other token,
        // and not its mirror image, lacks what this one was told.
        let overtaken = shown_books.len() == 2
            && shown_books.iter().any(|(other, newer)| {
                newer["last_update_ts"].as_u64() > shown["last_update_ts"].as_u64()
                    && !mirrors(book, &expected.books[*other])
            });
        let state = if overtaken {
            (json!("stale"), json!("mirror"))
        } else {
            (json!("live"), json!(null))
        };
        let said = (shown["state"].clone(), shown["reason"].clone());
        assert_eq!(said, state, "{name}: {asset}");
        assert_eq!(shown["hash_verified"], true, "{name}: {asset}");
        assert_eq!(plain(shown), *book, "{name}: {asset}");
    }
}

/// Whether a book is the mirror image of another.
fn mirrors(book: &PlainBook, other: &PlainBook) -> bool {
    let mirrored = |levels: &BTreeMap<Decimal, String>| -> BTreeMap<Price, String> {
        let levels = levels.iter().map(|(price, size)| {
            let price: Price = price.as_str().parse().expect("a price");
            (price.complement(), size.clone())
        });
        levels.collect()
    };
    let plain = |levels: &BTreeMap<Decimal, String>| -> BTreeMap<Price, String> {
        let levels = levels.iter().map(|(price, size)| {
            let price: Price = price.as_str().parse().expect("a price");
            (price, size.clone())
        });
        levels.collect()
    };
    mirrored(&book.bids) == plain(&other.asks) && mirrored(&book.asks) == plain(&other.bids)
}

/// How long the program may take to apply what it was sent.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the program counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    /// Hashes reproduced, however.
    verified: usize,
    /// Of those, the ones for which an unannounced price had to be found.
    found: usize,
    /// Changes recognised as belonging to a state that was complete.
    duplicates: usize,
    /// Changes older than the snapshot, left out.
    stale: usize,
    /// Hashes not reproduced, or not checked.
    unverified: usize,
}

impl Counts {
    fn of(stats: &Value) -> Self {
        let of = |group: &str, fields: &[&str]| -> usize {
            let counts = fields.iter().map(|field| {
                let count = stats["workers"].pointer(&format!("/{group}/{field}"));
                let count = count.and_then(Value::as_u64).expect(field);
                usize::try_from(count).expect("a small count")
            });
            counts.sum()
        };
        Self {
            verified: of(
                "integrity",
                &[
                    "hash/passed",
                    "hash/passed_with_candidate_price",
                    "hash/passed_with_other_format",
                    "hash/late",
                ],
            ),
            found: of("integrity", &["hash/passed_with_candidate_price"]),
            duplicates: of("events", &["duplicates"]),
            stale: of("events", &["stale_deltas_skipped"]),
            unverified: of(
                "integrity",
                &[
                    "hash/failed",
                    "hash/unverifiable",
                    "hash/ambiguous",
                    "formats_lost",
                    "hash/skipped",
                ],
            ),
        }
    }
}

/// What it is to count, by the independent replay. Every state is verified
/// once, with all its frames; a whole book of a state that changes had already
/// led to is verified for itself, and a change of one is a duplicate.
fn expectation(replay: &Replay) -> Counts {
    Counts {
        verified: replay.verified + replay.repeated_books,
        found: replay.unannounced,
        duplicates: replay.repeated_changes,
        stale: replay.stale,
        unverified: replay.unverified.len(),
    }
}

/// The book as the program shows it, in the plain form.
fn plain(shown: &Value) -> PlainBook {
    let side = |name: &str| -> BTreeMap<_, _> {
        shown[name]
            .as_array()
            .expect("levels")
            .iter()
            .map(|level| {
                let price = level[0].as_str().expect("a price");
                (
                    Decimal::new(price),
                    level[1].as_str().expect("a size").to_owned(),
                )
            })
            .collect()
    };
    PlainBook {
        bids: side("bids"),
        asks: side("asks"),
    }
}

// ---- made recordings of, and played again -----------------------------------

/// What came by a socket. The answers to look-ups, of which some captures hold a few, are
/// kept as such in a recording: they say what the CLOB had, and go to no socket.
fn of_sockets(lines: &str) -> String {
    let came = lines.lines().filter(|line| {
        let value: Value = serde_json::from_str(line).expect("a line of a capture");
        value.is_array() || value.get("event_type").is_some()
    });
    came.collect::<Vec<_>>().join("\n")
}

/// Imports a capture, and has the exchange play the recording to a program.
async fn imported_and_played(path: &Path) -> World {
    let name = path.file_name().expect("a file").to_string_lossy();
    let place = recording::folder(env!("CARGO_TARGET_TMPDIR"), &format!("played-{name}"));
    let imported = import(path, &place, NOW).expect("it can be imported");
    assert_eq!(imported.left_out.lines, 0, "{name}");
    let said = run(&["verify", "--json", path_of(&place)]);
    let report = said.json();
    assert_eq!(said.code, 0, "{name}: {report:#}");
    let checks = &report["checks"];
    assert_eq!(checks["verified"], checks["states"], "{name}: {checks:#}");
    let recording = Archived::open(Arc::new(SystemDisk), &place).expect("a recording");
    let source: Box<dyn RecordingSource> = Box::new(Entries::of(recording));
    let clock = Arc::new(SystemClock);
    let sim = Sim::play(SimConfig::for_tests(), clock, source, 0..u64::MAX).await;
    let world = World::of_exchange(sim.expect("it can be played"), unhurried()).await;
    wait::until("the recording is played", SOON, async || {
        let playback = world.sim.stats().playback;
        playback.is_some_and(|playback| playback.done)
    })
    .await;
    world
}

#[tokio::test]
async fn a_capture_that_was_made_a_recording_becomes_the_books_of_an_independent_replay() {
    let (own, _) = recorded::recording();
    let own = write("own_recording_imported", &own);
    let captures = recordings("recording").into_iter();
    for path in captures.map(|capture| capture.path).chain([own]) {
        let lines = std::fs::read_to_string(&path).expect("a capture");
        let expected = replay(&of_sockets(&lines));
        let name = path.display().to_string();
        let world = imported_and_played(&path).await;
        let has_all = async || {
            let mut has_all = true;
            for (asset, book) in &expected.books {
                let path = format!("/orderbook/{asset}?depth=1000");
                let answer = http::get(world.http(), &path).await.expect("an answer");
                has_all &= answer.status == 200 && plain(&answer.json()) == *book;
            }
            has_all
        };
        let began = Instant::now();
        // What never comes is told by what differs.
        while !has_all().await && began.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        has_the_books(&world, &expected, &name).await;
        let stats = world.stats().await;
        assert_eq!(stats["wire"]["parse_errors"], 0, "{name}");
        assert_eq!(stats["workers"]["integrity"]["hash"]["failed"], 0, "{name}");
        answers_are_answered(&world, &lines).await;
        world.stop().await;
    }
}

/// The exchange answers a look-up as the CLOB did in the end, byte for byte.
async fn answers_are_answered(world: &World, lines: &str) {
    let mut last = BTreeMap::new();
    for line in lines.lines().filter(|line| of_sockets(line).is_empty()) {
        let value: Value = serde_json::from_str(line).expect("a line of a capture");
        let asset = value["asset_id"].as_str().expect("a token").to_owned();
        let stamp = digits(&value["timestamp"]);
        let newest = last.entry(asset).or_insert((stamp, line));
        if stamp >= newest.0 {
            *newest = (stamp, line);
        }
    }
    for (asset, (_, line)) in last {
        let path = format!("/book?token_id={asset}");
        let answer = http::get(world.sim.local_addr(), &path).await;
        let answer = answer.expect("an answer");
        assert_eq!(
            String::from_utf8_lossy(&answer.body),
            line.trim(),
            "{asset}"
        );
    }
}

fn digits(value: &Value) -> u64 {
    let text = value.as_str().map(str::to_owned);
    let text = text.unwrap_or_else(|| value.to_string());
    text.parse().expect("a time stamp")
}

/// The largest capture has changes alone, of tokens of which it holds no book, and no
/// hashes: all of it is recorded and played, and nothing is made of it.
#[tokio::test]
async fn the_largest_capture_is_played_to_its_end_and_makes_no_book() {
    let Some(folder) = std::env::var_os("POLYPY_CAPTURES").map(PathBuf::from) else {
        println!("nothing checked: POLYPY_CAPTURES names no folder of recordings");
        return;
    };
    let path = folder.join("events").join(LARGEST.0);
    let world = imported_and_played(&path).await;
    wait::until("all of it has come", SOON, async || {
        let wire = world.stats().await["wire"].clone();
        let count = |name: &str| wire[name].as_u64().expect("a count");
        count("fast_frames") + count("general_frames") == LARGEST.1
    })
    .await;
    let stats = world.stats().await;
    assert_eq!(stats["wire"]["parse_errors"], 0, "{:#}", stats["wire"]);
    assert_eq!(
        stats["workers"]["books"]["live"], 0,
        "{:#}",
        stats["workers"]
    );
    world.stop().await;
}
