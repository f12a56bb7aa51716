//! The built program, stopped for a while and woken, beside an exchange that runs.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{PATIENCE, Running, get};

/// Longer than the limit beyond which a break counts.
const STOPPED: Duration = Duration::from_secs(5);

/// The program, the exchange, and where the program answers.
fn beside_an_exchange() -> (Running, Running, String) {
    let mut sim = Running::start(&["sim", "--markets=1", "--rate=100"]);
    let mut arguments = vec![
        "run".to_owned(),
        "--enable-http".to_owned(),
        "--http-port=0".to_owned(),
        "--log-format=json".to_owned(),
    ];
    for (line, flag) in [
        ("gamma_url", "--venue-gamma-url"),
        ("clob_url", "--venue-clob-url"),
        ("ws_url", "--venue-ws-url"),
    ] {
        let line = sim.stdout_line(line);
        let url = line.split('"').nth(1).unwrap();
        arguments.push(format!("{flag}={url}"));
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut server = Running::start(&arguments);
    let line = server.stderr_line("http server listening");
    let line: Value = serde_json::from_str(&line).unwrap();
    let address = line["address"].as_str().unwrap();
    let (_, port) = address.rsplit_once(':').unwrap();
    let base = format!("http://127.0.0.1:{port}");
    server.stderr_line("every book is live");
    (sim, server, base)
}

#[test]
fn a_book_of_before_a_suspension_is_not_shown_as_live_after_it() {
    let (mut sim, mut server, base) = beside_an_exchange();
    let (_, markets) = get(&format!("{base}/markets"));
    let token = markets["markets"][0]["tokens"][0]["token_id"].as_str();
    let book = format!("{base}/orderbook/{}", token.unwrap());
    // It may be in the midst of a state just then.
    let live = || Some(get(&book).1).filter(|book| book["state"] == "live");
    let before = (0..100).find_map(|_| live()).expect("it is live");

    server.signal("STOP");
    std::thread::sleep(STOPPED);
    // A request that waits as the program wakes is answered before anything else is,
    // unless the machine leaves the client no time.
    let asked = {
        let book = book.clone();
        std::thread::spawn(move || get(&book).1)
    };
    server.signal("CONT");
    let woken = Instant::now();
    let mut reasons = Vec::new();
    let mut first = Some(asked.join().unwrap());
    loop {
        let now = first.take().unwrap_or_else(|| get(&book).1);
        if now["state"] == "live" {
            // A hundred events a second have changed it meanwhile.
            let sequence = |book: &Value| book["sequence"].as_u64().unwrap();
            assert!(sequence(&now) > sequence(&before), "{before} {now}");
            break;
        }
        reasons.push(now["reason"].clone());
        assert!(woken.elapsed() < PATIENCE, "{now}");
    }
    // Until its connection has answered; a slow answer costs the connection. On a busy
    // machine it may have answered before the first look: then the book is new. Or half of
    // a state has come, before it stopped or since: then the hash tells.
    let mut others = reasons.iter().filter(|reason| **reason != "hash");
    if let Some(first) = others.next() {
        assert_eq!(*first, "suspended");
    }
    let line = server.stderr_line("the process stood still");
    assert!(line.contains("\"level\":\"WARN\""), "{line}");
    let (_, stats) = get(&format!("{base}/stats"));
    assert_eq!(stats["pool"]["suspensions"], 1);
    for running in [&mut server, &mut sim] {
        running.signal("TERM");
        assert_eq!(running.end().code(), Some(0), "{:#?}", running.seen);
    }
}
