//! The hub: one thread, one order.
//!
//! ```text
//! lanes ─► copies of books ─► views ─► publisher ─► ring, outboxes
//!             ▲   ▲                       ▲
//!     follow ─┘   └── subscriptions ──────┘ openings, resumes
//! ```
//!
//! A round is [`Hub::step`]: it reads what the workers have written, takes what doors
//! ask, and gives what is owed. It knows no thread and reads no clock.

mod backlog;
mod behind;
mod catching_up;
mod client_state;
mod clients;
mod compose;
mod covering;
mod joining;
mod lanes;
mod markets;
mod news;
mod numbers;
mod openings;
mod pace;
mod passage;
mod publisher;
mod resuming;
mod ring;
mod slab;
mod subscriptions;
mod sweep;
mod teller;
mod token;
mod tokens;
mod view;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use polypy_core::{AssetKey, CatalogueSource, ChangeSource, Clock, Lane, SuspensionWatch};

use crate::anchor::Anchor;
use crate::client::{Command, Shared};
use crate::cursor::Instance;
use crate::message::GapReason;
use joining::Joining;
pub(crate) use lanes::Lanes;
use lanes::Queue;
pub(crate) use markets::Markets;
pub(crate) use numbers::Numbers;
pub(crate) use pace::Rest;
use pace::{Pace, Round};
use passage::Passage;
use publisher::Publisher;
use token::ModeId;
use tokens::Tokens;

/// What the hub asks.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) changes: Arc<dyn ChangeSource>,
    pub(crate) catalogue: Arc<dyn CatalogueSource>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) suspension: Arc<SuspensionWatch>,
}

/// What is brought to the hub.
#[derive(Debug, Clone)]
pub(crate) struct Brought {
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) markets: Arc<Markets>,
    pub(crate) shared: Arc<Shared>,
}

impl Brought {
    /// Whether a round would find something.
    pub(crate) fn has_any(&self) -> bool {
        self.shared.has_commands() || self.lanes.has_entries() || self.markets.has_any()
    }
}

/// The hub.
pub(crate) struct Hub {
    asked: Asked,
    brought: Brought,
    anchor: Anchor,
    tokens: Tokens,
    out: Publisher,
    /// The tokens that are due at each conflated mode's next tick.
    ticks: Vec<Tick>,
    /// Read from a lane, and empty between.
    read: Queue,
    commands: Vec<Command>,
    /// Subscriptions on the way to their tokens.
    joining: VecDeque<Joining>,
    /// Tokens that may be taken in yet in this round.
    room: usize,
    /// Tokens with a state that is open.
    open: Vec<u32>,
    passage: Passage,
    /// Keys that are written and that nobody wants: left over from a hub before.
    strays: HashSet<AssetKey>,
    /// Lanes whose worker does not run, and whose books were said to be stale.
    down: Vec<bool>,
    /// Rounds in which somebody was owed something.
    turn: usize,
    pace: Pace,
    suspensions: u64,
    /// Some books' feeds have not answered since a suspension.
    is_suspended: bool,
    next_sweep: Instant,
}

/// When a mode's tokens are told next, and which.
#[derive(Debug)]
struct Tick {
    /// An interval after the last time.
    at: Instant,
    due: Vec<u32>,
    /// Since when the first of them is.
    since: Instant,
}

impl Tick {
    fn new(now: Instant) -> Self {
        Self {
            at: now,
            due: Vec::new(),
            since: now,
        }
    }

    /// The token is told when it is time.
    fn note(&mut self, token: u32, now: Instant) {
        if self.due.is_empty() {
            self.since = now;
        }
        self.due.push(token);
    }

    /// When something is told next, or would be; `None` if what comes is told at once.
    fn next(&self, now: Instant) -> Option<Instant> {
        (!self.due.is_empty() || self.at > now).then_some(self.at)
    }

    /// Takes those that are to be told now. A round that is late, or long, takes nothing
    /// from the rate: the next time is an interval after this one should have been.
    fn take(&mut self, interval: Duration, now: Instant) -> Vec<u32> {
        if self.due.is_empty() || now < self.at {
            return Vec::new();
        }
        let should_be = self.at.max(self.since);
        let late = now.saturating_duration_since(should_be).as_nanos();
        let missed = late / interval.as_nanos().max(1);
        let intervals = u32::try_from(missed).unwrap_or(u32::MAX).saturating_add(1);
        self.at = should_be + interval.saturating_mul(intervals);
        std::mem::take(&mut self.due)
    }
}

/// Between two looks for what is old.
const SWEEP: Duration = Duration::from_secs(1);

