//! What can go wrong with a subscription: errors that end it, and losses of the
//! connection, after which it comes back.

use std::io;
use std::time::Duration;

use hyper::StatusCode;
use tokio_tungstenite::tungstenite;

use crate::message::{Closing, Refusal, Unreadable};

/// The subscription cannot go on: asking again would end in the same way.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be used.
    #[error("{url}: {reason}")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// The server refused the request.
    #[error("{}{}", refusal(*status, message.is_some()), message.as_ref().map_or_else(String::new, |text| format!(": {text}")))]
    Status {
        /// The status of its answer.
        status: StatusCode,
        /// What it said.
        message: Option<String>,
    },
    /// The server refused the subscription.
    #[error("the server refused the subscription: {}", .0.message)]
    Refused(Refusal),
    /// The server closed the connection, and asks not to come back.
    #[error("the server closed the connection for good: {}", .0.reason)]
    Closed(Closing),
    /// The server's messages have another version, so another meaning.
    #[error(
        "the server's messages have version {0}, and this program reads version 1: take a newer one"
    )]
    Version(u32),
    /// The server sent something that cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// A route that is there says what it did not find.
fn refusal(status: StatusCode, is_of_a_stream: bool) -> String {
    match status {
        StatusCode::UNAUTHORIZED => {
            "the server wants a token, or another one (401 Unauthorized)".to_owned()
        }
        StatusCode::NOT_FOUND if !is_of_a_stream => {
            "the server has no streams: it is an older one, or another program (404 Not Found)"
                .to_owned()
        }
        _ => format!("the server answered {status}"),
    }
}

/// Why a connection was lost. The subscription comes back by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// It could not be opened.
    #[error("no connection: {0}")]
    Dial(#[source] io::Error),
    /// It was not open within this time.
    #[error("no connection within {} s", .0.as_secs())]
    DialTimeout(Duration),
    /// The server is busy.
    #[error("the server answered {status}{}", message.as_ref().map_or_else(String::new, |text| format!(": {text}")))]
    Busy {
        /// The status of its answer.
        status: StatusCode,
        /// What it said.
        message: Option<String>,
        /// After how long it wants to be asked again.
        retry: Option<Duration>,
    },
    /// The server said so.
    #[error("the server closed the connection: {}", .0.reason)]
    Closing(Closing),
    /// It ended without a word.
    #[error("the connection ended")]
    Ended,
    /// Nothing came for longer than heartbeats allow.
    #[error("nothing came for {} s", .0.as_secs())]
    Silent(Duration),
    /// Something longer than any message came.
    #[error("a message of more than 16 MiB came")]
    TooLong,
    /// HTTP failed.
    #[error("the connection failed: {0}")]
    Http(#[from] hyper::Error),
    /// The WebSocket failed.
    #[error("the connection failed: {0}")]
    Socket(#[source] Box<tungstenite::Error>),
    /// The server refused the subscription for now.
    #[error("the server refused the subscription for now: {}", .0.message)]
    Refused(Refusal),
    /// The messages contradicted each other, and the books have to be had again.
    #[error("the messages contradicted each other")]
    Broken,
}

impl Lost {
    /// When the server wants to be asked again.
    pub(crate) fn retry(&self) -> Option<Duration> {
        match self {
            Self::Closing(closing) => closing.retry_ms.map(Duration::from_millis),
            Self::Busy { retry, .. } => *retry,
            _ => None,
        }
    }
}

impl From<tungstenite::Error> for Lost {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => Self::Ended,
            tungstenite::Error::Capacity(_) => Self::TooLong,
            other => Self::Socket(Box::new(other)),
        }
    }
}
