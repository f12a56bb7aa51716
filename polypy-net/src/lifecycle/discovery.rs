//! The listing of all open markets, again and again.
//!
//! Each page goes into the registry as it comes. A listing that reached its
//! end is also compared with what is known: a market that two such listings in
//! a row lack is asked for by name, and only the answer can end it. A listing
//! that broke off, or that has shrunk to less than half, is not compared.
//!
//! Where few of the listed markets are followed a round asks for those by name, which
//! is cheap, and a listing comes every ten minutes only: announcements bring what is new
//! meanwhile. While no connection is open to bring them, each round is a listing. With seats,
//! the first listing goes by their order: few markets are live in seconds. It ends when the
//! seats are taken, unless markets are wanted that may stand further back, by their names or
//! because that order is not the listing's; the next round, a moment later, lists all.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use polypy_core::{ConditionId, Listed};
use tokio::time::{Instant, sleep};

use super::closing::Ended;
use super::lookup::Lookup;
use super::stats::CrawlOutcome;
use super::{START_PROGRESS, Shared};
use crate::backoff::Backoff;
use crate::counter::millis;
use crate::gamma::{Crawl, CrawlEnd, GammaError, Listing, MAX_LOOKUP, MarketState, SkipReason};
use crate::reason::chain;

/// Complete listings in a row that must lack a market before it is asked for:
/// rows shift between pages while a listing is walked.
const MISSES: u8 = 2;
/// Time between two listings where markets are asked for by name meanwhile.
const LISTING_INTERVAL: Duration = Duration::from_secs(600);
/// Markets are few if they are less than one in so many of those that are listed.
const SHARE: usize = 10;
/// Time between two lines of progress while the first listing runs.
const PROGRESS: Duration = Duration::from_secs(1);
/// Time from a listing that ended when the seats were taken to the one of all: what is
/// followed by then is on its way to its connections.
const REST_AFTER: Duration = Duration::from_secs(1);
/// First pause after a failure; the client below has retried by then.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// What is remembered from one listing to the next.
#[derive(Debug, Default)]
struct Memory {
    /// Complete listings in a row that lacked a market.
    missing: HashMap<ConditionId, u8>,
    /// Rows of the last complete listing.
    rows: usize,
    /// When the last complete listing began.
    listed: Option<Instant>,
    /// A listing has ended when the seats were taken: the next one lists all.
    is_cut: bool,
}

/// One listing while it runs.
struct Round {
    begun: Instant,
    told: Instant,
    /// Listed as open.
    seen: HashSet<ConditionId>,
    /// Listed as closed, in the list of open ones.
    closed: HashSet<ConditionId>,
    skipped: [u64; SkipReason::ALL.len()],
    added: usize,
}

/// Why a round came to nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The listing broke off.
    #[error("listing broke off: {0}")]
    Crawl(CrawlEnd),
    /// A known market could not be asked for.
    #[error("known markets could not be asked for: {}", chain(.0))]
    Sweep(GammaError),
}

/// Discovers for ever: at once, then at the interval; after failures sooner,
/// with a growing pause, and never in a hot loop.
pub(super) async fn run(shared: Arc<Shared>) {
    let interval = shared.config.discovery_interval;
    let mut backoff = Backoff::new(FIRST_PAUSE, interval.max(FIRST_PAUSE));
    let mut memory = Memory::default();
    let mut failing: Option<Failing> = None;
    loop {
        match shared.discover(&mut memory).await {
            Ok(()) => {
                if let Some(failing) = failing.take() {
                    failing.log_end();
                }
                backoff.reset();
                shared.reviews.notify_one();
                // Not all was ever listed, and what is not is taken for nothing.
                let pause = if memory.listed.is_none() {
                    REST_AFTER.min(interval)
                } else {
                    interval
                };
                sleep(pause).await;
            }
            Err(failure) => {
                shared.stats.round_failed();
                let pause = FIRST_PAUSE + backoff.next_delay();
                failing
                    .get_or_insert_with(Failing::begin)
                    .log(&failure, pause);
                sleep(pause).await;
            }
        }
    }
}

