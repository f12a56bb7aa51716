//! The thread that copies books and waits for incidents.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use polypy_core::recording::Mark;
use polypy_core::{AssetId, CheckpointSource, Clock, StaleReason, SuspensionWatch};

use super::copies::{BookCopy, Copies};
use super::incident::{Incident, SocketPart};
use super::{Described, FlightConfig, MarketLookup, Shared, Socket};
use crate::audits::Audit;
use crate::disk::Disk;
use crate::recorder::read_clocks;

/// Between two pages of a walk: the workers have their books to themselves nearly always.
const PAGE: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
/// Between two looks at the sockets of an incident that is waited for.
const LOOK: Duration = Duration::from_millis(100);
/// It waits for no longer at a time.
const BEAT: Duration = Duration::from_secs(1);
/// Panics after which it is left alone. Each is a defect.
const MOST_PANICS: usize = 5;
/// Markets that a file describes.
const MOST_MARKETS: usize = 2_000;

pub(super) struct Watch {
    pub(super) config: FlightConfig,
    pub(super) session: (String, String),
    pub(super) disk: Arc<dyn Disk>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) books: Option<Arc<dyn CheckpointSource>>,
    pub(super) markets: Option<Arc<MarketLookup>>,
    pub(super) shared: Arc<Shared>,
    pub(super) copies: Copies,
    pub(super) state: State,
}

/// What it remembers from one time to the next.
#[derive(Default)]
pub(super) struct State {
    /// When files were written within the last hour, and of incidents of which kinds.
    files: VecDeque<(Instant, BTreeSet<String>)>,
    /// Incidents were left out for being like those of the last file, and that was said.
    is_told_alike: bool,
    /// There were enough, and that was said.
    is_limited: bool,
    /// The disk failed: nothing is tried before this.
    retry_at: Option<Instant>,
    belongings: Belongings,
}

/// What is known of the incidents that are waited for.
#[derive(Default)]
struct Belongings {
    /// How many of them were looked at.
    seen: usize,
    look_at: Option<Instant>,
    answers: Vec<Audit>,
    /// Sockets that carry their tokens, how much each had kept, and had pushed out till then.
    sockets: Vec<(Arc<Socket>, u64, u64)>,
    /// One of these loses more of before than what comes afterwards is worth.
    is_pressing: bool,
}

/// Incidents that are to become a file, and how many there were in all.
type Marks = (Vec<(Instant, Mark)>, u64);

enum Due {
    Walk,
    Look,
    /// All has come that belongs to them.
    Write(Marks),
    Stop(Marks),
}

impl Watch {
    pub(super) fn run(mut self) {
        let mut walk_at = Instant::now() + self.config.walk;
        let mut panics = 0;
        while panics < MOST_PANICS {
            let stepped = catch_unwind(AssertUnwindSafe(|| self.step(&mut walk_at)));
            match stepped {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => {
                    panics += 1;
                    self.shared.numbers.panics.increment();
                    self.state.belongings = Belongings::default();
                    walk_at = Instant::now() + self.config.walk;
                    tracing::error!(panics, "the flight recorder panicked");
                }
            }
        }
        tracing::error!("the flight recorder writes no more files: it panicked too often");
    }

    /// `false`: it is to end.
    fn step(&mut self, walk_at: &mut Instant) -> bool {
        match self.next(*walk_at) {
            Due::Walk => {
                *walk_at = Instant::now() + self.config.walk;
                self.walk();
                *walk_at = Instant::now() + self.config.walk;
            }
            Due::Look => self.look(),
            Due::Write(marks) => self.write(marks),
            Due::Stop(marks) => {
                if !marks.0.is_empty() {
                    self.write(marks);
                }
                return false;
            }
        }
        true
    }

