//! Puts a program together, and refuses values that cannot work.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use polypy_core::Clock;
use polypy_http::{Access, Listener, Route, Tls};
use polypy_net::dial::{Dial, DialConfig, Proxy, SystemDialer, certificates};
use polypy_net::lifecycle::SocketBudget;
use tokio::runtime::Handle;

use super::PolyPy;
use super::admin::Administration;
use super::error::BuildError;
use super::parts::Parts;
use super::recorders::{folder_of_incidents, folder_of_recordings};
use super::sockets::{SharedDialer, parts_of};
use crate::clock::SystemClock;
use crate::config::{self, Config, HttpSection, Loaded, VenueSection, overlay_file};
use crate::file;
use crate::limits::Shares;
use crate::logging::LogLevel;
use crate::secrets::{self, CertificateFiles};

/// Settings of a [`PolyPy`] that is to be built. Starts from the defaults; what
/// is called later counts.
#[must_use]
#[derive(Clone)]
pub struct PolyPyBuilder {
    config: Config,
    /// Where its values were written, if it was loaded.
    loaded: Option<Loaded>,
    /// Values that were given as text or numbers and do not read.
    mistakes: Vec<(&'static str, String)>,
    clock: Arc<dyn Clock>,
    dialer: Option<Arc<dyn Dial>>,
    shares: Option<Shares>,
    listeners: Vec<Listener>,
    routes: Vec<Route>,
    log_level: Option<LogLevel>,
    clients: Option<Handle>,
    reads_every_file: bool,
}

impl Default for PolyPyBuilder {
    fn default() -> Self {
        Self {
            config: Config::default(),
            loaded: None,
            mistakes: Vec::new(),
            clock: Arc::new(SystemClock),
            dialer: None,
            shares: None,
            listeners: Vec::new(),
            routes: Vec::new(),
            log_level: None,
            clients: None,
            reads_every_file: false,
        }
    }
}

impl fmt::Debug for PolyPyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolyPyBuilder")
            .field("config", &self.config)
            .field("mistakes", &self.mistakes)
            .finish_non_exhaustive()
    }
}

