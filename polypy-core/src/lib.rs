//! Order books, exact prices and the contracts every PolyPy layer speaks.
//!
//! This crate does no I/O and spawns nothing: it is the part others reuse. Time is
//! handed in; [`SystemClock`] is there for programs to do so, and nothing here asks it.
//! Three groups of modules:
//!
//! | group | modules |
//! |---|---|
//! | the domain | [`id`], [`key`], [`intern`], [`price`], [`size`], [`slug`], [`market`], [`event`], [`level`], [`book`], [`history`], [`fingerprint`], [`time`] |
//! | below both | [`token_bucket`] |
//! | the contracts between layers | [`component`], [`lifecycle`], [`health`], [`probe`], [`stats`], [`metrics`], [`feed`], [`frames`], [`recording`], [`source`], [`change`], [`checkpoint`], [`catalogue`], [`suspension`] |
//!
//! A book kept from exact decimals:
//!
//! ```
//! use polypy_core::{Level, OrderBook, Price, Side, Size};
//!
//! let mut book = OrderBook::default();
//! book.apply_snapshot(
//!     vec![Level::new("0.48".parse()?, "100".parse()?)],
//!     vec![Level::new("0.52".parse()?, "120.5".parse()?)],
//! );
//! book.apply_change(Side::Bid, "0.4925".parse()?, "7".parse()?);
//!
//! assert_eq!(book.best_bid().unwrap().price.to_string(), "0.4925");
//! assert_eq!(book.spread().unwrap().to_string(), "0.0275");
//! # Ok::<(), polypy_core::DecimalError>(())
//! ```

pub mod change;
pub mod checkpoint;
pub mod component;
pub mod connection;
pub mod health;
pub mod lifecycle;
pub mod metrics;
pub mod probe;
pub mod stats;

pub mod feed;
pub mod frames;
pub mod recording;
pub mod source;
pub mod suspension;

pub mod book;
pub mod catalogue;
mod cell;
pub mod decimal;
pub mod event;
pub mod fingerprint;
mod hex;
pub mod history;
pub mod id;
mod id_table;
pub mod intern;
pub mod key;
pub mod level;
mod levels;
pub mod market;
pub mod price;
mod render;
pub mod size;
pub mod slug;
pub mod time;
pub mod token_bucket;

pub use book::OrderBook;
pub use catalogue::{
    CatalogueSink, CatalogueSource, Cents, Figures, Listed, MarketChange, MarketEntry,
    MarketNumber, MarketStatus, NotFollowed, Resolution, ResolutionSource, Selector, Tag, TagId,
    TokenInfo, Verdict,
};
pub use change::{
    BookChange, BookPosition, BookStatus, ChangeSink, ChangeSource, Lane, LevelSet, StatusChange,
    TradeKept, WholeBook,
};
pub use checkpoint::{Checkpoint, CheckpointSource, Copied};
pub use component::{BoxFuture, Component, ComponentError, ComponentState};
pub use connection::{ConnectionEnd, ConnectionReport, ConnectionSource};
pub use decimal::{DecimalError, DecimalText, SignedDecimal};
pub use event::{
    BestBidAsk, BookEvent, LifecycleEvent, MarketEvent, MarketResolved, NewMarket, PriceChange,
    TickSizeChange, Top, Trade,
};
pub use feed::{AuditSink, BookControl, EventSink, FeedId, Owner, ResyncSink, Scope, StaleReason};
pub use fingerprint::BookHash;
pub use frames::{Answer, Asked, BookOrigin, FrameSink, Opened, Purpose, SocketId, SocketSink};
pub use health::{Health, HealthSource, Reason};
pub use history::{HistoryPoint, TopHistory};
pub use id::{AssetId, ConditionId, IdError};
pub use intern::Interner;
pub use key::{AssetKey, SHARDS, Shard};
pub use level::{Change, LEVEL_BYTES, Level, LevelChange, Side};
pub use lifecycle::{Lifecycle, Starting, Stopping};
pub use market::{AssetInfo, EventRef, Group, Market, Token};
pub use price::Price;
pub use size::Size;
pub use source::{
    BookLookup, BookSource, BookState, BookTop, BookView, LastTrade, MarketSource, TradesLookup,
    TradesView,
};
pub use stats::StatsSource;
pub use suspension::SuspensionWatch;
pub use time::{Clock, SystemClock, Timestamp};
pub use token_bucket::TokenBucket;
