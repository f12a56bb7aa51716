//! The tokens that somebody wants, or wanted lately.

use std::collections::{HashMap, VecDeque};

use polypy_core::{AssetKey, CatalogueSource, ChangeSource, Lane};

use super::slab::Slab;
use super::token::{Follow, Token};

/// Books followed at once in a lane: its writer waits for their copies.
const AT_ONCE: usize = 16;

/// The tokens that somebody wants, or wanted lately.
#[derive(Debug)]
pub(super) struct Tokens {
    all: Slab<Token>,
    by_key: HashMap<AssetKey, u32>,
    /// Whose turn it is to be followed, by lane.
    queues: Vec<VecDeque<u32>>,
}

impl Tokens {
    pub(super) fn new(lanes: u16) -> Self {
        Self {
            all: Slab::default(),
            by_key: HashMap::new(),
            queues: vec![VecDeque::new(); usize::from(lanes)],
        }
    }

    pub(super) fn find(&self, key: AssetKey) -> Option<u32> {
        self.by_key.get(&key).copied()
    }

    pub(super) fn get(&self, at: u32) -> Option<&Token> {
        self.all.get(at)
    }

    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut Token> {
        self.all.get_mut(at)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Token)> {
        self.all.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Token)> {
        self.all.iter_mut()
    }

    /// The token, which is followed from now on, at this place; `None` if the catalogue
    /// does not know it any more.
    pub(super) fn want(
        &mut self,
        key: AssetKey,
        place: u64,
        catalogue: &dyn CatalogueSource,
        changes: &dyn ChangeSource,
    ) -> Option<u32> {
        let at = match self.by_key.get(&key) {
            Some(at) => *at,
            None => {
                let info = catalogue.token(key)?;
                let at = self
                    .all
                    .insert(Token::new(info, changes.lane_of(key), place));
                self.by_key.insert(key, at);
                at
            }
        };
        if self.all.get(at)?.follow == Follow::No {
            self.queue(at);
        }
        Some(at)
    }

    /// Its whole book is asked for when it is its turn.
    pub(super) fn queue(&mut self, at: u32) {
        if let Some(token) = self.all.get_mut(at)
            && token.follow != Follow::Queued
            && let Some(queue) = self.queues.get_mut(usize::from(token.lane.0))
        {
            token.follow = Follow::Queued;
            queue.push_back(at);
        }
    }

    /// Takes the next of a lane off their queue.
    pub(super) fn next_to_follow(&mut self, lane: Lane) -> Vec<(u32, AssetKey)> {
        let mut next = Vec::new();
        if let Some(queue) = self.queues.get_mut(usize::from(lane.0)) {
            while next.len() < AT_ONCE
                && let Some(at) = queue.pop_front()
            {
                let token = self.all.get(at);
                let queued = token.filter(|token| token.follow == Follow::Queued);
                next.extend(queued.map(|token| (at, token.key)));
            }
        }
        next
    }

    /// They were followed; if not, it is their turn again.
    pub(super) fn followed(&mut self, lane: Lane, tokens: &[(u32, AssetKey)], is_done: bool) {
        if is_done {
            for (at, _) in tokens {
                if let Some(token) = self.all.get_mut(*at) {
                    token.follow = Follow::Yes;
                }
            }
        } else if let Some(queue) = self.queues.get_mut(usize::from(lane.0)) {
            for (at, _) in tokens.iter().rev() {
                queue.push_front(*at);
            }
        }
    }

    pub(super) fn remove(&mut self, at: u32) -> Option<Token> {
        let token = self.all.remove(at)?;
        self.by_key.remove(&token.key);
        Some(token)
    }
}
