//! The exchange speaks, its frames come in another order and twice, and are played again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use polypy_core::recording::{Entry, Frame, Recorded, RecordingError, RecordingSource};
use polypy_core::{AssetId, Clock, Level, OrderBook, Side, Timestamp};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::config::SimConfig;
use crate::exchange::{Exchange, Link};
use crate::feed::Feed;
use crate::mangle;
use crate::outbox::Next;
use crate::reading::Reading;
use crate::recording::Recording;
use crate::venue::TrueBook;

/// Three readings are of one millisecond.
struct SlowClock(AtomicU64);

impl Clock for SlowClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_795_000_000_000 + self.0.fetch_add(1, Ordering::Relaxed) / 3)
    }
}

fn exchange(seed: u64, plays: bool) -> Exchange {
    let config = SimConfig {
        seed,
        markets: 1,
        playback_speed: 1.0,
        playback_settle: Duration::ZERO,
        snapshot_delay: Duration::ZERO..=Duration::ZERO,
        ..SimConfig::for_tests()
    };
    let clock = SlowClock(AtomicU64::new(0));
    Exchange::new(Arc::new(config), Arc::new(clock), plays)
}

/// A socket that subscribes these tokens.
fn subscribe(exchange: &mut Exchange, tokens: &[AssetId]) -> Arc<Link> {
    let link = exchange.connect();
    let ids: Vec<&str> = tokens.iter().map(AssetId::as_str).collect();
    let text = json!({ "type": "market", "assets_ids": ids }).to_string();
    exchange.receive(link.id, &text);
    exchange.run_due(Instant::now());
    link
}

/// All that waits to be sent.
async fn said(link: &Link) -> Vec<String> {
    let mut texts = Vec::new();
    while link.outbox.waiting().0 > 0 {
        match link.outbox.next().await {
            Next::Frames(frames) => texts.extend(frames.iter().map(|text| text.to_string())),
            Next::End(ending) => panic!("{ending:?}"),
        }
    }
    texts
}

/// What a market of this seed says, and every state that its books have.
async fn venue(seed: u64, steps: usize) -> (Vec<String>, Vec<(AssetId, Vec<TrueBook>)>) {
    let mut exchange = exchange(seed, false);
    let tokens = exchange.venue.tokens();
    let tokens: Vec<_> = tokens
        .map(|(_, token)| token.info.asset_id.clone())
        .collect();
    let link = subscribe(&mut exchange, &tokens);
    let mut texts = said(&link).await;
    let mut truth: Vec<_> = tokens
        .into_iter()
        .map(|token| (token, Vec::new()))
        .collect();
    for _ in 0..steps {
        exchange.step();
        tokio::time::advance(Duration::from_millis(5)).await;
        exchange.run_due(Instant::now());
        texts.extend(said(&link).await);
        for (token, states) in &mut truth {
            states.push(exchange.venue.true_book(token).unwrap());
        }
    }
    (texts, truth)
}

/// The latest time stamp that a frame states of a book.
fn stamp(text: &str) -> u64 {
    let value: Value = serde_json::from_str(text).unwrap();
    let events = value.as_array().cloned().unwrap_or(vec![value]);
    let stamps = events
        .iter()
        .filter(|event| event["event_type"] != "last_trade_price");
    let stamps = stamps.map(|event| event["timestamp"].as_str().unwrap().parse().unwrap());
    stamps.max().unwrap_or(0)
}

fn is_change(text: &str) -> bool {
    text.contains("\"price_changes\"")
}

