//! Why a request has no answer.

use std::io;
use std::time::Duration;

use hyper::StatusCode;

use crate::batch::Blame;

/// A request that failed, by cause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestError {
    /// The base address is not `http(s)://host[:port][/prefix]`.
    #[error("base address {0:?} is not http or https with a host")]
    Base(String),
    /// Path and query do not make a valid address, or the body no request.
    #[error("request could not be built")]
    Request(#[source] hyper::http::Error),
    /// No connection: name, network, TLS.
    #[error("could not connect")]
    Connect(#[source] io::Error),
    /// The connection broke, or what came over it was not HTTP.
    #[error("connection failed")]
    Transport(#[source] hyper::Error),
    /// The whole-request deadline passed.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// The body exceeds the cap; nothing of it was kept.
    #[error("answer is larger than {limit} bytes")]
    TooLarge {
        /// The cap.
        limit: usize,
    },
    /// The body came in an encoding that was not asked for.
    #[error("answer has an encoding that was not asked for")]
    Encoded,
    /// The body came packed and cannot be unpacked.
    #[error("answer cannot be unpacked")]
    Packed(#[source] io::Error),
    /// Any status but 2xx.
    #[error("status {status}: {excerpt}")]
    Status {
        /// The status.
        status: StatusCode,
        /// The first bytes of the body.
        excerpt: String,
        /// What `Retry-After` asked for, when it did so in seconds.
        retry_after: Option<Duration>,
    },
}

impl RestError {
    /// Whether the same request may succeed a little later: 429, 5xx,
    /// time-outs and connections that failed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect(error) => error.kind() != io::ErrorKind::InvalidInput,
            Self::Transport(_) | Self::Timeout(_) | Self::Packed(_) => true,
            Self::Status { status, .. } => {
                *status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
            }
            Self::Base(_) | Self::Request(_) | Self::TooLarge { .. } | Self::Encoded => false,
        }
    }

    /// Whether the service refused the request as such: 4xx, but for what a moment later
    /// it may take.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Status { status, .. }
            if status.is_client_error() && self.blame() == Blame::Request)
    }

    /// Who is to blame for the failure of a request that names many ids. A
    /// server error may come of one id in it, as Gamma's do.
    pub(crate) fn blame(&self) -> Blame {
        match self {
            Self::Status { status, .. } => match *status {
                StatusCode::TOO_MANY_REQUESTS
                | StatusCode::TOO_EARLY
                | StatusCode::REQUEST_TIMEOUT => Blame::Service,
                _ => Blame::Request,
            },
            Self::TooLarge { .. } | Self::Encoded | Self::Request(_) => Blame::Request,
            Self::Timeout(_) => Blame::Time,
            Self::Connect(_) | Self::Transport(_) | Self::Packed(_) | Self::Base(_) => {
                Blame::Service
            }
        }
    }

    /// The status answered, if an answer came.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}
