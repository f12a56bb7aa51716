//! Verifying a recording: what it says is applied, and held against itself.
//!
//! Every hash and every stated top is recomputed, both tokens of a market are compared,
//! and checkpoints are held against the books that the frames make. Nothing of the
//! recording's own judgement is taken over.

use std::collections::{HashMap, HashSet};

use polypy_archive::{Fault, Header};
use polypy_core::recording::{
    CatalogueEvent, Entry, Gap, GapScope, Recorded, RecordedBook, SocketEvent,
};
use polypy_core::{
    AssetId, AssetKey, BookChange, BookEvent, BookPosition, BookState, BookStatus, FeedId,
    MarketEvent, Scope, StaleReason,
};
use polypy_net::wire::{self, Decoded, Frame, WireStats};
use polypy_workers::{Findings, OfflineBooks, WorkersConfig};

use super::doubts::{Doubts, Shown};
use super::gaps::Gaps;
use super::report::{LEFT_OUT, Report, TokenReport};
use super::tokens::Tokens;

/// Searches for what a hash was made of, a recorded second: as good as all that are
/// wanted, since nobody waits for the feed here.
const SEARCHES: u32 = 1_000_000;

/// Takes what a recording says, in its order. Times are nanoseconds since the Unix epoch.
#[derive(Debug)]
pub struct Verifier {
    tokens: Tokens,
    wire: WireStats,
    books: OfflineBooks,
    sockets: HashMap<u64, Socket>,
    /// Frames of one read that are decoded, and not applied yet.
    group: Option<Group>,
    decoded: Decoded,
    /// Books that REST brought, by token, for the sockets that begin with them.
    seeds: HashMap<AssetKey, BookEvent>,
    doubts: Doubts,
    gaps: Gaps,
    /// By how much the recorded clock has been set since the beginning.
    clock_moved: i64,
    /// The run of the program that wrote what is read.
    session: Option<String>,
    report: Report,
}

#[derive(Debug, Default)]
struct Socket {
    tokens: HashSet<AssetId>,
    /// Those of which something was lost on it, and no book has come since.
    lost: HashSet<AssetId>,
    next_sequence: Option<u32>,
    /// When its last frame was.
    last: u64,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    socket: u64,
    at: u64,
    /// When its last frame was: those of one read are a nanosecond apart.
    last: u64,
}

impl Verifier {
    /// Of a recording that begins at this moment.
    pub fn new(began: u64) -> Self {
        let mut config = WorkersConfig::default();
        config.integrity.searches_per_second = SEARCHES;
        Self {
            tokens: Tokens::default(),
            wire: WireStats::default(),
            books: OfflineBooks::new(&config, began),
            sockets: HashMap::new(),
            group: None,
            decoded: Decoded::default(),
            seeds: HashMap::new(),
            doubts: Doubts::default(),
            gaps: Gaps::default(),
            clock_moved: 0,
            session: None,
            report: Report {
                began,
                ended: began,
                ..Report::default()
            },
        }
    }

    /// The next entry of a recording.
    pub fn take(&mut self, recorded: &Recorded) {
        let at = recorded.at;
        match &recorded.entry {
            Entry::Frame(frame) => {
                self.frame(frame.socket, Some(frame.sequence), &frame.bytes, at);
            }
            Entry::Control(control) => {
                self.report.control_frames += 1;
                let text = control.text.as_deref().unwrap_or_default();
                self.brought(control.socket, Some(control.sequence), text.as_bytes(), at);
            }
            Entry::Socket(event) => self.take_socket(event, at),
            Entry::Answer(answer) => {
                let is_seed = &*answer.purpose == "seed";
                self.answered(answer.body.as_bytes(), is_seed, at);
            }
            Entry::Gap(gap) => self.gap(gap, at),
            Entry::Clock(clock) => self.clock_set(clock.step, at),
            Entry::Checkpoint(book) => self.recorded_book(book, at),
            Entry::Catalogue(
                CatalogueEvent::New { market } | CatalogueEvent::Followed { market },
            ) => {
                self.pass(at);
                let new = self.tokens.list(market);
                self.books.follow(&new);
            }
            Entry::Sent(_) | Entry::Mark(_) | Entry::Catalogue(_) => self.pass(at),
        }
    }

