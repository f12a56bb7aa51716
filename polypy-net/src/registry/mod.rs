//! Every known asset: its status, its connection, its market.
//!
//! The table between discovery and the pool. An asset is *pending* (known, on
//! no connection), *subscribed* (on exactly one) or *expired* (its market has
//! ended; on none, or still on the one that has yet to drop it). Discovery
//! writes markets in, the pool moves assets between connections, readers count.
//! Both tokens of a market appear together wherever assets are handed out.
//!
//! The registry decides nothing: not which connection takes an asset, nor when
//! a market has ended. It owns the [`Interner`] and is the only one to write
//! it; decoders hold the read side. Lock order: tables, then interner.

mod names;
mod place;
mod stats;
mod tables;

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use polypy_core::metrics::Sheet;
use polypy_core::{
    AssetId, AssetInfo, AssetKey, BoxFuture, Component, ComponentError, ComponentState,
    ConditionId, Health, HealthSource, Interner, Lifecycle, Market, MarketSource, StatsSource,
};
use tokio::sync::Notify;

use crate::task::{not_started, not_stopped};

use stats::Known;
use tables::Tables;

const NAME: &str = "registry";

/// A connection's number, reused after it closes. Shown as `conn-7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conn-{}", self.0)
    }
}

/// Where an asset stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AssetStatus {
    /// Waits for a connection.
    Pending,
    /// On a connection.
    Subscribed,
    /// Its market has ended.
    Expired,
}

/// One market's tokens that wait for a connection.
#[derive(Debug, Clone)]
pub struct PendingMarket {
    /// Its id.
    pub condition_id: ConditionId,
    /// Its pending tokens: they go to one connection together.
    pub assets: Vec<Arc<AssetInfo>>,
    /// Where another token of the market is subscribed already: these belong there.
    pub connection: Option<ConnectionId>,
}

/// What came of taking a market in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Upserted {
    /// It was not known.
    pub added: bool,
    /// Keys of tokens that had left it and are back, under new keys: these
    /// never name anything again.
    pub forgotten: Vec<AssetKey>,
}

/// What one connection holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionLoad {
    /// Assets subscribed on it.
    pub subscribed: usize,
    /// Expired assets that it has yet to drop.
    pub expired: usize,
}

impl ConnectionLoad {
    /// Assets held in all.
    pub fn total(self) -> usize {
        self.subscribed + self.expired
    }
}

/// The markets that are known and the whereabouts of their tokens.
#[derive(Debug, Default)]
pub struct AssetRegistry {
    interner: Arc<RwLock<Interner>>,
    tables: RwLock<Tables>,
    changed: Notify,
    life: Lifecycle<()>,
}

impl AssetRegistry {
    /// The table from id text to key, for decoders and readers.
    pub fn interner(&self) -> &Arc<RwLock<Interner>> {
        &self.interner
    }

    /// Woken when something became pending, expired or abandoned. Remembers one wake-up
    /// while nobody waits; made for a single waiter, the pool.
    pub fn changed(&self) -> &Notify {
        &self.changed
    }

    /// Takes a market in, or what has changed about a known one. A known
    /// asset's key and status stay, also of tokens that the market no longer
    /// lists: they wait for [`Self::delist`]. An expired market stays expired.
    pub fn upsert(&self, market: impl Into<Arc<Market>>) -> Upserted {
        let mut market = market.into();
        {
            let tables = self.tables.read();
            tables.complete(&mut market);
            if tables.is_same(&market) {
                return Upserted::default();
            }
        }
        let outcome = {
            let mut tables = self.tables.write();
            tables.upsert(market, &mut self.interner.write())
        };
        if outcome.moved {
            self.changed.notify_one();
        }
        outcome.upserted
    }

    /// Ends a token that its live market no longer lists; whether it is one.
    pub fn delist(&self, asset: AssetKey) -> bool {
        let is_delisted = self.tables.write().delist(asset);
        if is_delisted {
            self.changed.notify_one();
        }
        is_delisted
    }

    /// At most `limit` markets with pending tokens, oldest first.
    pub fn pending(&self, limit: usize) -> Vec<PendingMarket> {
        self.tables.read().pending(limit, &self.interner.read())
    }

    /// Puts assets on `connection`: pending ones become subscribed, subscribed
    /// ones move, expired ones move and stay expired. Unknown ones are ignored.
    pub fn assign(&self, assets: &[AssetKey], connection: ConnectionId) {
        let expired = {
            let mut tables = self.tables.write();
            tables.assign(assets, connection);
            tables.load(connection).expired > 0
        };
        if expired {
            self.changed.notify_one();
        }
    }

    /// Takes assets off their connection: subscribed ones become pending again,
    /// expired ones are held by nobody from now on.
    pub fn release(&self, assets: &[AssetKey]) {
        if self.tables.write().release(assets) {
            self.changed.notify_one();
        }
    }

    /// The connection that holds an asset.
    pub fn connection_of(&self, asset: AssetKey) -> Option<ConnectionId> {
        self.tables.read().connection_of(asset)
    }

    /// Where an asset stands; `None` once forgotten.
    pub fn status(&self, asset: AssetKey) -> Option<AssetStatus> {
        self.tables.read().status(asset)
    }

