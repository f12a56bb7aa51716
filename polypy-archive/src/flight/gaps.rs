//! What a file says is missing: what a recorder would have said that had written it.
//!
//! Of the tokens that are followed, as far as the file describes their markets. What was
//! before the file is not its business: a token that no socket carried at its beginning
//! counts from when it is subscribed.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use polypy_core::recording::{Gap, GapScope};
use polypy_core::{Asked, AssetId, Market, Owner};

use super::ring::{Carried, Said};
use crate::coverage::Coverage;
use crate::item::What;

/// Times are in nanoseconds since the epoch.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    coverage: Coverage,
    /// The tokens that are to be covered.
    wanted: HashSet<AssetId>,
    /// Those that a socket carried at the beginning.
    carried: BTreeSet<AssetId>,
}

impl Gaps {
    /// Where a socket stood at the beginning. Of the `unknown` tokens the file has no book.
    pub(super) fn begin(
        &mut self,
        (socket, connection): (u64, &Arc<str>),
        before: &Carried,
        unknown: &HashSet<AssetId>,
        at: u64,
    ) {
        // Nobody waits for anything yet: nothing opens, and nothing heals.
        let mut none = Vec::new();
        self.coverage.opened(socket, connection);
        if let Some(feed) = before.feed {
            self.coverage.delivers(socket, feed.0);
        }
        let tokens: Vec<_> = before.tokens.keys().cloned().collect();
        let asked = Asked::Subscribe;
        self.coverage.asked(socket, asked, &tokens, at, &mut none);
        let is_kept =
            |(token, has_book): &(&AssetId, &bool)| **has_book && !unknown.contains(*token);
        let kept = before.tokens.iter().filter(is_kept);
        let kept: Vec<_> = kept.map(|(token, _)| token.clone()).collect();
        self.coverage
            .first_books(socket, &kept, "earlier", at, &mut none);
        self.carried.extend(tokens);
    }

    /// A market is followed from the beginning. `not_kept`: what is missing of a token that
    /// is carried, and whose book is not there.
    pub(super) fn follow(
        &mut self,
        market: &Market,
        not_kept: impl Fn(&AssetId) -> Option<Gap>,
        at: u64,
    ) -> Vec<Gap> {
        let mut gaps = Vec::new();
        for token in market.tokens.iter().map(|token| &token.token_id) {
            self.wanted.insert(token.clone());
            match not_kept(token) {
                Some(gap) => self.coverage.lacks(token, gap, &mut gaps),
                None if self.carried.contains(token) => {
                    self.coverage.followed(token, at, &mut gaps);
                }
                None => {}
            }
        }
        gaps
    }

    /// A market has ended.
    pub(super) fn end(&mut self, market: &Market, at: u64) -> Vec<Gap> {
        let mut gaps = Vec::new();
        for token in market.tokens.iter().map(|token| &token.token_id) {
            self.coverage.released(token, at, &mut gaps);
        }
        gaps
    }

    /// The program ends.
    pub(super) fn ending(&mut self) {
        self.coverage.ending();
    }

    /// A socket said something, or was told it.
    pub(super) fn said(
        &mut self,
        (socket, connection): (u64, &Arc<str>),
        said: &Said,
        at: u64,
    ) -> Vec<Gap> {
        let mut gaps = Vec::new();
        let what = match said {
            Said::Frame { sequence, .. } => {
                let next = sequence.wrapping_add(1);
                self.coverage.received(socket, next, at);
                return gaps;
            }
            Said::Other(what) => &**what,
        };
        match what {
            What::Opened { .. } => drop(self.coverage.opened(socket, connection)),
            What::Sent(sent) => {
                if sent.asked == Asked::Subscribe {
                    for token in sent
                        .tokens
                        .iter()
                        .filter(|token| self.wanted.contains(*token))
                    {
                        self.coverage.followed(token, at, &mut gaps);
                    }
                }
                self.coverage
                    .asked(socket, sent.asked, &sent.tokens, at, &mut gaps);
            }
            What::FirstBooks(tokens, origin) => {
                self.coverage
                    .first_books(socket, tokens, origin.name(), at, &mut gaps);
            }
            What::Delivers(feed) => self.coverage.delivers(socket, feed.0),
            What::Closed(_, owner) => {
                self.coverage.closed(socket, *owner, at, &mut gaps);
            }
            What::Frames(_) | What::Answer(_) | What::Market(_) | What::Mark(_) | What::Lost(_) => {
            }
        }
        gaps
    }
}

/// What was forgotten of a socket.
pub(super) fn not_kept((socket, connection): (u64, &Arc<str>), to: u64, now: u64) -> Gap {
    Gap {
        scope: GapScope::Socket,
        slot: Some((**connection).into()),
        socket: Some(socket),
        ..Gap::of_recording("not_kept", Owner::Us, (None, Some(to / 1_000)), now / 1_000)
    }
}
