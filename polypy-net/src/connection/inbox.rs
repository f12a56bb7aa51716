//! What a connection is told, gathered until it looks.
//!
//! Not a queue but a state: per asset the latest word wins, so that it is
//! bounded by the assets concerned, nothing is ever dropped, and whoever tells
//! never waits. There is one reader: the connection's task.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use polypy_core::{AssetInfo, AssetKey, StaleReason};
use tokio::sync::Notify;

use super::race::{Race, Side};
use super::tape::Tape;

/// The latest word on one asset.
#[derive(Debug, Clone)]
pub(super) enum Word {
    /// Carry it.
    Subscribe(Arc<AssetInfo>),
    /// Stop carrying it: its market has ended.
    Unsubscribe,
    /// Stop carrying it: another connection will. Answered by
    /// [`super::ConnectionStats::take_departed`].
    Depart,
    /// Get a fresh snapshot of it, if it is carried.
    Resubscribe(StaleReason),
}

/// Everything said since the last look.
#[derive(Debug, Default)]
pub(super) struct Mail {
    /// By asset; a market's tokens are neighbours.
    pub(super) words: BTreeMap<AssetKey, Word>,
    /// A replacement may hand over what it held back, and delivers from now on.
    pub(super) take_over: bool,
    /// The connection serves on, and does not reopen once its socket ends.
    pub(super) retire: bool,
    /// What it brings is to be written here.
    pub(super) tape: Option<Arc<Tape>>,
    /// What it brings is measured against another connection.
    pub(super) race: Option<(Arc<Race>, Side)>,
    /// The connection is to end.
    pub(super) close: bool,
}

/// The letter box between the pool and one connection.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    mail: Mutex<Mail>,
    arrived: Notify,
}

impl Inbox {
    pub(super) fn subscribe(&self, assets: impl IntoIterator<Item = Arc<AssetInfo>>) {
        self.put(|mail| {
            for info in assets {
                mail.words.insert(info.key, Word::Subscribe(info));
            }
        });
    }

    pub(super) fn unsubscribe(&self, assets: &[AssetKey]) {
        self.put(|mail| {
            for &key in assets {
                mail.words.insert(key, Word::Unsubscribe);
            }
        });
    }

    pub(super) fn depart(&self, assets: &[AssetKey]) {
        self.put(|mail| {
            for &key in assets {
                mail.words.insert(key, Word::Depart);
            }
        });
    }

    pub(super) fn resubscribe(&self, assets: &[(AssetKey, StaleReason)]) {
        self.put(|mail| {
            for &(key, reason) in assets {
                // What is about to be subscribed or dropped needs no second word.
                mail.words.entry(key).or_insert(Word::Resubscribe(reason));
            }
        });
    }

    pub(super) fn take_over(&self) {
        self.put(|mail| mail.take_over = true);
    }

    pub(super) fn record(&self, tape: &Arc<Tape>) {
        self.put(|mail| mail.tape = Some(Arc::clone(tape)));
    }

    pub(super) fn race(&self, race: &Arc<Race>, side: Side) {
        self.put(|mail| mail.race = Some((Arc::clone(race), side)));
    }

    pub(super) fn retire(&self) {
        self.put(|mail| mail.retire = true);
    }

    pub(super) fn close(&self) {
        self.put(|mail| mail.close = true);
    }

    /// Waits until something was said. Remembers one wake-up.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Empties the box.
    pub(super) fn take(&self) -> Mail {
        std::mem::take(&mut *self.mail.lock())
    }

    fn put(&self, write: impl FnOnce(&mut Mail)) {
        write(&mut self.mail.lock());
        self.arrived.notify_one();
    }
}
