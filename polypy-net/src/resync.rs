//! Wishes for fresh snapshots, gathered from everywhere and handed out with a
//! budget.
//!
//! Whoever finds that a book is not right (a worker, a decoder, a full queue)
//! asks here; the pool takes what is due and has the owning connection subscribe
//! it anew. Asking twice is asking once, an asset that keeps asking waits longer
//! each time, and all assets together get so many a second: a storm is
//! impossible, however many books go wrong at once.
//!
//! The queue marks nothing stale (whoever asks has done that) and does not know
//! connections.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use polypy_core::{AssetKey, FeedId, ResyncSink, StaleReason};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Limits on resyncs.
#[derive(Debug, Clone)]
pub struct ResyncConfig {
    /// Assets handed out a second, all reasons together. 200 are two frames in
    /// each direction: far below what opening one connection costs the venue.
    pub per_second: u32,
    /// Wait before an asset's second resync; doubles with each further one.
    pub backoff: Duration,
    /// The longest such wait.
    pub backoff_cap: Duration,
    /// After this long without a wish an asset's past is forgotten.
    pub forgive: Duration,
}

impl Default for ResyncConfig {
    fn default() -> Self {
        Self {
            per_second: 200,
            // A snapshot takes 0.13 to 0.52 s: asking again sooner is asking twice.
            backoff: Duration::from_secs(1),
            backoff_cap: Duration::from_secs(60),
            forgive: Duration::from_secs(300),
        }
    }
}

/// What the queue has seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct ResyncStats {
    /// Wishes received.
    pub requested: u64,
    /// Wishes for an asset that was waiting already.
    pub merged: u64,
    /// Wishes handed to the pool.
    pub granted: u64,
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
    granted: AtomicU64,
}

/// Bounded by the assets that exist: one entry each, gone once forgiven.
#[derive(Debug, Default)]
struct Entries {
    by_asset: HashMap<AssetKey, Entry>,
    /// The waiting wishes: those of assets without a past first, then by the
    /// time they fall due, each in the order they came in. So nobody starves,
    /// however many ask again and again.
    queue: BTreeSet<Turn>,
    /// The last wish's number.
    wishes: u64,
    /// Grants left in the current second.
    tokens: f64,
    refilled: Option<Instant>,
    forgiven: Option<Instant>,
}

/// A wish's place in the queue: due, number, asset.
type Turn = (Option<Instant>, u64, AssetKey);

/// Pause after the budget ran out: long enough for several grants, so that a
/// long queue does not wake the pool for each single one.
const REFILL: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
struct Entry {
    /// Set while a wish waits.
    wish: Option<Wish>,
    granted: u32,
    not_before: Option<Instant>,
}

/// What is to be fetched, and why it was last asked for.
#[derive(Debug, Clone, Copy)]
struct Wish {
    reason: StaleReason,
    /// On this feed only; on all that carry the asset else.
    feed: Option<FeedId>,
}

/// Due wishes, and when to ask again if some had to wait.
#[derive(Debug, Default)]
pub struct Due {
    /// Assets to be subscribed anew, each with the reason it was last asked for.
    pub assets: Vec<(AssetKey, StaleReason)>,
    /// The same, each on one feed only.
    pub on_feed: Vec<(FeedId, AssetKey, StaleReason)>,
    /// When the next waiting wish falls due.
    pub next: Option<Instant>,
}

impl ResyncQueue {
    /// An empty queue.
    pub fn new(config: ResyncConfig) -> Self {
        Self {
            config,
            entries: Mutex::default(),
            ready: Notify::new(),
            requested: AtomicU64::new(0),
            merged: AtomicU64::new(0),
            granted: AtomicU64::new(0),
        }
    }

    /// Waits until a wish came in. Remembers one wake-up while nobody waits.
    pub async fn wished(&self) {
        self.ready.notified().await;
    }

    /// Takes the wishes that are due, within the budget.
    pub fn take(&self, now: Instant) -> Due {
        let mut entries = self.entries.lock();
        entries.refill(now, &self.config);
        entries.forgive(now, self.config.forgive);
        let mut due = Due::default();
        while let Some(&turn) = entries.queue.first() {
            let (at, _, asset) = turn;
            if let Some(at) = at.filter(|at| *at > now) {
                due.next = Some(at);
                break;
            }
            if entries.tokens < 1.0 {
                due.next = Some(now + REFILL);
                break;
            }
            entries.tokens -= 1.0;
            entries.queue.remove(&turn);
            let granted = entries
                .by_asset
                .get_mut(&asset)
                .and_then(|entry| entry.grant(now, &self.config));
            match granted {
                Some(Wish { reason, feed: None }) => due.assets.push((asset, reason)),
                Some(Wish {
                    reason,
                    feed: Some(feed),
                }) => due.on_feed.push((feed, asset, reason)),
                None => {}
            }
        }
        let granted = due.assets.len() + due.on_feed.len();
        let granted = u64::try_from(granted).unwrap_or(u64::MAX);
        self.granted.fetch_add(granted, Ordering::Relaxed);
        due
    }

