//! The clockwork: takes steps of the flow at the rate asked for, and does what
//! has become due in between. One task; the only one that moves the market.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::socket::stopped;
use crate::world::World;

/// Steps taken without letting go of the exchange: about a millisecond's work.
const BATCH: u32 = 64;
/// How often the flow is looked at. Below the rate at which one step is due
/// each time, steps come singly; above it, in small bursts.
const TICK: Duration = Duration::from_millis(2);
/// Steps owed beyond this are given up and counted: the machine is too slow.
const MAX_DEBT: Duration = Duration::from_secs(1);

/// Runs until the exchange stops.
pub(crate) async fn drive(world: Arc<World>) {
    let mut stop = world.stop.clone();
    let plays = world.exchange.lock().player.is_some();
    let mut pace = Pace::new(0.0, Instant::now());
    loop {
        let now = Instant::now();
        let (mut next, owes) = {
            let mut exchange = world.exchange.lock();
            exchange.run_script(now);
            exchange.run_due(now);
            let rests = exchange.restarts() || exchange.paused;
            pace.owe(exchange.take_burst());
            pace.set_rate(if plays { 0.0 } else { exchange.rate }, now);
            let steps = pace.due(now, rests);
            world.counters.steps_late.add(pace.take_given_up());
            for _ in 0..steps {
                exchange.step();
            }
            let played = exchange.play(now);
            let next = [exchange.timeline.next_due(), exchange.next_cue(), played]
                .into_iter()
                .flatten()
                .min();
            // While nothing may happen, what is owed is no reason to hurry. What is due
            // already must not wait for a timer, which counts milliseconds.
            let is_due = next.is_some_and(|due| due <= now);
            (next, is_due || pace.owes() && !rests)
        };
        if owes {
            tokio::task::yield_now().await;
            if *stop.borrow() {
                return;
            }
            continue;
        }
        if pace.rate > 0.0 {
            next = Some(next.map_or(now + TICK, |due| due.min(now + TICK)));
        }
        tokio::select! {
            () = async {
                match next {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            } => {}
            () = world.wake.notified() => {}
            () = stopped(&mut stop) => return,
        }
    }
}

/// Turns time into steps.
#[derive(Debug)]
struct Pace {
    rate: f64,
    /// Steps owed, with their fraction.
    credit: f64,
    last: Instant,
    given_up: u64,
    /// Steps owed besides, as fast as they can be taken.
    burst: u64,
}

impl Pace {
    fn new(rate: f64, now: Instant) -> Self {
        Self {
            rate,
            credit: 0.0,
            last: now,
            given_up: 0,
            burst: 0,
        }
    }

    /// Steps a second from now on; what is owed until now stays owed.
    fn set_rate(&mut self, rate: f64, now: Instant) {
        self.accrue(now);
        self.rate = rate;
    }

    fn accrue(&mut self, now: Instant) {
        let passed = now.duration_since(self.last).as_secs_f64();
        self.last = now;
        self.credit += passed * self.rate;
    }

    /// How many steps to take now, at most a batch.
    fn due(&mut self, now: Instant, paused: bool) -> u32 {
        self.accrue(now);
        if paused {
            self.credit = 0.0;
            return 0;
        }
        let most = (self.rate * MAX_DEBT.as_secs_f64()).max(1.0);
        if self.credit > most {
            self.given_up += whole(self.credit - most);
            self.credit = most;
        }
        if self.burst > 0 {
            let steps = self.burst.min(u64::from(BATCH));
            self.burst -= steps;
            return u32::try_from(steps).unwrap_or(BATCH);
        }
        let steps = whole(self.credit).min(u64::from(BATCH));
        let steps = u32::try_from(steps).unwrap_or(BATCH);
        self.credit -= f64::from(steps);
        steps
    }

    /// Adds steps that are owed at once.
    fn owe(&mut self, steps: u64) {
        self.burst = self.burst.saturating_add(steps);
    }

    fn owes(&self) -> bool {
        self.burst > 0 || self.credit >= 1.0
    }

    fn take_given_up(&mut self) -> u64 {
        std::mem::take(&mut self.given_up)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small count that is not negative"
)]
fn whole(value: f64) -> u64 {
    value.max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn steps_follow_the_rate_and_debt_is_bounded() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut pace = Pace::new(1_000.0, start);
        assert_eq!(pace.due(at(10), false), 10);
        assert_eq!(pace.due(at(500), true), 0, "nothing is owed for a pause");
        assert_eq!(pace.due(at(502), false), 2);
        assert_eq!(pace.due(at(10_502), false), BATCH);
        assert!(pace.owes());
        assert_eq!(pace.take_given_up(), 9_000);
        pace.set_rate(0.0, at(10_502));
        assert_eq!(pace.due(at(10_503), false), 1, "no debt at rest");
        pace.set_rate(1_000.0, at(60_000));
        assert_eq!(pace.due(at(60_010), false), 10, "nor for the time of rest");
        let mut pace = Pace::new(0.0, start);
        pace.owe(70);
        assert_eq!(
            pace.due(at(1), true),
            0,
            "a burst waits for the end of a pause"
        );
        assert_eq!(pace.due(at(2), false), BATCH);
        assert!(pace.owes());
        assert_eq!(pace.due(at(3), false), 6);
        assert!(!pace.owes());
    }
}
