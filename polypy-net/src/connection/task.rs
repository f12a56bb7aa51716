//! A connection between its sockets: when to open the next one.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use polypy_core::{AssetInfo, AssetKey};
use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;

use super::cause::{Cause, Lived};
use super::inbox::{Inbox, Word};
use super::life::Life;
use super::race::Reporter;
use super::reconnect::Outage;
use super::socket::{OpenError, Socket};
use super::stats::{ConnectionStats, ConnectionStatus, Counters};
use super::tape::Recorder;
use super::watchdog::Rhythm;
use super::{Context, Role};

/// Close code of a venue that could not send fast enough.
const TRY_AGAIN_LATER: u16 = 1013;

/// The task of one connection.
pub(super) struct Task {
    pub(super) context: Arc<Context>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) stats: Arc<ConnectionStats>,
    /// What it carries; a market's tokens are neighbours.
    pub(super) assets: BTreeMap<AssetKey, Arc<AssetInfo>>,
    pub(super) rhythm: Rhythm,
    pub(super) role: Role,
    pub(super) retired: bool,
    pub(super) recorder: Recorder,
    pub(super) reporter: Reporter,
    outage: Option<Outage>,
    backoff: Backoff,
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
        inbox: Arc<Inbox>,
        stats: Arc<ConnectionStats>,
        role: Role,
    ) -> Self {
        let backoff = Backoff::new(context.config.backoff, context.config.backoff_cap);
        Self {
            context,
            inbox,
            stats,
            assets: BTreeMap::new(),
            rhythm: Rhythm::default(),
            role,
            retired: false,
            recorder: Recorder::default(),
            reporter: Reporter::default(),
            outage: None,
            backoff,
            resolved_rounds: 0,
        }
    }

    pub(super) async fn run(mut self) {
        let mut pause = Pause::None;
        while let Ok(next) = self.turn(pause).await {
            pause = next;
        }
        if let Some(outage) = self.outage.take() {
            let reconnects = &self.context.reconnects;
            reconnects.closed(self.stats.id(), outage, Instant::now());
        }
        self.show(ConnectionStatus::Closed);
    }

    /// One socket, from the wait before it to its end.
    async fn turn(&mut self, pause: Pause) -> Result<Pause, Closing> {
        self.wait(pause).await?;
        self.wait_for_assets().await?;
        let context = Arc::clone(&self.context);
        self.heed(context.pacer.turn()).await?;
        let venue = &context.venue;
        let opening = Socket::open(&*venue.dialer, &venue.url, &context.config);
        let pause = match self.heed(opening).await? {
            Err(error) => self.not_opened(&error),
            Ok(socket) => {
                let lived = Life::new(self, socket).run().await;
                self.ended(&lived)?
            }
        };
        self.show(ConnectionStatus::Reconnecting);
        Ok(pause)
    }

    async fn wait(&mut self, pause: Pause) -> Result<(), Closing> {
        match pause {
            Pause::None => Ok(()),
            Pause::For(wait) => self.heed(sleep(wait)).await,
            Pause::ForOrNews(wait) => {
                let until = Instant::now() + wait;
                let known: Vec<_> = self.assets.keys().copied().collect();
                let news = |task: &Self| task.assets.keys().any(|key| !known.contains(key));
                let inbox = Arc::clone(&self.inbox);
                while !news(self) && !self.assets.is_empty() {
                    tokio::select! {
                        biased;
                        () = inbox.arrived() => self.absorb()?,
                        () = tokio::time::sleep_until(until) => break,
                    }
                }
                Ok(())
            }
        }
    }

    async fn wait_for_assets(&mut self) -> Result<(), Closing> {
        self.absorb()?;
        let inbox = Arc::clone(&self.inbox);
        while self.assets.is_empty() {
            self.show(ConnectionStatus::Idle);
            inbox.arrived().await;
            self.absorb()?;
        }
        Ok(())
    }

    /// Awaits `future` while there is no socket, keeping up with the inbox.
    async fn heed<T>(&mut self, future: impl Future<Output = T>) -> Result<T, Closing> {
        let inbox = Arc::clone(&self.inbox);
        let mut future = pin!(future);
        loop {
            tokio::select! {
                biased;
                () = inbox.arrived() => self.absorb()?,
                done = &mut future => return Ok(done),
            }
        }
    }

    /// Does what was said, without a socket.
    fn absorb(&mut self) -> Result<(), Closing> {
        let mail = self.inbox.take();
        let mut departed = Vec::new();
        for (key, word) in mail.words {
            match word {
                Word::Subscribe(info) => {
                    self.assets.insert(key, info);
                }
                Word::Unsubscribe => {
                    self.assets.remove(&key);
                }
                Word::Depart => {
                    self.assets.remove(&key);
                    departed.push(key);
                }
                // The next socket brings snapshots of everything.
                Word::Resubscribe(_) => {}
            }
        }
        self.carry(departed);
        if let Some(tape) = &mail.tape {
            self.recorder.begin(tape);
        }
        if let Some((race, side)) = &mail.race {
            self.reporter.begin(race, *side);
        }
        if mail.take_over {
            self.role = Role::Serving;
        }
        if mail.retire {
            self.retired = true;
            self.stats.update(|counters| counters.retired = true);
            self.context.progress.notify_one();
        }
        if mail.close || self.retired {
            Err(Closing)
        } else {
            Ok(())
        }
    }

    /// Shows how many assets are carried, and which are free to go elsewhere.
    pub(super) fn carry(&self, departed: Vec<AssetKey>) {
        let carried = self.assets.len();
        let free = !departed.is_empty();
        self.stats.update(|counters| {
            counters.carried = carried;
            counters.departed.extend(departed);
        });
        if free {
            self.context.progress.notify_one();
        }
    }

    fn show(&self, status: ConnectionStatus) {
        self.stats.update(|counters| {
            // The first socket is still to come: that is connecting, not reconnecting.
            let first = counters.sockets == 0 && counters.open_failures == 0;
            counters.status = if first && status == ConnectionStatus::Reconnecting {
                ConnectionStatus::Connecting
            } else {
                status
            };
        });
        self.context.progress.notify_one();
    }

    fn not_opened(&mut self, error: &OpenError) -> Pause {
        if let Some(outage) = &mut self.outage {
            outage.failed();
        }
        let config = &self.context.config;
        let wait = self.backoff.next_delay();
        self.stats.update(|counters| {
            counters.open_failures += 1;
            if let OpenError::Refused { status, .. } = error {
                Counters::count_code(&mut counters.refusals, *status);
            }
        });
        if let OpenError::Refused {
            retry_after: Some(asked),
            ..
        } = error
        {
            let asked = (*asked).min(config.retry_after_cap);
            self.context.pacer.hold_off(asked);
        }
        tracing::warn!(
            connection = %self.stats.id(),
            error = error as &dyn std::error::Error,
            attempt = self.backoff.attempts(),
            wait_ms = super::millis(wait),
            "connection could not be opened"
        );
        Pause::For(wait)
    }

    /// What follows from the end of a socket.
    fn ended(&mut self, lived: &Lived) -> Result<Pause, Closing> {
        let Lived { cause, time, .. } = lived;
        self.stats.update(|counters| {
            *counters.closes.entry(cause.name()).or_default() += 1;
            if let Some(code) = cause.close_code() {
                Counters::count_code(&mut counters.close_codes, code);
            }
        });
        if matches!(cause, Cause::Asked) {
            return Err(Closing);
        }
        self.note_loss(cause);
        let config = &self.context.config;
        if lived.had_data && *time >= config.stable_after {
            self.backoff.reset();
            self.resolved_rounds = 0;
        }
        let pause = if cause.close_code() == Some(TRY_AGAIN_LATER) {
            self.stats.update(|counters| counters.slow_consumer += 1);
            if *time >= config.slow_consumer_grace {
                Pause::None
            } else {
                Pause::For(self.backoff.next_delay())
            }
        } else if cause.is_all_resolved() {
            self.all_resolved()
        } else {
            Pause::For(self.backoff.next_delay())
        };
        tracing::info!(
            connection = %self.stats.id(),
            cause = cause.name(),
            detail = ?cause.detail(),
            lived_ms = super::millis(*time),
            assets = self.assets.len(),
            pause_ms = pause.length().map(super::millis),
            "socket ended"
        );
        if self.retired {
            Err(Closing)
        } else {
            Ok(pause)
        }
    }

    /// A socket ended unasked: an outage begins, or goes on.
    fn note_loss(&mut self, cause: &Cause) {
        if let Some(outage) = &mut self.outage {
            outage.failed();
        } else if self.role == Role::Serving && !self.retired {
            let (books, covered) = (self.assets.len(), self.stats.covered());
            let outage = Outage::new(cause.name(), books, covered, Instant::now());
            self.outage = Some(outage);
        }
    }

    /// Books arrived, or are waited for no longer: an outage may be over.
    pub(super) fn note_books(&mut self, bookless: usize, hoped_for: usize) {
        let Some(outage) = &mut self.outage else {
            return;
        };
        let now = Instant::now();
        if bookless < self.assets.len() {
            outage.book_arrived(now);
        }
        if hoped_for == 0
            && let Some(outage) = self.outage.take()
        {
            let reconnects = &self.context.reconnects;
            reconnects.recovered(self.stats.id(), outage, now);
        }
    }

    /// Naming the same assets again would only close the socket again. Those
    /// that discovery confirms are taken away meanwhile; for the rest, should
    /// the venue have been wrong, it is tried again, ever later.
    fn all_resolved(&mut self) -> Pause {
        let assets: Vec<_> = self.assets.keys().copied().collect();
        self.context.venue.lifecycle.confirm_gone(&assets);
        let config = &self.context.config;
        let wait = config
            .resolved_wait
            .saturating_mul(2u32.saturating_pow(self.resolved_rounds))
            .min(config.first_book_cap);
        self.resolved_rounds = self.resolved_rounds.saturating_add(1);
        Pause::ForOrNews(wait)
    }
}
