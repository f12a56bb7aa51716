//! What waits to be written to one socket: bounded in bytes, first in first out.
//!
//! The publisher pushes and never waits; the socket's own task takes. A
//! frame that does not fit ends the socket, as on the venue, and is counted with
//! everything that was thrown away by that.

use std::borrow::Cow;
use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// How a socket ends by the exchange's will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// TCP closes; no close frame.
    Drop,
    /// The same, after everything that waits.
    DropAfterQueue,
    /// A close frame, before anything that still waits.
    Close(u16, Cow<'static, str>),
    /// A close frame, after everything that waits.
    CloseAfterQueue(u16, Cow<'static, str>),
}

impl Ending {
    /// Whether what waits goes out before.
    fn waits(&self) -> bool {
        matches!(self, Self::DropAfterQueue | Self::CloseAfterQueue(..))
    }
}

/// Why a socket is a slow consumer, in the venue's own words.
pub(crate) const SLOW_CONSUMER: &str = "slow consumer: send buffer full";
/// "Try again later."
pub(crate) const CLOSE_TRY_AGAIN: u16 = 1013;

/// What the socket's task has to do next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Write these, in order.
    Frames(Vec<Utf8Bytes>),
    /// End the socket.
    End(Ending),
}

/// Frames that waited when a socket ended, by what they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    Queued,
    /// The socket is ending; nothing more is taken.
    Refused,
    /// It did not fit: the socket ends now as a slow consumer.
    Overflowed,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Utf8Bytes>,
    bytes: usize,
    ending: Option<Ending>,
}

/// The send queue of one socket.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    limit: usize,
    ready: Notify,
    urgent: Notify,
}

/// Frames handed over at once: enough to fill a write, few enough that an
/// ending is noticed soon.
const BATCH: usize = 256;

impl Outbox {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            queue: Mutex::default(),
            limit,
            ready: Notify::new(),
            urgent: Notify::new(),
        }
    }

    /// Queues one frame, or ends the socket.
    pub(crate) fn push(&self, frame: Utf8Bytes) -> Pushed {
        let mut queue = self.queue.lock();
        if queue.ending.is_some() {
            return Pushed::Refused;
        }
        let bytes = frame.len();
        // One frame larger than the whole buffer still goes out when alone.
        if queue.bytes + bytes > self.limit && !queue.frames.is_empty() {
            drop(queue);
            self.end(Ending::Close(CLOSE_TRY_AGAIN, SLOW_CONSUMER.into()));
            return Pushed::Overflowed;
        }
        queue.bytes += bytes;
        queue.frames.push_back(frame);
        drop(queue);
        self.ready.notify_one();
        Pushed::Queued
    }

    /// Ends the socket; the first ending counts, unless the later one is at once
    /// and the earlier still waits for the queue.
    pub(crate) fn end(&self, ending: Ending) {
        let mut queue = self.queue.lock();
        if queue.ending.as_ref().is_none_or(Ending::waits) {
            if !ending.waits() {
                queue.frames.clear();
                queue.bytes = 0;
            }
            queue.ending = Some(ending);
        }
        drop(queue);
        self.ready.notify_one();
        self.urgent.notify_one();
    }

    /// Ends the socket behind all that waits, without a close frame; whether it was not
    /// ending yet.
    pub(crate) fn end_after_queue(&self) -> bool {
        let is_news = self.queue.lock().ending.is_none();
        self.end(Ending::DropAfterQueue);
        is_news
    }

    /// Waits for something to do. Cancelling it loses nothing.
    pub(crate) async fn next(&self) -> Next {
        loop {
            let wake = self.ready.notified();
            if let Some(next) = self.take() {
                return next;
            }
            wake.await;
        }
    }

    fn take(&self) -> Option<Next> {
        let mut queue = self.queue.lock();
        if queue.frames.is_empty() {
            return queue.ending.clone().map(Next::End);
        }
        let count = queue.frames.len().min(BATCH);
        let frames: Vec<Utf8Bytes> = queue.frames.drain(..count).collect();
        queue.bytes -= frames.iter().map(|frame| frame.len()).sum::<usize>();
        Some(Next::Frames(frames))
    }

    /// Resolves when the socket must end without waiting for its queue.
    pub(crate) async fn ended_at_once(&self) -> Ending {
        loop {
            let wake = self.urgent.notified();
            match &self.queue.lock().ending {
                Some(ending) if !ending.waits() => return ending.clone(),
                Some(_) | None => {}
            }
            wake.await;
        }
    }

    /// Whether as much waits as a considerate sender would let wait. One that is ending
    /// takes no more.
    pub(crate) fn is_half_full(&self) -> bool {
        let queue = self.queue.lock();
        queue.ending.is_none() && queue.bytes > self.limit / 2
    }

    /// Frames and bytes that wait.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let queue = self.queue.lock();
        (queue.frames.len(), queue.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: usize) -> Utf8Bytes {
        "x".repeat(bytes).into()
    }

    #[tokio::test]
    async fn keeps_order_and_says_the_end_last() {
        let outbox = Outbox::new(100);
        assert_eq!(outbox.push("a".into()), Pushed::Queued);
        assert_eq!(outbox.push("b".into()), Pushed::Queued);
        outbox.end(Ending::CloseAfterQueue(1000, "done".into()));
        assert_eq!(outbox.push("c".into()), Pushed::Refused);
        match outbox.next().await {
            Next::Frames(frames) => assert_eq!(frames, ["a", "b"]),
            Next::End(ending) => panic!("{ending:?} before the frames"),
        }
        assert!(matches!(
            outbox.next().await,
            Next::End(Ending::CloseAfterQueue(1000, _))
        ));
    }

    #[tokio::test]
    async fn overflow_ends_the_socket_at_once() {
        let outbox = Outbox::new(100);
        assert_eq!(outbox.push(frame(60)), Pushed::Queued);
        assert_eq!(outbox.push(frame(60)), Pushed::Overflowed);
        assert_eq!(outbox.waiting(), (0, 0));
        let slow = Ending::Close(CLOSE_TRY_AGAIN, SLOW_CONSUMER.into());
        assert_eq!(outbox.ended_at_once().await, slow);
        outbox.end(Ending::Drop);
        assert!(matches!(outbox.next().await, Next::End(ending) if ending == slow));
    }
}
