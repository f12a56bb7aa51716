//! Tells a person who waits how far the first minute has come, and a person who
//! looks in later that all is well.
//!
//! A line when something changed, at most one a second, until every book is
//! live; a line every [`STEADY`] afterwards. Those that only say how far it has come
//! are named [`START_PROGRESS`]. Reads a few counters; touches no book.

use std::time::Duration;

use polypy_net::lifecycle::START_PROGRESS;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::PolyPy;

/// Between two looks while things are moving.
const EAGER: Duration = Duration::from_secs(1);

/// Between two lines once all is quiet.
const STEADY: Duration = Duration::from_secs(60);

/// How far discovery and subscription have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Markets that are followed.
    pub markets: usize,
    /// Their tokens.
    pub assets: usize,
    /// Tokens on a connection.
    pub subscribed: usize,
    /// Open connections.
    pub connections: usize,
    /// Books that are live.
    pub live_books: usize,
}

impl Progress {
    /// Whether every asset that is wanted has a live book.
    pub fn is_complete(self) -> bool {
        self.assets > 0 && self.live_books >= self.assets
    }

    fn log(self, elapsed: Duration, line: Line) {
        let Self {
            markets,
            assets,
            subscribed,
            connections,
            live_books,
        } = self;
        let seconds = elapsed.as_secs();
        let message = if assets == 0 {
            "looking for markets"
        } else if subscribed < assets {
            "subscribing"
        } else if !self.is_complete() {
            "waiting for books"
        } else {
            "every book is live"
        };
        match line {
            Line::Step => tracing::info!(
                name: START_PROGRESS,
                markets,
                assets,
                subscribed,
                connections,
                live_books,
                seconds,
                "{message}"
            ),
            Line::News => tracing::info!(
                markets,
                assets,
                subscribed,
                connections,
                live_books,
                seconds,
                "{message}"
            ),
        }
    }
}

/// Logs for as long as it is polled. Never resolves.
pub(super) async fn report(app: &PolyPy) {
    let began = Instant::now();
    let mut ticks = interval(EAGER);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut teller = Teller::default();
    loop {
        ticks.tick().await;
        app.refresh_process().await;
        let progress = app.progress();
        if let Some(line) = teller.line(progress, began.elapsed()) {
            progress.log(began.elapsed(), line);
            if let (true, Some(recorder)) = (teller.settled, &app.parts().recorder) {
                recorder.log();
            }
        }
    }
}

/// What a line is to a person who sees all the time how far the start has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// The same again.
    Step,
    /// Every book is live, and was not before.
    News,
}

/// Decides which moments are worth a line.
#[derive(Debug, Default)]
struct Teller {
    told: Progress,
    told_at: Option<Duration>,
    /// The look before this one.
    last: Progress,
    /// Every book was live while nothing was being discovered any more: from
    /// then on only a line a minute.
    settled: bool,
}

impl Teller {
    fn line(&mut self, progress: Progress, elapsed: Duration) -> Option<Line> {
        let silence = self.told_at.map(|at| elapsed.saturating_sub(at));
        let wanted = match silence {
            None => true,
            Some(silence) => silence >= STEADY || (!self.settled && progress != self.told),
        };
        let line = if progress.is_complete() && !self.told.is_complete() {
            Line::News
        } else {
            Line::Step
        };
        if wanted {
            self.told = progress;
            self.told_at = Some(elapsed);
        }
        // A crawl adds markets many times a second: a look without new ones is
        // its end, whereas the first page alone may be live for a moment.
        self.settled |= progress.is_complete() && self.last.assets == progress.assets;
        self.last = progress;
        wanted.then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(live_books: usize) -> Progress {
        of(4, live_books)
    }

    fn of(assets: usize, live_books: usize) -> Progress {
        Progress {
            markets: assets / 2,
            assets,
            subscribed: assets,
            connections: 1,
            live_books,
        }
    }

    #[test]
    fn changes_are_told_until_all_is_live_and_then_once_a_minute() {
        let mut teller = Teller::default();
        let second = Duration::from_secs;
        let moments = [
            (Progress::default(), 0, Some(Line::Step)),
            (Progress::default(), 1, None),
            (of(2, 2), 1, Some(Line::News)),
            (live(1), 2, Some(Line::Step)),
            (live(1), 3, None),
            (live(4), 4, Some(Line::News)),
            (live(3), 5, None),
            (live(3), 63, None),
            (live(3), 64, Some(Line::Step)),
            (live(3), 65, None),
            (live(4), 124, Some(Line::News)),
            (live(4), 184, Some(Line::Step)),
        ];
        for (progress, at, expected) in moments {
            assert_eq!(teller.line(progress, second(at)), expected, "at {at} s");
        }
    }

    #[test]
    fn nothing_is_not_complete() {
        assert!(!Progress::default().is_complete());
        assert!(!live(3).is_complete());
        assert!(live(4).is_complete());
    }
}
