//! What a supervisor is told: ready, how it stands, alive, ending; and the sockets that
//! it hands over. Without its variables in the environment nothing is done.

use std::convert::Infallible;
use std::time::Duration;

use listenfd::ListenFd;
use polypy::PolyPy;
use polypy_core::probe::Probe;
use polypy_http::Listener;
use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

/// Between two looks while the start goes on.
const EAGER: Duration = Duration::from_millis(50);
/// Between two looks at what the status line says.
const STEADY: Duration = Duration::from_secs(1);

/// Whoever started this process.
#[derive(Debug)]
pub(crate) struct Supervisor {
    is_there: bool,
    /// It restarts a process that is silent for so long.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// As the environment names it.
    pub(crate) fn of_environment() -> Self {
        Self {
            is_there: std::env::var_os("NOTIFY_SOCKET").is_some(),
            watchdog: sd_notify::watchdog_enabled(),
        }
    }

    /// Tells it of `app` for as long as this is polled.
    pub(crate) async fn follow(&self, app: &PolyPy) -> Infallible {
        if !self.is_there {
            return std::future::pending().await;
        }
        let mut ticks = interval(EAGER);
        while !app.is_running() {
            ticks.tick().await;
        }
        self.say(&[NotifyState::Ready]);
        let pace = self.watchdog.map_or(STEADY, |limit| STEADY.min(limit / 3));
        let mut ticks = interval(pace.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut told, mut lived) = (String::new(), true);
        loop {
            ticks.tick().await;
            if self.watchdog.is_some() {
                let checks = app.checks(Probe::Live);
                let failed = checks.iter().find(|check| !check.passed);
                match failed {
                    None => self.say(&[NotifyState::Watchdog]),
                    Some(check) if lived => tracing::error!(
                        check = check.name,
                        reason = check.text,
                        "a restart would help, the supervisor is no longer told that all is well"
                    ),
                    Some(_) => {}
                }
                lived = failed.is_none();
            }
            let progress = app.progress();
            let status = format!(
                "{} of {} books live, {} connections",
                progress.live_books, progress.assets, progress.connections
            );
            if status != told {
                self.say(&[NotifyState::Status(&status)]);
                told = status;
            }
        }
    }

    /// Tells it that the end has been asked for.
    pub(crate) fn ending(&self) {
        self.say(&[NotifyState::Stopping]);
    }

    fn say(&self, states: &[NotifyState<'_>]) {
        if self.is_there
            && let Err(error) = sd_notify::notify(states)
        {
            tracing::warn!(%error, "the supervisor could not be told");
        }
    }
}

/// The listening sockets that were handed over (`LISTEN_FDS`).
pub(crate) fn sockets() -> Vec<Listener> {
    let mut handed = ListenFd::from_env();
    let mut listeners = Vec::new();
    for at in 0..handed.len() {
        // Each kind refuses the other's socket, and leaves it.
        if let Ok(Some(listener)) = handed.take_tcp_listener(at) {
            listeners.push(listener.into());
        } else if let Ok(Some(listener)) = handed.take_unix_listener(at) {
            listeners.push(listener.into());
        } else {
            tracing::warn!(number = at, "a socket that was handed over does not listen");
        }
    }
    listeners
}
