use std::sync::Arc;

use polypy_archive::FaultKind;
use polypy_archive::manifest::LOST;
use polypy_core::fingerprint::{Attributes, Fingerprint, Form};
use polypy_core::recording;
use polypy_core::{
    AssetInfo, BookHash, ConditionId, Interner, Level, OrderBook, Owner, Side, StaleReason,
    Timestamp,
};
use serde_json::{Value, json};

use super::*;

#[path = "alone_tests.rs"]
mod alone;

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;
const START: u64 = 1_795_000_000_000;
const BEGAN: u64 = START * MILLISECOND;

/// One market of a venue that tells the truth.
struct Venue {
    infos: [Arc<AssetInfo>; 2],
    books: [OrderBook; 2],
    now: u64,
    min_order_size: &'static str,
}

impl Venue {
    fn new(market: u64) -> Self {
        let mut names = Interner::default();
        let condition: ConditionId = format!("0x{market:064x}").parse().unwrap();
        let infos = [1, 2].map(|token| {
            let id: AssetId = format!("10000000000000000{market}{token}").parse().unwrap();
            names.insert(&id.clone(), &condition.clone(), |key| {
                AssetInfo::new(key, id, condition.clone())
            })
        });
        let level =
            |price: &str, size: &str| Level::new(price.parse().unwrap(), size.parse().unwrap());
        let mut book = OrderBook::default();
        book.apply_snapshot(
            vec![level("0.47", "250"), level("0.48", "100")],
            vec![level("0.53", "300"), level("0.52", "120")],
        );
        let books = [book.clone(), book.mirror()];
        Self {
            infos,
            books,
            now: START,
            min_order_size: "5",
        }
    }

    fn ids(&self) -> [AssetId; 2] {
        self.infos.each_ref().map(|info| info.asset_id.clone())
    }

    fn hash(&self, token: usize) -> BookHash {
        let attributes = Attributes {
            info: &self.infos[token],
            timestamp: Timestamp::from_millis(self.now),
            tick_size: "0.01",
            min_order_size: self.min_order_size,
            neg_risk: false,
            version: None,
            form: Form::Ten,
        };
        Fingerprint::new(&self.books[token], &attributes).with_last_trade_price("0.500")
    }

    fn book(&self, token: usize) -> Value {
        let side = |side| -> Vec<Value> {
            let levels = self.books[token].worst_first(side);
            levels
                .map(|level| json!({"price": level.price.to_string(), "size": level.size.to_string()}))
                .collect()
        };
        json!({
            "event_type": "book",
            "market": self.infos[token].condition_id.as_str(),
            "asset_id": self.infos[token].asset_id.as_str(),
            "timestamp": self.now.to_string(),
            "hash": self.hash(token).to_string(),
            "bids": side(Side::Bid),
            "asks": side(Side::Ask),
            "tick_size": "0.01",
            "last_trade_price": "0.500",
        })
    }

    fn opening(&self) -> String {
        json!([self.book(0), self.book(1)]).to_string()
    }

    /// One order, a second later.
    fn order(&mut self, cents: u32, size: u32) -> String {
        self.now += 1_000;
        let price = |cents: u32| format!("0.{cents:02}");
        let is_bid = cents < 50;
        let told = [(0, cents, is_bid), (1, 100 - cents, !is_bid)];
        for (token, cents, is_bid) in told {
            let side = if is_bid { Side::Bid } else { Side::Ask };
            let (price, size) = (price(cents), size.to_string());
            self.books[token].apply_change(side, price.parse().unwrap(), size.parse().unwrap());
        }
        let entries = told.map(|(token, cents, is_bid)| {
            let book = &self.books[token];
            json!({
                "asset_id": self.infos[token].asset_id.as_str(),
                "price": price(cents),
                "size": size.to_string(),
                "side": if is_bid { "BUY" } else { "SELL" },
                "hash": self.hash(token).to_string(),
                "best_bid": book.best_bid().unwrap().price.to_string(),
                "best_ask": book.best_ask().unwrap().price.to_string(),
            })
        });
        json!({
            "event_type": "price_change",
            "market": self.infos[0].condition_id.as_str(),
            "timestamp": self.now.to_string(),
            "price_changes": entries,
        })
        .to_string()
    }

