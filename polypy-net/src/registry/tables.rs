//! The tables behind the registry, without locks: one market table, one asset
//! table, and the two indexes the pool asks for (what is pending, what a
//! connection holds). Every change of an asset's place goes through
//! [`Tables::place`], so that indexes and counters cannot drift from it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use polypy_core::{AssetId, AssetInfo, AssetKey, ConditionId, Interner, Market};

use super::names::Names;
use super::place::{Counts, Held, Place};
use super::{AssetStatus, ConnectionId, ConnectionLoad, PendingMarket, Upserted};

/// All that the registry knows, apart from the interner.
#[derive(Debug, Default)]
pub(super) struct Tables {
    markets: HashMap<ConditionId, Listing>,
    names: Names,
    assets: HashMap<AssetKey, Asset>,
    /// Markets with a pending token, by age: the pool serves the oldest first.
    pending: BTreeMap<u64, ConditionId>,
    /// Entries vanish with their last asset, so that closed connections leave nothing.
    held: HashMap<ConnectionId, Held>,
    /// Assets that were forgotten while a connection had them: it is to be told.
    abandoned: Vec<AssetKey>,
    counts: Counts,
    live_markets: usize,
    /// Age of the next new market.
    next_age: u64,
    /// Tokens refused because another market had them first.
    conflicts: u64,
    /// Grows with everything that [`Tables::subscribed_markets`] may show.
    version: u64,
}

/// What [`Tables::upsert`] did.
#[derive(Debug)]
pub(super) struct Upsert {
    pub(super) upserted: Upserted,
    /// An asset became pending or expired.
    pub(super) moved: bool,
}

#[derive(Debug)]
struct Listing {
    market: Arc<Market>,
    /// Its tokens: those listed, in the venue's order, then those that were
    /// listed once.
    keys: Vec<AssetKey>,
    /// How many of them are listed.
    listed: usize,
    age: u64,
    pending: usize,
    expired: bool,
    /// The token that won, as far as somebody has said so.
    winner: Option<AssetId>,
}

#[derive(Debug)]
struct Asset {
    condition: ConditionId,
    place: Place,
}

impl Tables {
    /// Takes over names that this row does not state: not every answer has them.
    pub(super) fn complete(&self, market: &mut Arc<Market>) {
        // The catalogue completes what it shares.
        if let Some(known) = self.markets.get(&market.condition_id)
            && !Arc::ptr_eq(&known.market, market)
        {
            let mut whole = Market::clone(market);
            whole.complete_from(&known.market);
            if whole != **market {
                *market = Arc::new(whole);
            }
        }
    }

    /// Whether exactly this is known already, the usual case of a crawl. A
    /// market of which a token was refused is never: the token may be free now.
    pub(super) fn is_same(&self, market: &Arc<Market>) -> bool {
        self.markets
            .get(&market.condition_id)
            .is_some_and(|known| known.market == *market && known.listed >= market.tokens.len())
    }

    pub(super) fn upsert(&mut self, market: Arc<Market>, interner: &mut Interner) -> Upsert {
        self.version += 1;
        let condition = market.condition_id.clone();
        let added = !self.markets.contains_key(&condition);
        let age = self.next_age;
        let listing = self
            .markets
            .entry(condition.clone())
            .or_insert_with(|| Listing {
                market: Arc::clone(&market),
                keys: Vec::new(),
                listed: 0,
                age,
                pending: 0,
                expired: false,
                winner: None,
            });
        self.names.leave(&listing.market);
        self.names.enter(&market);
        listing.market = Arc::clone(&market);
        let expired = listing.expired;
        let mut before = std::mem::take(&mut listing.keys);
        if added {
            self.next_age += 1;
            self.live_markets += 1;
        }
        let mut forgotten = Vec::new();
        if !expired {
            forgotten = self.forget_returned(&market, &before, interner);
            before.retain(|key| !forgotten.contains(key));
        }

        let listed = self.intern(&market, interner);
        let mut moved = false;
        for key in &listed {
            if !self.assets.contains_key(key) {
                self.admit(*key, &condition, expired);
                moved = true;
            }
        }
        // Tokens no longer listed stay with their market. What is subscribed
        // goes on: one row may be wrong, and the CLOB knows better.
        let mut keys = listed.clone();
        for key in before {
            if !listed.contains(&key) {
                if self.status(key) == Some(AssetStatus::Pending) {
                    moved |= self.retire(key);
                }
                keys.push(key);
            }
        }
        link(&keys, &listed, &market, interner);
        if let Some(listing) = self.markets.get_mut(&condition) {
            listing.keys = keys;
            listing.listed = listed.len();
        }
        Upsert {
            upserted: Upserted { added, forgotten },
            moved,
        }
    }