impl Hub {
    /// A hub with nothing in it.
    pub(crate) fn new(
        instance: Instance,
        asked: Asked,
        brought: Brought,
        numbers: Arc<Numbers>,
        now: Instant,
    ) -> Self {
        let lanes = asked.changes.lanes();
        let config = brought.shared.config.clone();
        Self {
            anchor: Anchor::new(&*asked.clock, now),
            tokens: Tokens::new(lanes),
            out: Publisher::new(instance, config, numbers),
            ticks: Vec::new(),
            read: Queue::default(),
            commands: Vec::new(),
            joining: VecDeque::new(),
            room: 0,
            open: Vec::new(),
            passage: Passage::default(),
            strays: HashSet::new(),
            down: vec![false; usize::from(lanes)],
            turn: 0,
            pace: Pace::new(now),
            suspensions: asked.suspension.count(),
            is_suspended: false,
            next_sweep: now,
            asked,
            brought,
        }
    }

    /// One round; whether there was something to do.
    pub(crate) fn step(&mut self, now: Instant) -> bool {
        let mut round = Round::default();
        self.notice_suspension();
        let mut is_over = true;
        for lane in (0..self.asked.changes.lanes()).map(Lane) {
            if self.is_suspended {
                // What lies in the lane was written by a worker that does not know yet.
                let reviewed = self.asked.changes.review(lane);
                is_over &= reviewed == Some(false);
                if reviewed.is_none() {
                    continue;
                }
            }
            round.read |= self.read_lane(lane, now);
            self.notice_worker(lane, now);
        }
        self.is_suspended &= !is_over || self.asked.suspension.is_late();
        round.read |= self.read_markets(now);
        self.room = self.out.config.joined_at_once;
        round.served |= self.join(now);
        round.served |= self.obey(now);
        round.served |= self.follow();
        round.served |= self.give_what_is_owed(now);
        self.tick(now);
        if now >= self.next_sweep {
            self.next_sweep = now + SWEEP;
            self.sweep(now);
        }
        for at in self.out.holding_on() {
            self.let_go_of(at, now);
        }
        self.out.clients.flush();
        self.pace.note(round, &self.out, now);
        round.read || round.served
    }

    /// What the thread does before the next round, from `now` on.
    pub(crate) fn rest(&self, now: Instant) -> Rest {
        self.pace.rest(&self.ticks, now)
    }

    fn notice_suspension(&mut self) {
        let suspension = &self.asked.suspension;
        let suspensions = suspension.count();
        if suspension.is_late() || suspensions != self.suspensions {
            self.suspensions = suspensions;
            self.is_suspended = true;
        }
    }

    /// Takes in what was written in a lane.
    fn read_lane(&mut self, lane: Lane, now: Instant) -> bool {
        let mut read = std::mem::take(&mut self.read);
        self.brought.lanes.take(lane, &mut read);
        if read.is_lost {
            self.out.numbers.lost_lanes.increment();
            tracing::warn!(
                lane = lane.0,
                "more changes at once than could be published: the books are read again"
            );
            self.follow_again(lane, GapReason::Internal, now);
        }
        let did = read.is_lost || !read.entries.is_empty();
        let mut ends = read.ends.iter().copied().peekable();
        for (at, entry) in read.entries.drain(..).enumerate() {
            self.take(lane, entry, now);
            // A state never waits for what another read of a socket may bring.
            while ends.next_if(|end| *end <= at + 1).is_some() {
                self.close_states(now);
            }
        }
        self.close_states(now);
        drop(ends);
        self.read = read;
        did
    }

    /// Says that the books of a worker that does not run are stale.
    fn notice_worker(&mut self, lane: Lane, now: Instant) {
        let is_down = !self.asked.changes.is_running(lane);
        let was_down = std::mem::replace(&mut self.down[usize::from(lane.0)], is_down);
        if is_down && !was_down {
            self.say_worker_died(lane, now);
        }
    }

    /// Asks for the whole books of a few tokens of each lane.
    fn follow(&mut self) -> bool {
        let mut did = false;
        for lane in (0..self.asked.changes.lanes()).map(Lane) {
            let next = self.tokens.next_to_follow(lane);
            if next.is_empty() {
                continue;
            }
            did = true;
            let keys = next.iter().map(|(_, key)| *key);
            let keys: Vec<_> = keys.collect();
            let is_done = self.asked.changes.follow(lane, &keys);
            self.tokens.followed(lane, &next, is_done);
        }
        did
    }

    /// Tells what is due of conflated streams.
    fn tick(&mut self, now: Instant) {
        for mode in 0..self.ticks.len() {
            let id = ModeId(u8::try_from(mode).unwrap_or(u8::MAX));
            let Some(interval) = self.out.mode(id).interval else {
                continue;
            };
            for at in self.ticks[mode].take(interval, now) {
                self.tell_latest(at, id, now);
            }
        }
    }
}

#[cfg(test)]
mod tests;
