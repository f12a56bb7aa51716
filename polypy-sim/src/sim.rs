//! The running exchange, for the program that embeds it.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use polypy_core::recording::{RecordingError, RecordingSource};
use polypy_core::{AssetId, Clock};
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::{self, SimConfig};
use crate::error::SimError;
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::feed::Feed;
use crate::journal::{JournalEntry, Served, Withheld};
use crate::reading::Reading;
use crate::recording::Recording;
use crate::script::Script;
use crate::sim_control::SimControl;
use crate::stats::SimStats;
use crate::venue::TrueBook;
use crate::world::{Tasks, World};
use crate::{driver, server};

/// Connections the kernel may queue before they are accepted.
const BACKLOG: u32 = 1_024;

/// Starts exchanges.
#[derive(Debug, Clone, Copy)]
pub struct Sim;

impl Sim {
    /// Whether an exchange could start with these settings: reads the files that they
    /// name, and opens nothing.
    ///
    /// # Errors
    /// The first value that cannot work, or the file that cannot be used.
    pub async fn check(config: &SimConfig) -> Result<(), SimError> {
        read_files(config).await?;
        Ok(())
    }

    /// Starts an exchange within the current Tokio runtime. Time stamps in its
    /// frames are read from `clock`.
    ///
    /// # Errors
    /// [`SimError`] when a setting is unusable, the address is taken or the
    /// recording cannot be read; nothing is left running then.
    pub async fn start(config: SimConfig, clock: Arc<dyn Clock>) -> Result<SimHandle, SimError> {
        let (recording, script) = read_files(&config).await?;
        Self::begin(config, clock, recording, 0..u64::MAX, script)
    }

    /// Starts an exchange that plays a recording, of which what is within `span` is seen, in
    /// nanoseconds since the epoch: what is before makes the books that it begins with. What
    /// the settings say of the flow does not count.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn play(
        config: SimConfig,
        clock: Arc<dyn Clock>,
        source: Box<dyn RecordingSource>,
        span: Range<u64>,
    ) -> Result<SimHandle, SimError> {
        config.validate()?;
        let read = tokio::task::spawn_blocking(move || Recording::of(source));
        let read = read
            .await
            .unwrap_or_else(|died| Err(RecordingError::new(died)));
        let mut recording = read.map_err(SimError::Source)?.ok_or(SimError::NoTokens)?;
        recording.jumps_pauses = true;
        Self::begin(config, clock, Some(recording), span, None)
    }

    fn begin(
        config: SimConfig,
        clock: Arc<dyn Clock>,
        recording: Option<Recording>,
        span: Range<u64>,
        script: Option<Script>,
    ) -> Result<SimHandle, SimError> {
        let address = config.listen;
        let listen = |source| SimError::Listen { address, source };
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        };
        let socket = socket.map_err(listen)?;
        socket.set_reuseaddr(true).map_err(listen)?;
        if let Some(bytes) = config.kernel_send_buffer {
            socket.set_send_buffer_size(bytes).map_err(listen)?;
        }
        socket.bind(address).map_err(listen)?;
        let listener = socket.listen(BACKLOG).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;

        let config = Arc::new(config);
        let mut exchange = Exchange::new(Arc::clone(&config), clock, recording.is_some());
        if let Some(recording) = recording {
            exchange.list(&recording);
            let frames = recording.frames;
            let reading = Reading::new(recording, span);
            let feed = Feed::start(reading, config.playback_loops).map_err(SimError::Thread)?;
            exchange.load(feed, frames);
        }
        if let Some(script) = script {
            exchange.begin(script);
        }
        let (stop, stopping) = watch::channel(false);
        let world = Arc::new(World {
            config,
            counters: Arc::clone(&exchange.counters),
            wake: Arc::clone(&exchange.wake),
            exchange: Mutex::new(exchange),
            stop: stopping,
            tasks: Tasks::default(),
        });
        let server = tokio::spawn(server::accept(listener, Arc::clone(&world)));
        let driver = tokio::spawn(driver::drive(Arc::clone(&world)));
        tracing::info!(%address, "simulated exchange listens");
        Ok(SimHandle {
            address,
            world,
            stop,
            server,
            driver,
        })
    }
}

/// What the files hold that the settings name, once these are known to make sense.
async fn read_files(config: &SimConfig) -> Result<(Option<Recording>, Option<Script>), SimError> {
    config.validate()?;
    let recording = match config.playback.clone() {
        Some(path) => Some(read_recording(path).await?),
        None => None,
    };
    let script = match config.script.clone() {
        Some(path) => Some(read_script(path).await?),
        None => None,
    };
    Ok((recording, script))
}

/// Reads a recording on a thread that may block: it can be large.
async fn read_recording(path: PathBuf) -> Result<Recording, SimError> {
    let named = path.clone();
    match tokio::task::spawn_blocking(move || Recording::read(&path)).await {
        Ok(recording) => recording,
        Err(source) => Err(SimError::Recording {
            path: named,
            source: source.into(),
        }),
    }
}

