//! Every route of both listeners, asked in ways that nobody should: any method, path,
//! query, header and body. Whatever comes, it is answered as the manual says, in time, and
//! nothing panics.
//!
//! `POLYPY_ROUTE_CASES` sets how many requests, two thousand by default. A failure prints
//! the smallest request that shows it.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use polypy_tests::program::Program;
use polypy_tests::world::SOON;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

const TOKEN: &str = "a-token-for-those-who-ask";
const ADMIN_TOKEN: &str = "a-token-for-those-who-change";
/// Longer than the server takes for anything: a recycling, a body that does not come.
const PATIENCE: Duration = Duration::from_secs(30);
/// As much as is read of an answer that may have no end.
const ENOUGH: usize = 64 * 1024;

/// Those that do something are asked for more often.
const METHODS: [&str; 15] = [
    "GET", "GET", "GET", "GET", "HEAD", "HEAD", "POST", "POST", "PUT", "DELETE", "PATCH",
    "OPTIONS", "TRACE", "PURGE", "get",
];
/// What stands for a part of a path in braces, or for nothing that is there.
const SEGMENTS: [&str; 12] = [
    "0",
    "conn-0",
    "conn-1",
    "conn-99",
    "conn-99999999999999999999",
    "..",
    "%2e%2e%2fetc",
    "%00",
    "%zz",
    "%F0%9F%92%A9",
    "-1",
    "18446744073709551616",
];
const NAMES: [&str; 8] = [
    "depth", "limit", "offset", "verbose", "tokens", "events", "%64epth", "",
];
const VALUES: [&str; 10] = [
    "",
    "0",
    "1",
    "-1",
    "1001",
    "1e9",
    "99999999999999999999",
    "%zz",
    "a,b",
    "true",
];
/// `{T}` is the token of the listener that is asked.
const HEADERS: [&str; 26] = [
    "Authorization: Bearer {T}",
    "Authorization: bearer {T}",
    "Authorization: Bearer wrong-token-of-length",
    "Authorization: Basic dTpw",
    "Accept: application/health+json",
    "Accept: text/event-stream",
    "Accept: application/openmetrics-text; version=1.0.0, */*;q=0.1",
    "Accept: ;;,q=2",
    "Accept-Encoding: gzip",
    "Accept-Encoding: gzip;q=0, *;q=9",
    "Origin: http://evil.example",
    "Origin: null",
    "Host: localhost",
    "Cookie: polypy_session=1.00; a=b",
    "Cookie: =;;=",
    "Content-Type: application/x-www-form-urlencoded",
    "Content-Type: application/json",
    "Content-Encoding: gzip",
    "Expect: 100-continue",
    "Expect: a-miracle",
    "If-None-Match: \"1\", *",
    "Last-Event-ID: 1.x.\u{1}",
    "Range: bytes=0-0,-1",
    "Upgrade: websocket",
    "X-Forwarded-Proto: https",
    "X-Request-Id: a b",
];
const BODIES: [&str; 7] = [
    "",
    "info",
    "loud,,=",
    "{\"token\":\"wrong-token-of-length\"}",
    "token=wrong-token-of-length&token=",
    "{\"token\":{\"token\":[[[[",
    "\u{0}\u{feff}%00",
];

/// A listener, and what the landing page says it has.
#[derive(Debug, Clone)]
struct Listener {
    address: String,
    token: &'static str,
    paths: Vec<String>,
}

#[derive(Debug, Clone)]
struct Request {
    listener: Listener,
    text: String,
    method: &'static str,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Sends a request and reads its answer; of a stream its beginning.
fn exchange(address: &str, request: &str) -> std::io::Result<Option<Answer>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // One that has been refused may be closed before all of it is sent.
    if let Err(error) = stream.write_all(request.as_bytes())
        && !matches!(
            error.kind(),
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
        )
    {
        return Err(error);
    }
    let mut bytes = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        let interim = bytes.starts_with(b"HTTP/1.1 100 ");
        if interim && let Some(end) = end_of_head(&bytes) {
            bytes.drain(..end);
        }
        if let Some(end) = end_of_head(&bytes) {
            let answer = read_head(&bytes[..end], &bytes[end..]);
            let kind = answer.header("content-type").unwrap_or_default();
            let is_stream = answer.status == 101 || kind.starts_with("text/event-stream");
            let has_end = answer.header("content-length").is_some();
            if is_stream || !has_end && bytes.len() > ENOUGH {
                return Ok(Some(answer));
            }
        }
        match stream.read(&mut piece)? {
            0 => break,
            read => bytes.extend_from_slice(&piece[..read]),
        }
    }
    Ok(end_of_head(&bytes).map(|end| read_head(&bytes[..end], &bytes[end..])))
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    end.map(|end| end + 4)
}

