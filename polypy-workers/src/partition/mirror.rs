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
        for change in changed.drain(..) {
            let Some(complement) = self.slot(change.asset).and_then(BookSlot::complement) else {
                continue;
            };
            if before.is_some_and(|before| change.repeats(&before, complement)) {
                continue;
            }
            before = Some(change);
            if self.compare(change, complement, now) {
                self.until_whole = match self.until_whole {
                    0 => LEVELS_PER_WHOLE,
                    left => left - 1,
                };
            }
        }
        self.changed = changed;
    }

    /// Whether there was anything to be compared.
    fn compare(&mut self, change: Changed, complement: AssetKey, now: Instant) -> bool {
        let (Some(slot), Some(other)) = (self.slot(change.asset), self.slot(complement)) else {
            self.stats.integrity.mirror_not_applicable.increment();
            return false;
        };
        let doubted = slot.mirror_is_in_doubt() || other.mirror_is_in_doubt();
        // One level that agrees does not settle what another has raised.
        let extent = if doubted || self.until_whole == 0 {
            Extent::Whole
        } else {
            change.extent
        };
        let mirrored = match slot.mirrors(other, extent) {
            // The books as a whole do not compare; the level may yet.
            Mirrored::NotApplicable
                if slot.mirrors(other, change.extent) == Mirrored::OtherBehind =>
            {
                Mirrored::OtherBehind
            }
            mirrored => mirrored,
        };
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
        mirrored != Mirrored::NotApplicable
    }
}