/// Some changes overtake others, and some come again later.
fn disturb(texts: Vec<String>, rng: &mut Rng) -> Vec<String> {
    let mut texts: VecDeque<_> = texts.into();
    let mut came = Vec::new();
    let mut repeats: Vec<(usize, String)> = Vec::new();
    while let Some(text) = texts.pop_front() {
        let next = texts.front().filter(|next| {
            // Within a millisecond nothing would tell the order.
            is_change(&text) && is_change(next) && stamp(next) > stamp(&text)
        });
        if next.is_some() && rng.f64() < 0.3 {
            came.extend(texts.pop_front());
            texts.push_front(text);
            continue;
        }
        if is_change(&text) && rng.f64() < 0.3 {
            repeats.push((came.len() + rng.usize(1..6), mangle::reversed(&text)));
        }
        came.push(text);
        repeats.retain(|(at, text)| {
            let is_due = *at <= came.len();
            if is_due {
                came.push(text.clone());
            }
            !is_due
        });
    }
    came.extend(repeats.into_iter().map(|(_, text)| text));
    came
}

/// Between two frames of a recording.
const APART: Duration = Duration::from_millis(10);

/// A frame each ten milliseconds, on one socket.
#[derive(Debug)]
struct Came(Vec<String>);

impl RecordingSource for Came {
    fn rewind(&mut self) -> Result<(), RecordingError> {
        Ok(())
    }

    fn read(&mut self, out: &mut Vec<Recorded>) -> Result<bool, RecordingError> {
        out.extend(self.0.iter().zip(1_u64..).map(|(text, at)| Recorded {
            at: at * 10_000_000,
            entry: Entry::Frame(Frame {
                socket: 1,
                connection: "c".into(),
                sequence: 0,
                bytes: text.as_bytes().into(),
            }),
        }));
        Ok(false)
    }
}

/// An exchange that plays these frames, and what it is asked to have played.
struct Stage {
    exchange: Exchange,
    /// Whom nothing is kept from.
    all: Arc<Link>,
    total: usize,
}

impl Stage {
    fn new(texts: Vec<String>, tokens: &[AssetId]) -> Self {
        Self::playing(texts, tokens, false)
    }

    /// Begins again at the end, if it `loops`.
    fn playing(texts: Vec<String>, tokens: &[AssetId], loops: bool) -> Self {
        let total = texts.len();
        let recording = Recording::of(Box::new(Came(texts))).unwrap().unwrap();
        let mut exchange = exchange(0, true);
        exchange.list(&recording);
        let reading = Reading::new(recording, 0..u64::MAX);
        exchange.load(Feed::start(reading, loops).unwrap(), total);
        let all = subscribe(&mut exchange, tokens);
        Self {
            exchange,
            all,
            total,
        }
    }

    fn played(&self) -> usize {
        self.exchange.stats().playback.unwrap().sent
    }

    /// Plays so many frames.
    async fn play(&mut self, count: usize) {
        // All are there once the first one is.
        while self.played() == 0 {
            self.exchange.play(Instant::now());
            std::thread::yield_now();
        }
        while self.played() < count {
            tokio::time::advance(APART).await;
            self.exchange.play(Instant::now());
        }
        assert_eq!(self.played(), count, "one at a time");
    }

    async fn play_all(&mut self) {
        self.play(self.total).await;
        while !self.exchange.stats().playback.unwrap().done {
            self.exchange.play(Instant::now());
            std::thread::yield_now();
        }
    }
}

/// The levels of a book that was told.
fn levels(book: &Value) -> (Vec<Level>, Vec<Level>) {
    let level = |row: &Value| {
        let [price, size] = ["price", "size"].map(|name| row[name].as_str().unwrap());
        Level::new(price.parse().unwrap(), size.parse().unwrap())
    };
    let side = |name: &str| book[name].as_array().unwrap().iter().map(level).collect();
    let mut levels = OrderBook::default();
    levels.apply_snapshot(side("bids"), side("asks"));
    let side = |side| levels.levels(side).collect();
    (side(Side::Bid), side(Side::Ask))
}

/// Whether the venue ever had a book that was told.
fn is_true(book: &Value, states: &[TrueBook]) -> bool {
    let (bids, asks) = levels(book);
    states.iter().any(|state| {
        let stamp = state.timestamp.millis().to_string();
        (book["timestamp"] == stamp, &state.bids, &state.asks) == (true, &bids, &asks)
            && book["hash"] == state.hash.to_string()
    })
}

