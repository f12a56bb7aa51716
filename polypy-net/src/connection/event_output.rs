//! Where a socket's events leave for the sink, and its feed's life as the sink
//! sees it.
//!
//! A serving socket's feed opens with it. A replacement holds everything back
//! until it is told to take over: then its feed opens and all it held is
//! delivered in order. If it never takes over, the sink never hears of it: that
//! is what makes an aborted replacement leave nothing behind.
//!
//! The feed is closed when the output is dropped, however the task ends.

use std::sync::Arc;

use polypy_core::{AssetKey, EventSink, FeedId, MarketEvent, StaleReason};

/// One feed's events on their way to the sink.
pub(super) struct EventOutput {
    sink: Arc<dyn EventSink>,
    state: State,
}

enum State {
    Open(FeedId),
    Held {
        events: Vec<MarketEvent>,
        limit: usize,
    },
    /// Held back too much: nothing of it is complete any more.
    Overflowed,
}

impl EventOutput {
    /// A feed that delivers from the start.
    pub(super) fn open(sink: Arc<dyn EventSink>, feed: FeedId) -> Self {
        sink.feed_opened(feed);
        Self {
            sink,
            state: State::Open(feed),
        }
    }

    /// Holds back up to `limit` events.
    pub(super) fn held(sink: Arc<dyn EventSink>, limit: usize) -> Self {
        Self {
            sink,
            state: State::Held {
                events: Vec::new(),
                limit,
            },
        }
    }

    /// The feed it delivers under.
    pub(super) fn feed(&self) -> Option<FeedId> {
        match self.state {
            State::Open(feed) => Some(feed),
            State::Held { .. } | State::Overflowed => None,
        }
    }

    /// Whether the sink gets what is delivered.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Whether it held back more than it may.
    pub(super) fn has_overflowed(&self) -> bool {
        matches!(self.state, State::Overflowed)
    }

    /// Hands over, or holds back. Leaves `events` empty.
    pub(super) fn deliver(&mut self, events: &mut Vec<MarketEvent>) {
        if events.is_empty() {
            return;
        }
        match &mut self.state {
            State::Open(feed) => self.sink.deliver(*feed, events),
            State::Held {
                events: held,
                limit,
            } => {
                held.append(events);
                if held.len() > *limit {
                    self.state = State::Overflowed;
                }
            }
            State::Overflowed => {}
        }
        events.clear();
    }

    /// Marks this feed's copies of books as stale, unless it delivers nothing yet.
    pub(super) fn mark_stale(&self, assets: &[AssetKey], reason: StaleReason) {
        if let State::Open(feed) = self.state
            && !assets.is_empty()
        {
            self.sink.mark_feed_stale(feed, assets, reason);
        }
    }

    /// Everything that came before an answer of the socket's was delivered.
    pub(super) fn resumed(&self, suspensions: u64) {
        if let State::Open(feed) = self.state {
            self.sink.feed_resumed(feed, suspensions);
        }
    }

    /// Opens the feed and delivers what was held back. The feed's number is
    /// drawn now and not when the socket opened: numbers grow in the order in which
    /// feeds open. `false` when what was held is not complete: the socket is of no
    /// use then.
    pub(super) fn take_over(&mut self, feed: FeedId) -> bool {
        match &mut self.state {
            State::Open(_) => true,
            State::Overflowed => false,
            State::Held { events, .. } => {
                let mut events = std::mem::take(events);
                self.sink.feed_opened(feed);
                self.state = State::Open(feed);
                self.deliver(&mut events);
                true
            }
        }
    }
}

impl Drop for EventOutput {
    fn drop(&mut self) {
        if let State::Open(feed) = self.state {
            self.sink.feed_closed(feed, StaleReason::Disconnected);
        }
    }
}
