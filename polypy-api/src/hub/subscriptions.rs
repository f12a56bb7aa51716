//! What clients ask for.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use polypy_core::{AssetKey, Selector};

use super::clients::{ClientState, Replay, Subscription};
use super::compose;
use super::covering::watches_tokens;
use super::resuming::Beginning;
use super::token::{ModeId, Stage, Watcher};
use super::{Hub, Tick};
use crate::client::{Command, SubscribeError};
use crate::cursor::Cursor;
use crate::filter::{Channel, Channels, Filter, Mode, quoted};
use crate::message::{Cause, Event, GapReason, GapScope, Heartbeat, Place, Published, Subscribed};

/// What a filter names.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub(super) keys: Vec<AssetKey>,
    unknown: Vec<Box<str>>,
    /// Nothing that it names is known.
    is_unknown: bool,
}

impl Resolved {
    /// Why there is nothing to subscribe to.
    fn refusal(&self) -> SubscribeError {
        let mut names: Vec<_> = self.unknown.iter().map(|name| quoted(name)).collect();
        let more = names.len().saturating_sub(3);
        names.truncate(3);
        let mut names = names.join(", ");
        if more > 0 {
            names.push_str(&format!(" and {more} more"));
        }
        let message = format!(
            "no token of the subscription is known here: {names}; /markets lists the tokens"
        );
        SubscribeError::new("unknown_token", message)
    }
}

/// What a subscription covers.
struct Accepted {
    /// Tokens that the catalogue knows.
    covered: usize,
    unknown: Vec<Box<str>>,
    /// Those, and those that it has forgotten, of which the client may have to hear.
    tokens: Vec<u32>,
}

impl Hub {
    /// Does what doors ask; whether they did.
    pub(super) fn obey(&mut self, now: Instant) -> bool {
        let mut commands = std::mem::take(&mut self.commands);
        self.brought.shared.take_commands(&mut commands);
        let did = !commands.is_empty();
        for command in commands.drain(..) {
            match command {
                Command::Open { client, outbox } => {
                    // Spread over the time between two.
                    let period = self.out.config.heartbeat;
                    let first = now + period.mul_f64(fastrand::f64());
                    let state = ClientState::new(outbox, first);
                    let at = self.out.clients.insert(state);
                    self.out.by_id.insert(client, at);
                }
                Command::Subscribe {
                    client,
                    id,
                    filter,
                    cursor,
                    answer,
                } => {
                    let result = match self.out.by_id.get(&client) {
                        Some(at) => self.subscribe(*at, id, filter, cursor, now),
                        None => Ok(()),
                    };
                    // Nobody waits for it if the client has gone.
                    let _gone = answer.send(result);
                }
                Command::Unsubscribe { client, id, answer } => {
                    let result = match self.out.by_id.get(&client) {
                        Some(at) => self.unsubscribe(*at, id, now),
                        None => Ok(()),
                    };
                    let _gone = answer.send(result);
                }
                Command::Heartbeat { client } => {
                    if let Some(at) = self.out.by_id.get(&client).copied() {
                        self.beat(at, now);
                    }
                }
                Command::Stats { stats } => self.tell_stats(&stats, now),
                Command::Close { client } => {
                    if let Some(at) = self.out.by_id.remove(&client) {
                        self.close(at, now);
                    }
                }
            }
        }
        self.commands = commands;
        did
    }

    /// Puts a heartbeat into a client's queue, if there is room.
    pub(super) fn beat(&mut self, at: u32, now: Instant) {
        let cursor = self.out.place(at);
        let Some(client) = self.out.clients.get(at) else {
            return;
        };
        let heartbeat = Heartbeat {
            cursor,
            now_us: self.anchor.micros(now),
            queued_bytes: u64::try_from(client.outbox.queued_bytes()).unwrap_or(u64::MAX),
        };
        let heartbeat = Arc::new(Published::own(Event::Heartbeat(heartbeat)));
        if client.outbox.offer(heartbeat, cursor) {
            self.out.touch(at);
        }
    }