    fn take_socket(&mut self, event: &SocketEvent, at: u64) {
        match event {
            SocketEvent::Opened { socket, .. } => self.opened(*socket, at),
            SocketEvent::Open {
                socket,
                next_sequence,
                ..
            } => {
                self.opened(*socket, at);
                self.come_to(*socket, *next_sequence, at);
            }
            SocketEvent::Carries { socket, tokens } => self.carries(*socket, tokens, at),
            SocketEvent::FirstBooks {
                socket,
                tokens,
                origin,
            } => {
                if &**origin == "rest" {
                    self.begins_with_answer(*socket, tokens, at);
                }
                self.pass(at);
                if &**origin != "earlier"
                    && let Some(of) = self.sockets.get_mut(socket)
                {
                    of.lost.retain(|token| !tokens.contains(token));
                }
            }
            SocketEvent::Delivers { .. } => self.pass(at),
            SocketEvent::Closed { socket, .. } => self.closed(*socket, at),
        }
    }

    /// The recording says that it lacks something. Of a loss that is told when it has
    /// healed it was told when it began, too.
    fn gap(&mut self, gap: &Gap, at: u64) {
        self.pass(at);
        let is_first = self.gaps.note(gap);
        match (gap.scope, gap.socket) {
            (GapScope::Socket, Some(socket)) if is_first => self.lose(socket, at),
            // A book that lacks something shows it by its hash.
            (GapScope::Recording, _) if &*gap.reason == LEFT_OUT => {}
            (GapScope::Recording, _) if is_first => self.lose_all(at),
            // What sockets lost is in the gaps of the sockets.
            (GapScope::Token | GapScope::Socket | GapScope::Recording, _) => {}
        }
    }

    /// What the recording's manifest says that it lacks, and no file does.
    pub(crate) fn add_untold(&mut self, gaps: &[Gap]) {
        self.gaps.add_untold(gaps);
    }

    /// Another file of the recording begins. What other runs of the program had opened is
    /// gone.
    pub fn file(&mut self, header: &Header) {
        let known = self.session.replace(header.session.clone());
        if known.is_some_and(|known| known != header.session) {
            let mut open: Vec<_> = self.sockets.keys().copied().collect();
            open.sort_unstable();
            let at = header.started.max(self.report.ended);
            open.into_iter().for_each(|socket| self.closed(socket, at));
            self.seeds.clear();
        }
    }

    /// Something of the recording cannot be read. What may have been lost with it was of
    /// all sockets that are open.
    pub fn fault(&mut self, fault: Fault) {
        let at = fault.after.unwrap_or(self.report.ended);
        if fault.what.loses_entries() {
            self.lose_all(at);
        }
        self.report.faults.push(fault);
    }

    /// An entry of a channel that is not known: of a later version.
    pub fn unknown_entry(&mut self) {
        self.report.unknown_entries += 1;
    }

    /// An entry that is not what its channel holds.
    pub fn unreadable_entry(&mut self) {
        self.report.unreadable_entries += 1;
    }

    /// A socket opened, or was open where the recording begins.
    pub fn opened(&mut self, socket: u64, at: u64) {
        self.pass(at);
        self.open(socket);
    }

    /// A socket was asked to bring these tokens.
    pub fn carries(&mut self, socket: u64, tokens: &[AssetId], at: u64) {
        self.pass(at);
        self.open(socket).tokens.extend(tokens.iter().cloned());
        let new = self.tokens.asked(tokens);
        self.books.follow(&new);
    }

