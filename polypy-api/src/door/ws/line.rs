//! A socket that two threads write to: the hub's, which sends a message where it is made,
//! and that of the client's task, which does all the rest.
//!
//! To wake a task for each message to each client costs more than to send it. Both write
//! whole frames only: what the system does not take of one is the line's rest, and
//! goes out before anything else. Which frames are whose is for
//! [`Outbox`](crate::outbox::Outbox) to say: the hub sends only while the task waits for
//! messages, and has none of its own under way.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use parking_lot::{Mutex, MutexGuard};
use polypy_http::{DirectWriter, Upgraded};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is shared by those who write to a socket.
#[derive(Debug)]
pub(crate) struct Line(Mutex<State>);

#[derive(Debug)]
struct State {
    /// `None`: only the task may write, or nobody any more.
    writer: Option<DirectWriter>,
    /// What was accepted, and is not with the system yet.
    rest: BytesMut,
}

/// What became of frames that were to be sent at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The system has them.
    All,
    /// They are accepted; the task has to write what is left of them.
    Part,
}

/// A [`Line`] on which frames may be sent, which nobody else does meanwhile.
pub(crate) struct Free<'a>(MutexGuard<'a, State>);

impl Line {
    pub(crate) fn new(writer: Option<DirectWriter>) -> Self {
        let rest = BytesMut::new();
        Self(Mutex::new(State { writer, rest }))
    }

    /// The line, if nothing is left of earlier frames and it is not closed.
    pub(crate) fn free(&self) -> Option<Free<'_>> {
        let state = self.0.lock();
        (state.writer.is_some() && state.rest.is_empty()).then_some(Free(state))
    }

    /// Bytes that the task has to write.
    pub(crate) fn waiting(&self) -> usize {
        self.0.lock().rest.len()
    }

    /// From now on only the task writes: before its last word.
    pub(crate) fn close(&self) {
        self.0.lock().writer = None;
    }
}

impl Free<'_> {
    /// Sends whole frames, or as much of them as the system takes.
    pub(crate) fn send(mut self, frames: &[u8]) -> Sent {
        let State { writer, rest } = &mut *self.0;
        // An error is the task's to find, when it writes what is left.
        let written = writer.as_ref().map(|writer| writer.try_write(frames));
        let written = written.and_then(Result::ok).unwrap_or(0);
        rest.extend_from_slice(frames.get(written..).unwrap_or_default());
        if rest.is_empty() {
            Sent::All
        } else {
            Sent::Part
        }
    }
}

/// The task's side of a [`Line`], which is closed with it.
#[derive(Debug)]
pub(crate) struct Wire<S = Upgraded> {
    socket: S,
    line: Closing,
}

/// Closes a line when it is dropped: its socket would stay open otherwise.
#[derive(Debug)]
struct Closing(Arc<Line>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Wire {
    /// Takes over a connection on which the handshake is done.
    pub(crate) fn new(upgraded: Upgraded) -> Self {
        let (socket, writer) = upgraded.shared();
        Self::over(socket, writer)
    }
}

impl<S> Wire<S> {
    fn over(socket: S, writer: Option<DirectWriter>) -> Self {
        let line = Closing(Arc::new(Line::new(writer)));
        Self { socket, line }
    }

    /// What the hub writes to.
    pub(crate) fn line(&self) -> Arc<Line> {
        Arc::clone(&self.line.0)
    }
}

/// The connection, to be dropped or reset.
impl From<Wire> for Upgraded {
    fn from(wire: Wire) -> Self {
        wire.socket
    }
}

/// Ready once nothing is left of frames that were accepted.
fn poll_rest(
    socket: &mut (impl AsyncWrite + Unpin),
    rest: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while !rest.is_empty() {
        match ready!(Pin::new(&mut *socket).poll_write(cx, rest))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => rest.advance(written),
        }
    }
    // Most clients never leave any: its memory is not kept for the next time.
    *rest = BytesMut::new();
    Poll::Ready(Ok(()))
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    /// Accepts all or nothing: a frame is never cut where another one may begin.
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { socket, line } = self.get_mut();
        let mut state = line.0.0.lock();
        ready!(poll_rest(socket, &mut state.rest, cx))?;
        let written = ready!(Pin::new(socket).poll_write(cx, bytes))?;
        if written == 0 {
            return Poll::Ready(Ok(0));
        }
        let left = bytes.get(written..).unwrap_or_default();
        state.rest.extend_from_slice(left);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { socket, line } = self.get_mut();
        ready!(poll_rest(socket, &mut line.0.0.lock().rest, cx))?;
        Pin::new(socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        // A socket that another thread may write to cannot be shut down.
        self.line.0.close();
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn a_frame_that_is_accepted_is_whole_and_nothing_overtakes_its_rest() {
        let (near, mut far) = duplex(16);
        let mut wire = Wire::over(near, None);
        let line = wire.line();
        let mut cx = Context::from_waker(Waker::noop());
        let accepted = Pin::new(&mut wire).poll_write(&mut cx, &[1; 100]);
        assert!(matches!(accepted, Poll::Ready(Ok(100))), "{accepted:?}");
        assert_eq!(line.waiting(), 84);
        let refused = Pin::new(&mut wire).poll_write(&mut cx, &[2; 100]);
        assert!(refused.is_pending(), "the system has no room for any of it");
        assert!(Pin::new(&mut wire).poll_flush(&mut cx).is_pending());
        let writing = async {
            wire.write_all(&[2; 100]).await.unwrap();
            wire.shutdown().await.unwrap();
        };
        let mut read = Vec::new();
        let reading = far.read_to_end(&mut read);
        let ((), length) = tokio::join!(writing, reading);
        assert_eq!(length.unwrap(), 200);
        assert_eq!((&read[..100], &read[100..]), (&[1; 100][..], &[2; 100][..]));
        assert_eq!(line.waiting(), 0);
    }
}