    /// Forgets those of the live market's tokens in `before` that had left it and
    /// are listed again: they come back as new ones.
    fn forget_returned(
        &mut self,
        market: &Market,
        before: &[AssetKey],
        interner: &mut Interner,
    ) -> Vec<AssetKey> {
        let mut forgotten = Vec::new();
        for &key in before {
            let Some(Place::Expired(_)) = self.assets.get(&key).map(|asset| asset.place) else {
                continue;
            };
            let is_listed = interner.info(key).is_some_and(|info| {
                let mut tokens = market.tokens.iter();
                tokens.any(|token| token.token_id == info.asset_id)
            });
            if is_listed {
                self.remove(key, &market.condition_id, interner);
                forgotten.push(key);
            }
        }
        forgotten
    }

    /// Expires a token that its live market no longer lists; whether it is one.
    pub(super) fn delist(&mut self, key: AssetKey) -> bool {
        let Some(asset) = self.assets.get(&key) else {
            return false;
        };
        let is_unlisted = self.markets.get(&asset.condition).is_some_and(|listing| {
            !listing.expired && listing.keys[listing.listed..].contains(&key)
        });
        is_unlisted && self.retire(key)
    }

    /// Removes an asset from every table.
    fn remove(&mut self, key: AssetKey, condition: &ConditionId, interner: &mut Interner) {
        if let Some(place) = self.assets.get(&key).map(|asset| asset.place) {
            self.leave(key, condition, place);
            self.assets.remove(&key);
            if place.connection().is_some() {
                self.abandoned.push(key);
            }
        }
        interner.remove(key);
    }

    /// Whether there are assets that were forgotten while a connection had them.
    pub(super) fn has_abandoned(&self) -> bool {
        !self.abandoned.is_empty()
    }

    /// Those assets, once.
    pub(super) fn take_abandoned(&mut self) -> Vec<AssetKey> {
        std::mem::take(&mut self.abandoned)
    }

    /// Keys of the market's tokens; a token that another market had first is
    /// left out, for two markets cannot share a book.
    fn intern(&mut self, market: &Market, interner: &mut Interner) -> Vec<AssetKey> {
        let mut keys = Vec::with_capacity(market.tokens.len());
        for token in &market.tokens {
            let info = interner.insert(&token.token_id, &market.condition_id, |key| {
                AssetInfo::new(key, token.token_id.clone(), market.condition_id.clone())
            });
            if info.condition_id != market.condition_id {
                self.conflicts += 1;
            } else if !keys.contains(&info.key) {
                keys.push(info.key);
            }
        }
        keys
    }

    /// Enters a new asset of a market.
    fn admit(&mut self, key: AssetKey, condition: &ConditionId, expired: bool) {
        let place = if expired {
            Place::Expired(None)
        } else {
            Place::Pending
        };
        self.assets.insert(
            key,
            Asset {
                condition: condition.clone(),
                place,
            },
        );
        self.enter(key, condition, place);
    }

    /// Expires one asset; whether it was not expired before.
    fn retire(&mut self, key: AssetKey) -> bool {
        let Some(place) = self.assets.get(&key).map(|asset| asset.place) else {
            return false;
        };
        match place {
            Place::Expired(_) => false,
            Place::Pending | Place::Subscribed(_) => {
                self.place(key, Place::Expired(place.connection()));
                true
            }
        }
    }

    pub(super) fn assign(&mut self, assets: &[AssetKey], connection: ConnectionId) {
        for &key in assets {
            match self.assets.get(&key).map(|asset| asset.place) {
                Some(Place::Pending | Place::Subscribed(_)) => {
                    self.place(key, Place::Subscribed(connection));
                }
                Some(Place::Expired(_)) => self.place(key, Place::Expired(Some(connection))),
                None => {}
            }
        }
    }

