//! Takes connections until told to stop, then lets them end.
//!
//! The task that runs this owns every connection's task: when it is dropped,
//! they are. A connection gets one of the ordinary [`Places`] or, failing that,
//! one of the [`Reserve`]; none is closed without having been heard or told why,
//! and none waits in the system's queue, where a probe would time out and not
//! know why. Accept errors are counted and followed by a pause: out of
//! descriptors, a loop without one would take a whole core.
//!
//! [`Places`]: crate::places::Places

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::config::HttpConfig;
use crate::connection::{Ended, Protocol, stopped};
use crate::counters::count;
use crate::peer::Peer;
use crate::places::Refused;
use crate::reserve::{Reserve, ReservedId};
use crate::responder::Shared;
use crate::socket::{Listening, Socket, accept};

/// Pause after an accept error that is about us and not about one connection.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two looks for a reserved place while all are being answered.
const ROOM_LOOK: Duration = Duration::from_millis(1);
/// Between two log lines that say that connections are refused.
const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// What was left when the server stopped, and what became of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Drain {
    /// Closed at once, nothing in flight.
    pub(crate) idle: u64,
    /// Requests in flight that were answered.
    pub(crate) drained: u64,
    /// Cut off: at the deadline, or streams that were not read.
    pub(crate) aborted: u64,
    /// Answers still being computed at the deadline, on threads that cannot be ended.
    pub(crate) unfinished: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listening: Vec<Listening>,
    /// Whose turn it is to be asked first.
    turn: usize,
    shared: Arc<Shared>,
    protocol: Protocol,
    reserve: Reserve,
    stopping: watch::Receiver<bool>,
    drain_deadline: Duration,
    connections: JoinSet<(Ended, Option<ReservedId>)>,
    /// When refusals were last logged.
    refusal_logged: Option<Instant>,
}

impl Acceptor {
    pub(crate) fn new(
        listening: Vec<Listening>,
        config: &HttpConfig,
        shared: Arc<Shared>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            listening,
            turn: 0,
            protocol: Protocol::new(config),
            shared,
            reserve: Reserve::new(config.reserved_connections),
            stopping,
            drain_deadline: config.drain_deadline,
            connections: JoinSet::new(),
            refusal_logged: None,
        }
    }

    /// Accepts until stopped, then drains.
    pub(crate) async fn run(mut self) -> Drain {
        let mut resume: Option<Instant> = None;
        // One that waits for a reserved place. Nobody is accepted meanwhile, for
        // the moment that it takes another to leave.
        let mut waiting: Option<(Socket, Peer, Refused)> = None;
        loop {
            if let Some((stream, peer, why)) = waiting.take() {
                if self.reserve.has_room() {
                    self.serve_reserved(stream, peer, why);
                } else {
                    self.reserve.make_room();
                    waiting = Some((stream, peer, why));
                }
            }
            tokio::select! {
                biased;
                () = stopped(&mut self.stopping) => break,
                // `None` means that no connection is left, which is no event.
                Some(ended) = self.connections.join_next() => {
                    self.ended(ended);
                }
                // All were being answered a moment ago; one may give way by now.
                () = sleep(ROOM_LOOK), if waiting.is_some() => {}
                accepted = accept_after(&self.listening, &mut self.turn, resume), if waiting.is_none() => {
                    match accepted {
                        Ok((stream, peer)) => {
                            resume = None;
                            waiting = self.admit(stream, peer);
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
                    }
                }
            }
        }
        drop(waiting);
        self.drain().await
    }

    /// Gives a connection a place and a task, or gives it back.
    fn admit(&mut self, stream: Socket, peer: Peer) -> Option<(Socket, Peer, Refused)> {
        let counters = &self.shared.counters;
        count(&counters.accepted);
        match self.shared.places.take(peer.group()) {
            Ok(place) => {
                let shared = Arc::clone(&self.shared);
                let protocol = self.protocol.clone();
                let stopping = self.stopping.clone();
                self.connections.spawn(async move {
                    let serve = protocol.serve(stream, peer, place, shared, stopping);
                    (serve.await, None)
                });
                None
            }
            Err(why) => {
                self.log_refusal(why, peer);
                Some((stream, peer, why))
            }
        }
    }

    /// Gives a connection a reserved place and a task.
    fn serve_reserved(&mut self, stream: Socket, peer: Peer, why: Refused) {
        let (id, notice) = self.reserve.enter(peer.group());
        let shared = Arc::clone(&self.shared);
        let protocol = self.protocol.clone();
        let stopping = self.stopping.clone();
        self.connections.spawn(async move {
            let serve = protocol.serve_reserved(stream, peer, why, notice, shared, stopping);
            (serve.await, Some(id))
        });
    }

    fn log_refusal(&mut self, why: Refused, peer: Peer) {
        let counters = &self.shared.counters;
        count(&counters.rejected);
        let due = self
            .refusal_logged
            .is_none_or(|last| last.elapsed() >= REFUSAL_LOG_INTERVAL);
        if !due {
            return;
        }
        self.refusal_logged = Some(Instant::now());
        let rejected = counters.rejected.get();
        match why {
            Refused::Full => tracing::warn!(
                rejected,
                "http.max_connections are open, answering probes alone from here on"
            ),
            Refused::Peer => tracing::warn!(
                rejected,
                peer = %peer.group(),
                "http.max_connections_per_peer are open from one address, refusing more of it"
            ),
        }
    }

    fn ended(&mut self, ended: Result<(Ended, Option<ReservedId>), JoinError>) {
        if let Ok((_, Some(id))) = &ended {
            self.reserve.left(*id);
        }
        tally(ended, &mut Drain::default());
    }

    /// Frees the port, then waits for what is in flight.
    async fn drain(self) -> Drain {
        let Self {
            listening,
            shared,
            mut connections,
            drain_deadline,
            ..
        } = self;
        drop(listening);
        let deadline = Instant::now() + drain_deadline;
        let mut drain = Drain::default();
        loop {
            match timeout_at(deadline, connections.join_next()).await {
                Ok(Some(ended)) => tally(ended, &mut drain),
                Ok(None) => break,
                Err(_elapsed) => {
                    connections.abort_all();
                    while let Some(ended) = connections.join_next().await {
                        tally(ended, &mut drain);
                    }
                    break;
                }
            }
        }
        for queue in shared.queues.iter().flatten() {
            if timeout_at(deadline, queue.drained()).await.is_err() {
                drain.unfinished += u64::try_from(queue.computing()).unwrap_or(u64::MAX);
            }
        }
        let counters = &shared.counters;
        counters.drained.add_shared(drain.drained);
        counters.aborted.add_shared(drain.aborted);
        drain
    }
}

/// Counts how a connection's task ended.
fn tally(ended: Result<(Ended, Option<ReservedId>), JoinError>, drain: &mut Drain) {
    match ended {
        Ok((Ended::Closed, _)) => {}
        Ok((Ended::ClosedIdle, _)) => drain.idle += 1,
        Ok((Ended::Drained, _)) => drain.drained += 1,
        Ok((Ended::Cut, _)) => drain.aborted += 1,
        Err(error) if error.is_cancelled() => drain.aborted += 1,
        Err(error) => tracing::error!(%error, "http connection task panicked"),
    }
}

async fn accept_after(
    listening: &[Listening],
    turn: &mut usize,
    resume: Option<Instant>,
) -> io::Result<(Socket, Peer)> {
    if let Some(resume) = resume {
        sleep_until(resume).await;
    }
    accept(listening, turn).await
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
