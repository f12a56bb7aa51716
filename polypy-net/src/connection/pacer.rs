//! Spaces the upgrades of all connections.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// Gives each caller a moment of its own, at least one gap after the last, in the order
/// in which they came.
#[derive(Debug)]
pub(super) struct Pacer {
    gap: Duration,
    /// When the last turn was. Whose turn is next holds the lock until it has come: one that
    /// gives up leaves the line, and its moment is the next one's.
    last: Mutex<Option<Instant>>,
    /// No turn comes before.
    held_until: parking_lot::Mutex<Option<Instant>>,
}

impl Pacer {
    pub(super) fn new(gap: Duration) -> Self {
        Self {
            gap,
            last: Mutex::default(),
            held_until: parking_lot::Mutex::default(),
        }
    }

    /// Waits for the caller's turn. Dropping the future gives the turn up.
    pub(super) async fn turn(&self) {
        let mut last = self.last.lock().await;
        loop {
            let due = last
                .map(|last| last + self.gap)
                .max(*self.held_until.lock());
            match due.filter(|due| *due > Instant::now()) {
                // A hold may come meanwhile.
                Some(due) => sleep_until(due).await,
                None => break,
            }
        }
        *last = Some(Instant::now());
    }

    /// Nobody's turn comes before `pause` has passed: the venue asked for it,
    /// and it counts by address, not by connection.
    pub(super) fn hold_off(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut held = self.held_until.lock();
        *held = held.max(Some(until));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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

    #[tokio::test(start_paused = true)]
    async fn the_moments_of_those_who_give_up_are_the_next_ones() {
        let pacer = Arc::new(Pacer::new(Duration::from_millis(100)));
        let start = Instant::now();
        pacer.turn().await;
        let mut line = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let pacer = Arc::clone(&pacer);
            line.spawn(async move { pacer.turn().await });
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        line.shutdown().await;
        pacer.turn().await;
        assert!((Instant::now() - start).as_millis().abs_diff(100) <= 1);
    }
}
