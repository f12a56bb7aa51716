//! Which tokens a recording covers, and what it has to say of the others.
//!
//! A token is *covered* while a socket that carries it has brought its book and lost
//! nothing since. One that is followed and not covered is a gap. What the recorder itself
//! loses is a gap of a socket or of the recording: nobody knows which tokens it was about.
//! It stays open till the books of all that it may have been about are known again.
//!
//! Times are in nanoseconds since the epoch; those of gaps in microseconds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use polypy_core::recording::{Gap, GapScope};
use polypy_core::{Asked, AssetId, Owner, StaleReason};

use crate::item::OpenSocket;

#[path = "coverage_losses.rs"]
mod losing;

/// Sockets, tokens, and what is missing.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    sockets: BTreeMap<u64, Socket>,
    tokens: HashMap<AssetId, Token>,
    /// What the recorder lost, and whose books are not known since.
    losses: Vec<Loss>,
    /// Nothing is written: what comes now is lost.
    is_away: bool,
    /// The program ends: that sockets close is no loss.
    is_ending: bool,
}

#[derive(Debug)]
struct Socket {
    connection: Arc<str>,
    next_sequence: u32,
    feed: Option<u64>,
    /// When its last frame came.
    last: Option<u64>,
    tokens: BTreeMap<AssetId, Kept>,
}

/// What a socket has of a token that it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// It was asked for it.
    Asked,
    /// Its book, and every change since.
    Book,
    /// Its book, while the recording lacks something of what it said.
    Lost,
}

#[derive(Debug, Default)]
struct Token {
    is_followed: bool,
    /// Sockets that cover it.
    by: usize,
    gap: Option<Box<Gap>>,
}

#[derive(Debug)]
struct Loss {
    gap: Gap,
    pending: BTreeSet<AssetId>,
}

/// Why tokens of a socket are covered no longer.
struct Cause<'a> {
    reason: &'a str,
    owner: Owner,
    socket: u64,
    connection: Arc<str>,
    feed: Option<u64>,
    /// The last moment from which something is there.
    from: u64,
}

impl Cause<'_> {
    fn gap(&self, token: Option<AssetId>, detected: u64) -> Gap {
        Gap {
            scope: if token.is_some() {
                GapScope::Token
            } else {
                GapScope::Socket
            },
            token_id: token,
            slot: Some((*self.connection).into()),
            socket: Some(self.socket),
            feed_id: self.feed,
            from_ts: Some(micros(self.from)),
            to_ts: None,
            detected_ts: micros(detected),
            reason: self.reason.into(),
            owner: self.owner,
            size: None,
            healed_by: None,
            also: Vec::new(),
        }
    }
}

impl Socket {
    fn cause<'a>(&self, socket: u64, reason: &'a str, owner: Owner, at: u64) -> Cause<'a> {
        Cause {
            reason,
            owner,
            socket,
            connection: Arc::clone(&self.connection),
            feed: self.feed,
            from: self.last.unwrap_or(at).min(at),
        }
    }
}

impl Coverage {
    // ---- what sockets say ---------------------------------------------------

    /// A socket opened. `false`: it is known.
    pub(crate) fn opened(&mut self, socket: u64, connection: &Arc<str>) -> bool {
        if self.sockets.contains_key(&socket) {
            return false;
        }
        let row = Socket {
            connection: Arc::clone(connection),
            next_sequence: 0,
            feed: None,
            last: None,
            tokens: BTreeMap::new(),
        };
        self.sockets.insert(socket, row);
        true
    }

    /// Frames came.
    pub(crate) fn received(&mut self, socket: u64, next_sequence: u32, at: u64) {
        if let Some(row) = self.sockets.get_mut(&socket) {
            row.next_sequence = next_sequence;
            row.last = Some(at);
        }
    }

    /// The connection whose socket it is.
    pub(crate) fn connection(&self, socket: u64) -> Option<Arc<str>> {
        let row = self.sockets.get(&socket)?;
        Some(Arc::clone(&row.connection))
    }

    /// What it says is delivered as this feed.
    pub(crate) fn delivers(&mut self, socket: u64, feed: u64) {
        if let Some(row) = self.sockets.get_mut(&socket) {
            row.feed = Some(feed);
        }
    }

