//! How old a change is once it is applied.
//!
//! Counted from the planned time of sending, so that a client that holds the
//! exchange up does not thereby look faster, and from the time of sending, which
//! leaves out what the exchange was late. Each frame counts once.

use hdrhistogram::Histogram;
use polypy_core::{BookHash, MarketEvent};

/// Longest age told apart: ten seconds.
pub(crate) const LONGEST: u64 = 10_000_000_000;

/// When a change was to be sent, and when it was.
pub fn stamps_of(hash: BookHash) -> (u64, u64) {
    let part = |at: usize| {
        let bytes = hash.as_bytes()[at..at + 8].iter();
        bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    (part(0), part(8))
}

/// Ages of frames.
#[derive(Debug)]
pub struct Ages {
    /// Since they were to be sent.
    pub planned: Histogram<u64>,
    /// Since they were sent.
    pub sent: Histogram<u64>,
    /// Stamps of changes that are not known to be applied.
    pending: Vec<(u64, u64)>,
    /// The frame that was noted last.
    last: (u64, u64),
}

impl Default for Ages {
    fn default() -> Self {
        let histogram =
            || Histogram::new_with_bounds(1, LONGEST, 3).expect("these bounds are allowed");
        Self {
            planned: histogram(),
            sent: histogram(),
            pending: Vec::new(),
            last: (0, 0),
        }
    }
}

impl Ages {
    /// Notes the frames of these events.
    pub fn note(&mut self, events: &[MarketEvent]) {
        for event in events {
            if let MarketEvent::PriceChange(change) = event
                && let Some(hash) = change.hash
            {
                let stamps = stamps_of(hash);
                if stamps != self.last {
                    self.last = stamps;
                    self.pending.push(stamps);
                }
            }
        }
    }

    /// All that was noted is applied.
    pub fn applied(&mut self, now: u64) {
        for (planned, sent) in self.pending.drain(..) {
            self.planned.saturating_record(now.saturating_sub(planned));
            self.sent.saturating_record(now.saturating_sub(sent));
        }
    }
}
