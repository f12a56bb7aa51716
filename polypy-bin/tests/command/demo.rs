//! `polypy run --demo` and `polypy sim` against the built program.

use std::time::{Duration, Instant};

use crate::process::{Running, get, limited, output, polypy};

/// The URL in a line such as `  curl 'http://127.0.0.1:8080/markets?limit=3'`.
fn url(line: &str) -> String {
    let start = line.find("http://").unwrap();
    line[start..].trim_end_matches('\'').to_owned()
}

#[test]
fn the_demo_shows_live_books_within_ten_seconds_and_ends_cleanly() {
    let begun = Instant::now();
    let mut demo = Running::start(&[
        "run",
        "--demo",
        "--http-port=0",
        "--sim-markets=50",
        "--log-format=json",
    ]);
    let health = url(&demo.stdout_line("/health"));
    let stats = url(&demo.stdout_line("/stats"));
    let markets = url(&demo.stdout_line("/markets"));
    let book = url(&demo.stdout_line("/orderbook/"));
    let tail = demo.stdout_line(" tail ");
    let stream = url(&demo.stdout_line("/v1/stream"));
    let truth = url(&demo.stdout_line("/sim/book/"));
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:#?}",
        demo.seen
    );

    let (status, answer) = get(&health);
    assert_eq!(
        (status, &answer["healthy"]),
        (200, &true.into()),
        "{answer}"
    );
    let (status, answer) = get(&stats);
    assert_eq!(status, 200);
    assert_eq!(answer["running"], true);
    assert!(
        answer["pool"]["active_connections"].as_u64() > Some(0),
        "{answer}"
    );
    let (status, answer) = get(&markets);
    assert_eq!(
        (status, answer["markets"].as_array().map(Vec::len)),
        (200, Some(3))
    );
    let (status, answer) = get(&book);
    assert_eq!(
        (status, &answer["state"]),
        (200, &"live".into()),
        "{answer}"
    );
    assert_eq!(get(&truth).0, 200);

    // The line that follows can be pasted: the program as it was called, and where.
    let mut pasted = tail.split_whitespace();
    assert_eq!(pasted.next(), polypy(&[]).get_program().to_str());
    let arguments: Vec<_> = pasted.chain(["--count=3"]).collect();
    let (code, printed, said) = output(&mut polypy(&arguments));
    assert_eq!((code, said.as_str()), (0, ""), "{tail}");
    assert!(printed.contains("hello"), "{printed}");
    assert!(stream.ends_with("/v1/stream?channels=top"), "{stream}");

    // Only this machine reaches it, unless asked for otherwise.
    assert!(health.starts_with("http://127.0.0.1:"), "{health}");
    let listening = demo
        .seen
        .iter()
        .find(|line| line.contains("http server listening"));
    let listening = listening.cloned();
    let listening = listening.unwrap_or_else(|| demo.stderr_line("http server listening"));
    assert!(listening.contains("\"127.0.0.1:"), "{listening}");

    let line = demo.stderr_line("every book is live");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["live_books"], 100);
    assert_eq!(line["assets"], 100);

    let asked = Instant::now();
    demo.signal("INT");
    let status = demo.end();
    assert_eq!(status.code(), Some(0), "{:#?}", demo.seen);
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    assert!(demo.seen.iter().any(|line| line.contains("polypy stopped")));
}

#[test]
fn every_line_of_the_log_is_an_object_when_nobody_watches() {
    let mut demo = Running::start(&["run", "--demo", "--http-port=0", "--sim-markets=5"]);
    let mut lines = Vec::new();
    loop {
        let line = demo.stderr_line("{");
        let last = line.contains("every book is live");
        lines.push(line);
        if last {
            break;
        }
    }
    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0));
    for line in lines {
        let line: serde_json::Value = serde_json::from_str(&line).expect(&line);
        let stamp = line["timestamp"].as_str().unwrap();
        assert!(stamp.ends_with('Z') && stamp.len() == 24, "{stamp}");
        for field in ["level", "target", "message"] {
            assert!(line[field].is_string(), "{line}");
        }
    }
}

#[test]
fn a_taken_port_is_told_with_the_way_out() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("--http-port={}", taken.local_addr().unwrap().port());
    let mut demo = Running::start(&["run", "--demo", "--sim-markets=5", &port]);
    let line = demo.stderr_line("the program runs without it");
    assert!(line.contains("\"level\":\"ERROR\""), "{line}");
    demo.stderr_line("polypy started without http");
    demo.stdout_line("--http-port");
    demo.stderr_line("every book is live");
    demo.signal("INT");
    assert_eq!(demo.end().code(), Some(0));
    let is_loud = |line: &str| ["WARN", "ERROR"].iter().any(|level| line.contains(level));
    let is_about_it = |line: &&String| is_loud(line) && line.contains("http");
    let told: Vec<_> = demo.seen.iter().filter(is_about_it).collect();
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn an_address_that_is_not_this_machines_is_told_and_no_port_is_blamed() {
    let mut demo = Running::start(&[
        "run",
        "--demo",
        "--sim-markets=5",
        "--http-port=0",
        "--http-host=192.0.2.1",
    ]);
    let line = demo.stdout_line("runs without its HTTP server");
    assert!(line.contains("this machine has no such address"), "{line}");
    assert!(!line.contains("--http-port"), "{line}");
    demo.signal("INT");
    assert_eq!(demo.end().code(), Some(0));
}

