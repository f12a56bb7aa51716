//! Gives messages their place, keeps them, and hands them to whom they are for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use polypy_core::AssetKey;

use super::clients::Clients;
use super::compose;
use super::numbers::Numbers;
use super::ring::{About, Ring};
use super::token::{Kind, ModeId, Watcher};
use crate::client::ClientId;
use crate::config::StreamConfig;
use crate::cursor::{Cursor, Instance};
use crate::filter::Mode;
use crate::message::{Closing, ErrorMessage, Event, GapReason, GapScope, Published};
use crate::outbox::Pushed;

/// The stream's numbers, its ring, and its clients.
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) instance: Instance,
    /// Messages published.
    pub(super) position: u64,
    pub(super) ring: Ring,
    pub(super) clients: Clients,
    pub(super) by_id: HashMap<ClientId, u32>,
    pub(super) modes: Vec<Mode>,
    pub(super) numbers: Arc<Numbers>,
    pub(super) config: StreamConfig,
}

impl Publisher {
    pub(super) fn new(instance: Instance, config: StreamConfig, numbers: Arc<Numbers>) -> Self {
        Self {
            instance,
            position: 0,
            ring: Ring::new(config.ring, config.ring_age),
            clients: Clients::default(),
            by_id: HashMap::new(),
            modes: Vec::new(),
            numbers,
            config,
        }
    }

    pub(super) fn mode(&self, id: ModeId) -> Mode {
        self.modes
            .get(usize::from(id.0))
            .copied()
            .unwrap_or_default()
    }

    fn is_conflated(&self, kind: Kind) -> bool {
        match kind {
            Kind::Book(id) | Kind::Top(id) => self.mode(id).interval.is_some(),
            Kind::Trade | Kind::State | Kind::Gap { .. } | Kind::Market => false,
        }
    }

    /// Gives a message its place.
    fn next(&mut self, event: Event) -> Arc<Published> {
        self.position += 1;
        self.numbers.published.increment();
        Arc::new(Published::new(Some(self.position), event))
    }

    /// Publishes a message of a token to those of its watchers that want it.
    pub(super) fn publish(
        &mut self,
        (at, key): (u32, AssetKey),
        watchers: &[Watcher],
        kind: Kind,
        event: Event,
        now: Instant,
    ) {
        let message = self.next(event);
        if !self.is_conflated(kind) {
            self.ring.push(&message, About::Token(key), kind, now);
        }
        let most = self.most_trade_bytes();
        for watcher in watchers.iter().filter(|watcher| watcher.wants(kind)) {
            let merges = self.merges(*watcher);
            let Some(client) = self.clients.get_mut(watcher.client) else {
                continue;
            };
            if client.holds(at, kind) {
                continue;
            }
            if merges && client.is_behind(&message) {
                let left_out = client.keep(at, &message, most);
                self.numbers.left_out.add(left_out);
                continue;
            }
            self.give(watcher.client, &message, now);
        }
    }

    /// Whether what is told of the token waits where the client is behind.
    fn merges(&self, watcher: Watcher) -> bool {
        self.mode(watcher.mode).interval.is_some()
    }

    /// Bytes of trades that may wait for a client of conflated streams, beside its queue.
    pub(super) fn most_trade_bytes(&self) -> usize {
        self.config.buffer / 4
    }

    /// Lets the word that a token is forgotten pass to the clients of conflated streams
    /// that have heard of it and are owed its book. Which these are.
    pub(super) fn release_ends(&mut self, at: u32, watchers: &[Watcher]) -> Vec<u32> {
        let mut released = Vec::new();
        for watcher in watchers {
            let merges = self.merges(*watcher);
            let Some(client) = self.clients.get_mut(watcher.client).filter(|_| merges) else {
                continue;
            };
            if client.held.get(&at).is_some_and(|held| held.is_heard_of) {
                client.held.remove(&at);
                released.push(watcher.client);
            }
        }
        released
    }

