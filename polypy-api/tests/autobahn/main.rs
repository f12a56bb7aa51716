//! Autobahn|Testsuite against the WebSockets of the streams: no case fails.
//!
//! `.ci/autobahn` brings it; without it the test says that it was skipped, unless
//! `POLYPY_AUTOBAHN` is `required`. `POLYPY_SOAK=full` adds the cases with long messages.

#[path = "../../examples/echo.rs"]
#[expect(dead_code, reason = "the example is run by itself, too")]
mod echo;

use std::path::Path;
use std::process::{Command, Stdio};

use polypy_core::Component as _;
use tokio::task::spawn_blocking;

#[tokio::test(flavor = "multi_thread")]
async fn no_case_of_autobahn_fails() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let suite = target.join("autobahn");
    if !suite.join("ready").exists() {
        let is_required = std::env::var("POLYPY_AUTOBAHN").is_ok_and(|word| word == "required");
        assert!(!is_required, "run .ci/autobahn first: it did not succeed");
        eprintln!("skipped: Autobahn|Testsuite is not there, .ci/autobahn brings it");
        return;
    }
    let server = echo::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let url = format!("ws://{}/echo", server.local_addr().unwrap());
    let drive = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/autobahn/drive.py");
    let mut run = Command::new(suite.join("environment/bin/python"));
    run.arg(drive).arg(suite.join("autobahntestsuite")).arg(url);
    if std::env::var("POLYPY_SOAK").is_ok_and(|word| word == "full") {
        run.arg("all");
    }
    run.stdin(Stdio::null());
    let run = spawn_blocking(move || run.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}\n{errors}");
    println!("{said}");
    server.stop().await;
}