    /// Whether anything became pending.
    pub(super) fn release(&mut self, assets: &[AssetKey]) -> bool {
        let mut moved = false;
        for &key in assets {
            match self.assets.get(&key).map(|asset| asset.place) {
                Some(Place::Subscribed(_)) => {
                    self.place(key, Place::Pending);
                    moved = true;
                }
                Some(Place::Expired(Some(_))) => self.place(key, Place::Expired(None)),
                Some(Place::Pending | Place::Expired(None)) | None => {}
            }
        }
        moved
    }

    pub(super) fn expire(&mut self, condition: &ConditionId) -> Vec<AssetKey> {
        let Some(listing) = self.markets.get_mut(condition) else {
            return Vec::new();
        };
        if !listing.expired {
            listing.expired = true;
            self.live_markets -= 1;
        }
        let mut keys = listing.keys.clone();
        keys.retain(|key| self.retire(*key));
        keys
    }

    pub(super) fn forget(
        &mut self,
        condition: &ConditionId,
        interner: &mut Interner,
    ) -> Vec<AssetKey> {
        self.version += 1;
        // Asset by asset first: leaving an index needs the market's entry.
        let keys = self.assets_of(condition);
        for key in &keys {
            self.remove(*key, condition, interner);
        }
        if let Some(listing) = self.markets.remove(condition) {
            self.names.leave(&listing.market);
            self.live_markets -= usize::from(!listing.expired);
        }
        keys
    }

    /// Notes which token won; whether it is one of the market's.
    pub(super) fn decide(&mut self, condition: &ConditionId, winner: &AssetId) -> bool {
        let Some(listing) = self.markets.get_mut(condition) else {
            return false;
        };
        let mut tokens = listing.market.tokens.iter();
        let is_its = tokens.any(|token| token.token_id == *winner);
        if is_its {
            listing.winner = Some(winner.clone());
        }
        is_its
    }

    /// The token that won, of a market that has ended.
    pub(super) fn winner(&self, condition: &ConditionId) -> Option<AssetId> {
        let listing = self.markets.get(condition)?;
        listing.winner.clone().filter(|_| listing.expired)
    }

    /// The token that was said to have won.
    pub(super) fn decided(&self, condition: &ConditionId) -> Option<AssetId> {
        self.markets.get(condition)?.winner.clone()
    }

    /// The market of this name.
    pub(super) fn named(&self, slug: &str) -> Option<ConditionId> {
        self.names.market(slug).cloned()
    }

    /// The markets of the event of this name.
    pub(super) fn of_event(&self, slug: &str) -> Vec<ConditionId> {
        self.names.event(slug).cloned().collect()
    }

    /// Moves a known asset; the only way its place changes.
    fn place(&mut self, key: AssetKey, to: Place) {
        let Some(asset) = self.assets.get_mut(&key) else {
            return;
        };
        let from = std::mem::replace(&mut asset.place, to);
        if from.status() != to.status() {
            self.version += 1;
        }
        let condition = asset.condition.clone();
        self.leave(key, &condition, from);
        self.enter(key, &condition, to);
    }

    fn enter(&mut self, key: AssetKey, condition: &ConditionId, place: Place) {
        *self.counts.of(place.status()) += 1;
        match place {
            Place::Pending => {
                if let Some(listing) = self.markets.get_mut(condition) {
                    listing.pending += 1;
                    self.pending.insert(listing.age, condition.clone());
                }
            }
            Place::Subscribed(connection) => {
                self.held
                    .entry(connection)
                    .or_default()
                    .subscribed
                    .insert(key);
            }
            Place::Expired(Some(connection)) => {
                self.held.entry(connection).or_default().expired.insert(key);
            }
            Place::Expired(None) => {}
        }
    }

    fn leave(&mut self, key: AssetKey, condition: &ConditionId, place: Place) {
        *self.counts.of(place.status()) -= 1;
        if place == Place::Pending
            && let Some(listing) = self.markets.get_mut(condition)
        {
            listing.pending -= 1;
            if listing.pending == 0 {
                self.pending.remove(&listing.age);
            }
        }
        if let Some(connection) = place.connection()
            && let Some(held) = self.held.get_mut(&connection)
        {
            held.subscribed.remove(&key);
            held.expired.remove(&key);
            if held.subscribed.is_empty() && held.expired.is_empty() {
                self.held.remove(&connection);
            }
        }
    }

