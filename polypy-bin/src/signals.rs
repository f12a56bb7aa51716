//! The signals that end the program, caught from before the start.

use std::io;

use polypy::exit::Exit;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

/// A request from outside to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// SIGINT, as Ctrl-C sends it.
    Interrupt,
    /// SIGTERM, as supervisors send it.
    Terminate,
    /// SIGHUP, as a terminal that closes sends it, or a person who has changed a file.
    HangUp,
}

impl Request {
    fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
            Self::HangUp => "SIGHUP",
        }
    }

    /// The code of a program that this signal ended.
    fn exit(self) -> Exit {
        match self {
            Self::Interrupt => Exit::Interrupted,
            Self::Terminate | Self::HangUp => Exit::Terminated,
        }
    }
}

/// Installed handlers.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Installs the handlers; signals from here on are not lost.
    pub(crate) fn install() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Request {
        // The streams never end: a `None` would mean that no signal can come.
        tokio::select! {
            Some(()) = self.interrupt.recv() => Request::Interrupt,
            Some(()) = self.terminate.recv() => Request::Terminate,
            Some(()) = self.hang_up.recv() => Request::HangUp,
            else => std::future::pending().await,
        }
    }

    /// Passes the first signal to end on to `drain`, and resolves at the second one. A
    /// hang-up before is passed on to `reload`, if there is something to read again.
    pub(crate) async fn watch(
        mut self,
        drain: oneshot::Sender<()>,
        reload: Option<mpsc::Sender<()>>,
    ) -> Exit {
        let first = loop {
            let request = self.next().await;
            match &reload {
                Some(reload) if request == Request::HangUp => {
                    // One that waits already reads all there is.
                    let waits = reload.try_send(()).is_err();
                    tracing::debug!(waits, "reading again");
                }
                Some(_) | None => break request,
            }
        };
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