#[test]
fn the_server_is_off_unless_asked_for() {
    let mut sim = Running::start(&["sim", "--markets=5"]);
    let mut arguments = vec!["run".to_owned()];
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
    let line = server.stderr_line("http server is off");
    assert!(line.contains("--enable-http"), "{line}");
    server.stderr_line("every book is live");
    server.signal("TERM");
    assert_eq!(server.end().code(), Some(0));
    let listens = |line: &String| line.contains("http server listening");
    assert!(!server.seen.iter().any(listens));
    sim.signal("TERM");
    assert_eq!(sim.end().code(), Some(0));
}

#[test]
fn the_demo_listens_where_it_is_told_to() {
    for (host, shown) in [("::", "http://[::1]:"), ("::1", "http://[::1]:")] {
        let host = format!("--http-host={host}");
        let mut demo =
            Running::start(&["run", "--demo", "--http-port=0", "--sim-markets=5", &host]);
        let health = url(&demo.stdout_line("/health"));
        assert!(health.starts_with(shown), "{health}");
        assert_eq!(get(&health).0, 200);
        demo.signal("TERM");
        assert_eq!(demo.end().code(), Some(0));
    }
}

/// One line says what the system allows and what it is for; what does not fit is a
/// warning with its remedy, and the program runs with less.
#[test]
fn descriptors_and_memory_are_budgeted_at_the_start() {
    let args = ["run", "--demo", "--http-port=0", "--sim-markets=5"];
    let budget = |limit: &str| {
        let mut demo = Running::spawn(&mut limited(limit, &args));
        let line = demo.stderr_line("\"descriptors\":");
        let line: serde_json::Value = serde_json::from_str(&line).expect(&line);
        (demo, line)
    };
    // The soft limit is raised to the hard one.
    let (mut demo, line) = budget("-S -n 200");
    assert!(line["descriptors"].as_u64() > Some(200), "{line}");
    // One connection for ten tokens, two replacements and 32 requests over REST.
    assert_eq!(line["venue_sockets"], 1 + 2 + 32);
    assert_eq!(line["http_places"], 512 + 1_024 + 64);
    assert_eq!(line["reserve"], 64);
    // In the demo both ends are here: 10 tokens of 5 KiB twice, 512 clients and 1,024 of
    // streams, 144 KiB each, what waits for streams (256 KiB each, and 64 MiB for all), 96 MiB
    // of answers, 48 MiB of the flight recorder, and 40 MiB before all that.
    assert_eq!(line["memory_needed_mib"], 352 + 256 + 64 + 48);
    assert!(line["memory_mib"].as_u64() > Some(0), "{line}");
    demo.stderr_line("every book is live");
    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0));
    let warned = |demo: &Running| {
        demo.seen
            .iter()
            .any(|line| line.contains("too few descriptors"))
    };
    assert!(!warned(&demo), "{:#?}", demo.seen);

    let (mut demo, line) = budget("-n 200");
    assert_eq!(line["descriptors"], 200);
    assert_eq!(line["http_places"], 66);
    assert_eq!(line["level"], "WARN");
    assert_eq!(
        (&line["needed"], &line["descriptors"]),
        (&(2 * 35 + 1_600 + 64).into(), &200.into())
    );
    let remedy = line["message"].as_str().unwrap();
    for word in [
        "ulimit -n",
        "LimitNOFILE=",
        "--ulimit nofile=",
        "http.max_connections",
    ] {
        assert!(remedy.contains(word), "{remedy}");
    }
    demo.stderr_line("every book is live");
    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0));
}

#[test]
fn a_script_runs_from_the_start() {
    let script = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("later.toml");
    let text = "[[step]]\nat = \"1h\"\nfault = \"stall_asset\"\n";
    std::fs::write(&script, text).unwrap();
    let mut sim = Running::start(&["sim", "--markets=5", "--script", script.to_str().unwrap()]);
    let line = sim.stdout_line("gamma_url");
    let exchange = line.split('"').nth(1).unwrap();
    let (status, faults) = get(&format!("{exchange}/sim/faults"));
    assert_eq!(status, 200);
    assert_eq!(faults["script"][0]["name"], "stall_asset", "{faults}");
    assert_eq!(faults["script"][0]["script_line"], 1, "{faults}");
    sim.signal("TERM");
    assert_eq!(sim.end().code(), Some(0));
}

