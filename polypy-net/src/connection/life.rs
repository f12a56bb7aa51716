//! One life of a socket: from its first frame to its end.
//!
//! Four things wake it: a word from the pool, the tick, an answer from REST, and
//! frames. Frames are taken all at once, and what they say is delivered in one
//! call that never waits. Every deadline is looked at on the tick.

use std::sync::Arc;
use std::time::Duration;

use polypy_core::{AssetInfo, AssetKey, FeedId, ResyncSink, Scope, StaleReason};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::cause::{Cause, Lived};
use super::first_book::{FirstBooks, Seeds};
use super::inbox::Word;
use super::intake::Intake;
use super::outlet::Outlet;
use super::request::{self, Request};
use super::seeding::{Answer, Seeding, answered};
use super::socket::{End, Socket};
use super::stats::ConnectionStatus;
use super::task::Task;
use super::watchdog::{Verdict, Watchdog};
use super::{Context, Role};

/// How often deadlines are looked at: a small part of the shortest of them.
const TICK: Duration = Duration::from_millis(250);
/// An open socket at work for its connection.
pub(super) struct Life<'a> {
    task: &'a mut Task,
    context: Arc<Context>,
    socket: Socket,
    outlet: Outlet,
    first_books: FirstBooks,
    watchdog: Watchdog,
    opened: Instant,
    /// The first frame was sent.
    introduced: bool,
    /// The asset probed last; the next probe takes the one after it.
    probed: Option<AssetKey>,
    seeding: Option<Seeding>,
    intake: Intake,
}

enum Wake {
    Mail,
    Tick,
    Answer(Answer),
    Read(Result<(), End>),
}

impl<'a> Life<'a> {
    pub(super) fn new(task: &'a mut Task, socket: Socket) -> Self {
        let context = Arc::clone(&task.context);
        let now = Instant::now();
        let sink = Arc::clone(&context.venue.sink);
        let outlet = match task.role {
            Role::Serving => {
                let feed = context.next_feed();
                task.stats.update(|counters| counters.deliver_under(feed));
                Outlet::open(sink, feed)
            }
            Role::Replacement => Outlet::held(sink, context.config.held_back_events),
        };
        let all: Vec<_> = task.assets.keys().copied().collect();
        task.stats.update(|counters| {
            counters.status = ConnectionStatus::Connected;
            counters.opened = Some(now);
            counters.sockets += 1;
            counters.life_messages = 0;
            // With the opening, not after it: nobody may see the socket open
            // and think that no book is missing.
            counters.hoped_for.clone_from(&all);
            counters.bookless = all;
        });
        context.progress.notify_one();
        Self {
            watchdog: Watchdog::new(now, &context.config),
            task,
            context,
            socket,
            outlet,
            first_books: FirstBooks::default(),
            opened: now,
            introduced: false,
            probed: None,
            seeding: None,
            intake: Intake::default(),
        }
    }

    pub(super) async fn run(mut self) -> Lived {
        let all: Vec<_> = self.task.assets.values().cloned().collect();
        self.name(&all);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let cause = loop {
            if let Some(cause) = self.step(&mut tick).await {
                break cause;
            }
        };
        let had_data = self.watchdog.last_data().is_some();
        let now = Instant::now();
        self.task.stats.update(|counters| {
            counters.opened = None;
            counters.closed = Some(now);
            counters.feed = FeedId::default();
            counters.bookless.clear();
            counters.hoped_for.clear();
            counters.stranded.clear();
        });
        self.task.recorder.end();
        // The feed closes before the good-bye: nothing more will come of it.
        drop(self.outlet);
        self.context.progress.notify_one();
        if matches!(cause, Cause::Asked) {
            self.socket.part().await;
        }
        Lived {
            cause,
            time: now.saturating_duration_since(self.opened),
            had_data,
        }
    }

    async fn step(&mut self, tick: &mut Interval) -> Option<Cause> {
        let inbox = &self.task.inbox;
        let (intake, context) = (&mut self.intake, &self.context);
        let (known, stats) = (&context.interner, &context.venue.wire);
        let wake = tokio::select! {
            biased;
            () = inbox.arrived() => Wake::Mail,
            _ = tick.tick() => Wake::Tick,
            answer = answered(&mut self.seeding) => Wake::Answer(answer),
            read = self.socket.read(|frame| intake.take(frame, known, stats)) => Wake::Read(read),
        };
        match wake {
            Wake::Mail => self.on_mail(),
            Wake::Tick => self.on_tick(),
            Wake::Answer(answer) => self.on_answer(answer),
            Wake::Read(Ok(())) => {
                self.on_frames();
                None
            }
            Wake::Read(Err(end)) => Some(Cause::End(end)),
        }
    }

