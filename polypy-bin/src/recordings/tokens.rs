//! Which tokens a recording is about, as far as it says.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use polypy_core::recording::RecordedMarket;
use polypy_core::{AssetId, AssetInfo, AssetKey, ConditionId, DecimalText, Interner};
use serde_json::Value;

/// Tokens by key. A token is known once its market is: from the catalogue, or from the
/// first frame that names both.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    interner: Interner,
    by_market: HashMap<ConditionId, Vec<AssetKey>>,
    /// Markets of the catalogue, by token.
    listed: HashMap<AssetId, Arc<RecordedMarket>>,
    /// What sockets were asked to bring, and is not known yet.
    awaited: HashSet<AssetId>,
    /// Whether the recording says what sockets were asked to bring.
    is_asked: bool,
}

impl Tokens {
    /// The keys, for the decoder.
    pub(crate) fn interner(&self) -> &Interner {
        &self.interner
    }

    pub(crate) fn key(&self, id: &AssetId) -> Option<AssetKey> {
        self.interner.get(id.as_str()).map(|info| info.key)
    }

    pub(crate) fn info(&self, key: AssetKey) -> Option<&Arc<AssetInfo>> {
        self.interner.info(key)
    }

    /// A socket was asked to bring these. Those that are new, and known now.
    pub(crate) fn asked(&mut self, tokens: &[AssetId]) -> Vec<AssetKey> {
        self.is_asked = true;
        let mut new = Vec::new();
        for id in tokens {
            if self.interner.get(id.as_str()).is_some() {
                continue;
            }
            match self.listed.get(id).cloned() {
                Some(market) => new.push(self.insert(id.clone(), market.condition_id.clone())),
                None => drop(self.awaited.insert(id.clone())),
            }
        }
        new
    }

    /// The recording says that this market is followed. Those of its tokens that are new.
    pub(crate) fn list(&mut self, market: &RecordedMarket) -> Vec<AssetKey> {
        let market = Arc::new(market.clone());
        let mut new = Vec::new();
        for token in &market.tokens {
            let id = &token.token_id;
            self.listed.insert(id.clone(), Arc::clone(&market));
            if self.awaited.remove(id) {
                new.push(self.insert(id.clone(), market.condition_id.clone()));
            }
        }
        new
    }

    /// Learns of the tokens that these bytes name: a frame, or a body of books. Those that
    /// are new.
    pub(crate) fn learn(&mut self, bytes: &[u8]) -> Vec<AssetKey> {
        // The rest are known, or nobody asked for them.
        if self.is_asked && self.awaited.is_empty() {
            return Vec::new();
        }
        let Ok(value) = serde_json::from_slice(bytes) else {
            return Vec::new();
        };
        let events = match value {
            Value::Array(events) => events,
            event => vec![event],
        };
        let mut new = Vec::new();
        for event in &events {
            let Some(market) = event.get("market").and_then(Value::as_str) else {
                continue;
            };
            let entries = event.get("price_changes").and_then(Value::as_array);
            let named = entries.into_iter().flatten().chain([event]);
            let ids = named.filter_map(|entry| entry.get("asset_id")?.as_str());
            for id in ids {
                if self.interner.get(id).is_some() {
                    continue;
                }
                let (Ok(id), Ok(market)) = (AssetId::new(id), ConditionId::new(market)) else {
                    continue;
                };
                if !self.is_asked || self.awaited.remove(&id) {
                    new.push(self.insert(id, market));
                }
            }
        }
        new
    }

    /// A token and its market are named, whether any socket was asked for it or not. Its
    /// key, and whether it is new.
    pub(crate) fn note(&mut self, id: &AssetId, market: &ConditionId) -> (AssetKey, bool) {
        match self.key(id) {
            Some(key) => (key, false),
            None => {
                self.awaited.remove(id);
                (self.insert(id.clone(), market.clone()), true)
            }
        }
    }

    fn insert(&mut self, id: AssetId, market: ConditionId) -> AssetKey {
        let of = self.by_market.entry(market.clone()).or_default();
        let listed = self.listed.get(&id).cloned();
        let key = self
            .interner
            .insert(&id.clone(), &market.clone(), |key| {
                let mut info = AssetInfo::new(key, id, market);
                if let Some(listed) = listed {
                    let decimal = |text: &Option<Box<str>>| DecimalText::new(text.as_deref()?).ok();
                    info.tick_size = decimal(&listed.tick_size);
                    info.min_order_size = decimal(&listed.min_order_size);
                    info.neg_risk = listed.neg_risk;
                }
                info
            })
            .key;
        of.push(key);
        if let [one, other] = of[..] {
            for (own, its) in [(one, other), (other, one)] {
                if let Some(info) = self.interner.info(own) {
                    let mut info = AssetInfo::clone(info);
                    info.complement = Some(its);
                    self.interner.update(own, info);
                }
            }
        }
        key
    }
}