    fn subscribe(
        &mut self,
        at: u32,
        id: u64,
        filter: Filter,
        cursor: Option<Cursor>,
        now: Instant,
    ) -> Result<(), SubscribeError> {
        self.may_subscribe(at, id)?;
        let resolved = self.resolve(&filter);
        let mode = self.mode_id(filter.mode, now);
        let beginning = match cursor {
            None => Beginning::New,
            Some(cursor) => self.judge(at, cursor, &filter, mode, &resolved.keys),
        };
        let mut keys = resolved.keys.clone();
        if let Beginning::Resumed(resumed) = &beginning {
            keys.extend(&resumed.leaving);
        }
        if resolved.is_unknown && keys.is_empty() {
            return Err(resolved.refusal());
        }
        self.agrees(at, mode, filter.mode, &keys)?;
        // In the order in which they were named.
        let mut tokens = Vec::new();
        let mut new = Vec::new();
        for key in &keys {
            if self.tokens.find(*key).is_none() {
                new.push(*key);
            }
            tokens.extend(self.watch(at, *key, filter.channels, mode, now));
        }
        let subscription = Subscription {
            id,
            tokens: tokens.iter().copied().collect(),
            opening: None,
            filter,
        };
        self.cover_everywhere(&new, now);
        let accepted = Accepted {
            covered: resolved.keys.len(),
            unknown: resolved.unknown,
            tokens,
        };
        self.begin(at, subscription, accepted, beginning, mode);
        Ok(())
    }

    fn may_subscribe(&self, at: u32, id: u64) -> Result<(), SubscribeError> {
        let Some(client) = self.out.clients.get(at) else {
            return Ok(());
        };
        if client.subscription(id).is_some() {
            let message =
                format!("subscription {id} is there already: unsubscribe it, or choose another id");
            return Err(SubscribeError::new("id_in_use", message));
        }
        let most = self.out.config.max_subscriptions;
        if client.subscriptions.len() >= most {
            let message = format!(
                "{most} subscriptions are as many as a connection may have: unsubscribe one, or \
                 name more tokens in one"
            );
            return Err(SubscribeError::new("too_many_subscriptions", message));
        }
        Ok(())
    }

    pub(super) fn resolve(&self, filter: &Filter) -> Resolved {
        let mut resolved = Resolved::default();
        if !watches_tokens(filter.channels) {
            return resolved;
        }
        let mut seen = HashSet::new();
        resolved.is_unknown = true;
        for selector in &filter.selectors {
            let keys = self.asked.catalogue.resolve(selector);
            if keys.is_empty() && *selector != Selector::Everything {
                resolved.unknown.push(selector.text().into());
                continue;
            }
            resolved.is_unknown = false;
            resolved
                .keys
                .extend(keys.into_iter().filter(|key| seen.insert(*key)));
        }
        resolved
    }

    /// Whether no other subscription of the client shows one of the tokens otherwise.
    fn agrees(
        &self,
        at: u32,
        mode: ModeId,
        asked: Mode,
        keys: &[AssetKey],
    ) -> Result<(), SubscribeError> {
        let is_first = |client: &ClientState| client.subscriptions.is_empty();
        if self.out.clients.get(at).is_none_or(is_first) {
            return Ok(());
        }
        for key in keys {
            let token = self.tokens.find(*key).and_then(|one| self.tokens.get(one));
            let Some(token) = token else { continue };
            if let Some(watcher) = token.watcher(at)
                && watcher.mode != mode
            {
                let (token_id, other) = (&token.info.info.asset_id, self.out.mode(watcher.mode));
                let message = format!(
                    "token {token_id} is covered by another subscription of this connection with \
                     {}, not with {}: ask for the same, or use another connection",
                    described(other),
                    described(asked)
                );
                return Err(SubscribeError::new("conflict", message));
            }
        }
        Ok(())
    }