    /// What it has seen so far.
    pub fn stats(&self) -> ResyncStats {
        ResyncStats {
            requested: self.requested.load(Ordering::Relaxed),
            merged: self.merged.load(Ordering::Relaxed),
            granted: self.granted.load(Ordering::Relaxed),
            waiting: self.entries.lock().queue.len(),
        }
    }
}

impl Entry {
    /// Hands the wish out; the next one waits longer.
    fn grant(&mut self, now: Instant, config: &ResyncConfig) -> Option<Wish> {
        let wish = self.wish.take()?;
        let quiet = self
            .not_before
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if quiet >= config.forgive {
            self.granted = 0;
        }
        let wait = config
            .backoff
            .saturating_mul(2u32.saturating_pow(self.granted))
            .min(config.backoff_cap);
        self.granted = self.granted.saturating_add(1);
        // Up to a quarter more: what went wrong together shall not ask together
        // for ever.
        self.not_before = Some(now + wait.mul_f64(1.0 + fastrand::f64() / 4.0));
        Some(wish)
    }
}

impl Entries {
    fn refill(&mut self, now: Instant, config: &ResyncConfig) {
        let burst = f64::from(config.per_second.max(1));
        self.tokens = match self.refilled {
            None => burst,
            Some(before) => {
                let since = now.saturating_duration_since(before).as_secs_f64();
                (self.tokens + since * burst).min(burst)
            }
        };
        self.refilled = Some(now);
    }

    /// Drops the past of assets that have long been quiet; walks them all, so
    /// not at each call.
    fn forgive(&mut self, now: Instant, after: Duration) {
        let last = *self.forgiven.get_or_insert(now);
        if now.saturating_duration_since(last) < after {
            return;
        }
        self.forgiven = Some(now);
        self.by_asset.retain(|_, entry| {
            entry.wish.is_some()
                || entry
                    .not_before
                    .is_some_and(|at| now.saturating_duration_since(at) < after)
        });
    }
}

impl ResyncSink for ResyncQueue {
    fn resync(&self, assets: &[AssetKey], reason: StaleReason) {
        self.wish(assets, Wish { reason, feed: None });
    }

    fn resync_feed(&self, feed: FeedId, assets: &[AssetKey], reason: StaleReason) {
        let feed = Some(feed);
        self.wish(assets, Wish { reason, feed });
    }
}

