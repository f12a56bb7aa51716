//! A small HTTP client for JSON: keep-alive, deadline, size cap, retry.
//!
//! One [`RestClient`] speaks to one base address. Every attempt has a deadline
//! over all of it, from the dial to the last byte of the body. What may succeed
//! later (429, 5xx, time-outs, broken connections) is tried again after a
//! full-jitter backoff, or after what `Retry-After` asks for, clamped; other
//! answers are handed to the caller at once. All requests are reads, `POST`
//! ones too, so that repeating one is harmless.
//!
//! Answers are asked for packed (gzip). What comes out is bounded like what comes plain,
//! and by what went in, so that no small answer becomes a large one.
//!
//! It follows no redirects, keeps no cookies and never spawns: dropping the future of a
//! request ends it.

mod error;
#[cfg(test)]
pub(crate) mod fake;
mod link;
mod packed;
mod stats;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use hyper::http::response::Parts;
use hyper::{Method, Request, Uri};
use parking_lot::Mutex;
use polypy_core::StatsSource;
use polypy_core::metrics::{self, Sheet};
use tokio::time::{Instant, sleep, timeout};

use crate::backoff::Backoff;
use crate::dial::Dial;

pub use error::RestError;
use link::Link;
use stats::{RestStats, count};

/// Limits of a client.
#[derive(Debug, Clone)]
pub struct RestConfig {
    /// For one attempt as a whole. The venue answers within a second; a page of
    /// a hundred markets is half a megabyte, and slow lines exist.
    pub deadline: Duration,
    /// Largest body accepted.
    pub max_body: usize,
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// First backoff.
    pub backoff_base: Duration,
    /// Longest backoff.
    pub backoff_cap: Duration,
    /// Most that `Retry-After` may ask for.
    pub retry_after_cap: Duration,
    /// How long an idle connection is worth trying; servers close them after a
    /// minute and more.
    pub idle: Duration,
    /// Idle connections kept.
    pub max_idle: usize,
}

impl Default for RestConfig {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(20),
            max_body: 64 << 20,
            attempts: 4,
            backoff_base: Duration::from_millis(250),
            backoff_cap: Duration::from_secs(10),
            retry_after_cap: Duration::from_secs(60),
            idle: Duration::from_secs(55),
            max_idle: 4,
        }
    }
}

/// Asks one HTTP service.
pub struct RestClient {
    dial: Arc<dyn Dial>,
    base: Uri,
    config: RestConfig,
    /// The one used last is at the end.
    idle: Mutex<Vec<Link>>,
    stats: RestStats,
}

impl fmt::Debug for RestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestClient")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

impl RestClient {
    /// A client of the service at `base`, such as `https://example.org/prefix`.
    ///
    /// # Errors
    /// [`RestError::Base`] when that is no such address.
    pub fn new(dial: Arc<dyn Dial>, base: &str, config: RestConfig) -> Result<Self, RestError> {
        let refused = || RestError::Base(base.to_owned());
        let base: Uri = base.parse().map_err(|_not_a_uri| refused())?;
        let is_http = matches!(base.scheme_str(), Some("http" | "https"));
        if !is_http || base.host().is_none() || base.query().is_some() {
            return Err(refused());
        }
        let mut stats = RestStats::default();
        stats.name(&[]);
        Ok(Self {
            dial,
            base,
            config,
            idle: Mutex::new(Vec::new()),
            stats,
        })
    }

    /// `GET` of a path with its query, such as `/book?token_id=1`.
    ///
    /// # Errors
    /// [`RestError`], after the last attempt.
    pub async fn get(&self, path_and_query: &str) -> Result<Bytes, RestError> {
        self.request(Method::GET, path_and_query, Bytes::new())
            .await
    }

    /// `POST` of a JSON text.
    ///
    /// # Errors
    /// [`RestError`], after the last attempt.
    pub async fn post(&self, path_and_query: &str, json: Bytes) -> Result<Bytes, RestError> {
        self.request(Method::POST, path_and_query, json).await
    }

