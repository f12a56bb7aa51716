//! A catalogue that tests write, and tops that they set.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use polypy_core::catalogue::{
    CatalogueTable, CatalogueView, Explanation, Judgement, Selection, SelectionSource,
    SelectionView,
};
use polypy_core::{
    AssetId, AssetInfo, AssetKey, BookLookup, BookPosition, BookSource, BookState, BookTop,
    CatalogueSource, Clock, ConditionId, EventRef, Figures, Group, Interner, Level, Listed as Row,
    Market, MarketEntry, MarketNumber, Selector, Tag, Timestamp, Token, TokenInfo, TradesLookup,
    Verdict,
};

use super::Reads;
use crate::cursor::Instance;

/// 2025-12-08T10:30:00.000Z.
pub(crate) const NOW: u64 = 1_765_189_800_000;

pub(crate) struct Now;

impl Clock for Now {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(NOW)
    }
}

/// Goes along with the monotonic clock, as a real one does.
pub(crate) struct Running(Instant);

impl Running {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for Running {
    fn now(&self) -> Timestamp {
        let passed = u64::try_from(self.0.elapsed().as_millis()).unwrap();
        Timestamp::from_millis(NOW + passed)
    }
}

/// A catalogue, and the selection that judges it.
#[derive(Default)]
pub(crate) struct Listed {
    pub(crate) table: Mutex<CatalogueTable>,
    selection: Mutex<Arc<Selection>>,
    names: Mutex<Interner>,
}

/// A market of the tokens `n1` and `n2`.
pub(crate) fn row(number: u64) -> Row {
    let token = |at: u64, outcome: &str| Token {
        token_id: AssetId::new(&format!("{}", number * 10 + at)).unwrap(),
        outcome: outcome.into(),
    };
    Row {
        market: Market {
            question: format!("Does {number} hold?"),
            slug: Some(format!("does-{number}-hold").into()),
            ..Market::new(
                ConditionId::new(&format!("0x{number:064x}")).unwrap(),
                vec![token(1, "Yes"), token(2, "No")],
            )
        },
        figures: Figures::default(),
        tags: None,
    }
}

/// The row as part of this event.
pub(crate) fn of_event(mut row: Row, slug: &str, order: i32) -> Row {
    row.market.event = Some(Arc::new(EventRef {
        id: Some("77".into()),
        slug: slug.into(),
        title: format!("What of {slug}?").into(),
        neg_risk: true,
        neg_risk_augmented: false,
    }));
    row.market.neg_risk = true;
    row.market.group = Some(Box::new(Group {
        title: format!("Number {order}").into(),
        order: Some(order),
    }));
    row
}

pub(crate) fn tag(slug: &str, label: &str) -> Tag {
    Tag {
        slug: slug.into(),
        label: label.into(),
    }
}

impl Listed {
    /// Takes markets in.
    pub(crate) fn take(&self, rows: impl IntoIterator<Item = Row>) {
        let mut table = self.table.lock();
        for row in rows {
            table.take_in(row).unwrap();
        }
    }

    /// The listing was read to its end.
    pub(crate) fn complete(&self) {
        self.table.lock().complete();
    }

    /// Follows the market of this number in the catalogue; the keys of its tokens.
    pub(crate) fn follow(&self, number: u64) -> Arc<[AssetKey]> {
        let (mut table, mut names) = (self.table.lock(), self.names.lock());
        let number = MarketNumber::new(number);
        let market = Arc::clone(&table.get(number).unwrap().entry.market);
        let keys: Arc<[AssetKey]> = market
            .tokens
            .iter()
            .map(|token| {
                let (token, condition) = (&token.token_id, &market.condition_id);
                let describe = |key| AssetInfo::new(key, token.clone(), condition.clone());
                names.insert(token, condition, describe).key
            })
            .collect();
        table.set_verdict(number, Verdict::Followed, Some(Arc::clone(&keys)));
        keys
    }

