//! The program and the exchange it follows, each a process of its own, spoken to
//! by HTTP alone.
//!
//! [`crate::world::World`] is the quick way to the same, in one process; this is
//! for what only a process of its own has: memory, processor time, a machine too
//! small for it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::comparison::{Comparison, Truth};
use crate::http::{self, Client};
use crate::program::Program;

/// Between two looks at something that is to come about.
const LOOK: Duration = Duration::from_millis(100);
/// Books compared side by side: two for each of the processes asked.
const COMPARERS: usize = 4;

/// Both processes.
#[derive(Debug)]
pub struct Pair {
    /// The exchange.
    pub exchange: Program,
    /// The program under test.
    pub program: Program,
    /// When the program was started.
    pub began: Instant,
    venue: SocketAddr,
    server: SocketAddr,
    assets: Vec<String>,
}

impl Pair {
    /// Starts an exchange of so many markets, which neither opens nor settles
    /// any, and whose flow runs at `rate` events a second; then the program with
    /// further flags.
    ///
    /// # Panics
    /// When either does not start.
    pub async fn start(markets: usize, rate: f64, flags: &[(&str, &str)]) -> Self {
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let mut args: Vec<String> = own(&[
            "sim",
            "--listen=127.0.0.1:0",
            "--new-markets-per-minute=0",
            "--resolve-per-minute=0",
            "--log-level=warn",
        ]);
        args.push(format!("--markets={markets}"));
        args.push(format!("--rate={rate}"));
        let exchange = Program::start(&args);
        let gamma = quoted(&exchange.says("gamma_url"));
        let ws = quoted(&exchange.says("ws_url"));
        let venue = gamma.trim_start_matches("http://").parse();
        let venue = venue.expect("an address");
        let assets = get(venue, "/sim/assets").await;
        let assets = assets.as_array().expect("a list").iter();
        let assets = assets.map(|asset| asset["asset_id"].as_str().expect("an id").to_owned());
        let assets = assets.collect();

        let began = Instant::now();
        let (program, server) = follow(&gamma, &ws, flags);
        Self {
            exchange,
            program,
            began,
            venue,
            server,
            assets,
        }
    }

    /// Tokens there are.
    pub fn tokens(&self) -> usize {
        self.assets.len()
    }

