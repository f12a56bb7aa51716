//! Comparing the two tokens of a market, both of which this partition keeps.

use std::time::Instant;

use polypy_core::AssetKey;

use super::Partition;
use crate::book_slot::Mirrored;
use crate::integrity::{Changed, Extent};

/// Changes of which one level is compared with the other token's, for each of
/// which whole books are: then a level that no change names any more is found.
pub(super) const LEVELS_PER_WHOLE: u32 = 64;

impl Partition {
    /// Compares what changed with the market's other token. At the end of a
    /// batch, for a frame's entries for both are applied by then.
    pub(super) fn compare_tokens(&mut self, now: Instant) {
        let mut changed = std::mem::take(&mut self.desk.changed);
        let mut rest = changed.as_slice();
        while let Some((change, behind)) = rest.split_first() {
            rest = behind;
            let Some(slot) = self.slots.get(change.asset) else {
                continue;
            };
            let Some(complement) = slot.complement else {
                continue;
            };
            let mut told_alike = false;
            if let Some((next, behind)) = rest.split_first()
                && change.repeats(next, complement)
            {
                // The other entry of the same order: one look is enough for both.
                told_alike = next.size == change.size;
                rest = behind;
            }
            if self.compare(*change, complement, told_alike, now) {
                self.until_whole = match self.until_whole {
                    0 => LEVELS_PER_WHOLE,
                    left => left - 1,
                };
            }
        }
        changed.clear();
        self.desk.changed = changed;
    }

    /// Whether there was anything to be compared. `told_alike`: both tokens were
    /// told the same of this level, so that they agree there unless one of them
    /// left it out.
    fn compare(
        &mut self,
        change: Changed,
        complement: AssetKey,
        told_alike: bool,
        now: Instant,
    ) -> bool {
        let stats = &self.desk.stats.integrity;
        let (Some(slot), Some(other)) = (self.slots.get(change.asset), self.slots.get(complement))
        else {
            stats.mirror_not_applicable.increment();
            return false;
        };
        let whole_is_due = self.until_whole == 0;
        if told_alike && !whole_is_due && slot.agrees_calmly_with(other) {
            stats.mirror_passed.increment();
            return true;
        }
        let doubted = slot.mirror_is_in_doubt() || other.mirror_is_in_doubt();
        // One level that agrees does not settle what another has raised.
        let extent = if doubted || whole_is_due {
            Extent::Whole
        } else if told_alike && slot.is_at_one_time_with(other) {
            stats.mirror_passed.increment();
            return true;
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
        let mut cx = self.desk.context(now);
        for &key in concerned {
            self.slots
                .with(key, &mut cx, |slot, cx| slot.compared(mirrored, cx));
        }
        mirrored != Mirrored::NotApplicable
    }
}
