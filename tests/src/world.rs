//! The program beside an exchange, in one process, on ports the system chose.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use polypy::clock::SystemClock;
use polypy::config::Config;
use polypy::{PolyPy, PolyPyBuilder};
use polypy_core::Level;
use polypy_sim::{Sim, SimConfig, SimHandle};
use serde_json::{Value, json};

use crate::comparison::{Comparison, Truth};
use crate::http::{self, Client};
use crate::wait;

/// Long enough for anything that should take moments, on a busy machine.
pub const SOON: Duration = Duration::from_secs(60);

/// Between two looks at all books.
const LOOK: Duration = Duration::from_millis(100);

/// A running program and the exchange it follows.
#[derive(Debug)]
pub struct World {
    /// The exchange, which knows the truth.
    pub sim: SimHandle,
    /// The program under test.
    pub polypy: PolyPy,
}

impl World {
    /// Starts the exchange, then the program with HTTP on a free port.
    ///
    /// # Panics
    /// When either cannot start.
    pub async fn start(
        config: SimConfig,
        tune: impl FnOnce(PolyPyBuilder) -> PolyPyBuilder,
    ) -> Self {
        let sim = exchange(config).await;
        let builder = beside(&sim).enable_http(true).http_port(0);
        Self::of(sim, tune(builder)).await
    }

    /// The same with a whole configuration for the program; its addresses of
    /// the venue are replaced by the exchange's.
    ///
    /// # Panics
    /// When either cannot start.
    pub async fn configured(exchange_config: SimConfig, config: Config) -> Self {
        Self::of_exchange(exchange(exchange_config).await, config).await
    }

    /// The same with an exchange that runs already.
    ///
    /// # Panics
    /// When the program cannot start.
    pub async fn of_exchange(sim: SimHandle, config: Config) -> Self {
        let builder = PolyPy::builder().config(config);
        let builder = builder.venue(&sim.gamma_url(), &sim.clob_url(), &sim.ws_url());
        Self::of(sim, builder.enable_http(true).http_port(0)).await
    }

    async fn of(sim: SimHandle, builder: PolyPyBuilder) -> Self {
        let polypy = builder.build().expect("the settings are usable");
        polypy.start().await.expect("the program starts");
        Self { sim, polypy }
    }

    /// Where the program answers.
    ///
    /// # Panics
    /// When its HTTP server does not run.
    pub fn http(&self) -> SocketAddr {
        let address = self.polypy.http_addr().expect("the HTTP server runs");
        SocketAddr::from(([127, 0, 0, 1], address.port()))
    }

    /// `/stats`, asked over HTTP.
    ///
    /// # Panics
    /// When it is not answered with 200.
    pub async fn stats(&self) -> Value {
        let answer = http::get(self.http(), "/stats").await.expect("an answer");
        assert_eq!(answer.status, 200);
        answer.json()
    }

    /// Waits until every asset that trades has a live book.
    ///
    /// # Panics
    /// When that does not come about within `deadline`; says which have none.
    pub async fn all_live(&self, deadline: Duration) -> Duration {
        let began = Instant::now();
        let holds = |found: &Comparison| found.live > 0 && found.not_live.is_empty();
        self.compare_until(holds, deadline).await;
        began.elapsed()
    }

    /// Pauses the flow and waits until what was sent has been applied: all
    /// live books equal the truth, and all that trade are live.
    ///
    /// # Panics
    /// When that does not come about within `deadline`; says what differs.
    pub async fn assert_equal_to_truth(&self, deadline: Duration) -> Comparison {
        self.sim.pause();
        let holds = |found: &Comparison| found.differing.is_empty() && found.not_live.is_empty();
        self.compare_until(holds, deadline).await
    }

    /// Compares until what is found `holds`. A comparison asks for one book after the
    /// other: on a busy machine the first may be old news at its end, so that one
    /// counts as too late only if it was begun after the deadline.
    async fn compare_until(
        &self,
        holds: impl Fn(&Comparison) -> bool,
        deadline: Duration,
    ) -> Comparison {
        let began = Instant::now();
        loop {
            let waited = began.elapsed();
            let comparison = self.compare().await;
            if holds(&comparison) {
                return comparison;
            }
            assert!(
                waited < deadline,
                "after {deadline:?}: {}",
                comparison.summary()
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Holds every book the program shows against the exchange's, over HTTP.
    ///
    /// # Panics
    /// When the HTTP server stops answering.
    pub async fn compare(&self) -> Comparison {
        let mut client = Client::connect(self.http()).await.expect("a connection");
        let mut comparison = Comparison::default();
        for asset in self.sim.assets() {
            let path = format!("/orderbook/{asset}?depth=1000");
            let answer = client.get(&path).await.expect("an answer");
            let truth = self
                .sim
                .true_book(&asset)
                .expect("the exchange knows its assets");
            let levels = |levels: &[Level]| -> Value {
                let levels = levels.iter();
                levels
                    .map(|level| json!([level.price, level.size]))
                    .collect()
            };
            let truth = Truth {
                settled: truth.settled,
                hash: json!(truth.hash.to_string()),
                bids: levels(&truth.bids),
                asks: levels(&truth.asks),
                tick_size: json!(truth.tick_size),
            };
            comparison.note(asset.as_str(), &answer, &truth);
        }
        comparison
    }

    /// Stops the program, then the exchange, which must have no connection left.
    ///
    /// # Panics
    /// When one is left.
    pub async fn stop(self) {
        self.polypy.stop().await;
        wait::until("the exchange has no connection left", SOON, async || {
            self.sim.stats().connections == 0
        })
        .await;
        self.sim.stop().await;
    }
}

/// An exchange on a free port.
///
/// # Panics
/// When it cannot start.
pub async fn exchange(config: SimConfig) -> SimHandle {
    Sim::start(config, Arc::new(SystemClock))
        .await
        .expect("the exchange starts")
}

/// A configuration in which no check is left out, and no doubt is given up,
/// because the machine is busy.
pub fn unhurried() -> Config {
    let mut config = Config::default();
    config.integrity.hash_cpu_percent = 100;
    config.integrity.hash_searches_per_second = 10_000;
    config.integrity.doubt_patience = SOON;
    config
}

/// A program that follows `sim`.
pub fn beside(sim: &SimHandle) -> PolyPyBuilder {
    PolyPy::builder()
        .venue(&sim.gamma_url(), &sim.clob_url(), &sim.ws_url())
        .num_workers(2)
}