    /// The program's `/stats`.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn stats(&self) -> Value {
        get(self.server, "/stats").await
    }

    /// The exchange's `/sim/stats`.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn exchange_stats(&self) -> Value {
        get(self.venue, "/sim/stats").await
    }

    /// A connection to the program's HTTP server.
    ///
    /// # Panics
    /// When it does not take one.
    pub async fn client(&self) -> Client {
        Client::connect(self.server).await.expect("a connection")
    }

    /// Where the program answers.
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    /// Switches a fault of the exchange on, as its manual writes it.
    ///
    /// # Panics
    /// When the exchange refuses.
    pub async fn fault(&self, fault: Value) {
        self.tell("faults", fault.to_string()).await;
    }

    /// Switches all faults off.
    ///
    /// # Panics
    /// When the exchange does not answer.
    pub async fn clear_faults(&self) {
        let answer = http::ask(self.venue, Method::DELETE, "/sim/faults").await;
        assert_eq!(answer.expect("an answer").status, 200);
    }

    /// Stops the flow.
    ///
    /// # Panics
    /// When the exchange does not answer.
    pub async fn pause(&self) {
        self.tell("pause", String::new()).await;
    }

    /// Lets the flow go on.
    ///
    /// # Panics
    /// When the exchange does not answer.
    pub async fn resume(&self) {
        self.tell("resume", String::new()).await;
    }

    /// Sets the flow's rate.
    ///
    /// # Panics
    /// When the exchange refuses.
    pub async fn set_rate(&self, events_per_second: f64) {
        let body = format!("{{\"events_per_second\":{events_per_second}}}");
        self.tell("rate", body).await;
    }

    async fn tell(&self, what: &str, body: String) {
        let mut client = Client::connect(self.venue).await.expect("a connection");
        let path = format!("/sim/{what}");
        let answer = client.send(Method::POST, &path, body).await;
        assert_eq!(answer.expect("an answer").status, 200, "{what}");
    }

    /// Waits until every token's book is live at one moment; how long after the
    /// program's start that was.
    ///
    /// # Panics
    /// When that has not come about `deadline` after the start.
    pub async fn all_live(&self, deadline: Duration) -> Duration {
        loop {
            let stats = self.stats().await;
            let books = &stats["workers"]["books"];
            if books["live"] == self.tokens() {
                return self.began.elapsed();
            }
            assert!(
                self.began.elapsed() < deadline,
                "after {deadline:?}: {books:#}"
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Pauses the flow and waits until nothing of it is under way any more:
    /// nothing waits in the exchange, nothing in the program's queues, and
    /// nothing more has come between two looks.
    ///
    /// # Panics
    /// When that has not come about within `deadline`.
    pub async fn rest(&self, deadline: Duration) {
        self.pause().await;
        let began = Instant::now();
        let mut before = Value::Null;
        loop {
            let exchange = self.exchange_stats().await;
            let stats = self.stats().await;
            let router = &stats["router"];
            let empty = exchange["queued_frames"] == 0
                && exchange["scheduled"] == 0
                && router["queue_depths"]["worker_queue"] == 0;
            let arrived = Value::from(vec![
                router["messages_routed"].clone(),
                router["messages_dropped"].clone(),
            ]);
            if empty && arrived == before {
                return;
            }
            before = arrived;
            assert!(
                began.elapsed() < deadline,
                "after {deadline:?}: {router:#} {exchange:#}"
            );
            tokio::time::sleep(LOOK * 3).await;
        }
    }

    /// Holds every book that the program shows against the exchange's.
    ///
    /// # Panics
    /// When either stops answering.
    pub async fn compare(&self) -> Comparison {
        self.compare_these(&self.assets).await
    }

    async fn compare_these(&self, assets: &[String]) -> Comparison {
        let mut parts = JoinSet::new();
        for part in assets.chunks(assets.len().div_ceil(COMPARERS).max(1)) {
            let assets = part.to_vec();
            let (venue, server) = (self.venue, self.server);
            parts.spawn(async move {
                let mut venue = Client::connect(venue).await.expect("a connection");
                let mut server = Client::connect(server).await.expect("a connection");
                let mut comparison = Comparison::default();
                for asset in assets {
                    let shown = format!("/orderbook/{asset}?depth=1000");
                    let truth = format!("/sim/book/{asset}");
                    let (shown, truth) = tokio::join!(server.get(&shown), venue.get(&truth));
                    let truth = Truth::read(truth.expect("an answer").json());
                    comparison.note(&asset, &shown.expect("an answer"), &truth);
                }
                comparison
            });
        }
        let mut whole = Comparison::default();
        while let Some(part) = parts.join_next().await {
            whole.add(part.expect("compares"));
        }
        whole
    }

    /// Compares every book with the truth, the flow being at rest, until each
    /// has been live and equal once. A silent connection is asked for a sign of
    /// life by having one of its books told again, which then is not live for
    /// half a second: only those that were not live are looked at again.
    ///
    /// # Panics
    /// When a live book differs, or when some are not live within `deadline`.
    pub async fn assert_equal_to_truth(&self, deadline: Duration) -> Comparison {
        let began = Instant::now();
        let mut whole = self.compare().await;
        loop {
            assert!(whole.differing.is_empty(), "{}", whole.summary());
            if whole.not_live.is_empty() {
                return whole;
            }
            assert!(
                began.elapsed() < deadline,
                "after {deadline:?}: {}",
                whole.summary()
            );
            tokio::time::sleep(LOOK).await;
            let named = |line: String| line.split(':').next().unwrap_or_default().to_owned();
            let again: Vec<_> = whole.not_live.drain(..).map(named).collect();
            whole.add(self.compare_these(&again).await);
        }
    }

    /// Stops the program, then the exchange.
    ///
    /// # Panics
    /// When either does not end cleanly.
    pub fn stop(self) {
        self.program.stop();
        self.exchange.stop();
    }
}

/// Starts a program with these flags that follows an exchange, of which Gamma and CLOB
/// have one address; where it answers.
///
/// # Panics
/// When it does not start.
pub fn follow(gamma: &str, ws: &str, flags: &[(&str, &str)]) -> (Program, SocketAddr) {
    let own = [
        "run",
        "--enable-http",
        "--http-host=127.0.0.1",
        "--http-port=0",
        "--log-format=json",
        "--log-level=warn,polypy_http=info",
    ];
    let mut args: Vec<String> = own.iter().map(|word| (*word).to_owned()).collect();
    args.push(format!("--venue-gamma-url={gamma}"));
    args.push(format!("--venue-clob-url={gamma}"));
    args.push(format!("--venue-ws-url={ws}"));
    args.extend(
        flags
            .iter()
            .map(|(flag, value)| format!("--{flag}={value}")),
    );
    let program = Program::start(&args);
    let listening = program.logs("http server listening");
    let listening: Value = serde_json::from_str(&listening).expect("a line of JSON");
    let server = listening["address"].as_str().expect("an address").parse();
    (program, server.expect("an address"))
}

async fn get(address: SocketAddr, path: &str) -> Value {
    let answer = http::get(address, path).await.expect("an answer");
    assert_eq!(answer.status, 200, "{path}");
    answer.json()
}

/// What stands between quotes in a line.
fn quoted(line: &str) -> String {
    line.split('"').nth(1).expect("a text in quotes").to_owned()
}