#[tokio::test(start_paused = true)]
async fn who_comes_late_is_told_a_book_that_the_venue_had_and_all_that_follows() {
    let (mut deferred, mut books) = (0, 0);
    for seed in 0..150 {
        let mut rng = Rng::with_seed(seed);
        let (texts, truth) = venue(seed, 40).await;
        let texts = disturb(texts, &mut rng);
        let tokens: Vec<_> = truth.iter().map(|(token, _)| token.clone()).collect();
        let mut stage = Stage::new(texts.clone(), &tokens);
        let from = rng.usize(2..texts.len() * 3 / 4);
        stage.play(from).await;
        let late = subscribe(&mut stage.exchange, &tokens);
        deferred += stage.exchange.player.as_ref().unwrap().deferred.len();
        stage.play_all().await;
        let told = said(&late).await;
        for (token, states) in &truth {
            let is_opening =
                |text: &&String| text.starts_with('[') && text.contains(token.as_str());
            let at = told.iter().position(|text| is_opening(&text)).unwrap();
            let opened: Vec<Value> = serde_json::from_str(&told[at]).unwrap();
            let mut opened = opened
                .iter()
                .filter(|book| book["asset_id"] == token.as_str());
            let book = opened.next().unwrap();
            assert!(is_true(book, states), "seed {seed}, from {from}: {book:#}");
            // Nothing comes before the book that is not in it.
            let behind = told[at..]
                .iter()
                .filter(|text| !text.starts_with('['))
                .count();
            let before = &texts[..texts.len() - behind];
            let of_it = before.iter().filter(|text| text.contains(token.as_str()));
            let newest = of_it.map(|text| stamp(text)).max();
            let stated: u64 = book["timestamp"].as_str().unwrap().parse().unwrap();
            assert!(Some(stated) >= newest, "seed {seed}: {newest:?}, {book:#}");
            books += 1;
            // Who comes at the end is told the last book that the venue had.
            let last = subscribe(&mut stage.exchange, &tokens[..1]);
            let book = opening(&last).await.expect("all was played");
            let theirs = states.last().unwrap();
            if token == &tokens[0] {
                let (bids, asks) = levels(&book);
                assert_eq!(bids, theirs.bids, "seed {seed}");
                assert_eq!(asks, theirs.asks, "seed {seed}");
                assert_eq!(book["hash"], theirs.hash.to_string(), "seed {seed}");
            }
        }
    }
    assert!(deferred > 10, "{deferred} of {books} were waited for");
}

/// The opening book of a token on a link, if it has come.
async fn opening(link: &Link) -> Option<Value> {
    let texts = said(link).await;
    let opening = texts.iter().find(|text| text.starts_with('['))?;
    let books: Vec<Value> = serde_json::from_str(opening).unwrap();
    books.into_iter().next()
}

/// Frames that end with one that overtook the one before it, and that one.
async fn overtaken() -> (Vec<String>, String, Vec<(AssetId, Vec<TrueBook>)>) {
    let (texts, truth) = venue(1, 40).await;
    let at = texts
        .windows(2)
        .rposition(|two| two.iter().all(|text| is_change(text)) && stamp(&two[0]) < stamp(&two[1]));
    let at = at.unwrap();
    let mut before = texts[..at].to_vec();
    before.push(texts[at + 1].clone());
    (before, texts[at].clone(), truth)
}

