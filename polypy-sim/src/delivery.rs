//! How a frame reaches the sockets it is for.
//!
//! A frame is rendered once and its bytes are shared by every socket.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::exchange::{Exchange, Link};
use crate::outbox::Pushed;
use crate::venue::TokenRef;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Opening,
    Book,
    PriceChange,
    Trade,
    TickSize,
    BestBidAsk,
    NewMarket,
    Resolved,
    Control,
    Pong,
}

impl FrameKind {
    /// Whether only sockets with custom features get it.
    fn is_custom(self) -> bool {
        match self {
            Self::BestBidAsk | Self::NewMarket | Self::Resolved => true,
            Self::Opening
            | Self::Book
            | Self::PriceChange
            | Self::Trade
            | Self::TickSize
            | Self::Control
            | Self::Pong => false,
        }
    }
}

/// Whom a frame concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// Every token of a market.
    Market(usize),
    Token(TokenRef),
    /// One socket alone.
    Connection,
}

/// A frame ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) kind: FrameKind,
    pub(crate) about: About,
    pub(crate) text: Utf8Bytes,
}

impl Frame {
    pub(crate) fn of_market(kind: FrameKind, market: usize, text: String) -> Self {
        Self {
            kind,
            about: About::Market(market),
            text: text.into(),
        }
    }

    pub(crate) fn of_token(kind: FrameKind, place: TokenRef, text: String) -> Self {
        Self {
            kind,
            about: About::Token(place),
            text: text.into(),
        }
    }

    pub(crate) fn of_connection(kind: FrameKind, text: String) -> Self {
        Self {
            kind,
            about: About::Connection,
            text: text.into(),
        }
    }
}

impl Exchange {
    /// Sends a frame to every subscriber of what it is about.
    pub(crate) fn publish(&mut self, frame: &Frame) {
        let (market, outcomes) = match frame.about {
            About::Market(market) => (market, u32::MAX),
            About::Token(place) => (place.market, 1 << place.outcome),
            About::Connection => return,
        };
        let omitted;
        let frame = if self.faults.is_empty() {
            frame
        } else {
            match self.omit(frame) {
                Some(left) => {
                    omitted = left;
                    &omitted
                }
                None => return,
            }
        };
        let custom = frame.kind.is_custom();
        // Taken out for the time of the loop: delivering needs the rest of self.
        let subscribers = std::mem::take(&mut self.subscribers[market]);
        for subscriber in &subscribers {
            let wanted = subscriber.outcomes & outcomes != 0
                && (!custom || subscriber.link.custom_features.load(Ordering::Relaxed));
            if wanted {
                self.deliver(&subscriber.link, frame);
            }
        }
        self.subscribers[market] = subscribers;
    }

    /// Sends a frame to every socket with custom features.
    pub(crate) fn broadcast(&mut self, frame: &Frame) {
        let links: Vec<Arc<Link>> = self
            .sessions
            .values()
            .filter(|session| session.link.custom_features.load(Ordering::Relaxed))
            .map(|session| Arc::clone(&session.link))
            .collect();
        for link in &links {
            self.deliver(link, frame);
        }
    }

    /// Sends a frame to one socket, under whatever faults are on.
    pub(crate) fn deliver(&mut self, link: &Arc<Link>, frame: &Frame) {
        if self.faults.is_empty() && self.held.is_empty() && self.trails.is_empty() {
            self.push(link, frame.text.clone());
        } else {
            self.deliver_disturbed(link, frame);
        }
    }

    /// Queues a text for one socket, past every fault.
    pub(crate) fn push(&mut self, link: &Arc<Link>, text: Utf8Bytes) {
        match link.outbox.push(text) {
            Pushed::Queued => self.counters.frames_queued.increment(),
            Pushed::Refused => self.counters.frames_dropped.increment(),
            Pushed::Overflowed => {
                self.counters.frames_dropped.increment();
                self.counters.closed_slow.increment();
                tracing::info!(connection = link.id, "slow consumer, closing");
            }
        }
    }
}