    /// A checkpoint of a token's book.
    fn checkpoint(&self, verifier: &Verifier, token: usize) -> BookEvent {
        let mut book = self.book(token);
        book.as_object_mut().unwrap().remove("event_type");
        let body = book.to_string();
        wire::decode_book(body.as_bytes(), verifier.tokens.interner()).unwrap()
    }
}

/// A recording of one socket, a frame a second.
struct Recording {
    verifier: Verifier,
    at: u64,
    sequence: u32,
}

impl Recording {
    fn of(venue: &Venue) -> Self {
        let mut verifier = Verifier::new(BEGAN);
        verifier.opened(1, BEGAN);
        verifier.carries(1, &venue.ids(), BEGAN);
        let mut recording = Self {
            verifier,
            at: BEGAN,
            sequence: 0,
        };
        recording.frame(&venue.opening());
        recording
    }

    fn frame(&mut self, frame: &str) {
        self.at += SECOND;
        let sequence = Some(self.sequence);
        self.verifier.frame(1, sequence, frame.as_bytes(), self.at);
        self.sequence += 1;
    }

    fn orders(&mut self, venue: &mut Venue, count: u32) {
        for order in 0..count {
            let frame = venue.order(40 + order % 8, 1 + order);
            self.frame(&frame);
        }
    }

    fn finish(self) -> Report {
        self.verifier.finish()
    }
}

fn token<'a>(report: &'a Report, venue: &Venue, token: usize) -> &'a TokenReport {
    let id = &venue.ids()[token];
    let found = report.tokens.iter().find(|token| token.token_id == *id);
    found.unwrap()
}

/// One state in two frames, each of which has its hashes.
fn in_two_frames(venue: &mut Venue) -> (String, String) {
    let first = venue.order(45, 7);
    venue.now -= 1_000;
    let second = venue.order(44, 8);
    let hashes = |frame: &str| -> [String; 2] {
        let frame: Value = serde_json::from_str(frame).unwrap();
        [0, 1].map(|at| {
            frame["price_changes"][at]["hash"]
                .as_str()
                .unwrap()
                .to_owned()
        })
    };
    let mut early = first.clone();
    for (old, new) in hashes(&first).into_iter().zip(hashes(&second)) {
        early = early.replace(&old, &new);
    }
    (early, second)
}

#[test]
fn what_the_venue_said_truly_is_whole_state_by_state() {
    let mut venue = Venue::new(1);
    let mut recording = Recording::of(&venue);
    recording.orders(&mut venue, 20);
    let report = recording.finish();
    assert!(report.is_whole(), "{}", report.page());
    let found = report.findings;
    assert_eq!((found.states, found.verified, found.failed), (42, 42, 0));
    assert_eq!((found.tops_agreed, found.tops_failed), (40, 0));
    assert_eq!((report.frames, report.unsettled), (21, 0));
    for at in 0..2 {
        let found = token(&report, &venue, at).findings;
        assert_eq!((found.states, found.verified), (21, 21));
    }
    let shown = report.to_json();
    assert_eq!(shown["whole"], true);
    assert_eq!(shown["checks"]["verified"], 42);
    assert_eq!(shown["began_ts"], START * 1_000);
    assert!(report.page().starts_with("whole: 2 tokens, 2026-"));
}

#[test]
fn what_the_catalogue_says_of_a_market_makes_its_hashes_verifiable() {
    let mut venue = Venue::new(1);
    // None that is searched for.
    venue.min_order_size = "13.7";
    let [first, second] = venue.ids();
    let token = |id: AssetId, outcome: &str| recording::RecordedToken {
        token_id: id,
        outcome: outcome.into(),
    };
    let market = polypy_core::Market::new(venue.infos[0].condition_id.clone(), Vec::new());
    let market = Box::new(recording::RecordedMarket {
        tokens: vec![token(first, "Up"), token(second, "Down")],
        min_order_size: Some("13.7".into()),
        ..recording::RecordedMarket::from(&market)
    });
    // Before the sockets, behind them, and not at all.
    for when in 0..3 {
        let mut verifier = Verifier::new(BEGAN);
        let listed = Recorded {
            at: BEGAN,
            entry: Entry::Catalogue(CatalogueEvent::New {
                market: market.clone(),
            }),
        };
        if when == 0 {
            verifier.take(&listed);
        }
        verifier.opened(1, BEGAN);
        verifier.carries(1, &venue.ids(), BEGAN);
        if when == 1 {
            verifier.take(&listed);
        }
        let mut recording = Recording {
            verifier,
            at: BEGAN,
            sequence: 0,
        };
        recording.frame(&venue.opening());
        recording.orders(&mut venue, 3);
        let found = recording.finish().findings;
        let verified = if when < 2 { found.states } else { 0 };
        assert_eq!((found.states, found.verified), (8, verified), "{when}");
    }
}

