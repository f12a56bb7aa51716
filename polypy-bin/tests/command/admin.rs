//! The administration listener of the real program.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;

use crate::description::mistakes;
use crate::process::{PATIENCE, Running, get, output, polypy};

const TOKEN: &str = "a-token-to-administer-with";

/// One request: its status and its body as JSON.
pub(crate) fn ask(
    mut stream: impl Read + Write,
    line: &str,
    headers: &str,
    body: &str,
) -> (u16, Value) {
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

pub(crate) fn tcp(address: &str) -> TcpStream {
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
    let (_, document) = ask(tcp(&admin), "GET /openapi.json", &header, "");
    // What is answered is what the document states.
    let change = |line: &str, body: &str| {
        let (status, answer) = ask(tcp(&admin), line, &header, body);
        let wrong = mistakes(&document, line, status, &answer);
        assert_eq!(wrong, Vec::<String>::new(), "{line}: {status} {answer:#}");
        (status, answer)
    };

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
    assert_eq!(listed, 7, "{landing:#}");

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

/// One request with these headers: its status, its `ETag` and its body.
fn ask_for_tag(admin: &str, line: &str, headers: &str, body: &str) -> (u16, String, Value) {
    let mut stream = tcp(admin);
    let request = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n{headers}\
         Authorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: "));
    let body = serde_json::from_str(body).unwrap();
    (status, tag.unwrap_or_default().to_owned(), body)
}

#[test]
fn the_selection_is_shown_with_its_origins_and_changed_as_a_whole() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("selection");
    std::fs::create_dir_all(&folder).unwrap();
    let (token, kept) = (folder.join("token"), folder.join("overlay.json"));
    std::fs::write(&token, TOKEN).unwrap();
    let kept_text = || std::fs::read_to_string(&kept).unwrap_or_default();
    if kept.exists() {
        std::fs::remove_file(&kept).unwrap();
    }
    let token_file = format!("--admin-token-file={}", token.display());
    let overlay_file = format!("--markets-overlay-file={}", kept.display());
    let arguments = [
        "run",
        "--demo",
        "--http-port=0",
        "--sim-markets=20",
        "--sim-resolve-per-minute=0",
        "--sim-new-markets-per-minute=0",
        "--admin-listen=127.0.0.1:0",
        "--markets-min-volume=0",
        &token_file,
        &overlay_file,
    ];
    let mut demo = Running::start(&arguments);
    let line = demo.stderr_line("\"server\":\"admin\"");
    let line: Value = serde_json::from_str(&line).unwrap();
    let admin = line["address"].as_str().unwrap().to_owned();
    let health = demo.stdout_line("/health");
    let public = health.split('/').nth(2).unwrap().to_owned();
    let url = |path: &str| format!("http://{public}/{path}");
    until(&url("readyz"), |ready| ready["ok"] == true);
    until(&url("v1/selection"), |selection| {
        selection["followed"] == 20
    });

    let (_, _, document) = ask_for_tag(&admin, "GET /openapi.json", "", "");
    let ask_for_tag = |admin: &str, line: &str, headers: &str, body: &str| {
        let (status, tag, answer) = ask_for_tag(admin, line, headers, body);
        let wrong = mistakes(&document, line, status, &answer);
        assert_eq!(wrong, Vec::<String>::new(), "{line}: {status} {answer:#}");
        (status, tag, answer)
    };
    let (status, first, shown) = ask_for_tag(&admin, "GET /v1/selection", "", "");
    assert_eq!(
        (status, &shown["generation"]),
        (200, &0.into()),
        "{shown:#}"
    );
    assert_eq!(shown["overlay"], serde_json::json!({}));
    assert_eq!(shown["overlay_file"], kept.display().to_string());
    let flag = &shown["keys"]["min_volume"];
    assert_eq!(flag["origin"], "flag --markets-min-volume", "{flag}");
    let tag = format!("\"{}-0-", shown["instance"].as_str().unwrap());
    assert!(first.starts_with(&tag), "{first}");

    // All mistakes at once, and nothing of it is taken or kept.
    let wrong = r#"{"tgas": "x", "max_markets": -1, "shard": "0/2"}"#;
    let (status, _, refused) = ask_for_tag(&admin, "PUT /v1/selection", "", wrong);
    let kind = "urn:polypy:problem:mistakes_in_selection";
    assert_eq!(
        (status, &refused["type"]),
        (400, &kind.into()),
        "{refused:#}"
    );
    assert_eq!(
        refused["mistakes"].as_array().unwrap().len(),
        3,
        "{refused:#}"
    );
    assert_eq!(
        refused["mistakes"][0]["reason"],
        "unknown key, did you mean tags?"
    );
    // A dry run that does not exist is not done in earnest.
    let (status, _, refused) = ask_for_tag(&admin, "PUT /v1/selection?dry_run=1", "", "{}");
    assert_eq!((status, &refused["parameter"]), (400, &"dry_run".into()));
    let long = format!("{{\"tags\": \"{}\"}}", "x".repeat(256 * 1024));
    let (status, ..) = ask_for_tag(&admin, "PUT /v1/selection", "", &long);
    assert_eq!(status, 413);
    assert_eq!(kept_text(), "");

    let few = r#"{"max_markets": 3, "tags": []}"#;
    let matching = format!("If-Match: {first}\r\n");
    let (status, second, set) = ask_for_tag(&admin, "PUT /v1/selection", &matching, few);
    assert_eq!(status, 200, "{set:#}");
    assert_eq!(
        (&set["followed"], &set["released"]),
        (&3.into(), &17.into())
    );
    assert_ne!(second, first);
    assert_eq!(kept_text(), "{\"tags\":[],\"max_markets\":3}\n");
    let line = demo.stderr_line("selection changed by administration");
    for part in ["127.0.0.1:", "\"old\":\"{}\"", "max_markets"] {
        assert!(line.contains(part), "{part} in {line}");
    }
    // What the public may know: layers, and no paths.
    let (status, told) = get(&url("v1/selection"));
    assert_eq!((status, &told["followed"]), (200, &3.into()), "{told:#}");
    assert_eq!(told["keys"]["max_markets"]["layer"], "overlay");
    assert!(!told.to_string().contains("overlay.json"), "{told:#}");

    // The other one has seen what is not there any more.
    let (status, now, refused) = ask_for_tag(&admin, "PUT /v1/selection", &matching, "{}");
    let kind = "urn:polypy:problem:selection_changed";
    assert_eq!(
        (status, &refused["type"]),
        (412, &kind.into()),
        "{refused:#}"
    );
    assert_eq!(now, second);
    assert_eq!(kept_text(), "{\"tags\":[],\"max_markets\":3}\n");
    // The same again is no other generation.
    let (status, again, set) = ask_for_tag(&admin, "PUT /v1/selection", "", few);
    let same = (200, second.clone(), &0.into());
    assert_eq!((status, again, &set["released"]), same);
    // Other words for the same markets: what was seen before is not what is there.
    let matching = format!("If-Match: {second}\r\n");
    let words = r#"{"max_markets": "3", "tags": []}"#;
    let (status, third, set) = ask_for_tag(&admin, "PUT /v1/selection", &matching, words);
    assert_eq!((status, &set["generation"]), (200, &1.into()), "{set:#}");
    assert_ne!(third, second);
    let (status, now, _) = ask_for_tag(&admin, "PUT /v1/selection", &matching, "{}");
    assert_eq!((status, now), (412, third.clone()));
    let (_, shown, _) = ask_for_tag(&admin, "GET /v1/selection", "", "");
    assert_eq!(shown, third);
    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0));

    // Kept over a restart.
    let mut demo = Running::start(&arguments);
    let health = demo.stdout_line("/health");
    let public = health.split('/').nth(2).unwrap().to_owned();
    let selection = format!("http://{public}/v1/selection");
    until(&selection, |selection| selection["followed"] == 3);
    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0));
}

