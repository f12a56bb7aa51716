//! A socket after the process stood still: stopped, swapped out, or on a machine
//! that slept.
//!
//! What the venue sent meanwhile waits in the system's buffers, in order, and the
//! books are as old as the suspension was long. So a `PING` is sent, and the feed
//! resumes once its `PONG` has come:
//!
//! - the venue answers in order with its data, so all that it had sent by then
//!   stands before the `PONG` and was delivered with it or earlier;
//! - nothing of it can be missing: the stream is TCP's, whose bytes come all or
//!   not at all, and a venue whose own buffer ran full has closed (1013). A socket
//!   that was given up by either side does not answer, and its end is read instead.
//!
//! Answers to earlier `PING`s may be among what waited: they are counted, since the
//! venue answers each once. A socket that has not answered in [`ANSWER`] is given
//! up: behind a backlog that long new books are there sooner.

use std::time::Duration;

use tokio::time::Instant;

/// An answer takes some 0.14 s.
const ANSWER: Duration = Duration::from_secs(2);

/// What a socket has answered.
#[derive(Debug)]
pub(super) struct Resumption {
    pings: u64,
    pongs: u64,
    /// The suspensions up to which it has.
    confirmed: u64,
    asked: Option<Asked>,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    suspensions: u64,
    /// The number of the answer.
    answer: u64,
    deadline: Instant,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Nothing,
    /// Send a `PING`.
    Ask,
    /// Give the socket up.
    GiveUp,
}

impl Resumption {
    /// Of a socket that opened after so many suspensions.
    pub(super) fn new(suspensions: u64) -> Self {
        Self {
            pings: 0,
            pongs: 0,
            confirmed: suspensions,
            asked: None,
        }
    }

    /// A `PING` was sent.
    pub(super) fn pinged(&mut self) {
        self.pings += 1;
    }

    /// So many suspensions have ended by now.
    pub(super) fn look(&mut self, suspensions: u64, now: Instant) -> Step {
        if suspensions == self.confirmed {
            return Step::Nothing;
        }
        match self.asked {
            Some(asked) if asked.suspensions == suspensions => {
                if now >= asked.deadline {
                    Step::GiveUp
                } else {
                    Step::Nothing
                }
            }
            Some(_) | None => {
                self.asked = Some(Asked {
                    suspensions,
                    answer: self.pings + 1,
                    deadline: now + ANSWER,
                });
                Step::Ask
            }
        }
    }

    /// So many `PONG`s came. The suspensions up to which it has answered, if that
    /// is news.
    pub(super) fn ponged(&mut self, pongs: u64) -> Option<u64> {
        self.pongs += pongs;
        let asked = self.asked.filter(|asked| self.pongs >= asked.answer)?;
        self.asked = None;
        self.confirmed = asked.suspensions;
        Some(asked.suspensions)
    }

    /// Whether it has answered since the last of so many suspensions.
    pub(super) fn is_confirmed(&self, suspensions: u64) -> bool {
        self.confirmed == suspensions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_from_before_the_suspension_confirms_nothing() {
        let (mut resumption, now) = (Resumption::new(4), Instant::now());
        assert_eq!(resumption.look(4, now), Step::Nothing);
        resumption.pinged();
        assert_eq!(resumption.look(5, now), Step::Ask);
        resumption.pinged();
        assert_eq!(resumption.ponged(1), None);
        assert_eq!(resumption.look(5, now + ANSWER / 2), Step::Nothing);
        assert!(!resumption.is_confirmed(5));
        assert_eq!(resumption.ponged(1), Some(5));
        assert!(resumption.is_confirmed(5));
        assert_eq!(resumption.look(5, now + 2 * ANSWER), Step::Nothing);
        assert_eq!(resumption.ponged(1), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_further_suspension_is_asked_about_again_and_silence_is_the_end() {
        let (mut resumption, now) = (Resumption::new(0), Instant::now());
        assert_eq!(resumption.look(1, now), Step::Ask);
        resumption.pinged();
        let later = now + ANSWER - Duration::from_millis(1);
        assert_eq!(resumption.look(2, later), Step::Ask);
        resumption.pinged();
        assert_eq!(resumption.ponged(1), None, "the answer to the first");
        assert_eq!(resumption.look(2, now + ANSWER), Step::Nothing);
        assert_eq!(resumption.look(2, later + ANSWER), Step::GiveUp);
    }
}