/// Rounds that failed in a row. One warning for all of them: each further attempt
/// says the same, and would bury what else an outage has to tell.
#[derive(Debug)]
struct Failing {
    since: Instant,
    attempts: u64,
}

impl Failing {
    fn begin() -> Self {
        Self {
            since: Instant::now(),
            attempts: 0,
        }
    }

    /// Logs a further failure.
    fn log(&mut self, failure: &Failure, pause: Duration) {
        self.attempts += 1;
        let pause_ms = millis(pause);
        if self.attempts == 1 {
            tracing::warn!(
                %failure,
                pause_ms,
                "discovery failed, nothing is dropped for it"
            );
        } else {
            tracing::debug!(%failure, pause_ms, attempts = self.attempts, "discovery failed again");
        }
    }

    /// Logs that a round has succeeded.
    fn log_end(self) {
        tracing::info!(
            attempts_failed = self.attempts,
            lasted_ms = millis(self.since.elapsed()),
            "discovery works again"
        );
    }
}

impl Shared {
    async fn discover(&self, memory: &mut Memory) -> Result<(), Failure> {
        let known = self.registry.live_conditions();
        let mut round = Round::begin();
        let seats = self.selecting.selection().0.seats;
        let (listed, _) = self.selecting.size();
        let are_few = known.len() < listed.div_ceil(SHARE);
        if seats.is_some() || are_few {
            self.sweep(&known).await.map_err(Failure::Sweep)?;
        }
        let is_recent = |at: Instant| at.elapsed() < LISTING_INTERVAL;
        if are_few && self.is_heard() && memory.listed.is_some_and(is_recent) {
            self.stats.round_succeeded(self.clock.now());
            return Ok(());
        }
        let is_first = memory.listed.is_none() && !memory.is_cut;
        let first = seats.filter(|_| is_first && !self.hold().is_full());
        let listing = first.map_or(Listing::Steady, |rule| Listing::FirstBy(rule.order));
        let crawl = self
            .gamma
            .crawl(listing, |rows| {
                let named = rows.iter().filter_map(|row| row.condition_id.as_ref());
                self.delistings.known(named);
                for row in rows {
                    // Closed, in a list of open markets: that needs a second reason.
                    let place = if row.closed {
                        &mut round.closed
                    } else {
                        &mut round.seen
                    };
                    place.extend(row.condition_id.clone());
                    match row.listed() {
                        Ok(listed) => round.added += usize::from(self.list(listed)),
                        Err(reason) => round.skipped[reason.index()] += 1,
                    }
                }
                self.tell_progress(&mut round);
                if first.is_some_and(|rule| self.hold().has_enough(rule)) {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })
            .await;
        self.conclude(&round, crawl, &known, memory)
    }

    /// Books a finished listing.
    fn conclude(
        &self,
        round: &Round,
        crawl: Crawl,
        known: &[ConditionId],
        memory: &mut Memory,
    ) -> Result<(), Failure> {
        let Crawl { pages, rows, end } = crawl;
        let duration = round.begun.elapsed();
        let is_whole = matches!(end, CrawlEnd::Complete);
        let is_first_whole = is_whole && !self.stats.has_listed();
        self.stats.crawled(&CrawlOutcome {
            pages,
            rows,
            duration,
            end: end.name(),
            complete: is_whole,
            skipped: round.skipped,
        });
        self.doubt_closed(&round.closed, rows);
        match end {
            CrawlEnd::Complete => {
                memory.listed = Some(round.begun);
                self.hold().complete();
                self.is_listed.send_replace(true);
                self.is_listed_anew.store(true, Ordering::Relaxed);
                let open = rows.saturating_sub(round.closed.len());
                if open.saturating_mul(2) >= memory.rows {
                    self.reconcile(&round.seen, known, memory);
                } else {
                    tracing::warn!(
                        rows = open,
                        before = memory.rows,
                        "listing has shrunk, not compared"
                    );
                }
                memory.rows = open;
            }
            CrawlEnd::Stopped => memory.is_cut = true,
            CrawlEnd::RepeatedCursor
            | CrawlEnd::NothingNew
            | CrawlEnd::TooManyPages
            | CrawlEnd::Failed(_) => return Err(Failure::Crawl(end)),
        }
        let markets = self.registry.live_market_count();
        let seconds = duration.as_secs_f64();
        let is_first = self.stats.round_succeeded(self.clock.now());
        if !is_whole {
            tracing::info!(
                markets,
                pages,
                seconds,
                "discovery has filled max_markets, and reads the listing to its end next"
            );
        } else if is_first || is_first_whole {
            tracing::info!(markets, pages, seconds, "discovery complete");
        } else {
            tracing::debug!(markets, added = round.added, seconds, "discovery complete");
        }
        Ok(())
    }

    /// Takes in a market that is listed as open. Whether it is new. One that
    /// ended on Gamma's reason is asked for by name first.
    fn list(&self, listed: Listed) -> bool {
        if self.closings.is_closed(&listed.market.condition_id) {
            self.ask(Lookup::IsOpen, listed.market.condition_id);
            return false;
        }
        self.hold().take_in(listed)
    }

    /// Asks by name about markets that a list of open ones called closed; not if
    /// it said so of most of its rows, for then the list is what is wrong.
    fn doubt_closed(&self, closed: &HashSet<ConditionId>, rows: usize) {
        if closed.len().saturating_mul(2) > rows {
            tracing::warn!(
                rows,
                closed = closed.len(),
                "listing of open markets calls most of them closed: not believed"
            );
            return;
        }
        for condition in closed {
            self.ask(Lookup::IsClosed, condition.clone());
        }
    }

    /// Asks about markets that were known before the listing began and that
    /// listings keep lacking.
    fn reconcile(&self, seen: &HashSet<ConditionId>, known: &[ConditionId], memory: &mut Memory) {
        let mut missing = HashMap::new();
        for condition in known.iter().filter(|condition| !seen.contains(*condition)) {
            if !self.registry.is_live(condition) {
                continue;
            }
            let before = memory.missing.get(condition).copied().unwrap_or(0);
            let misses = before.saturating_add(1);
            if misses >= MISSES {
                self.ask(Lookup::IsClosed, condition.clone());
                // An empty listing says nothing about anyone.
                if !seen.is_empty() {
                    self.delistings.unlisted(condition);
                }
            }
            missing.insert(condition.clone(), misses);
        }
        self.hold().drop_unlisted(seen);
        self.stats.missing(missing.len());
        memory.missing = missing;
    }

    /// Asks about all known markets whether they are closed.
    async fn sweep(&self, known: &[ConditionId]) -> Result<(), GammaError> {
        for conditions in known.chunks(MAX_LOOKUP) {
            let found = self
                .gamma
                .by_condition(conditions, MarketState::Closed)
                .await;
            self.close(found.rows.iter().filter_map(Ended::of).collect())
                .await;
            if let Some(error) = found.failure {
                return Err(error);
            }
            sleep(self.gamma.page_interval()).await;
        }
        Ok(())
    }

    /// Says how far the first listing has come, at most once a second.
    fn tell_progress(&self, round: &mut Round) {
        if !self.stats.has_succeeded() && round.told.elapsed() >= PROGRESS {
            round.told = Instant::now();
            let markets = self.registry.live_market_count();
            tracing::info!(name: START_PROGRESS, markets, "discovering markets");
        }
    }
}

impl Round {
    fn begin() -> Self {
        Self {
            begun: Instant::now(),
            told: Instant::now(),
            seen: HashSet::new(),
            closed: HashSet::new(),
            skipped: [0; SkipReason::ALL.len()],
            added: 0,
        }
    }
}
