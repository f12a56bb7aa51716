//! A recording made ready to be played, entry by entry.
//!
//! What several sockets brought becomes what one would have: frames once, whole books only
//! if they are news. Where all sockets that carried a token are gone, or the recording lacks
//! something, the token is lost until a book of it comes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use polypy_core::recording::{
    self, CatalogueEvent, Entry, Frame, Gap, GapScope, Recorded, RecordingError, RecordingSource,
    RestAnswer, SocketEvent,
};
use polypy_core::{BookOrigin, Purpose, Timestamp};
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::effects::{Effect, Place, Places, RecordedBook, events};
use crate::mangle;
use crate::once::Once;
use crate::played::is_late;
use crate::recording::{Recording, booked};
use crate::waiting::Waiting;

/// A batch ends with so many lines, or so many bytes.
const BATCH: usize = 1_024;
const BATCH_BYTES: usize = 1 << 20;
/// Longer pauses are passed over.
const LONGEST_PAUSE: u64 = 10_000_000_000;
/// Reasons of gaps in which changes were lost, and not only asked for again.
const LOSSES: [&str; 8] = [
    "damaged",
    "disconnected",
    "disk",
    "killed",
    "lost",
    "recorder",
    "session",
    "too_large",
];

/// What is to be done at one moment.
#[derive(Debug)]
pub(crate) struct Line {
    /// Time since the first frame.
    pub(crate) at: Duration,
    pub(crate) kind: LineKind,
    pub(crate) text: Utf8Bytes,
    /// Whom it concerns; nobody in particular when empty.
    pub(crate) markets: Vec<usize>,
    pub(crate) places: Vec<Place>,
    pub(crate) effects: Vec<Effect>,
    /// Recorded frames that are over with it.
    pub(crate) frames: usize,
    /// When `at` is zero, in nanoseconds since the epoch: another time behind a pause that
    /// is passed over.
    pub(crate) zero: u64,
}

