//! Recordings played over the market socket.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use polypy_core::fingerprint::{Attributes, Fingerprint, Form};
use polypy_core::recording::{
    Entry, Frame, Recorded, RecordingError, RecordingSource, RestAnswer, SocketEvent,
};
use polypy_core::{AssetId, AssetInfo, Interner, Level, OrderBook, Timestamp};
use polypy_sim::{Sim, SimConfig, SimError, SimHandle};
use serde_json::{Value, json};

use crate::client::{Client, clock, eventually, get, start};

const MARKET: &str = "0x00000000000000000000000000000000000000000000000000000000000000a1";

pub(crate) fn yes() -> AssetId {
    format!("1{:0>76}", "11").parse().unwrap()
}

pub(crate) fn no() -> AssetId {
    format!("1{:0>76}", "12").parse().unwrap()
}

/// A recording in a file that is gone when the test is over.
struct Recording {
    path: PathBuf,
    lines: Vec<String>,
}

impl Recording {
    fn new(name: &str, lines: Vec<String>) -> Self {
        let name = format!("polypy-sim-playback-{}-{name}.jsonl", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, lines.join("\n")).unwrap();
        Self { path, lines }
    }

    async fn start(&self, config: SimConfig) -> SimHandle {
        start(SimConfig {
            playback: Some(self.path.clone()),
            ..config
        })
        .await
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // What stays is a small file in the temporary folder.
        std::fs::remove_file(&self.path).unwrap_or_default();
    }
}

/// The two sides of a market whose hashes are known from elsewhere, then a
/// change with the venue's blanks, then a REST answer.
pub(crate) fn lines() -> Vec<String> {
    let opening = format!(
        "[{{\"market\":\"{MARKET}\",\"asset_id\":\"{}\",\"timestamp\":\"1791199970000\",\
         \"hash\":\"b17e93a1f6202e13d8e0dd3aeb958b4a882dca3c\",\
         \"bids\":[{{\"price\":\"0.47\",\"size\":\"250\"}},{{\"price\":\"0.48\",\"size\":\"100\"}}],\
         \"asks\":[{{\"price\":\"0.53\",\"size\":\"300\"}},{{\"price\":\"0.52\",\"size\":\"120\"}}],\
         \"event_type\":\"book\",\"last_trade_price\":\"0.500\"}}]",
        yes()
    );
    let change = format!(
        "{{\"market\":\"{MARKET}\", \"price_changes\":[{{\"asset_id\":\"{}\", \"price\":\"0.49\", \
         \"size\":\"50\", \"side\":\"BUY\", \"hash\":\"00000000000000000000000000000000000000aa\"}}], \
         \"timestamp\":\"1791200000100\", \"event_type\":\"price_change\"}}",
        yes()
    );
    let rest = format!(
        "{{\"market\":\"{MARKET}\",\"asset_id\":\"{}\",\"timestamp\":\"1791200000100\",\
         \"hash\":\"00000000000000000000000000000000000000bb\",\"bids\":[],\"asks\":[],\
         \"min_order_size\":\"5\",\"tick_size\":\"0.01\",\"neg_risk\":false}}",
        no()
    );
    vec![opening, change, rest]
}

#[tokio::test]
async fn frames_are_played_byte_for_byte_to_whoever_subscribed() {
    let recording = Recording::new("bytes", lines());
    let sim = recording.start(SimConfig::for_tests()).await;
    let (_, stats) = get(&sim, "/sim/stats").await;
    assert_eq!(
        stats["playback"],
        json!({ "sent": 0, "total": 3, "done": false })
    );
    let mut both = Client::connect(&sim).await;
    both.open(&[yes(), no()]).await;
    let mut other = Client::connect(&sim).await;
    other.open(&[no()]).await;
    assert_eq!(both.text().await, format!("{}\n", recording.lines[0]));
    assert_eq!(both.text().await, recording.lines[1]);
    assert_eq!(both.text().await, recording.lines[2]);
    assert_eq!(
        other.text().await,
        recording.lines[2],
        "the only frame of its asset"
    );
    assert!(sim.stats().playback.unwrap().done);
    sim.stop().await;
}

