//! What a file says at its beginning of how things were: a page at a time, so that it holds
//! up nothing that comes meanwhile.
//!
//! That sockets are open is said at once, in front of their frames. What they carry, which
//! markets are followed and what is missing comes in pages. It is looked up when it is
//! written: what has changed since the file began has been said, too.

use std::collections::VecDeque;

use polypy_core::recording::{Entry, SocketEvent};
use polypy_core::{AssetId, ConditionId};

use crate::coverage::Coverage;
use crate::item::OpenSocket;
use crate::markets::Markets;

/// Tokens that are named in one entry.
const TOKENS: usize = 500;
/// Markets, or gaps, on one page.
const ROWS: usize = 100;

/// What is still to be said.
#[derive(Debug, Default)]
pub(crate) struct Beginning {
    sockets: VecDeque<u64>,
    markets: VecDeque<ConditionId>,
    missing: VecDeque<AssetId>,
}

impl Beginning {
    pub(crate) fn new(coverage: &Coverage, markets: &Markets) -> Self {
        Self {
            sockets: coverage.open_sockets().into(),
            markets: markets.ids().into(),
            missing: coverage.open_tokens().into(),
        }
    }

    /// Whether all was said.
    pub(crate) fn is_said(&self) -> bool {
        self.sockets.is_empty() && self.markets.is_empty() && self.missing.is_empty()
    }

    /// The next of it.
    pub(crate) fn page(&mut self, coverage: &Coverage, markets: &Markets) -> Vec<Entry> {
        if let Some(socket) = self.sockets.pop_front() {
            let open = coverage.open_socket(socket);
            let events = open.iter().flat_map(Self::carried);
            return events.map(Entry::Socket).collect();
        }
        let ids = self.markets.drain(..ROWS.min(self.markets.len()));
        let events: Vec<_> = ids
            .flat_map(|id| markets.beginning(&id))
            .map(Entry::Catalogue)
            .collect();
        if !events.is_empty() {
            return events;
        }
        let missing = self.missing.drain(..ROWS.min(self.missing.len()));
        let gaps = missing.filter_map(|token| coverage.open_gap(&token));
        gaps.map(Entry::Gap).collect()
    }

    /// That a socket is open.
    pub(crate) fn open(open: &OpenSocket) -> SocketEvent {
        SocketEvent::Open {
            socket: open.socket.0,
            connection: (*open.connection).into(),
            next_sequence: open.next_sequence,
            feed_id: open.feed.map(|feed| feed.0),
        }
    }

    /// All of a socket.
    pub(crate) fn socket(open: &OpenSocket) -> Vec<SocketEvent> {
        let mut events = vec![Self::open(open)];
        events.extend(Self::carried(open));
        events
    }

    /// What a socket carries, and whose books it keeps.
    fn carried(open: &OpenSocket) -> Vec<SocketEvent> {
        let socket = open.socket.0;
        let all = open.tokens.iter().map(|(token, _)| token.clone());
        let kept = open.tokens.iter().filter(|(_, has_book)| *has_book);
        let (all, kept): (Vec<_>, Vec<_>) = (
            all.collect(),
            kept.map(|(token, _)| token.clone()).collect(),
        );
        let carries = all.chunks(TOKENS).map(|tokens| SocketEvent::Carries {
            socket,
            tokens: tokens.to_vec(),
        });
        let keeps = kept.chunks(TOKENS).map(|tokens| SocketEvent::FirstBooks {
            socket,
            tokens: tokens.to_vec(),
            origin: "earlier".into(),
        });
        carries.chain(keeps).collect()
    }
}
