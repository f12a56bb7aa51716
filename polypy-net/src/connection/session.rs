//! One feed: an open socket at work, from its first frame to its end.
//!
//! Four things wake it: a command from the pool, the timer, an answer from REST,
//! and frames. Frames are taken all at once, and what they say is delivered in one
//! call that never waits. Every deadline is looked at on the timer.

use std::sync::Arc;
use std::time::Duration;

use polypy_core::{
    Asked, AssetInfo, AssetKey, BookOrigin, MarketEvent, ResyncSink, Scope, StaleReason,
};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::clob::Fetched;
use crate::counter::count;

use super::carried::{Carried, Effects, by_reason};
use super::commands::CommandMailbox;
use super::disconnect::{DisconnectReason, SessionOutcome};
use super::event_output::EventOutput;
use super::first_book::{FirstBooks, Seeds};
use super::frame_batcher::FrameBatcher;
use super::reconnect::OutageWatch;
use super::recovery::PROOF;
use super::request::{self, Request};
use super::seeding::{Seeding, answered};
use super::socket::{End, Socket};
use super::state::{AwaitedBook, ConnectionState};
use super::suspended::{Resumption, Step};
use super::tap::Tap;
use super::view::ConnectionView;
use super::watchdog::{MeanGap, Verdict, Watchdog};
use super::{Context, Role};

/// How often deadlines are looked at: a small part of the shortest of them.
const CHECK: Duration = Duration::from_millis(250);

/// What a session works with that outlives its socket.
pub(super) struct Kept<'a> {
    pub(super) context: &'a Arc<Context>,
    pub(super) commands: &'a CommandMailbox,
    pub(super) view: &'a ConnectionView,
    pub(super) carried: &'a mut Carried,
    pub(super) mean_gap: &'a mut MeanGap,
    pub(super) outage: &'a mut OutageWatch,
}

/// An open socket at work for its connection. The feed is the session's: it ends
/// with it.
pub(super) struct FeedSession<'a> {
    kept: Kept<'a>,
    socket: Socket,
    /// Dropped before the feed closes: a recording has the end of a socket before what
    /// follows from it.
    tap: Tap,
    output: EventOutput,
    first_books: FirstBooks,
    watchdog: Watchdog,
    resumption: Resumption,
    opened: Instant,
    /// The first frame was sent.
    opening_sent: bool,
    /// The socket has sent data, and the state says so.
    heard: bool,
    /// The socket has stayed, and other connections know.
    stays: bool,
    /// The asset probed last; the next probe takes the one after it.
    probed: Option<AssetKey>,
    seeding: Option<Seeding>,
    batcher: FrameBatcher,
}

enum Wake {
    Commands,
    Check,
    Answer(Fetched),
    Read(Result<(), End>),
}

impl<'a> FeedSession<'a> {
    pub(super) fn new(kept: Kept<'a>, socket: Socket) -> Self {
        let context = kept.context;
        let now = Instant::now();
        let sink = Arc::clone(&context.venue.sink);
        // Before the feed opens: a suspension in between must not be missed.
        let resumption = Resumption::new(context.venue.suspension.count());
        let feed = match kept.carried.role() {
            Role::Serving => Some(context.next_feed()),
            Role::Replacement => None,
        };
        let tap = Tap::of(context, kept.view, feed);
        let output = match feed {
            Some(feed) => EventOutput::open(sink, feed),
            None => EventOutput::held(sink, context.config.held_back_events),
        };
        let awaited = kept.carried.keys().map(AwaitedBook::new).collect();
        kept.view.count(|counters| counters.sockets += 1);
        kept.view.publish(|state| {
            state.open(now, awaited);
            if let Some(feed) = feed {
                state.deliver_under(feed);
            }
        });
        Self {
            watchdog: Watchdog::new(now, &context.config),
            resumption,
            kept,
            socket,
            tap,
            output,
            first_books: FirstBooks::default(),
            opened: now,
            opening_sent: false,
            heard: false,
            stays: false,
            probed: None,
            seeding: None,
            batcher: FrameBatcher::default(),
        }
    }

