//! What keys and answers do, and what is drawn.

use std::time::{Duration, Instant};

use polypy_client::message::Trade;
use polypy_client::reads::{Connection, Market};
use polypy_core::Level;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};
use serde_json::{Value, json};

use super::draw::draw_at;
use super::look::Look;
use super::model::{Above, Act, Input, Kind, Link, Model, Pulse, Question, Rows, SILENCE, Sight};

const SIZE: (u16, u16) = (80, 24);
const LOOK: Look = Look { has_colours: true };

fn market(number: u32, state: &str, reason: Option<&str>) -> Market {
    let token = |which: u32, outcome: &str| {
        json!({
            "token_id": format!("{number}{which}"), "outcome": outcome,
            "top": {
                "state": state, "reason": reason, "epoch": 1, "sequence": 7, "revision": 9,
                "ts_event_ms": 1_795_429_799_750_u64, "best_bid": "0.489", "best_bid_size": "29.5",
                "best_ask": "0.5025", "best_ask_size": "3",
            }
        })
    };
    let market = json!({
        "condition_id": format!("0x{number:064x}"), "slug": format!("market-{number}"),
        "question": format!("Day {number}: \u{1b}[2J rain?"), "event": null,
        "group_title": null, "category": null, "tags": null,
        "status": "open", "followed": true, "not_followed": null,
        "volume": null, "volume_day": "5500.00", "liquidity": null,
        "start_ms": null, "start": null, "end_ms": 1_795_429_800_000_u64,
        "end": "2026-11-23T10:30:00.000Z", "neg_risk": false, "tick_size": "0.001",
        "min_order_size": "5", "resolution": null,
        "tokens": [token(1, "Yes"), token(2, "No")]
    });
    serde_json::from_value(market).unwrap()
}

fn connection(name: &str, state: &str, end: &Value) -> Connection {
    let connection = json!({
        "connection": name, "state": state, "tokens": 400, "awaited_books": 12,
        "messages_per_second": 812.5, "bytes_per_second": 99_000.0, "reconnects": 3,
        "opened_ms": null, "silent_ms": 2_140, "silence_limit_ms": 45_000, "last_end": end,
        "next_attempt_ms": 1_795_429_801_250_u64,
    });
    serde_json::from_value(connection).unwrap()
}

fn pulse(healthy: bool, reasons: &Value, stale: u64) -> Pulse {
    Pulse {
        ts_us: 1_795_429_800_000_000,
        health: json!({
            "healthy": healthy, "reasons": reasons,
            "books": { "wanted": 403, "live": 400 - stale, "stale": stale, "awaited": 3 },
        }),
        sample: json!({
            "ts_ms": 1_795_429_800_000_u64, "books_live": 400 - stale, "books_verified": 380,
            "books_stale": stale, "books_suspect": stale / 4, "books_pending": 0,
            "stale_hash": stale, "stale_top": 0,
            "changes_per_second": 812.5, "trades_per_second": 4.0, "connections": 2,
            "connections_open": 2, "checks_failed_per_second": 0, "dropped_per_second": null,
            "route_p99_ms": 0.512, "stream_clients": 1, "cpu_cores": 0.12,
            "resident_bytes": 85_000_000, "uptime_seconds": 8_000,
        }),
    }
}

/// A model of which everything is known, at the moment of the last pulse.
fn known() -> (Model, Instant) {
    let (mut model, now) = (
        Model::new(Kind::Markets, "volume_day", String::new(), SIZE),
        Instant::now(),
    );
    model.on(Input::Heard(pulse(true, &json!([]), 0)), now);
    let markets = (1..=30).map(|number| market(number, "live", None));
    let question = model.question().unwrap();
    model.on(
        Input::Read(question, Rows::Markets(markets.collect(), 300)),
        now,
    );
    (model, now)
}

fn press(model: &mut Model, code: KeyCode) -> Option<Act> {
    model.on(
        Input::Key(KeyEvent::new(code, KeyModifiers::NONE)),
        Instant::now(),
    )
}

fn control(model: &mut Model, letter: char) -> Option<Act> {
    let key = KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL);
    model.on(Input::Key(key), Instant::now())
}

