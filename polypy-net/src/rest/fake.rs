//! An HTTP service in memory, for the tests of everything that speaks REST.
//! No ports and no wall clock: it runs on paused time.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use polypy_core::BoxFuture;
use tokio::sync::Notify;

use crate::dial::{Dial, Stream};
use crate::rest::{RestClient, RestConfig};

/// What the service answers.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A body with status 200.
    Ok(String),
    /// Another status, with these headers.
    Status(u16, Vec<(&'static str, String)>, String),
    /// A body with status 200, after a while.
    Late(Duration, String),
    /// Nothing, ever.
    Hang,
    /// The connection breaks before an answer.
    Break,
    /// A body in pieces whose sum is not announced.
    Pieces(Vec<String>),
    /// A body with status 200, packed.
    Packed(Vec<u8>),
    /// An answer, after which the connection is closed.
    OkThenClose(String),
}

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// `GET /path?query`
    pub(crate) line: String,
    /// Its body.
    pub(crate) body: String,
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

type Answer = dyn Fn(&Seen) -> Reply + Send + Sync;

/// The service.
pub(crate) struct FakeService {
    answer: Box<Answer>,
    seen: Mutex<Vec<Seen>>,
    dials: AtomicUsize,
    open: AtomicUsize,
    refuse: Mutex<usize>,
    hang_up: Notify,
}

impl FakeService {
    /// Answers by rule.
    pub(crate) fn new(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            answer: Box::new(answer),
            seen: Mutex::default(),
            dials: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            refuse: Mutex::new(0),
            hang_up: Notify::new(),
        })
    }

    /// Answers in turn; `Break` when nothing is left.
    pub(crate) fn scripted(replies: impl IntoIterator<Item = Reply>) -> Arc<Self> {
        let replies = Mutex::new(replies.into_iter().collect::<VecDeque<_>>());
        Self::new(move |_| replies.lock().pop_front().unwrap_or(Reply::Break))
    }

    /// Refuses the next connections.
    pub(crate) fn refuse(&self, connections: usize) {
        *self.refuse.lock() = connections;
    }

    /// Closes all connections without a word.
    pub(crate) fn hang_up(&self) {
        self.hang_up.notify_waiters();
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// The request lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen.lock().iter().map(|s| s.line.clone()).collect()
    }

    /// Connections made so far.
    pub(crate) fn dials(&self) -> usize {
        self.dials.load(Ordering::SeqCst)
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// The way to it, whatever the address.
    pub(crate) fn dialer(self: &Arc<Self>) -> Arc<dyn Dial> {
        Arc::new(Way(Arc::clone(self)))
    }

    /// A client of it.
    pub(crate) fn client(self: &Arc<Self>, config: RestConfig) -> RestClient {
        RestClient::new(self.dialer(), "http://venue.test", config).unwrap()
    }

    async fn serve(self: Arc<Self>, request: Request<Incoming>) -> io::Result<Response<Body>> {
        let line = format!("{} {}", request.method(), request.uri());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let seen = Seen {
            line,
            body: String::from_utf8(body.to_vec()).unwrap(),
        };
        let reply = (self.answer)(&seen);
        self.seen.lock().push(seen);
        let respond = |status: u16, body: String| {
            let mut response = Response::new(Full::new(Bytes::from(body)).boxed_unsync());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response
        };
        match reply {
            Reply::Ok(body) => Ok(respond(200, body)),
            Reply::Status(status, headers, body) => {
                let mut response = respond(status, body);
                for (name, value) in headers {
                    response.headers_mut().insert(name, value.parse().unwrap());
                }
                Ok(response)
            }
            Reply::Late(delay, body) => {
                tokio::time::sleep(delay).await;
                Ok(respond(200, body))
            }
            Reply::Hang => std::future::pending().await,
            Reply::Break => Err(io::ErrorKind::ConnectionReset.into()),
            Reply::Pieces(pieces) => {
                let frames = pieces
                    .into_iter()
                    .map(|piece| Ok(Frame::data(Bytes::from(piece))));
                let body = StreamBody::new(futures_util::stream::iter(frames));
                Ok(Response::new(body.boxed_unsync()))
            }
            Reply::Packed(body) => {
                let mut response = Response::new(Full::new(Bytes::from(body)).boxed_unsync());
                let headers = response.headers_mut();
                headers.insert("content-encoding", "gzip".parse().unwrap());
                Ok(response)
            }
            Reply::OkThenClose(body) => {
                let mut response = respond(200, body);
                response
                    .headers_mut()
                    .insert("connection", "close".parse().unwrap());
                Ok(response)
            }
        }
    }
}

/// Counts a connection for as long as it is served.
struct Open(Arc<FakeService>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The way to a [`FakeService`].
struct Way(Arc<FakeService>);

impl Dial for Way {
    fn dial<'a>(&'a self, _uri: &'a Uri) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let service = &self.0;
            service.dials.fetch_add(1, Ordering::SeqCst);
            {
                let mut refuse = service.refuse.lock();
                if *refuse > 0 {
                    *refuse -= 1;
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
            }
            let (ours, theirs) = tokio::io::duplex(64 << 10);
            service.open.fetch_add(1, Ordering::SeqCst);
            let open = Open(Arc::clone(service));
            // Ends with its connection, and at the latest with the test's runtime.
            tokio::spawn(async move {
                let handler = service_fn(|request| Arc::clone(&open.0).serve(request));
                let served = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(theirs), handler);
                tokio::select! {
                    served = served => tracing::trace!(?served, "connection served"),
                    () = open.0.hang_up.notified() => {}
                }
            });
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}
