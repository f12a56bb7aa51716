//! Takes connections until told to stop, then lets them end.
//!
//! The task that runs this owns every connection's task: when it is dropped,
//! they are. Connections past the cap are told 503 by a few tasks of their own
//! (past those, closed without a word); they never wait unseen in the system's
//! queue, where a probe would time out and not know why. Accept errors are
//! counted and followed by a pause: out of descriptors, a loop without one
//! would take a whole core.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::StatusCode;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::budget::COMPUTING;
use crate::config::HttpConfig;
use crate::connection::{Ended, Protocol, refuse, stopped};
use crate::counters::count;
use crate::responder::Shared;

/// Pause after an accept error that is about us and not about one connection.
const PAUSE: Duration = Duration::from_millis(100);
/// Refusals written at once; each takes a second at most.
const REFUSALS: usize = 32;
/// Between two log lines that say so.
const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(60);
/// How long a client past the cap has to send its request before it is refused.
const REFUSAL_PATIENCE: Duration = Duration::from_millis(500);

/// What was left when the server stopped, and what became of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Drain {
    /// Closed at once, nothing in flight.
    pub(crate) idle: u64,
    /// Requests in flight that were answered.
    pub(crate) drained: u64,
    /// Cut off at the deadline.
    pub(crate) aborted: u64,
    /// Answers still being computed at the deadline, on threads that cannot be ended.
    pub(crate) unfinished: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listener: TcpListener,
    shared: Arc<Shared>,
    protocol: Protocol,
    slots: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
    drain_deadline: Duration,
    connections: JoinSet<Ended>,
    /// When refusals were last logged.
    refusal_logged: Option<Instant>,
}

impl Acceptor {
    pub(crate) fn new(
        listener: TcpListener,
        config: &HttpConfig,
        shared: Arc<Shared>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let slots = config.max_connections.min(Semaphore::MAX_PERMITS);
        Self {
            listener,
            protocol: Protocol::new(config),
            shared,
            slots: Arc::new(Semaphore::new(slots)),
            refusals: Arc::new(Semaphore::new(REFUSALS)),
            stopping,
            drain_deadline: config.drain_deadline,
            connections: JoinSet::new(),
            refusal_logged: None,
        }
    }

    /// Accepts until stopped, then drains.
    pub(crate) async fn run(mut self) -> Drain {
        let mut resume: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut self.stopping) => break,
                // `None` means that no connection is left, which is no event.
                Some(ended) = self.connections.join_next() => {
                    reap(ended, &mut Drain::default());
                }
                accepted = accept_after(&self.listener, resume) => match accepted {
                    Ok((stream, _peer)) => {
                        resume = None;
                        self.admit(stream);
                    }
                    Err(error) if is_about_one_connection(&error) => {
                        tracing::debug!(%error, "connection gone before it was accepted");
                    }
                    Err(error) => {
                        count(&self.shared.counters.accept_errors);
                        if resume.is_none() {
                            tracing::warn!(%error, "cannot accept http connections, trying on");
                        }
                        resume = Some(Instant::now() + PAUSE);
                    }
                },
            }
        }
        self.drain().await
    }

    /// Gives a connection a slot and a task, or refuses it.
    fn admit(&mut self, stream: TcpStream) {
        let counters = &self.shared.counters;
        count(&counters.accepted);
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "nodelay not set");
        }
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            let shared = Arc::clone(&self.shared);
            let protocol = self.protocol.clone();
            let stopping = self.stopping.clone();
            self.connections.spawn(async move {
                let active = Active::new(&shared);
                let ended = protocol.serve(stream, Arc::clone(&shared), stopping).await;
                drop(active);
                drop(slot);
                ended
            });
            return;
        }
        count(&counters.rejected);
        if self
            .refusal_logged
            .is_none_or(|last| last.elapsed() >= REFUSAL_LOG_INTERVAL)
        {
            self.refusal_logged = Some(Instant::now());
            tracing::warn!(
                rejected = counters.rejected.load(Ordering::Relaxed),
                "http connections at their cap, refusing more"
            );
        }
        if let Ok(refusal) = Arc::clone(&self.refusals).try_acquire_owned() {
            self.connections.spawn(async move {
                refuse_at_cap(stream).await;
                drop(refusal);
                Ended::Closed
            });
        }
    }

    /// Frees the port, then waits for what is in flight.
    async fn drain(self) -> Drain {
        let Self {
            listener,
            shared,
            mut connections,
            drain_deadline,
            ..
        } = self;
        drop(listener);
        let deadline = Instant::now() + drain_deadline;
        let mut drain = Drain::default();
        loop {
            match timeout_at(deadline, connections.join_next()).await {
                Ok(Some(ended)) => reap(ended, &mut drain),
                Ok(None) => break,
                Err(_elapsed) => {
                    connections.abort_all();
                    while let Some(ended) = connections.join_next().await {
                        reap(ended, &mut drain);
                    }
                    break;
                }
            }
        }
        let all = shared.budget.computing.acquire_many(COMPUTING);
        if timeout_at(deadline, all).await.is_err() {
            let free = shared.budget.computing.available_permits();
            let free = u64::try_from(free).unwrap_or(u64::MAX);
            drain.unfinished = u64::from(COMPUTING).saturating_sub(free);
        }
        let counters = &shared.counters;
        counters.drained.fetch_add(drain.drained, Ordering::Relaxed);
        counters.aborted.fetch_add(drain.aborted, Ordering::Relaxed);
        drain
    }
}

/// Counts how a connection's task ended.
fn reap(ended: Result<Ended, JoinError>, drain: &mut Drain) {
    match ended {
        Ok(Ended::Closed) => {}
        Ok(Ended::ClosedIdle) => drain.idle += 1,
        Ok(Ended::Drained) => drain.drained += 1,
        Err(error) if error.is_cancelled() => drain.aborted += 1,
        Err(error) => tracing::error!(%error, "http connection task panicked"),
    }
}

async fn accept_after(
    listener: &TcpListener,
    resume: Option<Instant>,
) -> io::Result<(TcpStream, std::net::SocketAddr)> {
    if let Some(resume) = resume {
        sleep_until(resume).await;
    }
    listener.accept().await
}

/// The client was gone before it was accepted; the next one may be fine.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// 503 after the first bytes of the request: before them, some clients would
/// take an answer for an error of the connection.
async fn refuse_at_cap(mut stream: TcpStream) {
    let mut scratch = [0; 1024];
    match timeout(REFUSAL_PATIENCE, stream.read(&mut scratch)).await {
        Ok(Ok(0)) => return,
        Ok(Ok(_)) | Err(_) => {}
        Ok(Err(error)) => {
            tracing::debug!(%error, "client past the cap left");
            return;
        }
    }
    let text = "too many connections";
    refuse(&mut stream, StatusCode::SERVICE_UNAVAILABLE, text).await;
}

/// Keeps the gauge of active connections right however the task ends.
#[derive(Debug)]
struct Active(Arc<Shared>);

impl Active {
    fn new(shared: &Arc<Shared>) -> Self {
        count(&shared.counters.active);
        Self(Arc::clone(shared))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.counters.active.fetch_sub(1, Ordering::Relaxed);
    }
}
