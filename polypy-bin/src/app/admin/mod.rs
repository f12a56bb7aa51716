//! The administration listener: a server of its own at which a few things are changed
//! while the program runs.
//!
//! It is off unless it has a place to listen at. A Unix socket is for whom its file lets
//! in, the program's own user; TCP needs a token. Who changes what is logged.

mod selection;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use polypy_core::{Clock, Component, StaleReason};
use polypy_http::{
    Access, Answer, Call, Content, HttpConfig, HttpServer, HttpServerBuilder, Listener, Reply,
    Route, RouteError, StatusCode, Tls,
};
use polypy_net::lifecycle::LISTING_PATIENCE;
use polypy_net::pool::{ConnectionPool, RecycleError};
use polypy_net::recycler::ConnectionRecycler;
use polypy_net::registry::{AssetRegistry, AssetStatus, ConnectionId};
use polypy_net::resync::{Asked, ResyncQueue};
use serde_json::json;

use super::error::BuildError;
use super::http;
use super::parts::Parts;
use super::published;
use super::selection::SelectionControl;
use super::sequence;
use super::socket_file::SocketFile;
use crate::config::{AdminSection, Config, LogFilter, Setting};
use crate::logging::LogLevel;
use crate::secrets;

/// Name of the component.
const NAME: &str = "admin";
/// Only the program's own user may connect.
const MODE: u32 = 0o600;
/// Those who administer are few.
const CONNECTIONS: usize = 8;
const RESERVED: usize = 2;
/// Longer than the directives that name every module.
const MOST_BYTES: usize = 4 * 1024;
/// What has a name in its path needs no body.
const NO_BODY: usize = 0;
/// Beside the longest that what is asked for may take.
const ALLOWANCE: Duration = Duration::from_secs(10);
/// Recycling is given up when the program ends.
const DRAIN: Duration = Duration::from_millis(200);

const LOG_LEVEL: &[Answer] = &[
    Answer::json("log_level", "what the log has").to("GET"),
    Answer::json("log_level_change", "what the log has now").to("PUT"),
    Answer::error(409, "another program keeps the log"),
];
const RECYCLE: &[Answer] = &[
    Answer::json("recycled", "it is replaced"),
    Answer::error(404, "there is no such connection"),
    Answer::error(409, "it, or as many as may be, are being replaced"),
    Answer::error(503, "its replacement failed: it serves on"),
];
const RESYNC: &[Answer] = &[
    Answer::new(202, Content::Json("resync"), "it is asked for"),
    Answer::error(404, "there is no such token"),
    Answer::error(409, "it waits for a connection, or its market has ended"),
];

/// What is needed to listen, and what listens.
#[derive(Debug)]
pub(super) struct Administration {
    section: AdminSection,
    /// There whenever it listens on TCP.
    access: Option<Arc<Access>>,
    /// Not there where another program keeps the log.
    log_level: Option<LogLevel>,
    server: Mutex<Option<Arc<HttpServer>>>,
    file: Mutex<Option<SocketFile>>,
    /// It could not listen, for a reason that may pass.
    is_awaited: AtomicBool,
}

impl Administration {
    /// Reads the token. Without one that was asked for nothing may listen. It is read
    /// also where nothing is to listen, if `even_if_off`.
    pub(super) fn new(
        section: &AdminSection,
        log_level: Option<LogLevel>,
        even_if_off: bool,
    ) -> Result<Self, BuildError> {
        let wanted = even_if_off || is_on(section);
        let access = section.token_file.as_deref().filter(|_| wanted);
        let access = access.map(secrets::access).transpose();
        let access = access.map_err(|error| BuildError::Value {
            key: "admin.token_file",
            reason: error.to_string(),
        })?;
        Ok(Self {
            section: section.clone(),
            access: access.map(|access| Arc::new(access.without_sessions())),
            log_level,
            server: Mutex::default(),
            file: Mutex::default(),
            is_awaited: AtomicBool::new(false),
        })
    }

