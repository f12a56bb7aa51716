//! `make attack`: what strangers can do to the program, done to it.
//!
//! Starts the release binary against an exchange of its own, once for each kind
//! of attack, and prints a table. Everything goes over loopback and is bounded in
//! number and time. `POLYPY` names another binary to attack.
//!
//! | attack | what must hold |
//! |---|---|
//! | lists that nobody reads, and pages, in 256 MiB | it lives, and holds 160 MiB at most |
//! | 300 silent readers of the list, and 1,000 | 64 MiB at most, and what the manual promises; probes answered |
//! | 10,000 connections that say nothing | probes answered, p99 below 50 ms |
//! | 512 and 600 clients that stay | the same |
//! | readers of 20 kB/s | the whole list |
//! | slowhttptest, four ways, 1,000 connections each | the service stays available |
//! | 100,000 broken requests | answered or closed; nothing fails inside |
//! | 256 descriptors | said at the start; probes answered |
//! | streams: half-open handshakes, too many operations, broken frames, slow readers, crowds, storms, cut messages, bad cursors and origins | each told what is wrong; beside them two clients of everything have each change and the server's books; probes answered, p99 below 50 ms |

mod attacks;
mod beside;
mod broken;
mod client;
mod crowds;
mod frames;
mod server;
mod streams;
mod tally;
mod tool;

use std::process::ExitCode;
use std::time::Instant;

/// The readers, which run beside all other attacks: markets of the list, about
/// half a kilobyte each, and bytes a second. The second list is longer than what
/// the system would take of it at once if it were let.
const READERS: [(&str, usize, usize); 2] = [
    ("5 readers of 20 kB/s", 5_000, 20_000),
    ("5 readers of 100 kB/s", 20_000, 100_000),
];

/// What came of one attack.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Whether the program did what it promises; `None` when it could not be tried.
    pub(crate) held: Option<bool>,
    /// Figures and words for the table.
    pub(crate) said: String,
}

impl Outcome {
    pub(crate) fn of(held: bool, said: impl Into<String>) -> Self {
        Self {
            held: Some(held),
            said: said.into(),
        }
    }

    pub(crate) fn skipped(said: impl Into<String>) -> Self {
        Self {
            held: None,
            said: said.into(),
        }
    }
}

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn row(name: &str, outcome: &Outcome, seconds: f64) {
    let verdict = match outcome.held {
        Some(true) => "held",
        Some(false) => "BROKEN",
        None => "skipped",
    };
    println!("| {name} | {verdict} | {} | {seconds:.0} |", outcome.said);
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the table is what it is for")]
async fn main() -> ExitCode {
    let only: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |name: &str| only.is_empty() || only.iter().any(|word| name.contains(word));
    client::raise_limit();
    println!("| attack | outcome | figures | seconds |\n|---|---|---|---:|");
    let began = Instant::now();
    let others = async {
        let mut broken = 0;
        for (name, attack) in attacks::all() {
            if wanted(name) {
                let started = Instant::now();
                let outcome = attack().await;
                row(name, &outcome, started.elapsed().as_secs_f64());
                broken += u32::from(outcome.held == Some(false));
            }
        }
        broken
    };
    // Takes two minutes of waiting, beside everything else.
    let reads = async |(name, markets, rate): (&str, usize, usize)| {
        if !wanted(name) {
            return 0;
        }
        let outcome = attacks::steady_readers(markets, rate).await;
        row(name, &outcome, began.elapsed().as_secs_f64());
        u32::from(outcome.held == Some(false))
    };
    let (some, one, other) = tokio::join!(others, reads(READERS[0]), reads(READERS[1]));
    println!("\n{:.0} seconds in all", began.elapsed().as_secs_f64());
    if some + one + other == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
