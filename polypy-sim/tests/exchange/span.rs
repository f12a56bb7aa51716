//! Recordings played from their midst, again and again, and what the CLOB answers meanwhile.

use polypy_core::recording::Entry;
use polypy_sim::{Sim, SimConfig, SimHandle};
use serde_json::Value;

use crate::client::{Client, Got, clock, eventually, get, request};
use crate::playback::{Had, change, frame, lines, no, prices, yes};

const BEGAN: u64 = 1_791_200_000_000;

/// Plays frames that came at these milliseconds after the beginning, from one of them on.
async fn play(config: SimConfig, came: &[(u64, &str)], from: u64) -> SimHandle {
    let entry = |(at, text): &(u64, &str)| (BEGAN + at, frame((*text).to_owned()));
    let all: Vec<(u64, Entry)> = came.iter().map(entry).collect();
    let span = (BEGAN + from) * 1_000_000..u64::MAX;
    let sim = Sim::play(config, clock(), Box::new(Had(all)), span).await;
    sim.unwrap()
}

/// The first book, with a hash of which nobody knows how it is made: it is told as stated.
fn opening() -> String {
    let unknown = "00000000000000000000000000000000000000cc";
    lines()[0].replace("b17e93a1f6202e13d8e0dd3aeb958b4a882dca3c", unknown)
}

#[tokio::test]
async fn what_is_before_a_moment_makes_the_books_and_is_sent_to_nobody() {
    let (opening, before) = (opening(), change(BEGAN + 199, "0.49"));
    let behind = change(BEGAN + 299, "0.46");
    let came = [(100, &*opening), (200, &*before), (300, &*behind)];
    let sim = play(SimConfig::for_tests(), &came, 250).await;
    let mut client = Client::connect(&sim).await;
    client.open(&[yes()]).await;
    let books: Vec<Value> = serde_json::from_str(&client.text().await).unwrap();
    assert_eq!(books.len(), 1);
    assert_eq!(prices(&books[0]), ["0.47", "0.48", "0.49"]);
    assert_eq!(books[0]["timestamp"], (BEGAN + 199).to_string());
    assert_eq!(client.text().await, behind);
    eventually("all is played", || sim.stats().playback.unwrap().done).await;
    assert_eq!(client.until_pong().await, Vec::<String>::new());
    sim.stop().await;
}

#[tokio::test]
async fn a_recording_that_is_played_again_and_again_begins_anew_each_time() {
    let (opening, behind) = (opening(), change(BEGAN + 199, "0.49"));
    let config = SimConfig {
        playback_loops: true,
        ..SimConfig::for_tests()
    };
    let sim = play(config, &[(100, &opening), (200, &behind)], 0).await;
    let path = format!("/book?token_id={}", yes());
    for round in 0..3 {
        assert_eq!(get(&sim, &path).await.0, 404, "round {round}");
        let mut client = Client::connect(&sim).await;
        client.open(&[yes()]).await;
        // The frame that was recorded, and none of the exchange's own.
        assert_eq!(client.text().await, opening, "round {round}");
        assert_eq!(client.text().await, behind, "round {round}");
        assert!(matches!(client.ending().await, Got::End), "round {round}");
        assert_eq!(sim.stats().playback.unwrap().sent, 0, "round {round}");
    }
    sim.stop().await;
}

#[tokio::test]
async fn the_clobs_answer_of_a_recording_counts_until_the_book_changes() {
    let rest = lines()[2].clone();
    let later = change(BEGAN + 299, "0.49").replace(yes().as_str(), no().as_str());
    let came = [(100, &*rest), (300, &*later)];
    let path = format!("/book?token_id={}", no());
    // The first one alone, and both.
    for count in 1..=2 {
        let sim = play(SimConfig::for_tests(), &came[..count], 0).await;
        let mut client = Client::connect(&sim).await;
        client.open(&[no()]).await;
        eventually("all is played", || sim.stats().playback.unwrap().done).await;
        let (_, body) = request(&sim, "GET", &path, "").await;
        if count == 1 {
            assert_eq!(body, rest);
        } else {
            let book: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(prices(&book), ["0.49"]);
            assert_eq!(book["timestamp"], (BEGAN + 299).to_string());
        }
        sim.stop().await;
    }
}