#[tokio::test]
async fn gamma_and_clob_answer_from_the_recording() {
    let recording = Recording::new("rest", lines());
    let sim = recording.start(SimConfig::for_tests()).await;
    let (_, page) = get(&sim, "/markets/keyset").await;
    let row = &page["markets"][0];
    assert_eq!(row["conditionId"], MARKET);
    let tokens: Vec<String> = serde_json::from_str(row["clobTokenIds"].as_str().unwrap()).unwrap();
    assert_eq!(tokens, [yes().to_string(), no().to_string()]);
    // Not stated by the book: found because the hash verifies.
    assert_eq!(row["orderPriceMinTickSize"], 0.01);
    assert_eq!(row["orderMinSize"], 5);
    assert_eq!(row["negRisk"], false);
    // The list of old has it, too: clients go on from one row to the next by its offset.
    for (query, rows) in [("", 1), ("?limit=1", 1), ("?limit=1&offset=1", 0)] {
        let (_, page) = get(&sim, &format!("/markets{query}")).await;
        let conditions = page.as_array().unwrap().iter();
        let conditions: Vec<_> = conditions.map(|row| &row["conditionId"]).collect();
        assert_eq!(conditions, vec![MARKET; rows], "{query}");
    }
    let path = format!("/book?token_id={}", no());
    assert_eq!(get(&sim, &path).await.0, 404, "not played yet");
    let mut client = Client::connect(&sim).await;
    client.open(&[yes(), no()]).await;
    eventually("all is played", || sim.stats().playback.unwrap().done).await;
    let (_, body) = crate::client::request(&sim, "GET", &path, "").await;
    assert_eq!(body, recording.lines[2]);
    let (_, rebuilt) = get(&sim, &format!("/book?token_id={}", yes())).await;
    assert_eq!(rebuilt["hash"], "00000000000000000000000000000000000000aa");
    assert_eq!(rebuilt["bids"][2], json!({ "price": "0.49", "size": "50" }));
    sim.stop().await;
}

/// The book that is told to who subscribes once all is played.
async fn told_late(recording: &Recording) -> Value {
    let sim = recording.start(SimConfig::for_tests()).await;
    let mut first = Client::connect(&sim).await;
    first.open(&[yes()]).await;
    eventually("all is played", || sim.stats().playback.unwrap().done).await;
    let mut late = Client::connect(&sim).await;
    late.open(&[yes()]).await;
    let mut books: Vec<Value> = serde_json::from_str(&late.text().await).unwrap();
    sim.stop().await;
    books.remove(0)
}

#[tokio::test]
async fn a_late_subscriber_gets_a_book_rebuilt_from_what_was_played() {
    // Nothing is known of how its hashes are made: they are told as they were stated.
    let mut lines = lines();
    let unknown = "00000000000000000000000000000000000000cc";
    lines[0] = lines[0].replace("b17e93a1f6202e13d8e0dd3aeb958b4a882dca3c", unknown);
    let book = told_late(&Recording::new("late", lines)).await;
    assert_eq!(book["bids"].as_array().unwrap().len(), 3);
    assert_eq!(book["hash"], "00000000000000000000000000000000000000aa");
    assert_eq!(book["timestamp"], "1791200000100");
}

#[tokio::test]
async fn a_book_in_the_midst_of_a_state_is_told_with_a_hash_of_its_own() {
    // The change states the hash of a state whose other frame was never recorded.
    let book = told_late(&Recording::new("midst", lines())).await;
    assert_eq!(book["bids"].as_array().unwrap().len(), 3);
    let level = |row: &Value| {
        let [price, size] = ["price", "size"].map(|name| row[name].as_str().unwrap());
        Level::new(price.parse().unwrap(), size.parse().unwrap())
    };
    let side = |name: &str| book[name].as_array().unwrap().iter().map(level).collect();
    let mut levels = OrderBook::default();
    levels.apply_snapshot(side("bids"), side("asks"));
    let (token, market) = (yes(), MARKET.parse().unwrap());
    let mut names = Interner::default();
    let describe = |key| AssetInfo::new(key, token.clone(), MARKET.parse().unwrap());
    let info = names.insert(&token, &market, describe);
    let attributes = Attributes {
        info: &info,
        timestamp: Timestamp::from_millis(1_791_200_000_100),
        tick_size: "0.01",
        min_order_size: "5",
        neg_risk: false,
        version: None,
        form: Form::Ten,
    };
    let price = book["last_trade_price"].as_str().unwrap();
    let hash = Fingerprint::new(&levels, &attributes).with_last_trade_price(price);
    assert_eq!(book["hash"], hash.to_string());
}

/// What a recording has, and when, in milliseconds since the epoch.
#[derive(Debug)]
pub(crate) struct Had(pub(crate) Vec<(u64, Entry)>);

impl RecordingSource for Had {
    fn rewind(&mut self) -> Result<(), RecordingError> {
        Ok(())
    }

