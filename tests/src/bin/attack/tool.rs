//! slowhttptest, if it is there.

use std::process::{Command, Stdio};

use crate::Outcome;
use crate::client::Probes;
use crate::server::{Server, Setting};

/// Its four kinds: heads, bodies, ranges, and answers that come slowly.
const WAYS: [(&str, &[&str]); 4] = [
    ("-H", &["-i", "5"]),
    ("-B", &["-i", "5", "-s", "8192"]),
    ("-R", &["-a", "10", "-b", "3000"]),
    (
        "-X",
        &["-w", "512", "-y", "1024", "-n", "1", "-z", "32", "-k", "3"],
    ),
];

pub(crate) async fn slow_http() -> Outcome {
    let found = Command::new("slowhttptest")
        .arg("-h")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if found.is_err() {
        return Outcome::skipped("slowhttptest is not installed (apt-get install slowhttptest)");
    }
    let server = Server::start(&Setting {
        markets: 2_000,
        ..Setting::default()
    })
    .await;
    let probes = Probes::start(server.address);
    let mut said = Vec::new();
    let mut held = true;
    for (way, options) in WAYS {
        // The tool asks the same URL as its own probe: only what is read slowly has to
        // be large.
        let target = if way == "-X" { "/markets" } else { "/health" };
        let url = format!("http://{}{target}", server.address);
        // It ends by itself after `-l` seconds, and is ended if it does not.
        let mut run = Command::new("timeout");
        run.args(["40", "slowhttptest", way])
            .args(["-c", "1000", "-r", "500", "-l", "12", "-p", "3", "-u", &url])
            .args(options)
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || run.output()).await;
        let Ok(Ok(output)) = output else {
            said.push(format!("{way} could not run"));
            held = false;
            continue;
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let hits = text.matches("service available").count();
        let no = text
            .lines()
            .filter(|line| line.contains("service available") && line.contains("NO"))
            .count();
        said.push(format!("{way} unavailable {no} of {hits} times"));
    }
    let (probed, figures) = probes.end().await;
    Outcome::of(
        held && probed.all,
        format!("{}; {figures}", said.join(", ")),
    )
}