    fn next(&self, walk_at: Instant) -> Due {
        let belongings = &self.state.belongings;
        let mut pending = self.shared.pending.lock();
        loop {
            if pending.is_stopping {
                return Due::Stop(pending.take());
            }
            let now = Instant::now();
            let until = match pending.marks.first() {
                None if now >= walk_at => return Due::Walk,
                None => walk_at,
                Some((first, _)) => {
                    let write_at = *first + self.config.after;
                    if now >= write_at || belongings.is_pressing {
                        return Due::Write(pending.take());
                    }
                    match belongings.look_at {
                        Some(look_at) if now < look_at => write_at.min(look_at),
                        Some(_) | None => return Due::Look,
                    }
                }
            };
            // So that a wait which lasted too long is one in which the process did not run.
            let until = until.min(now + BEAT);
            let _woken = self.shared.woken.wait_until(&mut pending, until);
            let now = Instant::now();
            if now.saturating_duration_since(until) > SuspensionWatch::LIMIT {
                self.shared.lately.lock().suspended(now);
            }
        }
    }

    fn walk(&mut self) {
        let shared = &self.shared;
        let pause = || {
            std::thread::sleep(PAGE);
            let pending = shared.pending.lock();
            !pending.is_stopping && pending.marks.is_empty()
        };
        if let Some(books) = &self.books {
            self.copies.walk(&**books, pause);
        }
        let numbers = &self.shared.numbers;
        numbers.book_bytes.set(self.copies.bytes() as u64);
        numbers.books.set(self.copies.all().count() as u64);
        self.shared.tell_size();
    }

    /// Looks after what belongs to incidents, before it is forgotten.
    fn look(&mut self) {
        let seen = self.state.belongings.seen;
        let new: Vec<Mark> = {
            let pending = self.shared.pending.lock();
            let marks = pending.marks.get(seen..).unwrap_or_default();
            marks.iter().map(|(_, mark)| mark.clone()).collect()
        };
        self.see(&new);
        let belongings = &mut self.state.belongings;
        let is_half_gone = |(socket, kept, before): &(Arc<Socket>, u64, u64)| {
            let gone = socket.ring.lock().pushed_out().saturating_sub(*before);
            gone > kept / 2
        };
        belongings.is_pressing = belongings.sockets.iter().any(is_half_gone);
        belongings.look_at = Some(Instant::now() + LOOK);
    }

    /// Takes out the answers that contradicted a book, and notes which sockets are concerned.
    fn see(&mut self, marks: &[Mark]) {
        let belongings = &mut self.state.belongings;
        belongings.seen += marks.len();
        let of_audits = marks
            .iter()
            .filter(|mark| *mark.kind == *StaleReason::Audit.name());
        let tokens: Vec<_> = of_audits.flat_map(|mark| mark.tokens.clone()).collect();
        if !tokens.is_empty() {
            let found = self.shared.audits.lock().take_about(&tokens);
            belongings.answers.extend(found);
        }
        let tokens: HashSet<&AssetId> = marks.iter().flat_map(|mark| &mark.tokens).collect();
        if tokens.is_empty() {
            return;
        }
        for (_, socket) in self.shared.all_sockets() {
            let is_known = belongings
                .sockets
                .iter()
                .any(|(known, ..)| Arc::ptr_eq(known, &socket));
            let ring = socket.ring.lock();
            if !is_known && ring.carries_one_of(&tokens) {
                let (kept, gone) = (ring.len(), ring.pushed_out());
                drop(ring);
                belongings.sockets.push((socket, kept, gone));
            }
        }
    }

    // ---- files --------------------------------------------------------------

    fn write(&mut self, (marks, count): Marks) {
        // Of those that came since the last look.
        let unseen = marks.get(self.state.belongings.seen..).unwrap_or_default();
        let unseen: Vec<_> = unseen.iter().map(|(_, mark)| mark.clone()).collect();
        self.see(&unseen);
        let belongings = std::mem::take(&mut self.state.belongings);
        let kinds: BTreeSet<_> = marks
            .iter()
            .map(|(_, mark)| mark.kind.to_string())
            .collect();
        if !self.may_write(count, &kinds) {
            return;
        }
        let named: Vec<_> = kinds.iter().cloned().collect();
        let incident = self.freeze(marks, belongings.answers);
        let numbers = &self.shared.numbers;
        match incident.write(&*self.disk, &self.config) {
            Ok(finished) => {
                self.state.files.push_back((Instant::now(), kinds));
                self.state.is_told_alike = false;
                self.state.retry_at = None;
                let file = finished.path.display().to_string();
                tracing::warn!(
                    file,
                    incidents = count,
                    kinds = named.join(", "),
                    frames = finished.frames,
                    "what sockets said before an incident was written to a file"
                );
                numbers.wrote(file);
            }
            Err(error) => {
                self.state.retry_at = Some(Instant::now() + self.config.retry);
                numbers.errors.increment();
                numbers.failed.add(count);
                tracing::warn!(
                    %error,
                    folder = %self.config.folder.display(),
                    "the flight recorder cannot write its file: flight_recorder.dir names another folder"
                );
            }
        }
        self.shared.tell_size();
    }

