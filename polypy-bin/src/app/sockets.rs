//! The venue's share of the descriptors: sockets past it are not opened.
//!
//! The share is kept here, where every socket to the venue is dialled, and not in
//! each caller that asks for one. A part of it is for REST alone: crawls and audits go on
//! when the market channel would take all.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use polypy_core::BoxFuture;
use polypy_net::dial::{Dial, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What REST has for itself, and at most half of all.
const REST: usize = 16;

/// Dials within a share.
pub(super) struct SharedDialer {
    inner: Arc<dyn Dial>,
    all: usize,
    channel: Arc<Semaphore>,
    rest: Arc<Semaphore>,
}

/// What the market channel and REST have of a share, one each at the least.
pub(super) fn parts_of(all: usize) -> (usize, usize) {
    let rest = REST.min(all / 2).max(1);
    (all.saturating_sub(rest).max(1), rest)
}

impl SharedDialer {
    pub(super) fn new(inner: Arc<dyn Dial>, all: usize) -> Self {
        let (channel, rest) = parts_of(all);
        Self {
            inner,
            all,
            channel: Arc::new(Semaphore::new(channel.min(Semaphore::MAX_PERMITS))),
            rest: Arc::new(Semaphore::new(rest)),
        }
    }

    async fn open(&self, uri: &Uri) -> io::Result<Box<dyn Stream>> {
        let share = match uri.scheme_str() {
            Some("ws" | "wss") => &self.channel,
            _ => &self.rest,
        };
        let Ok(permit) = Arc::clone(share).try_acquire_owned() else {
            return Err(io::Error::other(format!(
                "the venue's share of descriptors ({}) is used up; raise the limit of open files",
                self.all
            )));
        };
        let stream = self.inner.dial(uri).await?;
        Ok(Box::new(Held {
            stream,
            _permit: permit,
        }))
    }
}

impl Dial for SharedDialer {
    fn dial<'a>(&'a self, uri: &'a Uri) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(self.open(uri))
    }
}

/// A stream that gives its part of the share back when it is dropped.
struct Held {
    stream: Box<dyn Stream>,
    _permit: OwnedSemaphorePermit,
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pipes;

    impl Dial for Pipes {
        fn dial<'a>(&'a self, _uri: &'a Uri) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
            let (near, _far) = tokio::io::duplex(64);
            Box::pin(async { Ok(Box::new(near) as Box<dyn Stream>) })
        }
    }

    #[tokio::test]
    async fn the_channel_leaves_rest_its_part_and_sockets_give_theirs_back() {
        let dialer = SharedDialer::new(Arc::new(Pipes), 40);
        let (channel, rest) = (
            "ws://venue/".parse().unwrap(),
            "http://venue/".parse().unwrap(),
        );
        let mut open = Vec::new();
        while let Ok(stream) = dialer.dial(&channel).await {
            open.push(stream);
        }
        assert_eq!(open.len(), 24);
        let error = dialer.dial(&channel).await.err().unwrap().to_string();
        assert!(
            error.contains("(40)") && error.contains("open files"),
            "{error}"
        );
        let mut asked = Vec::new();
        while let Ok(stream) = dialer.dial(&rest).await {
            asked.push(stream);
        }
        assert_eq!(asked.len(), 16);
        open.pop();
        assert!(dialer.dial(&channel).await.is_ok());
    }
}
