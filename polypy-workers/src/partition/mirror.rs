//! Comparing the two tokens of a market, both of which this partition keeps.

use polypy_core::AssetKey;

use super::slots::Slots;
use crate::book::{Cause, Context, Update};
use crate::integrity::{Extent, Mirrored};

/// Changes of which one level is compared with the other token's, for each of
/// which whole books are: then a level that no change names any more is found.
const LEVELS_PER_WHOLE: u32 = 64;

/// Two tokens of a market, and where the first has changed.
#[derive(Debug, Clone, Copy)]
struct Pair {
    asset: AssetKey,
    complement: AssetKey,
    level: Extent,
}

/// When whole books are compared, and not only levels.
#[derive(Debug)]
pub(super) struct MirrorCheck {
    /// Comparisons of single levels until the next of whole books.
    until_whole: u32,
}

impl Default for MirrorCheck {
    fn default() -> Self {
        Self {
            until_whole: LEVELS_PER_WHOLE,
        }
    }
}

impl MirrorCheck {
    /// Compares what changed with the market's other token. At the end of a
    /// batch, for a frame's entries for both are applied by then.
    pub(super) fn compare_tokens(&mut self, slots: &mut Slots, cx: &mut Context) {
        while let Some(entry) = cx.log.next_to_compare() {
            let Some(slot) = slots.get(entry.asset) else {
                continue;
            };
            let Some(complement) = slot.book().complement() else {
                continue;
            };
            let extent = match entry.update {
                Update::Level(level) => Extent::Level(level.side, level.price),
                Update::Whole | Update::NewEpoch => Extent::Whole,
            };
            let pair = Pair {
                asset: entry.asset,
                complement,
                level: extent,
            };
            // The other entry of the same order: one look is enough for both.
            let other = cx.log.take_other_entry(&entry, complement);
            // Both tokens were sent the same of this level, so that they agree there
            // unless one of them left it out.
            let is_alike = other.is_some_and(|other| match (entry.update, other.update) {
                (Update::Level(one), Update::Level(other)) => one.size == other.size,
                _ => false,
            });
            if self.compare(slots, cx, pair, is_alike) {
                self.until_whole = match self.until_whole {
                    0 => LEVELS_PER_WHOLE,
                    left => left - 1,
                };
            }
        }
    }

    /// Whether there was anything to be compared.
    fn compare(&self, slots: &mut Slots, cx: &mut Context, pair: Pair, is_alike: bool) -> bool {
        let Pair {
            asset,
            complement,
            level,
        } = pair;
        let stats = &cx.stats.integrity;
        let (Some(slot), Some(other)) = (slots.get(asset), slots.get(complement)) else {
            stats.mirror.not_applicable.increment();
            return false;
        };
        let whole_is_due = self.until_whole == 0;
        let both_trusts = [slot.book().trust(), other.book().trust()];
        let is_suspect = both_trusts.iter().any(|trust| trust.has(Cause::Mirror));
        // One level that agrees does not settle what another has raised.
        let extent = if is_suspect || whole_is_due {
            Extent::Whole
        } else if is_alike && slot.book().is_at_one_time_with(other.book()) {
            stats.mirror.passed.increment();
            return true;
        } else {
            level
        };
        let mirrored = match slot.mirrors(other, extent) {
            // The books as a whole do not compare; the level may yet.
            Mirrored::NotApplicable if slot.mirrors(other, level) == Mirrored::OtherBehind => {
                Mirrored::OtherBehind
            }
            mirrored => mirrored,
        };
        let counter = match mirrored {
            Mirrored::Agrees => &stats.mirror.passed,
            Mirrored::Disagrees => &stats.mirror.failed,
            Mirrored::OtherBehind => &stats.mirror.behind,
            Mirrored::NotApplicable => &stats.mirror.not_applicable,
        };
        counter.increment();
        let both = mirrored == Mirrored::Disagrees || is_suspect;
        let concerned: &[AssetKey] = match mirrored {
            Mirrored::OtherBehind => &[complement],
            Mirrored::Agrees | Mirrored::Disagrees | Mirrored::NotApplicable if both => {
                &[asset, complement]
            }
            Mirrored::Agrees | Mirrored::Disagrees | Mirrored::NotApplicable => &[],
        };
        for &key in concerned {
            slots.with(key, cx, |slot, cx| slot.compared(mirrored, cx));
        }
        mirrored != Mirrored::NotApplicable
    }
}