/// Every connection is cut for some seconds, and Gamma does not answer meanwhile.
#[test]
fn an_outage_is_told_in_few_lines_that_a_person_can_read() {
    let script = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("outage.toml");
    let step = |fault: &str, seconds: u32| {
        format!("[[step]]\nat = \"8s\"\nfault = \"{fault}\"\nfor = \"{seconds}s\"\n")
    };
    let text = [
        step("drop_connection", 6),
        // Two rounds with all their retries fail within it.
        step("gamma_5xx", 14),
        step("clob_5xx", 6),
    ]
    .concat();
    std::fs::write(&script, text).unwrap();
    let mut demo = Running::start(&[
        "run",
        "--demo",
        "--http-port=0",
        "--log-format=json",
        "--lifecycle-discovery-interval=1s",
        "--pool-backoff-cap=1s",
        "--script",
        script.to_str().unwrap(),
    ]);
    demo.stderr_line("every book is live");
    let lost = demo.stderr_line("no connection has a socket");
    assert!(lost.contains("\"level\":\"WARN\""), "{lost}");
    // By which of the two it is cut is for the system to say.
    let causes = ["\"cause\":\"dropped", "\"cause\":\"broken"];
    assert!(causes.iter().any(|cause| lost.contains(cause)), "{lost}");
    demo.stderr_line("fault off");
    demo.stderr_line("every connection has its books again");
    let found = demo.stderr_line("discovery works again");
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["level"], "INFO");
    assert!(found["attempts_failed"].as_u64() > Some(1), "{found}");
    demo.signal("INT");
    assert_eq!(demo.end().code(), Some(0), "{:#?}", demo.seen);
    let failed = demo.seen.iter().filter(|l| l.contains("discovery failed"));
    let failed: Vec<_> = failed.collect();
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert!(failed[0].contains("\"level\":\"WARN\"") && failed[0].contains("\"failure\":\""));
    let lines: Vec<_> = demo
        .seen
        .iter()
        .filter(|line| line.starts_with('{'))
        .collect();
    assert!(lines.len() <= 60, "{} lines: {lines:#?}", lines.len());
    for line in lines {
        for debug in [
            "Some(", "None", "Ok(", "Err(", "\\\"\\\"", ":\"\\\"", "µs\"",
        ] {
            assert!(!line.contains(debug), "{debug} in {line}");
        }
        let fields: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(line).expect(line);
        let empty = fields.iter().find(|(_, value)| **value == "");
        assert_eq!(empty, None, "{line}");
    }
}

#[test]
fn a_signal_while_starting_is_a_clean_end() {
    let mut demo = Running::start(&["run", "--demo", "--http-port=0", "--log-level=debug"]);
    demo.stderr_line("\"message\":\"starting\"");
    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0), "{:#?}", demo.seen);
}

#[test]
fn a_second_signal_ends_at_once() {
    // The exchange does not answer a request that is being waited for at the end.
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut demo = Running::spawn(
            // At this level parts tell of each other's end.
            polypy(&["run", "--demo", "--http-port=0", "--sim-markets=5"])
                .env("LOG_LEVEL", "debug")
                .env("POLYPY_HTTP__DRAIN_DEADLINE", "1m")
                .env("POLYPY_SHUTDOWN__DEADLINE", "1m"),
        );
        let health = url(&demo.stdout_line("/health"));
        // A request whose head never ends keeps the server draining.
        let host = health
            .strip_prefix("http://")
            .unwrap()
            .split('/')
            .next()
            .unwrap();
        let mut half = std::net::TcpStream::connect(host).unwrap();
        std::io::Write::write_all(&mut half, b"GET /health HTTP/1.1\r\nHost: a\r\n").unwrap();
        get(&health);
        demo.signal(signal);
        demo.stderr_line("a second signal ends at once");
        demo.signal(signal);
        assert_eq!(demo.end().code(), Some(code), "{:#?}", demo.seen);
        // Nothing is told of what is torn down, least of all as an error.
        let last = demo.seen.last().unwrap();
        assert!(last.contains("\"ending at once\""), "{last}");
    }
}

