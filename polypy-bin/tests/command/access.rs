//! A token's file, read at the start and again by SIGHUP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use crate::process::{PATIENCE, Running, output, polypy};

const FIRST: &str = "the-first-token-of-two";
const SECOND: &str = "the-second-token-of-two";

fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// The status of a GET with a token.
fn status(address: &str, path: &str, token: Option<&str>) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let header = token.map_or(String::new(), |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{header}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_token_guards_the_server_and_a_hang_up_reads_it_again() {
    let path = file("token-of-two", &format!("{FIRST}\n"));
    let token_file = format!("--http-token-file={}", path.display());
    let mut demo = Running::spawn(
        polypy(&[
            "run",
            "--demo",
            "--http-port=0",
            "--sim-markets=5",
            &token_file,
        ])
        .env("LOG_LEVEL", "trace"),
    );
    let health = demo.stdout_line("/health");
    let address = health.split('/').nth(2).unwrap().to_owned();
    assert_eq!(status(&address, "/stats", None), 401);
    assert_eq!(status(&address, "/stats", Some(FIRST)), 200);
    assert_eq!(status(&address, "/livez", None), 200);

    // What cannot be a token changes nothing.
    std::fs::write(&path, "short").unwrap();
    demo.signal("HUP");
    let line = demo.stderr_line("the old one stays");
    assert!(line.contains("16 characters"), "{line}");
    assert_eq!(status(&address, "/stats", Some(FIRST)), 200);

    std::fs::write(&path, SECOND).unwrap();
    demo.signal("HUP");
    demo.stderr_line("token read again");
    assert_eq!(status(&address, "/stats", Some(FIRST)), 401);
    assert_eq!(status(&address, "/stats", Some(SECOND)), 200);

    let url = format!("http://{address}/stats");
    let (code, said, _) = output(&mut polypy(&["health", "--url", &url]));
    assert_eq!(code, 1);
    assert!(said.contains("a token is needed"), "{said}");
    let with = format!("--token-file={}", path.display());
    assert_eq!(output(&mut polypy(&["health", "--url", &url, &with])).0, 0);

    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0));
    let told = |line: &&String| line.contains(FIRST) || line.contains(SECOND);
    assert_eq!(demo.seen.iter().find(told), None, "a token in the log");
}

#[test]
fn a_token_that_cannot_be_had_does_not_leave_the_server_open() {
    let short = file("token-too-short", "short");
    for (path, reason) in [
        (short.display().to_string(), "16 characters"),
        ("/nowhere/token".to_owned(), "No such file"),
    ] {
        let token_file = format!("--http-token-file={path}");
        for command in ["run", "check-config"] {
            let (code, _, said) = output(&mut polypy(&[
                command,
                "--demo",
                "--http-port=0",
                &token_file,
            ]));
            assert_eq!(code, 78, "{command}: {said}");
            for part in ["http.token_file", &path, reason] {
                assert!(said.contains(part), "{command}: {part} in {said}");
            }
        }
    }
}

#[test]
fn what_brings_no_token_is_named_and_neither_start_nor_reload_waits_for_it() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("token-pipe");
    drop(std::fs::remove_file(&path));
    let pipe = || {
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
    };
    pipe();
    let token_file = format!("--http-token-file={}", path.display());
    let zero = "--http-token-file=/dev/zero";
    for (flag, reason) in [
        (token_file.as_str(), "token-pipe: is a pipe that nobody"),
        (zero, "/dev/zero: has more than 65536 bytes"),
    ] {
        let mut refused = Running::start(&["run", "--demo", "--http-port=0", flag]);
        let line = refused.stderr_line(reason);
        assert!(line.contains("http.token_file"), "{line}");
        assert_eq!(refused.end().code(), Some(78));
    }

    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, FIRST).unwrap();
    let arguments = ["run", "--demo", "--http-port=0", "--sim-markets=5"];
    let mut demo = Running::spawn(polypy(&arguments).arg(&token_file));
    let health = demo.stdout_line("/health");
    let address = health.split('/').nth(2).unwrap().to_owned();
    std::fs::remove_file(&path).unwrap();
    pipe();
    demo.signal("HUP");
    let line = demo.stderr_line("the old one stays");
    assert!(line.contains("token-pipe: is a pipe that nobody"), "{line}");
    assert_eq!(status(&address, "/stats", Some(FIRST)), 200);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, SECOND).unwrap();
    demo.signal("HUP");
    demo.stderr_line("token read again");
    assert_eq!(status(&address, "/stats", Some(SECOND)), 200);
    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0));
}

