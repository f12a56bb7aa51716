//! What the server shows: trait objects of `polypy-core`, nothing concrete.

use std::fmt;
use std::sync::Arc;

use polypy_core::probe::ProbeSource;
use polypy_core::{BookSource, Clock, HealthSource, MarketSource, StatsSource};

use crate::handler::OfHealth;

/// Where answers come from.
///
/// Health, statistics and a clock are enough; without markets or books their
/// routes answer 503 and say so, and without probes of its own a component is ready
/// while it is healthy.
#[derive(Clone)]
pub struct Sources {
    pub(crate) health: Arc<dyn HealthSource>,
    pub(crate) probes: Arc<dyn ProbeSource>,
    pub(crate) stats: Arc<dyn StatsSource>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) markets: Option<Arc<dyn MarketSource>>,
    pub(crate) books: Option<Arc<dyn BookSource>>,
}

impl Sources {
    /// `health` for `/health`, `stats` for `/stats`, and the clock that stamps
    /// answers.
    pub fn new(
        health: Arc<dyn HealthSource>,
        stats: Arc<dyn StatsSource>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            probes: Arc::new(OfHealth(Arc::clone(&health))),
            health,
            stats,
            clock,
            markets: None,
            books: None,
        }
    }

    /// Serves `/livez`, `/readyz` and `/startupz` from here.
    #[must_use]
    pub fn with_probes(mut self, probes: Arc<dyn ProbeSource>) -> Self {
        self.probes = probes;
        self
    }

    /// Serves `/markets` from here.
    #[must_use]
    pub fn with_markets(mut self, markets: Arc<dyn MarketSource>) -> Self {
        self.markets = Some(markets);
        self
    }

    /// Serves `/orderbook/{asset_id}` from here.
    #[must_use]
    pub fn with_books(mut self, books: Arc<dyn BookSource>) -> Self {
        self.books = Some(books);
        self
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("markets", &self.markets.is_some())
            .field("books", &self.books.is_some())
            .finish_non_exhaustive()
    }
}
