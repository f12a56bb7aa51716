//! Plays a recording in place of the seeded flow.
//!
//! It begins when somebody has subscribed and no further subscription has come
//! for a moment. Each frame goes, byte for byte, to the sockets that subscribed
//! one of its assets, or to all when it names none. The books are rebuilt beside
//! that from the same frames: for late subscribers, and for REST. Their
//! hashes are those the recording states.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use polypy_core::{DecimalText, OrderBook, Timestamp, Token};
use tokio::time::Instant;

use crate::catalogue::{EventListing, Listing};
use crate::delivery::{About, Frame, FrameKind};
use crate::exchange::{Exchange, Link};
use crate::inference::{self, Terms};
use crate::recording::{Effect, Line, Place, RecordedMarket, Recording};
use crate::stats::PlaybackStats;
use crate::venue::{Phase, TokenRef};

/// Frames played without letting go of the exchange.
const BATCH: usize = 256;
/// How often full sockets are looked at when playing as fast as they take it.
const RETRY: Duration = Duration::from_millis(1);

/// How far a recording has been played.
#[derive(Debug)]
pub(crate) struct Player {
    lines: Arc<[Line]>,
    next: usize,
    speed: f64,
    settle: Duration,
    /// When the latest subscription came.
    subscribed: Option<Instant>,
    /// Recorded time played so far, once it has begun.
    position: Option<Duration>,
    looked: Instant,
    /// REST answers of the recording that have been played.
    rest: HashMap<TokenRef, String>,
}

impl Player {
    fn new(lines: Vec<Line>, speed: f64, settle: Duration) -> Self {
        Self {
            lines: lines.into(),
            next: 0,
            speed,
            settle,
            subscribed: None,
            position: None,
            looked: Instant::now(),
            rest: HashMap::new(),
        }
    }

    /// Notes a subscription.
    pub(crate) fn subscribed(&mut self, now: Instant) {
        self.subscribed = Some(now);
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.position.is_some()
    }

    /// The recorded REST answer of a token, if one has been played.
    pub(crate) fn rest_book(&self, place: TokenRef) -> Option<&String> {
        self.rest.get(&place)
    }

    pub(crate) fn stats(&self) -> PlaybackStats {
        let total = self.lines.len();
        PlaybackStats {
            sent: self.next,
            total,
            done: self.next == total,
        }
    }

    /// Moves the recorded time on; `None` before it begins.
    fn advance(&mut self, now: Instant, paused: bool) -> Option<Duration> {
        let passed = now.duration_since(self.looked);
        self.looked = now;
        match self.position {
            Some(position) if !paused => {
                self.position = Some(position + passed.mul_f64(self.speed));
            }
            Some(_) => {}
            None => {
                if !paused && now >= self.subscribed? + self.settle {
                    self.position = Some(Duration::ZERO);
                }
            }
        }
        self.position
    }

    /// When to look again, with `lead` of recorded time still to pass.
    fn after(&self, now: Instant, lead: Duration) -> Instant {
        // A lead that no division can express is as good as a day.
        let wait = lead.as_secs_f64() / self.speed;
        now + Duration::try_from_secs_f64(wait).unwrap_or(Duration::from_secs(86_400))
    }
}

impl Exchange {
    /// Opens the recording's markets and stands ready to play.
    pub(crate) fn load(&mut self, recording: Recording) {
        let now = Instant::now();
        for (number, market) in recording.markets.iter().enumerate() {
            let listing = listing(number, market, recording.start);
            let place = self
                .venue
                .add(listing, &OrderBook::default(), recording.start, now);
            self.subscribers.push(Vec::new());
            if let Some((outcome, book)) = &market.first_book {
                let state = &mut self.venue.markets[place];
                let terms = inference::terms(&state.tokens[*outcome].info, book);
                let Terms {
                    tick_size,
                    min_order_size,
                    neg_risk,
                } = terms;
                state.listing.tick_size = tick_size;
                state.listing.min_order_size = min_order_size;
                state.listing.neg_risk = neg_risk;
                state.set_tick(tick_size);
            }
        }
        let (speed, settle) = (self.config.playback_speed, self.config.playback_settle);
        tracing::info!(
            frames = recording.lines.len(),
            markets = recording.markets.len(),
            "recording loaded"
        );
        self.player = Some(Player::new(recording.lines, speed, settle));
    }

    /// Plays what is due and says when to look again; `None` when that is only
    /// after something else happens.
    pub(crate) fn play(&mut self, now: Instant) -> Option<Instant> {
        let paused = self.paused;
        let player = self.player.as_mut()?;
        let lines = Arc::clone(&player.lines);
        let Some(position) = player.advance(now, paused) else {
            let begins = player.subscribed? + player.settle;
            return (!paused).then_some(begins);
        };
        if paused {
            return None;
        }
        let unhurried = player.speed > 0.0;
        for _ in 0..BATCH {
            let player = self.player.as_ref()?;
            let line = lines.get(player.next)?;
            if unhurried && line.at > position {
                return Some(player.after(now, line.at - position));
            }
            let links = self.audience(line);
            if !unhurried && links.iter().any(|link| link.outbox.is_half_full()) {
                return Some(now + RETRY);
            }
            self.play_line(line, &links);
            self.player.as_mut()?.next += 1;
        }
        Some(now)
    }

