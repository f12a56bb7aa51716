//! Sees that the writer does not come back: a disk that hangs gives no error.
//!
//! The writer counts its steps, at least one a second. A thread of its own looks as often, and
//! after [`MOST`] looks without a step says so: the writer itself cannot. Looks are counted, and
//! no time: a process that was suspended has not looked either.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::numbers::Numbers;
use crate::queue::Waker;

/// Between two looks. The writer waits no longer between two steps.
const LOOK: Duration = Duration::from_secs(1);
/// Looks without a step after which the writer counts as stalled. A disk that is merely slow
/// takes a second or two for a sync.
const MOST: u32 = 5;

/// What a look has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Nothing new.
    Nothing,
    /// The writer has not come back since then.
    Stalled { since: Instant },
    /// It has, of which it had been said that it does not.
    Back { since: Instant },
}

/// What was seen of the writer.
#[derive(Debug)]
struct Seen {
    steps: u64,
    /// When its last step was seen.
    since: Instant,
    /// Looks since then.
    looks: u32,
}

impl Seen {
    fn look(&mut self, steps: u64, now: Instant) -> Found {
        if steps == self.steps {
            self.looks = self.looks.saturating_add(1);
            let since = self.since;
            return match self.looks {
                MOST => Found::Stalled { since },
                _ => Found::Nothing,
            };
        }
        let before = std::mem::replace(
            self,
            Self {
                steps,
                since: now,
                looks: 0,
            },
        );
        let since = before.since;
        if before.looks >= MOST {
            Found::Back { since }
        } else {
            Found::Nothing
        }
    }
}

/// Looks at the writer once a second, and shows what waits in the queue, until the sender of
/// `ended` is dropped.
pub(crate) fn watch(numbers: &Arc<Numbers>, queue: &Waker, folder: &Path, ended: &Receiver<()>) {
    let folder = folder.display();
    let mut seen = Seen {
        steps: numbers.steps(),
        since: Instant::now(),
        looks: 0,
    };
    while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        let now = Instant::now();
        numbers.queue_bytes.set(queue.waiting() as u64);
        match seen.look(numbers.steps(), now) {
            Found::Nothing => {}
            Found::Stalled { since } => {
                numbers.stalled(Some(since));
                tracing::error!(
                    %folder,
                    since_s = seconds(now, since),
                    queue_bytes = numbers.queue_bytes.get(),
                    "nothing is recorded: the disk does not answer; the books are not concerned"
                );
            }
            Found::Back { since } => {
                numbers.stalled(None);
                let (_, lost_frames) = numbers.frames();
                tracing::warn!(
                    %folder,
                    after_s = seconds(now, since),
                    lost_frames,
                    "the disk of the recording answers again"
                );
            }
        }
    }
}

fn seconds(now: Instant, since: Instant) -> f64 {
    now.saturating_duration_since(since).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_that_does_not_step_is_told_once_and_so_is_that_it_is_back() {
        let began = Instant::now();
        let at = |second: u64| began + Duration::from_secs(second);
        let mut seen = Seen {
            steps: 7,
            since: began,
            looks: 0,
        };
        // A slow step, and one more.
        let steps = [7, 7, 7, 7, 8, 8, 8, 8, 8, 8, 8, 9, 10];
        let found = (1..).zip(steps).map(|(second, steps)| {
            let found = seen.look(steps, at(second));
            (second, found)
        });
        let told: Vec<_> = found
            .filter(|(_, found)| *found != Found::Nothing)
            .collect();
        let since = at(5);
        let expected = [(10, Found::Stalled { since }), (12, Found::Back { since })];
        assert_eq!(told, expected);
    }
}
