//! Long ids become small integers where they enter: the [`Interner`] gives each
//! asset the [`AssetKey`] that events, queues and books address it by.

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::sync::Arc;

use crate::id::{AssetId, ConditionId};
use crate::id_table::IdTable;
use crate::key::{AssetKey, Shard};
use crate::market::AssetInfo;

pub use crate::id_table::{ID_WINDOW, Named};

/// The table from id text to [`AssetInfo`]: one per process, kept by the
/// registry, read by every decoder.
#[derive(Debug, Default)]
pub struct Interner {
    by_id: HashMap<AssetId, Arc<AssetInfo>>,
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

    /// The asset whose id stands at the front of `text`, in an entry of a
    /// `price_change`: a price is the field behind it. `before` is the asset
    /// named before it in the frame, if any: its market's other token is the
    /// likeliest to come next.
    ///
    /// Faster than cutting the id out for [`get`](Self::get), and it may miss an
    /// asset that is known: an id shorter than 72 digits, one with fewer than
    /// [`ID_WINDOW`] bytes of text from its first digit on, or one before another
    /// field.
    #[inline]
    pub fn at_front(&self, text: &[u8], before: Option<Named<'_>>) -> Option<Named<'_>> {
        self.in_frames.at_front(text, before)
    }

    /// Has what [`at_front`](Self::at_front) will look at come into the cache,
    /// for who knows some frames ahead what he will ask: the waiting for several
    /// of them overlaps. Changes nothing else.
    #[inline]
    pub fn touch(&self, text: &[u8]) {
        self.in_frames.touch(text);
    }

    /// What is known of an asset, by its key; `None` once forgotten.
    pub fn info(&self, key: AssetKey) -> Option<&Arc<AssetInfo>> {
        let slot = self.by_slot.get(key.slot())?;
        slot.info
            .as_ref()
            .filter(|_| slot.generation == key.generation())
    }

    /// Interns an asset of `condition`. `describe` makes its description around
    /// the new key. An id that is already known keeps its key and description.
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
        let place = &mut self.by_slot[slot as usize];
        let key = AssetKey::new(slot, place.generation, Shard::of(condition));
        let info = Arc::new(describe(key));
        place.info = Some(Arc::clone(&info));
        self.by_id.insert(asset_id.clone(), Arc::clone(&info));
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
        let place = &mut self.by_slot[key.slot()];
        let info = place.info.take()?;
        place.generation = place.generation.checked_add(1).unwrap_or(NonZeroU16::MIN);
        self.free
            .push(u32::try_from(key.slot()).unwrap_or(u32::MAX));
        self.by_id.remove(info.asset_id.as_str());
        self.in_frames.remove(key.slot());
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
