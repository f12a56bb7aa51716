//! How a client goes on that comes back: token by token, exact or said.

use std::collections::HashSet;

use polypy_core::{AssetKey, Selector};

use super::Hub;
use super::client_state::ClientState;
use super::covering::watches_tokens;
use super::passage;
use super::token::ModeId;
use crate::cursor::Cursor;
use crate::filter::{Channel, Channels, Filter};
use crate::message::GapReason;

/// How a subscription begins.
pub(super) enum Beginning {
    /// With the openings of all its tokens.
    New,
    /// With what happened since.
    Resumed(Resumed),
    /// With the openings of all its tokens, after a gap.
    Refused(GapReason),
}

/// How a subscription goes on, token by token.
#[derive(Debug)]
pub(super) struct Resumed {
    pub(super) position: u64,
    /// Those that begin with their openings: the client cannot have had them, or not
    /// everything of them was published.
    pub(super) late: HashSet<AssetKey>,
    /// Those of them that came since: nothing of them is missing.
    pub(super) new: HashSet<AssetKey>,
    /// Those that the catalogue has forgotten: the client is to be told so, and their
    /// workers' word of it may be on its way.
    pub(super) leaving: Vec<AssetKey>,
    /// All of whose markets something may have been said.
    pub(super) covered: HashSet<AssetKey>,
}

impl Hub {
    /// Whether a client can go on from a cursor.
    pub(super) fn judge(
        &self,
        at: u32,
        cursor: Cursor,
        filter: &Filter,
        mode: ModeId,
        keys: &[AssetKey],
    ) -> Beginning {
        if cursor.instance != self.out.instance || cursor.position > self.out.position {
            return Beginning::Refused(GapReason::Restarted);
        }
        let position = cursor.position;
        if position < self.out.ring.evicted() {
            return Beginning::Refused(GapReason::Expired);
        }
        // One at a time; and what was merged is not kept.
        let is_busy = |client: &ClientState| client.replay.is_some();
        if filter.mode.interval.is_some() || self.out.clients.get(at).is_some_and(is_busy) {
            return Beginning::Refused(GapReason::NotFollowed);
        }
        let channels = filter.channels;
        let leaving = self.leaving(filter, keys);
        let is_of_everything = filter.selectors.contains(&Selector::Everything);
        if !is_of_everything && !self.passage.is_complete_since(position) {
            return Beginning::Refused(GapReason::NotFollowed);
        }
        let words = &filter.selectors;
        let gone = self.passage.gone().filter(|(_, market, place)| {
            *place > position && words.iter().any(|word| passage::names(word, market))
        });
        let mut covered: HashSet<_> = gone.map(|(key, ..)| key).collect();
        let (mut late, mut new) = (HashSet::new(), HashSet::new());
        let (mut has_whole, mut has_hole) = (false, false);
        for key in keys.iter().chain(&leaving) {
            covered.insert(*key);
            let is_announced = self.passage.came_after(*key, position);
            // Who covered everything had all that anybody wanted, announced or not. Who named
            // it may have had it before it was announced, or not.
            let goes_on = self.is_whole_since(*key, position, channels, mode)
                && (is_of_everything || !is_announced);
            let is_new = !goes_on
                && (is_of_everything || is_announced)
                && self.is_first_wanted_after(*key, position);
            has_whole |= goes_on;
            has_hole |= !goes_on && !is_new;
            if !goes_on {
                late.insert(*key);
            }
            if is_new {
                new.insert(*key);
            }
        }
        // A few may come and go; the others go on all the same.
        if has_hole && !has_whole {
            return Beginning::Refused(GapReason::NotFollowed);
        }
        Beginning::Resumed(Resumed {
            position,
            late,
            new,
            leaving,
            covered,
        })
    }

    /// The tokens that a filter names and that the catalogue has forgotten lately, or is
    /// about to. It names `known`, too.
    fn leaving(&self, filter: &Filter, known: &[AssetKey]) -> Vec<AssetKey> {
        if !watches_tokens(filter.channels) {
            return Vec::new();
        }
        let known: HashSet<_> = known.iter().copied().collect();
        let words = &filter.selectors;
        let mut leaving: Vec<_> = if words.contains(&Selector::Everything) {
            self.tokens.iter().map(|(_, token)| token.key).collect()
        } else {
            let gone = self.passage.gone().filter(|(key, market, _)| {
                let its = self.tokens.find(*key).and_then(|at| self.tokens.get(at));
                its.is_some_and(|token| {
                    let id = token.info.info.asset_id.as_str();
                    words.iter().any(|word| match word {
                        Selector::Token(named) => **named == *id,
                        word => passage::names(word, market),
                    })
                })
            });
            gone.map(|(key, ..)| key).collect()
        };
        leaving.retain(|key| !known.contains(key));
        leaving
    }

    /// Whether nobody wanted a token up to a place. So who covered everything there was
    /// cannot have had it: it came later, though nobody has said so.
    fn is_first_wanted_after(&self, key: AssetKey, position: u64) -> bool {
        let token = self.tokens.find(key).and_then(|at| self.tokens.get(at));
        token.is_none_or(|token| token.wanted_since > position)
            && !self.passage.was_let_go_after(key, position)
    }

    /// Whether all that these channels bring of a token was published from a place on.
    pub(super) fn is_whole_since(
        &self,
        key: AssetKey,
        position: u64,
        channels: Channels,
        mode: ModeId,
    ) -> bool {
        let found = self.tokens.find(key);
        let token = found.and_then(|one| self.tokens.get(one));
        token.is_some_and(|token| {
            let is_there = |since: Option<u64>| since.is_some_and(|since| since <= position);
            let view = token.views.iter().find(|view| view.id == mode);
            let has = |channel| channels.has(channel);
            is_there(token.since)
                && (!has(Channel::Book) || view.is_some_and(|view| is_there(view.book_since)))
                && (!has(Channel::Top) || view.is_some_and(|view| is_there(view.top_since)))
        })
    }
}
