//! Plays a recording in place of the seeded flow.
//!
//! It begins when somebody has subscribed and no further subscription has come
//! for a moment. Each frame goes, byte for byte, to the sockets that subscribed
//! one of its assets, or to all when it names none. The books are rebuilt beside
//! that from the same frames: for late subscribers, and for REST. Their
//! hashes are those the recording states.
//!
//! Where the recording has lost a token, so has the exchange: it drops the sockets that
//! carry it, without a word, and waits for them to come back.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use polypy_core::Timestamp;
use tokio::time::Instant;

use crate::delivery::{About, Frame, FrameKind};
use crate::effects::{Effect, Place};
use crate::exchange::{Exchange, Link};
use crate::feed::{Fed, Feed};
use crate::midst::Deferred;
use crate::outbox::Ending;
use crate::reading::{Line, LineKind};
use crate::render;
use crate::stats::PlaybackStats;
use crate::subscription::Session;
use crate::venue::TokenRef;

/// Lines played without letting go of the exchange.
const BATCH: usize = 256;
/// How often full sockets are looked at when playing as fast as they take it, and lines
/// that are being made.
const RETRY: Duration = Duration::from_millis(1);
/// How long those who were dropped are waited for. Clients wait longer each time before they
/// come back, and whoever is not there when it goes on misses something that was recorded.
const RETURN: Duration = Duration::from_secs(30);

/// How far a recording has been played.
#[derive(Debug)]
pub(crate) struct Player {
    feed: Feed,
    /// Made, and not played yet.
    lines: VecDeque<Line>,
    sent: usize,
    total: usize,
    state: State,
    speed: f64,
    pub(crate) settle: Duration,
    /// When the latest subscription came.
    subscribed: Option<Instant>,
    /// What sockets carried that were dropped, and no other one has asked for since.
    dropped: HashSet<TokenRef>,
    /// Recorded time played so far.
    position: Duration,
    looked: Instant,
    /// REST answers of the recording that have been played, and of which moment they are.
    rest: HashMap<TokenRef, (Timestamp, String)>,
    /// When playing began, in nanoseconds since the epoch, if what is played is to be of now.
    shifted_to: Option<u64>,
    /// The recorded time of the latest line.
    reached: Duration,
    /// Who waits for books that are in the midst of a state.
    pub(crate) deferred: Vec<Deferred>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody has subscribed, or not long enough ago.
    Waiting,
    Playing,
    /// The same, and till this moment those who were dropped, or told a book, are waited for.
    Dropped(Instant),
    Done,
}

impl Player {
    fn new(feed: Feed, total: usize, speed: f64, settle: Duration) -> Self {
        Self {
            feed,
            lines: VecDeque::new(),
            sent: 0,
            total,
            state: State::Waiting,
            speed,
            settle,
            subscribed: None,
            dropped: HashSet::new(),
            position: Duration::ZERO,
            looked: Instant::now(),
            rest: HashMap::new(),
            shifted_to: None,
            reached: Duration::ZERO,
            deferred: Vec::new(),
        }
    }

