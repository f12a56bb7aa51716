//! One question over HTTP.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::handshake;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::book::{BooksRead, Wanted};
use super::connection::Connections;
use super::error::{Problem, ReadError};
use super::event::{Event, EventMarkets, RawEvent};
use super::market::{Market, RawMarket};
use super::pages::Pages;
use super::query::Query;
use super::top::{Table, Tops};
use crate::client::Client;
use crate::door::{AGENT, Driver};
use crate::error::{Error, Lost};
use crate::filter::encoded;

/// Longest answer that is read: the tops of 100,000 tokens have some 20 MB.
const MOST_BYTES: usize = 256 << 20;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Tokens in a question for books.
const MOST_TOKENS: usize = 500;

impl Client {
    /// The markets of a query, in its order.
    pub fn markets(&self, query: &Query) -> Pages<Market> {
        Pages::new(self.clone(), query.clone())
    }

    /// The same as they come: for programs that pass them on.
    pub fn raw_markets(&self, query: &Query) -> Pages<RawMarket> {
        Pages::new(self.clone(), query.clone())
    }

    /// A market by condition id or slug, with its best prices; `None` if nobody here knows
    /// it.
    ///
    /// # Errors
    /// [`ReadError`] says why there is no answer.
    pub async fn market(&self, name: &str) -> Result<Option<Market>, ReadError> {
        let path = format!("/v1/markets/{}?tops=true", encoded(name));
        known(self.get("/v1/markets/{market}", &path).await)
    }

    /// The events that have a market of a query, in its order.
    pub fn events(&self, query: &Query) -> Pages<Event> {
        Pages::new(self.clone(), query.clone())
    }

    /// The same as they come: for programs that pass them on.
    pub fn raw_events(&self, query: &Query) -> Pages<RawEvent> {
        Pages::new(self.clone(), query.clone())
    }

    /// An event by slug, as it comes; `None` if nobody here knows it.
    ///
    /// # Errors
    /// [`ReadError`] says why there is no answer.
    pub async fn raw_event(&self, slug: &str) -> Result<Option<RawEvent>, ReadError> {
        let path = format!("/v1/events/{}", encoded(slug));
        known(self.get("/v1/events/{event}", &path).await)
    }

    /// An event by slug, with its markets and their best prices; `None` if nobody here
    /// knows it.
    ///
    /// # Errors
    /// [`ReadError`] says why there is no answer.
    pub async fn event(&self, slug: &str) -> Result<Option<EventMarkets>, ReadError> {
        let path = format!("/v1/events/{}", encoded(slug));
        known(self.get("/v1/events/{event}", &path).await)
    }

    /// Books at a moment; of many tokens some after the others.
    ///
    /// # Errors
    /// [`ReadError`] says why there is no answer.
    pub async fn books(&self, wanted: &Wanted) -> Result<BooksRead, ReadError> {
        let mut read = BooksRead::default();
        let named = wanted.markets.len() + wanted.events.len();
        let (first, rest) = wanted
            .tokens
            .split_at(wanted.tokens.len().min(MOST_TOKENS.saturating_sub(named)));
        let head = Wanted {
            tokens: first.to_vec(),
            ..wanted.clone()
        };
        let rest = rest.chunks(MOST_TOKENS).map(|tokens| Wanted {
            tokens: tokens.to_vec(),
            depth: wanted.depth,
            ..Wanted::default()
        });
        for part in std::iter::once(head).chain(rest) {
            let BooksRead { books, missing } = self.books_at_once(&part).await?;
            read.books.extend(books);
            read.missing.extend(missing);
        }
        Ok(read)
    }

    async fn books_at_once(&self, wanted: &Wanted) -> Result<BooksRead, ReadError> {
        let route = "/v1/books";
        let body = serde_json::to_vec(wanted);
        let body = body.map_err(|source| ReadError::Unreadable { route, source })?;
        let answer = self.ask(Method::POST, route, body).await?;
        read(route, &answer)
    }

    /// The best prices of the markets of a query whose books are kept.
    ///
    /// # Errors
    /// [`ReadError`] says why there is no answer.
    pub async fn tops(&self, query: &Query) -> Result<Tops, ReadError> {
        let route = "/v1/tops";
        let table: Table = self.get(route, &with_query(route, &query.at(None))).await?;
        let rows = table.read();
        rows.map_err(|source| ReadError::Unreadable { route, source })
    }

    /// The server's connections to the venue, so many at most, in an order of
    /// `/v1/connections`: `trouble`, `name`, `messages`, `bytes`, `silence`, `tokens` or
    /// `reconnects`.
    ///
    /// # Errors
    /// [`ReadError`] says why there is no answer.
    pub async fn connections(&self, sort: &str, limit: u16) -> Result<Connections, ReadError> {
        let route = "/v1/connections";
        let query = format!("sort={}&limit={limit}", encoded(sort));
        self.get(route, &with_query(route, &query)).await
    }

    /// What a route answers.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        route: &'static str,
        path: &str,
    ) -> Result<T, ReadError> {
        let answer = self.ask(Method::GET, path, Vec::new()).await?;
        read(route, &answer)
    }

    async fn ask(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Bytes, ReadError> {
        let asked = timeout(PATIENCE, self.ask_patiently(method, path, body));
        asked.await.unwrap_or(Err(Lost::Silent(PATIENCE).into()))
    }

    async fn ask_patiently(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Bytes, ReadError> {
        let address = &self.address;
        let socket = address.dial(self.dialer.as_deref()).await?;
        let (mut sender, connection) = handshake(TokioIo::new(socket)).await.map_err(Lost::from)?;
        let mut driver = Driver::new(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", address.prefix()))
            .header(HOST, address.authority())
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, AGENT);
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|error| Error::Url {
            url: address.authority().to_owned(),
            reason: format!("the request cannot be made: {error}"),
        })?;
        let answer = driver.beside(sender.send_request(request)).await;
        let (head, body) = answer.map_err(Lost::from)?.into_parts();
        let body = driver
            .beside(Limited::new(body, MOST_BYTES).collect())
            .await;
        let body = body.map_err(|_cut| Lost::Ended)?.to_bytes();
        if head.status.is_success() {
            return Ok(body);
        }
        let problem = Problem::read(head.status, &body);
        let is_later = head.status.is_server_error()
            || head.status == StatusCode::TOO_MANY_REQUESTS
            || head.status == StatusCode::REQUEST_TIMEOUT;
        if !is_later {
            return Err(ReadError::Refused(problem));
        }
        let retry = head.headers.get(RETRY_AFTER);
        let retry = retry.and_then(|value| value.to_str().ok()?.parse().ok());
        Err(ReadError::Lost(Lost::Busy {
            status: head.status,
            message: problem.message,
            retry: retry.map(Duration::from_secs),
        }))
    }
}

/// A route with what is asked of it.
pub(super) fn with_query(route: &str, query: &str) -> String {
    let separator = if query.is_empty() { "" } else { "?" };
    format!("{route}{separator}{query}")
}

fn read<T: DeserializeOwned>(route: &'static str, answer: &[u8]) -> Result<T, ReadError> {
    serde_json::from_slice(answer).map_err(|source| ReadError::Unreadable { route, source })
}

/// A name that nobody knows is an answer.
fn known<T>(answer: Result<T, ReadError>) -> Result<Option<T>, ReadError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(ReadError::Refused(problem))
            if problem.is("unknown_market") || problem.is("unknown_event") =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