    /// Listens, if it is to. A place that cannot be had is an error in the log, and the
    /// program runs without; where that may pass it is to be called again.
    pub(super) async fn start(
        &self,
        config: &Config,
        parts: &Parts,
        control: &Arc<SelectionControl>,
        clock: &Arc<dyn Clock>,
        tls: Option<&Arc<Tls>>,
    ) {
        if !is_on(&self.section) {
            return;
        }
        let socket = match &self.section.unix_socket {
            Some(path) => self.listen_at_file(path).await,
            None => None,
        };
        if self.section.listen.is_none() && socket.is_none() {
            return;
        }
        let server = HttpServer::bare(NAME, self.http_config(config), Arc::clone(clock))
            .service("polypy-admin", env!("CARGO_PKG_VERSION"))
            .own_pages_only();
        let server = published::described(server, "PolyPy: administration");
        let server = socket
            .into_iter()
            .fold(server, HttpServerBuilder::listen_on);
        let server = tls
            .into_iter()
            .fold(server, |server, tls| server.tls(Arc::clone(tls)));
        let server = self
            .access
            .iter()
            .fold(server, |server, access| server.access(Arc::clone(access)));
        let (error, may_pass) = match self.with_routes(server, config, parts, control) {
            Ok(server) => {
                let server = Arc::new(server.build());
                let component = Arc::clone(&server) as Arc<dyn Component>;
                match sequence::start(&component).await {
                    Ok(()) => {
                        self.is_awaited.store(false, Ordering::SeqCst);
                        *self.server.lock() = Some(server);
                        return;
                    }
                    Err(error) => (error.to_string(), http::may_pass(&error)),
                }
            }
            Err(error) => (error.to_string(), false),
        };
        if self.is_awaited.swap(may_pass, Ordering::SeqCst) {
            tracing::debug!(error, "no administration yet");
        } else {
            tracing::error!(
                error,
                retries = may_pass,
                "no administration: the program runs without it; choose another admin.listen"
            );
        }
        self.remove_file();
    }

    /// Whether it could not listen, and may at another time.
    pub(super) fn is_awaited(&self) -> bool {
        self.is_awaited.load(Ordering::SeqCst)
    }

    async fn listen_at_file(&self, path: &Path) -> Option<Listener> {
        match SocketFile::open(path, MODE).await {
            Ok((listener, file)) => {
                *self.file.lock() = Some(file);
                Some(listener)
            }
            Err(error) => {
                let file = path.display();
                if self.is_awaited() {
                    tracing::debug!(%error, %file, "no admin.unix_socket yet");
                } else {
                    tracing::error!(%error, %file, "cannot listen at admin.unix_socket, going on without");
                }
                None
            }
        }
    }

    fn http_config(&self, config: &Config) -> HttpConfig {
        let defaults = HttpConfig::default();
        let listen = self.section.listen;
        HttpConfig {
            tcp: listen.is_some(),
            host: listen.map_or(defaults.host, |address| address.ip()),
            port: listen.map_or(defaults.port, |address| address.port()),
            allowed_hosts: config.http.allowed_hosts.0.clone(),
            max_connections: CONNECTIONS,
            max_connections_per_peer: CONNECTIONS,
            reserved_connections: RESERVED,
            answer_timeout: longest(config).saturating_add(ALLOWANCE),
            drain_deadline: DRAIN,
            ..defaults
        }
    }

