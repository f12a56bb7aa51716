//! Comparing the two tokens of a market, both of which this partition keeps.

use std::time::Instant;

use polypy_core::AssetKey;

use super::Partition;
use crate::book_slot::{BookSlot, Mirrored};
use crate::integrity::{Changed, Extent};

/// Changes of which one level is compared with the other token's, for each of
/// which whole books are: then a level that no change names any more is found.
pub(super) const LEVELS_PER_WHOLE: u32 = 64;

impl Partition {
    /// Compares what changed with the market's other token. At the end of a
    /// batch, for a frame's entries for both are applied by then.
    pub(super) fn compare_tokens(&mut self, now: Instant) {
        let mut changed = std::mem::take(&mut self.changed);
        let mut before: Option<Changed> = None;
        for mut change in changed.drain(..) {
            let Some(complement) = self.slot(change.asset).and_then(BookSlot::complement) else {
                continue;
            };
            if before.is_some_and(|before| change.repeats(&before, complement)) {
                continue;
            }
            before = Some(change);
            self.until_whole = self.until_whole.saturating_sub(1);
            if self.until_whole == 0 {
                self.until_whole = LEVELS_PER_WHOLE;
                change.extent = Extent::Whole;
            }
            self.compare(change, complement, now);
        }
        self.changed = changed;
    }

    fn compare(&mut self, change: Changed, complement: AssetKey, now: Instant) {
        let (Some(slot), Some(other)) = (self.slot(change.asset), self.slot(complement)) else {
            self.stats.integrity.mirror_not_applicable.increment();
            return;
        };
        let doubted = slot.mirror_is_in_doubt() || other.mirror_is_in_doubt();
        // One level that agrees does not settle what another has raised.
        let extent = if doubted {
            Extent::Whole
        } else {
            change.extent
        };
        let mirrored = slot.mirrors(other, extent);
        let stats = &self.stats.integrity;
        let counter = match mirrored {
            Mirrored::Agrees => &stats.mirror_passed,
            Mirrored::Disagrees => &stats.mirror_failed,
            Mirrored::OtherBehind => &stats.mirror_behind,
            Mirrored::NotApplicable => &stats.mirror_not_applicable,
        };
        counter.increment();
        let both = mirrored == Mirrored::Disagrees || doubted;
        let concerned: &[AssetKey] = match mirrored {
            Mirrored::OtherBehind => &[complement],
            Mirrored::Agrees | Mirrored::Disagrees | Mirrored::NotApplicable if both => {
                &[change.asset, complement]
            }
            Mirrored::Agrees | Mirrored::Disagrees | Mirrored::NotApplicable => &[],
        };
        for &key in concerned {
            self.with(key, now, |slot, cx| slot.compared(mirrored, cx));
        }
    }
}