fn drawn(model: &Model, now: Instant) -> (String, Terminal<TestBackend>) {
    let (columns, lines) = model.size;
    let mut terminal = Terminal::new(TestBackend::new(columns, lines)).unwrap();
    terminal
        .draw(|frame| draw_at(frame, model, LOOK, now))
        .unwrap();
    let text = terminal.backend().to_string();
    (text, terminal)
}

fn text(model: &Model, now: Instant) -> String {
    drawn(model, now).0
}

fn level(price: &str, size: &str) -> Level {
    Level::new(price.parse().unwrap(), size.parse().unwrap())
}

fn sight(state: &str, reason: Option<&str>) -> Sight {
    Sight {
        state: state.to_owned(),
        reason: reason.map(str::to_owned),
        verified: Some(true),
        is_followed: true,
        ts_event_ms: Some(1_795_429_799_000),
        bids: vec![level("0.489", "29.5"), level("0.48", "1200")],
        asks: vec![level("0.5025", "0.29"), level("0.521", "120")],
    }
}

#[test]
fn the_server_sorts_and_cuts_and_what_answers_something_else_is_not_taken() {
    let (mut model, now) = known();
    assert_eq!(
        model.question().unwrap(),
        Question {
            kind: Kind::Markets,
            sort: "volume_day",
            words: String::new(),
            limit: 17,
        }
    );
    press(&mut model, KeyCode::Char('s'));
    assert_eq!(model.question().unwrap().sort, "change");
    assert!(model.is_asking());
    press(&mut model, KeyCode::Char('S'));
    press(&mut model, KeyCode::Char('S'));
    assert_eq!(model.sort(), "listed");
    // Further down more rows are asked for.
    press(&mut model, KeyCode::PageDown);
    press(&mut model, KeyCode::PageDown);
    assert_eq!((model.place().row, model.place().first), (34, 18));
    assert_eq!(model.question().unwrap().limit, 35);
    press(&mut model, KeyCode::Tab);
    let question = model.question().unwrap();
    assert_eq!(
        (question.kind, question.sort),
        (Kind::Connections, "trouble")
    );
    // Markets come late: connections are shown now.
    let late = Question {
        kind: Kind::Markets,
        ..question.clone()
    };
    model.on(Input::Read(late, Rows::Markets(Vec::new(), 0)), now);
    assert_eq!(model.markets.len(), 30);
    let rows = Rows::Connections(vec![connection("conn-1", "live", &Value::Null)], 1);
    model.on(Input::Read(question, rows), now);
    assert_eq!(model.rows(), 1);
    press(&mut model, KeyCode::Down);
    assert_eq!(model.place().row, 0, "there is no other row");
}

#[test]
fn words_are_typed_searched_and_ended() {
    let (mut model, _) = known();
    press(&mut model, KeyCode::Char('/'));
    for letter in "rain q".chars() {
        assert_eq!(
            press(&mut model, KeyCode::Char(letter)),
            None,
            "q is a letter here"
        );
    }
    press(&mut model, KeyCode::Backspace);
    assert_eq!(model.above, Above::Search("rain ".to_owned()));
    assert!(text(&model, Instant::now()).contains("search: rain _"));
    press(&mut model, KeyCode::Enter);
    let question = model.question().unwrap();
    assert_eq!((&*question.words, question.sort), ("rain", "relevance"));
    press(&mut model, KeyCode::Char('s'));
    assert_eq!(model.sort(), "change", "until another order is chosen");
    press(&mut model, KeyCode::Char('/'));
    press(&mut model, KeyCode::Char('x'));
    press(&mut model, KeyCode::Esc);
    assert_eq!(model.words, "rain", "as it was");
    press(&mut model, KeyCode::Esc);
    assert_eq!(model.words, "");
}

#[test]
fn the_cursor_stays_on_its_row_when_rows_move() {
    let (mut model, now) = known();
    for _ in 0..3 {
        press(&mut model, KeyCode::Down);
    }
    let held = model.markets[3].condition_id.clone();
    let mut markets = model.markets.clone();
    markets.rotate_right(5);
    let question = model.question().unwrap();
    model.on(Input::Read(question, Rows::Markets(markets, 300)), now);
    assert_eq!(model.place().row, 8);
    assert_eq!(model.markets[8].condition_id, held);
}

