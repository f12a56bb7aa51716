//! A faithful Polymarket on loopback: Gamma REST, CLOB REST, the market
//! WebSocket and a control interface on one port, in one process.
//!
//! It is the peer of every end-to-end test and of the demonstration. Flow is
//! seeded: the same seed gives the same markets and the same sequence of events,
//! whatever clients do; only time stamps come from the clock that is handed in.
//! Every book and every change carries the venue's own hash, and the true book
//! of every asset can be asked for, in code and by `GET /sim/book/{asset_id}`.
//!
//! Not simulated: orders of clients, accounts, the user channel, rate limits
//! (other than by fault), other venues.
//!
//! | file | idea |
//! |---|---|
//! | `catalogue`, `subject`, `flow` | the seeded world: which markets, what they are about, what happens next |
//! | `venue`, `journal` | the truth: books, sequences, hashes, and the newest states there were |
//! | `recording`, `lines`, `effects`, `listed`, `inference` | a recording: its markets, its frames, what they do |
//! | `reading`, `once`, `mixer`, `feed`, `player` | played in place of the flow |
//! | `exchange`, `publication`, `subscription`, `delivery` | who gets what and in which order |
//! | `fault_kind`, `fault_table`, `fault`, `fault_set`, `script` | what can go wrong, is going wrong and will go wrong |
//! | `disturbance`, `lies`, `lag`, `mangle` | what that makes of frames, of the truth, of time and of texts |
//! | `render`, `request` | the wire: what is sent, what is understood |
//! | `gamma`, `gamma_filter`, `gamma_row`, `gamma_view`, `clob`, `control` | the REST side |
//! | `server`, `socket`, `outbox`, `driver`, `timeline` | sockets, tasks and time |
//! | `sim`, `sim_control` | the running exchange, for the program that embeds it |
//!
//! ```no_run
//! # async fn demo(clock: std::sync::Arc<dyn polypy_core::Clock>) -> Result<(), polypy_sim::SimError> {
//! use polypy_sim::{Sim, SimConfig};
//!
//! let sim = Sim::start(SimConfig { markets: 50, ..SimConfig::default() }, clock).await?;
//! println!("{} {}", sim.gamma_url(), sim.ws_url());
//! let asset = &sim.assets()[0];
//! println!("{:?}", sim.true_book(asset));
//! sim.stop().await;
//! # Ok(())
//! # }
//! ```

mod catalogue;
mod flow;
mod journal;
mod subject;
mod venue;
mod waiting;

mod effects;
mod feed;
mod inference;
mod lines;
mod listed;
mod midst;
mod mixer;
mod once;
mod played;
mod player;
mod reading;
mod recording;

mod delivery;
mod disturbance;
mod exchange;
mod publication;
mod subscription;

mod fault;
mod fault_kind;
mod fault_set;
mod fault_table;
mod lag;
mod lies;
mod mangle;
mod script;

mod render;
mod request;

mod clob;
mod control;
mod gamma;
mod gamma_filter;
mod gamma_row;
mod gamma_view;
mod http;

mod driver;
mod outbox;
mod server;
mod sim;
mod sim_control;
mod socket;
mod timeline;
mod world;

mod config;
mod error;
mod stats;

pub use config::SimConfig;
pub use error::SimError;
pub use fault::{Fault, FaultError};
pub use fault_kind::{FaultInfo, FaultKind, Parameter, Scope, Values};
pub use fault_table::FAULTS;
pub use journal::{JournalEntry, Served, Withheld, digest};
pub use script::{Script, ScriptError, ScriptMistake};
pub use sim::{Sim, SimHandle};
pub use sim_control::{FlowState, SimControl};
pub use stats::{PlaybackStats, SimStats, Totals};
pub use venue::TrueBook;
