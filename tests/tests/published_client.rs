//! A published client of the venue, which shares no line with us, takes `polypy replay` for
//! it: it lists the markets, asks for their books and follows the market socket. What it was
//! given is what the recording says, message by message.
//!
//! The client is `benches/peers/src/bin/follow.rs`, of a workspace of its own: `make
//! published-client` builds it, and names it in `POLYPY_PUBLISHED_CLIENT`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use polypy_tests::program::Program;
use polypy_tests::recording::{self, entries, path_of, record_until, run};
use polypy_tests::replay::{Decimal, PlainBook, replay};
use polypy_tests::world::SOON;
use polypy_tests::{http, wait};
use serde_json::{Value, json};

fn folder(name: &str) -> PathBuf {
    recording::folder(env!("CARGO_TARGET_TMPDIR"), name)
}

/// The client's program; `None`, and nothing is checked.
fn client() -> Option<PathBuf> {
    std::env::var_os("POLYPY_PUBLISHED_CLIENT").map(PathBuf::from)
}

/// A number's text without zeros at its end.
fn plain(number: &Value) -> String {
    let text = number.as_str().expect("a number as text");
    if !text.contains('.') {
        return text.to_owned();
    }
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() { "0" } else { text }.to_owned()
}

/// Levels as `[price, size]`, lowest price first.
fn sorted(levels: impl Iterator<Item = (String, String)>) -> Value {
    let mut levels: Vec<_> = levels
        .map(|level| (Decimal::new(&level.0), level))
        .collect();
    levels.sort_by(|a, b| a.0.cmp(&b.0));
    levels
        .into_iter()
        .map(|(_, (price, size))| json!([price, size]))
        .collect()
}

fn side(event: &Value, name: &str) -> Value {
    let levels = event[name].as_array().expect("levels").iter();
    sorted(levels.map(|level| (plain(&level["price"]), plain(&level["size"]))))
}

/// A book of the independent replay, as the client shows its own.
fn shown(book: &PlainBook) -> Value {
    let side = |levels: &BTreeMap<Decimal, String>| {
        let level = |(price, size): (&Decimal, &String)| {
            (plain(&json!(price.as_str())), plain(&json!(size)))
        };
        sorted(levels.iter().map(level))
    };
    json!({ "bids": side(&book.bids), "asks": side(&book.asks) })
}

/// What frames say of each token, in their order and as the client shows it.
fn messages(frames: &str) -> BTreeMap<String, Vec<Value>> {
    let mut messages = BTreeMap::<_, Vec<_>>::new();
    for line in frames.lines() {
        let frame: Value = serde_json::from_str(line).expect("JSON");
        let events = match frame {
            Value::Array(events) => events,
            event => vec![event],
        };
        for event in &events {
            let time: u64 = event["timestamp"]
                .as_str()
                .expect("a time")
                .parse()
                .expect("a time");
            let mut note = |of: &Value, row| {
                let token = of["asset_id"].as_str().expect("a token");
                messages.entry(token.to_owned()).or_default().push(row);
            };
            match event["event_type"].as_str() {
                Some("book") => {
                    let (bids, asks) = (side(event, "bids"), side(event, "asks"));
                    note(event, json!(["book", time, event["hash"], bids, asks]));
                }
                Some("price_change") => {
                    for entry in event["price_changes"].as_array().expect("changes") {
                        let (price, size) = (plain(&entry["price"]), plain(&entry["size"]));
                        note(
                            entry,
                            json!(["change", time, entry["hash"], entry["side"], price, size]),
                        );
                    }
                }
                Some("last_trade_price") => {
                    let (price, size) = (plain(&event["price"]), plain(&event["size"]));
                    note(event, json!(["trade", time, price, size]));
                }
                Some("tick_size_change") => {
                    note(event, json!(["tick", time, plain(&event["new_tick_size"])]))
                }
                _ => {}
            }
        }
    }
    messages
}

