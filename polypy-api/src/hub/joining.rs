//! How a subscription takes in its tokens: some in each round, so that a client of
//! everything keeps nobody else waiting.
//!
//! Until it has all of them, its client has no place and is not ready. A token that it has
//! taken in is like any other: what happens to it is held back until it is opened, or until
//! what happened before was given.

use std::collections::HashSet;
use std::time::Instant;

use polypy_core::{AssetKey, Selector};

use super::Hub;
use super::client_state::{Held, Replay, Subscription};
use super::compose;
use super::resuming::{Beginning, Resumed};
use super::subscriptions::{Accepted, Asking};
use super::token::{ModeId, Stage, Watcher};
use crate::filter::{Channel, Channels};
use crate::message::{Cause, Event, GapReason, GapScope, Subscribed};

/// A subscription on the way to its tokens.
#[derive(Debug)]
pub(super) struct Joining {
    client: u32,
    subscription: u64,
    mode: ModeId,
    channels: Channels,
    /// Those that it has not taken in. The next one is the last of them.
    keys: Vec<AssetKey>,
    begins: Begins,
    /// Those that came while it was on the way, or seemed to. They begin after the others,
    /// of which they may be some: one that the client had before is no new one.
    came: Vec<AssetKey>,
}

/// How its tokens begin.
#[derive(Debug)]
enum Begins {
    /// With their openings, if it has any.
    Opening(Cause),
    /// With what happened since a place.
    Since(Resumed),
}

/// Something that is missing, and its message.
type Missing = (GapReason, Event);

impl Joining {
    /// Whether it is the client's, and this subscription if one is named.
    pub(super) fn is_of(&self, client: u32, subscription: Option<u64>) -> bool {
        self.client == client && subscription.is_none_or(|id| id == self.subscription)
    }

    /// A token came that the subscription covers.
    pub(super) fn note_coming(&mut self, key: AssetKey) {
        self.came.push(key);
    }

    fn is_through(&self) -> bool {
        self.keys.is_empty() && self.came.is_empty()
    }
}

impl Hub {
    /// Begins a subscription that was accepted.
    pub(super) fn begin(
        &mut self,
        at: u32,
        asking: Asking,
        accepted: Accepted,
        beginning: Beginning,
        now: Instant,
    ) {
        let Asking { id, filter, mode } = asking;
        let Accepted {
            covered,
            unknown,
            mut keys,
        } = accepted;
        let Some(client) = self.out.clients.get_mut(at) else {
            return;
        };
        let channels = filter.channels;
        let mut accepted = Subscribed {
            id,
            tokens: u64::try_from(covered).unwrap_or(u64::MAX),
            unknown,
            channels,
            mode: filter.mode,
            heartbeat_ms: self.out.config.heartbeat_ms(),
            was_resuming: !matches!(beginning, Beginning::New),
            recovered: false,
            cursor: None,
        };
        let mut missing = Vec::new();
        let begins = match beginning {
            Beginning::New => Begins::Opening(Cause::Subscribed),
            Beginning::Refused(reason) => {
                self.out.numbers.resume_refused.increment();
                let (scope, has_books) = (GapScope::Subscription(id), channels.has(Channel::Book));
                let gap = compose::wide_gap(scope, reason, None, has_books);
                missing.push((reason, gap));
                Begins::Opening(Cause::Resumed)
            }
            Beginning::Resumed(mut resumed) => {
                accepted.recovered = true;
                self.out.numbers.resumed.increment();
                client.replay = Some(Replay {
                    subscription: id,
                    tokens: HashSet::new(),
                    new: HashSet::new(),
                    covered: std::mem::take(&mut resumed.covered),
                    position: resumed.position,
                    is_of_everything: filter.selectors.contains(&Selector::Everything),
                    watcher: Watcher {
                        client: at,
                        mode,
                        channels,
                    },
                    is_begun: false,
                });
                Begins::Since(resumed)
            }
        };
        client.subscriptions.push(Subscription {
            id,
            tokens: HashSet::new(),
            opening: Some(HashSet::new()),
            is_joining: true,
            filter,
        });
        client.joining += 1;
        // In the order in which they were named.
        keys.reverse();
        let mut joining = Joining {
            client: at,
            subscription: id,
            mode,
            channels,
            keys,
            begins,
            came: Vec::new(),
        };
        missing.extend(self.take_in_some(&mut joining, now));
        let is_through = joining.is_through();
        if is_through {
            self.has_joined(&joining);
        }
        accepted.cursor = self.out.place(at);
        self.out.answer(at, Event::Subscribed(Box::new(accepted)));
        self.say_missing(at, missing);
        if is_through {
            self.say_joined(&joining);
        } else {
            self.joining.push_back(joining);
        }
    }

    /// Has subscriptions take in some of their tokens; whether there were any.
    pub(super) fn join(&mut self, now: Instant) -> bool {
        let mut did = false;
        while self.room > 0
            && let Some(mut joining) = self.joining.pop_front()
        {
            did = true;
            let missing = self.take_in_some(&mut joining, now);
            self.say_missing(joining.client, missing);
            if joining.is_through() {
                self.has_joined(&joining);
                self.say_joined(&joining);
            } else {
                // Another one's turn comes first.
                self.joining.push_back(joining);
            }
        }
        did
    }