    /// By how many milliseconds a line is shifted.
    fn shift_of(&self, line: &Line) -> Option<i64> {
        let (to, from) = (self.shifted_to?, line.zero);
        let millis = |nanos| i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX);
        Some(millis(to).saturating_sub(millis(from)))
    }

    /// Notes a subscription.
    pub(crate) fn subscribed(&mut self, now: Instant) {
        self.subscribed = Some(now);
    }

    /// Somebody has a token from now on; whether nobody is waited for any more. Then it goes
    /// on in a moment, so that books which were sent again have been read.
    pub(crate) fn carries(&mut self, place: TokenRef, now: Instant) -> bool {
        let are_back = self.dropped.remove(&place) && self.dropped.is_empty();
        if are_back && let State::Dropped(until) = &mut self.state {
            *until = now + self.settle;
        }
        are_back
    }

    /// Books were told while it plays: it goes on in a moment, so that they have been read.
    pub(crate) fn rest(&mut self, now: Instant) {
        if self.state == State::Playing && !self.settle.is_zero() {
            self.state = State::Dropped(now + self.settle);
        }
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.state != State::Waiting
    }

    /// The recorded time of the latest line, while there may be another one.
    pub(crate) fn reached(&self) -> Option<Duration> {
        (self.state != State::Done).then_some(self.reached)
    }

    /// Notes what a REST answer of the recording says.
    pub(crate) fn answers(&mut self, place: TokenRef, stamp: Timestamp, text: String) {
        self.rest.insert(place, (stamp, text));
    }

    /// The recorded REST answer of a token, if one has been played and its book has not
    /// changed since.
    pub(crate) fn rest_book(&self, place: TokenRef, changed: Timestamp) -> Option<&String> {
        let (stamp, text) = self.rest.get(&place)?;
        (changed <= *stamp).then_some(text)
    }

    pub(crate) fn stats(&self) -> PlaybackStats {
        PlaybackStats {
            sent: self.sent,
            total: self.total,
            done: self.state == State::Done,
        }
    }

    /// Moves the recorded time on. The moment to look again, while it stands still.
    fn advance(&mut self, now: Instant) -> Result<(), Option<Instant>> {
        let passed = now.duration_since(self.looked);
        self.looked = now;
        let settled = self.subscribed.map(|at| at + self.settle);
        match self.state {
            State::Playing => self.position += passed.mul_f64(self.speed),
            State::Done => return Err(None),
            State::Waiting if settled.is_some_and(|at| now >= at) => self.state = State::Playing,
            State::Waiting => return Err(settled),
            State::Dropped(until) if now < until => return Err(Some(until)),
            State::Dropped(_) => {
                self.dropped.clear();
                self.state = State::Playing;
            }
        }
        Ok(())
    }

    /// When to look again, with `lead` of recorded time still to pass.
    fn after(&self, now: Instant, lead: Duration) -> Instant {
        // A lead that no division can express is as good as a day.
        let wait = lead.as_secs_f64() / self.speed;
        now + Duration::try_from_secs_f64(wait).unwrap_or(Duration::from_secs(86_400))
    }

    /// Has lines, if there are any.
    fn fetch(&mut self) -> Fetched {
        if !self.lines.is_empty() {
            return Fetched::Some;
        }
        match self.feed.take() {
            Fed::Lines(lines) if lines.is_empty() => Fetched::Again,
            Fed::Lines(lines) => {
                self.lines.extend(lines);
                Fetched::Some
            }
            Fed::Soon => Fetched::Soon,
            Fed::Over => Fetched::Over,
        }
    }
}

enum Fetched {
    Some,
    Soon,
    /// It begins again from here.
    Again,
    Over,
}

impl Exchange {
    /// Stands ready to play what is fed.
    pub(crate) fn load(&mut self, feed: Feed, frames: usize) {
        for market in &mut self.venue.markets {
            market.states_hashes = !self.config.playback_shifts;
        }
        let (speed, settle) = (self.config.playback_speed, self.config.playback_settle);
        self.player = Some(Player::new(feed, frames, speed, settle));
    }

    /// Plays what is due and says when to look again; `None` when that is only
    /// after something else happens.
    pub(crate) fn play(&mut self, now: Instant) -> Option<Instant> {
        let paused = self.paused;
        self.player.as_ref()?;
        if let Some(soon) = self.play_unseen(now) {
            return Some(soon);
        }
        let player = self.player.as_mut()?;
        if paused {
            player.looked = now;
            return None;
        }
        let had_begun = player.has_begun();
        if let Err(next) = player.advance(now) {
            return next;
        }
        if !had_begun {
            let places = self.venue.tokens().map(|(place, _)| place);
            let with_books: Vec<_> = places.filter(|place| self.has_book(*place)).collect();
            if self.config.playback_shifts {
                self.begin_now(&with_books);
            }
            self.open_subscribed(&with_books);
        }
        let is_timed = self.config.playback_speed > 0.0;
        // At full speed the slowest reader decides. Looked at once a batch, which then has
        // the other half of each buffer.
        if !is_timed && self.is_any_half_full() {
            return Some(now + RETRY);
        }
        let mut room = self.config.send_buffer / 2;
        let mut links = Vec::new();
        for _ in 0..BATCH {
            let player = self.player.as_mut()?;
            match player.fetch() {
                Fetched::Some => {}
                Fetched::Soon => return Some(now + RETRY),
                Fetched::Again => return self.begin_again(now),
                Fetched::Over => {
                    player.state = State::Done;
                    self.tell_overdue(Duration::MAX);
                    return None;
                }
            }
            let at = player.lines.front()?.at;
            self.tell_overdue(at);
            let player = self.player.as_mut()?;
            if let State::Dropped(_) = player.state {
                return Some(now);
            }
            let line = player.lines.front()?;
            if is_timed && line.at > player.position {
                return Some(player.after(now, line.at - player.position));
            }
            if !is_timed && room == 0 {
                return Some(now);
            }
            room = room.saturating_sub(line.text.len());
            let mut line = player.lines.pop_front()?;
            if let Some(by) = player.shift_of(&line) {
                line.shift(by);
            }
            player.reached = at;
            self.audience(&line, &mut links);
            self.play_line(line, &links);
            if let State::Dropped(_) = self.player.as_ref()?.state {
                return Some(now);
            }
        }
        Some(now)
    }