    /// A socket brought this frame. `sequence`: its number among those of its socket, if it
    /// is recorded.
    pub fn frame(&mut self, socket: u64, sequence: Option<u32>, bytes: &[u8], at: u64) {
        self.report.frames += 1;
        self.report.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.brought(socket, sequence, bytes, at);
    }

    fn brought(&mut self, socket: u64, sequence: Option<u32>, bytes: &[u8], at: u64) {
        let goes_on = |group: Group| group.socket == socket && at == group.last.saturating_add(1);
        if self.group.is_some_and(goes_on) {
            self.report.ended = self.report.ended.max(at);
        } else {
            self.pass(at);
        }
        self.open(socket);
        if let Some(sequence) = sequence {
            self.come_to(socket, sequence, at);
            let known = self.open(socket);
            known.next_sequence = Some(sequence.wrapping_add(1));
            known.last = at;
        }
        self.learn(bytes);
        let interner = self.tokens.interner();
        match wire::decode(bytes, interner, &self.wire, &mut self.decoded) {
            Frame::Data => {}
            Frame::Garbage => self.report.unreadable_frames += 1,
            Frame::Pong
            | Frame::InvalidOperation
            | Frame::NoNewAssets
            | Frame::InvalidMessage
            | Frame::Control => {}
        }
        let group = self.group.get_or_insert(Group {
            socket,
            at,
            last: at,
        });
        group.last = at;
    }

    /// A socket begins to keep these tokens' books, which REST brought.
    pub fn begins_with_answer(&mut self, socket: u64, tokens: &[AssetId], at: u64) {
        self.pass(at);
        self.open(socket);
        let keys = tokens.iter().filter_map(|id| self.tokens.key(id));
        let books = keys.filter_map(|key| self.seeds.remove(&key));
        let mut events: Vec<_> = books
            .map(|book| MarketEvent::Book(Box::new(book)))
            .collect();
        let now = self.moved(at);
        self.books.deliver(FeedId(socket), &mut events, now);
        self.note_changes();
    }

    /// REST answered with books. Those of a `seed` are kept for the sockets that begin with
    /// them; others are compared.
    pub fn answered(&mut self, body: &[u8], is_seed: bool, at: u64) {
        self.pass(at);
        self.learn(body);
        let books = match wire::decode_books(body, self.tokens.interner()) {
            Ok(answer) => {
                let refused = u64::try_from(answer.refused.len()).unwrap_or(u64::MAX);
                self.report.errors += refused;
                answer.books
            }
            Err(_) => {
                self.report.errors += 1;
                return;
            }
        };
        let now = self.moved(at);
        for book in books {
            if is_seed {
                self.seeds.insert(book.info.key, book);
            } else {
                self.books.audit(Box::new(book), now);
            }
        }
        self.note_changes();
    }

    /// A book that the program had. Nobody may begin with one that was not live.
    fn recorded_book(&mut self, book: &RecordedBook, at: u64) {
        self.pass(at);
        let (key, is_new) = self.tokens.note(&book.token_id, &book.condition_id);
        if is_new {
            self.books.follow(&[key]);
        }
        let info = self.tokens.info(key);
        let Some(event) = info.and_then(|info| book.as_event(info)) else {
            return;
        };
        if book.verified == Some(true) || !self.is_beyond(&event, book.received) {
            self.checkpoint(event, at);
        }
    }

    /// Whether ours has its hash, and has come further since: frames that have one hash are
    /// one state, and a copy that nothing proves may be of its midst.
    fn is_beyond(&self, book: &BookEvent, received: u64) -> bool {
        let ours = self.books.book(book.info.key);
        ours.is_some_and(|ours| {
            let whole = &ours.whole;
            let came = self.recorded(self.books.recorded(whole.received));
            whole.hash == book.hash && whole.status.state == BookState::Live && came > received
        })
    }

