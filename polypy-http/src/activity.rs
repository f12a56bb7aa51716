//! What one connection is doing, shared by its socket, its requests and the
//! task that drives both.
//!
//! All three run inside that one task, so the flags order nothing: relaxed
//! atomics only make them shareable.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// Which deadline closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expired {
    /// The head of a request did not arrive whole.
    Head,
    /// No request came.
    Idle,
    /// The client stopped taking the answer.
    Write,
}

/// What stopping the server now would interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing: no request has begun, or every one is answered.
    Idle,
    /// A request has begun to arrive.
    Receiving,
    /// A request is being answered, or its answer written.
    Answering,
}

/// The flags.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    receiving: AtomicBool,
    answering: AtomicBool,
    writing: AtomicBool,
    /// Once there has been an answer.
    answered: AtomicBool,
    /// The answer ends when its source does.
    streaming: AtomicBool,
    fragment: AtomicBool,
    expired: AtomicU8,
}

impl Activity {
    /// The first byte of a request arrived.
    pub(crate) fn begin_receiving(&self) {
        self.receiving.store(true, Ordering::Relaxed);
    }

    /// The head is complete; its request is being answered.
    pub(crate) fn begin_answering(&self) {
        self.receiving.store(false, Ordering::Relaxed);
        self.answering.store(true, Ordering::Relaxed);
    }

    /// The whole answer has been handed over; bytes of it are still to be written.
    pub(crate) fn answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
        self.writing.store(true, Ordering::Relaxed);
        self.answering.store(false, Ordering::Relaxed);
    }

    /// The answer is a stream, after which the connection ends.
    pub(crate) fn begin_streaming(&self) {
        self.streaming.store(true, Ordering::Relaxed);
    }

    /// Whether the answer is a stream.
    pub(crate) fn is_streaming(&self) -> bool {
        self.streaming.load(Ordering::Relaxed)
    }

    /// Bytes are on their way out.
    pub(crate) fn begin_writing(&self) {
        self.writing.store(true, Ordering::Relaxed);
    }

    /// Everything written so far has been taken by the system.
    pub(crate) fn flushed(&self) {
        self.writing.store(false, Ordering::Relaxed);
    }

    /// Whether there has been an answer.
    pub(crate) fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// The request line has a `#`, which hyper drops without a word.
    pub(crate) fn has_fragment(&self) {
        self.fragment.store(true, Ordering::Relaxed);
    }

    /// Whether it had; asked once for each request.
    pub(crate) fn take_fragment(&self) -> bool {
        self.fragment.swap(false, Ordering::Relaxed)
    }

    /// A deadline passed.
    pub(crate) fn expire(&self, which: Expired) {
        let code = match which {
            Expired::Head => 1,
            Expired::Idle => 2,
            Expired::Write => 3,
        };
        self.expired.store(code, Ordering::Relaxed);
    }

    /// The deadline that passed, if one did.
    pub(crate) fn expired(&self) -> Option<Expired> {
        match self.expired.load(Ordering::Relaxed) {
            1 => Some(Expired::Head),
            2 => Some(Expired::Idle),
            3 => Some(Expired::Write),
            _ => None,
        }
    }

    /// Whether the first byte of a request is here and its end is not.
    pub(crate) fn is_receiving(&self) -> bool {
        self.receiving.load(Ordering::Relaxed)
    }

    /// Whether a request waits for its answer.
    pub(crate) fn is_answering(&self) -> bool {
        self.answering.load(Ordering::Relaxed)
    }

    /// Whether an answer is being written.
    pub(crate) fn is_writing(&self) -> bool {
        self.writing.load(Ordering::Relaxed)
    }

    /// The whole picture.
    pub(crate) fn phase(&self) -> Phase {
        if self.is_answering() || self.is_writing() {
            Phase::Answering
        } else if self.is_receiving() {
            Phase::Receiving
        } else {
            Phase::Idle
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_passes_through_every_phase() {
        let activity = Activity::default();
        assert_eq!(activity.phase(), Phase::Idle);
        activity.begin_receiving();
        assert_eq!(activity.phase(), Phase::Receiving);
        activity.begin_answering();
        assert_eq!(activity.phase(), Phase::Answering);
        activity.answered();
        assert_eq!(activity.phase(), Phase::Answering);
        activity.flushed();
        assert_eq!(activity.phase(), Phase::Idle);
    }
}