    /// Counts these paths apart, each under its own name.
    #[must_use]
    pub fn with_endpoints(mut self, paths: &[&'static str]) -> Self {
        self.stats.name(paths);
        self
    }

    async fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, RestError> {
        self.stats.requested(path);
        let mut backoff = Backoff::new(self.config.backoff_base, self.config.backoff_cap);
        loop {
            let request = self.build(&method, path, &body)?;
            let begun = Instant::now();
            let outcome = self.attempt(request).await;
            self.stats.attempted(path, begun.elapsed());
            let error = match outcome {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            self.stats.failed(&error);
            let delay = backoff.next_delay();
            if !error.is_retryable() || backoff.attempts() >= self.config.attempts {
                return Err(error);
            }
            let delay = match &error {
                RestError::Status {
                    retry_after: Some(asked),
                    ..
                } => delay.max((*asked).min(self.config.retry_after_cap)),
                _ => delay,
            };
            let delay_ms = delay.as_secs_f64() * 1e3;
            tracing::debug!(path, %error, delay_ms, "request failed, trying again");
            count(&self.stats.retries);
            sleep(delay).await;
        }
    }

    fn build(
        &self,
        method: &Method,
        path: &str,
        body: &Bytes,
    ) -> Result<Request<Full<Bytes>>, RestError> {
        let authority = self.base.authority().map_or("", |a| a.as_str());
        let prefix = self.base.path().trim_end_matches('/');
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{prefix}{path}"))
            .header(HOST, authority)
            .header(USER_AGENT, concat!("polypy/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json")
            .header(ACCEPT_ENCODING, "gzip");
        if method == Method::POST {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        request
            .body(Full::new(body.clone()))
            .map_err(RestError::Request)
    }

    async fn attempt(&self, request: Request<Full<Bytes>>) -> Result<Bytes, RestError> {
        let deadline = self.config.deadline;
        let (parts, body) = timeout(deadline, self.exchange(request))
            .await
            .map_err(|_elapsed| RestError::Timeout(deadline))??;
        if parts.status.is_success() {
            return Ok(body);
        }
        // Enough to recognise the venue's own error texts.
        let excerpt = &body[..body.len().min(200)];
        Err(RestError::Status {
            status: parts.status,
            excerpt: String::from_utf8_lossy(excerpt).into_owned(),
            retry_after: retry_after(&parts),
        })
    }

    /// One exchange; a second one on a fresh connection if a kept one had been
    /// closed meanwhile, which is no failure of the service.
    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(Parts, Bytes), RestError> {
        if let Some(mut link) = self.take_idle() {
            match link.exchange(request.clone(), self.config.max_body).await {
                Err(RestError::Transport(_)) => count(&self.stats.stale_connections),
                outcome => return self.finish(link, outcome),
            }
        }
        let stream = self
            .dial
            .dial(&self.base)
            .await
            .map_err(RestError::Connect)?;
        count(&self.stats.connections_opened);
        let mut link = Link::open(stream).await?;
        let outcome = link.exchange(request, self.config.max_body).await;
        self.finish(link, outcome)
    }

    fn take_idle(&self) -> Option<Link> {
        let mut idle = self.idle.lock();
        let oldest = Instant::now().checked_sub(self.config.idle);
        idle.retain(|link| oldest.is_none_or(|oldest| link.idle_since > oldest));
        idle.pop()
    }

    fn finish(
        &self,
        link: Link,
        outcome: Result<(Parts, Bytes), RestError>,
    ) -> Result<(Parts, Bytes), RestError> {
        let (parts, body) = outcome?;
        self.stats
            .bytes_received
            .add_shared(metrics::count(body.len()));
        let mut idle = self.idle.lock();
        if link.is_reusable() && idle.len() < self.config.max_idle {
            idle.push(link);
        }
        drop(idle);
        if !packed::is_packed(&parts)? || body.is_empty() {
            return Ok((parts, body));
        }
        match packed::unpack(&body, self.config.max_body) {
            Ok(body) => Ok((parts, body)),
            // Of an error the status matters more than its text.
            Err(_broken) if !parts.status.is_success() => Ok((parts, Bytes::new())),
            Err(error) => Err(error),
        }
    }
}

impl StatsSource for RestClient {
    fn show(&self, sheet: &mut dyn Sheet) {
        self.stats.show(sheet);
    }
}

/// `Retry-After` in seconds. Its other form, a date, would need a clock that
/// agrees with the server's: the backoff decides then.
fn retry_after(parts: &Parts) -> Option<Duration> {
    let seconds = parts.headers.get(RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests;