    fn is_any_half_full(&self) -> bool {
        let mut sessions = self.sessions.values();
        sessions.any(|session| session.link.outbox.is_half_full())
    }

    /// What is played is of now, and so are these books, which were there before.
    fn begin_now(&mut self, places: &[TokenRef]) {
        let now = self.clock.now().millis().saturating_mul(1_000_000);
        let Some(player) = &mut self.player else {
            return;
        };
        player.shifted_to = Some(now);
        player.rest.clear();
        let by = player.lines.front().and_then(|line| player.shift_of(line));
        for place in places {
            self.venue.token_mut(*place).shift(by.unwrap_or(0));
        }
    }

    /// Plays what is before the moment at which playing begins, to all who listen. When to
    /// look again, if there is more of it.
    fn play_unseen(&mut self, now: Instant) -> Option<Instant> {
        for _ in 0..BATCH {
            let player = self.player.as_mut()?;
            if player.has_begun() {
                return None;
            }
            match player.fetch() {
                Fetched::Soon => return Some(now + RETRY),
                Fetched::Some => {}
                Fetched::Again | Fetched::Over => return None,
            }
            let line = player.lines.front()?;
            if !matches!(line.kind, LineKind::Quiet | LineKind::Forget) {
                return None;
            }
            let line = player.lines.pop_front()?;
            self.play_line(line, &[]);
        }
        Some(now)
    }

    /// All are dropped, nothing has been played.
    fn begin_again(&mut self, now: Instant) -> Option<Instant> {
        let all: Vec<_> = self.venue.tokens().map(|(place, _)| place).collect();
        self.forget_books(&all);
        let links = self.sessions.values().map(|session| &session.link);
        links.for_each(|link| link.outbox.end(Ending::DropAfterQueue));
        let player = self.player.as_mut()?;
        tracing::info!(frames = player.sent, "the recording begins again");
        player.state = State::Waiting;
        player.subscribed = None;
        player.dropped.clear();
        player.sent = 0;
        player.position = Duration::ZERO;
        player.rest.clear();
        player.shifted_to = None;
        player.reached = Duration::ZERO;
        Some(now + RETRY)
    }

    /// Whose frame this is.
    fn audience(&self, line: &Line, links: &mut Vec<Arc<Link>>) {
        links.clear();
        if line.kind != LineKind::Frame {
            return;
        }
        if line.markets.is_empty() {
            let all = self.sessions.values();
            links.extend(all.map(|session| Arc::clone(&session.link)));
            return;
        }
        for &market in &line.markets {
            let of_market = line.places.iter().filter(|place| place.0 == market);
            let outcomes = of_market.fold(0, |bits, place| bits | 1 << place.1);
            for subscriber in &self.subscribers[market] {
                let wanted = outcomes == 0 || subscriber.outcomes & outcomes != 0;
                if wanted && links.iter().all(|link| link.id != subscriber.link.id) {
                    links.push(Arc::clone(&subscriber.link));
                }
            }
        }
    }

