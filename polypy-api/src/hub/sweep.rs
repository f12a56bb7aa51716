//! What happens once a second, and what happens to markets.

use std::sync::Arc;
use std::time::Instant;

use polypy_core::metrics::count;
use polypy_core::{AssetKey, Lane, MarketChange, Selector};

use super::Hub;
use super::compose;
use super::token::{Follow, Kind, Stage, Token};
use crate::client::Told;
use crate::filter::Channels;
use crate::message::Published;

/// Tokens that are let go of at once, at most: their writers and everybody else wait so
/// long.
const LET_GO: usize = 4_096;

impl Hub {
    /// Lets go of what is old, says that connections live, and shows numbers.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.anchor.renew(&*self.asked.clock, now);
        self.out.ring.age(now);
        let evicted = self.out.ring.evicted();
        self.passage.forget_before(evicted);
        self.age_backlogs();
        self.let_go(now);
        self.unfollow_strays();
        let clients = self.out.clients.iter();
        let beating = clients.filter(|(_, client)| client.next_heartbeat <= now);
        for at in beating.map(|(at, _)| at).collect::<Vec<_>>() {
            self.beat(at, now);
            if let Some(client) = self.out.clients.get_mut(at) {
                client.next_heartbeat = now + self.out.config.heartbeat;
            }
        }
        let mut wanted = Channels::NONE;
        let mut subscriptions = 0;
        for (_, client) in self.out.clients.iter() {
            subscriptions += client.subscriptions.len();
            let its = client.subscriptions.iter();
            wanted = its.fold(wanted, |all, one| all.union(one.filter.channels));
        }
        self.brought.shared.want(wanted);
        let numbers = &self.out.numbers;
        numbers.subscriptions.set(count(subscriptions));
        numbers.followed.set(count(self.tokens.len()));
        numbers.ring_bytes.set(count(self.out.ring.bytes()));
        numbers.position.set(self.out.position);
    }

    /// Lets go of tokens and of ways to show them that nobody has wanted for as long as
    /// clients may come back.
    fn let_go(&mut self, now: Instant) {
        let linger = self.out.config.ring_age;
        let is_over = |since: Option<Instant>| {
            since.is_some_and(|since| now.saturating_duration_since(since) > linger)
        };
        let mut over: Vec<Vec<u32>> = vec![Vec::new(); self.down.len()];
        let (mut left, mut has_hole) = (LET_GO, false);
        for (at, token) in self.tokens.iter_mut() {
            let views = token.views.len();
            token.views.retain(|view| !is_over(view.idle_since));
            has_hole |= token.views.len() < views;
            let is_gone = matches!(token.stage, Stage::Gone);
            let is_unwanted = is_gone || token.watchers.is_empty();
            if left > 0 && is_unwanted && is_over(token.idle_since) {
                left -= 1;
                over[usize::from(token.lane.0)].push(at);
            }
        }
        if has_hole || over.iter().any(|over| !over.is_empty()) {
            // What is taken up again later begins behind every cursor of before.
            self.out.position += 1;
        }
        for (lane, over) in (0..).map(Lane).zip(over) {
            if over.is_empty() {
                continue;
            }
            let tokens = over.iter().filter_map(|at| self.tokens.get(*at));
            let still_there = tokens.filter(|token| !matches!(token.stage, Stage::Gone));
            let keys: Vec<_> = still_there
                .inspect(|token| self.passage.note_letting_go(token.key, self.out.position))
                .filter(|token| token.follow == Follow::Yes)
                .map(|token| token.key)
                .collect();
            if keys.is_empty() || self.asked.changes.unfollow(lane, &keys) {
                for at in over {
                    self.remove(at);
                }
            }
        }
    }

    /// Has nothing written that nobody wants.
    fn unfollow_strays(&mut self) {
        for key in std::mem::take(&mut self.strays) {
            let changes = &self.asked.changes;
            if self.tokens.find(key).is_none() && !changes.unfollow(changes.lane_of(key), &[key]) {
                self.strays.insert(key);
            }
        }
    }

    fn remove(&mut self, at: u32) {
        let Some(token) = self.tokens.remove(at) else {
            return;
        };
        for watcher in &token.watchers {
            if let Some(client) = self.out.clients.get_mut(watcher.client) {
                for one in &mut client.subscriptions {
                    one.tokens.remove(&at);
                }
            }
            self.opened(watcher.client, at);
            if let Some(client) = self.out.clients.get_mut(watcher.client) {
                client.forget(at);
            }
        }
    }

    /// Takes in what happened to markets; whether something did.
    pub(super) fn read_markets(&mut self, now: Instant) -> bool {
        let (changes, lost) = self.brought.markets.take();
        self.out.numbers.lost_markets.add(lost);
        let did = !changes.is_empty();
        for change in changes {
            self.take_market(&change, now);
        }
        if lost > 0 {
            tracing::warn!(
                lost,
                "more happened to markets at once than streams could tell"
            );
            // Behind each cursor of before.
            self.out.position += 1;
            self.passage.note_loss(self.out.position);
            self.cover_again(now);
        }
        did
    }

    fn take_market(&mut self, change: &MarketChange, now: Instant) {
        let (market, keys) = match change {
            MarketChange::Forgotten { market, keys } | MarketChange::Ended { market, keys, .. } => {
                (market, keys.clone())
            }
            MarketChange::New(market) | MarketChange::Resolved { market, .. } => {
                let condition = market.condition_id.as_str();
                let selector = Selector::Market(condition.into());
                (market, self.asked.catalogue.resolve(&selector))
            }
        };
        if matches!(change, MarketChange::New(_)) {
            for key in &keys {
                self.passage.note_coming(*key, self.out.position + 1);
            }
            self.cover(market, &keys, now);
        }
        if let MarketChange::Forgotten { market, keys } = change {
            for key in keys {
                // Not by the worker's word, which may come late: by then the market may
                // be back, and its tokens have the same ids.
                self.take_end(*key, now);
                let place = self.out.position + 1;
                self.passage.note_going(*key, market, place);
            }
        }
        if matches!(change, MarketChange::Resolved { .. }) {
            self.learn_winner(&keys, change);
        }
        let watchers: Vec<_> = keys
            .iter()
            .filter_map(|key| self.tokens.get(self.tokens.find(*key)?))
            .flat_map(|token| &token.watchers)
            .filter(|watcher| watcher.wants(Kind::Market))
            .copied()
            .collect();
        let event = compose::market(change, self.anchor.micros(now));
        self.out.publish_market(&watchers, &keys, event, now);
    }

    fn learn_winner(&mut self, keys: &[AssetKey], change: &MarketChange) {
        let MarketChange::Resolved { winner, .. } = change else {
            return;
        };
        for key in keys {
            let token = self
                .tokens
                .find(*key)
                .and_then(|at| self.tokens.get_mut(at));
            if let Some(Token { info, .. }) = token {
                Arc::make_mut(info).winner.clone_from(winner);
            }
        }
    }

    /// Tells what the server says of itself to those who want it.
    pub(super) fn tell(&mut self, told: &Told, now: Instant) {
        let now_us = self.anchor.micros(now);
        let message = Arc::new(Published::own(told.event(now_us)));
        let clients = self.out.clients.iter();
        let wanting = clients.filter(|(_, client)| {
            let its = client.subscriptions.iter();
            its.map(|one| one.filter.channels)
                .any(|channels| channels.has(told.channel()))
        });
        for at in wanting.map(|(at, _)| at).collect::<Vec<_>>() {
            let place = self.out.place(at);
            let offered = |client: &super::client_state::ClientState| {
                client.outbox.offer(Arc::clone(&message), place)
            };
            if self.out.clients.get(at).is_some_and(offered) {
                self.out.clients.touch(at);
            }
        }
    }
}
