//! Unix sockets, sockets handed over by a supervisor, and what the supervisor is told.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::process::{PATIENCE, Running, output, polypy};

/// A short path: that of a socket has a hundred characters at most.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("polypy-{name}-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir(&folder).unwrap();
    folder
}

/// The status of a request over any stream.
fn status(mut stream: impl Read + Write, path: &str) -> u16 {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_unix_socket_alone_serves_everything_and_is_gone_at_the_end() {
    let folder = folder("unix");
    let path = folder.join("polypy.sock");
    let socket = format!("--http-unix-socket={}", path.display());
    let arguments = [
        "run",
        "--demo",
        "--sim-markets=5",
        "--http-tcp=false",
        &socket,
    ];
    let mut demo = Running::start(&arguments);
    let line = demo.stderr_line("http server listening");
    assert!(line.contains(&format!("unix:{}", path.display())), "{line}");
    demo.stderr_line("every book is live");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for target in ["/health", "/stats", "/markets", "/readyz"] {
        assert_eq!(
            status(UnixStream::connect(&path).unwrap(), target),
            200,
            "{target}"
        );
    }
    let url = format!("unix:{}", path.display());
    let (code, said, _) = output(&mut polypy(&["health", "--url", &url]));
    assert_eq!((code, said.as_str()), (0, "healthy\n"));

    // A second one leaves the first alone, and says so.
    let mut second =
        Running::start(&["run", "--demo", "--sim-markets=5", "--http-port=0", &socket]);
    second.stderr_line("another process listens there");
    second.stdout_line("/health");
    second.signal("TERM");
    assert_eq!(second.end().code(), Some(0));
    assert_eq!(status(UnixStream::connect(&path).unwrap(), "/health"), 200);

    // What a killed one leaves is taken over.
    demo.signal("KILL");
    demo.end();
    assert!(path.exists());
    let mut third = Running::start(&arguments);
    third.stderr_line("replacing a socket");
    third.stderr_line("polypy started");
    assert_eq!(status(UnixStream::connect(&path).unwrap(), "/livez"), 200);
    third.signal("TERM");
    assert_eq!(third.end().code(), Some(0));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    std::fs::remove_dir(&folder).unwrap();
}

#[test]
fn a_socket_that_is_handed_over_is_served_instead_of_the_port() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // As systemd: descriptor 3, and the process named by its number.
    let script = "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_polypy")])
        .args(["run", "--demo", "--sim-markets=5", "--http-port=1"])
        .env_clear()
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::from(OwnedFd::from(listener)));
    let mut demo = Running::spawn(&mut command);
    let line = demo.stderr_line("http server listening");
    assert!(
        line.contains(&format!("\"address\":\"{address}\"")),
        "{line}"
    );
    demo.stderr_line("polypy started");
    assert_eq!(status(TcpStream::connect(address).unwrap(), "/livez"), 200);
    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0));
}

#[test]
fn a_supervisor_is_told_of_the_start_of_every_moment_and_of_the_end() {
    let folder = folder("notify");
    let path = folder.join("notify");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    supervisor.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut demo = Running::spawn(
        polypy(&["run", "--demo", "--http-port=0", "--sim-markets=5"])
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "300000"),
    );
    let heard = || {
        let mut bytes = [0; 1_024];
        let length = supervisor.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    assert_eq!(heard(), "READY=1\n");
    let (mut alive, mut status) = (0, String::new());
    while alive < 10 || !status.starts_with("STATUS=10 of 10 books live") {
        match heard().as_str() {
            "WATCHDOG=1\n" => alive += 1,
            other => status = other.to_owned(),
        }
    }
    demo.signal("TERM");
    while heard() != "STOPPING=1\n" {}
    assert_eq!(demo.end().code(), Some(0));
    std::fs::remove_dir_all(&folder).unwrap();
}