impl PolyPyBuilder {
    /// Takes over a whole configuration.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self.loaded = None;
        self
    }

    /// Takes over a whole configuration with its layers: what is followed can be told from
    /// where it is set, and be read again.
    pub fn loaded(mut self, loaded: Loaded) -> Self {
        self.config = loaded.config.clone();
        self.loaded = Some(loaded);
        self
    }

    /// Threads that keep the books.
    pub fn num_workers(mut self, count: usize) -> Self {
        self.read("workers.count", &count.to_string());
        self
    }

    /// Whether the HTTP server runs; it does not by default.
    pub fn enable_http(mut self, enabled: bool) -> Self {
        self.config.http.enabled = enabled;
        self
    }

    /// Port of the HTTP server; 0 lets the system choose.
    pub fn http_port(mut self, port: u16) -> Self {
        self.config.http.port = port;
        self
    }

    /// Where the venue is: Gamma, CLOB and the market channel.
    pub fn venue(mut self, gamma_url: &str, clob_url: &str, ws_url: &str) -> Self {
        self.read("venue.gamma_url", gamma_url);
        self.read("venue.clob_url", clob_url);
        self.read("venue.ws_url", ws_url);
        self
    }

    /// The clock that stamps answers and drives expiry; the machine's by default.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// What opens connections to the venue; real sockets and TLS by default.
    pub fn dialer(mut self, dialer: Arc<dyn Dial>) -> Self {
        self.dialer = Some(dialer);
        self
    }

    /// Keeps every part within its share of the system: places for HTTP shrink to
    /// theirs, and the venue gets no more sockets than its own.
    pub fn shares(mut self, shares: Shares) -> Self {
        self.shares = Some(shares);
        self
    }

    /// Sockets for the HTTP server that were opened elsewhere, such as by a supervisor.
    /// They take the place of its own address and port.
    pub fn listeners(mut self, listeners: Vec<Listener>) -> Self {
        self.listeners = listeners;
        self
    }

    /// Routes that the HTTP server has beside its own.
    pub fn routes(mut self, routes: impl IntoIterator<Item = Route>) -> Self {
        self.routes.extend(routes);
        self
    }

    /// The log, for the administration listener to change. Without it the log's level is
    /// not served there.
    pub fn log_level(mut self, log_level: LogLevel) -> Self {
        self.log_level = Some(log_level);
        self
    }

    /// Serves HTTP on another runtime than that of the start, so that clients have threads of
    /// their own. It has to outlive the stop.
    pub fn serve_clients_on(mut self, runtime: Handle) -> Self {
        self.clients = Some(runtime);
        self
    }

    /// Reads the files of a token and of a certificate also where the server that they
    /// are for is off: for who asks whether a configuration is right, and turns it on later.
    pub fn read_every_file(mut self) -> Self {
        self.reads_every_file = true;
        self
    }

    /// Puts the parts together. Nothing runs yet.
    ///
    /// # Errors
    /// [`BuildError`] for the first value that cannot work.
    pub fn build(mut self) -> Result<PolyPy, BuildError> {
        let contradictions = config::contradictions(&self.config).into_iter();
        let contradictions = contradictions.map(|found| (found.key, found.reason));
        let mut mistakes = self.mistakes.into_iter().chain(contradictions);
        if let Some((key, reason)) = mistakes.next() {
            return Err(BuildError::Value { key, reason });
        }
        let http = &self.config.http;
        if http.enabled && !http.tcp && http.unix_socket.is_none() && self.listeners.is_empty() {
            return Err(nowhere_to_listen());
        }
        if self.listeners.is_empty() {
            one_address(&self.config)?;
        }
        let loaded = match self.loaded {
            Some(loaded) => loaded,
            None => of_program(&self.config)?,
        };
        self.config.markets = loaded.config.markets.clone();
        if let Some(path) = &self.config.markets.overlay_file {
            overlay_file::check(path).map_err(|reason| BuildError::Value {
                key: "markets.overlay_file",
                reason,
            })?;
        }
        if let Some(error) = absent(&self.config, &loaded) {
            return Err(error);
        }
        folder_of_recordings(&self.config.record).map_err(|reason| BuildError::Value {
            key: "record.dir",
            reason,
        })?;
        if let Err(reason) = folder_of_incidents(&self.config) {
            if loaded.is_named("flight_recorder.dir") {
                let key = "flight_recorder.dir";
                return Err(BuildError::Value { key, reason });
            }
            tracing::warn!(
                reason,
                "no file will be made of incidents: name a folder in flight_recorder.dir"
            );
            self.config.flight_recorder.memory.0 = 0;
        }
        let dialer = match self.dialer {
            Some(dialer) => dialer,
            None => Arc::new(system_dialer(&self.config.venue)?),
        };
        let dialer = match self.shares {
            Some(shares) => within(shares, dialer, &mut self.config),
            None => dialer,
        };
        let sockets = self.shares.and_then(|shares| budget(shares, &self.config));
        let selection = loaded.selection();
        let parts = Parts::new(&self.config, selection, sockets, &self.clock, &dialer)?;
        let every = self.reads_every_file;
        let access = access(&self.config.http, every)?;
        let tls = tls(&self.config, every)?;
        let admin = Administration::new(&self.config.admin, self.log_level, every)?;
        if let (Some(access), (Some(other), Some(_))) = (&access, admin.token())
            && access.has_token_of(other)
        {
            return Err(BuildError::Value {
                key: "admin.token_file",
                reason: secrets::SAME_TOKEN.to_owned(),
            });
        }
        let mut app = PolyPy::new(self.config, loaded, parts, self.clock, admin);
        app.listeners = self.listeners;
        app.routes = self.routes;
        app.clients = self.clients;
        app.access = access;
        app.tls = tls;
        Ok(app)
    }

    /// Sets a key as the other layers do, with the same checks.
    fn read(&mut self, name: &'static str, text: &str) {
        let result = config::key(name).map(|key| key.set(&mut self.config, text));
        self.mistakes.retain(|(known, _)| *known != name);
        if let Some(Err(reason)) = result {
            self.mistakes.push((name, reason));
        }
    }
}

/// What a Rust program has set, with the overlay that it kept.
fn of_program(config: &Config) -> Result<Loaded, BuildError> {
    let loaded = Loaded::of_program(config.clone()).with_overlay_file();
    loaded.map_err(|error| BuildError::Value {
        key: "markets.overlay_file",
        reason: error.to_string(),
    })
}

/// What somebody has asked for and this build does not have.
fn absent(config: &Config, loaded: &Loaded) -> Option<BuildError> {
    let flight = config.flight_recorder.dir.is_some() && loaded.is_named("flight_recorder.dir");
    let keys = [
        ("record.dir", config.record.dir.is_some()),
        ("flight_recorder.dir", flight),
    ];
    let asked = keys.into_iter().find(|(_, is_asked)| *is_asked);
    let (key, _) = asked.filter(|_| !cfg!(feature = "archive"))?;
    let reason = "this build records nothing: build it with the feature archive".to_owned();
    Some(BuildError::Value { key, reason })
}

/// A server that is wanted and could be reached by nobody.
fn nowhere_to_listen() -> BuildError {
    BuildError::Value {
        key: "http.tcp",
        reason: "leaves the HTTP server nowhere to listen: name a file in http.unix_socket, or \
                 leave it true (sockets that systemd hands over take its place anyway)"
            .to_owned(),
    }
}

