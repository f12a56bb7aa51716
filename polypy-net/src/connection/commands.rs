//! What the pool has told a connection and the connection has not seen yet.
//!
//! Not a queue but a state: per asset the latest command wins, so that it is
//! bounded by the assets concerned, nothing is ever dropped, and who commands
//! never waits. There is one reader: the connection's task.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use polypy_core::{AssetInfo, AssetKey, StaleReason};
use tokio::sync::Notify;

use super::change_log::ChangeLog;
use super::lag::{LagComparison, Replica};

/// The latest command on one asset.
#[derive(Debug, Clone)]
pub(super) enum AssetCommand {
    /// Carry it.
    Subscribe(Arc<AssetInfo>),
    /// Stop carrying it: its market has ended.
    Unsubscribe,
    /// Stop carrying it: another connection will. Answered by
    /// [`super::ConnectionView::report`].
    Depart,
    /// Get a fresh snapshot of it, if it is carried.
    Resubscribe(StaleReason),
}

/// Every command since the last look.
#[derive(Debug, Default)]
pub(super) struct PendingCommands {
    /// By asset; a market's tokens are neighbours.
    pub(super) assets: BTreeMap<AssetKey, AssetCommand>,
    /// A replacement may hand over what it held back, and delivers from now on.
    pub(super) take_over: bool,
    /// The connection serves on, and does not reopen once its socket ends.
    pub(super) retire: bool,
    /// What it brings is to be written here.
    pub(super) log: Option<Arc<ChangeLog>>,
    /// What it brings is measured against another connection.
    pub(super) lag: Option<(Arc<LagComparison>, Replica)>,
    /// The connection is to end.
    pub(super) close: bool,
}

/// The mailbox between the pool and one connection.
#[derive(Debug, Default)]
pub(super) struct CommandMailbox {
    pending: Mutex<PendingCommands>,
    arrived: Notify,
}

impl CommandMailbox {
    pub(super) fn subscribe(&self, assets: impl IntoIterator<Item = Arc<AssetInfo>>) {
        self.put(|pending| {
            for info in assets {
                pending
                    .assets
                    .insert(info.key, AssetCommand::Subscribe(info));
            }
        });
    }

    pub(super) fn unsubscribe(&self, assets: &[AssetKey]) {
        self.put(|pending| {
            for &key in assets {
                pending.assets.insert(key, AssetCommand::Unsubscribe);
            }
        });
    }

    pub(super) fn depart(&self, assets: &[AssetKey]) {
        self.put(|pending| {
            for &key in assets {
                pending.assets.insert(key, AssetCommand::Depart);
            }
        });
    }

    pub(super) fn resubscribe(&self, assets: &[(AssetKey, StaleReason)]) {
        self.put(|pending| {
            for &(key, reason) in assets {
                // What is about to be subscribed or dropped needs no second command.
                pending
                    .assets
                    .entry(key)
                    .or_insert(AssetCommand::Resubscribe(reason));
            }
        });
    }

    pub(super) fn take_over(&self) {
        self.put(|pending| pending.take_over = true);
    }

    pub(super) fn record(&self, log: &Arc<ChangeLog>) {
        self.put(|pending| pending.log = Some(Arc::clone(log)));
    }

    pub(super) fn compare(&self, comparison: &Arc<LagComparison>, replica: Replica) {
        self.put(|pending| pending.lag = Some((Arc::clone(comparison), replica)));
    }

    pub(super) fn retire(&self) {
        self.put(|pending| pending.retire = true);
    }

    pub(super) fn close(&self) {
        self.put(|pending| pending.close = true);
    }

    /// Waits until there is one. Remembers one wake-up.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Empties the mailbox.
    pub(super) fn take(&self) -> PendingCommands {
        std::mem::take(&mut *self.pending.lock())
    }

    fn put(&self, command: impl FnOnce(&mut PendingCommands)) {
        command(&mut self.pending.lock());
        self.arrived.notify_one();
    }
}
