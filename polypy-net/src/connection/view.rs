//! One connection as everyone but its own task sees it: its state and its counters.
//!
//! The task writes, anyone reads at any moment. Each change of *state* is told to
//! the pool's owner ([`Changes`]); a change of counters is told to nobody.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use polypy_core::{AssetKey, ConnectionEnd, ConnectionReport};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::counter::{millis, ratio};
use crate::registry::{ConnectionId, ConnectionLoad};

use super::counters::ConnectionCounters;
#[cfg(test)]
use super::shown;
use super::shown::Shown;
use super::state::ConnectionState;

/// One connection's state and counters.
#[derive(Debug)]
pub struct ConnectionView {
    id: ConnectionId,
    state: Mutex<ConnectionState>,
    counters: Mutex<ConnectionCounters>,
    /// Another connection that carries the same assets.
    partner: Mutex<Weak<ConnectionView>>,
    changes: Arc<Changes>,
}

impl ConnectionView {
    pub(super) fn new(id: ConnectionId, quiet_limit: Duration, changes: Arc<Changes>) -> Self {
        Self {
            id,
            state: Mutex::new(ConnectionState::new(Instant::now(), quiet_limit)),
            counters: Mutex::default(),
            partner: Mutex::default(),
            changes,
        }
    }

    /// Its number.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Its state as of now.
    pub fn state(&self) -> ConnectionState {
        self.state.lock().clone()
    }

    /// Whether its socket is open, handshake done.
    pub fn is_open(&self) -> bool {
        self.state.lock().is_open()
    }

    /// Whether its socket is open, and whether it is well.
    pub(crate) fn is_open_and_healthy(&self, now: Instant) -> (bool, bool) {
        let state = self.state.lock();
        (state.is_open(), state.is_healthy(now))
    }

    /// Changes its state and tells the pool's owner.
    pub(super) fn publish(&self, change: impl FnOnce(&mut ConnectionState)) {
        change(&mut self.state.lock());
        // After the change: the owner may look at once.
        self.changes.note(self.id);
    }

    pub(super) fn count(&self, write: impl FnOnce(&mut ConnectionCounters)) {
        write(&mut self.counters.lock());
    }

    /// Its state, and the assets that departed since the last report.
    pub(crate) fn report(&self) -> (ConnectionState, Vec<AssetKey>) {
        let mut state = self.state.lock();
        let departed = state.take_departed();
        (state.clone(), departed)
    }

    /// It was found to trail the other connection of its pair.
    pub(crate) fn set_lagging(&self) {
        self.publish(ConnectionState::lag);
    }

    /// From now on `partner` carries the same assets, as far as it does.
    pub(crate) fn pair_with(&self, partner: &Arc<Self>) {
        *self.partner.lock() = Arc::downgrade(partner);
    }

    /// Books that the other connection delivers at this moment.
    pub(super) fn covered(&self) -> usize {
        let partner = self.partner.lock().upgrade();
        partner.map_or(0, |partner| partner.state.lock().books_delivered())
    }

    /// Adds what it counted to a sum.
    pub(crate) fn add_to(&self, sum: &mut ConnectionCounters) {
        *sum += &*self.counters.lock();
    }

    /// As of now; `load` is the registry's word on its assets.
    pub(crate) fn shown(&self, load: ConnectionLoad, now: Instant) -> Shown {
        let since = |then: Instant| millis(now.saturating_duration_since(then));
        let counters = self.counters.lock().clone();
        let state = self.state.lock();
        let total = state.carried().max(load.total());
        Shown {
            id: self.id.to_string(),
            status: state.status(),
            is_open: state.is_open(),
            is_retired: state.is_retired(),
            is_healthy: state.is_healthy(now),
            is_lagging: state.is_lagging(),
            age_ms: millis(state.age(now)),
            uptime_ms: state.open_since().map_or(0, since),
            total,
            subscribed: load.subscribed,
            expired: load.expired,
            pollution: ratio(load.expired, total),
            feed: state.feed().map(|feed| feed.0),
            awaiting_books: state.bookless().count(),
            exhausted_tokens: state.exhausted().count(),
            last_data_age_ms: counters.last_data.map(since),
            counters,
        }
    }

