//! Long ids become small integers where they enter: the [`Interner`] gives each
//! asset the [`AssetKey`] that events, queues and books address it by.

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::sync::Arc;

use crate::id::{AssetId, ConditionId};
use crate::id_table::IdTable;
use crate::key::{AssetKey, Shard};
use crate::market::AssetInfo;

pub use crate::id_table::{ID_WINDOW, IdMatch};

/// The table from id text to [`AssetInfo`]: one per process, kept by the
/// registry, read by every decoder.
#[derive(Debug, Default)]
pub struct Interner {
    by_id: HashMap<AssetId, Arc<AssetInfo>>,
    /// One token of each market; it names the other.
    by_condition: HashMap<ConditionId, AssetKey>,
    in_frames: IdTable,
    by_slot: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    generation: NonZeroU16,
    info: Option<Arc<AssetInfo>>,
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            generation: NonZeroU16::MIN,
            info: None,
        }
    }
}

impl Interner {
    /// What is known of an asset, by its text.
    pub fn get(&self, asset_id: &str) -> Option<&Arc<AssetInfo>> {
        self.by_id.get(asset_id)
    }

    /// Looks up the asset whose id is a prefix of `text`, where `text` begins in an
    /// entry of a `price_change`: the field after the id is a price. `previous` is
    /// the match before it in the same frame, if any: the other token of that
    /// market is the likeliest to come next and is compared first.
    ///
    /// This is faster than cutting the id out for [`get`](Self::get), and it may
    /// miss an asset that is known: one whose id is shorter than 72 digits, has
    /// fewer than [`ID_WINDOW`] bytes of text from its first digit on, or is
    /// followed by another field. After a miss the caller asks [`get`](Self::get).
    #[inline]
    pub fn match_prefix(&self, text: &[u8], previous: Option<IdMatch<'_>>) -> Option<IdMatch<'_>> {
        self.in_frames.match_prefix(text, previous)
    }

    /// Brings into the cache what [`match_prefix`](Self::match_prefix) will read for
    /// this text. A decoder that has several frames calls it for all of them first,
    /// so that their cache misses overlap. Changes nothing else.
    #[inline]
    pub fn prefetch(&self, text: &[u8]) {
        self.in_frames.prefetch(text);
    }

    /// What is known of an asset, by its key; `None` once forgotten.
    pub fn info(&self, key: AssetKey) -> Option<&Arc<AssetInfo>> {
        let slot = self.by_slot.get(key.slot())?;
        slot.info
            .as_ref()
            .filter(|_| slot.generation == key.generation())
    }

    /// The known tokens of a market, by its text.
    pub fn market(&self, condition: &str) -> impl Iterator<Item = &Arc<AssetInfo>> {
        let first = self
            .by_condition
            .get(condition)
            .and_then(|key| self.info(*key));
        let other = first.and_then(|info| self.info(info.complement?));
        first.into_iter().chain(other)
    }

    /// Interns an asset of the market `condition`; `describe` builds its description
    /// from the new key. An id that is already known keeps its key and description.
    pub fn insert(
        &mut self,
        asset_id: &AssetId,
        condition: &ConditionId,
        describe: impl FnOnce(AssetKey) -> AssetInfo,
    ) -> Arc<AssetInfo> {
        if let Some(known) = self.by_id.get(asset_id) {
            return Arc::clone(known);
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.by_slot.push(Slot::default());
            u32::try_from(self.by_slot.len() - 1).unwrap_or(u32::MAX)
        });
        let entry = &mut self.by_slot[slot as usize];
        let key = AssetKey::new(slot, entry.generation, Shard::of(condition));
        let info = Arc::new(describe(key));
        entry.info = Some(Arc::clone(&info));
        self.by_id.insert(asset_id.clone(), Arc::clone(&info));
        self.by_condition.entry(condition.clone()).or_insert(key);
        self.in_frames
            .insert(asset_id.as_str(), key, info.complement);
        info
    }

    /// Replaces the description of a known asset, under the same key.
    pub fn update(&mut self, key: AssetKey, info: AssetInfo) -> Option<Arc<AssetInfo>> {
        self.info(key)?;
        let info = Arc::new(info);
        self.by_slot[key.slot()].info = Some(Arc::clone(&info));
        self.in_frames.set_complement(key, info.complement);
        self.by_id.insert(info.asset_id.clone(), Arc::clone(&info));
        Some(info)
    }