// ---- a recording -------------------------------------------------------------

/// The frames of a span of a recording, each on a line of its own.
fn frames(place: &Path, span: [&str; 2]) -> String {
    let frames = recording::frames(place, &span);
    let lines: Vec<_> = frames.iter().map(|frame| frame.trim()).collect();
    lines.join("\n")
}

/// Condition and tokens of each market that the recording's catalogue has.
fn catalogue(place: &Path) -> BTreeSet<(String, Vec<String>)> {
    let entries = entries(place, "catalogue");
    let markets = entries
        .iter()
        .map(|entry| &entry["data"]["market"])
        .filter(|market| !market.is_null());
    markets.map(market).collect()
}

fn market(row: &Value) -> (String, Vec<String>) {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let tokens = row["tokens"].as_array().expect("tokens").iter();
    let token = |token: &Value| {
        if token.is_object() {
            text(&token["token_id"])
        } else {
            text(token)
        }
    };
    (text(&row["condition_id"]), tokens.map(token).collect())
}

// ---- a client ----------------------------------------------------------------

/// `polypy replay`, and the addresses of Gamma, the CLOB and the market socket.
fn venue(recording: &Path, more: &[&str]) -> (Program, [String; 3]) {
    let mut args = vec!["replay", path_of(recording)];
    args.extend(more);
    let args: Vec<_> = args.into_iter().map(str::to_owned).collect();
    let venue = Program::start(&args);
    let urls = ["gamma_url", "clob_url", "ws_url"].map(|name| {
        let line = venue.says(name);
        line.split('"').nth(1).expect("an address").to_owned()
    });
    (venue, urls)
}

