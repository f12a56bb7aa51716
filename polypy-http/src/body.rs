//! The body of an answer: nothing, bytes that may be shared, or a stream.
//!
//! Bytes are handed to the socket as they are: a list that a thousand clients
//! read at once is in memory once. A stream is polled only as fast as its client
//! reads; what waits for the client is one frame and hyper's own small buffer.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

type Source = Pin<Box<dyn hyper::body::Body<Data = Bytes, Error = Infallible> + Send>>;

/// What follows the head of an answer.
#[derive(Default)]
pub struct Body(Kind);

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Whole(Bytes),
    Pieces(VecDeque<Bytes>),
    Stream(Source),
}

impl Body {
    /// Pieces, sent one after the other without being copied. Each may be a part
    /// of something that others are being sent, too.
    pub fn pieces(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
        Self(Kind::Pieces(pieces.collect()))
    }

    /// Frames as they come. The answer ends when the stream does; a quiet stream
    /// is not cut, whereas one whose client does not read is.
    pub fn stream(
        source: impl hyper::body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
    ) -> Self {
        Self(Kind::Stream(Box::pin(source)))
    }

    /// Bytes to come; `None` for a stream.
    pub fn len(&self) -> Option<usize> {
        match &self.0 {
            Kind::Empty => Some(0),
            Kind::Whole(bytes) => Some(bytes.len()),
            Kind::Pieces(pieces) => Some(pieces.iter().map(Bytes::len).sum()),
            Kind::Stream(_) => None,
        }
    }

    /// Whether nothing is to come, as far as can be known.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// Whether its end is not known beforehand.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.0, Kind::Stream(_))
    }

    /// The bytes, if they are one piece and all there.
    pub(crate) fn as_bytes(&self) -> Option<&Bytes> {
        match &self.0 {
            Kind::Whole(bytes) => Some(bytes),
            Kind::Pieces(pieces) if pieces.len() == 1 => pieces.front(),
            Kind::Empty | Kind::Pieces(_) | Kind::Stream(_) => None,
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(if bytes.is_empty() {
            Kind::Empty
        } else {
            Kind::Whole(bytes)
        })
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Bytes::from(bytes))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("len", &self.len()).finish()
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Pieces(pieces) => Poll::Ready(pieces.pop_front().map(Frame::data).map(Ok)),
            Kind::Stream(source) => source.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Whole(_) => false,
            Kind::Pieces(pieces) => pieces.is_empty(),
            Kind::Stream(source) => source.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.len().and_then(|length| u64::try_from(length).ok());
        length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn pieces_are_sent_in_order_and_not_copied() {
        let shared = Bytes::from(vec![7; 1_000]);
        let body = Body::pieces([
            Bytes::from_static(b"["),
            shared.slice(10..20),
            Bytes::new(),
            Bytes::from_static(b"]"),
        ]);
        assert_eq!(body.len(), Some(12));
        let mut body = std::pin::pin!(body);
        let mut frames = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            frames.push(frame.into_data().unwrap());
        }
        assert_eq!(frames.len(), 3);
        assert_eq!(frames[1].as_ptr(), shared[10..].as_ptr());
    }
}
