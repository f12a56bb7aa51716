//! Makes entries of what comes, and says what is missing: a state machine without a thread
//! and without a clock.
//!
//! Each [`step`](Writer::step) does this, in this order: it copies some books, if that is
//! due; takes what came and writes it; writes the copies; reads the clocks; does what time
//! asks. A frame is queued before it is delivered, so nothing that is written behind a copy
//! is in it. What comes while there is no file is dropped and counted, and a gap of the next
//! one.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use polypy_core::recording::{
    CatalogueEvent, ClockStep, Entry, Gap, Recorded, RecordedBook, Sent, SocketEvent,
};
use polypy_core::{Asked, CheckpointSource, Owner};

use crate::anchor::Anchor;
use crate::beginning::Beginning;
use crate::checkpoints::Checkpoints;
use crate::coverage::{Coverage, micros};
use crate::files::{Files, Turn};
use crate::folder::Folder;
use crate::item::{self, Frames, Item, SentText, What, control, is_json};
use crate::loss::{Given, is_full};
use crate::markets::{Markets, Wanted};
use crate::numbers::Numbers;
use crate::queue::Outlet;
use crate::segment::Segment;
use crate::writer_config::WriterConfig;

#[path = "writer_losses.rs"]
mod losing;

/// Between two looks at clocks and disk.
const LOOK: Duration = Duration::from_secs(1);
/// What is taken from the queue in a step.
const MOST_TAKEN: usize = 8 << 20;
/// A clock that was set by more begins a new file, in nanoseconds.
const STEP_OF_A_FILE: u64 = 1_000_000_000;

/// Writes what comes to the files of a folder.
#[derive(Debug)]
pub struct Writer {
    files: Files,
    outlet: Outlet,
    numbers: Arc<Numbers>,
    anchor: Anchor,
    coverage: Coverage,
    markets: Markets,
    /// What the file still has to say of how things were when it began.
    beginning: Beginning,
    /// The books that are copied to it.
    checkpoints: Checkpoints,
    looked: Option<Instant>,
    items: Vec<Item>,
    /// What was counted as written, and was not.
    ahead: Given,
    /// The manifest could not take what is missing.
    is_untold: bool,
    /// What is missing of earlier runs, until a file says it, and whether the manifest does.
    earlier: Vec<(Gap, bool)>,
}

/// How a recording ended.
#[derive(Debug)]
pub struct Stopped {
    /// What is left of the queue.
    pub(crate) outlet: Outlet,
    /// Whether all that came since the disk took something the last time is lost.
    pub is_cut: bool,
}

impl Writer {
    /// A writer to this folder, from now on, that copies these books, if there are any. The
    /// clocks show `now` and `wall`, in nanoseconds since the epoch.
    pub fn new(
        config: WriterConfig,
        folder: Folder,
        outlet: Outlet,
        books: Option<Arc<dyn CheckpointSource>>,
        numbers: Arc<Numbers>,
        (now, wall): (Instant, u64),
    ) -> Self {
        Self {
            files: Files::new(config, folder, Arc::clone(&numbers), now),
            outlet,
            numbers,
            anchor: Anchor::new(now, wall),
            coverage: Coverage::default(),
            markets: Markets::default(),
            beginning: Beginning::default(),
            checkpoints: Checkpoints::new(books, now),
            looked: None,
            items: Vec::new(),
            ahead: Given::default(),
            is_untold: false,
            earlier: Vec::new(),
        }
    }

