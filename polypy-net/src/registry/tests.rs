//! The registry against a plain model, and the rules a model would only restate.

use std::collections::{BTreeMap, BTreeSet};

use polypy_core::{DecimalText, EventRef, Token};
use proptest::prelude::*;

use super::*;

fn condition(market: u32) -> ConditionId {
    ConditionId::new(&format!("0x{market:x}")).unwrap()
}

fn market_with(market: u32, tokens: &[u32]) -> Market {
    let tokens = tokens.iter().map(|token| Token {
        token_id: token.to_string().parse().unwrap(),
        outcome: "Yes".into(),
    });
    Market {
        question: format!("market {market}?"),
        tick_size: DecimalText::new("0.01").ok(),
        min_order_size: DecimalText::new("5").ok(),
        ..Market::new(condition(market), tokens.collect())
    }
}

fn market(number: u32) -> Market {
    market_with(number, &[number * 10 + 1, number * 10 + 2])
}

fn key(registry: &AssetRegistry, token: u32) -> AssetKey {
    let interner = registry.interner().read();
    interner.get(&token.to_string()).unwrap().key
}

fn conditions(pending: &[PendingMarket]) -> Vec<&str> {
    pending.iter().map(|m| m.condition_id.as_str()).collect()
}

fn named(number: u32, slug: Option<&str>, event: Option<&str>) -> Market {
    let event = event.map(|slug| EventRef {
        id: None,
        slug: slug.into(),
        title: "Event".into(),
        neg_risk: false,
        neg_risk_augmented: false,
    });
    Market {
        slug: slug.map(Into::into),
        event: event.map(Arc::new),
        ..market(number)
    }
}

#[test]
fn markets_are_found_by_their_names_until_they_are_forgotten() {
    let registry = AssetRegistry::default();
    for number in [1, 2] {
        let slug = format!("market-{number}");
        registry.upsert(named(number, Some(&slug), Some("event")));
    }
    assert_eq!(registry.named("Market-2"), Some(condition(2)));
    assert_eq!(registry.of_event("EVENT"), [condition(1), condition(2)]);
    assert_eq!(registry.named("market-3"), None);
    // An answer without names takes none away, and is no news.
    let version = registry.version();
    registry.upsert(named(1, None, None));
    assert_eq!(registry.version(), version);
    assert_eq!(registry.named("market-1"), Some(condition(1)));
    // One that is renamed is found by the new name alone.
    registry.upsert(named(1, Some("renamed"), Some("Other")));
    assert_eq!(registry.named("market-1"), None);
    assert_eq!(registry.named("renamed"), Some(condition(1)));
    assert_eq!(registry.of_event("event"), [condition(2)]);
    // Of two with one name the later counts, and leaves with it.
    registry.upsert(named(3, Some("Renamed"), None));
    registry.forget(&condition(1));
    assert_eq!(registry.named("renamed"), Some(condition(3)));
    assert_eq!(registry.of_event("other"), []);
    registry.forget(&condition(2));
    registry.forget(&condition(3));
    assert_eq!(registry.named("renamed"), None);
    assert!(registry.tables.read().is_empty());
}

#[test]
fn who_won_is_known_of_an_ended_market_and_only_of_its_own_tokens() {
    let registry = AssetRegistry::default();
    registry.upsert(market(1));
    let token: AssetId = "12".parse().unwrap();
    assert!(!registry.decide(&condition(1), &"22".parse().unwrap()));
    assert!(!registry.decide(&condition(2), &token));
    assert!(registry.decide(&condition(1), &token));
    assert_eq!(registry.winner(&condition(1)), None, "it goes on");
    registry.expire(&condition(1));
    assert_eq!(registry.winner(&condition(1)), Some(token));
    registry.forget(&condition(1));
    registry.upsert(market(1));
    registry.expire(&condition(1));
    assert_eq!(registry.winner(&condition(1)), None, "another life");
}

#[test]
fn both_tokens_wait_together_and_the_oldest_market_comes_first() {
    let registry = AssetRegistry::default();
    for number in [3, 1, 2] {
        assert!(registry.upsert(market(number)).added);
    }
    let pending = registry.pending(2);
    assert_eq!(conditions(&pending), ["0x3", "0x1"]);
    assert_eq!(pending[0].assets.len(), 2);
    assert_eq!(pending[0].connection, None);
    assert_eq!(
        pending[0].assets[0].complement,
        Some(pending[0].assets[1].key)
    );
}