    /// The socket was asked for something about these tokens.
    pub(crate) fn asked(
        &mut self,
        socket: u64,
        asked: Asked,
        tokens: &[AssetId],
        at: u64,
        out: &mut Vec<Gap>,
    ) {
        let Some(row) = self.sockets.get_mut(&socket) else {
            return;
        };
        let (mut gone, mut again) = (Vec::new(), Vec::new());
        for token in tokens {
            match asked {
                Asked::Subscribe => {
                    row.tokens.entry(token.clone()).or_insert(Kept::Asked);
                }
                Asked::Unsubscribe => {
                    if row.tokens.remove(token) == Some(Kept::Book) {
                        gone.push(token.clone());
                    }
                }
                Asked::Resubscribe(_) => {
                    let before = row.tokens.insert(token.clone(), Kept::Asked);
                    match before {
                        Some(Kept::Book) => gone.push(token.clone()),
                        Some(Kept::Asked | Kept::Lost) | None => again.push(token.clone()),
                    }
                }
                Asked::Ping => {}
            }
        }
        let (reason, owner) = match asked {
            Asked::Resubscribe(reason) => (reason.name(), reason.owner()),
            // As its book is marked: another socket carries it from now on.
            Asked::Subscribe | Asked::Unsubscribe | Asked::Ping => {
                let reason = StaleReason::Resubscribing;
                (reason.name(), reason.owner())
            }
        };
        let cause = row.cause(socket, reason, owner, at);
        for token in gone {
            self.uncover(&token, &cause, at, out);
        }
        for token in again {
            self.note_further(&token, reason);
        }
    }

    /// The socket keeps these tokens' books from now on.
    pub(crate) fn first_books(
        &mut self,
        socket: u64,
        tokens: &[AssetId],
        origin: &str,
        at: u64,
        out: &mut Vec<Gap>,
    ) {
        let kept = if self.is_away { Kept::Lost } else { Kept::Book };
        for token in tokens {
            let Some(row) = self.sockets.get_mut(&socket) else {
                return;
            };
            let before = row.tokens.insert(token.clone(), kept);
            if kept == Kept::Book && before != Some(Kept::Book) {
                self.cover(token, origin, at, out);
            }
        }
    }

    /// A copy of a live book was written, from which a reader can go on.
    pub(crate) fn checkpointed(&mut self, token: &AssetId, at: u64, out: &mut Vec<Gap>) {
        let mut healed = 0;
        for row in self.sockets.values_mut() {
            if let Some(kept) = row.tokens.get_mut(token)
                && *kept == Kept::Lost
            {
                *kept = Kept::Book;
                healed += 1;
            }
        }
        for _ in 0..healed {
            self.cover(token, "checkpoint", at, out);
        }
    }

    /// The socket is gone. `false`: it was not known.
    pub(crate) fn closed(
        &mut self,
        socket: u64,
        owner: Owner,
        at: u64,
        out: &mut Vec<Gap>,
    ) -> bool {
        let Some(row) = self.sockets.remove(&socket) else {
            return false;
        };
        let cause = row.cause(socket, "disconnected", owner, at);
        let mut is_one_open = false;
        for (token, kept) in &row.tokens {
            match kept {
                Kept::Book => is_one_open |= self.uncover(token, &cause, at, out),
                Kept::Asked => self.note_further(token, cause.reason),
                Kept::Lost => self.give_up(token, &cause, at, out),
            }
        }
        // All that it carried others carry, or nobody wants: what it would have said is
        // missing all the same. That we took it off is no loss.
        if !is_one_open && owner != Owner::Us && !row.tokens.is_empty() && !self.is_ending {
            let mut gap = cause.gap(None, at);
            gap.to_ts = Some(micros(at));
            gap.healed_by = Some("other_sockets".into());
            out.push(gap);
        }
        true
    }

    // ---- what is wanted -----------------------------------------------------

    /// The token is followed from now on.
    pub(crate) fn followed(&mut self, token: &AssetId, at: u64, out: &mut Vec<Gap>) {
        let since = (Some(micros(at)), None);
        let gap = Gap {
            scope: GapScope::Token,
            token_id: Some(token.clone()),
            ..Gap::of_recording("starting", Owner::Us, since, micros(at))
        };
        self.lacks(token, gap, out);
    }

    /// The token is followed from now on, and until its book comes this is missing.
    pub(crate) fn lacks(&mut self, token: &AssetId, gap: Gap, out: &mut Vec<Gap>) {
        let row = self.tokens.entry(token.clone()).or_default();
        if std::mem::replace(&mut row.is_followed, true) || row.by > 0 {
            return;
        }
        out.push(gap.clone());
        row.gap = Some(Box::new(gap));
    }