    /// The same for who shows connections one by one.
    pub(crate) fn report_of(&self, load: ConnectionLoad, now: Instant) -> ConnectionReport {
        let shown = self.shown(load, now);
        let since = |then: Instant| now.saturating_duration_since(then);
        let counters = shown.counters;
        ConnectionReport {
            name: shown.id,
            status: shown.status.name(),
            is_open: shown.is_open,
            is_draining: shown.is_retired,
            is_healthy: shown.is_healthy,
            is_lagging: shown.is_lagging,
            age: Duration::from_millis(shown.age_ms),
            open_for: shown
                .is_open
                .then(|| Duration::from_millis(shown.uptime_ms)),
            feed: shown.feed,
            tokens: shown.subscribed,
            ended_tokens: shown.expired,
            awaited_books: shown.awaiting_books,
            messages: counters.messages,
            bytes: counters.bytes,
            reconnects: counters.sockets.saturating_sub(1),
            silent_for: counters.last_data.map(since),
            silence_limit: counters.silence_limit,
            last_end: counters.last_end.map(|end| ConnectionEnd {
                ago: since(end.at),
                cause: end.cause,
                detail: end.detail,
                close_code: end.close_code,
            }),
            next_attempt_in: counters
                .next_attempt
                .map(|at| at.saturating_duration_since(now)),
        }
    }

    #[cfg(test)]
    pub(super) fn strays(&self) -> u64 {
        self.counters.lock().stray_events
    }

    #[cfg(test)]
    pub(crate) fn json(&self, load: ConnectionLoad) -> serde_json::Value {
        let mut sheet = polypy_core::metrics::JsonSheet::with_capacity(1_024);
        shown::show([self.shown(load, Instant::now())].into_iter(), &mut sheet);
        let mut list: serde_json::Value = serde_json::from_slice(&sheet.finish()).unwrap();
        let mut one = list["stats"][0].take();
        // Shown of all connections together.
        one["pings"] = self.counters.lock().pings.into();
        one
    }
}

/// Which connections' states changed since the pool's owner last looked. Bounded by
/// the connections there are, so that nothing is dropped and nobody waits.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    ids: Mutex<BTreeSet<ConnectionId>>,
    /// One waiter: the owner. Remembers one wake-up.
    some: Notify,
}

impl Changes {
    fn note(&self, id: ConnectionId) {
        self.ids.lock().insert(id);
        self.some.notify_one();
    }

    /// Waits until there is one.
    pub(crate) async fn noted(&self) {
        self.some.notified().await;
    }

    /// Takes them. A change that comes later is there at the next call.
    pub(crate) fn take(&self) -> BTreeSet<ConnectionId> {
        std::mem::take(&mut *self.ids.lock())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_change_of_state_wakes_the_owner_and_one_of_counters_does_not() {
        let changes = Arc::new(Changes::default());
        let view = |id| {
            let limit = Duration::from_secs(8);
            ConnectionView::new(ConnectionId(id), limit, Arc::clone(&changes))
        };
        let (first, second) = (view(1), view(2));
        first.count(|counters| counters.pings += 1);
        let is_told = || timeout(Duration::from_secs(60), changes.noted());
        assert!(is_told().await.is_err());
        assert_eq!(changes.take(), BTreeSet::new());
        // Before anybody waits, twice, and of two: told once, and nothing is lost.
        first.publish(ConnectionState::retire);
        first.publish(ConnectionState::not_opened);
        second.publish(ConnectionState::idle);
        assert!(is_told().await.is_ok());
        let both = [ConnectionId(1), ConnectionId(2)];
        assert_eq!(changes.take(), BTreeSet::from(both));
        assert!(is_told().await.is_err());
        let (state, _) = first.report();
        assert!(state.is_retired());
        assert_eq!(state.setbacks(), 1);
    }

    #[test]
    fn what_departed_is_reported_once_and_a_report_does_not_change() {
        let view = ConnectionView::new(ConnectionId(0), Duration::ZERO, Arc::default());
        let asset = polypy_core::Interner::default()
            .insert(&"1".parse().unwrap(), &"0xa1".parse().unwrap(), |key| {
                let (id, condition) = ("1".parse().unwrap(), "0xa1".parse().unwrap());
                polypy_core::AssetInfo::new(key, id, condition)
            })
            .key;
        view.publish(|state| state.carry(2, vec![asset]));
        let (state, departed) = view.report();
        assert_eq!((departed, view.report().1), (vec![asset], vec![]));
        view.publish(|state| state.carry(7, Vec::new()));
        assert_eq!((state.carried(), view.state().carried()), (2, 7));
    }
}
