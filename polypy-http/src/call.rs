//! A request as handlers see it.

use std::future::Future;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::HeaderMap;
use tokio::sync::watch;

use crate::budget::Memory;
use crate::connection::stopped;
use crate::peer::Peer;
use crate::query::Query;
use crate::reply::{ErrorBody, Reply};
use crate::request_id::RequestId;

/// Who asks, the same for all requests of a connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) peer: Peer,
    /// Came over TLS.
    pub(crate) secure: bool,
    /// True once the server is stopping.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// A request as handlers see it.
#[derive(Debug)]
pub struct Call {
    pub(crate) request_id: RequestId,
    pub(crate) segments: Vec<(&'static str, String)>,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    /// Came over TLS, here or to a proxy in front that says so.
    pub(crate) secure: bool,
    pub(crate) client: Arc<Client>,
    pub(crate) memory: Memory,
}

impl Call {
    /// The request's name, in its answer and in the log.
    pub fn request_id(&self) -> &str {
        self.request_id.as_str()
    }

    /// What stood for `{name}` in the path, decoded; empty if nothing did.
    pub fn segment(&self, name: &str) -> &str {
        let found = self.segments.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, segment)| segment.as_str())
    }

    /// An error as this server writes them all: JSON, with the request's name.
    pub fn error(&self, status: StatusCode, error: &str) -> Reply {
        Reply::error(status, &self.request_id, error)
    }

    /// 400 for a query parameter or a part of the path, which the object names.
    pub fn bad_parameter(&self, parameter: &str, error: &str) -> Reply {
        ErrorBody {
            parameter: Some(parameter.to_owned()),
            ..ErrorBody::new(StatusCode::BAD_REQUEST, &self.request_id, error)
        }
        .reply()
    }

    /// An error that programs have to tell from others of its status: by `type`, which
    /// ends in this word.
    pub fn problem(&self, status: StatusCode, kind: &'static str, error: &str) -> Reply {
        ErrorBody {
            kind: Some(kind),
            ..ErrorBody::new(status, &self.request_id, error)
        }
        .reply()
    }

    /// What rendered answers may hold. Who knows how large an answer is going to be takes
    /// that before it is made ([`Reply::with_share`]).
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The query parameters that the route takes.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// The request's headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Who asks.
    pub fn peer(&self) -> Peer {
        self.client.peer
    }

    /// Whether the client's way here was encrypted, as far as is known.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Resolves when the server is told to stop. A stream says its last words then.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stopping = self.client.stopping.clone();
        async move { stopped(&mut stopping).await }
    }
}
