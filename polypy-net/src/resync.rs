//! Requests for fresh snapshots, gathered from everywhere and dispatched within a
//! budget.
//!
//! What finds that a book is not right (a worker, a decoder, a full queue)
//! asks here; the pool takes what is due and has the owning connection subscribe
//! it again. Asking twice is asking once, an asset that keeps asking waits longer
//! each time, and all assets together get so many a second: a storm is
//! impossible, however many books go wrong at once. One that has had nothing to ask
//! for since its last resync was right for that time, and begins again with no wait.
//!
//! The queue marks nothing stale (who asks has done that) and does not know
//! connections.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use polypy_core::metrics::{self, Sheet};
use polypy_core::{AssetKey, ResyncSink, Scope, StaleReason, TokenBucket};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::backoff::doubled;
use crate::counter::count;

/// Limits on resyncs.
#[derive(Debug, Clone)]
pub struct ResyncConfig {
    /// Assets dispatched a second, all reasons together. 200 are two frames in
    /// each direction: far below what opening one connection costs the venue.
    pub per_second: u32,
    /// Wait before an asset's second resync; doubles with each further one.
    pub backoff: Duration,
    /// The longest such wait.
    pub backoff_cap: Duration,
    /// An asset that asks no sooner than this after its last resync waits for nothing:
    /// its book was right meanwhile.
    pub backoff_reset: Duration,
}

impl Default for ResyncConfig {
    fn default() -> Self {
        Self {
            per_second: 200,
            // A snapshot takes 0.13 to 0.52 s: asking again sooner is asking twice.
            backoff: Duration::from_secs(1),
            // As many as are wrong share the budget, whatever each may ask for; this is
            // how long a book stays stale after what made it wrong has ended.
            backoff_cap: Duration::from_secs(15),
            // The checks that find a wrong book take seconds.
            backoff_reset: Duration::from_secs(30),
        }
    }
}

/// What the queue has seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResyncStats {
    /// Requests received.
    pub requested: u64,
    /// Requests for an asset that was waiting already.
    pub merged: u64,
    /// Requests dispatched to the pool.
    pub dispatched: u64,
    /// Assets waiting now.
    pub waiting: usize,
}

/// The queue. Made before everything else, since everyone may ask.
#[derive(Debug)]
pub struct ResyncQueue {
    config: ResyncConfig,
    entries: Mutex<Entries>,
    /// Wakes the pool: the one waiter.
    ready: Notify,
    requested: AtomicU64,
    merged: AtomicU64,
    dispatched: AtomicU64,
}

/// Bounded by the assets that exist: one entry each, gone once quiet for long.
#[derive(Debug)]
struct Entries {
    by_asset: HashMap<AssetKey, Entry>,
    /// The waiting requests: those of assets without a history first, then by
    /// the time they fall due, each in the order they came in. So nobody starves,
    /// however many ask again and again.
    queue: BTreeSet<Place>,
    /// The last request's number.
    requests: u64,
    budget: TokenBucket,
    swept: Option<Instant>,
}

/// A request's place in the queue: due, number, asset.
type Place = (Option<Instant>, u64, AssetKey);

/// Pause after the budget ran out: long enough for several requests, so that a
/// long queue does not wake the pool for each single one.
const REFILL: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
struct Entry {
    /// Set while a request waits.
    request: Option<Request>,
    dispatched: u32,
    /// When it was last dispatched, and when it may be again.
    last: Option<(Instant, Instant)>,
}

/// On which feeds the asset is to be resubscribed, and why that was last asked for.
#[derive(Debug, Clone, Copy)]
struct Request {
    scope: Scope,
    reason: StaleReason,
}

/// Requests that are due, and when to ask again if some had to wait.
#[derive(Debug, Default)]
pub struct Due {
    /// Assets to be resubscribed, each with the reason it was last asked for.
    pub assets: Vec<(Scope, AssetKey, StaleReason)>,
    /// When the next waiting request falls due.
    pub next: Option<Instant>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It waits for its turn.
    Queued,
    /// One for the same asset was waiting already, and stands for both.
    Waiting,
}

type Counted = metrics::Entry<ResyncStats>;

const STEPS: &str = "Requests for fresh books, by how far they came.";
static ROWS: &[Counted] = &[
    Counted::counter(
        "requested",
        "polypy_resyncs_total",
        "Requests received.",
        |stats| stats.requested.into(),
    )
    .label("step=\"requested\"")
    .family(STEPS),
    Counted::counter(
        "merged",
        "polypy_resyncs_total",
        "Requests for a token that was waiting already.",
        |stats| stats.merged.into(),
    )
    .label("step=\"merged\"")
    .family(STEPS),
    Counted::counter(
        "dispatched",
        "polypy_resyncs_total",
        "Requests dispatched.",
        |stats| stats.dispatched.into(),
    )
    .label("step=\"dispatched\"")
    .family(STEPS),
    Counted::gauge(
        "waiting",
        "polypy_resyncs_waiting",
        "Tokens waiting for a fresh book.",
        |stats| stats.waiting.into(),
    ),
];

