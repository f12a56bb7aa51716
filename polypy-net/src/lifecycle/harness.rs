//! A Gamma in memory, and a controller at work on it, for the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};

use polypy_core::catalogue::{SeatOrder, SeatRule};
use polypy_core::{
    AssetId, AssetKey, BookControl, BookEvent, CatalogueSink, ConditionId, Interner, MarketChange,
    MarketResolved, NewMarket, Purpose, StaleReason, Timestamp,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::*;
use crate::clob::Fetched;
use crate::gamma::GammaConfig;
use crate::rest::RestConfig;
use crate::rest::fake::{FakeService, Reply, Seen};

/// The moment of all tests.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_770_000_000_000);
/// When the feed says that markets were resolved, and when Gamma that they were closed.
pub(super) const ANNOUNCED: Timestamp = Timestamp::from_millis(1_769_999_000_000);
pub(super) const CLOSED: Timestamp = Timestamp::from_millis(1_769_998_000_000);

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A Gamma that lists what it is told to, page by page.
#[derive(Debug, Default)]
pub(super) struct SimulatedVenue {
    /// Market to whether it is closed.
    pub(super) markets: BTreeMap<u32, bool>,
    /// Markets that the listing leaves out, and look-ups do not.
    pub(super) hidden: BTreeSet<u32>,
    /// Markets known to nobody yet.
    pub(super) unborn: BTreeSet<u32>,
    pub(super) page: usize,
    pub(super) fault: Option<Reply>,
    /// Gives page one again and again.
    pub(super) stuck: bool,
    /// Lists of open markets call these closed.
    pub(super) called_closed: BTreeSet<u32>,
    /// Markets whose look-up fails, whatever else is looked up with it.
    pub(super) poisoned: BTreeSet<u32>,
    /// The CLOB keeps books of these although they are closed.
    pub(super) kept: BTreeSet<u32>,
    /// The CLOB has no books of these although they are open.
    pub(super) denied: BTreeSet<u32>,
    /// The CLOB does not answer.
    pub(super) clob_is_down: bool,
    /// Dollars traded in a day, where they are stated.
    pub(super) traded: BTreeMap<u32, u64>,
    /// Hours from now to the end of those that have not ended long ago.
    pub(super) hours_left: BTreeMap<u32, u64>,
    /// Closed markets whose second token is said to have won.
    pub(super) decided: BTreeSet<u32>,
}

pub(super) type SharedVenue = Arc<Mutex<SimulatedVenue>>;

pub(super) fn row(market: u32, closed: bool) -> Value {
    json!({
        "id": market.to_string(),
        "conditionId": format!("0x{market:x}"),
        "question": format!("market {market}?"),
        "clobTokenIds": [format!("{market}1"), format!("{market}2")],
        "endDate": "2020-01-01T00:00:00Z",
        "closed": closed,
    })
}

impl SimulatedVenue {
    fn answer(&self, seen: &Seen) -> Reply {
        if let Some(fault) = &self.fault {
            return fault.clone();
        }
        let (_, query) = seen.line.split_once('?').unwrap();
        let values = |name: &str| -> Vec<String> {
            query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .filter(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
                .collect()
        };
        let closed = values("closed") == ["true"];
        let asked = values("condition_ids");
        let mut poisoned = self.poisoned.iter().map(|market| format!("0x{market:x}"));
        if poisoned.any(|id| asked.contains(&id)) {
            return Reply::Status(500, Vec::new(), String::new());
        }
        let rows: Vec<Value> = self
            .markets
            .iter()
            .filter(|(market, is_closed)| {
                **is_closed == closed
                    && !self.unborn.contains(market)
                    && if asked.is_empty() {
                        !self.hidden.contains(market)
                    } else {
                        asked.contains(&format!("0x{market:x}"))
                    }
            })
            .map(|(market, closed)| {
                let called = asked.is_empty() && self.called_closed.contains(market);
                let mut row = row(*market, *closed || called);
                if let Some(dollars) = self.traded.get(market) {
                    row["volume24hr"] = (*dollars).into();
                }
                if let Some(hours) = self.hours_left.get(market) {
                    let end = Timestamp::from_millis(NOW.millis() + hours * 3_600_000);
                    row["endDate"] = end.to_string().into();
                }
                if *closed {
                    row["closedTime"] = CLOSED.to_string().into();
                }
                if *closed && self.decided.contains(market) {
                    row["outcomePrices"] = "[\"0\", \"1\"]".into();
                }
                row
            })
            .collect();
        let begin: usize = values("after_cursor")
            .first()
            .map_or(0, |cursor| cursor.parse().unwrap());
        let begin = if self.stuck { 0 } else { begin };
        // A look-up fits in one page.
        let page = if asked.is_empty() {
            self.page
        } else {
            rows.len()
        };
        let end = rows.len().min(begin + page);
        let mut page = json!({ "markets": rows[begin..end] });
        if end < rows.len() || self.stuck {
            page["next_cursor"] = end.to_string().into();
        }
        Reply::Ok(page.to_string())
    }
}

/// A CLOB that has books of what is open.
pub(super) struct Clob(SharedVenue);

impl BookFetch for Clob {
    fn books<'a>(
        &'a self,
        assets: &'a [AssetId],
        known: &'a RwLock<Interner>,
        _purpose: Purpose,
    ) -> BoxFuture<'a, Fetched> {
        Box::pin(async move {
            let world = self.0.lock();
            if world.clob_is_down {
                return Fetched {
                    unanswered: assets.to_vec(),
                    ..Fetched::default()
                };
            }
            let has_book = |id: &&AssetId| {
                // The market's number, and one digit for the outcome.
                let market = &id.as_str()[..id.as_str().len() - 1];
                let market = market.parse().unwrap();
                let is_open = world.markets.get(&market) == Some(&false);
                world.kept.contains(&market) || is_open && !world.denied.contains(&market)
            };
            let books = assets.iter().filter(has_book).map(|id| BookEvent {
                info: Arc::clone(known.read().get(id.as_str()).unwrap()),
                timestamp: Timestamp::from_millis(1),
                hash: None,
                bids: Vec::new(),
                asks: Vec::new(),
                tick_size: None,
                last_trade_price: None,
                min_order_size: None,
                neg_risk: None,
                version: None,
            });
            Fetched {
                books: books.collect(),
                ..Fetched::default()
            }
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct Sink {
    pub(super) settled: Mutex<Vec<AssetKey>>,
    pub(super) forgotten: Mutex<Vec<AssetKey>>,
    told: Mutex<Vec<String>>,
    /// Asked whenever books are forgotten.
    registry: OnceLock<Arc<AssetRegistry>>,
    /// Assets whose books were forgotten when the registry still knew them.
    pub(super) forgotten_first: AtomicUsize,
}

impl CatalogueSink for Sink {
    fn changed(&self, change: MarketChange) {
        let mut word = word(&change);
        let is_too_late = self.registry.get().is_some_and(|registry| match &change {
            MarketChange::New(_) => false,
            MarketChange::Resolved { market, .. } | MarketChange::Ended { market, .. } => {
                !registry.is_live(&market.condition_id)
            }
            MarketChange::Forgotten { market, .. } => {
                registry.market(&market.condition_id).is_none()
            }
        });
        if is_too_late {
            word.push_str(", too late");
        }
        self.told.lock().push(word);
    }
}

impl Sink {
    /// What happened since the last time, a word and a market each, and who won.
    pub(super) fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock())
    }
}

fn word(change: &MarketChange) -> String {
    match change {
        MarketChange::New(market) => format!("new {}", market.condition_id),
        MarketChange::Resolved { market, winner, at } => {
            let winner = winner.as_ref().map_or("nobody", AssetId::as_str);
            let when = match at {
                Some(ANNOUNCED | CLOSED) => "",
                _ => ", nobody knows when",
            };
            format!("resolved {} {winner}{when}", market.condition_id)
        }
        MarketChange::Ended { market, reason, .. } => {
            format!("ended {} {reason}", market.condition_id)
        }
        MarketChange::Forgotten { market, keys } => {
            format!("forgotten {} {}", market.condition_id, keys.len())
        }
    }
}

impl BookControl for Sink {
    fn mark_stale(&self, _assets: &[AssetKey], _reason: StaleReason) {}
    fn settle(&self, assets: &[AssetKey]) {
        self.settled.lock().extend(assets);
    }
    fn forget(&self, assets: &[AssetKey]) {
        self.forgotten.lock().extend(assets);
        if let Some(registry) = self.registry.get() {
            let known = assets.iter().filter(|key| registry.status(**key).is_some());
            self.forgotten_first
                .fetch_add(known.count(), Ordering::Relaxed);
        }
    }
}

/// Stands still and counts who asks.
#[derive(Debug, Default)]
pub(super) struct StillClock(AtomicUsize);

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        self.0.fetch_add(1, Ordering::Relaxed);
        NOW
    }
}

