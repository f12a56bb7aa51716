//! The signals that end the program, caught from before the start.

use std::io::{self, IsTerminal};

use polypy::exit::Exit;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::oneshot;

/// A request from outside to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// SIGINT, as Ctrl-C sends it.
    Interrupt,
    /// SIGTERM, as supervisors send it.
    Terminate,
    /// SIGHUP, as a terminal sends it that closes.
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

/// What SIGHUP means to this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HangUp {
    /// Nothing: it was ignored already when the program started, as `nohup` has it.
    Ignored,
    /// The terminal is gone.
    Ends,
    /// A person or a supervisor has changed a file.
    ReadsAgain,
}

impl HangUp {
    fn of_process() -> Self {
        if was_hang_up_ignored() {
            Self::Ignored
        } else if io::stdin().is_terminal() || io::stderr().is_terminal() {
            Self::Ends
        } else {
            Self::ReadsAgain
        }
    }
}

/// Whether the parent has had it ignored. To be asked before a handler is installed.
fn was_hang_up_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores_hang_up(&status)
}

/// Reads it from what Linux says of a process. Elsewhere nothing tells.
fn ignores_hang_up(status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Signal 1 is the lowest bit.
    ignored.is_some_and(|mask| mask & 1 == 1)
}

/// Installed handlers.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` where it is ignored.
    hang_up: Option<Signal>,
    /// What it is to do.
    meaning: HangUp,
}

impl Signals {
    /// Installs the handlers; signals from here on are not lost.
    pub(crate) fn install() -> io::Result<Self> {
        let meaning = HangUp::of_process();
        let hang_up = match meaning {
            HangUp::Ignored => None,
            HangUp::Ends | HangUp::ReadsAgain => Some(signal(SignalKind::hangup())?),
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up,
            meaning,
        })
    }

    async fn next(&mut self) -> Request {
        let hang_up = async {
            match &mut self.hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => std::future::pending().await,
            }
        };
        // The streams never end: a `None` would mean that no signal can come.
        tokio::select! {
            Some(()) = self.interrupt.recv() => Request::Interrupt,
            Some(()) = self.terminate.recv() => Request::Terminate,
            Some(()) = hang_up => Request::HangUp,
            else => std::future::pending().await,
        }
    }

    /// The next one that is to end the program. Others are passed on to `reload`.
    async fn next_end(&mut self, reload: &mpsc::Sender<()>) -> Request {
        loop {
            let request = self.next().await;
            if request != Request::HangUp || self.meaning == HangUp::Ends {
                return request;
            }
            match reload.try_send(()) {
                // One that waits already reads all there is.
                Ok(()) | Err(TrySendError::Full(())) => {
                    tracing::info!("SIGHUP, reading again");
                }
                Err(TrySendError::Closed(())) => {
                    tracing::info!("SIGHUP, nothing to re-read: the exchange has no such file");
                }
            }
        }
    }

    /// Passes the first signal to end on to `drain`, and resolves at the second one. What
    /// asks for files to be read again goes to `reload`.
    pub(crate) async fn watch(
        mut self,
        drain: oneshot::Sender<()>,
        reload: mpsc::Sender<()>,
    ) -> Exit {
        let first = self.next_end(&reload).await;
        tracing::info!(
            signal = first.name(),
            "ending, a second signal ends at once"
        );
        if drain.send(()).is_err() {
            tracing::debug!("the program had ended already");
        }
        let second = self.next_end(&reload).await;
        tracing::warn!(signal = second.name(), "ending at once");
        second.exit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_hang_up_is_the_lowest_bit_of_the_mask() {
        for (mask, expected) in [
            ("0000000000000001", true),
            ("0000000000001001", true),
            ("0000000000001000", false),
            ("none", false),
        ] {
            let status = format!("Name:\tpolypy\nSigBlk:\t1\nSigIgn:\t{mask}\nSigCgt:\t1\n");
            assert_eq!(ignores_hang_up(&status), expected, "{mask}");
        }
        assert!(!ignores_hang_up(""));
    }
}
