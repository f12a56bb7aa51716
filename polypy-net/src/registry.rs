//! Every known asset: its status, its connection, its market.
use parking_lot::RwLock;
use polypy_core::{AssetInfo, AssetKey, ConditionId, Interner, Market};
use std::sync::Arc;
use tokio::sync::Notify;
/// A connection's number, reused after it closes. Shown as `conn-7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);
/// The catalogue.
#[derive(Debug, Default)]
pub struct AssetRegistry {
    interner: Arc<RwLock<Interner>>,
    changed: Notify,
}
/// One market's tokens that wait for a connection.
#[derive(Debug, Clone)]
pub struct PendingMarket {
    /// Its id.
    pub condition_id: ConditionId,
    /// Its pending tokens: they go to one connection together.
    pub assets: Vec<Arc<AssetInfo>>,
}
#[expect(missing_docs, unused_variables, reason = "seam only")]
impl AssetRegistry {
    pub fn interner(&self) -> &Arc<RwLock<Interner>> {
        &self.interner
    }
    /// Woken when something became pending or expired.
    pub fn changed(&self) -> &Notify {
        &self.changed
    }
    pub fn upsert(&self, market: Market) -> bool {
        false
    }
    /// Pending markets, oldest first; those with a token already on a connection name it.
    pub fn pending(&self, limit: usize) -> Vec<PendingMarket> {
        Vec::new()
    }
    /// pending → subscribed on `connection` (also moves).
    pub fn assign(&self, assets: &[AssetKey], connection: ConnectionId) {}
    /// subscribed → pending: its connection is gone for good.
    pub fn release(&self, assets: &[AssetKey]) {}
    pub fn connection_of(&self, asset: AssetKey) -> Option<ConnectionId> {
        None
    }
    /// Subscribed and expired assets still held by a connection.
    pub fn assets_on(&self, connection: ConnectionId) -> Vec<Arc<AssetInfo>> {
        Vec::new()
    }
    /// Assets of `connection` that have expired since and should be unsubscribed.
    pub fn expired_on(&self, connection: ConnectionId) -> Vec<Arc<AssetInfo>> {
        Vec::new()
    }
    /// (pending, subscribed, expired).
    pub fn counts(&self) -> (usize, usize, usize) {
        (0, 0, 0)
    }
}