    fn on_mail(&mut self) -> Option<Cause> {
        let mail = self.task.inbox.take();
        let now = Instant::now();
        let (mut fresh, mut again, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        let (mut departed, mut moved) = (Vec::new(), 0);
        for (key, word) in mail.words {
            match word {
                Word::Subscribe(info) => match self.task.assets.insert(key, Arc::clone(&info)) {
                    None => fresh.push(info),
                    Some(_) => again.push((info, StaleReason::Resubscribing)),
                },
                Word::Unsubscribe | Word::Depart => {
                    if let Some(info) = self.task.assets.remove(&key) {
                        moved += u64::from(self.first_books.is_stranded(key));
                        self.first_books.dropped(key, now);
                        gone.push(info);
                    }
                    if matches!(word, Word::Depart) {
                        departed.push(key);
                    }
                }
                Word::Resubscribe(reason) => {
                    if let Some(info) = self.task.assets.get(&key) {
                        again.push((Arc::clone(info), reason));
                    }
                }
            }
        }
        if let Some(tape) = &mail.tape {
            self.task.recorder.begin(tape);
        }
        if let Some((race, side)) = &mail.race {
            self.task.reporter.begin(race, *side);
        }
        self.task.recorder.gap(gone.iter().map(|info| info.key));
        self.outlet
            .mark_stale(&departed, StaleReason::Resubscribing);
        self.task
            .stats
            .update(|counters| counters.rungs.moved += moved);
        self.task.carry(departed);
        self.send(Request::Unsubscribe, &gone);
        if !gone.is_empty() {
            self.show_waiting();
        }
        self.name(&fresh);
        // One that waits for its book is being seen to already.
        again.retain(|(info, _)| !self.first_books.contains(info.key));
        for (info, reason) in &again {
            self.outlet.mark_stale(&[info.key], *reason);
        }
        let again: Vec<_> = again.into_iter().map(|(info, _)| info).collect();
        self.renew(&again);
        if mail.retire {
            self.task.retired = true;
            self.task.stats.update(|counters| {
                counters.retired = true;
                counters.status = ConnectionStatus::Draining;
            });
            self.context.progress.notify_one();
        }
        if mail.close {
            return Some(Cause::Asked);
        }
        let useless = mail.take_over && !self.take_over();
        useless.then_some(Cause::Overflowed)
    }

    fn take_over(&mut self) -> bool {
        self.task.role = Role::Serving;
        if self.outlet.is_open() {
            return true;
        }
        let feed = self.context.next_feed();
        if !self.outlet.take_over(feed) {
            return false;
        }
        self.outlet
            .mark_stale(&self.first_books.silent(), StaleReason::Silent);
        self.task.stats.update(|counters| {
            counters.deliver_under(feed);
            counters.took_over = Some(Instant::now());
        });
        self.context.progress.notify_one();
        true
    }

    fn on_tick(&mut self) -> Option<Cause> {
        let now = Instant::now();
        let context = Arc::clone(&self.context);
        let config = &context.config;
        self.watchdog.look(now);
        if self.watchdog.ping_due(now, config) {
            self.ping();
        }
        match self.watchdog.verdict(now, self.task.rhythm, config) {
            Verdict::Fine => {}
            Verdict::Nudge => {
                self.watchdog.nudged(now, config);
                self.ping();
            }
            Verdict::Probe => self.probe(now),
            Verdict::Dead => return Some(Cause::NoPong),
            Verdict::Mute => return Some(Cause::Mute),
            Verdict::Frozen => return Some(Cause::Frozen),
        }
        self.first_books.tidy(now);
        if self.first_books.len() > 0 {
            let seeds = self.first_books.joined(now);
            self.hand_over(seeds);
            self.climb(now);
        }
        None
    }

    fn ping(&mut self) {
        self.socket.send(request::PING);
        self.task.stats.update(|counters| counters.pings += 1);
    }

    /// Asks anew for whatever is overdue its first book.
    fn climb(&mut self, now: Instant) {
        let config = &self.context.config;
        let limit = config.chunk.min(config.seed_chunk);
        let steps = self.first_books.steps(now, limit, config);
        let anew = count(steps.resubscribe.len());
        self.task.stats.update(|counters| {
            counters.rungs.resubscribed += anew;
            counters.rungs.stranded += steps.stranded;
        });
        if steps.stranded > 0 {
            self.show_waiting();
        }
        if !steps.resubscribe.is_empty() {
            tracing::debug!(
                connection = %self.task.stats.id(),
                assets = steps.resubscribe.len(),
                "no first book within the deadline: subscribing anew"
            );
            self.renew(&steps.resubscribe);
        }
        if !steps.seed.is_empty() && self.seeding.is_none() {
            self.first_books.asked(&steps.seed);
            let asked = count(steps.seed.len());
            self.task
                .stats
                .update(|counters| counters.rungs.asked_rest += asked);
            self.seeding = Some(Seeding::of(Arc::clone(&self.context), steps.seed));
        }
    }

    fn on_answer(&mut self, answer: Answer) -> Option<Cause> {
        let Seeding { asked, .. } = self.seeding.take()?;
        let now = Instant::now();
        let seeds = self
            .first_books
            .answered(&asked, answer, now, &self.context.config);
        if !seeds.missing.is_empty() {
            self.context.venue.lifecycle.confirm_gone(&seeds.missing);
        }
        let never_fed = seeds.seeded > 0 && self.watchdog.last_data().is_none();
        self.hand_over(seeds);
        never_fed.then_some(Cause::NeverFed)
    }

    /// Hands over what REST gave.
    fn hand_over(&mut self, mut seeds: Seeds) {
        if seeds.is_empty() {
            return;
        }
        self.task.stats.update(|counters| {
            let rungs = &mut counters.rungs;
            rungs.seeded += seeds.seeded;
            rungs.missing += count(seeds.missing.len());
            rungs.joined_by_hash += seeds.by_hash;
            rungs.joined_by_time += seeds.by_time;
            rungs.refused += seeds.refused;
        });
        self.task.recorder.record(&seeds.events);
        self.outlet.deliver(&mut seeds.events);
        self.outlet.mark_stale(&seeds.silent, StaleReason::Silent);
        self.show_waiting();
    }

    fn on_frames(&mut self) {
        let now = Instant::now();
        let stats = &self.context.venue.wire;
        self.intake.finish(&self.context.interner, stats);
        let tally = self.intake.tally;
        self.watchdog.on_frame(now);
        if !self.intake.decoded.events.is_empty() {
            self.watchdog.on_data(now, &mut self.task.rhythm);
        } else if tally.empty_snapshots > 0 {
            self.watchdog.on_flow(now);
        }
        let waiting = self.first_books.len();
        self.first_books.broken(&self.intake.decoded.undecodable);
        self.first_books.sift(&mut self.intake.decoded.events, now);
        // Before the rest of this read, which goes on from there.
        let seeds = self.first_books.joined(now);
        self.hand_over(seeds);
        self.task.recorder.record(&self.intake.decoded.events);
        self.task.reporter.report(&self.intake.decoded.events, now);
        if self.intake.decoded.undecodable.is_empty() {
            self.outlet.deliver(&mut self.intake.decoded.events);
        } else {
            self.lost_track();
        }
        for event in self.intake.decoded.lifecycle.drain(..) {
            self.context.venue.lifecycle.offer(event);
        }
        if self.first_books.len() != waiting {
            self.show_waiting();
        }
        self.task.stats.update(|counters| {
            counters.messages += tally.frames;
            counters.life_messages += tally.data;
            counters.bytes += tally.bytes;
            counters.parse_errors += self.intake.decoded.errors;
            counters.refused_frames += tally.refused;
            counters.pongs += tally.pongs;
            counters.last_data = self.watchdog.last_data().or(counters.last_data);
        });
        self.intake.clear();
        if tally.refused > 0 {
            tracing::warn!(
                connection = %self.task.stats.id(),
                frames = tally.refused,
                "venue refused a frame of ours"
            );
        }
        if self.outlet.has_overflowed() {
            self.task
                .stats
                .update(|counters| counters.overflowed = true);
            self.context.progress.notify_one();
        }
    }

    /// Changes of some assets were lost to decoding. Their books are stale
    /// before anything else of this read is seen, and after it, whatever
    /// snapshot it held.
    fn lost_track(&mut self) {
        let mut lost = std::mem::take(&mut self.intake.decoded.undecodable);
        lost.retain(|key| self.task.assets.contains_key(key));
        self.task.recorder.gap(lost.iter().copied());
        self.outlet.mark_stale(&lost, StaleReason::Undecodable);
        self.outlet.deliver(&mut self.intake.decoded.events);
        self.outlet.mark_stale(&lost, StaleReason::Undecodable);
        if let Some(feed) = self.outlet.feed() {
            let resync = &self.context.venue.resync;
            resync.resync(Scope::Feed(feed), &lost, StaleReason::Undecodable);
        } else {
            let infos: Vec<_> = lost
                .iter()
                .filter_map(|key| self.task.assets.get(key).cloned())
                .collect();
            self.renew(&infos);
        }
    }

    /// Takes one market off and subscribes it anew: its snapshot is the proof
    /// that data flows.
    fn probe(&mut self, now: Instant) {
        let next = |from: Option<AssetKey>| {
            self.task
                .assets
                .values()
                .filter(|info| from.is_none_or(|from| info.key > from))
                .find(|info| !self.first_books.contains(info.key))
                .cloned()
        };
        let Some(info) = next(self.probed).or_else(|| next(None)) else {
            // Every asset waits for its book: the ladder asks for them all.
            self.watchdog.excuse(now);
            return;
        };
        let mut market = vec![Arc::clone(&info)];
        market.extend(
            info.complement
                .and_then(|other| self.task.assets.get(&other).cloned())
                .filter(|other| !self.first_books.contains(other.key)),
        );
        self.probed = market.iter().map(|info| info.key).max();
        let keys: Vec<_> = market.iter().map(|info| info.key).collect();
        tracing::debug!(connection = %self.task.stats.id(), "silent: probing one market");
        self.outlet.mark_stale(&keys, StaleReason::Resubscribing);
        self.renew(&market);
        self.watchdog.probed(now, &self.context.config);
        self.task.stats.update(|counters| counters.probes += 1);
    }

    /// Names assets for the first time on this socket.
    fn name(&mut self, assets: &[Arc<AssetInfo>]) {
        if assets.is_empty() {
            return;
        }
        let now = Instant::now();
        self.send(Request::Subscribe, assets);
        self.first_books.named(assets, now, &self.context.config);
        self.show_waiting();
    }

    /// Takes assets off and names them again: a subscription that is merely
    /// repeated brings no snapshot.
    fn renew(&mut self, assets: &[Arc<AssetInfo>]) {
        if assets.is_empty() {
            return;
        }
        let now = Instant::now();
        self.task.recorder.gap(assets.iter().map(|info| info.key));
        self.send(Request::Unsubscribe, assets);
        self.send(Request::Subscribe, assets);
        self.first_books.renewed(assets, now, &self.context.config);
        let anew = count(assets.len());
        self.task
            .stats
            .update(|counters| counters.resubscribes += anew);
        self.show_waiting();
    }

    fn send(&mut self, request: Request, assets: &[Arc<AssetInfo>]) {
        for chunk in assets.chunks(self.context.config.chunk.max(1)) {
            let request = match request {
                Request::Subscribe if !self.introduced => Request::Open,
                request => request,
            };
            // Before the first frame there is nothing to take off.
            if request == Request::Unsubscribe && !self.introduced {
                return;
            }
            self.introduced = true;
            self.socket.send(request::frame(request, chunk));
        }
    }

    fn show_waiting(&mut self) {
        let bookless: Vec<_> = self.first_books.bookless().collect();
        let hoped_for: Vec<_> = self.first_books.hoped_for().collect();
        self.task.note_books(bookless.len(), hoped_for.len());
        // On a socket that brings nothing at all the socket is what is wrong.
        let stranded = match self.watchdog.last_data() {
            Some(_) => self.first_books.stranded(),
            None => Vec::new(),
        };
        self.task.stats.update(|counters| {
            counters.bookless = bookless;
            counters.hoped_for = hoped_for;
            counters.stranded = stranded;
        });
        self.context.progress.notify_one();
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