/// Two servers cannot have one port. That of sockets handed over is their owner's choice.
fn one_address(config: &Config) -> Result<(), BuildError> {
    let (http, admin) = (&config.http, &config.admin);
    let Some(listen) = admin.listen.filter(|_| http.enabled && http.tcp) else {
        return Ok(());
    };
    let (ours, theirs) = (http.host, listen.ip());
    let same_host = ours == theirs || ours.is_unspecified() || theirs.is_unspecified();
    if same_host && http.port != 0 && http.port == listen.port() {
        return Err(BuildError::Value {
            key: "admin.listen",
            reason: format!(
                "{listen} is the HTTP server's (http.host {ours}, http.port {}): choose another port",
                http.port
            ),
        });
    }
    Ok(())
}

/// The way to the venue that the configuration describes.
pub(super) fn system_dialer(venue: &VenueSection) -> Result<SystemDialer, BuildError> {
    let value = |key, reason| BuildError::Value { key, reason };
    let urls = [
        ("venue.gamma_url", venue.gamma_url.as_str()),
        ("venue.clob_url", venue.clob_url.as_str()),
        ("venue.ws_url", venue.ws_url.as_str()),
    ];
    let is_tls = |url: &str| url.starts_with("https:") || url.starts_with("wss:");
    let secure = urls.into_iter().find(|(_, url)| is_tls(url));
    if let Some((key, url)) = secure.filter(|_| !cfg!(feature = "tls")) {
        let reason =
            format!("this build speaks no TLS, as {url} asks for: build it with the feature tls");
        return Err(value(key, reason));
    }
    let proxy = venue.proxy.0.as_deref();
    let proxy = proxy.map(|url| Proxy::new(url, &venue.no_proxy.0));
    let proxy = proxy
        .transpose()
        .map_err(|reason| value("venue.proxy", reason))?;
    let roots = match &venue.ca_file {
        Some(path) => {
            let text = file::read(path, file::CERTIFICATES).map_err(|error| error.to_string());
            let roots = text.and_then(|text| certificates(&text));
            roots
                .map_err(|reason| value("venue.ca_file", format!("{}: {reason}", path.display())))?
        }
        None => Vec::new(),
    };
    let config = DialConfig {
        proxy,
        ..DialConfig::default()
    };
    SystemDialer::with_roots(config, &roots).map_err(|error| BuildError::Tls(error.into()))
}

/// The guard of the HTTP server, if it is to have one. A token that is asked for and
/// cannot be had must not leave the server open.
fn access(http: &HttpSection, even_if_off: bool) -> Result<Option<Arc<Access>>, BuildError> {
    let Some(path) = http
        .token_file
        .as_deref()
        .filter(|_| http.enabled || even_if_off)
    else {
        return Ok(None);
    };
    let access = secrets::access(path);
    let access = access.map(|access| Arc::new(access.with_open_probes(http.open_probes)));
    access.map(Some).map_err(|error| BuildError::Value {
        key: "http.token_file",
        reason: error.to_string(),
    })
}

/// The servers' certificate, if they are to have one.
fn tls(config: &Config, even_if_off: bool) -> Result<Option<Arc<Tls>>, BuildError> {
    let wanted = even_if_off || config.http.enabled || config.admin.listen.is_some();
    let Some(files) = CertificateFiles::of(&config.http).filter(|_| wanted) else {
        return Ok(None);
    };
    files.open().map(Some).map_err(|error| BuildError::Value {
        key: if error.is_about_the_key() {
            "http.tls_key"
        } else {
            "http.tls_cert"
        },
        reason: error.to_string(),
    })
}

/// What markets may take of the venue's share: all of the market channel's part but what
/// connections need that are being replaced.
fn budget(shares: Shares, config: &Config) -> Option<SocketBudget> {
    let (channel, _rest) = parts_of(shares.venue?);
    let sockets = channel.saturating_sub(config.recycler.concurrency);
    let at_least_one = |number| NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN);
    Some(SocketBudget {
        // Of less than a connection for each copy nothing could be followed.
        sockets: at_least_one(sockets.max(config.pool.replicas)),
        tokens: at_least_one(config.pool.target),
        replicas: at_least_one(config.pool.replicas),
    })
}

/// Makes configuration and dialer follow the shares.
fn within(shares: Shares, dialer: Arc<dyn Dial>, config: &mut Config) -> Arc<dyn Dial> {
    let http = &mut config.http;
    if http.enabled {
        http.max_connections = http.max_connections.min(shares.http_connections);
        http.max_streams = http.max_streams.min(shares.http_streams);
        http.reserved_connections = http.reserved_connections.min(shares.http_reserved);
    }
    match shares.venue {
        Some(venue) => Arc::new(SharedDialer::new(dialer, venue)),
        None => dialer,
    }
}