#[test]
fn a_half_assigned_market_names_the_connection_of_its_other_token() {
    let registry = AssetRegistry::default();
    registry.upsert(market(1));
    registry.assign(&[key(&registry, 11)], ConnectionId(4));
    let pending = registry.pending(10);
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].connection, Some(ConnectionId(4)));
    assert_eq!(pending[0].assets[0].key, key(&registry, 12));
}

#[test]
fn a_released_market_keeps_its_age() {
    let registry = AssetRegistry::default();
    registry.upsert(market(1));
    let keys = registry.assets_of(&condition(1));
    registry.assign(&keys, ConnectionId(0));
    registry.upsert(market(2));
    registry.release(&keys);
    assert_eq!(conditions(&registry.pending(10)), ["0x1", "0x2"]);
}

#[test]
fn a_changed_market_keeps_its_keys_and_shows_its_new_description() {
    let registry = AssetRegistry::default();
    registry.upsert(market(1));
    let yes = key(&registry, 11);
    registry.assign(&[yes], ConnectionId(0));
    let changed = Market {
        tick_size: DecimalText::new("0.001").ok(),
        neg_risk: true,
        ..market(1)
    };
    assert!(!registry.upsert(changed).added);
    let info = registry.interner().read().info(yes).cloned().unwrap();
    assert_eq!(key(&registry, 11), yes);
    assert_eq!(info.tick_size.unwrap().as_str(), "0.001");
    assert!(info.neg_risk);
    assert_eq!(info.complement, Some(key(&registry, 12)));
    assert_eq!(registry.status(yes), Some(AssetStatus::Subscribed));
}

#[test]
fn new_tokens_of_a_known_market_join_and_dropped_ones_stay_until_they_are_delisted() {
    let registry = AssetRegistry::default();
    registry.upsert(market(1));
    let old = registry.assets_of(&condition(1));
    registry.assign(&old, ConnectionId(0));
    assert!(!old.iter().any(|key| registry.delist(*key)), "listed");
    assert!(!registry.upsert(market_with(1, &[91, 92])).added);
    assert_eq!(registry.counts(), (2, 2, 0));
    let info = registry.interner().read().info(old[0]).cloned().unwrap();
    assert_eq!(info.complement, None, "no mirror of what is listed");
    for key in &old {
        assert!(registry.delist(*key));
        assert!(!registry.delist(*key));
    }
    assert_eq!(registry.counts(), (2, 0, 2));
    assert_eq!(registry.expired_on(ConnectionId(0)).len(), 2);
    assert_eq!(registry.forget(&condition(1)).len(), 4);
    assert_eq!(registry.counts(), (0, 0, 0));
    assert!(registry.interner().read().is_empty());
}

#[test]
fn a_token_that_is_listed_again_goes_on_or_comes_back_as_a_new_one() {
    let registry = AssetRegistry::default();
    registry.upsert(market(1));
    let keys = registry.assets_of(&condition(1));
    registry.assign(&keys, ConnectionId(0));
    // Nobody but one row missed it.
    registry.upsert(market_with(1, &[11]));
    assert_eq!(registry.upsert(market(1)), Upserted::default());
    assert_eq!(registry.assets_of(&condition(1)), keys);
    assert_eq!(registry.counts(), (0, 2, 0));
    // It had ended.
    registry.upsert(market_with(1, &[11]));
    assert!(registry.delist(keys[1]));
    let upserted = registry.upsert(market(1));
    assert_eq!(upserted.forgotten, keys[1..]);
    assert_eq!(registry.counts(), (1, 1, 0));
    let back = key(&registry, 12);
    assert_ne!(back, keys[1]);
    let info = registry.interner().read().info(keys[0]).cloned().unwrap();
    assert_eq!(info.complement, Some(back));
    // Of a market that has ended none comes back.
    registry.expire(&condition(1));
    assert_eq!(
        registry.upsert(market_with(1, &[12, 11])),
        Upserted::default()
    );
    assert_eq!(registry.counts(), (0, 0, 2));
}

