//! The administration listener of the real program.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;

use crate::process::{PATIENCE, Running, get, output, polypy};

const TOKEN: &str = "a-token-to-administer-with";

/// One request: its status and its body as JSON.
fn ask(mut stream: impl Read + Write, line: &str, headers: &str, body: &str) -> (u16, Value) {
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{headers}\
         Connection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

fn tcp(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Asks the public server until what it says will do.
fn until(url: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let (_, body) = get(url);
        if holds(&body) {
            return body;
        }
        assert!(begun.elapsed() < PATIENCE, "{body:#}");
    }
}

#[test]
fn those_with_the_token_change_the_level_a_connection_and_a_book() {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("admin-token");
    std::fs::write(&file, TOKEN).unwrap();
    let token_file = format!("--admin-token-file={}", file.display());
    let mut demo = Running::start(&[
        "run",
        "--demo",
        "--http-port=0",
        "--sim-markets=5",
        "--sim-resolve-per-minute=0",
        "--admin-listen=127.0.0.1:0",
        &token_file,
    ]);
    let line = demo.stderr_line("\"server\":\"admin\"");
    let line: Value = serde_json::from_str(&line).unwrap();
    let admin = line["address"].as_str().unwrap().to_owned();
    let health = demo.stdout_line("/health");
    let public = health.split('/').nth(2).unwrap().to_owned();
    let header = format!("Authorization: Bearer {TOKEN}\r\n");
    let change = |line: &str, body: &str| ask(tcp(&admin), line, &header, body);

    // Not for everyone, not for pages, and not over the public port.
    for line in [
        "GET /",
        "PUT /log-level",
        "POST /connections/conn-0/recycle",
    ] {
        assert_eq!(ask(tcp(&admin), line, "", "").0, 401, "{line}");
        let foreign = format!("{header}Origin: http://localhost:3000\r\n");
        assert_eq!(ask(tcp(&admin), line, &foreign, "").0, 403, "{line}");
    }
    assert_eq!(ask(tcp(&public), "GET /log-level", &header, "").0, 404);
    let line = "POST /connections/conn-0/recycle";
    assert_eq!(ask(tcp(&public), line, &header, "").0, 404);
    let (status, landing) = change("GET /", "");
    assert_eq!(status, 200);
    let listed = landing["endpoints"].as_array().unwrap().len();
    assert_eq!(listed, 5, "{landing:#}");

    // The level: refused with what is allowed, then changed, and shown at once.
    let (status, refused) = change("PUT /log-level", "loud");
    let why = refused["error"].as_str().unwrap();
    assert_eq!(status, 400);
    assert!(why.contains("must be off, error, warn"), "{why}");
    let (status, set) = change("PUT /log-level", "info,polypy_http=debug");
    assert_eq!((status, &set["before"]), (200, &"info".into()), "{set}");
    assert_eq!(change("GET /log-level", "").1["level"], set["level"]);
    let line = demo.stderr_line("log level changed by administration");
    for part in ["127.0.0.1:", "\"old\":\"info\"", "polypy_http=debug"] {
        assert!(line.contains(part), "{part} in {line}");
    }
    let early = demo
        .seen
        .iter()
        .any(|line| line.contains("request answered"));
    assert!(!early, "debug lines before they were asked for");
    demo.stderr_line("request answered");
    assert_eq!(change("PUT /log-level", "info").0, 200);

    // A connection is replaced by another one.
    let url = |path: &str| format!("http://{public}/{path}");
    until(&url("readyz"), |ready| ready["ok"] == true);
    assert_eq!(change("POST /connections/conn-999/recycle", "").0, 404);
    assert_eq!(change("POST /connections/first/recycle", "").0, 400);
    assert_eq!(change("POST /connections/conn-0/recycle", "x").0, 413);
    let (status, receipt) = change("POST /connections/conn-0/recycle", "");
    assert_eq!(status, 200, "{receipt}");
    assert_ne!(receipt["replacement"], "conn-0");
    assert_eq!(receipt["assets"], 10, "{receipt}");
    assert_eq!(change("POST /connections/conn-0/recycle", "").0, 404);
    let recycler = &get(&url("stats")).1["recycler"];
    // What was refused just now may have one, too.
    let receipts = recycler["receipts"].as_array().unwrap();
    let mut done = receipts.iter().filter(|one| one["outcome"] == "completed");
    let last = done.next_back().unwrap();
    assert_eq!(last["reason"], "request");
    assert_eq!(last["replacement"], receipt["replacement"]);
    let line = demo.stderr_line("connection recycled by administration");
    assert!(line.contains("\"old\":\"conn-0\""), "{line}");

    // A book is fetched again.
    let markets = get(&url("markets")).1;
    let token = markets["markets"][0]["tokens"][0]["token_id"]
        .as_str()
        .unwrap();
    let before = get(&url("stats")).1["pool"]["resync"]["dispatched"].clone();
    let before = before.as_u64().unwrap();
    assert_eq!(change("POST /tokens/12345/resync", "").0, 404);
    let (status, refused) = change(&format!("POST /tokens/{token}/resync"), "x");
    assert_eq!(
        (status, &refused["error"]),
        (413, &"no body is read here".into())
    );
    let (status, queued) = change(&format!("POST /tokens/{token}/resync"), "");
    assert_eq!(status, 202, "{queued}");
    assert_eq!(queued["connection"], receipt["replacement"]);
    until(&url("stats"), |stats| {
        stats["pool"]["resync"]["dispatched"].as_u64() > Some(before)
    });
    demo.stderr_line("resync asked for by administration");

    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0));
    let told = |line: &&String| line.contains(TOKEN);
    assert_eq!(demo.seen.iter().find(told), None, "the token in the log");
}

#[test]
fn a_unix_socket_administers_for_its_owner_alone() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("admin.sock");
    let socket = format!("--admin-unix-socket={}", path.display());
    let mut demo = Running::start(&["run", "--demo", "--http-port=0", "--sim-markets=5", &socket]);
    demo.stderr_line("polypy started");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let change = |headers: &str, body: &str| {
        let stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        ask(stream, "PUT /log-level", headers, body)
    };
    assert_eq!(change("Origin: http://elsewhere\r\n", "off").0, 403);
    let (status, set) = change("", "WARN");
    assert_eq!((status, &set["level"]), (200, &"warn".into()), "{set}");
    let line = demo.stderr_line("log level changed by administration");
    assert!(line.contains("unix socket"), "{line}");
    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0));
    assert!(!path.exists());
    let line = demo
        .seen
        .iter()
        .find(|line| line.contains("polypy stopped"));
    assert_eq!(line, None, "at warn nothing is said of a clean end");
}

#[test]
fn nothing_listens_on_tcp_without_a_token() {
    let listen = "--admin-listen=127.0.0.1:0";
    let run = |more: &[&str]| {
        let mut arguments = vec!["run", "--demo", "--http-port=0", listen];
        arguments.extend(more);
        output(&mut polypy(&arguments))
    };
    let (code, _, said) = run(&[]);
    assert_eq!(code, 78, "{said}");
    let reason = "admin.token_file: must be set beside admin.listen";
    assert!(said.contains(reason), "{said}");
    let (code, _, said) = run(&["--admin-token-file=/nowhere/token"]);
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("admin.token_file: /nowhere/token"), "{said}");
}
