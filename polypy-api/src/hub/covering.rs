//! Subscriptions take in the tokens that come while they are there.

use std::time::Instant;

use polypy_core::{AssetKey, Market, Selector};

use super::Hub;
use super::token::ModeId;
use crate::filter::{Channels, Filter};
use crate::message::Cause;

impl Hub {
    /// Takes a market's tokens into the subscriptions that name them.
    pub(super) fn cover(&mut self, market: &Market, keys: &[AssetKey], now: Instant) {
        let clients = self.out.clients.iter();
        let mut covering = Vec::new();
        for (at, client) in clients {
            for one in &client.subscriptions {
                let filter = &one.filter;
                if !watches_tokens(filter.channels) {
                    continue;
                }
                let named: Vec<_> = keys
                    .iter()
                    .copied()
                    .filter(|key| self.names(filter, market, *key))
                    .collect();
                if !named.is_empty() {
                    covering.push((at, one.id, filter.channels, filter.mode, named));
                }
            }
        }
        for (at, id, channels, mode, named) in covering {
            let mode = self.mode_id(mode, now);
            for key in named {
                self.take_in(at, id, key, channels, mode, now);
            }
        }
    }

    /// Takes into each subscription what it names and does not cover: some of what
    /// happened to markets is lost.
    pub(super) fn cover_again(&mut self, now: Instant) {
        let clients = self.out.clients.iter();
        let subscriptions = clients.flat_map(|(at, client)| {
            let its = client.subscriptions.iter();
            its.map(move |one| (at, one.id, one.filter.clone()))
        });
        for (at, id, filter) in subscriptions.collect::<Vec<_>>() {
            let resolved = self.resolve(&filter);
            let mode = self.mode_id(filter.mode, now);
            for key in resolved.keys {
                self.take_in(at, id, key, filter.channels, mode, now);
            }
        }
    }

    /// Takes tokens that are new here into each subscription to everything. So what is
    /// followed is covered by all of them, whether its announcement has come or not, and
    /// a cursor vouches for it. `but` is the subscription that brings them.
    pub(super) fn cover_everywhere(&mut self, keys: &[AssetKey], but: (u32, u64), now: Instant) {
        if keys.is_empty() {
            return;
        }
        let clients = self.out.clients.iter();
        let subscriptions = clients.flat_map(|(at, client)| {
            let its = client.subscriptions.iter().map(|one| (one.id, &one.filter));
            let of_everything = its.filter(|(_, filter)| {
                filter.selectors.contains(&Selector::Everything) && watches_tokens(filter.channels)
            });
            let others = of_everything.filter(move |(id, _)| (at, *id) != but);
            others.map(move |(id, filter)| (at, id, filter.channels, filter.mode))
        });
        for (at, id, channels, mode) in subscriptions.collect::<Vec<_>>() {
            let mode = self.mode_id(mode, now);
            for key in keys {
                self.take_in(at, id, *key, channels, mode, now);
            }
        }
    }

    /// Takes a token that came into a subscription.
    pub(super) fn take_in(
        &mut self,
        at: u32,
        id: u64,
        key: AssetKey,
        channels: Channels,
        mode: ModeId,
        now: Instant,
    ) {
        let mut joining = self.joining.iter_mut();
        if let Some(joining) = joining.find(|one| one.is_of(at, Some(id))) {
            joining.note_coming(key);
            return;
        }
        let Some(token) = self.watch(at, key, channels, mode, now) else {
            return;
        };
        let Some(client) = self.out.clients.get_mut(at) else {
            return;
        };
        let one = client.subscriptions.iter_mut().find(|one| one.id == id);
        let Some(one) = one else { return };
        let opens = one.opens();
        if one.tokens.insert(token) && opens {
            client.owe(token, Cause::Subscribed);
        }
    }

    /// Whether a filter names a token of a market.
    fn names(&self, filter: &Filter, market: &Market, key: AssetKey) -> bool {
        filter.selectors.iter().any(|selector| match selector {
            Selector::Everything => true,
            Selector::Token(id) => {
                let token = self.asked.catalogue.token(key);
                token.is_some_and(|token| token.info.asset_id.as_str() == &**id)
            }
            Selector::Market(name) if **name == *market.condition_id.as_str() => true,
            // By a name that only the catalogue understands.
            other => self.asked.catalogue.resolve(other).contains(&key),
        })
    }
}

/// Whether any of the channels brings something of tokens.
pub(super) fn watches_tokens(channels: Channels) -> bool {
    !channels.of_tokens().is_empty()
}
