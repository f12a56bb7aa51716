//! What SIGHUP does: by a supervisor, under `nohup`, and at a terminal.

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

use crate::process::{PATIENCE, Running, get, polypy};

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
fn a_hang_up_reads_all_layers_again_and_ends_nothing() {
    let mut demo = Running::start(&DEMO);
    let health = health_url(&mut demo);
    demo.signal("HUP");
    demo.stderr_line("configuration read again");
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

/// Which markets are followed is read again, a file with a mistake in it is not, and what
/// waits for a restart is named.
#[test]
fn a_hang_up_follows_what_the_file_says_now() {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("reload.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("[markets]\nmax_markets = 4\n");
    let mut arguments = DEMO.to_vec();
    arguments.extend([
        "--sim-resolve-per-minute=0",
        "--sim-new-markets-per-minute=0",
    ]);
    let config = format!("--config={}", file.display());
    arguments.push(&config);
    let mut demo = Running::start(&arguments);
    let health = health_url(&mut demo);
    let stats = health.replace("/health", "/stats");
    let is = |pointer: &str, wanted: &Value| {
        let begun = Instant::now();
        loop {
            let (_, stats) = get(&stats);
            if stats.pointer(pointer) == Some(wanted) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{pointer} of {stats:#}");
        }
    };
    is("/registry/markets_live", &4.into());
    write("[markets]\nmax_markets = 2\n[http]\nport = 7\n");
    demo.signal("HUP");
    demo.stderr_line("configuration read again");
    is("/registry/markets_live", &2.into());
    let waiting = demo
        .seen
        .iter()
        .find(|line| line.contains("wait for a restart"));
    assert_eq!(
        waiting.map(|line| line.contains("http.port")),
        None,
        "the flag outranks it"
    );
    write("[markets]\nmax_markets = 1\ntgas = 'x'\n[log]\nlevel = 'loud'\n");
    demo.signal("HUP");
    for mistake in [
        "did you mean markets.tags?",
        "log.level: must be off",
        "nothing of it was taken",
    ] {
        demo.stderr_line(mistake);
    }
    is("/configuration/last_reload_successful", &false.into());
    is("/registry/markets_live", &2.into());
    write("[markets]\nmax_markets = 3\n[pool]\ntarget = 100\n");
    demo.signal("HUP");
    let line = demo.stderr_line("wait for a restart");
    assert!(line.contains("pool.target"), "{line}");
    is("/configuration/last_reload_successful", &true.into());
    is("/registry/markets_live", &3.into());
    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0), "{:#?}", demo.seen);
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
