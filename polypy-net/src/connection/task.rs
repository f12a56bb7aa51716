//! A connection between its sockets: when to open the next one.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::backoff::{Backoff, doubled};
use crate::counter::millis;
use crate::reason::chain;

use super::carried::Carried;
use super::commands::CommandMailbox;
use super::counters::LastEnd;
use super::disconnect::{DisconnectReason, SessionOutcome};
use super::reconnect::OutageWatch;
use super::session::{FeedSession, Kept};
use super::socket::{OpenError, Socket};
use super::state::ConnectionState;
use super::view::ConnectionView;
use super::watchdog::MeanGap;
use super::{Context, Role};

/// A socket that has lasted for so long was worth opening ahead of its time.
const LASTING: Duration = Duration::from_secs(10);
/// The cause of a socket that could not be opened, beside those by which one ends.
const NOT_OPENED: &str = "not_opened";
/// Close code of a venue that could not send fast enough.
const TRY_AGAIN_LATER: u16 = 1013;

/// The task of one connection.
pub(super) struct Task {
    context: Arc<Context>,
    commands: Arc<CommandMailbox>,
    view: Arc<ConnectionView>,
    carried: Carried,
    mean_gap: MeanGap,
    outage: OutageWatch,
    backoff: Backoff,
    /// The wait before the socket was cut short, since another connection's stayed.
    followed: bool,
    /// Times in a row that the venue called everything resolved.
    resolved_rounds: u32,
}

/// Told to end.
struct Closing;

/// What to wait for before the next socket.
#[derive(Debug, Clone, Copy)]
enum Pause {
    None,
    For(Duration),
    /// For a time, or until something new is to be carried.
    ForOrNews(Duration),
}

impl Pause {
    fn length(self) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::For(length) | Self::ForOrNews(length) => Some(length),
        }
    }
}

impl Task {
    pub(super) fn new(
        context: Arc<Context>,
        commands: Arc<CommandMailbox>,
        view: Arc<ConnectionView>,
        role: Role,
    ) -> Self {
        let backoff = Backoff::new(context.config.backoff, context.config.backoff_cap);
        Self {
            context,
            commands,
            view,
            carried: Carried::new(role),
            mean_gap: MeanGap::default(),
            outage: OutageWatch::default(),
            backoff,
            followed: false,
            resolved_rounds: 0,
        }
    }

    pub(super) async fn run(mut self) {
        let mut pause = Pause::None;
        while let Ok(next) = self.next_socket(pause).await {
            pause = next;
        }
        self.outage.closed(self.view.id(), &self.context.reconnects);
        self.context.outages.settled(self.view.id());
        self.view.publish(ConnectionState::close);
    }

    /// One socket, from the wait before it to its end.
    async fn next_socket(&mut self, pause: Pause) -> Result<Pause, Closing> {
        let next_attempt = pause.length().map(|wait| Instant::now() + wait);
        self.view
            .count(|counters| counters.next_attempt = next_attempt);
        self.wait(pause).await?;
        self.view.count(|counters| counters.next_attempt = None);
        self.wait_for_assets().await?;
        let context = Arc::clone(&self.context);
        self.run_while_commanded(context.pacer.turn()).await?;
        let venue = &context.venue;
        let opening = Socket::open(&*venue.dialer, &venue.url, &context.config);
        let pause = match self.run_while_commanded(opening).await? {
            Err(error) => self.not_opened(&error),
            Ok(socket) => {
                let kept = Kept {
                    context: &self.context,
                    commands: &self.commands,
                    view: &self.view,
                    carried: &mut self.carried,
                    mean_gap: &mut self.mean_gap,
                    outage: &mut self.outage,
                };
                let outcome = FeedSession::new(kept, socket).run().await;
                self.ended(&outcome)?
            }
        };
        self.view.publish(ConnectionState::reconnect);
        Ok(pause)
    }

    async fn wait(&mut self, pause: Pause) -> Result<(), Closing> {
        match pause {
            Pause::None => Ok(()),
            Pause::For(wait) => self.wait_or_follow(wait).await,
            Pause::ForOrNews(wait) => {
                let until = Instant::now() + wait;
                let known: Vec<_> = self.carried.keys().collect();
                let news = |task: &Self| task.carried.keys().any(|key| !known.contains(&key));
                let commands = Arc::clone(&self.commands);
                while !news(self) && !self.carried.is_empty() {
                    tokio::select! {
                        biased;
                        () = commands.arrived() => self.apply_commands()?,
                        () = tokio::time::sleep_until(until) => break,
                    }
                }
                Ok(())
            }
        }
    }

    /// Waits for so long, or until the venue is seen to be well. One whose socket did
    /// not last when it followed another's waits its time: it has trouble of its own.
    async fn wait_or_follow(&mut self, wait: Duration) -> Result<(), Closing> {
        let (context, failed) = (Arc::clone(&self.context), Instant::now());
        let may_follow = !self.followed;
        self.followed = self
            .run_while_commanded(async {
                tokio::select! {
                    () = sleep(wait) => false,
                    () = context.recovery.since(failed), if may_follow => true,
                }
            })
            .await?;
        Ok(())
    }