    /// The number of a mode, new if it is the first of its kind.
    pub(super) fn mode_id(&mut self, mode: Mode, now: Instant) -> ModeId {
        let known = self.out.modes.iter().position(|known| *known == mode);
        let at = known.unwrap_or_else(|| {
            self.out.modes.push(mode);
            self.ticks.push(Tick {
                at: now,
                due: Vec::new(),
            });
            self.out.modes.len() - 1
        });
        ModeId(u8::try_from(at).unwrap_or(u8::MAX))
    }

    /// The client wants these channels of a token, too.
    pub(super) fn watch(
        &mut self,
        client: u32,
        key: AssetKey,
        channels: Channels,
        mode: ModeId,
        now: Instant,
    ) -> Option<u32> {
        let asked = &self.asked;
        let at = self.tokens.want(key, &*asked.catalogue, &*asked.changes)?;
        let token = self.tokens.get_mut(at)?;
        let mut watcher = Watcher {
            client,
            mode,
            channels: channels.without(Channel::Stats),
        };
        if let Some(known) = token.watcher(client) {
            watcher.mode = known.mode;
            watcher.channels = watcher.channels.union(known.channels);
        }
        token.set_watcher(watcher);
        if !matches!(token.stage, Stage::Gone) {
            token.idle_since = None;
        }
        let (position, modes) = (self.out.position, &self.out.modes);
        let mode_of = |id: ModeId| modes.get(usize::from(id.0)).copied().unwrap_or_default();
        token.arrange_views(position, now, mode_of);
        Some(at)
    }

    fn begin(
        &mut self,
        at: u32,
        mut subscription: Subscription,
        accepted: Accepted,
        beginning: Beginning,
        mode: ModeId,
    ) {
        let Some(client) = self.out.clients.get_mut(at) else {
            return;
        };
        let (id, opens) = (subscription.id, subscription.opens());
        let Accepted {
            covered,
            unknown,
            tokens,
        } = accepted;
        let filter = &subscription.filter;
        let has_books = filter.channels.has(Channel::Book);
        let mut accepted = Subscribed {
            id,
            tokens: u64::try_from(covered).unwrap_or(u64::MAX),
            unknown,
            channels: filter.channels,
            mode: filter.mode,
            heartbeat_ms: self.out.config.heartbeat_ms(),
            was_resuming: !matches!(beginning, Beginning::New),
            recovered: false,
            cursor: None,
        };
        let mut gaps = Vec::new();
        match beginning {
            Beginning::Resumed(resumed) => {
                let position = resumed.position;
                accepted.recovered = true;
                self.out.numbers.resumed.increment();
                let is_of_everything = filter.selectors.contains(&Selector::Everything);
                let (late, missed): (Vec<u32>, Vec<u32>) =
                    tokens.iter().copied().partition(|token| {
                        let token = self.tokens.get(*token);
                        token.is_none_or(|token| resumed.late.contains(&token.key))
                    });
                let missed: HashSet<u32> = missed.into_iter().collect();
                for at in &late {
                    client.owe(*at, Cause::Subscribed);
                    let Some(token) = self.tokens.get(*at) else {
                        continue;
                    };
                    let is_new = self.passage.came_after(token.key, position);
                    if token.since.is_some() || !is_new {
                        // What happened to it since then is not given again.
                        let reason = GapReason::NotFollowed;
                        let (info, kept) = (&token.info, token.kept());
                        let opens = has_books && !matches!(token.stage, Stage::Gone);
                        let gap = compose::gap(info, None, kept, reason, opens, &self.anchor);
                        gaps.push((reason, gap));
                    }
                }
                client.held.extend(missed.iter().copied());
                let channels = filter.channels;
                subscription.opening = Some(missed.iter().chain(&late).copied().collect());
                client.replay = Some(Replay {
                    subscription: id,
                    tokens: missed,
                    covered: resumed.covered,
                    position,
                    is_of_everything,
                    watcher: Watcher {
                        client: at,
                        mode,
                        channels,
                    },
                });
            }
            Beginning::New | Beginning::Refused(_) => {
                let mut cause = Cause::Subscribed;
                if let Beginning::Refused(reason) = beginning {
                    cause = Cause::Resumed;
                    self.out.numbers.resume_refused.increment();
                    let scope = GapScope::Subscription(id);
                    gaps.push((reason, compose::wide_gap(scope, reason, None, has_books)));
                }
                if opens {
                    for token in &tokens {
                        client.owe(*token, cause);
                    }
                    let opening: HashSet<_> = tokens.into_iter().collect();
                    subscription.opening = Some(opening).filter(|tokens| !tokens.is_empty());
                }
            }
        }
        let is_ready = subscription.opening.is_none();
        client.subscriptions.push(subscription);
        accepted.cursor = self.out.place(at);
        self.out.answer(at, Event::Subscribed(Box::new(accepted)));
        for (reason, gap) in gaps {
            self.out.numbers.count_gap(reason);
            self.out.answer(at, gap);
        }
        if is_ready {
            self.say_ready(at, id);
        }
    }