    /// Begins the first file. Where the disk has no room for it, that is a failure like those
    /// that come later.
    ///
    /// # Errors
    /// All others of the disk.
    pub fn begin(&mut self, now: Instant) -> io::Result<()> {
        let at = self.anchor.wall(now);
        match self.files.open(now, at) {
            Ok(()) => self.begun(now, at),
            Err(error) if is_full(&error) => self.await_room(error, now),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The disk has no room for the folder or its first file: both come when it has.
    pub(crate) fn await_room(&mut self, error: io::Error, now: Instant) {
        let loss = self.files.never_began(error, now);
        self.lost_all(&loss, now);
    }

    /// What was found out about earlier runs, whose files are in the manifest by now.
    pub fn tell(&mut self, gaps: Vec<Gap>, now: Instant) {
        if gaps.is_empty() {
            return;
        }
        self.files.note_held();
        self.earlier
            .extend(gaps.into_iter().map(|gap| (gap, false)));
        self.tell_earlier(now);
    }

    /// Does what there is to do, while the clocks show this. When the next step is due, if
    /// nothing comes before.
    pub fn step(&mut self, now: Instant, wall: u64) -> Instant {
        self.numbers.step();
        self.checkpoints.copy(now);
        self.take(now);
        self.write_checkpoints(now);
        let is_time = |looked: Instant| now.saturating_duration_since(looked) >= LOOK;
        if self.looked.is_none_or(is_time) {
            self.looked = Some(now);
            self.look(now, wall);
        }
        let at = self.anchor.wall(now);
        let is_said = self.beginning.is_said() && self.checkpoints.are_said();
        match self.files.keep_time(now, at, is_said) {
            Turn::Nothing => {}
            Turn::Begun => self.begun(now, at),
            Turn::Lost(loss) => self.lost_all(&loss, now),
        }
        self.say_the_beginning(now);
        let waiting = self.outlet.waiting();
        self.numbers.queue_bytes.set(waiting as u64);
        let is_busy = waiting > 0 || self.files.is_open() && !self.beginning.is_said();
        if is_busy { now } else { self.next(now) }
    }

    fn next(&self, now: Instant) -> Instant {
        let look = self.looked.unwrap_or(now) + LOOK;
        let due = self.files.next().into_iter().chain(self.checkpoints.next());
        due.fold(look, Instant::min)
    }

    /// Waits till something comes, and a little longer for more, or till this moment.
    pub fn wait(&mut self, until: Instant) {
        self.outlet.gather(until);
    }

    /// Writes what waits and ends the file.
    pub fn stop(mut self, now: Instant, wall: u64) -> Stopped {
        while self.outlet.waiting() > 0 {
            self.step(now, wall);
        }
        let at = self.anchor.wall(now);
        if let Some(from) = self.files.last() {
            let times = (Some(micros(from)), None);
            let gap = Gap::of_recording("stopped", Owner::Us, times, micros(at));
            self.put(now, from, Entry::Gap(gap));
        }
        let is_open = self.files.is_open();
        let ended = self.files.end(now, at);
        if let Err(loss) = &ended {
            self.lost_all(loss, now);
        }
        let is_cut = !is_open || ended.is_err();
        if is_cut {
            // No file will say it.
            if let Err(error) = self.files.take_again(at) {
                tracing::debug!(%error, "the folder of the recording stays gone");
            }
            self.note_removed();
            self.tell_earlier(now);
            self.note_loss(Some("stopped"), at);
        }
        // After the file: a kill in between is a kill.
        self.files.note_stopped(at);
        Stopped {
            outlet: self.outlet,
            is_cut,
        }
    }

    /// Writes nothing and ends nothing: what is left of the queue.
    pub fn abandon(self) -> Outlet {
        self.outlet
    }

    /// A step panicked: nothing that was being written is trusted.
    pub fn give_up(&mut self, now: Instant) {
        self.numbers.panics.increment();
        self.items.clear();
        let loss = self.files.give_up(now);
        self.lost_all(&loss, now);
    }

    /// Nothing is tried any more: what comes is dropped and counted.
    pub fn leave(&mut self) {
        self.files.leave();
        let reason = "the writer of the recording has panicked too often";
        self.numbers.failed(reason.to_owned());
    }

    /// The process did not run: what came is late, and nothing of it is missing.
    pub fn note_suspended(&mut self, now: Instant) {
        let at = self.anchor.wall(now);
        self.put(now, at, Entry::Mark(item::suspended()));
    }

    // ---- what comes ---------------------------------------------------------

    /// A part of what came; all of it, if copies of books wait for that.
    fn take(&mut self, now: Instant) {
        let mut left = MOST_TAKEN;
        if self.checkpoints.are_copied() {
            match self.outlet.waiting_whole() {
                Some(waiting) => left = left.max(waiting),
                // What was dropped is in the copies, and is said later.
                None => self.checkpoints.drop_copies(),
            }
        }
        let mut items = std::mem::take(&mut self.items);
        while left > 0 {
            let taken = self.outlet.take(left.min(MOST_TAKEN), &mut items);
            if taken == 0 {
                break;
            }
            left = left.saturating_sub(taken);
            // Behind the taking: sockets close after it was said, so whoever has taken that
            // they closed sees it.
            if self.outlet.is_ending() {
                self.coverage.ending();
            }
            for item in items.drain(..) {
                self.item(item, now);
            }
        }
        self.items = items;
    }

    fn write_checkpoints(&mut self, now: Instant) {
        let at = self.anchor.wall(now);
        for copy in self.checkpoints.take() {
            let received = self.anchor.wall(copy.whole.received);
            let book = RecordedBook::of(&copy, received);
            let (token, is_live) = (book.token_id.clone(), book.is_live());
            self.put(now, at, Entry::Checkpoint(Box::new(book)));
            self.numbers.checkpoints.increment();
            if is_live {
                let mut gaps = Vec::new();
                self.coverage.checkpointed(&token, at, &mut gaps);
                self.gaps(gaps, at, now);
            }
        }
    }

    fn item(&mut self, item: Item, now: Instant) {
        let at = self.anchor.wall(item.at);
        let socket = item.socket.map(|socket| socket.0).unwrap_or_default();
        match item.what {
            What::Frames(frames) => self.frames(socket, &frames, at, now),
            What::Opened {
                connection,
                is_replacement,
            } => {
                if self.coverage.opened(socket, &connection) {
                    let event = SocketEvent::Opened {
                        socket,
                        connection: (*connection).into(),
                        is_replacement,
                    };
                    self.put(now, at, Entry::Socket(event));
                }
            }
            What::Sent(sent) => self.sent(socket, *sent, at, now),
            What::FirstBooks(tokens, origin) => {
                let mut gaps = Vec::new();
                let origin = origin.name();
                self.coverage
                    .first_books(socket, &tokens, origin, at, &mut gaps);
                let event = SocketEvent::FirstBooks {
                    socket,
                    tokens: tokens.into_vec(),
                    origin: origin.into(),
                };
                self.put(now, at, Entry::Socket(event));
                self.gaps(gaps, at, now);
            }
            What::Delivers(feed) => {
                self.coverage.delivers(socket, feed.0);
                let feed_id = feed.0;
                let event = SocketEvent::Delivers { socket, feed_id };
                self.put(now, at, Entry::Socket(event));
            }
            What::Closed(reason, owner) => {
                let mut gaps = Vec::new();
                if self.coverage.closed(socket, owner, at, &mut gaps) {
                    let event = SocketEvent::Closed {
                        socket,
                        reason,
                        owner,
                    };
                    self.put(now, at, Entry::Socket(event));
                    self.gaps(gaps, at, now);
                }
            }
            What::Answer(answer) => {
                let (mut answer, requested) = *answer;
                answer.requested = self.anchor.wall(requested);
                self.put(now, at, Entry::Answer(answer));
            }
            What::Market(change) => {
                let taken = self.markets.take(&change);
                self.market(taken, at, now);
            }
            What::Mark(mark) => self.put(now, at, Entry::Mark(*mark)),
            What::Lost(lost) => {
                for (socket, lost) in lost.iter() {
                    self.lost(*socket, lost, at, now);
                }
                self.reconcile(at, now);
                // What was dropped had been received by now.
                self.checkpoints.lost(self.coverage.lost_tokens(), now);
            }
        }
    }

    fn frames(&mut self, socket: u64, frames: &Frames, at: u64, now: Instant) {
        let count = frames.ends.len() as u64;
        let after = u32::try_from(count).unwrap_or(u32::MAX);
        let next = frames.first.wrapping_add(after);
        let Some(connection) = self.coverage.connection(socket) else {
            return;
        };
        self.coverage
            .received(socket, next, at + count.saturating_sub(1));
        let (mut begin, mut sequence, mut moment) = (0, frames.first, at);
        for (&end, left) in frames.ends.iter().zip((1..=count).rev()) {
            if !self.files.is_open() {
                self.numbers.lost_disk.add(left);
                self.coverage.missed(left);
                return;
            }
            let bytes = frames.bytes.get(begin..end).unwrap_or_default();
            if frames.is_text && is_json(bytes) {
                self.frame((&connection, socket), sequence, moment, bytes, now);
            } else {
                let control = control(socket, sequence, bytes, frames.is_text);
                let recorded = Recorded {
                    at: moment,
                    entry: Entry::Control(control),
                };
                let given = Given::control();
                self.count(given);
                self.write((now, moment), given, |segment| segment.write(&recorded));
            }
            (begin, sequence, moment) = (end, sequence.wrapping_add(1), moment + 1);
        }
    }

    /// A frame is written. A disk that failed has taken some with it that were counted before:
    /// the next ones make up for them, for a count never goes back.
    fn count(&mut self, given: Given) {
        let Given {
            frames,
            bytes,
            control,
        } = self.ahead.make_up(given);
        self.numbers.frames.add(frames);
        self.numbers.frame_bytes.add(bytes);
        self.numbers.control.add(control);
    }

    fn sent(&mut self, socket: u64, sent: SentText, at: u64, now: Instant) {
        let SentText {
            asked,
            tokens,
            text,
        } = sent;
        let mut gaps = Vec::new();
        self.coverage.asked(socket, asked, &tokens, at, &mut gaps);
        if asked == Asked::Subscribe {
            let tokens = tokens.to_vec();
            let event = SocketEvent::Carries { socket, tokens };
            self.put(now, at, Entry::Socket(event));
        }
        let sent = Sent {
            socket,
            asked: asked.name().into(),
            reason: asked.reason().map(Into::into),
            tokens: tokens.into_vec(),
            text,
        };
        self.put(now, at, Entry::Sent(sent));
        self.gaps(gaps, at, now);
    }

    fn market(&mut self, (event, wanted): (CatalogueEvent, Wanted), at: u64, now: Instant) {
        self.put(now, at, Entry::Catalogue(event));
        let mut gaps = Vec::new();
        match wanted {
            Wanted::Followed(tokens) => {
                for token in &tokens {
                    self.coverage.followed(token, at, &mut gaps);
                }
            }
            Wanted::Released(tokens) => {
                for token in &tokens {
                    self.coverage.released(token, at, &mut gaps);
                }
            }
        }
        self.gaps(gaps, at, now);
    }

    /// Writes gaps, which were opened or healed.
    fn gaps(&mut self, gaps: Vec<Gap>, at: u64, now: Instant) {
        for gap in gaps {
            if gap.to_ts.is_none() {
                self.numbers.gap(gap.owner);
            }
            self.put(now, at, Entry::Gap(gap));
        }
    }

    // ---- the file -----------------------------------------------------------

    /// Writes an entry, if there is a file.
    fn put(&mut self, now: Instant, at: u64, entry: Entry) {
        let recorded = Recorded { at, entry };
        let none = Given::default();
        self.write((now, at), none, |segment| segment.write(&recorded));
    }

    fn frame(&mut self, socket: (&str, u64), sequence: u32, at: u64, bytes: &[u8], now: Instant) {
        let given = Given::frame(bytes.len());
        self.count(given);
        self.write((now, at), given, |segment| {
            segment.frame(socket, sequence, at, bytes)
        });
    }

    fn write(
        &mut self,
        times: (Instant, u64),
        given: Given,
        add: impl FnMut(&mut Segment) -> bool,
    ) {
        if let Err(loss) = self.files.write(times, given, add) {
            self.lost_all(&loss, times.0);
        }
    }

    /// A file has begun. In front of any frame: what is missing before it, and which sockets
    /// there are.
    fn begun(&mut self, now: Instant, at: u64) {
        self.note_removed();
        if self.is_untold {
            self.note_loss(None, at);
        }
        // Of what nothing waits for there is one entry, with its end.
        let mut healed = Vec::new();
        self.coverage.back(at, &mut healed);
        for gap in healed.into_iter().chain(self.coverage.open_losses()) {
            self.put(now, at, Entry::Gap(gap));
        }
        for socket in self.coverage.open_sockets() {
            if let Some(open) = self.coverage.open_socket(socket) {
                self.put(now, at, Entry::Socket(Beginning::open(&open)));
            }
        }
        if !self.files.is_open() {
            // It has failed already.
            return;
        }
        self.tell_earlier(now);
        self.beginning = Beginning::new(&self.coverage, &self.markets);
        self.checkpoints.begin(now);
    }

    /// Says a little more of how things were when the file began.
    fn say_the_beginning(&mut self, now: Instant) {
        let at = self.anchor.wall(now);
        for entry in self.beginning.page(&self.coverage, &self.markets) {
            self.put(now, at, entry);
        }
    }

    /// The clocks, and the room on the disk.
    fn look(&mut self, now: Instant, wall: u64) {
        let (followed, covered) = self.coverage.counts();
        self.numbers.followed.set(followed as u64);
        self.numbers.covered.set(covered as u64);
        let before = self.anchor.wall(now);
        if let Some(step) = self.anchor.renew(now, wall) {
            self.numbers.clock_steps.increment();
            // By the clock as it was: what is behind it bears the new time.
            self.put(now, before, Entry::Clock(ClockStep { step }));
            if self.files.is_open() && step.unsigned_abs() > STEP_OF_A_FILE {
                tracing::warn!(
                    step_s = seconds(step),
                    "the clock was set: a new file begins"
                );
                match self.files.rotate(now, wall) {
                    Ok(()) => self.begun(now, wall),
                    Err(loss) => self.lost_all(&loss, now),
                }
            }
        }
        if !self.files.is_open() {
            self.tell_earlier(now);
            if self.is_untold {
                self.note_loss(None, before);
            }
        } else if !self.numbers.has_failed() {
            // The disk has them.
            self.earlier.clear();
        }
        let kept = self.files.keep_place(now);
        if let Err(loss) = kept.and_then(|()| self.files.keep_reserve(now, wall)) {
            self.lost_all(&loss, now);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn seconds(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