    /// Subscribed and expired assets held by a connection, in order of key.
    pub fn assets_on(&self, connection: ConnectionId) -> Vec<Arc<AssetInfo>> {
        let tables = self.tables.read();
        let interner = self.interner.read();
        tables
            .held_by(connection)
            .filter_map(|key| interner.info(key).cloned())
            .collect()
    }

    /// Assets of `connection` that have expired since and should be unsubscribed.
    pub fn expired_on(&self, connection: ConnectionId) -> Vec<Arc<AssetInfo>> {
        let tables = self.tables.read();
        let interner = self.interner.read();
        tables
            .expired_on(connection)
            .filter_map(|key| interner.info(key).cloned())
            .collect()
    }

    /// How much a connection holds, and how much of it is dead weight.
    pub fn load(&self, connection: ConnectionId) -> ConnectionLoad {
        self.tables.read().load(connection)
    }

    /// Assets that are (pending, subscribed, expired).
    pub fn counts(&self) -> (usize, usize, usize) {
        self.tables.read().counts()
    }

    /// Ends a market. Returns the assets that were not expired before.
    pub fn expire(&self, condition: &ConditionId) -> Vec<AssetKey> {
        let keys = self.tables.write().expire(condition);
        if !keys.is_empty() {
            self.changed.notify_one();
        }
        keys
    }

    /// Forgets a market and its assets, whatever has become of them; their keys never
    /// name anything again. Returns those keys. A connection that has them is told by the
    /// pool ([`Self::take_abandoned`]).
    pub fn forget(&self, condition: &ConditionId) -> Vec<AssetKey> {
        let (keys, is_any_abandoned) = {
            let mut tables = self.tables.write();
            let keys = tables.forget(condition, &mut self.interner.write());
            (keys, tables.has_abandoned())
        };
        if is_any_abandoned {
            self.changed.notify_one();
        }
        keys
    }

    /// Assets that were forgotten while a connection had them, each once: whoever
    /// carries them is to let go.
    pub fn take_abandoned(&self) -> Vec<AssetKey> {
        if !self.tables.read().has_abandoned() {
            return Vec::new();
        }
        self.tables.write().take_abandoned()
    }

    /// What is known of a market.
    pub fn market(&self, condition: &ConditionId) -> Option<Arc<Market>> {
        self.tables.read().market(condition)
    }

    /// Whether a market is known and has not ended.
    pub fn is_live(&self, condition: &ConditionId) -> bool {
        self.tables.read().is_live(condition)
    }

    /// Notes which token of a market won; whether it is one of its tokens.
    pub fn decide(&self, condition: &ConditionId, winner: &AssetId) -> bool {
        self.tables.write().decide(condition, winner)
    }

    /// The token that won, of a market that has ended, as far as that is known.
    pub fn winner(&self, condition: &ConditionId) -> Option<AssetId> {
        self.tables.read().winner(condition)
    }

    /// The token that was said to have won, of a market that may be about to end.
    pub(crate) fn decided(&self, condition: &ConditionId) -> Option<AssetId> {
        self.tables.read().decided(condition)
    }

    /// The market of this name in the venue's addresses.
    pub fn named(&self, slug: &str) -> Option<ConditionId> {
        self.tables.read().named(slug)
    }

    /// The markets of the event of this name, ended ones included until they are forgotten.
    pub fn of_event(&self, slug: &str) -> Vec<ConditionId> {
        self.tables.read().of_event(slug)
    }

    /// The assets of a market, in the venue's order of outcomes.
    pub fn assets_of(&self, condition: &ConditionId) -> Vec<AssetKey> {
        self.tables.read().assets_of(condition)
    }

    /// The markets that have not ended, in no particular order.
    pub fn live_conditions(&self) -> Vec<ConditionId> {
        self.tables.read().live_conditions()
    }

    /// Markets that have not ended.
    pub fn live_market_count(&self) -> usize {
        self.tables.read().live_market_count()
    }

    /// Markets known, ended ones included until they are forgotten.
    pub fn market_count(&self) -> usize {
        self.tables.read().market_count()
    }
}

impl Component for AssetRegistry {
    fn name(&self) -> &'static str {
        NAME
    }

    fn start(&self) -> BoxFuture<'_, Result<(), ComponentError>> {
        Box::pin(async {
            match self.life.begin_start() {
                Ok(starting) => starting.running(()),
                Err(state) => not_started(NAME, state),
            }
            Ok(())
        })
    }

    /// Stops it; what it knows stays readable.
    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if let Err(state) = self.life.begin_stop() {
                not_stopped(NAME, state);
            }
        })
    }

    fn state(&self) -> ComponentState {
        self.life.state()
    }
}

impl HealthSource for AssetRegistry {
    fn health(&self) -> Health {
        Health::of(self.state() == ComponentState::Running)
    }
}

impl StatsSource for AssetRegistry {
    fn show(&self, sheet: &mut dyn Sheet) {
        let known = {
            let tables = self.tables.read();
            let (pending, subscribed, expired) = tables.counts();
            Known {
                pending,
                subscribed,
                expired,
                markets: tables.market_count(),
                live_markets: tables.live_market_count(),
                conflicts: tables.conflicts(),
            }
        };
        known.show(sheet);
    }
}

impl MarketSource for AssetRegistry {
    fn markets(&self) -> Vec<Arc<Market>> {
        self.tables.read().subscribed_markets()
    }

    fn version(&self) -> u64 {
        self.tables.read().version()
    }
}

#[cfg(test)]
mod tests;