#[test]
fn a_ladder_follows_its_market_and_no_table_is_asked_for_meanwhile() {
    let (mut model, now) = known();
    press(&mut model, KeyCode::Down);
    press(&mut model, KeyCode::Enter);
    assert_eq!(
        model.followed(),
        Some(&model.markets[1].condition_id.clone())
    );
    assert_eq!(model.question(), None);
    assert!(text(&model, now).contains("asking for the book"));
    model.on(Input::Book("21".parse().unwrap(), sight("live", None)), now);
    let shown = text(&model, now);
    let at = |needle: &str| {
        shown
            .find(needle)
            .unwrap_or_else(|| panic!("{needle}: {shown}"))
    };
    assert!(at("0.521") < at("0.5025") && at("0.5025") < at("spread 0.0135, middle 0.49575"));
    assert!(at("middle") < at("0.489") && at("0.489") < at("0.4800 "));
    // Points stand below each other.
    for (price, size) in [
        ("0.5210", "120   "),
        ("0.5025", "  0.29"),
        ("0.4890", " 29.5 "),
        ("0.4800", "1200   "),
    ] {
        let row = shown.lines().find(|line| line.contains(price)).unwrap();
        assert!(row.contains(&format!("{size}  |")), "{price}: {shown}");
    }
    assert!(
        shown.contains("live, verified by the venue's hash  changed 1.0s ago"),
        "{shown}"
    );
    model.on(
        Input::Book("21".parse().unwrap(), sight("stale", Some("hash"))),
        now,
    );
    assert!(text(&model, now).contains("STALE: hash: do not trade on it"));
    model.on(Input::BooksLost, now);
    assert!(text(&model, now).contains("NOT FOLLOWED: what is shown is old"));
    // The other outcome, and a book of no market that is shown.
    press(&mut model, KeyCode::Char('o'));
    assert!(text(&model, now).contains("?  No"));
    model.on(Input::Book("99".parse().unwrap(), sight("live", None)), now);
    press(&mut model, KeyCode::Esc);
    assert_eq!(model.followed(), None);
    assert_eq!(model.place().row, 1);
}

#[test]
fn trades_stand_beside_a_wide_ladder() {
    let (mut model, now) = known();
    press(&mut model, KeyCode::Enter);
    model.on(Input::Book("11".parse().unwrap(), sight("live", None)), now);
    let trade = json!({
        "type": "trade", "token_id": "11", "condition_id": "0xa", "trade_sequence": 31,
        "price": "0.5025", "size": "219.217767", "aggressor_side": "BUY",
        "ts_event_ms": 1_795_429_800_020_u64, "ts_recv_us": 1_795_429_800_051_002_u64,
    });
    let trade: Trade = serde_json::from_value(trade).unwrap();
    model.on(Input::Traded(trade), now);
    assert!(
        !text(&model, now).contains("bought"),
        "80 columns have no room"
    );
    model.on(Input::Resized(120, 30), now);
    let shown = text(&model, now);
    assert!(!shown.contains("no trade since"), "{shown}");
    press(&mut model, KeyCode::Char('o'));
    model.on(Input::Book("12".parse().unwrap(), sight("live", None)), now);
    assert!(text(&model, now).contains("no trade since this was opened"));
    press(&mut model, KeyCode::Char('o'));
    assert!(text(&model, now).contains("10:30:00 bought 219.217767 at 0.5025"));
}

