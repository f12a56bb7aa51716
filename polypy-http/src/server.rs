//! The server as a component: it listens between `start` and `stop`.
//!
//! It has one task, which owns the others: dropping the server, or a `stop`
//! that is under way, ends them all. Answers are made by `responder`, the life
//! of connections is in `accept` and `connection`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use polypy_core::metrics::{Entry, Sheet, Unit, count};
use polypy_core::{
    BoxFuture, Clock, Component, ComponentError, ComponentState, Lifecycle, StatsSource,
};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::accept::{Acceptor, Drain};
use crate::builder::HttpServerBuilder;
use crate::config::HttpConfig;
use crate::error::HttpError;
use crate::responder::Shared;
use crate::socket::{Listener, Listening};
use crate::sources::Sources;

/// Name of the component, unless it is a bare one.
pub(crate) const NAME: &str = "http";
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// Serves [`Sources`] over HTTP/1. See the crate for what it answers.
#[derive(Debug)]
pub struct HttpServer {
    name: &'static str,
    config: HttpConfig,
    /// Given by the program, beside the server's own.
    listeners: Vec<Listener>,
    shared: Arc<Shared>,
    life: Lifecycle<Running>,
}

#[derive(Debug)]
struct Running {
    /// Of the TCP socket, if there is one.
    address: Option<SocketAddr>,
    /// All of them, for people.
    addresses: String,
    /// True stops the accepting task and with it all connections.
    stop: watch::Sender<bool>,
    /// The accepting task, alone in its set. Dropping the set ends it.
    accepting: JoinSet<Drain>,
    handle: AbortHandle,
}

impl HttpServer {
    /// A server of these sources and nothing else. It does not listen yet.
    pub fn new(config: HttpConfig, sources: Sources) -> Self {
        Self::builder(config, sources).build()
    }

    /// A server that is to have routes, assets or a name of its own.
    pub fn builder(config: HttpConfig, sources: Sources) -> HttpServerBuilder {
        HttpServerBuilder::new(config, sources)
    }

    /// A server of the program's own routes alone, beside `/` and `/version`; `name` is the
    /// component's.
    pub fn bare(
        name: &'static str,
        config: HttpConfig,
        clock: Arc<dyn Clock>,
    ) -> HttpServerBuilder {
        HttpServerBuilder::bare(name, config, clock)
    }

    pub(crate) fn of(
        name: &'static str,
        config: HttpConfig,
        shared: Shared,
        listeners: Vec<Listener>,
    ) -> Self {
        Self {
            name,
            config,
            listeners,
            shared: Arc::new(shared),
            life: Lifecycle::failing_when(|running: &Running| running.handle.is_finished()),
        }
    }

    /// The settings it was made with.
    pub fn config(&self) -> &HttpConfig {
        &self.config
    }