impl Line {
    /// What it says is of another time, so many milliseconds later.
    pub(crate) fn shift(&mut self, by: i64) {
        if let Some(text) = mangle::shifted(&self.text, by) {
            self.text = text.into();
        }
        self.effects.iter_mut().for_each(|effect| effect.shift(by));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineKind {
    /// A frame goes out, with its effects.
    Frame,
    /// Its effects alone: what was before the moment at which playing begins, and what no
    /// frame has said.
    Quiet,
    /// Books begin that no frame brought.
    Begin,
    /// These places are lost.
    Lose,
    /// They were, before the moment at which playing begins.
    Forget,
}

/// Makes lines of a recording's entries.
pub(crate) struct Reading {
    source: Box<dyn RecordingSource>,
    places: Arc<Places>,
    /// Nanoseconds since the epoch of what is played; what is before is applied unseen.
    span: Range<u64>,
    jumps_pauses: bool,
    entries: VecDeque<Recorded>,
    is_over: bool,
    once: Once,
    /// The tokens whose books each open socket has brought.
    sockets: HashMap<u64, HashSet<Place>>,
    /// Those of which the recorder has lost something on a socket since.
    lacking: HashMap<u64, HashSet<Place>>,
    /// How far each token has come.
    newest: HashMap<Place, Timestamp>,
    /// Tokens that have no book yet.
    waiting: Waiting,
    /// Books that REST brought, and no socket has begun with.
    seeds: HashMap<Place, RecordedBook>,
    known_gaps: HashSet<(GapScope, Option<u64>, Option<u64>)>,
    /// Lost, and not told: at the end nobody has to know.
    lost: Vec<Place>,
    clock: Clock,
    frames: usize,
}

#[derive(Debug, Default)]
struct Clock {
    first: Option<u64>,
    last: u64,
    passed: u64,
}

impl Clock {
    /// When nothing had passed.
    fn zero(&self) -> u64 {
        self.last.saturating_sub(self.passed)
    }
}

impl Reading {
    pub(crate) fn new(recording: Recording, span: Range<u64>) -> Self {
        Self {
            source: recording.source,
            places: recording.places,
            span,
            jumps_pauses: recording.jumps_pauses,
            entries: VecDeque::new(),
            is_over: false,
            once: Once::default(),
            sockets: HashMap::new(),
            lacking: HashMap::new(),
            newest: HashMap::new(),
            waiting: Waiting::default(),
            seeds: HashMap::new(),
            known_gaps: HashSet::new(),
            lost: Vec::new(),
            clock: Clock::default(),
            frames: 0,
        }
    }

    /// From the beginning again.
    pub(crate) fn rewind(&mut self) -> Result<(), RecordingError> {
        self.source.rewind()?;
        self.entries.clear();
        self.is_over = false;
        self.once.clear();
        self.sockets.clear();
        self.lacking.clear();
        self.newest.clear();
        self.waiting = Waiting::default();
        self.seeds.clear();
        self.known_gaps.clear();
        self.lost.clear();
        self.clock = Clock::default();
        self.frames = 0;
        Ok(())
    }

    /// The next lines; none at the end.
    pub(crate) fn next_batch(&mut self) -> Result<Vec<Line>, RecordingError> {
        let mut lines = Vec::new();
        let mut bytes = 0;
        while lines.len() < BATCH && bytes < BATCH_BYTES {
            let Some(entry) = self.next_entry()? else {
                if self.frames > 0 {
                    let rest = self.line(LineKind::Quiet, Vec::new());
                    lines.push(rest);
                }
                break;
            };
            let before = lines.len();
            self.take(entry, &mut lines);
            bytes += lines[before..]
                .iter()
                .map(|line| line.text.len())
                .sum::<usize>();
        }
        Ok(lines)
    }

    fn next_entry(&mut self) -> Result<Option<Recorded>, RecordingError> {
        let mut read = Vec::new();
        while self.entries.is_empty() && !self.is_over {
            self.is_over = !self.source.read(&mut read)?;
            self.entries.extend(read.drain(..));
        }
        Ok(self
            .entries
            .pop_front()
            .filter(|entry| entry.at < self.span.end))
    }

    fn take(&mut self, recorded: Recorded, lines: &mut Vec<Line>) {
        let at = recorded.at;
        match recorded.entry {
            Entry::Frame(frame) => self.frame(frame, at, lines),
            Entry::Answer(answer) => self.answer(&answer),
            Entry::Socket(
                SocketEvent::Opened { socket, .. } | SocketEvent::Open { socket, .. },
            ) => {
                self.sockets.entry(socket).or_default();
            }
            Entry::Socket(SocketEvent::FirstBooks {
                socket,
                tokens,
                origin,
            }) => {
                let places = &self.places.by_asset;
                let keeps = tokens.iter().filter_map(|id| places.get(id.as_str()));
                let keeps: Vec<_> = keeps.copied().collect();
                if &*origin == BookOrigin::Rest.name() {
                    self.begin_with_answers(&keeps, at, lines);
                }
                self.sockets.entry(socket).or_default().extend(keeps);
            }
            Entry::Socket(SocketEvent::Closed { socket, .. }) => {
                self.lacking.remove(&socket);
                let carried = self.sockets.remove(&socket).unwrap_or_default();
                self.lose(carried);
            }
            Entry::Sent(sent) if &*sent.asked == "unsubscribe" => {
                let places = &self.places.by_asset;
                if let Some(carried) = self.sockets.get_mut(&sent.socket) {
                    for place in sent.tokens.iter().filter_map(|id| places.get(id.as_str())) {
                        carried.remove(place);
                    }
                }
            }
            Entry::Gap(gap) => self.gap(&gap),
            Entry::Checkpoint(book) => self.checkpoint(&book, at, lines),
            // Who was not told so by a frame has learned it from the catalogue.
            Entry::Catalogue(CatalogueEvent::Resolved {
                condition_id,
                winner,
                ..
            }) => {
                if let Some(&market) = self.places.by_condition.get(condition_id.as_str()) {
                    let places = &self.places.by_asset;
                    let winner = winner.and_then(|id| places.get(id.as_str()));
                    let winner = winner.map_or(0, |place| place.1);
                    let line = self.line(LineKind::Quiet, vec![Effect::Resolved(market, winner)]);
                    self.push(line, at, lines);
                }
            }
            // That its texts name these tokens says nothing of their books.
            _ => {}
        }
    }

    // ---- frames -------------------------------------------------------------

    fn frame(&mut self, frame: Frame, at: u64, lines: &mut Vec<Line>) {
        self.frames += 1;
        let socket = frame.socket;
        // Of one that the recording has not opened nothing is known, nor how many there are.
        let is_alone = self.sockets.keys().all(|open| *open == socket) && !self.sockets.is_empty();
        if !self.once.is_news(socket, &frame.bytes, at, is_alone) {
            return;
        }
        let Ok(text) = Utf8Bytes::try_from(Bytes::from(frame.bytes)) else {
            return;
        };
        let places = Arc::clone(&self.places);
        let found = events(&text);
        let is_rest = found.len() == 1 && !text.starts_with('[');
        let mut line = self.line(LineKind::Frame, Vec::new());
        let mut kept = Vec::with_capacity(found.len());
        for event in &found {
            let before = line.effects.len();
            let answer = (is_rest && event.event_type.as_str().is_none()).then(|| text.as_str());
            places.effects(event, answer, &mut line.effects);
            let is_kept = line.effects[before..]
                .iter()
                .all(|effect| self.is_news(socket, effect));
            kept.push(is_kept);
            if !is_kept {
                line.effects.truncate(before);
                continue;
            }
            line.effects[before..]
                .iter()
                .for_each(|effect| self.note(socket, effect));
            line.markets.extend(places.market(event));
            line.places.extend(places.of(event));
        }
        if !kept.is_empty() && !kept.contains(&true) {
            self.frames = line.frames;
            return;
        }
        if kept.contains(&false) {
            line.text = without(&text, &kept).into();
        } else {
            line.text = text;
        }
        line.markets.sort_unstable();
        line.markets.dedup();
        line.places.sort_unstable();
        line.places.dedup();
        self.push(line, at, lines);
    }

    /// Whether this is not behind what another socket has brought.
    fn is_news(&self, socket: u64, effect: &Effect) -> bool {
        let Some((place, stamp)) = booked(effect) else {
            return true;
        };
        let is_kept_by_another = self
            .sockets
            .iter()
            .any(|(other, places)| *other != socket && places.contains(&place));
        let newest = self.newest.get(&place);
        !is_kept_by_another || newest.is_none_or(|newest| stamp >= *newest)
    }

    fn note(&mut self, socket: u64, effect: &Effect) {
        match effect {
            Effect::Book(place, book) => {
                self.sockets.entry(socket).or_default().insert(*place);
                self.newest.insert(*place, book.stamp);
                self.waiting.has_book(*place);
            }
            Effect::Change { place, stamp, .. } => {
                // One that comes late takes nothing back.
                let newest = self.newest.entry(*place).or_insert(*stamp);
                if !is_late(*stamp, *newest) {
                    *newest = *stamp;
                }
                self.waiting.change(*place, effect);
            }
            Effect::LastPrice(..) | Effect::Tick(..) | Effect::Resolved(..) => {}
        }
    }

    /// REST answered with books, with which sockets may begin. Whether one does is said later: of
    /// a token of which its socket says nothing nobody knows what comes behind the answer.
    fn answer(&mut self, answer: &RestAnswer) {
        if &*answer.purpose != Purpose::Seed.name() {
            return;
        }
        let bodies: Vec<&RawValue> = match serde_json::from_str(&answer.body) {
            Ok(bodies) => bodies,
            Err(_) => match serde_json::from_str(&answer.body) {
                Ok(body) => vec![body],
                Err(_) => return,
            },
        };
        let mut effects = Vec::new();
        for body in bodies {
            for event in events(body.get()) {
                self.places.effects(&event, Some(body.get()), &mut effects);
            }
        }
        for effect in effects {
            if let Effect::Book(place, book) = effect {
                self.seeds.insert(place, *book);
            }
        }
    }

    /// A socket begins with the books of these tokens that REST brought. What it had said of one
    /// without a book follows its book, where it is newer.
    fn begin_with_answers(&mut self, places: &[Place], at: u64, lines: &mut Vec<Line>) {
        let mut effects = Vec::new();
        for place in places {
            let Some(book) = self.seeds.remove(place) else {
                continue;
            };
            let stamp = book.stamp;
            let newest = self.newest.get(place).copied();
            if let Some(begun) = self.waiting.begin(*place, book.clone()) {
                effects.extend(begun);
                self.newest
                    .insert(*place, newest.unwrap_or(stamp).max(stamp));
            } else if newest.is_none_or(|newest| stamp >= newest) {
                effects.push(Effect::Book(*place, Box::new(book)));
                self.newest.insert(*place, stamp);
            }
        }
        if !effects.is_empty() {
            let line = self.line(LineKind::Begin, effects);
            self.push(line, at, lines);
        }
    }

    /// A book that the program had: it is the book of a token that has none, on the sockets
    /// that carry it.
    fn checkpoint(&mut self, book: &recording::RecordedBook, at: u64, lines: &mut Vec<Line>) {
        let place = self.places.by_asset.get(book.token_id.as_str()).copied();
        let Some(place) = place.filter(|_| book.is_live()) else {
            return;
        };
        for (socket, lacking) in &mut self.lacking {
            if lacking.remove(&place) {
                self.sockets.entry(*socket).or_default().insert(place);
            }
        }
        if let Some(effects) = self.waiting.begin(place, book.into()) {
            let line = self.line(LineKind::Begin, effects);
            self.push(line, at, lines);
        }
    }

    // ---- losses -------------------------------------------------------------

    fn gap(&mut self, gap: &Gap) {
        let name = (gap.scope, gap.socket, gap.from_ts);
        // It is told when it opens and when it has healed; that of a token once each.
        let is_first = gap.scope == GapScope::Token || self.known_gaps.insert(name);
        let is_loss = LOSSES.iter().any(|loss| gap.reason.starts_with(loss));
        if !is_first || !is_loss {
            return;
        }
        match (gap.scope, gap.socket, &gap.token_id) {
            (GapScope::Recording, ..) => {
                let all: Vec<_> = self.sockets.keys().copied().collect();
                self.lack(&all);
            }
            (GapScope::Socket, Some(socket), _) => self.lack(&[socket]),
            (GapScope::Token, _, Some(token)) if gap.to_ts.is_none() => {
                let place = self.places.by_asset.get(token.as_str()).copied();
                if let Some(place) = place {
                    let mut was_kept = false;
                    for places in self.sockets.values_mut() {
                        was_kept |= places.remove(&place);
                    }
                    if was_kept {
                        self.lose(HashSet::from([place]));
                    }
                }
            }
            _ => {}
        }
    }

    /// The recorder has lost something of what these sockets said.
    fn lack(&mut self, sockets: &[u64]) {
        let mut all = HashSet::new();
        for socket in sockets {
            let carried = self.sockets.get_mut(socket).map(std::mem::take);
            let carried = carried.unwrap_or_default();
            all.extend(&carried);
            self.lacking.entry(*socket).or_default().extend(carried);
        }
        self.lose(all);
    }

    /// What no other socket keeps is lost.
    fn lose(&mut self, places: HashSet<Place>) {
        let is_kept = |place: &Place| self.sockets.values().any(|kept| kept.contains(place));
        let lost: Vec<_> = places.into_iter().filter(|place| !is_kept(place)).collect();
        for place in &lost {
            self.newest.remove(place);
            self.waiting.has_none(*place);
        }
        self.lost.extend(lost);
    }

    // ---- lines --------------------------------------------------------------

    fn line(&mut self, kind: LineKind, effects: Vec<Effect>) -> Line {
        Line {
            at: Duration::from_nanos(self.clock.passed),
            kind,
            text: Utf8Bytes::default(),
            markets: Vec::new(),
            places: Vec::new(),
            effects,
            frames: std::mem::take(&mut self.frames),
            zero: self.clock.zero(),
        }
    }

    fn push(&mut self, mut line: Line, at: u64, lines: &mut Vec<Line>) {
        let is_seen = at >= self.span.start;
        if is_seen {
            self.pass(at);
        }
        line.at = Duration::from_nanos(self.clock.passed);
        line.zero = self.clock.zero();
        if !self.lost.is_empty() {
            let mut places = std::mem::take(&mut self.lost);
            places.sort_unstable();
            let kind = if is_seen {
                LineKind::Lose
            } else {
                LineKind::Forget
            };
            let mut loss = self.line(kind, Vec::new());
            loss.places = places;
            lines.push(loss);
        }
        if !is_seen {
            line.kind = LineKind::Quiet;
            line.text = Utf8Bytes::default();
        }
        lines.push(line);
    }

    /// Recorded time never runs back.
    fn pass(&mut self, at: u64) {
        let first = self.clock.first.is_none();
        self.clock.first.get_or_insert(at);
        let mut passed = if first {
            0
        } else {
            at.saturating_sub(self.clock.last)
        };
        if self.jumps_pauses && passed > LONGEST_PAUSE {
            let seconds = Duration::from_nanos(passed).as_secs();
            tracing::info!(seconds, "a pause of the recording is passed over");
            passed = LONGEST_PAUSE;
        }
        self.clock.passed += passed;
        self.clock.last = self.clock.last.max(at);
    }
}

/// An array of events without some of them; those that are left keep their bytes.
fn without(text: &str, kept: &[bool]) -> String {
    let all: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
    let left = all.iter().zip(kept).filter(|(_, kept)| **kept);
    let left: Vec<_> = left.map(|(value, _)| value.get()).collect();
    let ending = if text.ends_with('\n') { "\n" } else { "" };
    format!("[{}]{ending}", left.join(","))
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading")
            .field("span", &self.span)
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}