    /// As many as there is room for in this round. What is missing of them.
    fn take_in_some(&mut self, joining: &mut Joining, now: Instant) -> Vec<Missing> {
        let &mut Joining {
            client,
            subscription,
            mode,
            channels,
            ..
        } = joining;
        let (mut missing, mut new) = (Vec::new(), Vec::new());
        while self.room > 0
            && let Some(key) = joining.keys.pop()
        {
            self.room -= 1;
            // It may have been let go of since that was judged.
            let is_whole = match &joining.begins {
                Begins::Opening(_) => false,
                Begins::Since(resumed) => {
                    !resumed.late.contains(&key)
                        && self.is_whole_since(key, resumed.position, channels, mode)
                }
            };
            if self.tokens.find(key).is_none() {
                new.push(key);
            }
            if let Some(token) = self.watch(client, key, channels, mode, now) {
                missing.extend(self.hold_back(joining, token, key, is_whole));
            }
        }
        while self.room > 0
            && joining.keys.is_empty()
            && let Some(key) = joining.came.pop()
        {
            self.room -= 1;
            self.take_in(client, subscription, key, channels, mode, now);
        }
        self.cover_everywhere(&new, (client, subscription), now);
        missing
    }

    /// What happens to a token waits for what comes first. If something is missing of it,
    /// that.
    fn hold_back(
        &mut self,
        joining: &Joining,
        at: u32,
        key: AssetKey,
        is_whole: bool,
    ) -> Option<Missing> {
        let client = self.out.clients.get_mut(joining.client)?;
        let mut its = client.subscriptions.iter_mut();
        let one = its.find(|one| one.id == joining.subscription)?;
        one.tokens.insert(at);
        let opens = one.opens();
        let opening = one.opening.get_or_insert_default();
        let resumed = match &joining.begins {
            Begins::Opening(cause) => {
                if opens {
                    opening.insert(at);
                    client.owe(at, *cause);
                }
                return None;
            }
            Begins::Since(resumed) => resumed,
        };
        let replay = client.replay.as_mut();
        match replay.filter(|replay| replay.subscription == joining.subscription) {
            // Its queue was full meanwhile, and everything begins again.
            None => {
                if opens {
                    opening.insert(at);
                    client.owe(at, Cause::Gap);
                }
                return None;
            }
            Some(replay) if is_whole => {
                opening.insert(at);
                replay.tokens.insert(at);
                let held = Held {
                    cause: None,
                    is_heard_of: true,
                };
                client.held.insert(at, held);
                return None;
            }
            Some(replay) => {
                opening.insert(at);
                let is_new = resumed.new.contains(&key);
                if is_new {
                    replay.new.insert(at);
                }
                client.owe(at, Cause::Subscribed);
                if is_new {
                    return None;
                }
            }
        }
        // What happened to it since then is not given again.
        let token = self.tokens.get(at)?;
        let reason = GapReason::NotFollowed;
        let has_books = joining.channels.has(Channel::Book);
        let opens = has_books && !matches!(token.stage, Stage::Gone);
        let gap = compose::gap(&token.info, None, token.kept(), reason, opens, &self.anchor);
        Some((reason, gap))
    }

    fn say_missing(&mut self, client: u32, missing: Vec<Missing>) {
        for (reason, gap) in missing {
            self.out.numbers.count_gap(reason);
            self.out.answer(client, gap);
        }
    }

    /// A subscription has all its tokens.
    fn has_joined(&mut self, joining: &Joining) {
        let Some(client) = self.out.clients.get_mut(joining.client) else {
            return;
        };
        client.joining -= 1;
        let mut its = client.subscriptions.iter_mut();
        if let Some(one) = its.find(|one| one.id == joining.subscription) {
            one.is_joining = false;
        }
        let replay = client.replay.as_mut();
        if let Some(replay) = replay.filter(|replay| replay.subscription == joining.subscription) {
            replay.is_begun = true;
        }
    }

    /// Says that it is ready, if nothing is to come first.
    fn say_joined(&mut self, joining: &Joining) {
        let client = self.out.clients.get(joining.client);
        if client.is_some_and(|client| client.replay.is_none()) {
            self.say_who_is_ready(joining.client);
        }
    }

    /// A token that the client is on the way to in another mode, and that mode.
    pub(super) fn on_their_way(
        &self,
        client: u32,
        mode: ModeId,
        keys: &[AssetKey],
    ) -> Option<(AssetKey, ModeId)> {
        let all = self.joining.iter();
        let mut others = all
            .filter(|one| one.is_of(client, None) && one.mode != mode)
            .peekable();
        others.peek()?;
        let named: HashSet<_> = keys.iter().collect();
        others.find_map(|one| {
            let key = one.keys.iter().find(|key| named.contains(key))?;
            Some((*key, one.mode))
        })
    }
}
