//! The two signals that end the program, caught from before the start.

use std::io;

use polypy::exit::Exit;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// A request from outside to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// SIGINT, as Ctrl-C sends it.
    Interrupt,
    /// SIGTERM, as supervisors send it.
    Terminate,
}

impl Request {
    fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }

    /// The code of a program that this signal ended.
    fn exit(self) -> Exit {
        match self {
            Self::Interrupt => Exit::Interrupted,
            Self::Terminate => Exit::Terminated,
        }
    }
}

/// Installed handlers.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Installs both handlers; signals from here on are not lost.
    pub(crate) fn install() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Request {
        // The streams never end: a `None` would mean that no signal can come.
        tokio::select! {
            Some(()) = self.interrupt.recv() => Request::Interrupt,
            Some(()) = self.terminate.recv() => Request::Terminate,
            else => std::future::pending().await,
        }
    }

    /// Passes the first signal on to `drain`, and resolves at the second one.
    pub(crate) async fn watch(mut self, drain: oneshot::Sender<()>) -> Exit {
        let first = self.next().await;
        tracing::info!(
            signal = first.name(),
            "ending, a second signal ends at once"
        );
        if drain.send(()).is_err() {
            tracing::debug!("the program had ended already");
        }
        let second = self.next().await;
        tracing::warn!(signal = second.name(), "ending at once");
        second.exit()
    }
}