    pub(super) async fn run(mut self) -> SessionOutcome {
        let all: Vec<_> = self.kept.carried.assets().cloned().collect();
        self.subscribe(&all);
        let mut check = interval(CHECK);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let reason = loop {
            if let Some(reason) = self.step(&mut check).await {
                break reason;
            }
        };
        let had_data = self.watchdog.last_data().is_some();
        let now = Instant::now();
        self.kept.carried.end_record();
        self.tap.closed(&reason);
        // The feed closes before anybody can see that the socket has ended, and
        // before the good-bye: nothing more will come of it.
        drop(self.output);
        self.kept.view.publish(|state| state.ended(now));
        if matches!(reason, DisconnectReason::Asked) {
            self.socket.part().await;
        }
        SessionOutcome {
            reason,
            time: now.saturating_duration_since(self.opened),
            had_data,
        }
    }

    async fn step(&mut self, check: &mut Interval) -> Option<DisconnectReason> {
        let commands = self.kept.commands;
        let (batcher, tap, context) = (&mut self.batcher, &mut self.tap, self.kept.context);
        let (known, stats) = (&context.interner, &context.venue.wire);
        let wake = tokio::select! {
            biased;
            () = commands.arrived() => Wake::Commands,
            _ = check.tick() => Wake::Check,
            answer = answered(&mut self.seeding) => Wake::Answer(answer),
            read = self.socket.read(|frame| batcher.take(frame, known, stats, tap)) => {
                Wake::Read(read)
            }
        };
        match wake {
            Wake::Commands => self.on_commands(),
            Wake::Check => self.on_check(),
            Wake::Answer(answer) => self.on_answer(answer),
            Wake::Read(Ok(())) => {
                self.on_frames();
                None
            }
            Wake::Read(Err(end)) => Some(DisconnectReason::End(end)),
        }
    }

    fn on_commands(&mut self) -> Option<DisconnectReason> {
        let Effects {
            fresh,
            mut again,
            rekeyed,
            gone,
            departed,
            take_over,
            retire,
            close,
        } = self.kept.carried.apply(self.kept.commands.take());
        let now = Instant::now();
        let mut moved = 0;
        for info in &gone {
            moved += u64::from(self.first_books.is_exhausted(info.key));
            self.first_books.dropped(info, now);
        }
        // The books are marked before the pool hears that they departed: another
        // connection may have them subscribed at once.
        self.output
            .mark_stale(&departed, StaleReason::Resubscribing);
        self.kept
            .view
            .count(|counters| counters.escalation.moved += moved);
        self.send(Request::Unsubscribe, Asked::Unsubscribe, &gone);
        if !gone.is_empty() {
            self.publish_awaited();
        }
        self.subscribe(&fresh);
        // What is awaited is shown by now: nobody may see that something is carried and
        // think that no book is missing.
        self.publish_carried(departed);
        // One that waits for its book is being seen to already.
        again.retain(|(info, _)| !self.first_books.contains(info.key));
        for (info, reason) in &again {
            self.output.mark_stale(&[info.key], *reason);
        }
        let keys: Vec<_> = rekeyed.iter().map(|info| info.key).collect();
        self.output.mark_stale(&keys, StaleReason::Resubscribing);
        for (reason, infos) in by_reason(rekeyed, again).into_values() {
            self.resubscribe(&infos, reason);
        }
        if retire {
            self.kept.view.publish(ConnectionState::retire);
        }
        if close {
            return Some(DisconnectReason::Asked);
        }
        let useless = take_over && !self.take_over();
        useless.then_some(DisconnectReason::Overflowed)
    }

    /// Says how many assets are carried, and which are free to go elsewhere.
    fn publish_carried(&self, departed: Vec<AssetKey>) {
        let carried = self.kept.carried.len();
        self.kept
            .view
            .publish(|state| state.carry(carried, departed));
    }

    fn take_over(&mut self) -> bool {
        if self.output.is_open() {
            return true;
        }
        // What it held back may be from before a suspension: then it is of no use.
        let suspensions = self.kept.context.venue.suspension.count();
        if !self.resumption.is_confirmed(suspensions) {
            return false;
        }
        if self.output.has_overflowed() {
            return false;
        }
        let feed = self.kept.context.next_feed();
        // Before anything is delivered as it.
        self.tap.delivers(feed);
        if !self.output.take_over(feed) {
            return false;
        }
        self.output
            .mark_stale(&self.first_books.silent(), StaleReason::Silent);
        // What was held back is delivered: only now has it taken over.
        self.kept
            .view
            .publish(|state| state.take_over(feed, Instant::now()));
        true
    }

