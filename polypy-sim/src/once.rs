//! What several sockets brought is given once.
//!
//! The venue sends the same bytes to each socket that asked for a token, and the same
//! bytes may come twice on one. So a frame is given as often as the socket that brought it
//! most often has.
//!
//! While one socket alone is open nobody else can bring what it brings: another one is told
//! what happens after it has opened, and by then this is remembered.

use std::collections::{HashMap, VecDeque};
use std::hash::Hasher;

use crate::mixer::{Mixer, Mixing};

/// Sockets lag behind each other by a second at most, in nanoseconds.
const WINDOW: u64 = 5_000_000_000;
/// Frames that are remembered: some 50 MB.
const MOST: usize = 1_000_000;

/// Frames that were given lately.
#[derive(Debug, Default)]
pub(crate) struct Once {
    seen: HashMap<u64, Seen, Mixing>,
    order: VecDeque<(u64, u64)>,
}

#[derive(Debug, Default)]
struct Seen {
    given: u32,
    /// How often the first socket has brought it.
    first: (u64, u32),
    /// And the others, if there are any.
    others: Vec<(u64, u32)>,
    times: u32,
}

impl Seen {
    /// A socket brings it; how often it has.
    fn brought(&mut self, socket: u64) -> u32 {
        let (first, count) = &mut self.first;
        if *count == 0 {
            *first = socket;
        }
        if *first == socket {
            *count += 1;
            return *count;
        }
        let known = self.others.iter_mut().find(|(known, _)| *known == socket);
        match known {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                self.others.push((socket, 1));
                1
            }
        }
    }
}

impl Once {
    /// A socket brought this frame; whether nobody had yet. `is_alone`: no other one is open.
    pub(crate) fn is_news(&mut self, socket: u64, bytes: &[u8], at: u64, is_alone: bool) -> bool {
        self.forget(at);
        if is_alone && self.order.is_empty() {
            return true;
        }
        let hash = hash(bytes);
        if is_alone && !self.seen.contains_key(&hash) {
            return true;
        }
        self.order.push_back((at, hash));
        let seen = self.seen.entry(hash).or_default();
        seen.times += 1;
        let count = seen.brought(socket);
        let is_news = count > seen.given;
        seen.given = seen.given.max(count);
        is_news
    }

    fn forget(&mut self, at: u64) {
        while let Some((then, hash)) = self.order.front().copied()
            && (then.saturating_add(WINDOW) < at || self.order.len() >= MOST)
        {
            self.order.pop_front();
            if let Some(seen) = self.seen.get_mut(&hash) {
                seen.times -= 1;
                if seen.times == 0 {
                    self.seen.remove(&hash);
                }
            }
        }
    }

    /// Nothing is remembered: time goes back.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = Mixer::default();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_given_as_often_as_the_socket_that_brought_it_most_often_has() {
        let mut once = Once::default();
        let mut told = |socket, frame: &str| once.is_news(socket, frame.as_bytes(), 1, false);
        assert!(told(1, "a change"));
        assert!(!told(2, "a change"));
        assert!(told(2, "a change"), "the venue has said it twice");
        assert!(!told(1, "a change"));
        assert!(told(1, "a change that is longer"));
        assert!(told(2, "another"));
    }

    #[test]
    fn who_is_alone_is_given_all_but_what_another_one_brought_before_it_closed() {
        let mut once = Once::default();
        assert!(once.is_news(1, b"alone", 1, true));
        assert!(
            once.is_news(1, b"alone", 1, true),
            "the venue has said it twice"
        );
        assert!(once.order.is_empty() && once.seen.is_empty());
        assert!(once.is_news(2, b"ahead", 2, false));
        assert!(once.is_news(1, b"another", 3, true));
        assert!(
            !once.is_news(1, b"ahead", 3, true),
            "the one that closed had it"
        );
        assert!(once.is_news(1, b"ahead", 4, true), "and not twice");
        assert!(once.is_news(1, b"ahead", 5 + WINDOW, true));
        assert!(once.order.is_empty() && once.seen.is_empty());
    }

    #[test]
    fn what_comes_long_after_is_something_else_and_memory_is_bounded() {
        let mut once = Once::default();
        assert!(once.is_news(1, b"a", 1, false));
        assert!(!once.is_news(2, b"a", WINDOW, false));
        assert!(once.is_news(3, b"a", 3 * WINDOW, false));
        for frame in 0..2 * MOST {
            once.is_news(1, &frame.to_le_bytes(), 3 * WINDOW, false);
        }
        assert!(once.order.len() <= MOST && once.seen.len() <= MOST);
    }
}
