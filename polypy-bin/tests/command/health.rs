//! `polypy health` with servers that close their connections.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};

use crate::process::{PATIENCE, Running, get, output, polypy};

/// Answers one request as given, and closes. Returns what `polypy health` made of it.
fn asked(answer: String) -> (i32, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut request = Vec::new();
        let mut piece = [0; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut piece).unwrap();
            assert!(count > 0, "closed in its request");
            request.extend_from_slice(&piece[..count]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    });
    let (code, said, _) = output(&mut polypy(&["health", "--url", &url]));
    server.join().unwrap();
    (code, said)
}

#[test]
fn an_answer_that_closes_its_connection_is_read_to_its_end() {
    let healthy = r#"{"healthy":true,"reasons":[]}"#;
    let sick = r#"{"healthy":false,"reasons":[{"text":"every place is taken"}]}"#;
    for (status, body, code, line) in [
        ("200 OK", healthy, 0, "healthy\n"),
        (
            "503 Service Unavailable",
            sick,
            1,
            "not healthy: every place is taken\n",
        ),
    ] {
        // With a length, and as long as the connection lasts.
        for length in [format!("Content-Length: {}\r\n", body.len()), String::new()] {
            let answer = format!("HTTP/1.1 {status}\r\n{length}Connection: close\r\n\r\n{body}");
            assert_eq!(asked(answer), (code, line.to_owned()), "{status} {length}");
        }
    }
}

#[test]
fn a_server_that_closes_too_early_is_not_healthy() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nConnection: close\r\n\r\n{}";
    for answer in ["", cut] {
        let (code, said) = asked(answer.to_owned());
        assert_eq!(code, 1, "{said}");
        assert!(
            said.contains("connection closed") || said.contains("error reading"),
            "{said}"
        );
    }
}

#[test]
fn a_server_that_drains_is_still_asked() {
    let mut demo = Running::start(&[
        "run",
        "--demo",
        "--http-port=0",
        "--sim-markets=5",
        "--http-drain-delay=10m",
    ]);
    let health = demo.stdout_line("/health");
    let address = health.split('/').nth(2).unwrap().to_owned();
    demo.stderr_line("every book is live");
    demo.signal("TERM");
    demo.stderr_line("a second signal ends at once");
    let url = format!("http://{address}/livez");
    let (code, said, _) = output(&mut polypy(&["health", "--url", &url]));
    assert_eq!((code, said.as_str()), (0, "healthy\n"));
    let url = format!("http://{address}/readyz?verbose");
    let (code, said, _) = output(&mut polypy(&["health", "--url", &url]));
    assert_eq!(code, 1);
    assert!(!said.contains("closed"), "{said}");
    demo.signal("TERM");
    demo.end();
}

#[test]
fn a_selection_that_matches_nothing_is_told_in_the_log_in_health_and_by_the_probe() {
    let mut demo = Running::start(&[
        "run",
        "--demo",
        "--http-port=0",
        "--sim-markets=5",
        "--markets-tags=cripto",
    ]);
    let health = demo.stdout_line("/health");
    let address = health.split('/').nth(2).unwrap().to_owned();
    let line = demo.stderr_line("no market is followed");
    for part in [
        "\"WARN\"",
        "tags = cripto (flag --markets-tags)",
        "tags: 5",
        "markets --dry-run",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let (status, health) = get(&format!("http://{address}/health"));
    assert_eq!(status, 200, "{health}");
    assert_eq!(health["reasons"][0]["code"], "selection_empty", "{health}");
    // A tag may have no open market today: that is no reason to keep a deployment waiting.
    let (status, ready) = get(&format!("http://{address}/readyz?verbose"));
    assert_eq!(status, 200, "{ready}");
    assert!(
        ready.to_string().contains("matches none of 5 open markets"),
        "{ready}"
    );
    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0));
}

#[test]
fn no_time_at_all_is_refused() {
    let (code, _, said) = output(&mut polypy(&["health", "--timeout", "0s"]));
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("--timeout"), "{said}");
}
