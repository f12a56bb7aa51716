//! `polypy tail` and `polypy book`, with a server that plays golden messages, and with the
//! demo.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::thread::JoinHandle;

use serde_json::Value;

use crate::process::{PATIENCE, Running, output, polypy};

const GOLDEN: &str = include_str!("../../../polypy-client/tests/data/messages.ndjson");
const LINES: &str = include_str!("../data/tail.txt");
const TOKEN: &str = "71321045679252212594626385532706912750332728571942532289631379312455583992563";

/// The messages until the first one with which a client would go its own way.
fn messages() -> Vec<&'static str> {
    let plain = GOLDEN
        .lines()
        .take_while(|line| !line.contains("\"subscribed\",\"id\":2"));
    plain.collect()
}

/// Reads the head of a request.
fn head(stream: &TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = String::new();
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        if line.is_empty() {
            break;
        }
        head.push_str(&line);
        head.push('\n');
    }
    head
}

/// A server of Server-Sent Events that sends these messages to one client and then waits
/// for its end. Gives the address and, at the end, the head of the request.
fn stream(messages: Vec<String>) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let head = head(&stream);
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
        stream.write_all(answer.as_bytes()).unwrap();
        for message in messages {
            // The client may have seen enough.
            if stream
                .write_all(format!("data: {message}\n\n").as_bytes())
                .is_err()
            {
                return head;
            }
        }
        drop(stream.read(&mut [0]));
        head
    });
    (url, server)
}

/// A server that answers one request so.
pub(crate) fn answer(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        drop(head(&stream));
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).unwrap();
    });
    url
}

fn golden() -> (String, JoinHandle<String>) {
    stream(messages().into_iter().map(str::to_owned).collect())
}

#[test]
fn tail_prints_messages_as_they_came() {
    let (url, server) = golden();
    let count = messages().len().to_string();
    let channels = "--channels=book,trade";
    let args = [
        "tail",
        "--json",
        "--url",
        &url,
        "--count",
        &count,
        channels,
        "--depth=10",
    ];
    let filter = [
        "--interval=2s",
        "12",
        "0xab",
        "rain-in-lisbon",
        "event:weather",
    ];
    let (code, printed, said) = output(&mut polypy(&[&args[..], &filter[..]].concat()));
    assert_eq!((code, said.as_str()), (0, ""));
    let expected: String = messages().iter().map(|line| format!("{line}\n")).collect();
    assert_eq!(printed, expected);
    let head = server.join().unwrap();
    let asked = "GET /v1/stream?tokens=12&markets=0xab,rain-in-lisbon&events=weather\
                 &channels=book,trade&mode=conflated&interval_ms=2000&depth=10 HTTP/1.1\n";
    assert!(head.starts_with(asked), "{head}");
}

#[test]
fn tail_prints_lines_for_people() {
    let (url, _server) = golden();
    let count = messages().len().to_string();
    let (code, printed, said) = output(&mut polypy(&["tail", "--url", &url, "--count", &count]));
    assert_eq!((code, said.as_str()), (0, ""));
    let expected: Vec<_> = LINES.lines().take(printed.lines().count()).collect();
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
    assert_eq!(expected.len(), 27, "all but heartbeats");
}