    /// Publishes a message about a market. It has no place among the changes of its
    /// tokens' books, and waits for no opening.
    pub(super) fn publish_market(
        &mut self,
        watchers: &[Watcher],
        keys: &[AssetKey],
        event: Event,
        now: Instant,
    ) {
        let message = self.next(event);
        let about = About::Market(keys.into());
        self.ring.push(&message, about, Kind::Market, now);
        // Once to each client, and at once if it wants each change of any of them.
        let mut clients: Vec<_> = watchers
            .iter()
            .map(|watcher| (watcher.client, self.merges(*watcher)))
            .collect();
        clients.sort_unstable();
        clients.dedup_by_key(|(client, _)| *client);
        let most = self.most_trade_bytes();
        for (at, merges) in clients {
            let client = self.clients.get_mut(at).filter(|_| merges);
            match client.filter(|client| client.is_behind(&message)) {
                Some(client) => {
                    let left_out = client.backlog.add(&message, most);
                    self.numbers.left_out.add(left_out);
                }
                None => self.give(at, &message, now),
            }
        }
    }

    /// Puts a published message into a client's queue.
    pub(super) fn give(&mut self, at: u32, message: &Arc<Published>, now: Instant) {
        let place = self.place(at);
        self.give_with(at, message, place, now);
    }

    /// The same; the client is at this place with it.
    pub(super) fn give_with(
        &mut self,
        at: u32,
        message: &Arc<Published>,
        place: Option<Cursor>,
        now: Instant,
    ) {
        let Some(client) = self.clients.get_mut(at) else {
            return;
        };
        let pushed = client.outbox.push(message, place);
        self.clients.touch(at);
        match pushed {
            Pushed::Fine => self.numbers.delivered.increment(),
            Pushed::Half => {
                self.numbers.delivered.increment();
                self.numbers.warned.increment();
                let buffer = self.config.buffer;
                let warning = ErrorMessage {
                    id: None,
                    code: "slow",
                    is_temporary: true,
                    message: format!(
                        "half of the {buffer} bytes that may wait for this client are full: read \
                         faster, ask for fewer tokens, or for mode=conflated"
                    ),
                };
                self.answer(at, Event::Error(Box::new(warning)));
            }
            Pushed::Full => self.overflow(at, now),
        }
    }

    /// Puts a message of its own into a client's queue.
    pub(super) fn answer(&mut self, at: u32, event: Event) {
        let place = self.place(at);
        let Some(client) = self.clients.get_mut(at) else {
            return;
        };
        client
            .outbox
            .put_own(Arc::new(Published::own(event)), place);
        self.clients.touch(at);
    }

    /// The client's place, if it is owed nothing and could come back to it.
    pub(super) fn place(&self, at: u32) -> Option<Cursor> {
        let client = self.clients.get(at)?;
        let is_one = client.is_owed_nothing() && !client.is_merged_throughout();
        is_one.then_some(Cursor {
            instance: self.instance,
            position: self.position,
        })
    }

    /// The client's queue is full, or holds on to what nobody else has any more: it is
    /// emptied, and everything begins again.
    pub(super) fn overflow(&mut self, at: u32, now: Instant) {
        let Some(client) = self.clients.get_mut(at) else {
            return;
        };
        let waited = u64::try_from(client.backlog.len()).unwrap_or(u64::MAX);
        let missing = client.outbox.empty().saturating_add(waited);
        self.numbers.overflows.increment();
        self.numbers.count_gap(GapReason::Slow);
        if client.begin_again(now) {
            let (scope, has_books) = (GapScope::Connection, client.has_books());
            let gap = compose::wide_gap(scope, GapReason::Slow, Some(missing), has_books);
            self.answer(at, gap);
            return;
        }
        self.numbers.closed_slow.increment();
        let reason = "too slow: the queue was full three times within a minute; read faster, ask \
                      for fewer tokens, or for mode=conflated";
        let closing = Closing::with_retry(Closing::LATER, reason);
        client.outbox.close(closing);
    }

    /// The clients that hold on to messages which the ring has let go of.
    pub(super) fn holding_on(&mut self) -> Vec<u32> {
        self.clients.waiting_before(self.ring.evicted() + 1)
    }
}
