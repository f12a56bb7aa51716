//! What stands for an asset everywhere behind the decoder.
//!
//! An [`AssetKey`] carries its market's [`Shard`], so that routing needs no
//! look-up, and a generation, so that a late event for a forgotten asset never
//! reaches the asset that reused its slot. Only the
//! [`Interner`](crate::Interner) makes keys.

use std::num::NonZeroU16;

use crate::id::ConditionId;

/// Shards a market can fall into. Fixed, so that the same market falls into the
/// same shard in every process.
pub const SHARDS: u16 = 256;

/// Which of the [`SHARDS`] a market belongs to; both of its tokens do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(u16);

impl Shard {
    /// The shard of a market: FNV-1a of the condition id in its
    /// [canonical](ConditionId::canonical) spelling behind `0x`, its bits mixed once more
    /// (ids of one series differ in their last digits only), modulo [`SHARDS`].
    pub fn of(condition: &ConditionId) -> Self {
        let hash = b"0x"
            .iter()
            .copied()
            .chain(condition.canonical().bytes())
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd) >> 33;
        Self(u16::try_from(mixed % u64::from(SHARDS)).unwrap_or(0))
    }

    /// The shard's number, below [`SHARDS`].
    pub fn index(self) -> u16 {
        self.0
    }
}

/// Stands for an [`AssetId`](crate::AssetId) in events, queues and books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetKey {
    slot: u32,
    /// Never zero, so that an optional key takes no more room than a key.
    generation: NonZeroU16,
    shard: Shard,
}

impl AssetKey {
    /// The key of a slot's asset, of this generation of the slot.
    pub(crate) fn new(slot: u32, generation: NonZeroU16, shard: Shard) -> Self {
        Self {
            slot,
            generation,
            shard,
        }
    }

    /// A small dense number, reused after the asset is forgotten.
    pub fn slot(self) -> usize {
        self.slot as usize
    }

    /// How many assets have had the slot, this one included, modulo 65,535.
    pub(crate) fn generation(self) -> NonZeroU16 {
        self.generation
    }

    /// Tells this asset's time from that of any other that has had the slot, until the
    /// generations are used up.
    ///
    /// ```
    /// use polypy_core::{AssetId, AssetInfo, AssetKey, ConditionId, Interner};
    ///
    /// let (asset, market) = (AssetId::new("7")?, ConditionId::new("0xa1")?);
    /// let mut names = Interner::default();
    /// let mut key = || {
    ///     let (id, of) = (asset.clone(), market.clone());
    ///     names.insert(&asset, &market, |key| AssetInfo::new(key, id, of)).key
    /// };
    /// let life = AssetKey::life(key());
    /// assert_eq!(life, key().life());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn life(self) -> u64 {
        u64::from(self.slot) << 16 | u64::from(self.generation.get())
    }

    /// Whether this asset has had its slot after the other one, which has had the same.
    /// Generations wrap around; of two the later is the one that fewer steps lead to.
    pub fn is_after(self, other: Self) -> bool {
        let (own, its) = (self.generation.get(), other.generation.get());
        // From 1 to 65,535: so many steps, none of which is zero.
        let steps = if own >= its {
            own - its
        } else {
            u16::MAX - (its - own)
        };
        (1..=u16::MAX / 2).contains(&steps)
    }

    /// The market's shard.
    pub fn shard(self) -> Shard {
        self.shard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed apart, by the definition. Processes of different versions divide the venue
    /// between them: a market must never change its shard.
    #[test]
    fn a_market_has_the_same_shard_in_every_version() {
        let whole = "0x5f65177b394277fd294cd75650044e32ba009a95022d88a0c1d565897d72f8f1";
        for (id, shard) in [("0xa1", 57), ("0x0A1", 57), ("0x1", 230), (whole, 60)] {
            let id = ConditionId::new(id).unwrap();
            assert_eq!(Shard::of(&id).index(), shard, "{id}");
        }
    }

    #[test]
    fn of_two_keys_of_one_slot_the_later_is_known_round_the_end_of_the_numbers() {
        let shard = Shard::of(&ConditionId::new("0xa1").unwrap());
        let key = |generation| AssetKey::new(7, NonZeroU16::new(generation).unwrap(), shard);
        for (earlier, later) in [(1, 2), (65_535, 1), (65_000, 100), (1, 30_000)] {
            assert!(key(later).is_after(key(earlier)), "{earlier} {later}");
            assert!(!key(earlier).is_after(key(later)), "{earlier} {later}");
        }
        assert!(!key(5).is_after(key(5)));
    }

    #[test]
    fn each_life_of_each_slot_has_a_number_of_its_own() {
        let shard = Shard::of(&ConditionId::new("0xa1").unwrap());
        let life = |slot, generation| {
            AssetKey::new(slot, NonZeroU16::new(generation).unwrap(), shard).life()
        };
        let slots = [0, 1, 2, 65_535, 65_536, u32::MAX];
        let generations = [1, 2, 255, 256, u16::MAX];
        let lives: std::collections::HashSet<_> = slots
            .into_iter()
            .flat_map(|slot| generations.map(|generation| life(slot, generation)))
            .collect();
        assert_eq!(lives.len(), slots.len() * generations.len());
    }

    #[test]
    fn shards_spread_over_all_numbers() {
        let mut seen = std::collections::HashSet::new();
        for market in 0..5_000u32 {
            let condition = ConditionId::new(&format!("0x{market:064x}")).unwrap();
            seen.insert(Shard::of(&condition));
        }
        assert_eq!(seen.len(), usize::from(SHARDS));
        assert!(seen.iter().all(|shard| shard.index() < SHARDS));
    }

    #[test]
    fn a_market_has_the_same_shard_in_every_process() {
        let shard = |text| Shard::of(&ConditionId::new(text).unwrap()).index();
        assert_eq!(
            [shard("0xa1"), shard("0xa2"), shard("0xff")],
            [57, 173, 144]
        );
        for spelling in ["0xA1", "0x0a1", "0x00A1"] {
            assert_eq!(shard(spelling), shard("0xa1"), "{spelling}");
        }
        assert_ne!(shard("0xa10"), shard("0xa1"));
    }
}
