//! The hub over workers and a catalogue that tests direct.

mod conflation;
mod deltas;
mod follower;
mod histories;
mod join;
mod loss;
mod model;
mod pace;
mod resume;
mod slow;
mod stuck;
mod world;

use std::collections::{BTreeMap, HashMap};

use parking_lot::Mutex;
use polypy_core::{
    AssetId, AssetInfo, BookChange, BookHash, BookPosition, BookState, BookStatus, CatalogueSink,
    ChangeSink, ConditionId, EventRef, Interner, LastTrade, LevelChange, LevelSet, Market,
    MarketChange, OrderBook, Price, Selector, Side, Size, StaleReason, StatusChange, Timestamp,
    Token, TokenInfo, TradeKept, WholeBook,
};
use tokio::sync::oneshot;

use super::*;
use crate::client::{Client, Door, Streams, SubscribeError};
use crate::config::StreamConfig;
use crate::cursor::Cursor;
use crate::filter::{Channel, Channels, Filter, Mode};
use crate::message::{Event, GapReason, GapScope, Published};
use crate::outbox::Batch;
use follower::Follower;
use model::{Inner, LANES, Model, Truth, Wall, lane_of, market, price};
use world::{World, book_of, deltas, names, one_book, read, with_mode, world};