/// The recording as the venue, and the client that follows it.
struct Following {
    /// Ended as this is dropped.
    _venue: Program,
    place: SocketAddr,
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Following {
    fn start(client: &Path, recording: &Path, more: &[&str]) -> Self {
        let (venue, urls) = venue(recording, more);
        let place = urls[0].trim_start_matches("http://").parse();
        let child = Command::new(client)
            .args(&urls)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.expect("the client starts");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        Self {
            _venue: venue,
            place: place.expect("an address"),
            child,
            out,
        }
    }

    /// Lets it follow to the end of the recording; what it was given.
    async fn until_the_end(mut self) -> Value {
        wait::until("the recording is played", 3 * SOON, async || {
            let stats = http::get(self.place, "/sim/stats")
                .await
                .expect("an answer");
            stats.json()["playback"]["done"] == true
        })
        .await;
        drop(self.child.stdin.take());
        let mut line = String::new();
        self.out.read_line(&mut line).expect("text");
        assert_eq!(line, "following\n");
        line.clear();
        self.out.read_to_string(&mut line).expect("text");
        let status = self.child.wait().expect("a child");
        assert!(status.success(), "{status}");
        serde_json::from_str(&line).expect("JSON")
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The books that it ends with, but for tokens that it was told nothing of.
fn ends(told: &Value) -> BTreeMap<String, Value> {
    let ends = told["ends"].as_object().expect("books");
    ends.iter()
        .map(|(token, book)| (token.clone(), book.clone()))
        .collect()
}

/// The books that frames make, to a replay that shares no line with the product.
fn made(frames: &str) -> BTreeMap<String, Value> {
    let books = replay(frames).books;
    books
        .iter()
        .map(|(token, book)| (token.clone(), shown(book)))
        .collect()
}

fn told_of(told: &Value, token: &str) -> Vec<Value> {
    let rows = told["messages"][token].as_array();
    rows.cloned().unwrap_or_default()
}

// ---- from the beginning, from the midst, over a loss ---------------------------

#[tokio::test]
async fn a_published_client_is_given_what_the_recording_says_message_by_message() {
    let Some(client) = client() else {
        println!("nothing checked: POLYPY_PUBLISHED_CLIENT names no client");
        return;
    };
    let place = folder("published");
    record_until(&place, 3_000).await.stop();
    // More than one would be merged.
    let sockets = entries(&place, "socket");
    let opened = sockets
        .iter()
        .filter(|entry| entry["data"]["event"] == "opened");
    assert_eq!(opened.count(), 1, "{sockets:#?}");
    let all = frames(&place, ["--from", "0"]);

    let told = Following::start(&client, &place, &["--speed", "5x"])
        .until_the_end()
        .await;
    let listed: BTreeSet<_> = told["markets"]
        .as_array()
        .expect("markets")
        .iter()
        .map(market)
        .collect();
    assert_eq!(listed, catalogue(&place));
    assert!(listed.len() >= 10, "{listed:#?}");
    // Nothing is before the beginning.
    assert_eq!(told["books"], json!({}));
    let recorded = messages(&all);
    let mut count = 0;
    for (token, rows) in &recorded {
        assert_eq!(&told_of(&told, token), rows, "{token}");
        count += rows.len();
    }
    assert_eq!(
        told["messages"].as_object().map(|of| of.len()),
        Some(recorded.len())
    );
    assert_eq!(ends(&told), made(&all));
    assert_eq!(told["connections"], 1);
    println!(
        "{} markets, {count} messages of {} tokens",
        listed.len(),
        recorded.len()
    );

    let books = from_the_midst(&client, &place, &all).await;
    println!("from the midst: {books} books before the first frame");
}

/// What is before makes the books that the CLOB has and the socket begins with; how many.
async fn from_the_midst(client: &Path, place: &Path, all: &str) -> usize {
    let times: Vec<_> = entries(place, "frames")
        .iter()
        .filter_map(|entry| entry["at"].as_u64())
        .collect();
    let from = times[times.len() / 2];
    let before = frames(place, ["--to", &(from - 1).to_string()]);
    let from = from.to_string();
    let after = messages(&frames(place, ["--from", &from]));
    let told = Following::start(client, place, &["--speed", "5x", "--from", &from])
        .until_the_end()
        .await;
    let books = made(&before);
    assert!(books.len() >= 20, "{} books", books.len());
    for (token, book) in &books {
        let asked = &told["books"][token];
        assert_eq!(
            &json!({ "bids": asked["bids"], "asks": asked["asks"] }),
            book,
            "{token}"
        );
        let rows = told_of(&told, token);
        let (opening, rest) = rows.split_first().expect("its book");
        assert_eq!(opening[0], "book", "{token}");
        assert_eq!(
            &json!({ "bids": opening[3], "asks": opening[4] }),
            book,
            "{token}"
        );
        assert_eq!(opening[2], asked["hash"], "{token}");
        assert_eq!(
            rest,
            after.get(token).map_or(&[][..], |rows| rows),
            "{token}"
        );
    }
    assert_eq!(ends(&told), made(all));
    books.len()
}

/// The program was killed, and recorded again: the recording has lost what was between, and
/// the venue drops the client's socket there.
#[tokio::test]
async fn a_published_client_comes_back_where_the_recording_lacks_something() {
    let Some(client) = client() else {
        println!("nothing checked: POLYPY_PUBLISHED_CLIENT names no client");
        return;
    };
    let place = folder("published-loss");
    // By SIGKILL.
    drop(record_until(&place, 1_000).await);
    record_until(&place, 1_000).await.stop();
    let info = run(&["info", "--json", path_of(&place)]).json();
    let gaps = info["gaps"].as_array().expect("gaps");
    assert!(gaps.iter().any(|gap| gap["reason"] == "killed"), "{info:#}");
    let told = Following::start(&client, &place, &["--speed", "5x"])
        .until_the_end()
        .await;
    assert_eq!(told["connections"], 2);
    let made = made(&frames(&place, ["--from", "0"]));
    assert!(made.len() >= 20, "{} books", made.len());
    assert_eq!(ends(&told), made);
}