impl ResyncQueue {
    fn wish(&self, assets: &[AssetKey], wish: Wish) {
        if assets.is_empty() {
            return;
        }
        let mut merged = 0;
        {
            let mut entries = self.entries.lock();
            for &asset in assets {
                let entry = entries.by_asset.entry(asset).or_default();
                let due = entry.not_before;
                if let Some(known) = &mut entry.wish {
                    // Two feeds, or all of them: all of them.
                    let same = known.feed == wish.feed;
                    known.reason = wish.reason;
                    known.feed = wish.feed.filter(|_| same);
                    merged += 1;
                } else {
                    entry.wish = Some(wish);
                    entries.wishes += 1;
                    let turn = (due, entries.wishes, asset);
                    entries.queue.insert(turn);
                }
            }
        }
        let requested = u64::try_from(assets.len()).unwrap_or(u64::MAX);
        self.requested.fetch_add(requested, Ordering::Relaxed);
        self.merged.fetch_add(merged, Ordering::Relaxed);
        self.ready.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use polypy_core::{AssetInfo, Interner};

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
    fn a_wish_for_one_feed_is_granted_there_unless_another_joins_it() {
        let (queue, keys, now) = (queue(10), keys(3), Instant::now());
        queue.resync_feed(FeedId(1), &keys, StaleReason::Dropped);
        queue.resync_feed(FeedId(1), &keys[..1], StaleReason::Hash);
        queue.resync_feed(FeedId(2), &keys[1..2], StaleReason::Hash);
        queue.resync(&keys[2..], StaleReason::Top);
        let mut due = queue.take(now);
        due.assets.sort_unstable_by_key(|(key, _)| *key);
        assert_eq!(due.on_feed, [(FeedId(1), keys[0], StaleReason::Hash)]);
        let both = [(keys[1], StaleReason::Hash), (keys[2], StaleReason::Top)];
        assert_eq!(due.assets, both);
        assert_eq!(queue.stats().granted, 3);
    }

    #[test]
    fn asking_twice_is_asking_once_and_the_last_reason_counts() {
        let (queue, keys, now) = (queue(10), keys(1), Instant::now());
        queue.resync(&keys, StaleReason::Dropped);
        queue.resync(&keys, StaleReason::Hash);
        let due = queue.take(now);
        assert_eq!(due.assets, vec![(keys[0], StaleReason::Hash)]);
        assert_eq!(due.next, None);
        assert!(queue.take(now).assets.is_empty());
        let stats = queue.stats();
        assert_eq!((stats.requested, stats.merged, stats.granted), (2, 1, 1));
    }

    #[test]
    fn an_asset_that_keeps_asking_waits_longer_each_time() {
        let (queue, keys, start) = (queue(10), keys(1), Instant::now());
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..9 {
            queue.resync(&keys, StaleReason::Top);
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
            .zip([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0])
        {
            assert!((plain..plain * 1.25).contains(wait), "{wait} for {plain}");
        }
    }

    #[test]
    fn assets_that_went_wrong_together_do_not_ask_again_together() {
        let (queue, keys, now) = (queue(1_000), keys(500), Instant::now());
        queue.resync(&keys, StaleReason::Dropped);
        assert_eq!(queue.take(now).assets.len(), 500);
        queue.resync(&keys, StaleReason::Dropped);
        assert!(
            queue
                .take(now + Duration::from_millis(999))
                .assets
                .is_empty()
        );
        let mut granted = Vec::new();
        for tenth in 10..13u64 {
            let due = queue.take(now + Duration::from_millis(tenth * 100));
            granted.push(due.assets.len());
        }
        assert_eq!(granted.iter().sum::<usize>() + queue.stats().waiting, 500);
        assert!(granted.iter().all(|assets| *assets < 300), "{granted:?}");
    }

    /// Ten thousand books go wrong at once and stay wrong: each asks again every
    /// second. What is granted keeps to the budget in any second, no asset gets
    /// more than its backoff allows, and none is left out.
    #[test]
    fn ten_thousand_stale_books_are_no_storm() {
        let (queue, keys, start) = (queue(200), keys(10_000), Instant::now());
        let tick = Duration::from_millis(100);
        let mut grants: HashMap<AssetKey, Vec<Duration>> = HashMap::new();
        let mut by_second = vec![0usize; 121];
        for step in 0..1_200u32 {
            let at = tick * step;
            if step % 10 == 0 {
                queue.resync(&keys, StaleReason::Disconnected);
            }
            for (asset, _) in queue.take(start + at).assets {
                grants.entry(asset).or_default().push(at);
                by_second[usize::try_from(at.as_secs()).unwrap()] += 1;
            }
        }
        // The first second has what was saved before it.
        assert!(by_second[0] <= 400, "{}", by_second[0]);
        assert!(by_second[1..].iter().all(|grants| *grants <= 210));
        assert_eq!(grants.len(), keys.len(), "some were left out");
        for times in grants.values() {
            for (nth, pair) in times.windows(2).enumerate() {
                let least = Duration::from_secs(1 << nth.min(5)).min(Duration::from_secs(60));
                assert!(pair[1] - pair[0] >= least, "{times:?}");
            }
        }
    }

    #[test]
    fn a_storm_is_spread_by_the_budget_and_loses_nothing() {
        let (queue, keys, start) = (queue(100), keys(1_000), Instant::now());
        queue.resync(&keys, StaleReason::Disconnected);
        let mut now = start;
        let mut granted = 0;
        while granted < keys.len() {
            let due = queue.take(now);
            assert!(due.assets.len() <= 100);
            granted += due.assets.len();
            now = due.next.unwrap_or(now);
        }
        let took = (now - start).as_secs_f64();
        assert!((8.9..=9.2).contains(&took), "{took}");
        assert_eq!(queue.stats().waiting, 0);
    }

    #[test]
    fn the_past_is_forgiven() {
        let (queue, keys, now) = (queue(10), keys(3), Instant::now());
        queue.resync(&keys, StaleReason::Tick);
        assert_eq!(queue.take(now).assets.len(), 3);
        let later = now + Duration::from_secs(302);
        assert!(queue.take(later).assets.is_empty());
        assert!(queue.entries.lock().by_asset.is_empty());
    }
}