    /// Chooses, and judges all.
    pub(crate) fn select(&self, selection: Selection) {
        let selection = Arc::new(selection);
        let view = self.table.lock().view();
        let judge = selection.judge(None, view.tags(), Now.now());
        for found in view.iter() {
            let number = found.entry.number;
            match judge.of(found, &mut ()) {
                Judgement::Unwanted(reason) => {
                    let verdict = Verdict::NotFollowed(reason);
                    self.table.lock().set_verdict(number, verdict, None);
                }
                _ => drop(self.follow(number.get())),
            }
        }
        *self.selection.lock() = Arc::clone(&selection);
    }
}

impl SelectionSource for Listed {
    fn view(&self) -> Arc<CatalogueView> {
        self.table.lock().view()
    }

    fn find(&self, name: &str) -> Vec<MarketEntry> {
        self.table.lock().find(name)
    }

    fn of_token(&self, token_id: &str) -> Option<MarketEntry> {
        self.table.lock().of_token(token_id)
    }

    fn event(&self, slug: &str) -> Vec<MarketEntry> {
        self.table.lock().event(slug)
    }

    fn explain(&self, number: MarketNumber) -> Option<Explanation> {
        let (table, selection) = (self.table.lock(), self.selection.lock());
        let found = table.get(number)?;
        let judge = selection.judge(Some(&selection), table.tags(), Now.now());
        Some(Explanation {
            entry: found.entry.clone(),
            generation: 1,
            checks: judge.explain(found),
        })
    }

    fn selection(&self) -> SelectionView {
        let view = self.view();
        let is_followed = |entry: &MarketEntry| entry.verdict == Verdict::Followed;
        SelectionView {
            selection: Arc::clone(&self.selection.lock()),
            generation: 1,
            listed: view.len(),
            followed: view.iter().filter(|it| is_followed(it.entry)).count(),
        }
    }
}

/// Tops that tests set, and no books.
#[derive(Default)]
pub(crate) struct Shelf(Mutex<HashMap<AssetKey, BookTop>>);

impl Shelf {
    pub(crate) fn set(&self, asset: AssetKey, state: BookState, bid: &str, ask: &str, at: u64) {
        let level = |price: &str| {
            (!price.is_empty()).then(|| Level::new(price.parse().unwrap(), "12.5".parse().unwrap()))
        };
        let top = BookTop {
            asset,
            bid: level(bid),
            ask: level(ask),
            state,
            verified: (state == BookState::Live).then_some(true),
            position: BookPosition {
                epoch: 3,
                sequence: 4_711,
                revision: 7,
            },
            last_update: Timestamp::from_millis(at),
        };
        self.0.lock().insert(asset, top);
    }
}

impl BookSource for Shelf {
    fn book(&self, _: &str, _: usize) -> BookLookup {
        BookLookup::Unknown
    }

    fn trades(&self, _: &str, _: usize) -> TradesLookup {
        TradesLookup::Unknown
    }

    fn books(&self, assets: &[AssetKey], _: usize) -> Vec<BookLookup> {
        assets.iter().map(|_| BookLookup::Unknown).collect()
    }

    fn tops(&self, assets: &[AssetKey]) -> Vec<Option<BookTop>> {
        let tops = self.0.lock();
        assets.iter().map(|key| tops.get(key).copied()).collect()
    }
}

struct Nobody;

impl CatalogueSource for Nobody {
    fn resolve(&self, _: &Selector) -> Vec<AssetKey> {
        Vec::new()
    }

    fn token(&self, _: AssetKey) -> Option<TokenInfo> {
        None
    }

    fn market(&self, _: AssetKey) -> Option<Arc<Market>> {
        None
    }
}

/// Where reads are answered from, with a catalogue and tops to be written.
pub(crate) fn reads() -> (Arc<Listed>, Arc<Shelf>, Arc<Reads>) {
    let (listed, shelf) = (Arc::<Listed>::default(), Arc::<Shelf>::default());
    let reads = Reads::new(
        shelf.clone(),
        Arc::new(Nobody),
        listed.clone(),
        (Arc::new(Now), Instance::random()),
        1 << 20,
    );
    (listed, shelf, Arc::new(reads))
}
