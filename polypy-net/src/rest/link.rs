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
    /// `None` once it has ended. It is dropped then and not kept: a request
    /// waiting inside of it fails with it, and would otherwise wait for ever.
    connection: Option<Pin<Box<Http>>>,
    /// Since when nobody uses it.
    pub(super) idle_since: Instant,
}

impl Link {
    /// Begins HTTP on a fresh stream.
    pub(super) async fn open(stream: Box<dyn Stream>) -> Result<Self, RestError> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(RestError::Transport)?;
        Ok(Self {
            sender,
            connection: Some(Box::pin(connection)),
            idle_since: Instant::now(),
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
        let ended = match connection.as_mut() {
            Some(running) => tokio::select! {
                biased;
                answer = &mut work => Ok(answer),
                ended = running => Err(ended.err()),
            },
            None => Err(None),
        };
        let answer = match ended {
            Ok(answer) => answer,
            Err(cause) => {
                *connection = None;
                // It may have ended because the answer is complete.
                match (work.await, cause) {
                    (Err(RestError::Transport(_)), Some(cause)) => Err(RestError::Transport(cause)),
                    (answer, _) => answer,
                }
            }
        };
        self.idle_since = Instant::now();
        answer
    }

    /// Whether another request may be tried on it.
    pub(super) fn is_reusable(&self) -> bool {
        self.connection.is_some() && !self.sender.is_closed()
    }
}

async fn read(response: Response<Incoming>, limit: usize) -> Result<(Parts, Bytes), RestError> {
    let (parts, mut body) = response.into_parts();
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
