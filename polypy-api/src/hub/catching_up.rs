//! Clients of conflated streams that were behind: what waited for them is given as they
//! read, and what they do not read is taken back and merged.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use polypy_core::AssetKey;

use super::Hub;
use super::backlog::Word;
use super::behind::Behind;
use super::compose;
use super::token::{Kind, ModeId, Stage, Watcher};
use crate::filter::{Channel, Channels};
use crate::message::{Event, Published};

impl Hub {
    /// Gives a client what was merged while it was behind.
    pub(super) fn catch_up(&mut self, client: u32) -> bool {
        let (mut did, mut last) = (false, 0);
        while let Some(state) = self.out.clients.get_mut(client) {
            if !state.outbox.asks_for_more() {
                break;
            }
            let Some((turn, at)) = state.merged.after(last) else {
                break;
            };
            last = turn;
            let stage = self.tokens.get(at).map(|token| &token.stage);
            if matches!(stage, Some(Stage::Awaited { .. })) {
                // Told when it is there again.
                continue;
            }
            let Some(behind) = state.merged.remove(at) else {
                break;
            };
            for event in self.latest(client, at, behind) {
                self.out.answer(client, event);
            }
            did = true;
        }
        did
    }

    /// What a client that was behind has to be told of a token.
    fn latest(&mut self, client: u32, at: u32, behind: Behind) -> Vec<Event> {
        let mut events = Vec::new();
        let Some(token) = self.tokens.get_mut(at) else {
            return events;
        };
        let Some(watcher) = token.watcher(client).copied() else {
            return events;
        };
        let (info, stage, views) = (&token.info, &token.stage, &mut token.views);
        let view = views.iter_mut().find(|view| view.id == watcher.mode);
        if let (Stage::Kept(kept), Some(view)) = (stage, view) {
            if let Some(previous) = behind.previous {
                let step = view.merged(kept, previous, behind.levels);
                let (depth, conflated) = (view.mode.depth, behind.deltas.conflated());
                let delta = compose::delta(info, kept, step, depth, conflated, &self.anchor);
                events.push(delta);
            }
            if behind.tops.is_any() {
                let top = view.give_top(client, kept);
                let conflated = behind.tops.conflated();
                events.push(compose::top(info, kept, top, conflated, &self.anchor));
            }
        }
        if behind.has_state
            && let Some((status, place)) = stage.status()
        {
            events.push(compose::state(info, &status, place, &self.anchor));
        }
        events
    }

    /// Gives a client what waits as it was published, behind what is missing.
    pub(super) fn give_backlog(&mut self, client: u32, now: Instant) -> bool {
        let mut did = false;
        while let Some(state) = self.out.clients.get_mut(client) {
            if state.backlog.is_empty() || !state.outbox.asks_for_more() {
                break;
            }
            match state.backlog.next() {
                Some(Word::Gap(gap)) => {
                    self.out.numbers.count_gap(gap.reason);
                    self.out.answer(client, Event::Gap(Box::new(gap)));
                }
                Some(Word::Trade(trade)) => self.out.give(client, &trade, now),
                // With its place it would be taken back at once: it may be older than all
                // that the ring holds.
                Some(Word::Other(message)) => self.out.answer(client, message.event().clone()),
                None => break,
            }
            did = true;
        }
        did
    }

    /// The client's queue holds on to what nobody else has any more. One of each change
    /// begins again; for one of conflated streams all that waits is merged.
    pub(super) fn let_go_of(&mut self, client: u32, now: Instant) {
        let Some(state) = self.out.clients.get_mut(client) else {
            return;
        };
        if !state.is_merged_throughout() {
            self.out.overflow(client, now);
            return;
        }
        for message in state.outbox.take_back() {
            self.take_back(client, &message);
        }
        let Some(state) = self.out.clients.get_mut(client) else {
            return;
        };
        let left_out = state.backlog.age(self.out.ring.evicted());
        self.out.numbers.left_out.add(left_out);
        state.open_again();
        self.say_who_is_ready(client);
    }

    /// Merges a message that was in the client's queue.
    fn take_back(&mut self, client: u32, message: &Arc<Published>) {
        let event = message.event();
        let at = event.token().and_then(|key| self.tokens.find(key));
        let most = self.out.most_trade_bytes();
        let Some(state) = self.out.clients.get_mut(client) else {
            return;
        };
        let left_out = match (event, at) {
            (Event::Ready(place), _) => {
                state.is_not_ready(place.id);
                0
            }
            // Another one comes.
            (Event::Heartbeat(_) | Event::Stats(_) | Event::Health(_), _) => 0,
            (Event::Trade(_) | Event::Market(_), _) => state.backlog.add(message, most),
            (Event::State(end), _) if end.state.is_none() => state.backlog.add(message, most),
            (Event::Gap(_), Some(at)) => state.keep(at, message, most),
            // Its opening stands for it.
            (_, Some(at)) if state.held.contains_key(&at) => 0,
            (_, Some(at)) => state.keep(at, message, most),
            // Its token has gone meanwhile.
            (_, None) => 0,
        };
        self.out.numbers.left_out.add(left_out);
    }

    /// Leaves out what waits for clients for longer than messages are kept.
    pub(super) fn age_backlogs(&mut self) {
        let evicted = self.out.ring.evicted();
        for at in self.out.clients.owed() {
            if let Some(client) = self.out.clients.get_mut(at) {
                self.out.numbers.left_out.add(client.backlog.age(evicted));
            }
        }
    }

    /// The client has ended a subscription: nothing more that only it brought is told.
    pub(super) fn narrow_backlog(&mut self, client: u32) {
        let Some(state) = self.out.clients.get_mut(client) else {
            return;
        };
        if state.backlog.is_empty() {
            return;
        }
        let mut backlog = std::mem::take(&mut state.backlog);
        let mut channels = Channels::NONE;
        let mut markets = HashSet::new();
        for one in &state.subscriptions {
            channels = channels.union(one.filter.channels);
            if one.filter.channels.has(Channel::Market) {
                let tokens = one.tokens.iter().filter_map(|at| self.tokens.get(*at));
                markets.extend(tokens.map(|token| &token.info.info.condition_id));
            }
        }
        let rest = Watcher {
            client,
            mode: ModeId(0),
            channels,
        };
        let watcher_of = |key: AssetKey| match self.tokens.find(key) {
            Some(at) => self.tokens.get(at)?.watcher(client).copied(),
            // It is gone: whose it was nobody here knows any more.
            None => Some(rest),
        };
        let wants = |event: &Event| {
            let kind = match event {
                Event::Market(market) => return markets.contains(&market.condition_id),
                Event::Trade(_) => Kind::Trade,
                _ => Kind::State,
            };
            let watcher = event.token().and_then(watcher_of);
            watcher.is_some_and(|watcher| watcher.wants(kind))
        };
        backlog.retain(wants, |key| watcher_of(key).is_some());
        if let Some(state) = self.out.clients.get_mut(client) {
            state.backlog = backlog;
        }
    }
}