#[test]
fn what_the_configuration_names_and_nothing_has_is_told_once_all_is_listed() {
    let mut demo = Running::start(&[
        "run",
        "--demo",
        "--http-port=0",
        "--sim-markets=20",
        "--markets-exclude-tags=wether",
        "--markets-exclude-categories=no-such-one",
        "--markets-exclude-slugs=zz-*",
        "--markets-exclude-text=Qwertz",
        "--markets-exclude-ids=0x77",
        "--markets-also=not-a-slug",
    ]);
    let health = demo.stdout_line("/health");
    let public = health.split('/').nth(2).unwrap().to_owned();
    let url = |path: &str| format!("http://{public}/{path}");
    let names = [
        "wether",
        "no-such-one",
        "zz-*",
        "Qwertz",
        "0x77",
        "not-a-slug",
    ];
    for name in names {
        let line = demo.stderr_line(name);
        assert!(
            line.contains("the selection names what nothing has"),
            "{line}"
        );
    }
    let shown = until(&url("v1/selection"), |selection| {
        selection["complete"] == true
    });
    let warnings = shown["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), names.len(), "{shown:#}");
    for (warning, name) in warnings.iter().zip(names) {
        assert!(warning.as_str().unwrap().contains(name), "{shown:#}");
    }
    // One process is one instance, whatever is read.
    for path in ["v1/markets?limit=1", "v1/events?limit=1"] {
        let (_, list) = get(&url(path));
        assert_eq!(list["instance"], shown["instance"], "{path}");
    }
    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0));
    for name in names {
        let told = demo.seen.iter().filter(|line| line.contains(name));
        assert_eq!(told.count(), 1, "{name}: {:?}", demo.seen);
    }
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
fn an_overlay_that_could_not_be_kept_ends_the_start() {
    let place = "--markets-overlay-file=/nowhere/overlay.json";
    for command in [&["run", "--demo", "--http-port=0"][..], &["check-config"]] {
        let (code, _, said) = output(&mut polypy(&[command, &[place]].concat()));
        assert_eq!(code, 78, "{said}");
        let reason = "markets.overlay_file: its folder /nowhere must be there and be writable";
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn incidents_that_could_not_be_written_end_the_start_only_where_a_folder_is_named() {
    let place = "--flight-recorder-dir=/dev/null/incidents";
    for command in [&["run", "--demo", "--http-port=0"][..], &["check-config"]] {
        let (code, _, said) = output(&mut polypy(&[command, &[place]].concat()));
        assert_eq!(code, 78, "{said}");
        let reason = "flight_recorder.dir: /dev/null/incidents cannot be written to";
        assert!(said.contains(reason), "{said}");
        assert!(said.contains("flight_recorder.memory"), "{said}");
    }
    // Off, it needs none.
    for none in ["0", "0B"] {
        let off = ["check-config", place, "--flight-recorder-memory", none];
        let (code, _, said) = output(&mut polypy(&off));
        assert_eq!(code, 0, "{said}");
        let mut by_variable = polypy(&off[..2]);
        by_variable.env("POLYPY_FLIGHT_RECORDER__MEMORY", none);
        let (code, _, said) = output(&mut by_variable);
        assert_eq!(code, 0, "{said}");
    }
    let mut command = polypy(&["run", "--demo", "--http-port=0", "--sim-markets=5"]);
    let mut demo = Running::spawn(command.env("XDG_STATE_HOME", "/dev/null"));
    demo.stderr_line("no file will be made of incidents");
    demo.signal("TERM");
    assert!(demo.end().success());
}

#[test]
fn recordings_that_could_not_be_written_end_the_start() {
    let place = "--record=/dev/null/recordings";
    for command in [&["run", "--demo", "--http-port=0"][..], &["check-config"]] {
        let (code, _, said) = output(&mut polypy(&[command, &[place]].concat()));
        assert_eq!(code, 78, "{said}");
        let reason = "record.dir: /dev/null/recordings cannot be written to";
        assert!(said.contains(reason), "{said}");
    }
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