    fn on_check(&mut self) -> Option<DisconnectReason> {
        let now = Instant::now();
        let config = &self.kept.context.config;
        self.kept.context.beat();
        self.watchdog.look(now);
        self.say_that_it_stays(now);
        let suspensions = self.kept.context.venue.suspension.count();
        match self.resumption.look(suspensions, now) {
            Step::Nothing => {}
            Step::Ask => self.ping(),
            Step::GiveUp => return Some(DisconnectReason::NoPong),
        }
        if self.watchdog.ping_due(now, config) {
            self.ping();
        }
        match self.watchdog.verdict(now, *self.kept.mean_gap, config) {
            Verdict::Fine => {}
            Verdict::EarlyPing => {
                self.watchdog.early_pinged(now, config);
                self.ping();
            }
            Verdict::Probe => self.probe(now),
            Verdict::Dead => return Some(DisconnectReason::NoPong),
            Verdict::Unresponsive => return Some(DisconnectReason::Unresponsive),
            Verdict::Stalled => return Some(DisconnectReason::Stalled),
        }
        self.first_books.tidy(now);
        if self.first_books.len() > 0 {
            self.escalate(now);
        }
        None
    }

    /// Lets connections follow that wait since the venue took none.
    fn say_that_it_stays(&mut self, now: Instant) {
        let is_old = now.saturating_duration_since(self.opened) >= PROOF;
        if !self.stays && is_old && self.watchdog.last_data().is_some() {
            self.stays = true;
            self.kept.context.recovery.stays(self.opened);
        }
    }

    fn ping(&mut self) {
        if self.socket.send(request::PING.into()) {
            self.tap.sent(request::PING, Asked::Ping, &[]);
        }
        self.resumption.pinged();
        self.kept.view.count(|counters| counters.pings += 1);
    }

    /// Asks again for the assets whose first book is overdue.
    fn escalate(&mut self, now: Instant) {
        let config = &self.kept.context.config;
        let limit = config.chunk.min(config.seed_chunk);
        let steps = self.first_books.steps(now, limit, config);
        let again = count(steps.resubscribe.len());
        self.kept.view.count(|counters| {
            counters.escalation.resubscribed += again;
            counters.escalation.exhausted += steps.exhausted;
        });
        if steps.exhausted > 0 {
            self.publish_awaited();
        }
        if !steps.resubscribe.is_empty() {
            tracing::debug!(
                connection = %self.kept.view.id(),
                assets = steps.resubscribe.len(),
                "no first book within the deadline: resubscribing"
            );
            self.resubscribe(&steps.resubscribe, StaleReason::Silent);
        }
        if !steps.seed.is_empty() && self.seeding.is_none() {
            self.first_books.asked(&steps.seed);
            let asked = count(steps.seed.len());
            self.kept
                .view
                .count(|counters| counters.escalation.asked_rest += asked);
            self.seeding = Some(Seeding::of(Arc::clone(self.kept.context), steps.seed));
        }
    }

    fn on_answer(&mut self, answer: Fetched) -> Option<DisconnectReason> {
        let Seeding { asked, .. } = self.seeding.take()?;
        let now = Instant::now();
        let config = &self.kept.context.config;
        // Those without an answer first: no answer is not "no book".
        let (again, asked): (Vec<_>, Vec<_>) = asked
            .into_iter()
            .partition(|info| answer.unanswered.contains(&info.asset_id));
        let joined = self.first_books.answered(&again, None, now, config);
        let seeds = self
            .first_books
            .answered(&asked, Some(answer.books), now, config);
        self.hand_over(joined);
        if !seeds.missing.is_empty() {
            self.kept
                .context
                .venue
                .lifecycle
                .confirm_gone(&seeds.missing);
        }
        let never_fed = seeds.given > 0 && self.watchdog.last_data().is_none();
        self.hand_over(seeds);
        never_fed.then_some(DisconnectReason::NeverFed)
    }

