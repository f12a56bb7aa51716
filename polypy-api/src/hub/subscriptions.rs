//! What clients ask for.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use polypy_core::{AssetKey, CatalogueSource, Selector, TokenInfo};

use super::client_state::ClientState;
use super::covering::watches_tokens;
use super::resuming::Beginning;
use super::token::{ModeId, Stage, Watcher};
use super::{Hub, Tick};
use crate::client::{Command, SubscribeError};
use crate::cursor::Cursor;
use crate::filter::{Channels, Filter, Mode, quoted};
use crate::message::{Event, Heartbeat, Place, Published};
use crate::read::Missing;

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
    fn refusal(&self, filter: &Filter, catalogue: &dyn CatalogueSource) -> SubscribeError {
        let selectors = filter.selectors.iter();
        let mut listed = selectors.filter_map(|selector| {
            let entry = catalogue.not_followed(selector)?;
            Some(Missing::not_followed(selector.text(), &entry))
        });
        let listed = listed.next();
        let mut names: Vec<_> = match &listed {
            Some(missing) => vec![quoted(&missing.name)],
            None => self.unknown.iter().map(|name| quoted(name)).collect(),
        };
        let more = self.unknown.len().saturating_sub(names.len().min(3));
        names.truncate(3);
        let mut names = names.join(", ");
        if more > 0 {
            names.push_str(&format!(" and {more} more"));
        }
        match listed {
            Some(Missing { code, message, .. }) => SubscribeError::new(
                code,
                format!("no book of the subscription is kept here: {names}; {message}"),
            ),
            None => SubscribeError::new(
                "unknown_token",
                format!(
                    "no token of the subscription is known here: {names}; /markets lists the tokens"
                ),
            ),
        }
    }
}

/// What a client asks for.
pub(super) struct Asking {
    pub(super) id: u64,
    pub(super) filter: Filter,
    pub(super) mode: ModeId,
}

/// What a subscription covers.
pub(super) struct Accepted {
    /// Tokens that the catalogue knows.
    pub(super) covered: usize,
    pub(super) unknown: Vec<Box<str>>,
    /// Those, and those that it has forgotten, of which the client may have to hear.
    pub(super) keys: Vec<AssetKey>,
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
                Command::Tell(told) => self.tell(&told, now),
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
            self.out.clients.touch(at);
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
            return Err(resolved.refusal(&filter, &*self.asked.catalogue));
        }
        self.agrees(at, mode, filter.mode, &keys)?;
        let accepted = Accepted {
            covered: resolved.keys.len(),
            unknown: resolved.unknown,
            keys,
        };
        let asked = Asking { id, filter, mode };
        self.begin(at, asked, accepted, beginning, now);
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
                return Err(conflict(&token.info, self.out.mode(watcher.mode), asked));
            }
        }
        if let Some((key, other)) = self.on_their_way(at, mode, keys)
            && let Some(info) = self.asked.catalogue.token(key)
        {
            return Err(conflict(&info, self.out.mode(other), asked));
        }
        Ok(())
    }

    /// The number of a mode, new if it is the first of its kind.
    pub(super) fn mode_id(&mut self, mode: Mode, now: Instant) -> ModeId {
        let known = self.out.modes.iter().position(|known| *known == mode);
        let at = known.unwrap_or_else(|| {
            self.out.modes.push(mode);
            self.ticks.push(Tick::new(now));
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
        if self.tokens.find(key).is_none() {
            // Behind each cursor that was given before.
            self.out.position += 1;
        }
        let place = self.out.position;
        let at = self
            .tokens
            .want(key, place, &*asked.catalogue, &*asked.changes)?;
        let token = self.tokens.get_mut(at)?;
        let mut watcher = Watcher {
            client,
            mode,
            channels: channels.of_tokens(),
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
        if ended.is_joining {
            client.joining -= 1;
            self.joining.retain(|one| !one.is_of(at, Some(id)));
        }
        let replays = client.replay.as_ref();
        if replays.is_some_and(|replay| replay.subscription == id)
            && let Some(replay) = client.replay.take()
        {
            for token in replay.tokens {
                client.held.remove(&token);
            }
        }
        for token in &ended.tokens {
            self.unwatch(at, *token, now);
        }
        self.narrow_backlog(at);
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
            channels = channels.of_tokens();
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
        self.joining.retain(|one| !one.is_of(at, None));
        let tokens: HashSet<u32> = ended.into_iter().flat_map(|one| one.tokens).collect();
        for token in tokens {
            self.unwatch(at, token, now);
        }
        self.out.clients.remove(at);
    }
}

/// Another subscription of the connection shows the token otherwise.
fn conflict(token: &TokenInfo, other: Mode, asked: Mode) -> SubscribeError {
    let message = format!(
        "token {} is covered by another subscription of this connection with {}, not with {}: \
         ask for the same, or use another connection",
        token.info.asset_id,
        described(other),
        described(asked)
    );
    SubscribeError::new("conflict", message)
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