impl ResyncQueue {
    /// An empty queue.
    pub fn new(config: ResyncConfig) -> Self {
        let entries = Entries {
            by_asset: HashMap::new(),
            queue: BTreeSet::new(),
            requests: 0,
            budget: TokenBucket::new(config.per_second.max(1), Duration::from_secs(1)),
            swept: None,
        };
        Self {
            config,
            entries: Mutex::new(entries),
            ready: Notify::new(),
            requested: AtomicU64::new(0),
            merged: AtomicU64::new(0),
            dispatched: AtomicU64::new(0),
        }
    }

    /// Waits until a request came in. Remembers one wake-up while nobody waits.
    pub async fn requested(&self) {
        self.ready.notified().await;
    }

    /// Takes the requests that are due, within the budget.
    pub fn take(&self, now: Instant) -> Due {
        let mut entries = self.entries.lock();
        entries.forget_quiet(now, self.config.backoff_reset);
        let mut due = Due::default();
        while let Some(&place) = entries.queue.first() {
            let (at, _, asset) = place;
            if let Some(at) = at.filter(|at| *at > now) {
                due.next = Some(at);
                break;
            }
            if !entries.budget.take(now.into_std()) {
                due.next = Some(now + REFILL);
                break;
            }
            entries.queue.remove(&place);
            let request = entries
                .by_asset
                .get_mut(&asset)
                .and_then(|entry| entry.dispatch(now, &self.config));
            if let Some(Request { scope, reason }) = request {
                due.assets.push((scope, asset, reason));
            }
        }
        let dispatched = count(due.assets.len());
        self.dispatched.fetch_add(dispatched, Ordering::Relaxed);
        due
    }

    pub(crate) fn show(&self, sheet: &mut dyn Sheet) {
        sheet.table(ROWS, &self.stats());
    }

    /// What it has seen so far.
    pub fn stats(&self) -> ResyncStats {
        ResyncStats {
            requested: self.requested.load(Ordering::Relaxed),
            merged: self.merged.load(Ordering::Relaxed),
            dispatched: self.dispatched.load(Ordering::Relaxed),
            waiting: self.entries.lock().queue.len(),
        }
    }
}

impl Entry {
    /// Hands the request out; the next one waits longer.
    fn dispatch(&mut self, now: Instant, config: &ResyncConfig) -> Option<Request> {
        let request = self.request.take()?;
        let wait = doubled(config.backoff, self.dispatched, config.backoff_cap);
        self.dispatched = self.dispatched.saturating_add(1);
        // Up to a quarter more: what went wrong together shall not ask together
        // for ever.
        let wait = wait.mul_f64(1.0 + fastrand::f64() / 4.0);
        self.last = Some((now, now + wait));
        Some(request)
    }

    /// When a request that comes now is due; for an asset that was right for long
    /// enough at once.
    fn due(&mut self, now: Instant, config: &ResyncConfig) -> Option<Instant> {
        if !self.is_recent(now, config.backoff_reset) {
            *self = Self::default();
        }
        self.last.map(|(_, not_before)| not_before)
    }

    fn is_recent(&self, now: Instant, within: Duration) -> bool {
        let since = |at| now.saturating_duration_since(at);
        self.last.is_some_and(|(at, _)| since(at) < within)
    }
}

impl Entries {
    /// Drops the history of assets that have long been quiet; walks them all, so
    /// not at each call.
    fn forget_quiet(&mut self, now: Instant, after: Duration) {
        let last = *self.swept.get_or_insert(now);
        if now.saturating_duration_since(last) < after {
            return;
        }
        self.swept = Some(now);
        self.by_asset
            .retain(|_, entry| entry.request.is_some() || entry.is_recent(now, after));
    }
}

impl ResyncSink for ResyncQueue {
    fn resync(&self, scope: Scope, assets: &[AssetKey], reason: StaleReason) {
        if !assets.is_empty() {
            self.add(scope, assets, reason);
        }
    }
}

impl ResyncQueue {
    /// Asks for a new snapshot of one asset on all of its feeds, and says whether somebody
    /// had asked before.
    pub fn ask(&self, asset: AssetKey, reason: StaleReason) -> Asked {
        match self.add(Scope::AllFeeds, &[asset], reason) {
            0 => Asked::Queued,
            _ => Asked::Waiting,
        }
    }

