//! What the slots of a partition work with, besides themselves.

use std::sync::Arc;
use std::time::Instant;

use polypy_core::{AssetKey, DecimalText, FeedId, StaleReason};

use crate::book::{ChangeLog, Context};
use crate::config::IntegrityConfig;
use crate::feeds::Feeds;
use crate::integrity::{Budget, Checker, CpuBudget};
use crate::stats::WorkerStats;

#[derive(Debug)]
pub(super) struct Desk {
    pub(super) resyncs: Vec<(AssetKey, StaleReason)>,
    pub(super) feed_resyncs: Vec<(FeedId, AssetKey, StaleReason)>,
    /// When to see whether a book is still stale.
    pub(super) retries: Vec<(Instant, AssetKey)>,
    /// Books to be looked at when time has passed, each once.
    pub(super) watched: Vec<AssetKey>,
    /// What has changed of the shown books since the end of the last batch.
    pub(super) log: ChangeLog,
    pub(super) found: Option<DecimalText>,
    pub(super) searches: Budget,
    pub(super) cpu: CpuBudget,
    pub(super) config: IntegrityConfig,
    pub(super) feeds: Arc<Feeds>,
    pub(super) stats: Arc<WorkerStats>,
}

impl Desk {
    pub(super) fn new(
        config: &IntegrityConfig,
        feeds: Arc<Feeds>,
        stats: Arc<WorkerStats>,
        now: Instant,
    ) -> Self {
        Self {
            resyncs: Vec::new(),
            feed_resyncs: Vec::new(),
            retries: Vec::new(),
            watched: Vec::new(),
            log: ChangeLog::default(),
            found: None,
            searches: Budget::new(config.searches_per_second, now),
            cpu: CpuBudget::new(config.hash_cpu_percent, now),
            config: config.clone(),
            feeds,
            stats,
        }
    }

    /// Nothing of what was asked for or noted matters any more.
    pub(super) fn clear(&mut self) {
        self.resyncs.clear();
        self.feed_resyncs.clear();
        self.retries.clear();
        self.watched.clear();
        self.log.abandon_batch();
        self.found = None;
    }

    /// As a slot sees it, at this moment.
    pub(super) fn context(&mut self, now: Instant) -> Context<'_> {
        Context {
            checker: Checker {
                config: &self.config,
                stats: &self.stats.integrity,
                searches: &mut self.searches,
                cpu: &mut self.cpu,
                found: &mut self.found,
                now,
            },
            stats: &self.stats,
            feeds: &self.feeds,
            resyncs: &mut self.resyncs,
            feed_resyncs: &mut self.feed_resyncs,
            retries: &mut self.retries,
            watched: &mut self.watched,
            log: &mut self.log,
        }
    }
}
