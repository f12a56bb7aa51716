//! What SIGHUP does: by a supervisor, under `nohup`, and at a terminal.

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::process::{Running, get, polypy};

const DEMO: [&str; 4] = ["run", "--demo", "--http-port=0", "--sim-markets=5"];

fn health_url(demo: &mut Running) -> String {
    let line = demo.stdout_line("/health");
    demo.stderr_line("polypy started");
    line.split_whitespace().last().unwrap().to_owned()
}

/// Two ends: what a terminal's window holds, and what its programs have.
fn terminal() -> (OwnedFd, File) {
    let window = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&window).unwrap();
    unlockpt(&window).unwrap();
    let name = ptsname(&window, Vec::new()).unwrap();
    let path = name.into_string().unwrap();
    let inside = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    (window, inside)
}

#[test]
fn without_a_file_to_read_again_a_hang_up_says_so_and_ends_nothing() {
    let mut demo = Running::start(&DEMO);
    let health = health_url(&mut demo);
    demo.signal("HUP");
    demo.stderr_line("nothing to re-read");
    assert_eq!(get(&health).0, 200);
    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0), "{:#?}", demo.seen);
    let mut exchange = Running::start(&["sim", "--listen=127.0.0.1:0", "--markets=5"]);
    exchange.stdout_line("ws_url");
    exchange.signal("HUP");
    exchange.stderr_line("nothing to re-read");
    exchange.signal("TERM");
    assert_eq!(exchange.end().code(), Some(0), "{:#?}", exchange.seen);
}

#[test]
fn a_hang_up_that_was_ignored_at_the_start_stays_ignored() {
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_polypy"))
        .args(DEMO)
        .env_clear()
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::null());
    let mut demo = Running::spawn(&mut command);
    let health = health_url(&mut demo);
    demo.signal("HUP");
    assert_eq!(get(&health).0, 200);
    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0), "{:#?}", demo.seen);
    let heeded = demo.seen.iter().find(|line| line.contains("SIGHUP"));
    assert_eq!(heeded, None);
}

#[test]
fn a_terminal_that_hangs_up_ends_the_program() {
    let (window, inside) = terminal();
    let mut demo = Running::spawn(polypy(&DEMO).stdin(inside));
    health_url(&mut demo);
    demo.signal("HUP");
    let line = demo.stderr_line("a second signal ends at once");
    assert!(line.contains("SIGHUP"), "{line}");
    assert_eq!(demo.end().code(), Some(0), "{:#?}", demo.seen);
    drop(window);
}
