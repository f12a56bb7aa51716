//! What clients are owed: how their tokens begin, and what they missed.
//!
//! Given at the pace at which each of them reads, a piece in each round.

use std::sync::Arc;
use std::time::Instant;

use super::Hub;
use super::compose;
use super::ring::About;
use super::token::{Stage, Token, Watcher};
use crate::anchor::Anchor;
use crate::cursor::Cursor;
use crate::filter::Channel;
use crate::message::{Cause, Event, Place, Published};

/// Bytes of openings in a round, over all clients: changes wait so long.
const ROUND: usize = 4 << 20;
/// Tokens without a book that are passed over in a round, for one client.
const PASSED_OVER: usize = 256;
/// Messages looked through in a round for one client that comes back, and bytes given.
const LOOKED_AT: usize = 20_000;
const REPLAYED: usize = 256 << 10;

impl Hub {
    /// Gives what can be given; whether something was.
    pub(super) fn give_what_is_owed(&mut self, now: Instant) -> bool {
        let mut owed = self.out.clients.owed();
        // Whose turn it is first is another one's each time.
        self.turn = self.turn.wrapping_add(1);
        let first = self.turn % owed.len().max(1);
        owed.rotate_left(first);
        let mut room = ROUND;
        let mut did = false;
        for at in owed {
            did |= self.replay(at, now);
            let client = self.out.clients.get(at);
            let is_backlogs_turn = client.is_some_and(|client| client.is_backlogs_turn);
            let mut gave = is_backlogs_turn && self.give_backlog(at, now);
            gave |= self.give_openings(at, &mut room, now);
            gave |= self.catch_up(at);
            gave |= !is_backlogs_turn && self.give_backlog(at, now);
            if let Some(client) = self.out.clients.get_mut(at) {
                client.is_backlogs_turn ^= gave;
            }
            did |= gave;
        }
        did
    }

    /// Gives a client the openings of its tokens, as far as it reads.
    fn give_openings(&mut self, client: u32, room: &mut usize, now: Instant) -> bool {
        let mut did = false;
        let mut passed_over = 0;
        while *room > 0 && passed_over < PASSED_OVER {
            let Some(state) = self.out.clients.get_mut(client) else {
                break;
            };
            // A token that is forgotten in what is given first may be back under its id.
            if state.replay.is_some() || !state.outbox.asks_for_more() {
                break;
            }
            let Some(at) = state.due.pop_front() else {
                break;
            };
            let Some(cause) = state.held.get(&at).and_then(|held| held.cause) else {
                continue;
            };
            let token = self.tokens.get_mut(at);
            let watched = token.and_then(|token| {
                let watcher = *token.watcher(client)?;
                Some((token, watcher))
            });
            let Some((token, watcher)) = watched else {
                state.forget(at);
                continue;
            };
            if !token.is_known() {
                state.due.push_back(at);
                passed_over += 1;
                if passed_over >= state.due.len() {
                    break;
                }
                continue;
            }
            let mut events = Vec::new();
            // What is missing is said before the book that replaces it.
            while let Some(gap) = state.backlog.missing_of(token.key) {
                self.out.numbers.count_gap(gap.reason);
                events.push(Event::Gap(Box::new(gap)));
            }
            events.extend(opening(token, watcher, cause, now, &self.anchor));
            for event in events {
                let message = Arc::new(Published::own(event));
                *room = room.saturating_sub(message.bytes());
                self.out.numbers.openings.increment();
                state.outbox.put_own(message, None);
            }
            did = true;
            self.out.clients.touch(client);
            self.opened(client, at);
        }
        did
    }

    /// A client has had a token's opening.
    pub(super) fn opened(&mut self, client: u32, token: u32) {
        if let Some(state) = self.out.clients.get_mut(client) {
            state.opened(token);
        }
        self.say_who_is_ready(client);
    }

