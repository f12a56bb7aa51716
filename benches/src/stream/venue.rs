//! The embedded exchange in a process of its own. The size of every level that a change
//! sets is the time of the change, so that who gets the level can tell how old it is.

use std::sync::Arc;

use polypy_core::{Clock, Timestamp};
use polypy_sim::{Sim, SimConfig, SimHandle};
use serde::{Deserialize, Serialize};

use super::helper::{Helper, serve as take_orders};
use super::{Failure, stamp};
use crate::clock::wall_millis;

/// Makes this program the exchange.
pub const VENUE: &str = "--serve-venue";

#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Start { markets: usize, rate: f64 },
    Count,
}

/// Where an exchange is, and what it trades.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Place {
    /// Gamma's and the CLOB's address.
    pub rest: String,
    /// The market socket's.
    pub socket: String,
    /// The same as host and port.
    pub address: std::net::SocketAddr,
    /// Ids of all tokens.
    pub tokens: Vec<String>,
}

/// What an exchange has sent, and what it could not.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Sent {
    /// Order events and trades.
    pub steps: u64,
    /// Those it was too slow for.
    pub late: u64,
    /// Frames to all sockets.
    pub frames: u64,
    /// Frames it dropped, and sockets that it closed because they were slow.
    pub lost: u64,
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Started(Place),
    Counted(Sent),
}

/// The machine's clock.
struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(wall_millis())
    }
}

/// Serves until the standard input ends.
///
/// # Errors
/// When who started it is gone.
pub fn serve() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let mut running = None;
    take_orders(|order| match order {
        Order::Start { markets, rate } => {
            let config = SimConfig {
                markets,
                events_per_second: rate,
                new_markets_per_minute: 0.0,
                resolve_per_minute: 0.0,
                stamp: Some(stamp),
                ..SimConfig::default()
            };
            let sim = runtime.block_on(Sim::start(config, Arc::new(Wall)))?;
            let place = Place {
                rest: sim.gamma_url(),
                socket: sim.ws_url(),
                address: sim.local_addr(),
                tokens: sim.assets().iter().map(ToString::to_string).collect(),
            };
            running = Some(sim);
            Ok(Answer::Started(place))
        }
        Order::Count => {
            let stats = running.as_ref().map(SimHandle::stats);
            let totals = stats.ok_or("not started")?.totals;
            Ok(Answer::Counted(Sent {
                steps: totals.steps,
                late: totals.steps_late,
                frames: totals.frames_sent,
                lost: totals.closed_slow + totals.frames_dropped + totals.timeline_dropped,
            }))
        }
    })
}

/// This process's end of it.
#[derive(Debug)]
pub struct Venue {
    helper: Helper,
    /// Where it is.
    pub place: Place,
}

impl Venue {
    /// An exchange with so many markets, and so many order events and trades a second.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(markets: usize, rate: f64) -> Result<Self, Failure> {
        let mut helper = Helper::start(VENUE)?;
        match helper.ask(&Order::Start { markets, rate })? {
            Answer::Started(place) => Ok(Self { helper, place }),
            Answer::Counted(_) => Err("the exchange said something else".into()),
        }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.helper.id()
    }

    /// What it has sent so far.
    ///
    /// # Errors
    /// When it is gone.
    pub fn sent(&mut self) -> Result<Sent, Failure> {
        match self.helper.ask(&Order::Count)? {
            Answer::Counted(sent) => Ok(sent),
            Answer::Started(_) => Err("the exchange said something else".into()),
        }
    }
}