#[test]
fn best_prices_that_are_false_are_counted_where_the_hash_proves_the_book() {
    let mut venue = Venue::new(1);
    let mut recording = Recording::of(&venue);
    recording.orders(&mut venue, 3);
    let frame = venue.order(45, 7);
    let told = frame.replacen("\"best_bid\":\"0.48\"", "\"best_bid\":\"0.49\"", 1);
    assert_ne!(told, frame);
    recording.frame(&told);
    recording.orders(&mut venue, 3);
    let report = recording.finish();
    let found = report.findings;
    assert_eq!((found.tops_agreed, found.tops_failed), (13, 0));
    assert_eq!((found.tops_refuted, found.verified), (1, found.states));
    // What the venue stated is false, and the recording of it is not.
    assert!(report.is_whole(), "{}", report.page());
    assert!(
        report
            .page()
            .contains("best prices  1 stated that are false")
    );
    assert_eq!(report.to_json()["checks"]["tops_refuted"], 1);
    assert_eq!(token(&report, &venue, 0).findings.tops_refuted, 1);
}

#[test]
fn one_byte_of_a_level_is_found_by_hash_and_named_with_its_time() {
    let (mut venue, other) = (Venue::new(1), Venue::new(2));
    let mut recording = Recording::of(&venue);
    recording.verifier.carries(1, &other.ids(), recording.at);
    recording.frame(&other.opening());
    recording.orders(&mut venue, 3);
    let frame = venue.order(45, 17);
    // Of the first token alone.
    let changed = frame.replacen(r#""size":"17""#, r#""size":"18""#, 1);
    assert_ne!(frame, changed);
    let stated = venue.hash(0);
    recording.frame(&changed);
    let at = recording.at;
    recording.orders(&mut venue, 3);
    let report = recording.finish();
    assert!(!report.is_whole());
    let wrong: Vec<_> = report.contradicted().collect();
    assert_eq!(wrong.len(), 1, "{}", report.page());
    assert_eq!(wrong[0].token_id, venue.ids()[0]);
    let found = &wrong[0].contradictions[0];
    assert_eq!(found.reason, StaleReason::Hash);
    assert_eq!((found.from, found.until), (at, None));
    assert!(wrong[0].findings.failed > 0);
    assert_eq!(token(&report, &venue, 1).contradictions, []);
    let page = report.page();
    assert!(page.starts_with("not whole"));
    // What is wrong comes first.
    let named = page.find(venue.ids()[0].as_str()).expect("the token");
    assert!(
        named < page.find("\nframes ").expect("the frames"),
        "{page}"
    );
    let (theirs, ours) = found.hashes.expect("both hashes");
    assert_eq!(theirs, stated);
    assert_ne!(ours, stated);
    let both = format!("the venue's hash is {theirs}, that of the levels {ours}");
    assert!(page.contains(&both), "{page}");
    let shown = report.to_json();
    let shown = &shown["tokens"][0]["contradictions"][0];
    assert_eq!(shown["reason"], "hash");
    assert_eq!(shown["hash"], theirs.to_string());
    assert_eq!(shown["computed_hash"], ours.to_string());
}

#[test]
fn a_change_that_the_venue_kept_back_is_found_at_the_next_until_the_book_comes_whole() {
    let mut venue = Venue::new(1);
    let mut recording = Recording::of(&venue);
    recording.orders(&mut venue, 3);
    let _: String = venue.order(33, 9);
    recording.orders(&mut venue, 1);
    let from = recording.at;
    recording.orders(&mut venue, 1);
    recording.frame(&venue.opening());
    let until = recording.at;
    recording.orders(&mut venue, 3);
    let report = recording.finish();
    for at in 0..2 {
        let token = token(&report, &venue, at);
        let [wrong] = token.contradictions[..] else {
            panic!("{}", report.page())
        };
        assert_eq!((wrong.from, wrong.until), (from, Some(until)));
    }
}

#[test]
fn a_hash_that_the_venue_made_of_something_else_is_named_though_the_book_is_right() {
    let mut venue = Venue::new(1);
    let mut recording = Recording::of(&venue);
    recording.orders(&mut venue, 3);
    let frame = venue.order(45, 7);
    let hash = venue.hash(1).to_string();
    recording.frame(&frame.replace(&hash, &hash.chars().rev().collect::<String>()));
    let from = recording.at;
    recording.at -= SECOND / 2;
    recording.orders(&mut venue, 3);
    let report = recording.finish();
    assert!(!report.is_whole());
    let found = token(&report, &venue, 1);
    let [wrong] = found.contradictions[..] else {
        panic!("{}", report.page())
    };
    let until = from + SECOND / 2;
    assert_eq!((wrong.from, wrong.until), (from, Some(until)));
    assert_eq!((found.findings.failed, found.findings.unjudged()), (1, 0));
    assert_eq!(token(&report, &venue, 0).contradictions, []);
}

#[test]
fn a_token_that_is_told_nothing_of_an_order_for_both_is_in_doubt() {
    let mut venue = Venue::new(1);
    let mut recording = Recording::of(&venue);
    recording.orders(&mut venue, 3);
    let mut frame: Value = serde_json::from_str(&venue.order(45, 7)).unwrap();
    frame["price_changes"].as_array_mut().unwrap().pop();
    recording.frame(&frame.to_string());
    let report = recording.finish();
    assert_eq!(report.unsettled, 1, "{}", report.page());
}

#[test]
fn a_hash_ahead_of_its_change_contradicts_nothing() {
    let mut venue = Venue::new(1);
    let mut recording = Recording::of(&venue);
    let (first, second) = in_two_frames(&mut venue);
    for frame in [first, second] {
        recording.at += MILLISECOND;
        let (at, sequence) = (recording.at, Some(recording.sequence));
        recording.verifier.frame(1, sequence, frame.as_bytes(), at);
        recording.sequence += 1;
    }
    recording.orders(&mut venue, 2);
    let report = recording.finish();
    assert!(report.is_whole(), "{}", report.page());
    assert_eq!(report.findings.verified, report.findings.states);
}

/// What is missing while nothing was written is said, and what is missing at another time
/// is not.
#[test]
fn a_gap_of_the_whole_recording_tells_of_its_own_time_alone() {
    for (is_its_time, is_before) in [(true, false), (false, false), (false, true)] {
        let mut venue = Venue::new(1);
        let mut recording = Recording::of(&venue);
        let began = recording.at / 1_000;
        recording.orders(&mut venue, 3);
        let before = recording.at / 1_000;
        let _: String = venue.order(30, 9);
        recording.sequence += 1;
        recording.orders(&mut venue, 1);
        let after = recording.at / 1_000;
        recording.orders(&mut venue, 3);
        let times = match (is_its_time, is_before) {
            (true, _) => (Some(before), Some(after)),
            (false, true) => (Some(began), None),
            (false, false) => (Some(after + 1), None),
        };
        let gap = Gap::of_recording("disk_full", Owner::Us, times, 1);
        recording.verifier.take(&Recorded {
            at: recording.at,
            entry: Entry::Gap(gap),
        });
        let report = recording.finish();
        assert_eq!(report.missing_frames, u64::from(!is_its_time));
    }
}

/// A file in the midst is lost, or was changed, and nobody has noted so, or a repair has. A lost
/// one may be elsewhere; of a changed one the hashes say whether it matters.
#[test]
fn a_lost_file_is_a_gap_once_it_is_noted_and_not_whole_and_a_noted_change_is() {
    let cases = [
        (FaultKind::Lost, false, false),
        (FaultKind::Lost, true, false),
        (FaultKind::Changed, false, false),
        (FaultKind::Changed, true, true),
    ];
    for (what, is_noted, is_whole) in cases {
        let mut venue = Venue::new(1);
        let mut recording = Recording::of(&venue);
        recording.orders(&mut venue, 3);
        let before = recording.at / 1_000;
        if what == FaultKind::Lost {
            let _: String = venue.order(30, 9);
            recording.sequence += 1;
            recording.at += SECOND;
        }
        recording.verifier.fault(Fault {
            file: "00000002-20261129T084300Z.mcap".into(),
            what,
            bytes: (0, 9),
            after: None,
            error: None,
            line: None,
            is_noted,
        });
        // The venue says the book whole to the next file's socket.
        recording.frame(&venue.opening());
        recording.orders(&mut venue, 3);
        if what == FaultKind::Lost && is_noted {
            let times = (Some(before), Some(before + 1_000_000));
            let gap = Gap::of_recording(LOST, Owner::Us, times, 1);
            recording.verifier.add_untold(&[gap]);
        }
        let report = recording.finish();
        let case = format!("{what:?} {is_noted}: {}", report.page());
        assert_eq!(report.is_whole(), is_whole, "{case}");
        assert_eq!(report.missing_frames, 0, "the file had them: {case}");
        assert_eq!(report.contradicted().count(), 0, "{case}");
        let told: Vec<_> = report.gaps.iter().map(|gap| &*gap.reason).collect();
        let is_told = what == FaultKind::Lost && is_noted;
        assert_eq!(told, vec![LOST; usize::from(is_told)], "{case}");
        assert_eq!(report.is_gapless(), !is_told, "{case}");
    }
}

#[test]
fn missing_frames_are_told_and_no_book_is_blamed_for_them() {
    let mut venue = Venue::new(1);
    let mut recording = Recording::of(&venue);
    recording.orders(&mut venue, 3);
    for order in 0..4 {
        let _: String = venue.order(30 + order, 9);
        recording.sequence += 1;
    }
    recording.orders(&mut venue, 3);
    let verified = 2 * 4;
    // A checkpoint of after the loss: what stands around it follows.
    for at in 0..2 {
        let checkpoint = venue.checkpoint(&recording.verifier, at);
        recording.verifier.checkpoint(checkpoint, recording.at);
    }
    recording.orders(&mut venue, 5);
    // A gap of the whole recording that has nothing to do with it, as each run has one.
    let stopped = Gap::of_recording("stopped", Owner::Us, (Some(recording.at / 1_000), None), 1);
    // Nor has one of a token of its socket, which says nothing of frames.
    let moved = Gap {
        scope: GapScope::Token,
        token_id: Some(venue.ids()[0].clone()),
        socket: Some(1),
        ..Gap::of_recording("resubscribing", Owner::Us, (Some(1), Some(u64::MAX)), 1)
    };
    for gap in [stopped, moved] {
        recording.verifier.take(&Recorded {
            at: recording.at,
            entry: Entry::Gap(gap),
        });
    }
    let report = recording.finish();
    assert_eq!(report.missing_frames, 4);
    assert!(!report.is_whole());
    assert_eq!(report.contradicted().count(), 0, "{}", report.page());
    let found = report.findings;
    assert_eq!(found.failed, 0);
    assert_eq!(found.verified, verified + 2 + 10);
}

#[test]
fn checkpoints_are_held_against_the_books_and_never_take_their_place() {
    let mut venue = Venue::new(1);
    let mut recording = Recording::of(&venue);
    recording.orders(&mut venue, 3);
    let right = venue.checkpoint(&recording.verifier, 0);
    recording.verifier.checkpoint(right, recording.at);
    assert_eq!(recording.verifier.books.totals().audits_agreed, 1);
    let mut wrong = venue.checkpoint(&recording.verifier, 1);
    wrong.bids.pop();
    recording.verifier.checkpoint(wrong, recording.at);
    recording.orders(&mut venue, 3);
    let report = recording.finish();
    let [found] = token(&report, &venue, 1).contradictions[..] else {
        panic!("{}", report.page())
    };
    assert_eq!(found.reason, StaleReason::Audit);
    assert_eq!(report.findings.audits_failed, 1);
    assert_eq!(report.findings.failed, 0, "its frames are right");
    assert!(!report.is_whole());
}

#[test]
fn what_cannot_be_verified_is_not_verified_and_no_contradiction_either() {
    let mut venue = Venue::new(1);
    let unhashed = |frame: String| {
        let mut frame: Value = serde_json::from_str(&frame).unwrap();
        let odd = "00000000000000000000000000000000000000".to_owned();
        let mut number = 10;
        let mut replace = |event: &mut Value| {
            number += 1;
            let stamp = event.get("timestamp").is_some();
            event["hash"] =
                Value::from(format!("{odd}{}", if stamp { number } else { number + 7 }));
        };
        match &mut frame {
            Value::Array(events) => events.iter_mut().for_each(&mut replace),
            event => event["price_changes"]
                .as_array_mut()
                .unwrap()
                .iter_mut()
                .for_each(replace),
        }
        frame.to_string()
    };
    let mut verifier = Verifier::new(BEGAN);
    let mut at = BEGAN;
    let mut frame = |verifier: &mut Verifier, frame: String| {
        at += SECOND;
        verifier.frame(1, None, frame.as_bytes(), at);
    };
    frame(&mut verifier, unhashed(venue.opening()));
    for order in 0..6 {
        let told = venue.order(40 + order, 3);
        frame(&mut verifier, unhashed(told));
    }
    let report = verifier.finish();
    let found = report.findings;
    assert_eq!((found.verified, found.failed), (0, 0));
    assert!(found.unverifiable > 0);
    assert_eq!(found.unverifiable + found.unjudged(), found.states);
    assert!(report.is_whole(), "{}", report.page());
}

#[test]
fn sockets_that_close_and_tokens_of_nobody_contradict_nothing() {
    let (mut venue, stranger) = (Venue::new(1), Venue::new(2));
    let mut recording = Recording::of(&venue);
    recording.orders(&mut venue, 2);
    recording.frame(&stranger.opening());
    recording.verifier.closed(1, recording.at + 1);
    recording.verifier.opened(2, recording.at + SECOND);
    recording
        .verifier
        .carries(2, &venue.ids(), recording.at + SECOND);
    let _: String = venue.order(45, 9);
    let mut at = recording.at + 2 * SECOND;
    for frame in [venue.opening(), venue.order(44, 9), "PONG".to_owned()] {
        at += SECOND;
        recording.verifier.frame(2, None, frame.as_bytes(), at);
    }
    let report = recording.finish();
    assert!(report.is_whole(), "{}", report.page());
    assert_eq!(report.unknown_events, 2);
    assert_eq!((report.tokens.len(), report.findings.verified), (2, 10));
    assert_eq!(report.ended, at);
}

#[test]
fn a_book_that_rest_brought_is_the_sockets_from_where_it_begins() {
    let mut venue = Venue::new(1);
    let mut verifier = Verifier::new(BEGAN);
    verifier.opened(1, BEGAN);
    verifier.carries(1, &venue.ids(), BEGAN);
    let body = json!([venue.book(0), venue.book(1)]).to_string();
    verifier.answered(body.as_bytes(), true, BEGAN + 1);
    assert_eq!(
        verifier.books.totals().states,
        0,
        "no socket begins with it"
    );
    verifier.begins_with_answer(1, &venue.ids(), BEGAN + 2);
    verifier.frame(1, None, venue.order(45, 9).as_bytes(), BEGAN + SECOND);
    let body = json!([venue.book(0), venue.book(1)]).to_string();
    verifier.answered(body.as_bytes(), false, BEGAN + 2 * SECOND);
    let report = verifier.finish();
    assert_eq!((report.findings.states, report.findings.verified), (4, 4));
    assert_eq!(report.findings.audits_agreed, 2);
}

#[test]
fn a_clock_that_is_set_moves_no_patience_and_times_are_told_as_recorded() {
    const HOUR: i64 = 3_600_000_000_000;
    for step in [HOUR, -HOUR] {
        let mut venue = Venue::new(1);
        let mut recording = Recording::of(&venue);
        let (first, second) = in_two_frames(&mut venue);
        recording.frame(&first);
        // A moment later by any other clock.
        recording.at = recording.at.saturating_add_signed(step) + MILLISECOND;
        recording.verifier.clock_set(step, recording.at);
        recording.at -= SECOND - MILLISECOND;
        recording.frame(&second);
        let _: String = venue.order(33, 9);
        recording.orders(&mut venue, 1);
        let from = recording.at;
        recording.orders(&mut venue, 2);
        let report = recording.finish();
        assert_eq!(report.clock_steps, [step]);
        let wrong: Vec<_> = report.contradicted().collect();
        assert_eq!(wrong.len(), 2, "{}", report.page());
        for token in wrong {
            let [found] = token.contradictions[..] else {
                panic!("{}", report.page())
            };
            assert_eq!(found.from, from, "what is left out later");
        }
    }
}

#[test]
fn what_is_no_json_and_what_cannot_be_read_costs_nothing_beside_it() {
    let mut venue = Venue::new(1);
    let mut recording = Recording::of(&venue);
    recording.frame("{\"event_type\":\"price_change\",");
    recording.frame("\u{0}\u{1}");
    recording.orders(&mut venue, 2);
    let report = recording.finish();
    assert!(report.unreadable_frames > 0 && !report.is_whole());
    assert_eq!(report.findings.failed, 0);
    assert_eq!(report.contradicted().count(), 0, "{}", report.page());
}

#[test]
fn frames_of_one_read_are_applied_together_and_what_could_not_be_read_is_lost_behind_them() {
    let mut venue = Venue::new(1);
    let mut verifier = Verifier::new(BEGAN);
    let at = BEGAN + SECOND;
    let opening = venue.opening();
    verifier.frame(1, Some(0), opening.as_bytes(), at);
    let broken = venue
        .order(45, 17)
        .replacen(r#""size":"17""#, r#""size":"x""#, 1);
    verifier.frame(1, Some(1), broken.as_bytes(), at + 1);
    assert_eq!(verifier.books.totals().states, 0, "the read may go on");
    for second in 1..=3 {
        let frame = venue.order(40, second);
        let at = at + u64::from(second) * SECOND;
        verifier.frame(1, Some(1 + second), frame.as_bytes(), at);
    }
    let report = verifier.finish();
    assert_eq!((report.errors, report.missing_frames), (1, 0));
    assert_eq!(report.contradicted().count(), 0, "{}", report.page());
    assert_eq!(report.unsettled, 0, "what is lost is not in doubt");
    assert_eq!(report.findings.failed, 0);
    assert_eq!(token(&report, &venue, 1).findings.verified, 5);
}

/// The same as entries of a recording, with a loss that it tells of.
#[test]
fn entries_say_what_there_is_and_what_is_missing_and_why() {
    let mut venue = Venue::new(1);
    let mut verifier = Verifier::new(BEGAN);
    let mut at = BEGAN;
    let mut take = |entry| {
        at += SECOND;
        verifier.take(&Recorded { at, entry });
        at
    };
    let frame = |sequence, text: &str| {
        Entry::Frame(recording::Frame {
            socket: 7,
            connection: "connection-1".into(),
            sequence,
            bytes: text.as_bytes().into(),
        })
    };
    take(Entry::Socket(SocketEvent::Open {
        socket: 7,
        connection: "connection-1".into(),
        next_sequence: u32::MAX,
        feed_id: Some(3),
    }));
    take(Entry::Socket(SocketEvent::Carries {
        socket: 7,
        tokens: venue.ids().to_vec(),
    }));
    take(frame(u32::MAX, &venue.opening()));
    take(frame(0, &venue.order(45, 5)));
    let began = take(Entry::Control(recording::Control {
        socket: 7,
        sequence: 1,
        text: Some("PONG".into()),
        binary: None,
    }));
    for cents in 41..44 {
        let _: String = venue.order(cents, 8);
    }
    let mut gap = Gap {
        scope: GapScope::Socket,
        socket: Some(7),
        size: None,
        ..Gap::of_recording("recorder_behind", Owner::Us, (Some(began / 1_000), None), 1)
    };
    take(Entry::Gap(gap.clone()));
    take(frame(5, &venue.order(44, 9)));
    take(frame(6, &venue.opening()));
    let end = take(frame(7, &venue.order(43, 1)));
    (gap.to_ts, gap.size) = (Some(end / 1_000), Some(3));
    take(Entry::Gap(gap.clone()));
    // What is told again as the next file begins is nothing new.
    take(Entry::Socket(SocketEvent::Open {
        socket: 7,
        connection: "connection-1".into(),
        next_sequence: 8,
        feed_id: Some(3),
    }));
    take(frame(8, &venue.order(42, 1)));
    take(Entry::Socket(SocketEvent::Closed {
        socket: 7,
        reason: "the end".into(),
        owner: Owner::Us,
    }));
    let report = verifier.finish();
    assert!(report.is_whole(), "{}", report.page());
    assert_eq!((report.frames, report.control_frames), (6, 1));
    assert_eq!(report.missing_frames, 0);
    assert_eq!(report.missing_by_socket[&7], 3);
    assert_eq!(report.gaps, [gap]);
    assert_eq!(report.findings.verified, 2 * 5);
    let page = report.page();
    assert!(page.contains("1, recorder_behind (us), 4.0 s"), "{page}");
    assert_eq!(report.to_json()["gaps"][0]["owner"], "us");
}