    /// Hands over what REST gave.
    fn hand_over(&mut self, mut seeds: Seeds) {
        if seeds.is_empty() {
            return;
        }
        self.kept.view.count(|counters| {
            let counts = &mut counters.escalation;
            counts.from_rest += seeds.given;
            counts.missing += count(seeds.missing.len());
        });
        self.kept.carried.record(&seeds.events);
        self.tap.first_books(&seeds.begun, BookOrigin::Rest);
        self.output.deliver(&mut seeds.events);
        self.output.mark_stale(&seeds.silent, StaleReason::Silent);
        self.publish_awaited();
    }

    /// How far behind the exchange a read is: once a read, by its newest change.
    /// Whole books bear the time of their last change, which may be hours ago.
    fn note_lag(&self) {
        let events = self.batcher.decoded.events.iter().rev();
        let newest = events.filter_map(|event| match event {
            MarketEvent::PriceChange(change) => Some(change.timestamp),
            _ => None,
        });
        if let Some(stamp) = newest.take(1).next() {
            let context = &self.kept.context;
            let lag = context.venue.clock.now().millis_since(stamp);
            let lag = Duration::from_millis(lag);
            context.exchange_to_receive.record_shared(lag);
        }
    }

    fn on_frames(&mut self) {
        let now = Instant::now();
        let stats = &self.kept.context.venue.wire;
        self.batcher
            .finish(&self.kept.context.interner, stats, &mut self.tap);
        let summary = self.batcher.summary;
        self.watchdog.on_frame(now);
        if !self.batcher.decoded.events.is_empty() {
            self.watchdog.on_data(now, self.kept.mean_gap);
        } else if summary.empty_snapshots > 0 {
            self.watchdog.on_flow(now);
        }
        let waiting = self.first_books.len();
        self.note_lag();
        let took = &self.kept.context.first_book;
        let carried = &self.kept.carried;
        let sifted = self
            .first_books
            .sift(&mut self.batcher.decoded.events, took, now, |key| {
                carried.get(key).is_some()
            });
        self.tap.first_books(&sifted.begun, BookOrigin::Snapshot);
        self.kept.carried.record(&self.batcher.decoded.events);
        self.kept.carried.report(&self.batcher.decoded.events, now);
        if self.batcher.decoded.undecodable.is_empty() {
            self.output.deliver(&mut self.batcher.decoded.events);
        } else {
            self.lost_track();
        }
        // After everything that came with it was delivered.
        if let Some(suspensions) = self.resumption.ponged(summary.pongs) {
            self.output.resumed(suspensions);
        }
        if !self.batcher.decoded.unknown.is_empty() {
            let unknown = &mut self.batcher.decoded.unknown;
            unknown.retain(|key| self.kept.carried.get(*key).is_some());
            self.kept.context.venue.early_audits.request(unknown);
        }
        for event in self.batcher.decoded.lifecycle.drain(..) {
            self.kept.context.venue.lifecycle.offer(event);
        }
        if self.first_books.len() != waiting {
            self.publish_awaited();
        }
        self.kept.view.count(|counters| {
            counters.messages += summary.frames;
            counters.bytes += summary.bytes;
            counters.parse_errors += self.batcher.decoded.errors;
            counters.refused_frames += summary.refused;
            counters.stray_events += count(sifted.strays);
            counters.pongs += summary.pongs;
            counters.last_data = self.watchdog.last_data().or(counters.last_data);
            let config = &self.kept.context.config;
            counters.silence_limit = Some(self.kept.mean_gap.probe_threshold(config));
        });
        self.batcher.clear();
        if summary.data > 0 && !self.heard {
            self.heard = true;
            self.kept.view.publish(ConnectionState::heard);
        }
        if summary.refused > 0 {
            tracing::warn!(
                connection = %self.kept.view.id(),
                frames = summary.refused,
                "venue refused a frame of ours"
            );
        }
        if self.output.has_overflowed() {
            self.kept.view.publish(ConnectionState::overflow);
        }
    }

    /// Changes of some assets were lost to decoding. Their books are stale
    /// before anything else of this read is seen, and after it, whatever
    /// snapshot it held.
    fn lost_track(&mut self) {
        let mut lost = std::mem::take(&mut self.batcher.decoded.undecodable);
        lost.retain(|key| self.kept.carried.get(*key).is_some());
        self.kept.carried.note_gap(lost.iter().copied());
        self.output.mark_stale(&lost, StaleReason::Undecodable);
        self.output.deliver(&mut self.batcher.decoded.events);
        self.output.mark_stale(&lost, StaleReason::Undecodable);
        if let Some(feed) = self.output.feed() {
            let resync = &self.kept.context.venue.resync;
            resync.resync(Scope::Feed(feed), &lost, StaleReason::Undecodable);
        } else {
            let infos: Vec<_> = lost
                .iter()
                .filter_map(|key| self.kept.carried.get(*key).cloned())
                .collect();
            self.resubscribe(&infos, StaleReason::Undecodable);
        }
    }