#[test]
fn tail_ends_quietly_when_its_reader_has_seen_enough() {
    let endless = GOLDEN.lines().filter(|line| line.contains("\"stats\""));
    let endless: Vec<_> = endless.take(1).map(str::to_owned).collect();
    let (url, _server) = stream(endless.into_iter().cycle().take(100_000).collect());
    let mut tail = polypy(&["tail", "--json", "--url", &url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(tail.stdout.take().unwrap());
    reader.read_line(&mut String::new()).unwrap();
    drop(reader);
    let ended = tail.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}

#[test]
fn tail_ends_cleanly_when_it_is_told_to() {
    for signal in ["INT", "TERM"] {
        let (url, _server) = golden();
        let mut tail = Running::start(&["tail", "--url", &url]);
        tail.stdout_line("hello");
        tail.signal(signal);
        assert_eq!(tail.end().code(), Some(0), "{signal}");
    }
}

#[test]
fn tail_says_what_is_in_the_way_and_what_to_do() {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let token = answer("401 Unauthorized", r#"{"error":"a token is needed"}"#);
    let older = answer("404 Not Found", "");
    let mistake = answer("400 Bad Request", r#"{"error":"channels: no \u001b["}"#);
    for (url, code, texts) in [
        (
            nobody.as_str(),
            1,
            &["refused", "is a server running there", "--enable-http"][..],
        ),
        (&token, 1, &["a token is needed", "--token-file"]),
        (&older, 1, &["has no streams"]),
        (&mistake, 1, &["channels: no \\u{1b}["]),
        ("https://localhost?a", 2, &["no part of the address"]),
        (
            "localhost:8080",
            2,
            &["it names no scheme: http://localhost:8080"],
        ),
    ] {
        let (found, printed, said) = output(&mut polypy(&["tail", "--url", url]));
        assert_eq!((found, printed.as_str()), (code, ""), "{said}");
        for text in texts.iter().chain([&url]) {
            assert!(said.contains(text), "{said} lacks {text}");
        }
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn tail_comes_back_and_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let resumed = r#"{"type":"subscribed","id":0,"tokens":1,"unknown":[],"channels":["book"],"mode":"every","interval_ms":null,"depth":null,"heartbeat_ms":5000,"was_resuming":true,"recovered":true,"cursor":null}"#;
        for message in [messages()[0], resumed] {
            let (mut stream, _) = listener.accept().unwrap();
            drop(head(&stream));
            let answer = format!("HTTP/1.1 200 OK\r\n\r\nretry: 1\nid: 1\ndata: {message}\n\n");
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let mut tail = Running::start(&["tail", "--url", &url]);
    tail.stderr_line("asking again in 0.0 s");
    tail.stderr_line("connected again, and nothing is missing");
}

#[test]
fn a_watched_book_is_shown_whenever_it_changes() {
    let own = messages()
        .into_iter()
        .filter(|line| line.contains(&format!("\"token_id\":\"{TOKEN}\"")));
    let (url, server) = stream(own.map(str::to_owned).collect());
    let mut book = Running::start(&["book", "--watch", "--depth=7", TOKEN, "--url", &url]);
    book.stdout_line("live, verified by the venue's hash");
    book.stdout_line("epoch 1, sequence 4711");
    book.stdout_line("  bid  0.488   1200");
    book.stdout_line("epoch 1, sequence 4713");
    book.stdout_line("  ask  0.5025  17.000001");
    book.stdout_line("stale (disconnected: its connection was lost)");
    book.stdout_line("not followed now");
    book.stdout_line("epoch 2, sequence 4735");
    book.signal("INT");
    assert_eq!(book.end().code(), Some(0));
    let head = server.join().unwrap();
    let asked = format!(
        "GET /v1/stream?tokens={TOKEN}&channels=book,state&mode=conflated&interval_ms=100&depth=10 "
    );
    assert!(head.starts_with(&asked), "{head}");
}

#[test]
fn a_watched_book_is_printed_for_programs_when_what_is_printed_changes() {
    let own = messages()
        .into_iter()
        .filter(|line| line.contains(&format!("\"token_id\":\"{TOKEN}\"")));
    let mut sent: Vec<String> = own.map(str::to_owned).collect();
    // After the first snapshot: levels below the first one alone, and nothing at all.
    let below = r#"{"type":"delta","token_id":"TOKEN","epoch":1,"prev_sequence":4711,"sequence":4712,"ts_event_ms":1795429800012,"ts_recv_us":1795429800044016,"changes":[["bid","0.488","7"]],"best_bid":"0.489","best_ask":"0.5025","conflated":"interval","depth":1}"#;
    let again = r#"{"type":"state","token_id":"TOKEN","state":"live","reason":null,"since_ms":1795429802000,"epoch":1,"sequence":4712,"verified":true,"winner":null}"#;
    let first = sent.iter().position(|line| line.contains("\"snapshot\""));
    let mut shown = vec![sent.swap_remove(first.unwrap())];
    for line in [below, again] {
        shown.push(line.replace("TOKEN", TOKEN));
    }
    let last = r#"{"type":"delta","token_id":"TOKEN","epoch":1,"prev_sequence":4712,"sequence":4713,"ts_event_ms":1795429800012,"ts_recv_us":1795429800044016,"changes":[["bid","0.489","8"]],"best_bid":"0.489","best_ask":"0.5025","conflated":null,"depth":1}"#;
    shown.push(last.replace("TOKEN", TOKEN));
    let (url, _server) = stream(shown);
    let args = [
        "book",
        "--watch",
        "--json",
        "--depth=1",
        TOKEN,
        "--url",
        &url,
    ];
    let mut book = Running::start(&args);
    let lines = [book.stdout_line("{"), book.stdout_line("{")];
    let expected = [(4711, "29.5"), (4713, "8")].map(|(sequence, size)| {
        serde_json::json!({
            "token_id": TOKEN, "epoch": 1, "sequence": sequence, "state": "live",
            "reason": null, "verified": true, "followed": true,
            "bids": [["0.489", size]], "asks": [["0.5025", "0.29"]],
        })
    });
    for (line, expected) in lines.iter().zip(expected) {
        assert_eq!(serde_json::from_str::<Value>(line).unwrap(), expected);
    }
    book.signal("INT");
    assert_eq!(book.end().code(), Some(0));
}

/// The demo, its address, and a token of it.
pub(crate) fn demo() -> (Running, String, String) {
    let mut demo = Running::start(&["run", "--demo", "--http-port=0", "--sim-markets=5"]);
    let health = demo.stdout_line("/health");
    let address = health.split('/').nth(2).unwrap();
    let url = format!("http://{address}");
    demo.stderr_line("every book is live");
    let mut stream = TcpStream::connect(address).unwrap();
    let request = "GET /markets?limit=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let markets: Value = serde_json::from_str(body).unwrap();
    let token = markets["markets"][0]["tokens"][0]["token_id"]
        .as_str()
        .unwrap();
    (demo, url, token.to_owned())
}

#[test]
fn a_book_is_shown_once() {
    let (_demo, url, token) = demo();
    let (code, printed, said) = output(&mut polypy(&["book", &token, "--url", &url, "--depth=2"]));
    assert_eq!((code, said.as_str()), (0, ""));
    assert!(printed.starts_with("live"), "{printed}");
    assert!(printed.contains("\n       spread "), "{printed}");
    let rows = |side: &str| {
        printed
            .lines()
            .filter(|line| line.starts_with(side))
            .count()
    };
    assert_eq!((rows("  ask  0."), rows("  bid  0.")), (2, 2), "{printed}");

    let (code, printed, _) = output(&mut polypy(&["book", &token, "--url", &url, "--json"]));
    let answer: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(
        (code, &answer["asset_id"]),
        (0, &Value::from(token.as_str()))
    );

    // The beginning of several ids is none of them.
    let digits = (0..10).map(|digit| digit.to_string());
    let several = digits.map(|digit| {
        let (code, printed, said) = output(&mut polypy(&["book", &digit, "--url", &url]));
        assert!((code, printed.is_empty()) != (0, true), "{said}");
        said.contains("the ids of several tokens begin so:\n  ")
    });
    assert!(
        several.filter(|several| *several).count() > 0,
        "ten tokens, ten digits"
    );

    // One digit is wrong: the right one is proposed first.
    let last = if token.ends_with('7') { "8" } else { "7" };
    let wrong = format!("{}{last}", &token[..token.len() - 1]);
    let (code, printed, said) = output(&mut polypy(&["book", &wrong, "--url", &url]));
    assert_eq!((code, printed.as_str()), (1, ""));
    let lines: Vec<_> = said.lines().collect();
    let unknown = format!("{url}: {wrong}: no such token here; most like it:");
    assert_eq!(lines[0], unknown);
    assert!(lines[1].starts_with(&format!("  {token}  ")), "{said}");

    let (code, _, said) = output(&mut polypy(&["book", "rain", "--url", &url]));
    assert_eq!(code, 2);
    assert!(
        said.starts_with("rain: ") && said.contains("polypy markets"),
        "{said}"
    );
}

#[test]
fn a_real_server_is_followed_through_both_doors() {
    let (_demo, url, token) = demo();
    for url in [url.clone(), url.replacen("http", "ws", 1)] {
        let args = [
            "tail",
            "--json",
            "--count=60",
            "--channels=book",
            "--url",
            &url,
        ];
        let (code, printed, said) = output(&mut polypy(&args));
        assert_eq!((code, said.as_str()), (0, ""));
        let messages: Vec<Value> = printed
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(messages.len(), 60);
        assert_eq!(messages[0]["type"], "hello");
        assert_eq!(messages[1]["tokens"], 10);
        assert!(messages.iter().any(|message| message["type"] == "delta"));

        let mut book = Running::start(&["book", "--watch", "--depth=3", &token, "--url", &url]);
        for _ in 0..3 {
            book.stdout_line("live");
            book.stdout_line("       spread ");
        }
        let (code, _, said) = output(&mut polypy(&["book", "--watch", "123456", "--url", &url]));
        assert_eq!(code, 1);
        assert!(said.contains("123456: no such token here"), "{said}");
    }
}