    /// Whose frame this is.
    fn audience(&self, line: &Line) -> Vec<Arc<Link>> {
        if line.markets.is_empty() {
            return self
                .sessions
                .values()
                .map(|session| Arc::clone(&session.link))
                .collect();
        }
        let mut links: Vec<Arc<Link>> = Vec::new();
        for &market in &line.markets {
            let listed = line.places.iter().any(|place| place.0 == market);
            let outcomes = line
                .places
                .iter()
                .filter(|place| place.0 == market)
                .fold(0, |bits, place| bits | 1 << place.1);
            for subscriber in &self.subscribers[market] {
                let wanted = !listed || subscriber.outcomes & outcomes != 0;
                if wanted && links.iter().all(|link| link.id != subscriber.link.id) {
                    links.push(Arc::clone(&subscriber.link));
                }
            }
        }
        links
    }

    fn play_line(&mut self, line: &Line, links: &[Arc<Link>]) {
        for effect in &line.effects {
            self.take_effect(effect);
        }
        let kind = match line.effects.first() {
            Some(Effect::Change { .. }) => FrameKind::PriceChange,
            Some(Effect::LastPrice(..)) => FrameKind::Trade,
            Some(Effect::Tick(..)) => FrameKind::TickSize,
            Some(Effect::Resolved(..)) => FrameKind::Resolved,
            Some(Effect::Book(..)) if line.text.starts_with('[') => FrameKind::Opening,
            Some(Effect::Book(..)) | None => FrameKind::Book,
        };
        let about = match (&line.markets[..], &line.places[..]) {
            (_, [place]) if kind != FrameKind::PriceChange => About::Token(token_ref(*place)),
            ([market], _) => About::Market(*market),
            _ => About::Connection,
        };
        let frame = Frame {
            kind,
            about,
            text: line.text.clone().into(),
        };
        for link in links {
            self.deliver(link, &frame);
        }
    }

    fn take_effect(&mut self, effect: &Effect) {
        match effect {
            Effect::Book(place, book) => {
                let place = token_ref(*place);
                let market = &mut self.venue.markets[place.market];
                if let Some(tick) = book.tick_size {
                    // Not through set_tick: the other token's hash stays as stated.
                    market.tick_size = tick;
                }
                if let Some(price) = book.last_trade_price {
                    market.last_trade_price = price;
                }
                let token = self.venue.token_mut(place);
                token
                    .book
                    .apply_snapshot(book.bids.clone(), book.asks.clone());
                token.state_recorded(book.stamp, book.hash);
                self.enter_token(place);
                if let (Some(text), Some(player)) = (&book.rest, &mut self.player) {
                    player.rest.insert(place, text.clone());
                }
            }
            Effect::Change {
                place,
                side,
                price,
                size,
                stamp,
                hash,
            } => {
                let place = token_ref(*place);
                let token = self.venue.token_mut(place);
                // Without a book there is nothing to change.
                if token.sequence > 1 {
                    token.book.apply_change(*side, *price, *size);
                    token.state_recorded(*stamp, *hash);
                    self.enter_token(place);
                }
            }
            Effect::LastPrice(market, price) => {
                self.venue.markets[*market].last_trade_price = *price;
            }
            Effect::Tick(market, tick) => self.venue.markets[*market].tick_size = *tick,
            Effect::Resolved(market, winner) => {
                let closed_at = Instant::now() + self.config.closing_lag;
                self.venue.markets[*market].phase = Phase::Settled {
                    winner: *winner,
                    closed_at,
                };
            }
        }
    }
}

fn token_ref((market, outcome): Place) -> TokenRef {
    TokenRef { market, outcome }
}

/// How Gamma lists a recorded market: its ids are real, its texts made up.
fn listing(number: usize, market: &RecordedMarket, start: Timestamp) -> Listing {
    let name = |outcome: usize| match outcome {
        0 => "Yes".to_owned(),
        1 => "No".to_owned(),
        more => format!("Outcome {}", more + 1),
    };
    let slug = format!("recorded-market-{}", number + 1);
    let question = format!("Recorded market {}", number + 1);
    let id = u64::try_from(number).unwrap_or(u64::MAX) + 1;
    Listing {
        id,
        condition_id: market.condition_id.clone(),
        question: question.clone(),
        slug: slug.clone(),
        tokens: market
            .tokens
            .iter()
            .enumerate()
            .map(|(outcome, id)| Token {
                token_id: id.clone(),
                outcome: name(outcome).into(),
            })
            .collect(),
        event: Arc::new(EventListing {
            id,
            slug,
            title: question,
            neg_risk: false,
        }),
        group_title: String::new(),
        tag: "Recorded",
        tick_size: DecimalText::new("0.01").unwrap_or_default(),
        min_order_size: DecimalText::new("5").unwrap_or_default(),
        neg_risk: false,
        created: start,
        end: Timestamp::from_millis(start.millis() + 30 * 86_400_000),
        volume: 0,
        liquidity: 0,
        opening_price: 500_000,
    }
}