    /// How many of the assets were waiting already.
    fn add(&self, scope: Scope, assets: &[AssetKey], reason: StaleReason) -> u64 {
        let (mut merged, now) = (0, Instant::now());
        {
            let mut entries = self.entries.lock();
            for &asset in assets {
                let entry = entries.by_asset.entry(asset).or_default();
                if let Some(known) = &mut entry.request {
                    // Two feeds, or all of them: all of them.
                    if known.scope != scope {
                        known.scope = Scope::AllFeeds;
                    }
                    known.reason = reason;
                    merged += 1;
                } else {
                    let due = entry.due(now, &self.config);
                    entry.request = Some(Request { scope, reason });
                    entries.requests += 1;
                    let place = (due, entries.requests, asset);
                    entries.queue.insert(place);
                }
            }
        }
        let requested = count(assets.len());
        self.requested.fetch_add(requested, Ordering::Relaxed);
        self.merged.fetch_add(merged, Ordering::Relaxed);
        self.ready.notify_one();
        merged
    }
}

#[cfg(test)]
mod tests {
    use polypy_core::{AssetInfo, FeedId, Interner};

    use super::*;

    fn keys(count: usize) -> Vec<AssetKey> {
        let mut interner = Interner::default();
        (0..count)
            .map(|n| {
                let asset = n.to_string().parse().unwrap();
                let condition = format!("0x{n:x}").parse().unwrap();
                interner
                    .insert(&asset, &condition, |key| {
                        AssetInfo::new(key, asset.clone(), condition.clone())
                    })
                    .key
            })
            .collect()
    }

    fn queue(per_second: u32) -> ResyncQueue {
        ResyncQueue::new(ResyncConfig {
            per_second,
            ..ResyncConfig::default()
        })
    }

    #[test]
    fn a_request_for_one_feed_is_dispatched_there_unless_another_joins_it() {
        let (queue, keys, now) = (queue(10), keys(3), Instant::now());
        queue.resync(Scope::Feed(FeedId(1)), &keys, StaleReason::Dropped);
        queue.resync(Scope::Feed(FeedId(1)), &keys[..1], StaleReason::Hash);
        queue.resync(Scope::Feed(FeedId(2)), &keys[1..2], StaleReason::Hash);
        queue.resync(Scope::AllFeeds, &keys[2..], StaleReason::Top);
        let mut due = queue.take(now);
        due.assets.sort_unstable_by_key(|(_, key, _)| *key);
        let expected = [
            (Scope::Feed(FeedId(1)), keys[0], StaleReason::Hash),
            (Scope::AllFeeds, keys[1], StaleReason::Hash),
            (Scope::AllFeeds, keys[2], StaleReason::Top),
        ];
        assert_eq!(due.assets, expected);
        assert_eq!(queue.stats().dispatched, 3);
    }

    #[test]
    fn asking_twice_is_asking_once_and_the_last_reason_counts() {
        let (queue, keys, now) = (queue(10), keys(1), Instant::now());
        queue.resync(Scope::AllFeeds, &keys, StaleReason::Dropped);
        queue.resync(Scope::AllFeeds, &keys, StaleReason::Hash);
        let due = queue.take(now);
        assert_eq!(due.assets, [(Scope::AllFeeds, keys[0], StaleReason::Hash)]);
        assert_eq!(due.next, None);
        assert!(queue.take(now).assets.is_empty());
        let stats = queue.stats();
        assert_eq!((stats.requested, stats.merged, stats.dispatched), (2, 1, 1));
    }

    #[test]
    fn who_asks_is_told_whether_one_waits_already() {
        let (queue, keys, now) = (queue(10), keys(2), Instant::now());
        let ask = |key| queue.ask(key, StaleReason::Resubscribing);
        assert_eq!(ask(keys[0]), Asked::Queued);
        assert_eq!(ask(keys[0]), Asked::Waiting);
        assert_eq!(ask(keys[1]), Asked::Queued);
        assert_eq!(queue.take(now).assets.len(), 2);
        assert_eq!(ask(keys[0]), Asked::Queued);
        assert_eq!((queue.stats().requested, queue.stats().merged), (4, 1));
    }

    #[test]
    fn an_asset_that_keeps_asking_waits_longer_each_time() {
        let (queue, keys, start) = (queue(10), keys(1), Instant::now());
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..9 {
            queue.resync(Scope::AllFeeds, &keys, StaleReason::Top);
            let due = queue.take(now);
            if due.assets.is_empty() {
                let next = due.next.unwrap();
                waits.push((next - now).as_secs_f64());
                now = next;
                assert_eq!(queue.take(now).assets.len(), 1);
            }
        }
        assert_eq!(waits.len(), 8);
        for (wait, plain) in waits
            .iter()
            .zip([1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0, 15.0])
        {
            assert!((plain..plain * 1.25).contains(wait), "{wait} for {plain}");
        }
    }