    fn with_routes(
        &self,
        server: HttpServerBuilder,
        config: &Config,
        parts: &Parts,
        control: &Arc<SelectionControl>,
    ) -> Result<HttpServerBuilder, RouteError> {
        let (level, configured) = (self.log_level.clone(), config.log.level.show());
        let set = level.clone();
        let pool = Arc::clone(&parts.pool);
        let (recycler, registry) = (Arc::clone(&parts.recycler), Arc::clone(&parts.registry));
        let resync = Arc::clone(&parts.resync);
        server
            .route(
                Route::get(
                    "/log-level",
                    "what the log has; PUT directives as in log.level to change it",
                    move |call| show_level(level.as_ref(), &configured, call),
                )
                .with_put(MOST_BYTES, move |call, body| {
                    set_level(set.as_ref(), call, body)
                })
                .takes(Content::Other("text/plain"))
                .answers(LOG_LEVEL),
            )?
            .route(selection::route(control))?
            .route(
                Route::action(
                    "/connections/{id}/recycle",
                    "replaces a connection without a gap, and answers when it is done",
                    NO_BODY,
                    move |call, _body| recycle(Arc::clone(&pool), Arc::clone(&recycler), call),
                )
                .answers(RECYCLE),
            )?
            .route(
                Route::post(
                    "/tokens/{id}/resync",
                    "has a token's book fetched again",
                    NO_BODY,
                    move |call, _body| ask_for_book(&registry, &resync, call),
                )
                .answers(RESYNC),
            )
    }

    /// Where it listens on TCP.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.server.lock().as_ref()?.local_addr()
    }

    /// What is to be stopped, if it runs.
    pub(super) fn take(&self) -> Option<Arc<dyn Component>> {
        self.is_awaited.store(false, Ordering::SeqCst);
        let server = self.server.lock().take();
        server.map(|server| server as Arc<dyn Component>)
    }

    /// To be called once it is stopped.
    pub(super) fn remove_file(&self) {
        if let Some(file) = self.file.lock().take() {
            file.remove();
        }
    }

    /// The guard and the file that its token is in.
    pub(super) fn token(&self) -> (Option<&Arc<Access>>, Option<&Path>) {
        (self.access.as_ref(), self.section.token_file.as_deref())
    }
}

fn is_on(section: &AdminSection) -> bool {
    section.listen.is_some() || section.unix_socket.is_some()
}

/// Who asks, for the log.
fn peer(call: &Call) -> String {
    call.peer()
        .address()
        .map_or_else(|| "unix socket".to_owned(), |address| address.to_string())
}

const NO_LOG: &str = "the log is kept by the program that embeds this one, and is changed there";

fn show_level(level: Option<&LogLevel>, configured: &str, call: &Call) -> Reply {
    match level {
        Some(level) => {
            let level = level.current().show();
            let body = json!({ "level": level, "configured": configured });
            Reply::json(StatusCode::OK, &body)
        }
        None => call.error(StatusCode::CONFLICT, NO_LOG),
    }
}

fn set_level(level: Option<&LogLevel>, call: &Call, body: &[u8]) -> Reply {
    let Some(level) = level else {
        return call.error(StatusCode::CONFLICT, NO_LOG);
    };
    let text = std::str::from_utf8(body).unwrap_or_default().trim();
    let wanted = match LogFilter::parse(text) {
        Ok(wanted) => wanted,
        Err(reason) => {
            return call.error(StatusCode::BAD_REQUEST, &format!("the body {reason}"));
        }
    };
    let (old, new, peer) = (level.current().show(), wanted.show(), peer(call));
    // Under whichever of the two filters shows it.
    let log = || tracing::warn!(peer, old, new, "log level changed by administration");
    let shown = tracing::enabled!(tracing::Level::WARN);
    if shown {
        log();
    }
    if let Err(error) = level.replace(wanted) {
        return call.error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string());
    }
    if !shown {
        log();
    }
    let body = json!({ "level": new, "before": old });
    Reply::json(StatusCode::OK, &body)
}

