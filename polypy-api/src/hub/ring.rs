//! What was published lately, for those who come back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use polypy_core::AssetKey;

use super::token::Kind;
use crate::message::Published;

/// The latest messages, bounded in bytes and in age.
#[derive(Debug)]
pub(super) struct Ring {
    entries: VecDeque<Entry>,
    bytes: usize,
    most_bytes: usize,
    most_age: Duration,
    /// Place of the youngest that is no longer there; zero if all are.
    evicted: u64,
}

/// A message, and whose it was.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) message: Arc<Published>,
    pub(super) about: About,
    pub(super) kind: Kind,
    at: Instant,
}

/// Whose a message is. By keys: a number may be another token's by now.
#[derive(Debug, Clone)]
pub(super) enum About {
    Token(AssetKey),
    /// The tokens of a market.
    Market(Box<[AssetKey]>),
}

impl Ring {
    pub(super) fn new(most_bytes: usize, most_age: Duration) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            most_bytes,
            most_age,
            evicted: 0,
        }
    }

    pub(super) fn push(&mut self, message: &Arc<Published>, about: About, kind: Kind, at: Instant) {
        self.bytes += message.bytes();
        self.entries.push_back(Entry {
            message: Arc::clone(message),
            about,
            kind,
            at,
        });
        while self.bytes > self.most_bytes {
            self.evict();
        }
    }

    /// Lets go of what is too old.
    pub(super) fn age(&mut self, now: Instant) {
        while let Some(oldest) = self.entries.front()
            && now.saturating_duration_since(oldest.at) > self.most_age
        {
            self.evict();
        }
    }

    fn evict(&mut self) {
        if let Some(oldest) = self.entries.pop_front() {
            self.bytes -= oldest.message.bytes();
            self.evicted = oldest.message.position().unwrap_or(self.evicted);
        }
    }

    /// Place of the youngest message that is no longer there: whoever has got that one
    /// has lost nothing.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The messages after a place.
    pub(super) fn after(&self, position: u64) -> impl Iterator<Item = &Entry> {
        let is_before = |entry: &Entry| entry.message.position().unwrap_or(0) <= position;
        let first = self.entries.partition_point(is_before);
        self.entries.range(first..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Event, Heartbeat};

    fn message(position: u64) -> Arc<Published> {
        let heartbeat = Heartbeat {
            cursor: None,
            now_us: 1,
            queued_bytes: 0,
        };
        Arc::new(Published::new(Some(position), Event::Heartbeat(heartbeat)))
    }

    fn places(ring: &Ring, after: u64) -> Vec<u64> {
        let entries = ring.after(after);
        entries
            .filter_map(|entry| entry.message.position())
            .collect()
    }

    #[test]
    fn it_keeps_what_is_young_and_fits_and_knows_what_it_has_not() {
        let (one, start) = (message(1).bytes(), Instant::now());
        let mut ring = Ring::new(3 * one, Duration::from_secs(60));
        for (position, second) in [(1, 0), (3, 10), (4, 20)] {
            let at = start + Duration::from_secs(second);
            ring.push(
                &message(position),
                About::Market([].into()),
                Kind::State,
                at,
            );
        }
        assert_eq!((ring.evicted(), ring.bytes()), (0, 3 * one));
        assert_eq!(places(&ring, 0), [1, 3, 4]);
        assert_eq!(places(&ring, 1), [3, 4]);
        assert_eq!(places(&ring, 2), [3, 4]);
        assert_eq!(places(&ring, 4), [0; 0]);

        let at = start + Duration::from_secs(30);
        ring.push(&message(5), About::Market([].into()), Kind::State, at);
        assert_eq!((ring.evicted(), ring.bytes()), (1, 3 * one));
        ring.age(start + Duration::from_secs(70));
        assert_eq!(places(&ring, 0), [3, 4, 5], "not older than may be");
        ring.age(start + Duration::from_secs(71));
        assert_eq!((ring.evicted(), places(&ring, 3)), (3, vec![4, 5]));
    }
}