fn read_head(head: &[u8], body: &[u8]) -> Answer {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let headers = lines.filter_map(|line| line.split_once(": "));
    Answer {
        status: status.and_then(|it| it.parse().ok()).expect("a status"),
        headers: headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect(),
        body: body.to_vec(),
    }
}

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(&SEGMENTS[..]).prop_map(str::to_owned),
        2 => "[0-9]{1,80}",
        1 => "[!-\"$&-~]{0,20}",
        1 => Just("7".repeat(9_000)),
    ]
}

/// A path of the table with its parts filled in, seldom bent.
fn path(paths: Vec<String>) -> impl Strategy<Value = String> {
    let bent = select(&["", "", "", "", "/", "/x", "%2f", "//", ";a=b", "#f"][..]);
    let chosen = prop_oneof![
        9 => select(paths),
        1 => "/[!-\"$&-~]{0,12}",
    ];
    (chosen, segment(), bent).prop_map(|(path, segment, bent)| filled(&path, &segment) + bent)
}

fn query() -> impl Strategy<Value = String> {
    let pair = (select(&NAMES[..]), select(&VALUES[..]));
    proptest::collection::vec(pair, 0..4).prop_map(|pairs| {
        let pairs: Vec<_> = pairs
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if pairs.is_empty() {
            return String::new();
        }
        format!("?{}", pairs.join("&"))
    })
}

/// Most have the token: without it there is one answer to everything.
fn headers() -> impl Strategy<Value = Vec<&'static str>> {
    let others = proptest::collection::vec(select(&HEADERS[..]), 0..4);
    (any::<u8>(), others).prop_map(|(chance, mut headers)| {
        if chance < 200 {
            headers.push(HEADERS[0]);
        }
        headers
    })
}

fn body() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => Just(String::new()),
        3 => select(&BODIES[..]).prop_map(str::to_owned),
        1 => ".{0,200}",
        1 => Just("x".repeat(5_000)),
    ]
}

fn request(listeners: Vec<Listener>) -> impl Strategy<Value = Request> {
    select(listeners).prop_flat_map(|listener| {
        let paths = listener.paths.clone();
        (
            Just(listener),
            select(&METHODS[..]),
            path(paths),
            query(),
            headers(),
            body(),
        )
            .prop_map(|(listener, method, path, query, headers, body)| {
                let mut text = format!("{method} {path}{query} HTTP/1.1\r\nHost: localhost\r\n");
                for header in headers {
                    text.push_str(&header.replace("{T}", listener.token));
                    text.push_str("\r\n");
                }
                let length = body.len();
                if length > 0 {
                    write!(text, "Content-Length: {length}\r\n").expect("memory");
                }
                text.push_str("Connection: close\r\n\r\n");
                text.push_str(&body);
                Request {
                    listener,
                    text,
                    method,
                }
            })
    })
}

/// Asks, and holds the answer against what the manual promises of every answer.
fn judge(request: &Request) -> Result<u16, TestCaseError> {
    let begun = Instant::now();
    let answer = exchange(&request.listener.address, &request.text)
        .map_err(|error| TestCaseError::fail(format!("no answer: {error}")))?
        .ok_or_else(|| TestCaseError::fail("closed without an answer"))?;
    let status = answer.status;
    let body = String::from_utf8_lossy(&answer.body);
    prop_assert!(begun.elapsed() < PATIENCE);
    prop_assert!(
        status < 500 || status == 503,
        "{status} is no answer to any request: {body}"
    );
    // What is not HTTP is refused before it is a request, without a body.
    if matches!(status, 400 | 414 | 431) && answer.header("content-length") == Some("0") {
        return Ok(status);
    }
    prop_assert!(answer.header("x-request-id").is_some(), "{status}");
    prop_assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    prop_assert!(!body.contains(TOKEN) && !body.contains(ADMIN_TOKEN));
    if request.method == "HEAD" || answer.header("content-encoding").is_some() {
        return Ok(status);
    }
    let json = answer
        .header("content-type")
        .is_some_and(|kind| kind.ends_with("json"));
    if let Some(length) = answer.header("content-length") {
        prop_assert_eq!(length.parse(), Ok(answer.body.len()), "{}", status);
        if json {
            let value: Result<Value, _> = serde_json::from_slice(&answer.body);
            prop_assert!(value.is_ok(), "{status}: {body}");
        }
    }
    if status >= 400 {
        prop_assert!(json, "{status} is an error that is not JSON: {body}");
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        // Verdicts have a form of their own.
        let verdict = ["healthy", "ok", "status", "timestamp"];
        let is_verdict = verdict.iter().any(|field| !value[*field].is_null());
        prop_assert!(
            value["error"].is_string()
                || status == 503 && is_verdict
                || status == 404 && is_verdict,
            "{status}: {body}"
        );
        if value["error"].is_string() && value["status"].is_number() {
            prop_assert_eq!(&value["status"], status, "{}", body);
        }
    }
    Ok(status)
}