    /// Takes one market off and subscribes it again: its snapshot is the proof
    /// that data flows.
    fn probe(&mut self, now: Instant) {
        let next = |from: Option<AssetKey>| {
            self.kept
                .carried
                .assets()
                .filter(|info| from.is_none_or(|from| info.key > from))
                .find(|info| !self.first_books.contains(info.key))
                .cloned()
        };
        let Some(info) = next(self.probed).or_else(|| next(None)) else {
            // Every asset waits for its book: the escalation asks for them all.
            self.watchdog.reset_flow(now);
            return;
        };
        let mut market = vec![Arc::clone(&info)];
        market.extend(
            info.complement
                .and_then(|other| self.kept.carried.get(other).cloned())
                .filter(|other| !self.first_books.contains(other.key)),
        );
        self.probed = market.iter().map(|info| info.key).max();
        let keys: Vec<_> = market.iter().map(|info| info.key).collect();
        tracing::debug!(connection = %self.kept.view.id(), "silent: probing one market");
        // Nothing speaks against these books: both name what is done, not that the socket is silent.
        let reason = StaleReason::Resubscribing;
        self.output.mark_stale(&keys, reason);
        self.resubscribe(&market, reason);
        self.watchdog.probed(now, &self.kept.context.config);
        self.kept.view.count(|counters| counters.probes += 1);
    }

    /// Subscribes to assets for the first time on this socket.
    fn subscribe(&mut self, assets: &[Arc<AssetInfo>]) {
        if assets.is_empty() {
            return;
        }
        let now = Instant::now();
        self.send(Request::Subscribe, Asked::Subscribe, assets);
        self.first_books
            .named(assets, now, &self.kept.context.config);
        self.publish_awaited();
    }

    /// Takes assets off and subscribes to them again, for a reason: a subscription that is
    /// merely repeated brings no snapshot.
    fn resubscribe(&mut self, assets: &[Arc<AssetInfo>], reason: StaleReason) {
        if assets.is_empty() {
            return;
        }
        let now = Instant::now();
        self.kept
            .carried
            .note_gap(assets.iter().map(|info| info.key));
        let asked = Asked::Resubscribe(reason);
        self.send(Request::Unsubscribe, asked, assets);
        self.send(Request::Subscribe, asked, assets);
        self.first_books
            .renewed(assets, now, &self.kept.context.config);
        let again = count(assets.len());
        self.kept
            .view
            .count(|counters| counters.resubscribes += again);
        self.publish_awaited();
    }

    fn send(&mut self, request: Request, asked: Asked, assets: &[Arc<AssetInfo>]) {
        for chunk in assets.chunks(self.kept.context.config.chunk.max(1)) {
            let request = match request {
                Request::Subscribe if !self.opening_sent => Request::Open,
                request => request,
            };
            // Before the first frame there is nothing to take off.
            if request == Request::Unsubscribe && !self.opening_sent {
                return;
            }
            self.opening_sent = true;
            let text: Utf8Bytes = request::frame(request, chunk).into();
            // Said once it is accepted: what is not has asked for nothing.
            if self.socket.send(text.clone()) {
                self.tap.sent(&text, asked, chunk);
            }
        }
    }

    /// Says which assets are without the feed's own book.
    fn publish_awaited(&mut self) {
        // On a socket that brings nothing at all the socket is what is wrong.
        let may_exhaust = self.watchdog.last_data().is_some();
        let awaited = self.first_books.awaited(may_exhaust);
        self.kept.outage.note_books(
            self.kept.carried.len(),
            &awaited,
            self.kept.view.id(),
            &self.kept.context.reconnects,
        );
        if OutageWatch::is_over(&awaited) {
            self.kept.context.outages.settled(self.kept.view.id());
        }
        self.kept.view.publish(|state| state.await_books(awaited));
    }
}