#[tokio::test(start_paused = true)]
async fn a_book_that_never_becomes_whole_is_told_as_it_is() {
    let (mut texts, _, truth) = overtaken().await;
    let token = [truth[0].0.clone()];
    // At the end of the recording, and where what comes next comes too late.
    let before = texts.len();
    let other = truth[1].0.as_str();
    let trade = json!({
        "market": serde_json::from_str::<Value>(&texts[before - 1]).unwrap()["market"],
        "asset_id": other, "price": "0.5", "size": "1", "side": "BUY",
        "timestamp": "1795000009000", "event_type": "last_trade_price",
    });
    texts.extend(vec![trade.to_string(); 105]);
    for count in [before + 1, texts.len()] {
        let mut stage = Stage::new(texts[..count].to_vec(), &token);
        stage.play(before).await;
        let late = subscribe(&mut stage.exchange, &token);
        assert_eq!(opening(&late).await, None, "it is waited for");
        if count > before + 1 {
            stage.play(before + 99).await;
            assert_eq!(opening(&late).await, None, "for a second");
            stage.play(before + 100).await;
        } else {
            stage.play_all().await;
        }
        let book = opening(&late).await.expect("it is told");
        assert!(!is_true(&book, &truth[0].1), "nobody had it");
        assert_eq!(book["hash"].as_str().map(str::len), Some(40));
    }
}

#[tokio::test(start_paused = true)]
async fn what_follows_a_book_that_was_waited_for_comes_a_moment_later() {
    let (mut texts, missing, truth) = overtaken().await;
    let token = [truth[0].0.clone()];
    let before = texts.len();
    texts.extend([missing, "{\"a\":1}".to_owned(), "{\"a\":2}".to_owned()]);
    let mut stage = Stage::new(texts, &token);
    stage.play(before).await;
    stage.exchange.player.as_mut().unwrap().settle = Duration::from_millis(500);
    let late = subscribe(&mut stage.exchange, &token);
    tokio::time::advance(10 * APART).await;
    stage.exchange.play(Instant::now());
    let told = said(&late).await;
    assert!(told.last().unwrap().starts_with('['), "{told:?}");
    assert_eq!(stage.played(), before + 1);
    tokio::time::advance(Duration::from_millis(499)).await;
    stage.exchange.play(Instant::now());
    assert_eq!(stage.played(), before + 1);
    stage.play_all().await;
    assert_eq!(said(&late).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_book_and_goes_is_told_nothing() {
    let (mut texts, missing, truth) = overtaken().await;
    let token = [truth[0].0.clone()];
    let before = texts.len();
    texts.push(missing);
    let mut stage = Stage::new(texts, &token);
    stage.play(before).await;
    let [gone, stays] = [0, 1].map(|_| subscribe(&mut stage.exchange, &token));
    let closed = subscribe(&mut stage.exchange, &token);
    let ids = json!({ "operation": "unsubscribe", "assets_ids": [token[0].as_str()] });
    stage.exchange.receive(gone.id, &ids.to_string());
    stage.exchange.disconnect(closed.id);
    assert_eq!(stage.exchange.player.as_ref().unwrap().deferred.len(), 2);
    stage.play_all().await;
    assert_eq!(said(&gone).await, Vec::<String>::new());
    assert_eq!(said(&closed).await, Vec::<String>::new());
    let book = opening(&stays).await.expect("it is whole");
    assert!(is_true(&book, &truth[0].1), "{book:#}");
    assert!(!said(&stage.all).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_played_again_takes_its_time_each_time() {
    let (texts, truth) = venue(1, 40).await;
    let tokens: Vec<_> = truth.into_iter().map(|(token, _)| token).collect();
    let mut stage = Stage::playing(texts, &tokens, true);
    for round in 0..3 {
        let all = Arc::clone(&stage.all);
        while all.outbox.waiting().0 == 0 {
            stage.exchange.play(Instant::now());
            std::thread::yield_now();
        }
        assert_eq!(all.outbox.waiting().0, 1, "round {round}: one at a time");
        while stage.played() > 0 {
            tokio::time::advance(APART).await;
            stage.exchange.play(Instant::now());
            std::thread::yield_now();
        }
        stage.all = subscribe(&mut stage.exchange, &tokens);
    }
}