    fn read(&mut self, out: &mut Vec<Recorded>) -> Result<bool, RecordingError> {
        out.extend(self.0.iter().map(|(millis, entry)| Recorded {
            at: millis * 1_000_000,
            entry: entry.clone(),
        }));
        Ok(false)
    }
}

pub(crate) fn frame(text: String) -> Entry {
    Entry::Frame(Frame {
        socket: 1,
        connection: "c".into(),
        sequence: 0,
        bytes: text.into_bytes().into(),
    })
}

/// A change of a level at this time.
pub(crate) fn change(stamp: u64, price: &str) -> String {
    let [_, change, _] = lines().try_into().unwrap();
    let change = change.replace("1791200000100", &stamp.to_string());
    change.replace("0.49", price)
}

/// What is played of a socket that says two changes before and one after REST has answered with
/// a book that is older than they are, and a whole book at last.
async fn played_with_an_answer(entries: Vec<(u64, Entry)>) -> Vec<Value> {
    let [opening, _, _] = lines().try_into().unwrap();
    let body = opening.replace(",\"event_type\":\"book\"", "");
    let answer = Entry::Answer(RestAnswer {
        path: "/books".into(),
        request: "".into(),
        status: 200,
        purpose: "seed".into(),
        requested: 0,
        body: body.replace("1791199970000", "1791200000100").into(),
    });
    let mut all = vec![
        (1_791_200_000_100, frame(change(1_791_200_000_099, "0.44"))),
        (1_791_200_000_150, frame(change(1_791_200_000_149, "0.45"))),
        (1_791_200_000_200, answer),
    ];
    all.extend(entries);
    let count = all.len();
    let sim = Sim::play(
        SimConfig::for_tests(),
        clock(),
        Box::new(Had(all)),
        0..u64::MAX,
    );
    let sim = sim.await.unwrap();
    let mut client = Client::connect(&sim).await;
    client.open(&[yes()]).await;
    let mut told = Vec::new();
    for _ in 0..count - 1 {
        told.push(serde_json::from_str(&client.text().await).unwrap());
    }
    sim.stop().await;
    told
}

