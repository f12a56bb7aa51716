//! What connections hear about markets.
//!
//! The handle never waits: announcements go into a bounded queue, and what does
//! not fit is dropped and counted, for discovery finds it later in any case.

use std::fmt;
use std::sync::Arc;

use polypy_core::{AssetKey, ConditionId, LifecycleEvent, MarketResolved, NewMarket};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::lookup::Lookup;
use super::{Shared, stats};
use crate::venue::LifecycleListener;

/// Where connections say what they hear. Cloning is cheap.
#[derive(Clone)]
pub struct LifecycleHints {
    shared: Arc<Shared>,
    sender: mpsc::Sender<LifecycleEvent>,
}

impl fmt::Debug for LifecycleHints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LifecycleHints").finish_non_exhaustive()
    }
}

impl LifecycleHints {
    pub(super) fn new(shared: Arc<Shared>, sender: mpsc::Sender<LifecycleEvent>) -> Self {
        Self { shared, sender }
    }

    /// Takes an announcement in, if there is room.
    pub fn offer(&self, event: LifecycleEvent) {
        let stats = &self.shared.stats;
        stats::count(match self.sender.try_send(event) {
            Ok(()) => &stats.hints_received,
            // Closed: the controller is gone, and nobody waits for news.
            Err(mpsc::error::TrySendError::Full(_) | mpsc::error::TrySendError::Closed(_)) => {
                &stats.hints_dropped
            }
        });
    }

    /// Has Gamma asked whether the markets of these assets are closed.
    pub fn confirm_gone(&self, assets: &[AssetKey]) {
        let now = Instant::now();
        let conditions: Vec<(ConditionId, AssetKey)> = {
            let interner = self.shared.registry.interner().read();
            assets
                .iter()
                .filter_map(|asset| Some((interner.info(*asset)?.condition_id.clone(), *asset)))
                .collect()
        };
        for (condition, asset) in conditions {
            self.shared.delist(asset);
            if self.shared.registry.is_live(&condition) {
                self.shared.delistings.denied(&condition, asset, now);
            }
            self.shared.ask(Lookup::IsClosed, condition);
        }
    }
}

impl LifecycleListener for LifecycleHints {
    fn offer(&self, event: LifecycleEvent) {
        Self::offer(self, event);
    }

    fn confirm_gone(&self, assets: &[AssetKey]) {
        Self::confirm_gone(self, assets);
    }
}

/// Acts on announcements, for ever.
pub(super) async fn run(
    shared: Arc<Shared>,
    announced: Arc<tokio::sync::Mutex<mpsc::Receiver<LifecycleEvent>>>,
) {
    let mut announced = announced.lock().await;
    while let Some(event) = announced.recv().await {
        match event {
            LifecycleEvent::NewMarket(market) => shared.on_new_market(market),
            LifecycleEvent::Resolved(market) => shared.on_resolved(&market),
        }
    }
}

impl Shared {
    /// The CLOB has no book of this token: if its market no longer lists it,
    /// either, it has ended, and its market goes on.
    fn delist(&self, asset: AssetKey) {
        // It may be released at this moment.
        let _held = self.hold();
        if self.registry.delist(asset) {
            self.books.settle(&[asset]);
            stats::count(&self.stats.tokens_delisted);
            tracing::info!("token has left its market");
        }
    }

    fn on_new_market(&self, announced: NewMarket) {
        stats::count(&self.stats.hints_new_market);
        if !self.hold().is_full() {
            self.ask(Lookup::IsOpen, announced.condition_id);
        }
    }

    fn on_resolved(&self, resolved: &MarketResolved) {
        stats::count(&self.stats.hints_resolved);
        let (winner, at) = (resolved.winner.as_ref(), resolved.at);
        if self.hold().resolve(&resolved.condition_id, winner, at) {
            return;
        }
        // Ids of a market come in more than one spelling; its tokens do not.
        let by_token: Vec<ConditionId> = {
            let interner = self.registry.interner().read();
            resolved
                .asset_ids
                .iter()
                .filter_map(|asset| Some(interner.get(asset.as_str())?.condition_id.clone()))
                .collect()
        };
        for condition in by_token {
            self.hold().resolve(&condition, winner, at);
        }
    }
}