#[test]
fn a_closed_standard_error_ends_nothing() {
    let mut demo = polypy(&["run", "--demo", "--http-port=0", "--sim-markets=5"]);
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut demo = {
        use std::io::BufRead;
        let mut child = demo
            .stderr(full)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = std::io::BufReader::new(child.stdout.take().unwrap());
        let shown = stdout.lines().map_while(Result::ok);
        assert!(shown.into_iter().any(|line| line.contains("/orderbook/")));
        child
    };
    let status = std::process::Command::new("kill")
        .args(["-INT", &demo.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(demo.wait().unwrap().code(), Some(0));
}

#[test]
fn probes_and_the_health_command_say_how_it_stands() {
    let mut demo = Running::start(&["run", "--demo", "--http-port=0", "--sim-markets=20"]);
    let health = url(&demo.stdout_line("/health"));
    let server = health.strip_suffix("/health").unwrap().to_owned();
    demo.stderr_line("every book is live");
    for probe in ["livez", "readyz", "startupz"] {
        let (status, answer) = get(&format!("{server}/{probe}?verbose"));
        assert_eq!((status, &answer["ok"]), (200, &true.into()), "{answer}");
    }
    let (_, version) = get(&format!("{server}/version"));
    for field in ["version", "revision", "rustc", "target"] {
        assert!(version[field].is_string(), "{version}");
    }

    let (code, said, _) = output(&mut polypy(&["health", "--url", &server]));
    assert_eq!((code, said.as_str()), (0, "healthy\n"));
    let mut by_port = polypy(&["health", "--json"]);
    by_port.env("HTTP_PORT", server.rsplit(':').next().unwrap());
    let (code, said, _) = output(&mut by_port);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said["healthy"]), (0, &true.into()), "{said}");
    let ready = format!("{server}/readyz");
    assert_eq!(output(&mut polypy(&["health", "--url", &ready])).0, 0);
    // No route, no health.
    let nothing = format!("{server}/nothing");
    let (code, said, _) = output(&mut polypy(&["health", "--url", &nothing]));
    assert_eq!((code, said.as_str()), (1, "not healthy: no such route\n"));

    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0));
    let (code, said, _) = output(&mut polypy(&["health", "--url", &server]));
    assert_eq!(code, 1);
    assert!(said.contains("refused"), "{said}");
    let (code, _, said) = output(&mut polypy(&["health", "--url", "localhost:8080"]));
    assert_eq!(code, 2);
    assert!(said.contains("http://HOST:PORT"), "{said}");
}

#[test]
fn a_server_whose_books_are_away_is_not_ready_and_lives() {
    // An exchange that nobody runs: the catalogue cannot be crawled.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = closed.local_addr().unwrap();
    drop(closed);
    let gamma = format!("--venue-gamma-url=http://{nowhere}");
    let mut server = Running::start(&[
        "run",
        "--enable-http",
        "--http-port=0",
        "--http-host=127.0.0.1",
        &gamma,
    ]);
    let line = server.stderr_line("http server listening");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let at = format!("http://{}", line["address"].as_str().unwrap());
    server.stderr_line("polypy started");
    let failing = |probe: &str| {
        let (status, answer) = get(&format!("{at}/{probe}"));
        let reasons = answer["reasons"].as_array().unwrap().clone();
        let codes = reasons
            .iter()
            .map(|reason| reason["code"].as_str().unwrap().to_owned());
        (status, codes.collect::<Vec<_>>())
    };
    assert_eq!(failing("livez"), (200, vec![]));
    assert_eq!(
        failing("readyz"),
        (503, vec!["first_crawl".to_owned(), "markets".to_owned()])
    );
    assert_eq!(failing("startupz"), (503, vec!["first_crawl".to_owned()]));
    server.signal("TERM");
    assert_eq!(server.end().code(), Some(0));
}

#[test]
fn a_drain_serves_on_and_is_not_ready() {
    let delay = "--http-drain-delay=2s";
    let mut demo = Running::start(&["run", "--demo", "--http-port=0", "--sim-markets=5", delay]);
    let health = url(&demo.stdout_line("/health"));
    let server = health.strip_suffix("/health").unwrap().to_owned();
    demo.stderr_line("every book is live");
    assert_eq!(get(&format!("{server}/readyz")).0, 200);
    let asked = Instant::now();
    demo.signal("TERM");
    demo.stderr_line("not ready any more");
    let (status, answer) = get(&format!("{server}/readyz"));
    assert_eq!(status, 503);
    assert_eq!(answer["reasons"][0]["code"], "not_draining");
    for path in ["livez", "startupz", "health", "stats", "markets"] {
        assert_eq!(get(&format!("{server}/{path}")).0, 200, "{path}");
    }
    assert_eq!(demo.end().code(), Some(0), "{:#?}", demo.seen);
    assert!(asked.elapsed() >= Duration::from_secs(2));

    // A second signal does not wait for the end of it.
    let delay = "--http-drain-delay=10m";
    let mut demo = Running::start(&["run", "--demo", "--http-port=0", "--sim-markets=5", delay]);
    demo.stderr_line("every book is live");
    demo.signal("TERM");
    demo.stderr_line("not ready any more");
    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(143), "{:#?}", demo.seen);
}