    #[test]
    fn assets_that_went_wrong_together_do_not_ask_again_together() {
        let (queue, keys, now) = (queue(1_000), keys(500), Instant::now());
        queue.resync(Scope::AllFeeds, &keys, StaleReason::Dropped);
        assert_eq!(queue.take(now).assets.len(), 500);
        queue.resync(Scope::AllFeeds, &keys, StaleReason::Dropped);
        assert!(
            queue
                .take(now + Duration::from_millis(999))
                .assets
                .is_empty()
        );
        let mut dispatched = Vec::new();
        for tenth in 10..13u64 {
            let due = queue.take(now + Duration::from_millis(tenth * 100));
            dispatched.push(due.assets.len());
        }
        assert_eq!(
            dispatched.iter().sum::<usize>() + queue.stats().waiting,
            500
        );
        assert!(
            dispatched.iter().all(|assets| *assets < 300),
            "{dispatched:?}"
        );
    }

    /// Ten thousand books go wrong at once and stay wrong: each asks again every
    /// second. What is dispatched keeps to the budget in any second, no asset gets
    /// more than its backoff allows, and none is left out.
    #[test]
    fn ten_thousand_stale_books_are_no_storm() {
        let (queue, keys, start) = (queue(200), keys(10_000), Instant::now());
        let tick = Duration::from_millis(100);
        let mut times: HashMap<AssetKey, Vec<Duration>> = HashMap::new();
        let mut by_second = vec![0usize; 121];
        for step in 0..1_200u32 {
            let at = tick * step;
            if step % 10 == 0 {
                queue.resync(Scope::AllFeeds, &keys, StaleReason::Disconnected);
            }
            for (_, asset, _) in queue.take(start + at).assets {
                times.entry(asset).or_default().push(at);
                by_second[usize::try_from(at.as_secs()).unwrap()] += 1;
            }
        }
        // The first second has what was saved before it.
        assert!(by_second[0] <= 400, "{}", by_second[0]);
        assert!(by_second[1..].iter().all(|requests| *requests <= 210));
        assert_eq!(times.len(), keys.len(), "some were left out");
        for times in times.values() {
            for (nth, pair) in times.windows(2).enumerate() {
                let least = Duration::from_secs(1 << nth.min(5)).min(Duration::from_secs(15));
                assert!(pair[1] - pair[0] >= least, "{times:?}");
            }
        }
    }

    #[test]
    fn a_storm_is_spread_by_the_budget_and_loses_nothing() {
        let (queue, keys, start) = (queue(100), keys(1_000), Instant::now());
        queue.resync(Scope::AllFeeds, &keys, StaleReason::Disconnected);
        let mut now = start;
        let mut dispatched = 0;
        while dispatched < keys.len() {
            let due = queue.take(now);
            assert!(due.assets.len() <= 100);
            dispatched += due.assets.len();
            now = due.next.unwrap_or(now);
        }
        let took = (now - start).as_secs_f64();
        assert!((8.9..=9.2).contains(&took), "{took}");
        assert_eq!(queue.stats().waiting, 0);
    }

    /// However often it went wrong before: what lasts is right.
    #[tokio::test(start_paused = true)]
    async fn a_book_that_was_right_for_half_a_minute_is_fetched_at_once_again() {
        let (queue, keys) = (queue(10), keys(1));
        let ask = || {
            queue.resync(Scope::AllFeeds, &keys, StaleReason::Undecodable);
            let now = Instant::now();
            let due = queue.take(now);
            due.next.map_or(Duration::ZERO, |at| at - now)
        };
        for _ in 0..8 {
            tokio::time::advance(ask()).await;
            queue.take(Instant::now());
        }
        tokio::time::advance(Duration::from_secs(29)).await;
        assert_eq!(ask(), Duration::ZERO, "its wait is over, not forgotten");
        assert!(ask() > Duration::from_secs(14));
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(queue.take(Instant::now()).assets.len(), 1);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(ask(), Duration::ZERO);
        // And the next one waits as after the first time.
        assert!(ask() < Duration::from_secs(2));
    }

    #[test]
    fn the_history_of_a_quiet_asset_is_forgotten() {
        let (queue, keys, now) = (queue(10), keys(3), Instant::now());
        queue.resync(Scope::AllFeeds, &keys, StaleReason::Tick);
        assert_eq!(queue.take(now).assets.len(), 3);
        let later = now + Duration::from_secs(302);
        assert!(queue.take(later).assets.is_empty());
        assert!(queue.entries.lock().by_asset.is_empty());
    }
}
