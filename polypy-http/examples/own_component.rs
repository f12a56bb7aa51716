//! A component of one's own, served by `polypy-http`: copy and change.
//!
//! `Ticker` has a life (`Component`), a verdict (`HealthSource`) and numbers
//! (`StatsSource`). Nothing else of PolyPy is needed:
//!
//! ```text
//! cargo run -p polypy-http --example own_component
//! curl -i http://127.0.0.1:8080/health
//! curl http://127.0.0.1:8080/stats
//! ```
//!
//! `/ticks`, `/about` and the name are what this program adds to the server.

use std::error::Error;
use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use polypy_core::metrics::{Counter, Entry, Part, Sheet};
use polypy_core::{
    BoxFuture, Component, ComponentError, ComponentState, Health, HealthSource, Lifecycle,
    StatsSource, SystemClock,
};
use polypy_http::{HttpConfig, HttpServer, Reply, Route, Sources, StatusCode};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// Counts ten times a second.
struct Ticker {
    ticks: Arc<Counter>,
    life: Lifecycle<Running>,
}

/// What it holds between `start` and `stop`.
struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Default for Ticker {
    fn default() -> Self {
        Self {
            ticks: Arc::default(),
            life: Lifecycle::failing_when(|running: &Running| running.task.is_finished()),
        }
    }
}

impl Component for Ticker {
    fn name(&self) -> &'static str {
        "ticker"
    }

    fn start(&self) -> BoxFuture<'_, Result<(), ComponentError>> {
        Box::pin(async {
            match self.life.begin_start() {
                Ok(starting) => {
                    let (stop, stopping) = watch::channel(false);
                    let task = tokio::spawn(tick(self.ticks.clone(), stopping));
                    starting.running(Running { stop, task });
                }
                Err(state) => tracing::warn!(state = state.name(), "start while not stopped"),
            }
            Ok(())
        })
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            match self.life.begin_stop() {
                Ok((_stopping, Running { stop, task })) => {
                    stop.send_replace(true);
                    if let Err(error) = task.await {
                        tracing::error!(%error, "ticker had failed");
                    }
                }
                Err(state) => tracing::warn!(state = state.name(), "stop while not running"),
            }
        })
    }

    fn state(&self) -> ComponentState {
        self.life.state()
    }
}

async fn tick(ticks: Arc<Counter>, mut stopping: watch::Receiver<bool>) {
    let mut clock = interval(Duration::from_millis(100));
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = clock.tick() => ticks.increment(),
            // A change or a sender that is gone: both mean the end.
            _ = stopping.changed() => return,
        };
    }
}

impl HealthSource for Ticker {
    fn health(&self) -> Health {
        let running = self.state() == ComponentState::Running;
        Health::of(running).with("ticker", running)
    }
}

type Shown = Entry<Ticker>;

static RUNNING: &[Shown] = &[Shown::gauge(
    "running",
    "ticker_running",
    "Whether it ticks.",
    |ticker| (ticker.state() == ComponentState::Running).into(),
)];
static TICKS: &[Shown] = &[Shown::counter(
    "ticks",
    "ticker_ticks_total",
    "Ticks so far.",
    |ticker| ticker.ticks.get().into(),
)];
static TICKER: Part = Part::new("ticker", "What it has done.");

impl StatsSource for Ticker {
    fn show(&self, sheet: &mut dyn Sheet) {
        sheet.table(RUNNING, self);
        sheet.part(&TICKER, |sheet| sheet.table(TICKS, self));
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let ticker = Arc::new(Ticker::default());
    let sources = Sources::new(ticker.clone(), ticker.clone(), Arc::new(SystemClock));
    let config = HttpConfig {
        host: Ipv4Addr::LOCALHOST.into(),
        ..HttpConfig::default()
    };
    let ticks = Arc::clone(&ticker.ticks);
    let server = HttpServer::builder(config, sources)
        .service("ticker", "1.0")
        .route(Route::get("/ticks", "how many there were", move |_call| {
            let ticks = ticks.get();
            Reply::json(StatusCode::OK, &json!({ "ticks": ticks }))
        }))?
        .asset("/about", "text/plain; charset=utf-8", "It counts.\n")?
        .build();

    // In order, and back in reverse.
    ticker.start().await?;
    server.start().await?;
    if let Some(address) = server.local_addr() {
        let mut out = std::io::stdout();
        writeln!(out, "curl http://{address}/ticks   (Ctrl-C ends)")?;
    }
    tokio::signal::ctrl_c().await?;
    server.stop().await;
    ticker.stop().await;
    Ok(())
}