    /// A checkpoint of a live book. It is compared with ours, unless we have none that
    /// nothing was lost of: then ours begins with it, on the sockets that carry the token.
    pub fn checkpoint(&mut self, book: BookEvent, at: u64) {
        self.pass(at);
        let (key, token) = (book.info.key, book.info.asset_id.clone());
        let state = self.books.book(key).map(|copy| copy.whole.status.state);
        let is_lost = match state {
            None => true,
            Some(BookState::Stale(reason)) => is_loss(reason),
            Some(BookState::Live | BookState::Pending | BookState::Settled) => false,
        };
        let mut feeds = Vec::new();
        for (socket, of) in &mut self.sockets {
            let is_wanting = of.lost.remove(&token) || is_lost;
            if is_wanting && of.tokens.contains(&token) {
                feeds.push(FeedId(*socket));
            }
        }
        feeds.sort_unstable();
        let now = self.moved(at);
        if is_lost {
            self.books.begin(&book, &feeds, now);
        } else {
            self.books.audit(Box::new(book.clone()), now);
            self.books.begin(&book, &feeds, now);
        }
        self.note_changes();
    }

    /// The recording lacks something of a socket, whatever it was: nothing that the socket
    /// carries is known whole any more.
    pub fn lost(&mut self, socket: u64, at: u64) {
        self.pass(at);
        self.lose(socket, at);
    }

    /// A socket is gone.
    pub fn closed(&mut self, socket: u64, at: u64) {
        self.pass(at);
        if self.sockets.remove(&socket).is_some() {
            let now = self.moved(at);
            self.books
                .close(FeedId(socket), StaleReason::Disconnected, now);
            self.note_changes();
        }
    }

    /// The recorded clock was set by so many nanoseconds; as much time did not pass.
    pub fn clock_set(&mut self, step: i64, at: u64) {
        self.flush();
        self.clock_moved = self.clock_moved.saturating_add(step);
        self.report.clock_steps.push(step);
        self.pass(at);
    }

    /// What was found. Nothing is decided that what was recorded does not decide.
    pub fn finish(mut self) -> Report {
        self.flush();
        let Self {
            tokens,
            wire,
            books,
            doubts,
            gaps,
            mut report,
            ..
        } = self;
        report.gaps = gaps.into_list();
        report.findings = books.totals();
        report.panics = books.panics();
        report.explain_missing();
        report.unknown_events = wire.snapshot().unknown_assets;
        let by_token = books.by_token();
        let (mut stood, unsettled) = doubts.finish(|asset| failed(by_token.get(&asset)));
        report.unsettled = unsettled;
        let told = by_token.iter().filter_map(|(key, findings)| {
            let info = tokens.info(*key)?;
            Some(TokenReport {
                token_id: info.asset_id.clone(),
                findings: *findings,
                contradictions: stood.remove(key).unwrap_or_default(),
            })
        });
        report.tokens = told.collect();
        report.sort();
        report
    }

    // ---- how ----------------------------------------------------------------

    /// The moment by a clock that nobody set.
    fn moved(&self, at: u64) -> u64 {
        at.saturating_add_signed(self.clock_moved.saturating_neg())
    }

    /// The recorded moment of one by a clock that nobody set.
    fn recorded(&self, moment: u64) -> u64 {
        moment.saturating_add_signed(self.clock_moved)
    }

    fn pass(&mut self, at: u64) {
        self.flush();
        self.report.ended = self.report.ended.max(at);
        let now = self.moved(at);
        self.books.look(now);
        self.note_changes();
    }

    fn open(&mut self, socket: u64) -> &mut Socket {
        let books = &mut self.books;
        self.sockets.entry(socket).or_insert_with(|| {
            books.open(FeedId(socket));
            Socket::default()
        })
    }

    fn learn(&mut self, bytes: &[u8]) {
        let new = self.tokens.learn(bytes);
        if !new.is_empty() {
            self.books.follow(&new);
        }
    }