pub(crate) fn prices(book: &Value) -> Vec<&str> {
    let bids = book["bids"].as_array().unwrap().iter();
    bids.map(|level| level["price"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_book_from_rest_with_which_a_socket_began_is_followed_by_what_is_newer() {
    let began = Entry::Socket(SocketEvent::FirstBooks {
        socket: 1,
        tokens: vec![yes()],
        origin: "rest".into(),
    });
    let told = played_with_an_answer(vec![
        (1_791_200_000_200, began),
        (1_791_200_000_300, frame(change(1_791_200_000_299, "0.46"))),
    ])
    .await;
    // Two changes without a book, the book, and the change behind it.
    let book = &told[2][0];
    assert_eq!(prices(book), ["0.45", "0.47", "0.48"], "{told:#?}");
    assert_eq!(book["timestamp"], "1791200000149");
    assert_eq!(told[3]["timestamp"], "1791200000299");
}

#[tokio::test]
async fn a_book_from_rest_of_which_the_socket_says_nothing_is_told_to_nobody() {
    let [opening, _, _] = lines().try_into().unwrap();
    let whole = opening.replace("1791199970000", "1791200000400");
    let told = played_with_an_answer(vec![(1_791_200_000_400, frame(whole))]).await;
    assert_eq!(told.len(), 3);
    assert_eq!(told[2][0]["timestamp"], "1791200000400", "{told:#?}");
}

/// What is played of these frames from a moment on, shifted, and last what the CLOB answers;
/// and when the clock says that was: in milliseconds, before it began and after it was over.
async fn shifted(from: u64) -> (Vec<Value>, u64, u64) {
    let [opening, change, _] = lines().try_into().unwrap();
    // A minute of silence between them is passed over.
    let later = change.replace("1791200000100", "1791200060100");
    let came = vec![
        (1_791_200_000_000, frame(opening)),
        (1_791_200_000_150, frame(change)),
        (1_791_200_060_150, frame(later)),
    ];
    let clock = clock();
    let config = SimConfig {
        playback_speed: 100.0,
        playback_shifts: true,
        ..SimConfig::for_tests()
    };
    let now = || polypy_core::Clock::now(&*clock).millis();
    let before = now();
    let span = from * 1_000_000..u64::MAX;
    let sim = Sim::play(config, clock.clone(), Box::new(Had(came)), span);
    let sim = sim.await.unwrap();
    let mut client = Client::connect(&sim).await;
    client.open(&[yes()]).await;
    let mut events = Vec::new();
    for _ in 0..3 {
        let value: Value = serde_json::from_str(&client.text().await).unwrap();
        match value {
            Value::Array(books) => events.extend(books),
            event => events.push(event),
        }
    }
    let after = now();
    let (status, book) = get(&sim, &format!("/book?token_id={}", yes())).await;
    assert_eq!(status, 200, "{book}");
    events.push(book);
    sim.stop().await;
    (events, before, after)
}

fn millis(event: &Value) -> u64 {
    event["timestamp"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn shifted_frames_are_of_now_and_prove_nothing() {
    let (events, before, after) = shifted(0).await;
    // The opening book is of half a minute before it came, the change of 50 ms.
    let began = millis(&events[0]) + 30_000;
    assert!(
        (before..=after).contains(&began),
        "{before} {began} {after}"
    );
    assert_eq!(millis(&events[1]), began + 100);
    // Ten seconds of the pause are left, and the time goes with them.
    assert_eq!(millis(&events[2]), began + 100 + 10_000);
    assert_eq!(events[0].get("hash"), None);
    let entry = &events[1]["price_changes"][0];
    assert_eq!((entry.get("hash"), &entry["price"]), (None, &json!("0.49")));
    assert_eq!(events[3].get("hash"), None, "{}", events[3]);
    assert_eq!(millis(&events[3]), millis(&events[2]));
}

#[tokio::test]
async fn books_from_before_the_moment_are_shifted_with_the_frames_behind_it() {
    let (events, before, after) = shifted(1_791_200_000_100).await;
    // Playing begins with the change, which came 50 ms after it was made.
    let began = millis(&events[1]) + 50;
    assert!(
        (before..=after).contains(&began),
        "{before} {began} {after}"
    );
    assert_eq!(millis(&events[0]), began - 30_150);
    // The exchange makes it itself, and no hash: the venue has stated none for this time.
    assert_eq!(events[0]["event_type"], "book");
    assert_eq!(events[0].get("hash"), None);
}

#[tokio::test]
async fn speed_divides_the_recorded_time_and_pause_stops_it() {
    let timed = |t_ms: u64, line: &str| format!("{{\"t_ms\":{t_ms},\"frame\":{line}}}");
    let [first, second, third]: [String; 3] = lines().try_into().unwrap();
    let recording = Recording::new(
        "speed",
        vec![
            timed(1_000, &first),
            timed(5_000, &second),
            timed(9_000, &third),
        ],
    );
    let sim = recording
        .start(SimConfig {
            playback_speed: 20.0,
            ..SimConfig::for_tests()
        })
        .await;
    let mut client = Client::connect(&sim).await;
    client.open(&[yes(), no()]).await;
    client.text().await;
    let begun = Instant::now();
    client.text().await;
    // 4 s of recorded time at 20 times the speed.
    assert!(
        begun.elapsed() > Duration::from_millis(150),
        "{:?}",
        begun.elapsed()
    );
    sim.pause();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(sim.stats().playback.unwrap().sent, 2);
    sim.resume();
    client.text().await;
    sim.stop().await;
}

#[tokio::test]
async fn at_full_speed_no_reader_is_overrun() {
    let change = &lines()[1];
    let count = 20_000;
    let recording = Recording::new("overrun", vec![change.clone(); count]);
    let config = SimConfig {
        send_buffer: 64 << 10,
        kernel_send_buffer: Some(16 << 10),
        ..SimConfig::for_tests()
    };
    let sim = recording.start(config).await;
    let mut client = Client::connect(&sim).await;
    client.open(&[yes()]).await;
    for _ in 0..count {
        assert_eq!(client.text().await, *change);
    }
    sim.stop().await;
}

#[tokio::test]
async fn a_recording_that_cannot_be_read_fails_the_start() {
    let missing = SimConfig {
        playback: Some("no-such.jsonl".into()),
        ..SimConfig::for_tests()
    };
    assert!(matches!(
        Sim::start(missing, clock()).await,
        Err(SimError::Recording { .. })
    ));
    let broken = Recording::new("broken", vec!["nonsense".to_owned()]);
    let config = SimConfig {
        playback: Some(broken.path.clone()),
        ..SimConfig::for_tests()
    };
    match Sim::start(config, clock()).await {
        Err(SimError::RecordingLine { line, .. }) => assert_eq!(line, 1),
        other => panic!("{other:?}"),
    }
}
