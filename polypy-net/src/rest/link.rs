//! One kept HTTP/1.1 connection.
//!
//! A hyper connection must be polled for its requests to move. It is polled
//! here by the request that uses it and by nobody in between, so that no task
//! has to be spawned, owned and joined: an idle connection is a plain value,
//! and what the server did to it meanwhile is found out at the next use.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::header::CONTENT_ENCODING;
use hyper::http::response::Parts;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::error::RestError;
use crate::dial::Stream;

type Http = Connection<TokioIo<Box<dyn Stream>>, Full<Bytes>>;

/// A connection, idle or in use by exactly one request.
pub(super) struct Link {
    sender: SendRequest<Full<Bytes>>,
    connection: Pin<Box<Http>>,
    /// Whether hyper has ended it; it must not be polled again.
    ended: bool,
    /// Since when nobody uses it.
    pub(super) idle_since: Instant,
    /// Whether it has carried a request before.
    pub(super) used: bool,
}

impl Link {
    /// Begins HTTP on a fresh stream.
    pub(super) async fn open(stream: Box<dyn Stream>) -> Result<Self, RestError> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(RestError::Transport)?;
        Ok(Self {
            sender,
            connection: Box::pin(connection),
            ended: false,
            idle_since: Instant::now(),
            used: false,
        })
    }

    /// Sends one request and reads the whole answer, at most `limit` bytes of
    /// body. After an error, or when dropped half-way, the link is of no use.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        limit: usize,
    ) -> Result<(Parts, Bytes), RestError> {
        let Self {
            sender, connection, ..
        } = self;
        let work = async {
            sender.ready().await.map_err(RestError::Transport)?;
            let response = sender
                .send_request(request)
                .await
                .map_err(RestError::Transport)?;
            read(response, limit).await
        };
        tokio::pin!(work);
        let answer = tokio::select! {
            biased;
            answer = &mut work => answer,
            ended = connection => {
                self.ended = true;
                // It may have ended because the answer is complete.
                match (work.await, ended) {
                    (Err(RestError::Transport(_)), Err(cause)) => Err(RestError::Transport(cause)),
                    (answer, _) => answer,
                }
            }
        };
        self.used = true;
        self.idle_since = Instant::now();
        answer
    }

    /// Whether another request may be tried on it.
    pub(super) fn is_reusable(&self) -> bool {
        !self.ended && !self.sender.is_closed()
    }
}

async fn read(response: Response<Incoming>, limit: usize) -> Result<(Parts, Bytes), RestError> {
    let (parts, mut body) = response.into_parts();
    // No encoding is asked for, and none is unpacked: no small answer can
    // become a large one.
    let encoded = parts
        .headers
        .get(CONTENT_ENCODING)
        .is_some_and(|encoding| encoding != "identity");
    if encoded {
        return Err(RestError::Encoded);
    }
    let announced = body.size_hint().lower();
    if usize::try_from(announced).map_or(true, |announced| announced > limit) {
        return Err(RestError::TooLarge { limit });
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(RestError::Transport)?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > limit {
                return Err(RestError::TooLarge { limit });
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok((parts, bytes.freeze()))
}
