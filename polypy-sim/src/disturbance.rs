//! What the faults that are on make of a delivery to one socket.
//!
//! In this order: what is lost, what is changed, what comes late, what comes
//! besides. Cross-type reordering and late repeats keep to what the real venue
//! does: `book` and `price_change` of one token never change places.

use std::sync::Arc;
use std::time::Duration;

use polypy_core::AssetId;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::config;
use crate::delivery::{About, Frame, FrameKind};
use crate::exchange::{Due, Exchange, Link};
use crate::fault::Fault;
use crate::fault_kind::FaultKind;
use crate::flow;
use crate::mangle;
use crate::outbox::{CLOSE_TRY_AGAIN, Ending, SLOW_CONSUMER};
use crate::publication::ALL_RESOLVED;
use crate::venue::TokenRef;

/// How long a frame waits at most for another to change places with.
const HOLD: Duration = Duration::from_millis(20);

/// How long the venue's engine restarts each week.
const RESTART: Duration = Duration::from_secs(90);

/// A frame that waits to change places with the next one of another market.
#[derive(Debug)]
pub(crate) struct Held {
    link: Arc<Link>,
    about: About,
    text: Utf8Bytes,
}

impl Exchange {
    /// Switches a fault on. Those that strike at once do so now; a strike
    /// without a duration is over with it.
    pub(crate) fn add_fault(&mut self, fault: Fault, script_line: Option<usize>) -> u64 {
        let now = Instant::now();
        let kind = fault.kind;
        let fault = match kind {
            FaultKind::EngineRestart if fault.lasting.is_none() => fault.lasting(RESTART),
            _ => fault,
        };
        let once = fault.lasting.is_none();
        let named = fault.assets.clone();
        // Over HTTP the request is refused; a script may run ahead of the venue.
        if let Some(error) = fault.unknown_assets(&self.venue) {
            tracing::warn!(
                fault = kind.info().name,
                script_line,
                reason = error.reason,
                "a fault names assets that do not exist, and misses them"
            );
        }
        let id = self
            .faults
            .add(fault, script_line, self.config.seed, &self.venue, now);
        tracing::info!(fault = kind.info().name, id, script_line, "fault on");
        match kind {
            FaultKind::DropConnection
            | FaultKind::Close1013
            | FaultKind::Close1000
            | FaultKind::GiantFrame => {
                for link in self.links() {
                    self.strike(kind, &link);
                }
                if once {
                    self.faults.remove(id);
                }
            }
            FaultKind::TickChangeTwice => self.refine_named(named.iter().flatten()),
            _ => {}
        }
        if let Some(end) = self.faults.next_end() {
            self.schedule(end, Due::EndFaults);
        }
        id
    }