pub(super) struct Harness {
    pub(super) world: SharedVenue,
    pub(super) service: Arc<FakeService>,
    pub(super) registry: Arc<AssetRegistry>,
    pub(super) sink: Arc<Sink>,
    pub(super) controller: LifecycleController,
    /// No connection is open.
    pub(super) is_silent: Arc<AtomicBool>,
}

impl Harness {
    pub(super) fn new(markets: impl IntoIterator<Item = u32>, config: LifecycleConfig) -> Self {
        let world = Arc::new(Mutex::new(SimulatedVenue {
            markets: markets.into_iter().map(|market| (market, false)).collect(),
            page: 2,
            ..SimulatedVenue::default()
        }));
        let service = FakeService::new({
            let world = Arc::clone(&world);
            move |seen| world.lock().answer(seen)
        });
        let registry = Arc::new(AssetRegistry::default());
        let sink = Arc::new(Sink::default());
        assert!(sink.registry.set(Arc::clone(&registry)).is_ok());
        let controller = LifecycleController::new(
            config,
            GammaClient::new(
                service.client(RestConfig {
                    attempts: 1,
                    ..RestConfig::default()
                }),
                GammaConfig::default(),
            ),
            Arc::new(Clob(Arc::clone(&world))),
            Arc::clone(&registry),
            Arc::<Sink>::clone(&sink),
            vec![Arc::<Sink>::clone(&sink)],
            Arc::new(StillClock::default()),
        );
        // As the pool says it: one carries what is followed, unless a test says otherwise.
        let is_silent = Arc::<AtomicBool>::default();
        controller.heard_if({
            let (registry, is_silent) = (Arc::clone(&registry), Arc::clone(&is_silent));
            move || registry.live_market_count() > 0 && !is_silent.load(Ordering::Relaxed)
        });
        Self {
            world,
            service,
            registry,
            sink,
            controller,
            is_silent,
        }
    }