#[test]
fn a_token_comes_from_a_command_of_the_shell() {
    let script = format!(
        "exec \"$0\" run --demo --http-port=0 --sim-markets=5 \
         --http-token-file=<(sleep 0.2; echo {FIRST})"
    );
    let mut command = std::process::Command::new("bash");
    command
        .args(["-c", &script, env!("CARGO_BIN_EXE_polypy")])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .stdin(std::process::Stdio::null());
    let mut demo = Running::spawn(&mut command);
    let health = demo.stdout_line("/health");
    let address = health.split('/').nth(2).unwrap().to_owned();
    assert_eq!(status(&address, "/stats", Some(FIRST)), 200);
    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0));
}

#[test]
fn who_may_ask_may_not_administer() {
    let http = file("token-to-ask", FIRST);
    let admin = file("token-to-administer", FIRST);
    let flags = [
        format!("--http-token-file={}", http.display()),
        format!("--admin-token-file={}", admin.display()),
    ];
    let arguments = ["run", "--demo", "--http-port=0", "--sim-markets=5"];
    let arguments = [&arguments[..], &["--admin-listen=127.0.0.1:0"]].concat();
    let mut refused = Running::spawn(polypy(&arguments).args(&flags));
    refused.stderr_line("admin.token_file: has the token of http.token_file");
    assert_eq!(refused.end().code(), Some(78));

    std::fs::write(&admin, SECOND).unwrap();
    let mut demo = Running::spawn(polypy(&arguments).args(&flags));
    let line = demo.stderr_line("\"server\":\"admin\"");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let administration = line["address"].as_str().unwrap().to_owned();
    demo.stdout_line("/health");
    std::fs::write(&admin, FIRST).unwrap();
    demo.signal("HUP");
    let line = demo.stderr_line("the old ones stay");
    assert!(line.contains("has the token of http.token_file"), "{line}");
    assert_eq!(status(&administration, "/", Some(FIRST)), 401);
    assert_eq!(status(&administration, "/", Some(SECOND)), 200);
    // They may change places.
    std::fs::write(&http, SECOND).unwrap();
    demo.signal("HUP");
    demo.stderr_line("token read again");
    demo.stderr_line("token read again");
    assert_eq!(status(&administration, "/", Some(FIRST)), 200);
    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0));
}

#[test]
fn a_configuration_with_files_that_are_not_there_is_not_valid() {
    for key in ["http", "admin"] {
        let flag = format!("--{key}-token-file=/nowhere/token");
        let (code, _, said) = output(&mut polypy(&["check-config", &flag]));
        assert_eq!(code, 78, "{said}");
        let told = format!("{key}.token_file: /nowhere/token: No such file");
        assert!(said.contains(&told), "{said}");
        assert!(said.contains("create it, as by (umask 077;"), "{said}");
        assert!(
            said.ends_with(&format!("(flag --{key}-token-file)\n")),
            "{said}"
        );
    }
    // Mistakes of files and folders are found later than others, and told with the same place.
    for (text, line, told) in [
        (
            "[http]\ntoken_file = '/nowhere/token'\n",
            2,
            "http.token_file: /nowhere/token: ",
        ),
        (
            "\n[record]\n\ndir = '/dev/null/a'\n",
            4,
            "record.dir: /dev/null/a cannot be written",
        ),
        (
            "[http]\ntls_key = '/nowhere/k'\ntls_cert = '/nowhere/c'\n",
            3,
            "http.tls_cert: ",
        ),
    ] {
        let path = file("of-a-line.toml", text);
        let path = path.to_str().unwrap();
        let (code, _, said) = output(&mut polypy(&["check-config", "--config", path]));
        assert_eq!(code, 78, "{said}");
        assert!(said.starts_with(told), "{said}");
        assert!(said.ends_with(&format!("({path} line {line})\n")), "{said}");
    }
}

#[test]
fn two_servers_do_not_share_an_address() {
    let token = file("token-of-an-address", FIRST);
    let token = format!("--admin-token-file={}", token.display());
    let check = |flags: &[&str]| {
        let mut command = polypy(&["check-config", "--enable-http", &token]);
        let (code, _, said) = output(command.args(flags));
        (code, said)
    };
    for flags in [
        ["--http-port=9090", "--admin-listen=0.0.0.0:9090"],
        ["--http-unix-socket=a.sock", "--admin-unix-socket=a.sock"],
    ] {
        let (code, said) = check(&flags);
        assert_eq!(code, 78, "{flags:?} {said}");
        let key = flags[1].replacen("--admin-", "admin.", 1).replace('-', "_");
        let key = key.split('=').next().unwrap();
        assert!(said.contains(key), "{key} in {said}");
    }
    for flags in [
        ["--http-port=9090", "--admin-listen=0.0.0.0:9091"],
        ["--http-port=0", "--admin-listen=127.0.0.1:0"],
        ["--http-unix-socket=a.sock", "--admin-unix-socket=b.sock"],
    ] {
        let (code, said) = check(&flags);
        assert_eq!(code, 0, "{flags:?} {said}");
    }
}

const CERTIFICATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../polypy-http/tests/testdata");

#[test]
fn a_certificate_is_read_again_and_a_bad_one_leaves_the_old_in_use() {
    let copy = |name: &str, to: &PathBuf| {
        std::fs::copy(format!("{CERTIFICATES}/{name}.crt.pem"), to.join("crt")).unwrap();
        std::fs::copy(format!("{CERTIFICATES}/{name}.key.pem"), to.join("key")).unwrap();
    };
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("certificate");
    std::fs::create_dir_all(&folder).unwrap();
    copy("first", &folder);
    let (cert, key) = (folder.join("crt"), folder.join("key"));
    let flags = [
        format!("--http-tls-cert={}", cert.display()),
        format!("--http-tls-key={}", key.display()),
    ];
    let arguments = [
        "run",
        "--demo",
        "--http-port=0",
        "--sim-markets=5",
        &flags[0],
        &flags[1],
    ];
    let mut demo = Running::start(&arguments);
    let line = demo.stderr_line("http server listening");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = line["address"].as_str().unwrap().to_owned();
    demo.stderr_line("polypy started");
    // Who speaks plain HTTP gets an alert of TLS for an answer.
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    // A certificate that nobody vouches for is not believed.
    let url = format!("https://{address}");
    let (code, said, _) = output(&mut polypy(&["health", "--url", &url]));
    assert_eq!(code, 1);
    assert!(said.contains("certificate"), "{said}");
    let vouched = format!("--ca-file={}", cert.display());
    let (code, said, _) = output(&mut polypy(&["health", "--url", &url, &vouched]));
    assert!(!said.contains("certificate"), "{code} {said}");
    let (code, said, _) = output(&mut polypy(&["health", "--url", &url, "--ca-file=none"]));
    assert_eq!(code, 1);
    assert!(said.contains("none: No such file"), "{said}");
    // So it is for those who follow its streams.
    for url in [url.clone(), url.replacen("https", "wss", 1)] {
        let tail = ["tail", "--count=1", "--url", &url];
        let (code, _, said) = output(&mut polypy(&tail));
        assert_eq!(code, 1);
        let words = "vouched for by nobody who is trusted here: --ca-file";
        assert!(said.contains(words), "{said}");
        let (code, printed, said) = output(&mut polypy(&[&tail[..], &[&vouched]].concat()));
        assert_eq!((code, said.as_str()), (0, ""));
        assert!(printed.contains("hello"), "{printed}");
        let book = ["book", "0", "--url", &url, &vouched];
        let (code, _, said) = output(&mut polypy(&book));
        assert_eq!(code, 1);
        assert!(said.contains("no such token here"), "{said}");
    }

    std::fs::write(&cert, "nothing").unwrap();
    demo.signal("HUP");
    let line = demo.stderr_line("the old one stays");
    assert!(line.contains("no certificate in PEM form"), "{line}");
    copy("second", &folder);
    demo.signal("HUP");
    demo.stderr_line("certificate read again");
    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0));

    let (code, _, said) = output(&mut polypy(&["check-config", &flags[0]]));
    assert_eq!(code, 78);
    assert!(
        said.contains("http.tls_key: must be set beside http.tls_cert (flag --http-tls-cert)"),
        "{said}"
    );
    std::fs::write(&key, "nothing").unwrap();
    for command in ["run", "check-config"] {
        let mut arguments = arguments;
        arguments[0] = command;
        let (code, _, said) = output(&mut polypy(&arguments));
        assert_eq!(code, 78, "{command}: {said}");
        assert!(
            said.contains("http.tls_key") && said.contains("no private key"),
            "{said}"
        );
    }
    // Before the server is turned on, too.
    let second = format!("--http-tls-key={CERTIFICATES}/second.key.pem");
    copy("first", &folder);
    let (code, _, said) = output(&mut polypy(&["check-config", &flags[0], &second]));
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("cannot be used together"), "{said}");
    assert_eq!(
        output(&mut polypy(&["check-config", &flags[0], &flags[1]])).0,
        0
    );
    // The key of the file that is at fault is named.
    for (missing, named) in [(&key, "http.tls_key: "), (&cert, "http.tls_cert: ")] {
        std::fs::remove_file(missing).unwrap();
        let (code, _, said) = output(&mut polypy(&[
            "check-config",
            "--enable-http",
            &flags[0],
            &flags[1],
        ]));
        assert_eq!(code, 78, "{said}");
        assert!(said.contains(named), "{said}");
        copy("first", &folder);
    }
}
