//! Spaces the upgrades of all connections.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// Gives each caller a moment of its own, at least one gap after the last.
#[derive(Debug)]
pub(super) struct Pacer {
    gap: Duration,
    turns: Mutex<Turns>,
}

#[derive(Debug, Default)]
struct Turns {
    /// The next free one.
    next: Option<Instant>,
    /// Turns before this one are void, given out or not.
    held_until: Option<Instant>,
}

impl Pacer {
    pub(super) fn new(gap: Duration) -> Self {
        Self {
            gap,
            turns: Mutex::default(),
        }
    }

    /// Waits for the caller's turn. Dropping the future gives the turn up, and
    /// the gap it stood for passes unused.
    pub(super) async fn turn(&self) {
        let mut at = self.take();
        loop {
            sleep_until(at).await;
            let held = self.turns.lock().held_until;
            if held.is_none_or(|until| until <= at) {
                return;
            }
            at = self.take();
        }
    }

    /// Nobody's turn comes before `pause` has passed: the venue asked for it,
    /// and it counts by address, not by connection.
    pub(super) fn hold_off(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut turns = self.turns.lock();
        let longest = turns.held_until.map_or(until, |held| held.max(until));
        turns.held_until = Some(longest);
        turns.next = Some(turns.next.map_or(longest, |next| next.max(longest)));
    }

    fn take(&self) -> Instant {
        let now = Instant::now();
        let mut turns = self.turns.lock();
        let at = turns.next.map_or(now, |next| next.max(now));
        turns.next = Some(at + self.gap);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_are_a_gap_apart_whoever_takes_them() {
        let pacer = Pacer::new(Duration::from_millis(100));
        let start = Instant::now();
        let turn = || async {
            pacer.turn().await;
            (Instant::now() - start).as_millis()
        };
        let (a, b, c) = tokio::join!(turn(), turn(), turn());
        // The timer wheel has a grain of 1 ms.
        for (at, expected) in [(a, 0), (b, 100), (c, 200)] {
            assert!(at.abs_diff(expected) <= 1, "{at}");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        pacer.hold_off(Duration::from_secs(5));
        let before = Instant::now();
        pacer.turn().await;
        assert!((Instant::now() - before).as_millis().abs_diff(5_000) <= 1);
    }
    #[tokio::test(start_paused = true)]
    async fn a_hold_voids_turns_that_were_given_out() {
        let pacer = Pacer::new(Duration::from_millis(100));
        let start = Instant::now();
        let turn = || async {
            pacer.turn().await;
            (Instant::now() - start).as_millis()
        };
        let hold = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            pacer.hold_off(Duration::from_secs(2));
            0
        };
        let (a, b, c, _) = tokio::join!(turn(), turn(), turn(), hold);
        for (at, expected) in [(a, 0), (b, 2_050), (c, 2_150)] {
            assert!(at.abs_diff(expected) <= 2, "{at}");
        }
    }
}