    fn play_line(&mut self, line: Line, links: &[Arc<Link>]) {
        if let Some(player) = &mut self.player {
            player.sent += line.frames;
        }
        let begins: Vec<_> = match line.kind {
            LineKind::Begin => books_of(&line)
                .filter(|place| !self.has_book(*place))
                .collect(),
            LineKind::Frame | LineKind::Quiet | LineKind::Lose | LineKind::Forget => Vec::new(),
        };
        let kind = match line.effects.first() {
            Some(Effect::Change { .. }) => FrameKind::PriceChange,
            Some(Effect::LastPrice(..)) => FrameKind::Trade,
            Some(Effect::Tick(..)) => FrameKind::TickSize,
            Some(Effect::Resolved(..)) => FrameKind::Resolved,
            Some(Effect::Book(..)) if line.text.starts_with('[') => FrameKind::Opening,
            Some(Effect::Book(..)) | None => FrameKind::Book,
        };
        let mut changed = Vec::new();
        for effect in line.effects {
            changed.extend(self.take_effect(effect));
        }
        match line.kind {
            LineKind::Quiet => {}
            LineKind::Begin => self.open_subscribed(&begins),
            LineKind::Lose | LineKind::Forget => {
                let places: Vec<_> = line.places.into_iter().map(token_ref).collect();
                self.forget_books(&places);
                if line.kind == LineKind::Lose {
                    self.drop_carriers(&places);
                }
            }
            LineKind::Frame => {
                let about = match (&line.markets[..], &line.places[..]) {
                    (_, [place]) if kind != FrameKind::PriceChange => {
                        About::Token(token_ref(*place))
                    }
                    ([market], _) => About::Market(*market),
                    _ => About::Connection,
                };
                let frame = Frame {
                    kind,
                    about,
                    text: line.text,
                };
                for link in links {
                    self.deliver(link, &frame);
                }
            }
        }
        self.tell_whole(&changed);
    }

    /// Sends the books of these places to those who wait for them.
    fn open_subscribed(&mut self, places: &[TokenRef]) {
        let mut by_link: Vec<(Arc<Link>, String)> = Vec::new();
        for &place in places {
            let waiting = self.subscribers[place.market].iter();
            let waiting =
                waiting.filter(|subscriber| subscriber.outcomes & 1 << place.outcome != 0);
            let waiting: Vec<_> = waiting.map(|subscriber| subscriber.link.id).collect();
            if waiting
                .into_iter()
                .filter(|id| self.defers(*id, place))
                .count()
                > 0
            {
                continue;
            }
            let market = &mut self.venue.markets[place.market];
            market.foresee_price(place.outcome);
            let book = render::opening_book(market, place.outcome);
            for subscriber in &self.subscribers[place.market] {
                if subscriber.outcomes & 1 << place.outcome == 0 {
                    continue;
                }
                let known = by_link
                    .iter_mut()
                    .find(|(link, _)| link.id == subscriber.link.id);
                match known {
                    Some((_, text)) => {
                        text.push(',');
                        text.push_str(&book);
                    }
                    None => {
                        let link = Arc::clone(&subscriber.link);
                        by_link.push((link, format!("[{book}")));
                    }
                }
                self.counters.opening_books.increment();
            }
        }
        for (link, mut text) in by_link {
            text.push_str("]\n");
            self.deliver(&link, &Frame::of_connection(FrameKind::Opening, text));
        }
    }

    /// There is no book of these places until one comes.
    fn forget_books(&mut self, places: &[TokenRef]) {
        for &place in places {
            self.venue.token_mut(place).forget_recorded();
            self.defer_no_more(place);
            if let Some(player) = &mut self.player {
                player.rest.remove(&place);
            }
        }
    }

    /// Each socket that carries one of these is dropped.
    fn drop_carriers(&mut self, places: &[TokenRef]) {
        let mut dropped = 0;
        let mut carried = Vec::new();
        for place in places {
            for subscriber in &self.subscribers[place.market] {
                if subscriber.outcomes & 1 << place.outcome != 0
                    && subscriber.link.outbox.end_after_queue()
                {
                    dropped += 1;
                    let session = self.sessions.get(&subscriber.link.id);
                    carried.extend(session.into_iter().flat_map(Session::places));
                }
            }
        }
        tracing::info!(
            tokens = places.len(),
            connections = dropped,
            "the recording has lost tokens here, so their connections are dropped"
        );
        if let Some(player) = self.player.as_mut().filter(|_| dropped > 0) {
            player.state = State::Dropped(Instant::now() + RETURN);
            player.dropped.extend(carried);
        }
    }
}

fn books_of(line: &Line) -> impl Iterator<Item = TokenRef> + '_ {
    line.effects.iter().filter_map(|effect| match effect {
        Effect::Book(place, _) => Some(token_ref(*place)),
        _ => None,
    })
}

pub(crate) fn token_ref((market, outcome): Place) -> TokenRef {
    TokenRef { market, outcome }
}

#[cfg(test)]
#[path = "player_tests.rs"]
mod tests;