#[test]
fn silence_and_loss_are_marked_at_once_and_everything_is_dim() {
    let (mut model, now) = known();
    let later = now + SILENCE + Duration::from_millis(1);
    model.on(Input::Tick, now + SILENCE);
    assert_eq!(model.link, Link::Open, "one may be late");
    let is_dim = |model: &Model| {
        let (shown, terminal) = drawn(model, later);
        let row = shown
            .lines()
            .position(|line| line.contains("Day 2: "))
            .unwrap();
        let cell = &terminal.backend().buffer()[(2, u16::try_from(row).unwrap())];
        cell.modifier.contains(Modifier::DIM)
    };
    assert!(!is_dim(&model));
    model.on(Input::Tick, later);
    assert_eq!(model.link, Link::Silent);
    assert!(text(&model, later).contains("nothing heard since 10:30:00: what is shown is old"));
    assert!(is_dim(&model));
    model.on(Input::Heard(pulse(true, &json!([]), 0)), later);
    assert!(!is_dim(&model));
    let cause = "the connection \u{1b}ended".to_owned();
    let retry = Duration::from_secs(3);
    model.on(Input::Lost { cause, retry }, later);
    let shown = text(&model, later);
    assert!(shown.contains("LINK LOST since 10:30:00"), "{shown}");
    assert!(
        shown.contains("the connection ?ended; trying again in 3 s"),
        "{shown}"
    );
    assert!(is_dim(&model));
}

#[test]
fn totals_say_what_is_wrong_and_texts_of_others_steer_nothing() {
    let (mut model, now) = known();
    let shown = text(&model, now);
    assert!(
        shown.contains("linked  10:30:00  up 2h  cpu 0.12  mem 85M  clients 1"),
        "{shown}"
    );
    assert!(
        shown.contains("books 400 live of 403 (380 verified), 3 pending, 0 stale"),
        "{shown}"
    );
    assert!(
        shown.contains(
            "conns 2 of 2  changes 812/s  trades 4/s  failed 0/s  dropped -/s  p99 <0.51ms"
        ),
        "{shown}"
    );
    assert!(
        shown.contains("1 of 300 markets, sorted by volume_day"),
        "{shown}"
    );
    assert!(shown.contains("Day 1: ?[2J rain?"), "{shown}");
    let reasons = json!([{ "code": "books_not_live", "text": "396 of 400 books are live" }]);
    model.on(Input::Heard(pulse(true, &reasons, 4)), now);
    let shown = text(&model, now);
    assert!(
        shown.contains("healthy; 396 of 400 books are live"),
        "{shown}"
    );
    assert!(
        shown.contains("3 pending, 4 stale (hash 4; 1 suspect)"),
        "{shown}"
    );
    let reasons = json!([{ "code": "no_connection", "text": "no connection is open" }]);
    model.on(Input::Heard(pulse(false, &reasons, 400)), now);
    assert!(text(&model, now).contains("NOT HEALTHY; no connection is open"));
    let why = "the server answered 503".to_owned();
    model.on(Input::Unread(why), now);
    assert!(text(&model, now).contains("not as new as it should be: the server answered 503"));
}

#[test]
fn prices_of_a_book_that_is_not_live_are_left_out_and_its_state_says_why() {
    let (mut model, now) = known();
    let rows = vec![market(1, "stale", Some("hash")), market(2, "live", None)];
    let question = model.question().unwrap();
    model.on(Input::Read(question, Rows::Markets(rows, 2)), now);
    let (shown, terminal) = drawn(&model, now);
    let lines: Vec<_> = shown.lines().collect();
    let row = lines
        .iter()
        .position(|line| line.contains("stale:hash"))
        .unwrap();
    assert!(!lines[row].contains("0.489"), "{shown}");
    assert!(
        lines[row + 1].contains("  0.4890  0.5025  0.0135 "),
        "{shown}"
    );
    let live = &terminal.backend().buffer()[(0, u16::try_from(row + 1).unwrap())];
    assert_eq!(live.fg, Color::Green);
    // Where the reason has no room beside it the state is whole, and the row's own line has both.
    let rows = vec![market(1, "stale", Some("disconnected"))];
    let question = model.question().unwrap();
    model.on(Input::Read(question, Rows::Markets(rows, 1)), now);
    let shown = text(&model, now);
    let row = shown.lines().find(|line| line.contains("Day 1: ")).unwrap();
    assert!(row.contains("stale  "), "{shown}");
    assert!(
        shown.contains("stale:disconnected  1 of 1 markets"),
        "{shown}"
    );
}