    /// Forgets an asset; its key never names anything again.
    pub fn remove(&mut self, key: AssetKey) -> Option<Arc<AssetInfo>> {
        self.info(key)?;
        let entry = &mut self.by_slot[key.slot()];
        let info = entry.info.take()?;
        // Every key of the slot's past owner is stale from here on: lookups
        // compare the generation.
        entry.generation = entry.generation.checked_add(1).unwrap_or(NonZeroU16::MIN);
        self.free
            .push(u32::try_from(key.slot()).unwrap_or(u32::MAX));
        self.by_id.remove(info.asset_id.as_str());
        self.in_frames.remove(key.slot());
        if self.by_condition.get(&info.condition_id) == Some(&key) {
            let other = info.complement.filter(|other| self.info(*other).is_some());
            match other {
                Some(other) => self.by_condition.insert(info.condition_id.clone(), other),
                None => self.by_condition.remove(&info.condition_id),
            };
        }
        Some(info)
    }

    /// Assets known.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether no asset is known.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intern(interner: &mut Interner, asset: &str, condition: &str) -> AssetKey {
        let asset_id: AssetId = asset.parse().unwrap();
        let condition_id: ConditionId = condition.parse().unwrap();
        interner
            .insert(&asset_id.clone(), &condition_id.clone(), |key| {
                AssetInfo::new(key, asset_id, condition_id)
            })
            .key
    }

    #[test]
    fn both_tokens_of_a_market_share_its_shard() {
        let mut interner = Interner::default();
        let yes = intern(&mut interner, "11", "0xa1");
        let no = intern(&mut interner, "12", "0xa1");
        assert_eq!(yes.shard(), no.shard());
        assert_ne!(yes, no);
    }

    #[test]
    fn it_counts_what_it_knows() {
        let mut interner = Interner::default();
        assert!(interner.is_empty());
        let first = intern(&mut interner, "11", "0xa1");
        intern(&mut interner, "12", "0xa1");
        assert_eq!(intern(&mut interner, "11", "0xa1"), first);
        assert_eq!((interner.len(), interner.is_empty()), (2, false));
        interner.remove(first);
        assert_eq!(interner.len(), 1);
        assert!(interner.get("11").is_none());
    }

    #[test]
    fn a_description_is_replaced_under_the_same_key() {
        let mut interner = Interner::default();
        let key = intern(&mut interner, "11", "0xa1");
        let mut info = AssetInfo::clone(interner.info(key).unwrap());
        info.neg_risk = true;
        assert!(interner.update(key, info.clone()).unwrap().neg_risk);
        assert!(interner.info(key).unwrap().neg_risk);
        assert!(interner.get("11").unwrap().neg_risk);
        interner.remove(key);
        assert!(interner.update(key, info).is_none());
        assert!(interner.get("11").is_none());
    }

    #[test]
    fn a_market_is_known_by_its_condition_while_a_token_of_it_is() {
        let mut interner = Interner::default();
        let [yes, no] = ["11", "12"].map(|id| intern(&mut interner, id, "0xa1"));
        for (key, other) in [(yes, no), (no, yes)] {
            let mut info = AssetInfo::clone(interner.info(key).unwrap());
            info.complement = Some(other);
            interner.update(key, info);
        }
        let keys = |interner: &Interner, condition| -> Vec<AssetKey> {
            interner.market(condition).map(|info| info.key).collect()
        };
        assert_eq!(keys(&interner, "0xa1"), [yes, no]);
        assert_eq!(keys(&interner, "0xa2"), []);
        interner.remove(yes);
        assert_eq!(keys(&interner, "0xa1"), [no]);
        interner.remove(no);
        assert_eq!(keys(&interner, "0xa1"), []);
        assert!(interner.by_condition.is_empty());
    }

    #[test]
    fn a_slot_comes_round_to_its_first_generation_after_65535_assets() {
        let mut interner = Interner::default();
        let first = intern(&mut interner, "11", "0xa1");
        interner.remove(first);
        for _ in 1..u16::MAX {
            let key = intern(&mut interner, "12", "0xa1");
            assert_ne!(key, first);
            interner.remove(key);
        }
        assert_eq!(intern(&mut interner, "13", "0xa1"), first);
    }

    #[test]
    fn a_reused_slot_is_not_the_forgotten_asset() {
        let mut interner = Interner::default();
        let first = intern(&mut interner, "11", "0xa1");
        assert!(interner.remove(first).is_some());
        let second = intern(&mut interner, "22", "0xa1");
        assert_eq!(first.slot(), second.slot());
        assert_ne!(first, second);
        assert!(interner.info(first).is_none());
        assert!(interner.remove(first).is_none());
        assert_eq!(interner.get("22").unwrap().key, second);
    }
}
