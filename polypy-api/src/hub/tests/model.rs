//! The workers and the catalogue, in small: what is true, and what is written of it.

use polypy_core::{Figures, MarketEntry, MarketNumber, MarketStatus, NotFollowed, Verdict};

use super::*;

pub(super) const LANES: u16 = 2;

/// The workers and the catalogue, in small: what is true, and what is written of it.
pub(super) struct Model {
    pub(super) lanes: Arc<Lanes>,
    pub(super) inner: Mutex<Inner>,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) interner: Interner,
    pub(super) tokens: Vec<Truth>,
    /// Every book that there was, by token, epoch and sequence.
    pub(super) history: HashMap<(String, u64, u64), OrderBook>,
    pub(super) followed: HashSet<AssetKey>,
    pub(super) is_busy: bool,
    pub(super) is_down: [bool; LANES as usize],
    pub(super) suspended: bool,
    pub(super) trades: HashMap<AssetKey, u64>,
}

pub(super) struct Truth {
    pub(super) info: Arc<AssetInfo>,
    pub(super) book: OrderBook,
    pub(super) position: BookPosition,
    pub(super) status: BookStatus,
    pub(super) at: Timestamp,
    pub(super) is_gone: bool,
}

impl Truth {
    pub(super) fn id(&self) -> String {
        self.info.asset_id.to_string()
    }
}

impl Inner {
    pub(super) fn find(&self, key: AssetKey) -> Option<usize> {
        let is_it = |truth: &Truth| truth.info.key == key && !truth.is_gone;
        self.tokens.iter().position(is_it)
    }

    pub(super) fn note(&mut self, at: usize) {
        let truth = &self.tokens[at];
        let place = (truth.id(), truth.position.epoch, truth.position.sequence);
        self.history.insert(place, truth.book.clone());
    }

    pub(super) fn whole(&self, at: usize) -> BookChange {
        let truth = &self.tokens[at];
        if truth.position.epoch == 0 {
            return BookChange::Status(Box::new(StatusChange {
                asset: truth.info.key,
                position: truth.position,
                status: truth.status,
            }));
        }
        BookChange::Whole(Box::new(WholeBook {
            info: Arc::clone(&truth.info),
            book: truth.book.clone(),
            position: truth.position,
            status: truth.status,
            hash: BookHash::from_hex(&[b'7'; 40]),
            at: truth.at,
            received: truth.status.since,
        }))
    }
}

pub(super) fn lane_of(key: AssetKey) -> Lane {
    Lane(key.shard().index() % LANES)
}

impl ChangeSource for Model {
    fn lanes(&self) -> u16 {
        LANES
    }

    fn lane_of(&self, asset: AssetKey) -> Lane {
        lane_of(asset)
    }

    fn is_running(&self, lane: Lane) -> bool {
        !self.inner.lock().is_down[usize::from(lane.0)]
    }

    fn follow(&self, lane: Lane, assets: &[AssetKey]) -> bool {
        let mut inner = self.inner.lock();
        if inner.is_busy || inner.is_down[usize::from(lane.0)] {
            return false;
        }
        let mut changes = Vec::new();
        for asset in assets {
            assert_eq!(lane_of(*asset), lane);
            changes.push(match inner.find(*asset) {
                Some(at) => {
                    inner.followed.insert(*asset);
                    inner.whole(at)
                }
                None => BookChange::Gone(*asset),
            });
        }
        self.lanes.append(lane, &mut changes);
        true
    }

    fn unfollow(&self, _lane: Lane, assets: &[AssetKey]) -> bool {
        let mut inner = self.inner.lock();
        if inner.is_busy {
            return false;
        }
        for asset in assets {
            inner.followed.remove(asset);
        }
        true
    }

    fn review(&self, lane: Lane) -> Option<bool> {
        let mut inner = self.inner.lock();
        if inner.is_busy {
            return None;
        }
        let is_suspended = inner.suspended;
        let mut changes = Vec::new();
        if is_suspended {
            for truth in &mut inner.tokens {
                if lane_of(truth.info.key) == lane && truth.status.state == BookState::Live {
                    truth.status.state = BookState::Stale(StaleReason::Suspended);
                    changes.push(BookChange::Status(Box::new(StatusChange {
                        asset: truth.info.key,
                        position: truth.position,
                        status: truth.status,
                    })));
                }
            }
            changes.retain(|change| match change {
                BookChange::Status(status) => inner.followed.contains(&status.asset),
                _ => true,
            });
        }
        self.lanes.append(lane, &mut changes);
        Some(is_suspended)
    }
}

impl CatalogueSource for Model {
    fn resolve(&self, selector: &Selector) -> Vec<AssetKey> {
        let inner = self.inner.lock();
        let known = inner.tokens.iter().filter(|truth| !truth.is_gone);
        known
            .filter(|truth| match selector {
                Selector::Everything => true,
                Selector::Token(id) => truth.info.asset_id.as_str() == &**id,
                named => names(named, &market(&truth.info)),
            })
            .map(|truth| truth.info.key)
            .collect()
    }

    fn token(&self, asset: AssetKey) -> Option<TokenInfo> {
        let inner = self.inner.lock();
        let truth = &inner.tokens[inner.find(asset)?];
        Some(TokenInfo {
            info: Arc::clone(&truth.info),
            outcome: Some("Yes".into()),
            winner: None,
        })
    }

    fn market(&self, asset: AssetKey) -> Option<Arc<Market>> {
        let inner = self.inner.lock();
        let truth = &inner.tokens[inner.find(asset)?];
        Some(market(&truth.info))
    }

    /// The token 1000 is listed, and nobody follows it.
    fn not_followed(&self, selector: &Selector) -> Option<MarketEntry> {
        (selector.text() == "1000").then(|| MarketEntry {
            number: MarketNumber::new(7),
            market: Arc::new(Market::new(ConditionId::new("0x3e8").unwrap(), Vec::new())),
            figures: Figures::default(),
            tags: None,
            status: MarketStatus::Open,
            resolution: None,
            verdict: Verdict::NotFollowed(NotFollowed::Volume),
            keys: None,
        })
    }
}

/// The market of a token: 7 has the slug `market-7`, and is of the event `odd`.
pub(super) fn market(info: &AssetInfo) -> Arc<Market> {
    let number: u64 = info.asset_id.as_str().parse().unwrap();
    let event = if number.is_multiple_of(2) {
        "even"
    } else {
        "odd"
    };
    Arc::new(Market {
        question: "?".to_owned(),
        slug: Some(format!("market-{number}").into()),
        event: Some(Arc::new(EventRef {
            id: None,
            slug: event.into(),
            title: event.into(),
            neg_risk: false,
            neg_risk_augmented: false,
        })),
        ..Market::new(
            info.condition_id.clone(),
            vec![Token {
                token_id: info.asset_id.clone(),
                outcome: "Yes".into(),
            }],
        )
    })
}

/// Whether a filter's words name a market.
pub(super) fn names(selector: &Selector, market: &Market) -> bool {
    match selector {
        Selector::Everything => true,
        Selector::Market(name) => {
            market.condition_id.as_str() == &**name || market.slug.as_ref() == Some(name)
        }
        Selector::Event(slug) => market.event.as_ref().unwrap().slug == *slug,
        _ => false,
    }
}

#[derive(Debug, Default)]
pub(super) struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_795_429_800_000)
    }
}

pub(super) fn price(tick: u8) -> Price {
    Price::from_millionths(u32::from(tick) * 10_000).unwrap()
}