    /// The next frame of a socket has this number.
    fn come_to(&mut self, socket: u64, sequence: u32, at: u64) {
        let known = self.open(socket);
        let last = known.last;
        let expected = known.next_sequence.replace(sequence).unwrap_or(sequence);
        let missing = sequence.wrapping_sub(expected);
        // More than half of the numbers: it comes again.
        if (1..=u32::MAX / 2).contains(&missing) {
            self.flush();
            self.report.note_missing(socket, missing.into(), (last, at));
            self.lose(socket, at);
        }
    }

    fn lose_all(&mut self, at: u64) {
        self.flush();
        let mut open: Vec<_> = self.sockets.keys().copied().collect();
        open.sort_unstable();
        open.into_iter().for_each(|socket| self.lose(socket, at));
    }

    fn lose(&mut self, socket: u64, at: u64) {
        let Some(known) = self.sockets.get_mut(&socket) else {
            return;
        };
        known.lost.clone_from(&known.tokens);
        // Where the recording does not say what it carries, it may be anything.
        let keys: Vec<_> = if known.tokens.is_empty() {
            self.books.by_token().keys().copied().collect()
        } else {
            known
                .tokens
                .iter()
                .filter_map(|id| self.tokens.key(id))
                .collect()
        };
        let now = self.moved(at);
        let scope = Scope::Feed(FeedId(socket));
        self.books.mark(scope, &keys, StaleReason::Dropped, now);
        self.note_changes();
    }

    /// Applies what the last read brought, as the program does.
    fn flush(&mut self) {
        let Some(group) = self.group.take() else {
            return;
        };
        let (feed, now) = (FeedId(group.socket), self.moved(group.at));
        let lost = std::mem::take(&mut self.decoded.undecodable);
        let mark = |books: &mut OfflineBooks| {
            if !lost.is_empty() {
                books.mark(Scope::Feed(feed), &lost, StaleReason::Undecodable, now);
            }
        };
        mark(&mut self.books);
        self.books.deliver(feed, &mut self.decoded.events, now);
        // Again, whatever snapshot it held.
        mark(&mut self.books);
        self.report.errors += self.decoded.errors;
        self.decoded.clear();
        self.note_changes();
    }

    fn note_changes(&mut self) {
        let mut changes = Vec::new();
        self.books.changes(&mut changes);
        for change in changes {
            match change {
                BookChange::Whole(whole) => {
                    self.note_shown(whole.info.key, whole.position, whole.status);
                }
                BookChange::Status(change) => {
                    self.note_shown(change.asset, change.position, change.status);
                }
                BookChange::Reset => {
                    let all: Vec<_> = self.books.by_token().keys().copied().collect();
                    self.books.follow(&all);
                }
                BookChange::Level(_)
                | BookChange::StateEnd(_)
                | BookChange::Trade(_)
                | BookChange::Gone(_) => {}
            }
        }
    }

    fn note_shown(&mut self, asset: AssetKey, position: BookPosition, status: BookStatus) {
        let shown = Shown {
            position,
            state: status.state,
            since: self.recorded(self.books.recorded(status.since)),
            failed: failed(self.books.by_token().get(&asset)),
            hashes: match status.state {
                BookState::Stale(StaleReason::Hash) => self.books.open_hashes(asset),
                _ => None,
            },
        };
        self.doubts.note(asset, shown);
    }
}

/// Checks of a book that failed.
fn failed(found: Option<&Findings>) -> u64 {
    found.map_or(0, |found| {
        found.failed + found.tops_failed + found.audits_failed
    })
}

/// Whether a stale book is one of which something was lost, or that nobody brings.
fn is_loss(reason: StaleReason) -> bool {
    matches!(
        reason,
        StaleReason::Disconnected
            | StaleReason::Dropped
            | StaleReason::WorkerDied
            | StaleReason::Resubscribing
            | StaleReason::Suspended
    )
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
