//! Spaces the upgrades of all connections.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// Gives each caller a moment of its own, at least one gap after the last.
#[derive(Debug)]
pub(super) struct Pacer {
    gap: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pacer {
    pub(super) fn new(gap: Duration) -> Self {
        Self {
            gap,
            next: Mutex::new(None),
        }
    }

    /// Waits for the caller's turn. Dropping the future gives the turn up, and
    /// the gap it stood for passes unused.
    pub(super) async fn turn(&self) {
        let at = {
            let mut next = self.next.lock();
            let at = next.map_or_else(Instant::now, |next| next.max(Instant::now()));
            *next = Some(at + self.gap);
            at
        };
        sleep_until(at).await;
    }

    /// Nobody's turn comes before `pause` has passed: the venue asked for it,
    /// and it counts by address, not by connection.
    pub(super) fn hold_off(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut next = self.next.lock();
        *next = Some(next.map_or(until, |next| next.max(until)));
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
}
