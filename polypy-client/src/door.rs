//! One connection to either door of the server.

use std::future::{Future, poll_fn};
use std::io;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, HeaderMap, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_tungstenite::tungstenite::protocol::{Message as Frame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::error::{Error, Lost};
use crate::filter::Filter;
use crate::sse::Parser;

/// The subscription's number over a WebSocket, where there could be several.
const SUBSCRIPTION: u64 = 1;
/// Longest message that is read, as for events.
const MOST_BYTES: usize = 16 << 20;
/// Longest answer to a refused request that is read for its error.
const MOST_ERROR_BYTES: usize = 64 << 10;

/// Bytes in both directions.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

/// A connection that is being opened.
pub type Dialing = Pin<Box<dyn Future<Output = io::Result<Box<dyn Socket>>> + Send>>;

/// Opens connections with TLS, which this crate does not speak.
pub trait Dial: Send + Sync {
    /// Connects to `https://HOST:PORT`, and checks who answers there.
    fn dial(&self, server: Uri) -> Dialing;
}

/// Where a server is, and which door of it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    place: Place,
    /// What the server is called in requests.
    authority: String,
    /// In front of the routes, for servers behind a proxy.
    prefix: String,
    is_socket: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Tcp(String, u16),
    Unix(PathBuf),
    /// With TLS, by who is handed in.
    Tls(Uri),
}

impl Address {
    /// `http://HOST:PORT` and `unix:FILE` mean Server-Sent Events, `ws://HOST:PORT` the
    /// WebSocket; `https` and `wss` the same where TLS is spoken.
    pub(crate) fn parse(url: &str, speaks_tls: bool) -> Result<Self, Error> {
        let bad = |reason: &str| Error::Url {
            url: url.to_owned(),
            reason: reason.to_owned(),
        };
        if let Some(path) = url.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self {
                place: Place::Unix(path.into()),
                authority: "localhost".to_owned(),
                prefix: String::new(),
                is_socket: false,
            });
        }
        let form = "must be http://HOST:PORT, ws://HOST:PORT or unix:FILE";
        let uri: Uri = url.parse().map_err(|_not_a_uri| bad(form))?;
        let (is_socket, is_tls) = match uri.scheme_str() {
            Some("http") => (false, false),
            Some("ws") => (true, false),
            Some("https") if speaks_tls => (false, true),
            Some("wss") if speaks_tls => (true, true),
            Some("https" | "wss") => {
                return Err(bad(
                    "TLS is not spoken here: use http:// or ws:// on the server's own machine or \
                     network, or a proxy that does TLS",
                ));
            }
            _ => return Err(bad(form)),
        };
        let (Some(authority), Some(host)) = (uri.authority(), uri.host()) else {
            return Err(bad(form));
        };
        if uri.query().is_some() {
            return Err(bad("what is asked for is no part of the address"));
        }
        let routes = ["/v1/stream", "/v1/ws"];
        let path = uri.path().trim_end_matches('/');
        let named = routes
            .into_iter()
            .find_map(|route| path.strip_suffix(route));
        // Brackets are the URL's, not the address's.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let place = if is_tls {
            let server = format!("https://{authority}").parse();
            Place::Tls(server.map_err(|_not_a_uri| bad(form))?)
        } else {
            Place::Tcp(host.to_owned(), uri.port_u16().unwrap_or(80))
        };
        Ok(Self {
            place,
            authority: authority.as_str().to_owned(),
            prefix: named.unwrap_or(path).to_owned(),
            is_socket,
        })
    }

    /// What the server is called in requests.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// In front of the routes.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) async fn dial(&self, dialer: Option<&dyn Dial>) -> Result<Box<dyn Socket>, Lost> {
        Ok(match &self.place {
            Place::Tls(server) => {
                let nobody = || io::Error::other("TLS is not spoken here");
                let dialer = dialer.ok_or_else(nobody).map_err(Lost::Dial)?;
                dialer.dial(server.clone()).await.map_err(Lost::Dial)?
            }
            Place::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await;
                let stream = stream.map_err(Lost::Dial)?;
                stream.set_nodelay(true).map_err(Lost::Dial)?;
                Box::new(stream)
            }
            Place::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(Lost::Dial)?),
        })
    }
}

/// What is asked for over a connection.
#[derive(Clone)]
pub(crate) struct Question {
    pub(crate) address: Address,
    pub(crate) dialer: Option<Arc<dyn Dial>>,
    pub(crate) token: Option<String>,
    pub(crate) filter: Filter,
    pub(crate) cursor: Option<String>,
}

/// Why there is no connection.
pub(crate) enum NoDoor {
    Lost(Lost),
    Refused(Error),
}

impl<T: Into<Lost>> From<T> for NoDoor {
    fn from(lost: T) -> Self {
        Self::Lost(lost.into())
    }
}

/// A message as it came.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) text: String,
    /// The connection's place with it, if the door says.
    pub(crate) id: Option<String>,
}