    /// The token is followed no longer.
    pub(crate) fn released(&mut self, token: &AssetId, at: u64, out: &mut Vec<Gap>) {
        let Some(row) = self.tokens.get_mut(token) else {
            return;
        };
        row.is_followed = false;
        if let Some(gap) = row.gap.take() {
            out.push(healed(*gap, "released", at));
        }
        if row.by == 0 {
            self.tokens.remove(token);
        }
        self.settle(token, "released", at, out);
    }

    /// The program ends: sockets that close now are no loss.
    pub(crate) fn ending(&mut self) {
        self.is_ending = true;
    }

    /// What is missing at the moment, what the recorder lost first.
    pub(crate) fn open_losses(&self) -> Vec<Gap> {
        self.losses.iter().map(|loss| loss.gap.clone()).collect()
    }

    /// The tokens that are missing at the moment.
    pub(crate) fn open_tokens(&self) -> Vec<AssetId> {
        let open = self.tokens.iter().filter(|(_, row)| row.gap.is_some());
        let mut open: Vec<_> = open.map(|(token, _)| token.clone()).collect();
        open.sort_unstable();
        open
    }

    /// The tokens of whose books a reader lacks something on some socket, since the
    /// recorder lost it.
    pub(crate) fn lost_tokens(&self) -> BTreeSet<AssetId> {
        let tokens = self.sockets.values().flat_map(|row| &row.tokens);
        let lost = tokens.filter(|(_, kept)| **kept == Kept::Lost);
        lost.map(|(token, _)| token.clone()).collect()
    }

    /// The gap of a token, if it is missing.
    pub(crate) fn open_gap(&self, token: &AssetId) -> Option<Gap> {
        self.tokens.get(token)?.gap.as_deref().cloned()
    }