    pub(super) fn say_who_is_ready(&mut self, client: u32) {
        let ready = self.out.clients.get_mut(client);
        for id in ready.map_or_else(Vec::new, |client| client.take_ready()) {
            self.say_ready(client, id);
        }
    }

    /// Says that a subscription's openings are through.
    pub(super) fn say_ready(&mut self, client: u32, id: u64) {
        let cursor = self.out.place(client);
        self.out.answer(client, Event::Ready(Place { id, cursor }));
    }

    /// Gives a client that came back some of what it missed.
    fn replay(&mut self, client: u32, now: Instant) -> bool {
        let Some(state) = self.out.clients.get_mut(client) else {
            return false;
        };
        let Some(replay) = state.replay.as_ref().filter(|replay| replay.is_begun) else {
            return false;
        };
        if !state.outbox.asks_for_more() {
            return false;
        }
        let from = replay.position;
        if from < self.out.ring.evicted() {
            // It was too slow even for this.
            self.out.overflow(client, now);
            return true;
        }
        // Only a place within what this client gets in order vouches for what is before.
        let is_alone = state.subscriptions.len() == 1 && state.due.is_empty();
        let most = REPLAYED.min(self.out.config.buffer / 4);
        let (mut messages, mut bytes) = (Vec::new(), 0);
        let mut position = from;
        let mut is_through = true;
        for (looked_at, entry) in self.out.ring.after(from).enumerate() {
            if looked_at >= LOOKED_AT || bytes >= most {
                is_through = false;
                break;
            }
            position = entry.message.position().unwrap_or(position);
            let is_its = |key| {
                let at = self.tokens.find(key);
                at.is_some_and(|at| replay.gives(at, entry.kind))
            };
            let concerns = match &entry.about {
                About::Token(key) => is_its(*key),
                About::Market(keys) => {
                    let mut keys = keys.iter();
                    replay.is_of_everything || keys.any(|key| replay.covered.contains(key))
                }
            };
            if concerns && replay.watcher.wants(entry.kind) {
                bytes += entry.message.bytes();
                messages.push(Arc::clone(&entry.message));
            }
        }
        let instance = self.out.instance;
        // Before the last of them less than half of the queue is used: if that one does not
        // fit, nothing follows it.
        for message in messages {
            let position = message.position().unwrap_or(position);
            let place = is_alone.then_some(Cursor { instance, position });
            self.out.give_with(client, &message, place, now);
        }
        let Some(state) = self.out.clients.get_mut(client) else {
            return true;
        };
        let Some(replay) = &mut state.replay else {
            // The queue was full, and everything begins again.
            return true;
        };
        replay.position = position;
        if is_through {
            let tokens = std::mem::take(&mut replay.tokens);
            state.replay = None;
            for token in tokens {
                state.opened(token);
            }
            self.say_who_is_ready(client);
        }
        true
    }
}

/// The messages with which a token begins for a client.
fn opening(
    token: &mut Token,
    watcher: Watcher,
    cause: Cause,
    now: Instant,
    anchor: &Anchor,
) -> Vec<Event> {
    let info = &token.info;
    let has = |channel| watcher.channels.has(channel);
    let mut events = Vec::new();
    match &token.stage {
        Stage::Kept(kept) => {
            let mut views = token.views.iter_mut();
            if let Some(view) = views.find(|view| view.id == watcher.mode) {
                if has(Channel::Book) {
                    events.push(compose::snapshot(info, kept, view, cause, anchor));
                }
                if has(Channel::Top) {
                    let top = view.give_top(watcher.client, kept);
                    events.push(compose::top(info, kept, top, None, anchor));
                }
            }
            if has(Channel::State) {
                let place = (kept.epoch, kept.sequence);
                events.push(compose::state(info, &kept.status, place, anchor));
            }
        }
        Stage::Pending(status) => events.push(compose::state(info, status, (0, 0), anchor)),
        Stage::Gone => events.push(compose::forgotten(info, None, now, anchor)),
        Stage::Awaited { .. } => {}
    }
    events
}