    /// Whether there may be one more file now; counts the incidents if not.
    fn may_write(&mut self, count: u64, kinds: &BTreeSet<String>) -> bool {
        let now = Instant::now();
        let state = &mut self.state;
        let is_old = |(at, _): &(Instant, _)| now.saturating_duration_since(*at) >= HOUR;
        while state.files.front().is_some_and(is_old) {
            state.files.pop_front();
        }
        if state.files.len() >= self.config.most_an_hour {
            self.shared.numbers.limited.add(count);
            if !std::mem::replace(&mut state.is_limited, true) {
                tracing::warn!(
                    files = state.files.len(),
                    "no more files are made of incidents within this hour: flight_recorder.per_hour"
                );
            }
            return false;
        }
        state.is_limited = false;
        if let Some((last, of)) = state.files.back()
            && kinds.is_subset(of)
            && now.saturating_duration_since(*last) < self.config.pause(state.files.len())
        {
            self.shared.numbers.limited.add(count);
            if !std::mem::replace(&mut state.is_told_alike, true) {
                tracing::info!("no file yet of further incidents like those of the last file");
            }
            return false;
        }
        if state.retry_at.is_some_and(|at| now < at) {
            self.shared.numbers.failed.add(count);
            return false;
        }
        true
    }

    /// Copies all that is kept. Each socket is held up for as long as it takes to copy its
    /// own share.
    fn freeze(&self, marks: Vec<(Instant, Mark)>, answers: Vec<Audit>) -> Incident {
        let clocks = read_clocks(&*self.clock);
        let (now, _) = clocks;
        let mut sockets = Vec::new();
        let mut carried = Vec::new();
        for (number, socket) in self.shared.all_sockets() {
            let mut ring = socket.ring.lock();
            if ring.is_over(now) {
                continue;
            }
            let names = ring.names();
            let copied = names.iter().map(|(key, _)| *key);
            let copied = copied.filter(|key| self.copies.has(*key)).collect();
            let frozen = ring.freeze(now);
            drop(ring);
            carried.extend(names.into_iter().map(|(_, id)| id));
            sockets.push(SocketPart {
                number: number.0,
                connection: Arc::clone(&socket.connection),
                copied,
                frozen,
            });
        }
        let copies: Vec<_> = self.copies.all().cloned().collect();
        Incident {
            markets: self.markets_of(&marks, &copies, &carried),
            lately: self.shared.lately.lock().freeze(now),
            marks,
            answers,
            sockets,
            copies,
            clocks,
            session: self.session.clone(),
        }
    }

    /// The markets of these tokens, as far as there is room: first those of the incidents,
    /// then those of which there is a book.
    fn markets_of(
        &self,
        marks: &[(Instant, Mark)],
        copies: &[BookCopy],
        carried: &[AssetId],
    ) -> Vec<Described> {
        let Some(lookup) = &self.markets else {
            return Vec::new();
        };
        let named = marks.iter().flat_map(|(_, mark)| &mark.tokens);
        let copied = copies
            .iter()
            .map(|copy| &copy.checkpoint.whole.info.asset_id);
        let (mut known, mut found) = (HashSet::new(), Vec::new());
        for token in named.chain(copied).chain(carried) {
            if found.len() == MOST_MARKETS {
                break;
            }
            if known.contains(token) {
                continue;
            }
            known.insert(token.clone());
            if let Some(its) = lookup(token) {
                let tokens = its.market.tokens.iter();
                known.extend(tokens.map(|token| token.token_id.clone()));
                found.push(its);
            }
        }
        found
    }
}