    /// Tokens that are followed, and how many of them are covered.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let followed = self.tokens.values().filter(|row| row.is_followed);
        let covered = followed.clone().filter(|row| row.by > 0).count();
        (followed.count(), covered)
    }

    // ---- sockets as a whole -------------------------------------------------

    /// The sockets that are open.
    pub(crate) fn open_sockets(&self) -> Vec<u64> {
        self.sockets.keys().copied().collect()
    }

    /// What is known of an open socket; tokens with whether it keeps their books.
    pub(crate) fn open_socket(&self, socket: u64) -> Option<OpenSocket> {
        let row = self.sockets.get(&socket)?;
        let kept = |kept: Kept| matches!(kept, Kept::Book | Kept::Lost);
        let tokens = row.tokens.iter();
        Some(OpenSocket {
            socket: polypy_core::SocketId(socket),
            connection: Arc::clone(&row.connection),
            next_sequence: row.next_sequence,
            feed: row.feed.map(polypy_core::FeedId),
            tokens: tokens.map(|(id, of)| (id.clone(), kept(*of))).collect(),
        })
    }

    /// What was said of a socket was lost; this is how it is. Its books are not known.
    pub(crate) fn replace(&mut self, open: &OpenSocket, at: u64, out: &mut Vec<Gap>) {
        let socket = open.socket.0;
        self.opened(socket, &open.connection);
        let (tokens, books): (Vec<_>, Vec<_>) = open.tokens.iter().cloned().unzip();
        let before = self.open_socket(socket).map(|row| row.tokens);
        let is_gone = |token: &AssetId| !tokens.contains(token);
        let gone: Vec<_> = before
            .into_iter()
            .flatten()
            .map(|(token, _)| token)
            .filter(is_gone)
            .collect();
        self.asked(socket, Asked::Unsubscribe, &gone, at, out);
        if let Some(row) = self.sockets.get_mut(&socket) {
            row.feed = open.feed.map(|feed| feed.0);
            for (token, has_book) in tokens.into_iter().zip(books) {
                let kept = if has_book { Kept::Lost } else { Kept::Asked };
                let _known = row.tokens.entry(token).or_insert(kept);
            }
        }
    }

    // ---- how ----------------------------------------------------------------

    /// A socket covers the token no longer. Whether that opened a gap.
    fn uncover(&mut self, token: &AssetId, cause: &Cause<'_>, at: u64, out: &mut Vec<Gap>) -> bool {
        let Some(row) = self.tokens.get_mut(token) else {
            return false;
        };
        row.by = row.by.saturating_sub(1);
        if row.by > 0 {
            return false;
        }
        if !row.is_followed {
            self.tokens.remove(token);
            return false;
        }
        if self.is_ending {
            return false;
        }
        let gap = cause.gap(Some(token.clone()), at);
        out.push(gap.clone());
        row.gap = Some(Box::new(gap));
        true
    }

    /// One more socket covers the token.
    fn cover(&mut self, token: &AssetId, by: &str, at: u64, out: &mut Vec<Gap>) {
        let row = self.tokens.entry(token.clone()).or_default();
        row.by += 1;
        if let Some(gap) = row.gap.take() {
            out.push(healed(*gap, by, at));
        }
        self.settle(token, by, at, out);
    }

    /// A further cause for a token that is missing.
    fn note_further(&mut self, token: &AssetId, reason: &str) {
        let row = self.tokens.get_mut(token);
        if let Some(gap) = row.and_then(|row| row.gap.as_deref_mut()) {
            note_reason(gap, reason);
        }
    }

    /// A socket ended of whose frames something was lost, and no copy of the book came.
    fn give_up(&mut self, token: &AssetId, cause: &Cause<'_>, at: u64, out: &mut Vec<Gap>) {
        let mut others = self.sockets.values();
        if others.any(|row| row.tokens.get(token) == Some(&Kept::Lost)) {
            return;
        }
        let loss = self.losses.iter().find(|loss| loss.pending.contains(token));
        let Some(loss) = loss else { return };
        let gap = Gap {
            from_ts: loss.gap.from_ts,
            reason: loss.gap.reason.clone(),
            owner: loss.gap.owner,
            also: vec![cause.reason.into()],
            ..cause.gap(Some(token.clone()), at)
        };
        if let Some(row) = self.tokens.get_mut(token) {
            out.push(gap.clone());
            row.gap = Some(Box::new(gap));
        }
        self.settle(token, "told_by_token", at, out);
    }

    /// Something of what these sockets said is missing. The tokens that nobody covers now,
    /// and of which that is not said yet.
    fn lose_books(&mut self, sockets: &[u64]) -> BTreeSet<AssetId> {
        let mut lost = Vec::new();
        for socket in sockets {
            let Some(row) = self.sockets.get_mut(socket) else {
                continue;
            };
            for (token, kept) in &mut row.tokens {
                match kept {
                    Kept::Asked => continue,
                    Kept::Book => {
                        *kept = Kept::Lost;
                        if let Some(row) = self.tokens.get_mut(token) {
                            row.by = row.by.saturating_sub(1);
                        }
                    }
                    // Of an earlier loss: it waits for both.
                    Kept::Lost => {}
                }
                lost.push(token.clone());
            }
        }
        let is_missing = |token: &AssetId| {
            let row = self.tokens.get(token);
            row.is_some_and(|row| row.is_followed && row.by == 0 && row.gap.is_none())
        };
        lost.into_iter().filter(is_missing).collect()
    }

    fn losing(&mut self, gap: Gap, pending: BTreeSet<AssetId>, at: u64, out: &mut Vec<Gap>) {
        if pending.is_empty() {
            out.push(healed(gap, "nothing_carried", at));
        } else {
            out.push(gap.clone());
            self.losses.push(Loss { gap, pending });
        }
    }

    /// The token waits for nothing any more.
    fn settle(&mut self, token: &AssetId, by: &str, at: u64, out: &mut Vec<Gap>) {
        let mut is_any = false;
        for loss in &mut self.losses {
            is_any |= loss.pending.remove(token);
        }
        if is_any && !self.is_away {
            self.heal_empty(by, at, out);
        }
    }

    fn heal_empty(&mut self, by: &str, at: u64, out: &mut Vec<Gap>) {
        let losses = std::mem::take(&mut self.losses);
        for loss in losses {
            if loss.pending.is_empty() {
                out.push(healed(loss.gap, by, at));
            } else {
                self.losses.push(loss);
            }
        }
    }
}

fn note_reason(gap: &mut Gap, reason: &str) {
    let is_known = *gap.reason == *reason || gap.also.iter().any(|also| **also == *reason);
    if !is_known {
        gap.also.push(reason.into());
    }
}

fn healed(mut gap: Gap, by: &str, at: u64) -> Gap {
    gap.to_ts = Some(micros(at));
    gap.healed_by = Some(by.into());
    gap
}

pub(crate) fn micros(at: u64) -> u64 {
    at / 1_000
}

#[cfg(test)]
#[path = "coverage_tests.rs"]
mod tests;