    pub(super) async fn started(markets: impl IntoIterator<Item = u32>) -> Self {
        let harness = Self::new(markets, LifecycleConfig::default());
        harness.controller.start().await.unwrap();
        sleep(SECOND).await;
        harness
    }

    pub(super) fn live(&self) -> BTreeSet<String> {
        self.registry
            .live_conditions()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    pub(super) fn lives(&self, market: u32) -> bool {
        self.live().contains(&format!("0x{market:x}"))
    }

    pub(super) fn stat(&self, pointer: &str) -> u64 {
        let stats = self.controller.stats();
        stats.pointer(pointer).unwrap().as_u64().unwrap()
    }

    pub(super) fn lookups(&self) -> usize {
        let lines = self.service.lines();
        lines.iter().filter(|l| l.contains("condition_ids")).count()
    }

    pub(super) async fn stop(&self) {
        self.controller.stop().await;
        assert_eq!(self.controller.state(), ComponentState::Stopped);
    }
}

/// The most traded of a day, so many at most.
pub(super) fn at_most(markets: usize) -> Selection {
    let seats = std::num::NonZeroUsize::new(markets).map(|most| SeatRule {
        most,
        order: SeatOrder::VolumeDay,
    });
    Selection {
        seats,
        ..Selection::default()
    }
}

pub(super) fn condition(market: u32) -> ConditionId {
    format!("0x{market:x}").parse().unwrap()
}

pub(super) fn announced(market: u32) -> LifecycleEvent {
    LifecycleEvent::NewMarket(NewMarket {
        condition_id: condition(market),
        asset_ids: tokens(market),
    })
}

pub(super) fn resolved(market: u32) -> LifecycleEvent {
    won_by(market, None)
}

pub(super) fn won_by(market: u32, winner: Option<&str>) -> LifecycleEvent {
    LifecycleEvent::Resolved(MarketResolved {
        condition_id: condition(market),
        asset_ids: tokens(market),
        winner: winner.map(|id| id.parse().unwrap()),
        at: Some(ANNOUNCED),
    })
}

pub(super) fn tokens(market: u32) -> Vec<AssetId> {
    [1, 2]
        .map(|side| format!("{market}{side}").parse().unwrap())
        .to_vec()
}