#[test]
fn a_token_without_a_connection_that_leaves_its_market_expires_at_once() {
    let registry = AssetRegistry::default();
    registry.upsert(market(1));
    registry.upsert(market_with(1, &[11]));
    assert_eq!(registry.counts(), (1, 0, 1));
}

#[test]
fn a_token_belongs_to_the_market_that_had_it_first() {
    let registry = AssetRegistry::default();
    registry.upsert(market_with(1, &[11, 12]));
    registry.upsert(market_with(2, &[12, 13]));
    assert_eq!(registry.assets_of(&condition(2)), [key(&registry, 13)]);
    assert_eq!(registry.stats()["conflicting_tokens"], 1);
    registry.forget(&condition(2));
    let interner = registry.interner().read();
    assert_eq!(interner.get("12").unwrap().condition_id, condition(1));
}

#[test]
fn a_market_that_ends_while_being_assigned_is_shown_to_its_connection_as_expired() {
    let registry = AssetRegistry::default();
    registry.upsert(market(1));
    let keys = registry.assets_of(&condition(1));
    assert_eq!(registry.expire(&condition(1)), keys);
    assert_eq!(registry.expire(&condition(1)), []);
    registry.assign(&keys, ConnectionId(7));
    assert_eq!(
        registry.load(ConnectionId(7)),
        ConnectionLoad {
            subscribed: 0,
            expired: 2
        }
    );
    registry.release(&keys);
    assert_eq!(registry.load(ConnectionId(7)).total(), 0);
    assert_eq!(registry.counts(), (0, 0, 2));
    // Discovery may list it a little longer: that does not bring it back.
    registry.upsert(Market {
        question: "again".to_owned(),
        ..market(1)
    });
    assert_eq!(registry.pending(10).len(), 0);
}

#[test]
fn only_markets_with_a_subscribed_token_are_listed() {
    let registry = AssetRegistry::default();
    for number in [1, 2, 3] {
        registry.upsert(market(number));
    }
    for number in [3, 1] {
        registry.assign(&[key(&registry, number * 10 + 1)], ConnectionId(0));
    }
    let listed: Vec<_> = registry
        .markets()
        .iter()
        .map(|market| market.condition_id.to_string())
        .collect();
    assert_eq!(listed, ["0x1", "0x3"]);
}

#[tokio::test]
async fn whoever_waits_is_woken_even_if_it_comes_late() {
    let registry = AssetRegistry::default();
    registry.upsert(market(1));
    registry.changed().notified().await;
    registry.expire(&condition(1));
    registry.changed().notified().await;
}

#[tokio::test]
async fn starts_and_stops_once() {
    let registry = AssetRegistry::default();
    assert!(!registry.health().healthy);
    for _ in 0..2 {
        registry.start().await.unwrap();
        assert!(registry.health().healthy);
    }
    for _ in 0..2 {
        registry.stop().await;
        assert_eq!(registry.state(), ComponentState::Stopped);
    }
    assert_eq!(registry.stats()["total_markets"], 0);
}

/// What may happen to the registry, by small numbers.
#[derive(Debug, Clone)]
enum Step {
    Upsert(u32),
    Assign(u32, u32),
    Release(u32),
    Expire(u32),
    Forget(u32),
}

/// The same, kept without any index: token to (expired, connection).
#[derive(Debug, Default)]
struct Model {
    tokens: BTreeMap<u32, (bool, Option<u32>)>,
}