/// An open connection that was asked.
pub(crate) enum Door {
    Events(Box<Events>),
    Socket(Box<WebSocketStream<Box<dyn Socket>>>),
}

impl Door {
    /// Connects and asks.
    pub(crate) async fn open(question: Question) -> Result<Self, NoDoor> {
        let dialer = question.dialer.as_deref();
        let socket = question.address.dial(dialer).await?;
        if question.address.is_socket {
            open_socket(socket, &question).await
        } else {
            open_events(socket, &question).await
        }
    }

    /// The next message. May be dropped and called again: nothing is lost.
    pub(crate) async fn next(&mut self) -> Result<Arrived, Lost> {
        match self {
            Self::Events(events) => events.next().await,
            Self::Socket(socket) => loop {
                match socket.next().await {
                    Some(Ok(Frame::Text(text))) => {
                        return Ok(Arrived {
                            text: text.as_str().to_owned(),
                            id: None,
                        });
                    }
                    Some(Ok(Frame::Close(_))) | None => return Err(Lost::Ended),
                    // Pings are answered by the library with the next read.
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.into()),
                }
            },
        }
    }

    /// When to come back, if the door said so for any end.
    pub(crate) fn retry(&self) -> Option<Duration> {
        match self {
            Self::Events(events) => events.parser.retry_ms().map(Duration::from_millis),
            Self::Socket(_) => None,
        }
    }
}

/// hyper's half of a connection, which makes no progress unless it is polled beside what
/// waits for it. What it has to say of its end, the answer says, too.
pub(crate) struct Driver(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Driver {
    pub(crate) fn new<E>(connection: impl Future<Output = Result<(), E>> + Send + 'static) -> Self {
        Self(Some(Box::pin(async { drop(connection.await) })))
    }

    fn poll(&mut self, context: &mut Context<'_>) {
        if let Some(connection) = &mut self.0
            && connection.as_mut().poll(context).is_ready()
        {
            self.0 = None;
        }
    }

    /// Waits for `wanted`, which may be dropped and made again if `wanted` may.
    pub(crate) async fn beside<F: Future>(&mut self, wanted: F) -> F::Output {
        let mut wanted = pin!(wanted);
        poll_fn(|context| {
            self.poll(context);
            wanted.as_mut().poll(context)
        })
        .await
    }
}

/// An answer of Server-Sent Events.
pub(crate) struct Events {
    driver: Driver,
    body: Incoming,
    parser: Parser,
}

impl Events {
    async fn next(&mut self) -> Result<Arrived, Lost> {
        loop {
            if let Some(event) = self.parser.next() {
                return Ok(Arrived {
                    text: event.data,
                    id: event.id,
                });
            }
            match self.driver.beside(self.body.frame()).await {
                Some(frame) => {
                    if let Ok(bytes) = frame?.into_data() {
                        let pushed = self.parser.push(&bytes);
                        pushed.map_err(|_too_long| Lost::TooLong)?;
                    }
                }
                None => return Err(Lost::Ended),
            }
        }
    }
}

async fn open_events(socket: Box<dyn Socket>, question: &Question) -> Result<Door, NoDoor> {
    let (mut sender, connection) = handshake(TokioIo::new(socket)).await?;
    let mut driver = Driver::new(connection);
    let query = question.filter.query();
    let separator = if query.is_empty() { "" } else { "?" };
    let path = format!("{}/v1/stream{separator}{query}", question.address.prefix);
    let mut request = Request::get(path)
        .header(HOST, &question.address.authority)
        .header(ACCEPT, "text/event-stream")
        .header(USER_AGENT, AGENT);
    if let Some(token) = &question.token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    if let Some(cursor) = &question.cursor {
        request = request.header("last-event-id", cursor);
    }
    let request = request.body(Empty::<Bytes>::new());
    let request = request.map_err(|error| unsendable(question, &error.to_string()))?;
    let answer = driver.beside(sender.send_request(request)).await?;
    if answer.status() != StatusCode::OK {
        return Err(refused(answer, driver).await);
    }
    Ok(Door::Events(Box::new(Events {
        driver,
        body: answer.into_body(),
        parser: Parser::default(),
    })))
}

async fn open_socket(socket: Box<dyn Socket>, question: &Question) -> Result<Door, NoDoor> {
    let Address {
        authority, prefix, ..
    } = &question.address;
    let request = format!("ws://{authority}{prefix}/v1/ws").into_client_request();
    let mut request = request.map_err(|error| unsendable(question, &error.to_string()))?;
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, hyper::header::HeaderValue::from_static(AGENT));
    if let Some(token) = &question.token {
        let value = format!("Bearer {token}").parse();
        let value = value.map_err(|_odd| unsendable(question, "the token has odd characters"))?;
        headers.insert(AUTHORIZATION, value);
    }
    let config = WebSocketConfig::default()
        .max_message_size(Some(MOST_BYTES))
        .max_frame_size(Some(MOST_BYTES));
    let opened = client_async_with_config(request, socket, Some(config)).await;
    let mut socket = match opened {
        Ok((socket, _answer)) => socket,
        Err(tungstenite::Error::Http(answer)) => {
            let body = answer.body().as_deref().unwrap_or_default();
            return Err(refusal(answer.status(), answer.headers(), body));
        }
        Err(error) => return Err(error.into()),
    };
    let operation = question
        .filter
        .operation(SUBSCRIPTION, question.cursor.as_deref());
    socket.send(Frame::text(operation)).await?;
    Ok(Door::Socket(Box::new(socket)))
}