    /// Where it listens; `None` unless it is running, and on TCP. With port 0 in the
    /// settings this is how to learn the port.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.life.read(|running| running.address).flatten()
    }

    /// Where it listens, for people.
    fn addresses(&self) -> Option<String> {
        self.life.read(|running| running.addresses.clone())
    }

    /// Closes each connection after its next answer, and goes on serving: clients that
    /// keep one open ask for another, which a load balancer may lead elsewhere. A stop
    /// is to follow.
    pub fn send_clients_away(&self) {
        self.shared.leaving.store(true, Ordering::Relaxed);
    }

    /// Listens. Nothing in here waits, so there is no half-started state.
    fn listen(&self) -> Result<(), HttpError> {
        let starting = match self.life.begin_start() {
            Ok(starting) => starting,
            Err(state) => {
                let state = state.name();
                tracing::warn!(component = self.name, state, "start while not stopped");
                return Ok(());
            }
        };
        self.shared.leaving.store(false, Ordering::Relaxed);
        let listening = self.open()?;
        let addresses: Vec<_> = listening.iter().map(Listening::address).collect();
        let addresses = addresses.join(", ");
        let address = listening.iter().find_map(|one| match one {
            Listening::Tcp(listener) => listener.local_addr().ok(),
            Listening::Unix(..) => None,
        });
        let (stop, stopping) = watch::channel(false);
        let acceptor = Acceptor::new(listening, &self.config, Arc::clone(&self.shared), stopping);
        let mut accepting = JoinSet::new();
        let handle = accepting.spawn(acceptor.run());
        starting.running(Running {
            address,
            addresses: addresses.clone(),
            stop,
            accepting,
            handle,
        });
        tracing::info!(
            server = self.name,
            address = addresses,
            "http server listening"
        );
        Ok(())
    }

    /// Every socket to listen on.
    fn open(&self) -> Result<Vec<Listening>, HttpError> {
        let mut listening = Vec::new();
        if self.config.tcp {
            let address = self.config.address();
            let listener = bind(address, self.config.send_buffer)
                .map_err(|source| HttpError::bind(address, source))?;
            listening.push(Listening::Tcp(listener));
        }
        for listener in &self.listeners {
            let given = listener.listening();
            listening.push(given.map_err(|source| HttpError::Given { source })?);
        }
        if listening.is_empty() {
            return Err(HttpError::Nowhere);
        }
        Ok(listening)
    }

    async fn drain(&self) {
        // Also when this future is dropped half-way: then `running` is too.
        let (_stopping, mut running) = match self.life.begin_stop() {
            Ok(begun) => begun,
            Err(state) => {
                let state = state.name();
                tracing::warn!(component = self.name, state, "stop while not running");
                return;
            }
        };
        running.stop.send_replace(true);
        while let Some(ended) = running.accepting.join_next().await {
            match ended {
                Ok(drain) if drain.aborted == 0 && drain.unfinished == 0 => tracing::info!(
                    server = self.name,
                    address = %running.addresses,
                    idle = drain.idle,
                    drained = drain.drained,
                    aborted = drain.aborted,
                    "http server stopped"
                ),
                Ok(drain) => tracing::warn!(
                    address = %running.addresses,
                    idle = drain.idle,
                    drained = drain.drained,
                    aborted = drain.aborted,
                    unfinished = drain.unfinished,
                    deadline_ms = self.config.drain_deadline.as_secs_f64() * 1e3,
                    "http server stopped, not everything ended in time"
                ),
                Err(error) => tracing::error!(%error, "http accept task had failed"),
            }
        }
    }
}

/// A listening socket that may follow another one on the same port at once.
fn bind(address: SocketAddr, send_buffer: usize) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // Old connections in TIME_WAIT do not keep a restart waiting. On Windows
    // the option would let two servers share the port.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    // Inherited by what is accepted: the system would let it grow to megabytes for
    // each client that does not read.
    let send_buffer = u32::try_from(send_buffer).unwrap_or(u32::MAX);
    socket.set_send_buffer_size(send_buffer)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Component for HttpServer {
    fn name(&self) -> &'static str {
        self.name
    }

    fn start(&self) -> BoxFuture<'_, Result<(), ComponentError>> {
        Box::pin(async {
            self.listen()
                .map_err(|error| ComponentError::new(self.name, error))
        })
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.drain())
    }

    fn state(&self) -> ComponentState {
        self.life.state()
    }
}

/// What a server is doing now.
#[derive(Debug)]
struct Now {
    state: ComponentState,
    address: Option<String>,
    ordinary: u64,
    streams: u64,
    answer_memory_bytes: u64,
}

type Doing = Entry<Now>;

static STATE: &[Doing] = &[
    Doing::shown("state", "Where it stands in its life.", |now| {
        now.state.name().into()
    }),
    Doing::shown(
        "address",
        "Where it listens; null while it does not.",
        |now| now.address.as_deref().into(),
    ),
];
static OPEN: &[Doing] = &[
    Doing::gauge(
        "active_connections",
        "polypy_http_connections",
        "Connections open now, streams apart.",
        |now| now.ordinary.into(),
    )
    .label("kind=\"ordinary\"")
    .family(CONNECTIONS),
    Doing::gauge(
        "active_streams",
        "polypy_http_connections",
        "Streams open now.",
        |now| now.streams.into(),
    )
    .label("kind=\"stream\"")
    .family(CONNECTIONS),
    Doing::gauge(
        "answer_memory_bytes",
        "polypy_http_answer_memory_bytes",
        "Memory of large answers that are being sent or kept.",
        |now| now.answer_memory_bytes.into(),
    )
    .unit(Unit::Bytes),
];
const CONNECTIONS: &str = "Connections open now, by kind.";

impl StatsSource for HttpServer {
    fn show(&self, sheet: &mut dyn Sheet) {
        let (ordinary, streams) = self.shared.places.taken();
        let now = Now {
            state: self.state(),
            address: self.addresses(),
            ordinary: count(ordinary),
            streams: count(streams),
            answer_memory_bytes: count(self.shared.memory.taken()),
        };
        sheet.table(STATE, &now);
        self.shared.counters.show(sheet);
        sheet.table(OPEN, &now);
    }
}
