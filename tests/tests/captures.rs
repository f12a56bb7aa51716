//! Recordings of the real venue, played by the exchange through the whole
//! program. They are not part of the project: `POLYPY_CAPTURES` names the
//! folder, and without it these tests say so and check nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use polypy_sim::SimConfig;
use polypy_tests::http;
use polypy_tests::replay::{PlainBook, replay};
use polypy_tests::wait;
use polypy_tests::world::{SOON, World};
use serde_json::Value;

/// Recordings with the number of hashes (of books and of changes to known
/// books) that an independent checker reproduced.
const RECORDINGS: [(&str, usize); 5] = [
    ("polyarb_capture_20260630", 11),
    ("polybotv2_raw_20251223", 5),
    ("polypy_ws_vs_rest_20251023", 5),
    ("ssmd_book_20260212", 10),
    ("tinli_fed_20260720", 26),
];

#[expect(
    clippy::print_stderr,
    reason = "a test that checks nothing must say so"
)]
fn recordings() -> Vec<(PathBuf, usize)> {
    let Some(folder) = std::env::var_os("POLYPY_CAPTURES").map(PathBuf::from) else {
        eprintln!("nothing checked: POLYPY_CAPTURES names no folder of recordings");
        return Vec::new();
    };
    RECORDINGS
        .iter()
        .map(|(name, hashes)| (folder.join("frames").join(format!("{name}.jsonl")), *hashes))
        .collect()
}

#[test]
fn the_second_opinion_reproduces_every_hash() {
    for (path, hashes) in recordings() {
        let replay = replay(&std::fs::read_to_string(&path).unwrap());
        assert_eq!(
            replay.unverified,
            Vec::<String>::new(),
            "{}",
            path.display()
        );
        assert_eq!(replay.verified, hashes, "{}", path.display());
    }
}

#[tokio::test]
async fn recorded_frames_become_the_books_of_an_independent_replay() {
    for (path, hashes) in recordings() {
        let expected = replay(&std::fs::read_to_string(&path).unwrap());
        let config = SimConfig {
            playback: Some(path.clone()),
            ..SimConfig::for_tests()
        };
        let world = World::start(config, |builder| builder).await;
        let name = path.display();
        wait::until("the recording is played", SOON, async || {
            world
                .sim
                .stats()
                .playback
                .is_some_and(|playback| playback.done)
        })
        .await;
        let began = std::time::Instant::now();
        let mut stats = world.stats().await;
        while checked(&stats) < hashes as u64 && began.elapsed() < Duration::from_secs(5) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            stats = world.stats().await;
        }
        let integrity = &stats["workers"]["integrity"];
        assert_eq!(
            verified(&stats),
            hashes as u64,
            "{name}: {:#}",
            stats["workers"]
        );
        assert_eq!(integrity["failed"], 0, "{name}: {integrity:#}");
        assert_eq!(integrity["unverifiable"], 0, "{name}: {integrity:#}");
        assert_eq!(
            stats["wire"]["parse_errors"], 0,
            "{name}: {:#}",
            stats["wire"]
        );
        for (asset, book) in &expected.books {
            let path = format!("/orderbook/{asset}?depth=1000");
            let shown = http::get(world.http(), &path).await.unwrap().json();
            assert_eq!(shown["hash_verified"], true, "{name}: {asset}");
            assert_eq!(plain(&shown), *book, "{name}: {asset}");
        }
        println!(
            "{name}: {hashes} of {hashes} hashes verified, {} books equal",
            expected.books.len()
        );
        world.stop().await;
    }
}

/// Hashes reproduced from our levels. A change that repeats the hash of a state
/// already reproduced changes nothing: it is recognised as a duplicate of it.
fn verified(stats: &Value) -> u64 {
    let integrity = &stats["workers"]["integrity"];
    let reproduced: u64 = [
        "passed",
        "passed_with_candidate_price",
        "passed_with_other_recipe",
        "late",
    ]
    .iter()
    .map(|field| integrity[field].as_u64().expect("a count"))
    .sum();
    reproduced
        + stats["workers"]["events"]["duplicates"]
            .as_u64()
            .expect("a count")
}

fn checked(stats: &Value) -> u64 {
    let integrity = &stats["workers"]["integrity"];
    let not = ["failed", "unverifiable"].map(|field| integrity[field].as_u64().expect("a count"));
    verified(stats) + not.iter().sum::<u64>()
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
                    polypy_tests::replay::Decimal::new(price),
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