/// Reads a script, on a thread that may block.
async fn read_script(path: PathBuf) -> Result<Script, SimError> {
    let named = path.clone();
    let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path));
    let text: io::Result<String> = read.await.unwrap_or_else(|died| Err(died.into()));
    match text {
        Ok(text) => Script::parse(&text).map_err(|source| SimError::Script {
            path: named,
            source,
        }),
        Err(source) => Err(SimError::ScriptFile {
            path: named,
            source,
        }),
    }
}

/// A running exchange. Dropping it ends every task soon; [`SimHandle::stop`]
/// waits for that.
#[derive(Debug)]
pub struct SimHandle {
    address: SocketAddr,
    world: Arc<World>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    driver: JoinHandle<()>,
}

impl SimHandle {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Gamma's base address, without a slash at its end.
    pub fn gamma_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// CLOB's base address, without a slash at its end.
    pub fn clob_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The market socket's address.
    pub fn ws_url(&self) -> String {
        format!("ws://{}/ws/market", self.address)
    }

    /// What reaches it from other tasks, for as long as they like.
    pub fn control(&self) -> SimControl {
        SimControl::new(&self.world)
    }

    /// Stops the flow after the current step. What is queued or scheduled
    /// still goes out, so that every reader can reach equality with the truth.
    pub fn pause(&self) {
        self.world.exchange.lock().paused = true;
    }

    /// Lets the flow go on.
    pub fn resume(&self) {
        self.world.exchange.lock().paused = false;
        self.world.wake.notify_one();
    }

    /// Lets the flow run at another rate, in events a second, from now on. A
    /// recording is not concerned. The sequence of events no longer depends on
    /// the seed alone if markets are announced or settled.
    ///
    /// # Errors
    /// [`SimError::Config`] when the rate is not 0 to 10,000,000.
    pub fn set_rate(&self, events_per_second: f64) -> Result<(), SimError> {
        config::check_rate(events_per_second)?;
        self.world.exchange.lock().set_rate(events_per_second);
        Ok(())
    }

    /// An asset's true book at this moment; `None` for an unknown asset.
    pub fn true_book(&self, asset_id: &AssetId) -> Option<TrueBook> {
        self.world.exchange.lock().venue.true_book(asset_id)
    }

    /// Every asset there ever was, both tokens of a market in succession.
    pub fn assets(&self) -> Vec<AssetId> {
        let exchange = self.world.exchange.lock();
        exchange
            .venue
            .tokens()
            .map(|(_, token)| token.info.asset_id.clone())
            .collect()
    }

    /// The figures of this moment.
    pub fn stats(&self) -> SimStats {
        self.world.exchange.lock().stats()
    }

    /// Switches a fault on and returns its id. One that strikes once (a drop, a
    /// close, a giant frame without a duration) is off again when this returns.
    pub fn add_fault(&self, fault: Fault) -> u64 {
        self.world.exchange.lock().add_fault(fault, None)
    }

    /// Switches a fault off; false if it was not on.
    pub fn remove_fault(&self, id: u64) -> bool {
        self.world.exchange.lock().faults.remove(id)
    }

    /// Switches every fault off and says how many there were.
    pub fn clear_faults(&self) -> usize {
        self.world.exchange.lock().faults.clear()
    }

    /// Runs a script of faults; its times count from now.
    pub fn run_script(&self, script: Script) {
        self.world.exchange.lock().begin(script);
        self.world.wake.notify_one();
    }

    /// The newest states of an asset that were ever the truth, oldest first, as
    /// many as [`SimConfig::journal`] says; empty for an unknown asset.
    pub fn journal(&self, asset_id: &AssetId) -> Vec<JournalEntry> {
        self.world.exchange.lock().journal(asset_id)
    }

    /// The newest events of an asset's book that a fault kept from reaching
    /// anyone, or one socket, oldest first. Kept only with a journal.
    pub fn withheld(&self, asset_id: &AssetId) -> Vec<Withheld> {
        self.world.exchange.lock().withheld(asset_id)
    }

    /// Whether there were more such events than are kept: the oldest are missing, and
    /// what they were about seems to have been told.
    pub fn is_journal_cut(&self) -> bool {
        self.world.exchange.lock().is_journal_cut()
    }

    /// The newest states of an asset that REST answered as the present one,
    /// oldest first. Kept only with a journal.
    pub fn served(&self, asset_id: &AssetId) -> Vec<Served> {
        self.world.exchange.lock().served(asset_id)
    }

    /// The ids of the sockets that are open, oldest first: what faults name.
    pub fn connections(&self) -> Vec<u64> {
        self.world
            .exchange
            .lock()
            .sessions
            .keys()
            .copied()
            .collect()
    }

    /// Ends everything and joins it: sockets get a close frame 1001.
    pub async fn stop(self) {
        // No receiver means that every task has ended already.
        if self.stop.send(true).is_err() {
            tracing::debug!("no task of the exchange was left");
        }
        for task in [self.server, self.driver] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the exchange died");
            }
        }
        self.world.tasks.join().await;
        tracing::info!(address = %self.address, "simulated exchange stopped");
    }
}