    pub(super) fn pending(&self, limit: usize, interner: &Interner) -> Vec<PendingMarket> {
        self.pending
            .values()
            .filter_map(|condition| self.markets.get(condition))
            .take(limit)
            .map(|listing| {
                let places = || {
                    listing
                        .keys
                        .iter()
                        .filter_map(|key| Some((*key, self.assets.get(key)?.place)))
                };
                PendingMarket {
                    condition_id: listing.market.condition_id.clone(),
                    assets: places()
                        .filter(|(_, place)| *place == Place::Pending)
                        .filter_map(|(key, _)| interner.info(key).cloned())
                        .collect(),
                    connection: places().find_map(|(_, place)| match place {
                        Place::Subscribed(connection) => Some(connection),
                        Place::Pending | Place::Expired(_) => None,
                    }),
                }
            })
            .collect()
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn connection_of(&self, key: AssetKey) -> Option<ConnectionId> {
        self.assets.get(&key)?.place.connection()
    }

    pub(super) fn status(&self, key: AssetKey) -> Option<AssetStatus> {
        Some(self.assets.get(&key)?.place.status())
    }

    pub(super) fn held_by(&self, connection: ConnectionId) -> impl Iterator<Item = AssetKey> + '_ {
        self.held
            .get(&connection)
            .into_iter()
            .flat_map(|held| held.subscribed.iter().chain(&held.expired).copied())
    }

    pub(super) fn expired_on(
        &self,
        connection: ConnectionId,
    ) -> impl Iterator<Item = AssetKey> + '_ {
        self.held
            .get(&connection)
            .into_iter()
            .flat_map(|held| held.expired.iter().copied())
    }

    pub(super) fn load(&self, connection: ConnectionId) -> ConnectionLoad {
        self.held
            .get(&connection)
            .map_or_else(ConnectionLoad::default, |held| ConnectionLoad {
                subscribed: held.subscribed.len(),
                expired: held.expired.len(),
            })
    }

    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let Counts {
            pending,
            subscribed,
            expired,
        } = self.counts;
        (pending, subscribed, expired)
    }

    pub(super) fn market(&self, condition: &ConditionId) -> Option<Arc<Market>> {
        Some(Arc::clone(&self.markets.get(condition)?.market))
    }

    pub(super) fn is_live(&self, condition: &ConditionId) -> bool {
        self.markets
            .get(condition)
            .is_some_and(|listing| !listing.expired)
    }

    pub(super) fn assets_of(&self, condition: &ConditionId) -> Vec<AssetKey> {
        self.markets
            .get(condition)
            .map(|listing| listing.keys.clone())
            .unwrap_or_default()
    }

    pub(super) fn live_conditions(&self) -> Vec<ConditionId> {
        self.markets
            .iter()
            .filter(|(_, listing)| !listing.expired)
            .map(|(condition, _)| condition.clone())
            .collect()
    }

    /// Markets with a subscribed token, oldest first.
    pub(super) fn subscribed_markets(&self) -> Vec<Arc<Market>> {
        let mut found: Vec<_> = self
            .markets
            .values()
            .filter(|listing| {
                listing
                    .keys
                    .iter()
                    .any(|key| self.status(*key) == Some(AssetStatus::Subscribed))
            })
            .map(|listing| (listing.age, Arc::clone(&listing.market)))
            .collect();
        found.sort_unstable_by_key(|(age, _)| *age);
        found.into_iter().map(|(_, market)| market).collect()
    }

    pub(super) fn live_market_count(&self) -> usize {
        self.live_markets
    }

    pub(super) fn market_count(&self) -> usize {
        self.markets.len()
    }

    pub(super) fn conflicts(&self) -> u64 {
        self.conflicts
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.markets.is_empty()
            && self.names.is_empty()
            && self.assets.is_empty()
            && self.pending.is_empty()
            && self.held.is_empty()
            && self.abandoned.is_empty()
    }
}

/// Brings the descriptions of a market's assets up to date. Two listed tokens
/// are each other's complement; any other number has none.
fn link(keys: &[AssetKey], listed: &[AssetKey], market: &Market, interner: &mut Interner) {
    for &key in keys {
        let Some(known) = interner.info(key) else {
            continue;
        };
        let complement = match *listed {
            [first, second] if key == first => Some(second),
            [first, second] if key == second => Some(first),
            _ => None,
        };
        let info = AssetInfo {
            complement,
            tick_size: market.tick_size,
            min_order_size: market.min_order_size,
            neg_risk: market.neg_risk,
            ..AssetInfo::clone(known)
        };
        if info != **known {
            interner.update(key, info);
        }
    }
}