    fn unsubscribe(&mut self, at: u32, id: u64, now: Instant) -> Result<(), SubscribeError> {
        let Some(client) = self.out.clients.get_mut(at) else {
            return Ok(());
        };
        let position = client.subscriptions.iter().position(|one| one.id == id);
        let Some(position) = position else {
            let message = format!("there is no subscription {id} on this connection");
            return Err(SubscribeError::new("unknown_id", message));
        };
        let ended = client.subscriptions.remove(position);
        let replays = client.replay.as_ref();
        if replays.is_some_and(|replay| replay.subscription == id)
            && let Some(replay) = client.replay.take()
        {
            for token in replay.tokens {
                client.held.remove(&token);
            }
        }
        for token in ended.tokens {
            self.unwatch(at, token, now);
        }
        let is_merged = ended.filter.mode.interval.is_some();
        let cursor = self.out.place(at).filter(|_| !is_merged);
        let place = Place { id, cursor };
        self.out.answer(at, Event::Unsubscribed(place));
        Ok(())
    }

    /// The client wants of a token what its subscriptions name, and nothing else.
    fn unwatch(&mut self, client: u32, at: u32, now: Instant) {
        let mut channels = Channels::NONE;
        if let Some(state) = self.out.clients.get_mut(client) {
            let its = state.subscriptions.iter();
            channels = its
                .filter(|one| one.tokens.contains(&at))
                .fold(channels, |all, one| all.union(one.filter.channels));
            channels = channels.without(Channel::Stats);
            if channels.is_empty() {
                state.forget(at);
            }
        }
        let Some(token) = self.tokens.get_mut(at) else {
            return;
        };
        if let Some(mut watcher) = token.watcher(client).copied() {
            watcher.channels = channels;
            token.set_watcher(watcher);
        }
        if token.watchers.is_empty() {
            token.idle_since.get_or_insert(now);
        }
        let (position, modes) = (self.out.position, &self.out.modes);
        let mode_of = |id: ModeId| modes.get(usize::from(id.0)).copied().unwrap_or_default();
        token.arrange_views(position, now, mode_of);
    }

    fn close(&mut self, at: u32, now: Instant) {
        let Some(client) = self.out.clients.get_mut(at) else {
            return;
        };
        let ended = std::mem::take(&mut client.subscriptions);
        let tokens: HashSet<u32> = ended.into_iter().flat_map(|one| one.tokens).collect();
        for token in tokens {
            self.unwatch(at, token, now);
        }
        self.out.clients.remove(at);
    }
}

/// A mode as errors name it.
fn described(mode: Mode) -> String {
    let mut text = match mode.interval_ms() {
        Some(interval) => format!("mode=conflated&interval_ms={interval}"),
        None => "mode=every".to_owned(),
    };
    match mode.depth {
        Some(depth) => text.push_str(&format!("&depth={depth}")),
        None => text.push_str(" and all levels"),
    }
    text
}