#[test]
fn a_question_that_its_column_cuts_is_whole_below_the_table() {
    let (mut model, now) = known();
    let long = "Will the highest temperature in Lisbon be above 31 degrees?";
    // Thirteen letters, each of two columns.
    for question in [long, "東京の天気は晴れですか雨か"] {
        let mut rows = vec![market(1, "stale", Some("hash")), market(2, "live", None)];
        question.clone_into(&mut rows[0].question);
        let asked = model.question().unwrap();
        model.on(Input::Read(asked, Rows::Markets(rows, 300)), now);
        let shown = text(&model, now);
        let below = format!("\"1 of 300  {question}");
        assert!(shown.contains(&below), "{shown}");
        assert!(shown.contains("QUESTION, by volume_day"), "{shown}");
        // One that is whole in the table is not said again, and neither is it where there is room.
        let count = "of 300 markets, sorted by volume_day";
        assert!(!shown.contains(count), "{shown}");
        press(&mut model, KeyCode::Down);
        assert!(text(&model, now).contains(&format!("2 {count}")));
        press(&mut model, KeyCode::Up);
        model.on(Input::Resized(140, 24), now);
        assert!(text(&model, now).contains(&format!("1 {count}")));
        model.on(Input::Resized(80, 24), now);
    }
    model.markets[0].question = "long ".repeat(40);
    let shown = text(&model, now);
    let below = shown.lines().find(|line| line.contains("1 of 300  long"));
    assert!(below.is_some_and(|line| line.contains('…')), "{shown}");
}

#[test]
fn connections_say_how_they_ended_and_when_the_next_socket_comes() {
    let (mut model, now) = known();
    press(&mut model, KeyCode::Tab);
    assert!(text(&model, now).contains("asking the server"));
    let end = json!({ "cause": "closed", "detail": "1013 slow", "close_code": 1013, "at_ms": 1_795_429_798_000_u64, "at": "" });
    let question = model.question().unwrap();
    let rows = Rows::Connections(vec![connection("conn-2", "lost", &end)], 1);
    model.on(Input::Read(question, rows), now);
    let shown = text(&model, now);
    let row = shown.lines().find(|line| line.contains("conn-2")).unwrap();
    for cell in ["lost", "400", "12", "812", "99", "2.1s", "45s", "3"] {
        assert!(row.contains(cell), "{cell}: {row}");
    }
    assert!(
        shown.contains("10:29:58 closed (1013 slow), next 10:30:01"),
        "{shown}"
    );
}

#[test]
fn every_key_of_the_help_does_what_it_says() {
    let (mut model, now) = known();
    assert_eq!(control(&mut model, 'l'), Some(Act::Redraw));
    assert_eq!(control(&mut model, 'z'), Some(Act::Suspend));
    assert_eq!(control(&mut model, 'c'), Some(Act::Quit));
    press(&mut model, KeyCode::Char('?'));
    let shown = text(&model, now);
    assert!(
        shown.contains("Ctrl-L") && shown.contains("Any key goes on"),
        "{shown}"
    );
    assert_eq!(press(&mut model, KeyCode::Char('x')), None);
    assert_eq!(model.above, Above::Nothing);
    press(&mut model, KeyCode::End);
    assert_eq!(model.place().row, 29);
    press(&mut model, KeyCode::Home);
    assert_eq!(model.place().row, 0);
    assert_eq!(press(&mut model, KeyCode::Char('q')), Some(Act::Quit));
}

#[test]
fn any_size_is_drawn_and_no_line_is_longer_than_the_screen() {
    let (mut model, now) = known();
    for (columns, lines) in [(1, 1), (39, 10), (40, 10), (80, 24), (200, 60)] {
        for ladder in [false, true] {
            if ladder {
                press(&mut model, KeyCode::Enter);
                model.on(Input::Book("11".parse().unwrap(), sight("live", None)), now);
            }
            model.on(Input::Resized(columns, lines), now);
            let shown = text(&model, now);
            assert!(
                shown.lines().count() >= usize::from(lines),
                "{columns} {lines}"
            );
            let is_small = columns < 40 || lines < 10;
            assert_eq!(
                shown.contains("q quit"),
                !is_small,
                "{columns} {lines}: {shown}"
            );
            press(&mut model, KeyCode::Esc);
        }
    }
}