    fn refine_named<'a>(&mut self, assets: impl Iterator<Item = &'a AssetId>) {
        let mut markets: Vec<usize> = assets
            .filter_map(|asset| self.venue.find(asset.as_str()))
            .map(|place| place.market)
            .collect();
        markets.sort_unstable();
        markets.dedup();
        for market in markets {
            let state = &self.venue.markets[market];
            if let Some(tick) = flow::finer(state.tick_size).filter(|_| state.is_live()) {
                self.change_tick(market, tick, false);
            }
        }
    }

    /// Lets a fault that acts on a whole socket act on this one, if it is on.
    pub(crate) fn strike(&mut self, kind: FaultKind, link: &Arc<Link>) {
        let Some(fault) = self.faults.on_connection(kind, link.id) else {
            return;
        };
        match kind {
            FaultKind::GiantFrame => {
                let text = mangle::giant(fault.count("bytes"));
                self.push(link, text.into());
            }
            FaultKind::DropConnection => {
                self.counters.closed_by_fault.increment();
                link.outbox.end(Ending::Drop);
            }
            FaultKind::Close1013 => {
                self.counters.closed_by_fault.increment();
                link.outbox
                    .end(Ending::Close(CLOSE_TRY_AGAIN, SLOW_CONSUMER.into()));
            }
            FaultKind::Close1000 => {
                self.counters.closed_by_fault.increment();
                link.outbox
                    .end(Ending::CloseAfterQueue(1000, ALL_RESOLVED.into()));
            }
            _ => {}
        }
    }

    /// Takes the changes that are to be omitted out of a frame for everybody.
    pub(crate) fn omit(&mut self, frame: &Frame) -> Option<Frame> {
        let (FrameKind::PriceChange, About::Market(market)) = (frame.kind, frame.about) else {
            return Some(frame.clone());
        };
        let outcomes = self.venue.markets[market].tokens.len();
        let mut gone = Vec::new();
        for outcome in 0..outcomes {
            let place = TokenRef { market, outcome };
            for active in self.faults.of_mut(FaultKind::OmitChange) {
                if active.hits_asset(place) && active.omits(place) {
                    active.struck();
                    gone.push(place);
                    break;
                }
            }
        }
        self.withhold(FaultKind::OmitChange, None, &gone);
        self.without(frame, &gone)
    }

    /// A frame without the entries of some tokens; `None` when nothing is left.
    fn without(&self, frame: &Frame, gone: &[TokenRef]) -> Option<Frame> {
        if gone.is_empty() {
            return Some(frame.clone());
        }
        let ids: Vec<&str> = gone
            .iter()
            .map(|&place| self.venue.token(place).info.asset_id.as_str())
            .collect();
        let text = mangle::without_assets(&frame.text, |id| ids.contains(&id))?;
        Some(Frame {
            text: text.into(),
            ..frame.clone()
        })
    }

    /// Delivers a frame to one socket under the faults that are on.
    pub(crate) fn deliver_disturbed(&mut self, link: &Arc<Link>, frame: &Frame) {
        let Some(frame) = self.lose(link, frame) else {
            self.counters.frames_dropped.increment();
            return;
        };
        if frame.kind == FrameKind::Pong {
            let delay = self
                .faults
                .on_connection(FaultKind::PongDelay, link.id)
                .map(|fault| fault.duration("delay"));
            self.push_after(link, frame.text, delay.unwrap_or_default());
            return;
        }
        if frame.kind == FrameKind::Control {
            self.push(link, frame.text);
            return;
        }
        let frame = self.lie(link, frame);
        let frame = self.change(link, frame);
        self.add_noise(link, &frame);
        self.repeat(link, &frame);
        self.delay_or_push(link, frame);
    }

    /// What is left of a frame after stalls.
    fn lose(&mut self, link: &Arc<Link>, frame: &Frame) -> Option<Frame> {
        let stalled = |kind| self.faults.on_connection(kind, link.id).is_some();
        if stalled(FaultKind::StallAll) {
            self.withhold_frame(FaultKind::StallAll, link, frame);
            return None;
        }
        if matches!(frame.kind, FrameKind::Pong | FrameKind::Control) {
            return Some(frame.clone());
        }
        if stalled(FaultKind::StallSocket) {
            self.withhold_frame(FaultKind::StallSocket, link, frame);
            return None;
        }
        let asset_stalled = |place| {
            self.faults
                .on_asset(FaultKind::StallAsset, link.id, place)
                .is_some()
        };
        match (frame.kind, frame.about) {
            (FrameKind::PriceChange, About::Market(market)) => {
                let gone: Vec<TokenRef> = (0..self.venue.markets[market].tokens.len())
                    .map(|outcome| TokenRef { market, outcome })
                    .filter(|&place| asset_stalled(place))
                    .collect();
                self.withhold(FaultKind::StallAsset, Some(link.id), &gone);
                self.without(frame, &gone)
            }
            (_, About::Token(place)) if asset_stalled(place) => {
                self.withhold_frame(FaultKind::StallAsset, link, frame);
                None
            }
            _ => Some(frame.clone()),
        }
    }

    /// A frame as whitespace and missing tops make it.
    fn change(&mut self, link: &Arc<Link>, frame: Frame) -> Frame {
        let mut text = None;
        for kind in [FaultKind::EmptyTops, FaultKind::Whitespace] {
            let hit = self
                .faults
                .of(kind)
                .find(|active| active.hits_frame(link.id, &frame, &self.venue));
            let Some(active) = hit else { continue };
            let before: &str = text.as_deref().unwrap_or(&frame.text);
            text = match kind {
                FaultKind::EmptyTops if frame.kind != FrameKind::PriceChange => text,
                FaultKind::EmptyTops if active.fault.flag("missing") => {
                    Some(mangle::missing_tops(before))
                }
                FaultKind::EmptyTops => Some(mangle::empty_tops(before)),
                _ => Some(mangle::spaced(before)),
            };
            active.struck();
        }
        let text = text.map_or_else(|| frame.text.clone(), Into::into);
        let wrapped = if self
            .strikes(FaultKind::UnknownEvent, link, &frame)
            .is_some()
        {
            if self.rng.bool() {
                Some(mangle::beside_unknown(&text, &mut self.rng))
            } else {
                let unknown = mangle::unknown_event(&mut self.rng);
                self.push(link, unknown.into());
                None
            }
        } else {
            None
        };
        Frame {
            text: wrapped.map_or(text, Into::into),
            ..frame
        }
    }

    /// Whether a fault with a rate strikes this frame; its settings if so.
    pub(crate) fn strikes(
        &mut self,
        kind: FaultKind,
        link: &Arc<Link>,
        frame: &Frame,
    ) -> Option<Fault> {
        let active = self
            .faults
            .of(kind)
            .find(|active| active.hits_frame(link.id, frame, &self.venue))?;
        if self.rng.f64() >= active.fault.number("rate") {
            return None;
        }
        active.struck();
        Some(active.fault.clone())
    }

    /// Sends what does not belong there ahead of a frame.
    fn add_noise(&mut self, link: &Arc<Link>, frame: &Frame) {
        for kind in [FaultKind::Garbage, FaultKind::ControlText] {
            let hit = self
                .faults
                .of(kind)
                .find(|active| active.hits_connection(link.id));
            let Some(active) = hit else { continue };
            if self.rng.f64() >= active.fault.number("rate") {
                continue;
            }
            active.struck();
            let text = match kind {
                FaultKind::Garbage => mangle::garbage(&frame.text, &mut self.rng),
                _ => active.fault.text("text"),
            };
            self.push(link, text.into());
        }
    }

    /// Schedules the repeats of a frame.
    fn repeat(&mut self, link: &Arc<Link>, frame: &Frame) {
        match frame.kind {
            FrameKind::PriceChange => {
                if let Some(fault) = self.strikes(FaultKind::Duplicate, link, frame) {
                    let millisecond = Duration::from_millis(1);
                    let range = millisecond..=fault.duration("delay").max(millisecond);
                    let delay = config::pick(&range, &mut self.rng);
                    self.push_after(link, mangle::reversed(&frame.text).into(), delay);
                }
            }
            FrameKind::TickSize => {
                let hit = self
                    .faults
                    .of(FaultKind::TickChangeTwice)
                    .find(|active| active.hits_frame(link.id, frame, &self.venue));
                if let Some(active) = hit {
                    active.struck();
                    self.push(link, frame.text.clone());
                }
            }
            _ => {}
        }
    }

    /// Lets a frame come late, change places with the next, or go out now.
    fn delay_or_push(&mut self, link: &Arc<Link>, frame: Frame) {
        let reorder = match frame.kind {
            FrameKind::BestBidAsk | FrameKind::Trade | FrameKind::PriceChange => {
                self.strikes(FaultKind::Reorder, link, &frame)
            }
            _ => None,
        };
        let late = matches!(frame.kind, FrameKind::BestBidAsk | FrameKind::Trade);
        match reorder {
            Some(fault) if late => {
                let range = Duration::ZERO..=fault.duration("delay");
                let delay = config::pick(&range, &mut self.rng);
                self.push_after(link, frame.text, delay);
            }
            Some(fault) if fault.flag("across_tokens") && !self.held.contains_key(&link.id) => {
                let held = Held {
                    link: Arc::clone(link),
                    about: frame.about,
                    text: frame.text,
                };
                self.held.insert(link.id, held);
                let due = Instant::now() + HOLD;
                self.schedule(
                    due,
                    Due::Release {
                        connection: link.id,
                    },
                );
            }
            _ => self.push_past_held(link, frame),
        }
    }

    /// Queues a frame before the one that waits, or behind it when both are of
    /// one market or of none.
    fn push_past_held(&mut self, link: &Arc<Link>, frame: Frame) {
        let market = |about| match about {
            About::Market(market) => Some(market),
            About::Token(place) => Some(place.market),
            About::Connection => None,
        };
        match self.held.remove(&link.id) {
            None => self.push_in_order(link, frame.text),
            Some(held) => {
                let (first, second) = (market(held.about), market(frame.about));
                if second.is_some() && first != second {
                    self.push_in_order(link, frame.text);
                    self.push_in_order(link, held.text);
                } else {
                    self.push_in_order(link, held.text);
                    self.push_in_order(link, frame.text);
                }
            }
        }
    }

    /// Nothing came to change places with: the frame goes out.
    pub(crate) fn release(&mut self, connection: u64) {
        if let Some(held) = self.held.remove(&connection) {
            self.push_in_order(&held.link, held.text);
        }
    }

    fn push_after(&mut self, link: &Arc<Link>, text: Utf8Bytes, delay: Duration) {
        if delay.is_zero() {
            self.push(link, text);
        } else {
            let due = Instant::now() + delay;
            self.schedule(
                due,
                Due::Deliver {
                    link: Arc::clone(link),
                    text,
                },
            );
        }
    }

    fn links(&self) -> Vec<Arc<Link>> {
        self.sessions
            .values()
            .map(|session| Arc::clone(&session.link))
            .collect()
    }
}