    async fn wait_for_assets(&mut self) -> Result<(), Closing> {
        self.apply_commands()?;
        let commands = Arc::clone(&self.commands);
        while self.carried.is_empty() {
            self.view.publish(ConnectionState::idle);
            commands.arrived().await;
            self.apply_commands()?;
        }
        Ok(())
    }

    /// Awaits `future` while there is no socket, and applies commands meanwhile.
    async fn run_while_commanded<T>(
        &mut self,
        future: impl Future<Output = T>,
    ) -> Result<T, Closing> {
        let commands = Arc::clone(&self.commands);
        let mut future = pin!(future);
        loop {
            tokio::select! {
                biased;
                () = commands.arrived() => self.apply_commands()?,
                done = &mut future => return Ok(done),
            }
        }
    }

    /// Applies commands without a socket: the next one brings snapshots of
    /// everything, and takes over as soon as it has opened.
    fn apply_commands(&mut self) -> Result<(), Closing> {
        let effects = self.carried.apply(self.commands.take());
        let carried = self.carried.len();
        self.view
            .publish(|state| state.carry(carried, effects.departed));
        if effects.retire {
            self.view.publish(ConnectionState::retire);
        }
        if effects.close || self.carried.is_retired() {
            Err(Closing)
        } else {
            Ok(())
        }
    }

    fn not_opened(&mut self, error: &OpenError) -> Pause {
        self.outage.failed();
        let config = &self.context.config;
        let wait = self.backoff.next_delay();
        self.view.count(|counters| {
            counters.open_failures += 1;
            counters.last_end = Some(LastEnd {
                at: Instant::now(),
                cause: NOT_OPENED,
                detail: chain(error),
                close_code: None,
            });
            if let OpenError::Refused { status, .. } = error {
                counters.refusals.count(*status);
            }
        });
        self.view.publish(ConnectionState::not_opened);
        if let OpenError::Refused {
            retry_after: Some(asked),
            ..
        } = error
        {
            let asked = (*asked).min(config.retry_after_cap);
            self.context.pacer.hold_off(asked);
        }
        let id = self.view.id();
        self.context
            .outages
            .not_opened(id, chain(error), Instant::now());
        tracing::debug!(
            connection = %id,
            error = chain(error),
            attempt = self.backoff.attempts(),
            wait_ms = millis(wait),
            "connection could not be opened"
        );
        Pause::For(wait)
    }

    /// What follows from the end of a socket.
    fn ended(&mut self, outcome: &SessionOutcome) -> Result<Pause, Closing> {
        let SessionOutcome { reason, time, .. } = outcome;
        self.view.count(|counters| {
            *counters.closes.entry(reason.name()).or_default() += 1;
            counters.last_end = Some(LastEnd {
                at: Instant::now(),
                cause: reason.name(),
                detail: reason.detail(),
                close_code: reason.close_code(),
            });
            if let Some(code) = reason.close_code() {
                counters.close_codes.count(code);
            }
        });
        if matches!(reason, DisconnectReason::Asked) {
            return Err(Closing);
        }
        self.note_loss(reason);
        let config = &self.context.config;
        if outcome.had_data && *time >= LASTING {
            self.followed = false;
        }
        if outcome.had_data && *time >= config.stable_after {
            self.backoff.reset();
            self.resolved_rounds = 0;
        }
        let pause = if reason.close_code() == Some(TRY_AGAIN_LATER) {
            self.view.publish(ConnectionState::too_slow);
            if *time >= config.slow_consumer_grace {
                Pause::None
            } else {
                Pause::For(self.backoff.next_delay())
            }
        } else if reason.is_all_resolved() {
            self.all_resolved()
        } else {
            Pause::For(self.backoff.next_delay())
        };
        let (id, detail) = (self.view.id(), reason.detail());
        self.context
            .outages
            .lost(id, reason.cause(), Instant::now());
        tracing::debug!(
            connection = %id,
            cause = reason.name(),
            detail,
            lived_ms = millis(*time),
            assets = self.carried.len(),
            pause_ms = pause.length().map(millis),
            "socket ended"
        );
        if self.carried.is_retired() {
            Err(Closing)
        } else {
            Ok(pause)
        }
    }

    /// A socket ended unasked. A replacement that does not deliver yet, and a
    /// connection that is not to reopen, leave nobody without.
    fn note_loss(&mut self, reason: &DisconnectReason) {
        if self.carried.role() == Role::Serving && !self.carried.is_retired() {
            let (books, view) = (self.carried.len(), &self.view);
            self.outage
                .lost(reason.name(), books, || view.covered(), Instant::now());
        } else {
            self.outage.failed();
        }
    }

    /// Subscribing to the same assets again would only close the socket again. Those
    /// that discovery confirms are taken away meanwhile; for the rest, should
    /// the venue have been wrong, it is tried again, ever later.
    fn all_resolved(&mut self) -> Pause {
        let assets: Vec<_> = self.carried.keys().collect();
        self.context.venue.lifecycle.confirm_gone(&assets);
        let config = &self.context.config;
        let (first, cap) = (config.resolved_wait, config.first_book_cap);
        let wait = doubled(first, self.resolved_rounds, cap);
        self.resolved_rounds = self.resolved_rounds.saturating_add(1);
        Pause::ForOrNews(wait)
    }
}