fn listener(address: &str, token: &'static str) -> Listener {
    let request = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Connection: close\r\n\r\n"
    );
    let answer = exchange(address, &request).expect("it listens");
    let landing: Value = serde_json::from_slice(&answer.expect("an answer").body).expect("JSON");
    let endpoints = landing["endpoints"].as_array().expect("a list");
    let path = |endpoint: &Value| endpoint["path"].as_str().expect("a path").to_owned();
    Listener {
        address: address.to_owned(),
        token,
        paths: endpoints.iter().map(path).collect(),
    }
}

/// Tokens that the server follows.
fn tokens(public: &Listener) -> Vec<String> {
    let request = format!(
        "GET /markets?limit=2 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
         Connection: close\r\n\r\n"
    );
    let answer = exchange(&public.address, &request).expect("it listens");
    let page: Value = serde_json::from_slice(&answer.expect("an answer").body).expect("JSON");
    let markets = page["markets"].as_array().expect("a list");
    let tokens = markets
        .iter()
        .flat_map(|market| market["tokens"].as_array());
    let ids = tokens.flatten().map(|token| token["token_id"].as_str());
    ids.map(|id| id.expect("an id").to_owned()).collect()
}

/// The path with this in the place of what stands in braces.
fn filled(path: &str, segment: &str) -> String {
    let parts = path.split('/').map(|part| {
        let is_named = part.starts_with('{');
        if is_named { segment } else { part }
    });
    parts.collect::<Vec<_>>().join("/")
}

fn listening(line: &str) -> String {
    let line: Value = serde_json::from_str(line).expect("the log is JSON");
    line["address"].as_str().expect("an address").to_owned()
}

#[test]
fn whatever_is_asked_of_any_route_is_answered_as_the_manual_says() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let token_file = |name: &str, token: &str| {
        let file = folder.join(name);
        std::fs::write(&file, token).expect("a file");
        file.display().to_string()
    };
    let token = token_file("routes-token", TOKEN);
    let admin_token = token_file("routes-admin-token", ADMIN_TOKEN);
    let arguments = [
        "run",
        "--demo",
        "--http-port=0",
        "--sim-markets=20",
        "--sim-rate=50",
        "--admin-listen=127.0.0.1:0",
        "--log-format=json",
        &format!("--http-token-file={token}"),
        &format!("--admin-token-file={admin_token}"),
    ];
    let program = Program::start(&arguments.map(str::to_owned));
    let first = program.logs("http server listening");
    let second = program.logs("http server listening");
    let (admin, public) = if first.contains("\"server\":\"admin\"") {
        (first, second)
    } else {
        (second, first)
    };
    let (admin, public) = (listening(&admin), listening(&public));
    program.logs("every book is live");
    let public = listener(&public, TOKEN);
    let mut listeners = vec![public.clone(), listener(&admin, ADMIN_TOKEN)];
    // With a name that there is in the place of the braces, too.
    let tokens = tokens(&public);
    for listener in &mut listeners {
        for path in listener.paths.clone() {
            let names = tokens.iter().map(|token| filled(&path, token));
            listener.paths.extend(names.filter(|named| *named != path));
        }
    }
    for path in ["/health", "/orderbook/{asset_id}", "/login"] {
        assert!(public.paths.iter().any(|known| known == path), "{path}");
    }

    let cases = std::env::var("POLYPY_ROUTE_CASES");
    let cases = cases.map_or(2_000, |cases| cases.parse().expect("a number"));
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 500,
        ..Config::default()
    });
    let seen = std::cell::RefCell::new(std::collections::BTreeMap::<u16, u32>::new());
    let result = runner.run(&request(listeners), |request| {
        let status = judge(&request)?;
        *seen.borrow_mut().entry(status).or_default() += 1;
        Ok(())
    });
    println!("answers by status: {:?}", seen.borrow());
    if let Err(failure) = result {
        panic!("{failure}");
    }
    // It was asked for something, not refused at the door.
    for status in [200, 400, 401, 404, 405, 413] {
        assert!(seen.borrow().contains_key(&status), "never {status}");
    }

    // Nothing panicked, nothing is left open, and it still does its work.
    let asked = format!(
        "GET /stats HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
         Connection: close\r\n\r\n"
    );
    let begun = Instant::now();
    loop {
        let answer = exchange(&public.address, &asked).expect("it answers");
        let stats = answer.expect("an answer").body;
        let stats: Value = serde_json::from_slice(&stats).expect("JSON");
        let http = &stats["http"];
        assert_eq!(http["handler_panics"], 0, "{http}");
        let live = &stats["workers"]["books"]["live"];
        let own = http["active_connections"] == 1 && http["active_streams"] == 0;
        if own && live.as_u64() > Some(0) {
            break;
        }
        assert!(begun.elapsed() < SOON, "{http} {live}");
        std::thread::sleep(Duration::from_millis(50));
    }
    program.stop();
}