impl Model {
    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Upsert(market) => {
                for token in [market * 10 + 1, market * 10 + 2] {
                    self.tokens.entry(token).or_insert((false, None));
                }
            }
            Step::Assign(token, connection) => {
                if let Some(asset) = self.tokens.get_mut(&token) {
                    asset.1 = Some(connection);
                }
            }
            Step::Release(token) => {
                if let Some(asset) = self.tokens.get_mut(&token) {
                    asset.1 = None;
                }
            }
            Step::Expire(market) => {
                for token in [market * 10 + 1, market * 10 + 2] {
                    if let Some(asset) = self.tokens.get_mut(&token) {
                        asset.0 = true;
                    }
                }
            }
            Step::Forget(market) => self.tokens.retain(|token, _| token / 10 != market),
        }
    }

    fn counts(&self) -> (usize, usize, usize) {
        let count = |wanted: fn(&(bool, Option<u32>)) -> bool| {
            self.tokens.values().filter(|asset| wanted(asset)).count()
        };
        (
            count(|asset| !asset.0 && asset.1.is_none()),
            count(|asset| !asset.0 && asset.1.is_some()),
            count(|asset| asset.0),
        )
    }

    fn held(&self, connection: u32, expired_only: bool) -> BTreeSet<u32> {
        self.tokens
            .iter()
            .filter(|(_, asset)| asset.1 == Some(connection) && (asset.0 || !expired_only))
            .map(|(token, _)| *token)
            .collect()
    }

    fn pending(&self) -> BTreeSet<u32> {
        self.tokens
            .iter()
            .filter(|(_, asset)| **asset == (false, None))
            .map(|(token, _)| *token)
            .collect()
    }
}

fn step() -> impl Strategy<Value = Step> {
    let token = (0u32..6, 1u32..3).prop_map(|(market, side)| market * 10 + side);
    prop_oneof![
        3 => (0u32..6).prop_map(Step::Upsert),
        4 => (token.clone(), 0u32..3).prop_map(|(token, to)| Step::Assign(token, to)),
        2 => token.prop_map(Step::Release),
        1 => (0u32..6).prop_map(Step::Expire),
        1 => (0u32..6).prop_map(Step::Forget),
    ]
}

fn tokens_of(infos: &[Arc<AssetInfo>]) -> BTreeSet<u32> {
    infos
        .iter()
        .map(|info| info.asset_id.as_str().parse().unwrap())
        .collect()
}

proptest! {
    #[test]
    fn agrees_with_a_plain_model(steps in proptest::collection::vec(step(), 1..80)) {
        let registry = AssetRegistry::default();
        let mut model = Model::default();
        let mut abandoned = Vec::new();
        for step in &steps {
            let known = |token: u32| {
                let interner = registry.interner().read();
                interner.get(&token.to_string()).map(|info| info.key)
            };
            match *step {
                Step::Upsert(number) => {
                    registry.upsert(market(number));
                }
                Step::Assign(token, connection) => {
                    if let Some(key) = known(token) {
                        registry.assign(&[key], ConnectionId(connection));
                    }
                }
                Step::Release(token) => {
                    if let Some(key) = known(token) {
                        registry.release(&[key]);
                    }
                }
                Step::Expire(number) => {
                    registry.expire(&condition(number));
                }
                Step::Forget(number) => {
                    // In order of key, as a connection's are.
                    let keys = registry.assets_of(&condition(number));
                    let held = |key: &AssetKey| registry.connection_of(*key).is_some();
                    abandoned.extend(keys.into_iter().filter(held));
                    registry.forget(&condition(number));
                    // At once, or together with others.
                    if number % 2 == 0 {
                        prop_assert_eq!(registry.take_abandoned(), std::mem::take(&mut abandoned));
                    }
                }
            }
            model.apply(step);

            prop_assert_eq!(registry.counts(), model.counts());
            prop_assert_eq!(registry.interner().read().len(), model.tokens.len());
            for connection in 0..3 {
                let id = ConnectionId(connection);
                let held = tokens_of(&registry.assets_on(id));
                let expired = tokens_of(&registry.expired_on(id));
                prop_assert_eq!(registry.load(id).total(), held.len());
                prop_assert_eq!(registry.load(id).expired, expired.len());
                prop_assert_eq!(held, model.held(connection, false));
                prop_assert_eq!(expired, model.held(connection, true));
            }
            let pending: BTreeSet<u32> = registry
                .pending(usize::MAX)
                .iter()
                .flat_map(|market| tokens_of(&market.assets))
                .collect();
            prop_assert_eq!(pending, model.pending());
        }
        // A registry that has forgotten everything holds nothing.
        for number in 0..6 {
            registry.forget(&condition(number));
        }
        registry.take_abandoned();
        prop_assert_eq!(registry.counts(), (0, 0, 0));
        prop_assert_eq!(registry.market_count(), 0);
        prop_assert_eq!(registry.live_market_count(), 0);
        prop_assert!(registry.tables.read().is_empty());
    }
}
