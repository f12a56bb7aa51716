//! `polypy top`, in a terminal as people have it, and without one.

use serde_json::{Value, json};

use crate::process::{Running, get, output, polypy, send};
use crate::tmux::Terminal;

const JSON: &str = "Content-Type: application/json";

/// A demo, and where it is.
struct Demo {
    running: Running,
    url: String,
}

impl Demo {
    fn start(port: &str) -> Self {
        let port = format!("--http-port={port}");
        let mut running = Running::start(&[
            "run",
            "--demo",
            &port,
            "--sim-markets=5",
            "--sim-resolve-per-minute=0",
            "--sim-new-markets-per-minute=0",
        ]);
        let line = running.stdout_line("/orderbook/");
        let line = &line[line.find("http://").unwrap()..];
        let (url, _) = line.split_once("/orderbook/").unwrap();
        let url = url.to_owned();
        running.stderr_line("every book is live");
        Self { running, url }
    }

    fn fault(&self, fault: &Value) {
        let url = format!("{}/demo/faults", self.url);
        let (status, answer) = send("POST", &url, &[JSON], &fault.to_string());
        assert_eq!(status, 200, "{answer}");
    }

    fn top(&self, terminal: &Terminal) {
        let program = env!("CARGO_BIN_EXE_polypy");
        terminal.run(&format!("{program} top --delay 500ms --url {}", self.url));
        terminal.until("the first rows", |screen| {
            screen.contains("linked") && screen.contains("QUESTION") && screen.contains("live ")
        });
    }
}

#[test]
fn markets_are_sorted_searched_and_opened_and_a_stale_book_is_seen() {
    let Some(terminal) = Terminal::open() else {
        return;
    };
    let demo = Demo::start("0");
    demo.top(&terminal);
    let screen = terminal.screen();
    assert!(screen.contains("healthy"), "{screen}");
    assert!(screen.contains("books 10 live of 10"), "{screen}");
    assert!(screen.contains("QUESTION, by volume_day"), "{screen}");

    terminal.text("s");
    terminal.until("another order", |screen| {
        screen.contains("QUESTION, by change")
    });
    terminal.key("Tab");
    let screen = terminal.until("connections", |screen| screen.contains("conn-"));
    assert!(screen.contains("sorted by trouble"), "{screen}");
    terminal.key("Tab");

    let (_, markets) = get(&format!("{}/v1/markets?limit=1&sort=listed", demo.url));
    let slug = markets["markets"][0]["slug"].as_str().unwrap();
    let words: Vec<_> = slug.split('-').take(4).collect();
    let query = format!("/v1/markets?limit=1&q={}", words.join("+"));
    let (_, found) = get(&format!("{}{query}", demo.url));
    let question = found["markets"][0]["question"].as_str().unwrap();
    terminal.text("/");
    terminal.until("a line to type in", |screen| screen.contains("search: _"));
    terminal.text(&words.join(" "));
    terminal.key("Enter");
    terminal.until("what was found", |screen| {
        screen.contains(&format!("with: {}", words.join(" "))) && screen.contains("\n1 of ")
    });
    terminal.key("Enter");
    let start = question.chars().take(20).collect::<String>();
    let screen = terminal.until("a ladder", |screen| {
        screen.contains("spread ") && screen.contains("bid ") && screen.contains("ask ")
    });
    assert!(screen.contains(&start), "{screen}");
    assert!(screen.contains("live, "), "{screen}");

    demo.fault(&json!({ "name": "drop_connection", "for_s": 3 }));
    let screen = terminal.until("a stale book", |screen| screen.contains("STALE: "));
    assert!(screen.contains("do not trade on it"), "{screen}");
    terminal.until("what the totals say", |screen| {
        screen.contains("no connection") || screen.contains("stale (disconnected")
    });
    terminal.until("a live book", |screen| {
        screen.contains("live, ") && screen.contains("books 10 live of 10")
    });
    terminal.text("o");
    terminal.key("Escape");
    terminal.until("the table", |screen| screen.contains("QUESTION"));
    terminal.text("?");
    terminal.until("help", |screen| screen.contains("Any key goes on"));
    terminal.text("x");
    terminal.text("q");
    terminal.is_given_back();
}

