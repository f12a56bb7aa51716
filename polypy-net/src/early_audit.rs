//! Which books are to be audited before their turn.
//!
//! A connection asks when an event of a type that nobody here knows is about a
//! token that it carries: the book may have changed, and nothing that can be read
//! says so. The auditor takes what is due and compares it with CLOB's. A token
//! waits once, however often it is named, so that it is asked for once in
//! `DELAY` at most.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use polypy_core::AssetKey;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::counter::{add, count};

/// From the request to the comparison. REST lags behind the feed by up to 1.1 s:
/// asked earlier it may answer with the book of before the event.
const DELAY: Duration = Duration::from_millis(1_500);

/// Books to be compared soon. Bounded by the assets that exist: one entry each.
#[derive(Debug, Default)]
pub struct EarlyAudits {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    requested: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    assets: HashSet<AssetKey>,
    /// The earliest first: all wait equally long.
    queue: VecDeque<(Instant, AssetKey)>,
}

impl EarlyAudits {
    /// Has these assets' books compared soon. Never waits.
    pub fn request(&self, assets: &[AssetKey]) {
        let due = Instant::now() + DELAY;
        let mut fresh = 0;
        let mut waiting = self.waiting.lock();
        for &asset in assets {
            if waiting.assets.insert(asset) {
                waiting.queue.push_back((due, asset));
                fresh += 1;
            }
        }
        drop(waiting);
        if fresh > 0 {
            add(&self.requested, count(fresh));
            self.arrived.notify_one();
        }
    }

    /// Waits for the next that are due, and takes up to `limit` of them.
    pub async fn due(&self, limit: usize) -> Vec<AssetKey> {
        loop {
            let next = self.waiting.lock().queue.front().map(|(due, _)| *due);
            match next {
                Some(due) => sleep_until(due).await,
                // A request after the look leaves its permit behind.
                None => self.arrived.notified().await,
            }
            let assets = self.take(limit, Instant::now());
            if !assets.is_empty() {
                return assets;
            }
        }
    }

    fn take(&self, limit: usize, now: Instant) -> Vec<AssetKey> {
        let mut waiting = self.waiting.lock();
        let mut assets = Vec::new();
        while assets.len() < limit.max(1)
            && let Some(&(due, asset)) = waiting.queue.front()
            && due <= now
        {
            waiting.queue.pop_front();
            waiting.assets.remove(&asset);
            assets.push(asset);
        }
        assets
    }

    /// Assets named since the beginning, each once while it waited.
    pub fn requested(&self) -> u64 {
        self.requested.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use polypy_core::{AssetInfo, Interner};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_token_waits_once_and_is_due_after_the_delay() {
        let (audits, mut interner) = (EarlyAudits::default(), Interner::default());
        let condition = "0xa1".parse().unwrap();
        let keys: Vec<_> = (0..4)
            .map(|id| {
                let id = id.to_string().parse().unwrap();
                let info = interner.insert(&id, &condition, |key| {
                    AssetInfo::new(key, id.clone(), condition.clone())
                });
                info.key
            })
            .collect();
        let key = |at: usize| keys[at];
        let start = Instant::now();
        audits.request(&[key(1), key(2)]);
        for _ in 0..1_000 {
            audits.request(&[key(2), key(3)]);
        }
        assert_eq!(audits.due(2).await, [key(1), key(2)]);
        assert_eq!(start.elapsed(), DELAY);
        // What is named again meanwhile waits again, behind the rest.
        audits.request(&[key(1)]);
        assert_eq!(audits.due(9).await, [key(3)]);
        assert_eq!(audits.due(9).await, [key(1)]);
        assert_eq!(start.elapsed(), 2 * DELAY);
        assert_eq!(audits.requested(), 4);
    }
}
