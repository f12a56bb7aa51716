//! One connection as the pool's owner keeps it.

use std::collections::BTreeMap;
use std::sync::Arc;

use polypy_core::{AssetInfo, AssetKey, FeedId};

use crate::connection::{Connection, ConnectionState};

/// A connection and what was put on it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) connection: Connection,
    /// Its state as of the owner's last look: what all decisions of one pass see.
    pub(super) state: ConnectionState,
    pub(super) members: BTreeMap<AssetKey, Arc<AssetInfo>>,
    /// Assets it should hold: the configured number, less after it was too much.
    pub(super) target: usize,
    /// It is being replaced, or is the replacement: its set stands still.
    pub(super) migrating: bool,
    /// It was told to end; only its task's end is awaited.
    pub(super) closing: bool,
    /// It carries what another one does: nothing is placed on it by itself.
    pub(super) second: bool,
}

impl Slot {
    pub(super) fn new(connection: Connection, target: usize) -> Self {
        Self {
            state: connection.view().state(),
            connection,
            members: BTreeMap::new(),
            target,
            migrating: false,
            closing: false,
            second: false,
        }
    }

    /// Room for more assets, up to `limit`, if its socket is newer than a feed: what
    /// left a socket is not put on it again, nor on one that is older.
    pub(super) fn room(&self, limit: usize, newer_than: FeedId) -> usize {
        let too_old = self.state.feed().is_some_and(|feed| feed <= newer_than);
        if self.migrating || self.closing || self.second || too_old {
            0
        } else {
            limit.saturating_sub(self.members.len())
        }
    }

    /// Puts assets on it.
    pub(super) fn add(&mut self, assets: &[Arc<AssetInfo>]) {
        for info in assets {
            self.members.insert(info.key, Arc::clone(info));
        }
        self.connection.subscribe(assets.iter().cloned());
    }

    /// Takes assets off it.
    pub(super) fn remove(&mut self, assets: &[AssetKey]) {
        for key in assets {
            self.members.remove(key);
        }
        self.connection.unsubscribe(assets);
    }

    /// Takes assets off it that another connection carries, or will.
    pub(super) fn depart(&mut self, assets: &[AssetKey]) {
        for key in assets {
            self.members.remove(key);
        }
        self.connection.depart(assets);
    }

    pub(super) fn keys(&self) -> Vec<AssetKey> {
        self.members.keys().copied().collect()
    }

    /// The half of its assets to move elsewhere, whole markets only. Empty when
    /// it holds a single market.
    pub(super) fn upper_half(&self) -> Vec<AssetKey> {
        let mut markets: Vec<Vec<AssetKey>> = Vec::new();
        let mut place: BTreeMap<&str, usize> = BTreeMap::new();
        for info in self.members.values() {
            let at = *place.entry(info.condition_id.as_str()).or_insert_with(|| {
                markets.push(Vec::new());
                markets.len() - 1
            });
            if let Some(market) = markets.get_mut(at) {
                market.push(info.key);
            }
        }
        let kept = markets.len().div_ceil(2);
        markets.into_iter().skip(kept).flatten().collect()
    }
}