#[test]
fn the_terminal_is_given_back_however_it_ends_and_after_a_rest() {
    let Some(terminal) = Terminal::open() else {
        return;
    };
    let demo = Demo::start("0");
    demo.top(&terminal);
    // To the shell and back.
    terminal.key("C-z");
    terminal.until("the shell", |screen| screen.contains("prompt>"));
    terminal.is_given_back();
    terminal.run("fg");
    terminal.until("the screen", |screen| {
        screen.contains("QUESTION") && screen.contains("linked")
    });
    assert!(terminal.is("alternate_on"));
    // Another size, and whatever else wrote there.
    terminal.resize(120, 40);
    terminal.until("more room", |screen| {
        screen.lines().count() > 30 && screen.contains("QUESTION")
    });
    terminal.resize(80, 24);
    terminal.key("C-l");
    terminal.until("the keys in the last line", |screen| {
        screen.trim_end().lines().count() == 24 && screen.contains("q quit")
    });
    terminal.resize(30, 8);
    terminal.until("too little room", |screen| screen.contains("80 x 24"));
    terminal.resize(80, 24);
    terminal.text("q");
    terminal.is_given_back();
    for end in ["C-c", "TERM", "INT", "TSTP", "panic"] {
        terminal.run("clear");
        demo.top(&terminal);
        match end {
            "C-c" => terminal.key("C-c"),
            "panic" => terminal.key("C-p"),
            signal => terminal.signal(signal),
        }
        terminal.is_given_back();
        if end == "TSTP" {
            terminal.run("fg");
            terminal.until("the screen", |screen| screen.contains("linked"));
            terminal.text("q");
            terminal.is_given_back();
        }
    }
}

#[test]
fn what_is_old_is_said_at_once_and_the_link_comes_back_by_itself() {
    let Some(terminal) = Terminal::open() else {
        return;
    };
    let demo = Demo::start("0");
    let port = demo.url.rsplit(':').next().unwrap().to_owned();
    demo.top(&terminal);
    // The server stands still: its connection is open, and says nothing.
    demo.running.signal("STOP");
    let screen = terminal.until("silence", |screen| screen.contains("nothing heard since"));
    assert!(screen.contains("what is shown is old"), "{screen}");
    demo.running.signal("CONT");
    terminal.until("the link", |screen| screen.contains("linked"));
    drop(demo);
    let screen = terminal.until("the loss", |screen| screen.contains("LINK LOST since"));
    assert!(screen.contains("trying again"), "{screen}");
    let again = Demo::start(&port);
    terminal.until("the link", |screen| {
        screen.contains("linked") && screen.contains("books 10 live of 10")
    });
    drop(again);
    terminal.text("q");
    terminal.is_given_back();
}

#[test]
fn without_a_terminal_it_prints_once() {
    let demo = Demo::start("0");
    let top = |more: &[&str]| {
        let own = ["top", "--url", &demo.url];
        output(&mut polypy(&[&own[..], more].concat()))
    };
    let (code, text, error) = top(&[]);
    assert_eq!(code, 0, "{error}");
    assert!(text.starts_with("healthy; up "), "{text}");
    assert!(text.contains("books 10 live of 10"), "{text}");
    assert!(
        text.contains("5 of 5 markets, sorted by volume_day"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "{text}");
    assert_eq!(
        text.lines().filter(|line| line.starts_with("live")).count(),
        5,
        "{text}"
    );

    let (_, text, _) = top(&["--connections", "--once", "--limit", "1"]);
    assert!(
        text.contains("sorted by trouble") && text.contains("conn-"),
        "{text}"
    );

    let (_, text, _) = top(&["--json", "--limit", "2"]);
    let all: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(all["health"]["healthy"], true);
    assert_eq!(all["sample"]["books_live"], 10);
    assert_eq!(all["markets"].as_array().unwrap().len(), 2);
    let (_, text, _) = top(&["--json", "--connections"]);
    let all: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(all["connections"][0]["state"], "live", "{all}");

    let (code, _, error) = top(&["--sort", "loudness"]);
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("volume_day"), "{error}");
    let (code, _, error) = output(&mut polypy(&["top", "--url", "http://127.0.0.1:9"]));
    assert_eq!(code, 1);
    assert!(error.contains("--enable-http"), "{error}");
}
