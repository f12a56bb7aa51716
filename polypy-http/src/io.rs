//! A socket whose patience ends.
//!
//! hyper bounds the time a head may take, and nothing else: a client that asks
//! for a large answer and never reads it would hold its connection for ever.
//! [`DeadlineStream`] puts a limit on each state of the socket:
//!
//! | state | from | limit |
//! |---|---|---|
//! | head | the connection, or a request's first byte | `head` |
//! | idle | an answer's last byte | `idle` |
//! | write | the first moment the client takes no more bytes | `rate`: so many bytes in each `write` |
//!
//! The first two are absolute: a byte a second does not extend them. The third
//! is a rate, since an honest client may need minutes for a long list: who has
//! taken less than `rate` bytes within `write` is given up, who has taken more
//! gets another `write`. It is measured over a window and not from write to
//! write, since a socket takes bytes in lumps: a peer with full buffers says
//! nothing for seconds, and then accepts hundreds of kilobytes at once.
//!
//! A limit that passes fails the pending read or write with `TimedOut` and
//! notes itself in the connection's [`Activity`]. While a request is being
//! answered and nothing is being written no limit runs.
//!
//! A `#` in a request line is noted, too: hyper drops what follows it.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::activity::{Activity, Expired};

/// A head and a body that are shorter cost less put together than handed over apart.
const SMALL: usize = 2 * 1024;

/// The limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) head: Duration,
    pub(crate) idle: Duration,
    pub(crate) write: Duration,
    /// Bytes that a client takes in `write` at least.
    pub(crate) rate: usize,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct DeadlineStream<S> {
    stream: S,
    activity: Arc<Activity>,
    limits: Limits,
    /// One timer serves all states: reads are not timed while a write is held up.
    /// It may stand for an earlier moment than the limit that runs, and is set again when
    /// it fires then: setting it takes a lock, and most limits are over long before.
    timer: Pin<Box<Sleep>>,
    /// Whether the timer is going to wake the connection's task.
    is_set: bool,
    /// The limit that runs.
    armed: Expired,
    /// When it passes; `None` until something waits for it, which is at once or never.
    deadline: Option<Instant>,
    /// Room to put small pieces together.
    whole: Vec<u8>,
    /// Bytes that the client has taken since the write limit was armed.
    taken: usize,
    /// Whether what arrives belongs to the first line of a request.
    in_request_line: bool,
}

impl<S> DeadlineStream<S> {
    /// Takes a socket on which a first request is awaited.
    pub(crate) fn new(stream: S, limits: Limits, activity: Arc<Activity>) -> Self {
        let timer = Box::pin(sleep(limits.head));
        Self {
            stream,
            activity,
            limits,
            armed: Expired::Head,
            deadline: Some(timer.deadline()),
            timer,
            is_set: false,
            whole: Vec::new(),
            taken: 0,
            in_request_line: false,
        }
    }

    /// The socket itself.
    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    fn arm(&mut self, state: Expired) {
        self.armed = state;
        self.deadline = None;
        self.taken = 0;
    }

    /// Ready once the armed limit has passed; otherwise wakes the task then.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = match self.armed {
            Expired::Head => self.limits.head,
            Expired::Idle => self.limits.idle,
            Expired::Write => self.limits.write,
        };
        let (deadline, begins) = match self.deadline {
            Some(deadline) => (deadline, None),
            None => {
                let now = Instant::now();
                (*self.deadline.insert(now + limit), Some(now))
            }
        };
        if self.timer.deadline() > deadline {
            self.set_timer(deadline);
        }
        // Most limits begin while the timer runs for an earlier moment.
        if self.is_set && begins.is_some_and(|now| now < self.timer.deadline()) {
            return Poll::Pending;
        }
        ready!(self.poll_timer(cx));
        if self.timer.deadline() < deadline {
            self.set_timer(deadline);
            ready!(self.poll_timer(cx));
        }
        Poll::Ready(())
    }

    fn set_timer(&mut self, deadline: Instant) {
        self.timer.as_mut().reset(deadline);
        // It is polled again, so that nothing rests on what became of its waker.
        self.is_set = false;
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.timer.as_mut().poll(cx);
        self.is_set = polled.is_pending();
        polled
    }

    /// The error of the limit that has passed.
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        ready!(self.poll_deadline(cx));
        self.activity.expire(self.armed);
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    /// A write that could not go on waits for the client, but not for ever.
    fn held_up<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if self.armed != Expired::Write {
            self.arm(Expired::Write);
        }
        while self.taken >= self.limits.rate {
            ready!(self.poll_deadline(cx));
            self.arm(Expired::Write);
        }
        self.poll_expired(cx).map(Err)
    }

    fn wrote(&mut self, result: io::Result<usize>) -> Poll<io::Result<usize>> {
        if let Ok(bytes) = &result {
            self.taken = self.taken.saturating_add(*bytes);
        }
        Poll::Ready(result)
    }

    /// Looks for a fragment in what arrived.
    fn inspect(&mut self, arrived: &[u8]) {
        if !self.in_request_line {
            return;
        }
        let end = arrived.iter().position(|byte| *byte == b'\n');
        let line = &arrived[..end.unwrap_or(arrived.len())];
        if line.contains(&b'#') {
            self.activity.has_fragment();
        }
        self.in_request_line = end.is_none();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for DeadlineStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut this.stream).poll_read(cx, buffer) {
            let arrived = buffer.filled().len() > before;
            if arrived && !this.activity.is_answering() && !this.activity.is_receiving() {
                this.activity.begin_receiving();
                this.in_request_line = true;
                // The first head is timed from the connection on: its deadline runs.
                if this.armed == Expired::Idle {
                    this.arm(Expired::Head);
                }
            }
            this.inspect(buffer.filled().get(before..).unwrap_or_default());
            return Poll::Ready(result);
        }
        if this.activity.is_answering() || this.activity.is_writing() {
            return Poll::Pending;
        }
        this.poll_expired(cx).map(Err)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for DeadlineStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.activity.begin_writing();
        match Pin::new(&mut this.stream).poll_write(cx, bytes) {
            Poll::Ready(result) => this.wrote(result),
            Poll::Pending => this.held_up(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.activity.begin_writing();
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        let written = if length <= SMALL {
            this.whole.clear();
            for slice in slices {
                this.whole.extend_from_slice(slice);
            }
            Pin::new(&mut this.stream).poll_write(cx, &this.whole)
        } else {
            Pin::new(&mut this.stream).poll_write_vectored(cx, slices)
        };
        match written {
            Poll::Ready(result) => this.wrote(result),
            Poll::Pending => this.held_up(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when its own buffer is empty: the answer is out.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                if this.activity.is_writing() {
                    this.activity.flushed();
                    this.arm(Expired::Idle);
                    // Registers the wake-up; hyper may not read again by itself.
                    if !this.activity.is_answering()
                        && let Poll::Ready(error) = this.poll_expired(cx)
                    {
                        return Poll::Ready(Err(error));
                    }
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.held_up(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_shutdown(cx) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => this.held_up(cx),
        }
    }
}

#[cfg(test)]
#[path = "io_tests.rs"]
mod tests;