async fn recycle(
    pool: Arc<ConnectionPool>,
    recycler: Arc<ConnectionRecycler>,
    call: Call,
) -> Reply {
    let Some(connection) = connection(call.segment("id")) else {
        let text = "a connection is named as /stats names it, such as conn-7";
        return call.error(StatusCode::BAD_REQUEST, text);
    };
    if !pool
        .connections()
        .iter()
        .any(|view| view.id() == connection)
    {
        let text = "there is no such connection; /stats of the public server lists them";
        return call.error(StatusCode::NOT_FOUND, text);
    }
    if !recycler.has_room() {
        let text = "as many connections as recycler.concurrency allows are being replaced; \
                    ask again in a moment";
        return call.error(StatusCode::CONFLICT, text).with_retry_after(1);
    }
    let peer = peer(&call);
    tracing::warn!(peer, %connection, "recycling asked for by administration");
    match recycler.recycle_now(connection).await {
        Ok(receipt) => {
            let new = receipt.replacement.as_deref();
            tracing::warn!(peer, old = %connection, new, "connection recycled by administration");
            let body = json!({
                "connection": receipt.connection,
                "replacement": receipt.replacement,
                "assets": receipt.assets,
                "overlap_ms": receipt.overlap_ms,
                "downtime_ms": receipt.downtime_ms,
                "took_ms": receipt.took_ms,
            });
            Reply::json(StatusCode::OK, &body)
        }
        Err(error) => {
            tracing::warn!(peer, %connection, %error, "not recycled");
            let status = match error {
                RecycleError::Unknown(_) => StatusCode::NOT_FOUND,
                RecycleError::Empty(_) | RecycleError::UnderWay(_) => StatusCode::CONFLICT,
                // It serves on; another try may succeed.
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            call.error(status, &error.to_string())
        }
    }
}

fn connection(text: &str) -> Option<ConnectionId> {
    let digits = text.strip_prefix("conn-")?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain).map(ConnectionId)
}

fn ask_for_book(registry: &AssetRegistry, resync: &ResyncQueue, call: &Call) -> Reply {
    let token = call.segment("id");
    let key = registry.interner().read().get(token).map(|info| info.key);
    let found = key.and_then(|key| Some((key, registry.status(key)?)));
    let (key, connection) = match found {
        Some((key, AssetStatus::Subscribed)) => (key, registry.connection_of(key)),
        Some((_, AssetStatus::Pending)) => {
            let text = "the token waits for a connection, which brings its book";
            return call.error(StatusCode::CONFLICT, text);
        }
        Some((_, AssetStatus::Expired)) => {
            let text = "the token's market has ended, and its last book is kept as it is";
            return call.error(StatusCode::CONFLICT, text);
        }
        None => {
            let text = "there is no such token; /markets of the public server lists them";
            return call.error(StatusCode::NOT_FOUND, text);
        }
    };
    let connection = connection.map(|connection| connection.to_string());
    let peer = peer(call);
    let resync = match resync.ask(key, StaleReason::Resubscribing) {
        Asked::Queued => "queued",
        Asked::Waiting => "already_waiting",
    };
    tracing::warn!(
        peer,
        token,
        connection,
        resync,
        "resync asked for by administration"
    );
    let body = json!({ "token": token, "connection": connection, "resync": resync });
    Reply::json(StatusCode::ACCEPTED, &body)
}

/// The longest that anything takes which is asked for here: the replacement of a connection,
/// or a change of the selection that waits for the venue's listing.
fn longest(config: &Config) -> Duration {
    config.recycler.deadline.max(LISTING_PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_waited_for_as_long_as_what_they_are_about_takes() {
        let mut config = Config::default();
        for (seconds, longest_seconds) in [(1, 30), (90, 90)] {
            config.recycler.deadline = Duration::from_secs(seconds);
            assert_eq!(longest(&config), Duration::from_secs(longest_seconds));
        }
    }

    #[test]
    fn connections_are_named_as_they_are_shown() {
        assert_eq!(connection("conn-7"), Some(ConnectionId(7)));
        assert_eq!(
            connection(&ConnectionId(0).to_string()),
            Some(ConnectionId(0))
        );
        for odd in [
            "",
            "7",
            "conn-",
            "conn-+7",
            "conn--1",
            "conn-4294967296",
            "CONN-7",
        ] {
            assert_eq!(connection(odd), None, "{odd}");
        }
    }
}