pub(crate) const AGENT: &str = concat!("polypy-client/", env!("CARGO_PKG_VERSION"));

fn unsendable(question: &Question, reason: &str) -> NoDoor {
    NoDoor::Refused(Error::Url {
        url: question.address.authority.clone(),
        reason: format!("the request cannot be made: {reason}"),
    })
}

/// Reads what a refused request is told.
async fn refused(answer: Response<Incoming>, mut driver: Driver) -> NoDoor {
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, MOST_ERROR_BYTES).collect();
    let body = driver.beside(body).await;
    let body = body.map_or_else(|_cut| Bytes::new(), |body| body.to_bytes());
    refusal(head.status, &head.headers, &body)
}

fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> NoDoor {
    let body: Option<Value> = serde_json::from_slice(body).ok();
    // An answer that lists routes is about the route, not from it.
    let body = body.filter(|body| body["routes"].is_null());
    let message = body.and_then(|body| body["error"].as_str().map(str::to_owned));
    let is_later = status.is_server_error()
        || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
    if !is_later {
        return NoDoor::Refused(Error::Status { status, message });
    }
    let retry = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok());
    NoDoor::Lost(Lost::Busy {
        status,
        message,
        retry: retry
            .and_then(|text| text.parse().ok())
            .map(Duration::from_secs),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_where_and_through_which_door() {
        for (url, place, prefix, is_socket) in [
            ("http://localhost:8080", ("localhost", 8080), "", false),
            ("ws://127.0.0.1:9/v1/ws", ("127.0.0.1", 9), "", true),
            ("http://[::1]/", ("::1", 80), "", false),
            ("http://a/polypy/v1/stream", ("a", 80), "/polypy", false),
            ("ws://a/polypy/", ("a", 80), "/polypy", true),
        ] {
            let address = Address::parse(url, false).unwrap();
            let (host, port) = place;
            assert_eq!(address.place, Place::Tcp(host.to_owned(), port), "{url}");
            assert_eq!((&*address.prefix, address.is_socket), (prefix, is_socket));
        }
        let unix = Address::parse("unix:/run/polypy.sock", false).unwrap();
        assert_eq!(unix.place, Place::Unix("/run/polypy.sock".into()));
        for (url, is_socket) in [
            ("https://[::1]:8443/a", false),
            ("wss://[::1]:8443/a", true),
        ] {
            let address = Address::parse(url, true).unwrap();
            let server = "https://[::1]:8443".parse().unwrap();
            assert_eq!(address.place, Place::Tls(server), "{url}");
            assert_eq!((&*address.prefix, address.is_socket), ("/a", is_socket));
        }
    }

    #[test]
    fn what_is_no_address_is_told_what_would_be() {
        for (url, reason) in [
            ("localhost:8080", "must be http://"),
            ("", "must be http://"),
            ("unix:", "must be http://"),
            ("ftp://a", "must be http://"),
            ("https://a", "TLS is not spoken here"),
            ("wss://a", "TLS is not spoken here"),
            ("http://a/?tokens=1", "no part of the address"),
        ] {
            let error = Address::parse(url, false).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{url}: ")), "{error}");
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn busy_servers_are_asked_again_and_mistakes_are_not() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "3".parse().unwrap());
        let body = br#"{"error":"no place left","status":503}"#;
        for status in [500, 503, 429] {
            let status = StatusCode::from_u16(status).unwrap();
            let NoDoor::Lost(lost) = refusal(status, &headers, body) else {
                panic!("{status} passes");
            };
            assert_eq!(lost.retry(), Some(Duration::from_secs(3)));
            assert!(lost.to_string().contains("no place left"), "{lost}");
        }
        let routes = br#"{"error":"no route","routes":["/"]}"#;
        let unknown = br#"{"error":"no token 12"}"#;
        for (status, body, said) in [
            (400, &b"<html>"[..], "400"),
            (401, b"", "wants a token"),
            (404, routes, "no streams"),
            (404, b"<html>", "no streams"),
            (
                404,
                unknown,
                "the server answered 404 Not Found: no token 12",
            ),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let NoDoor::Refused(error) = refusal(status, &headers, body) else {
                panic!("{status} does not pass");
            };
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
