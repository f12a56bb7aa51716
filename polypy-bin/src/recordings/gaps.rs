//! What a recording says that it lacks.

use std::collections::HashMap;

use polypy_core::AssetId;
use polypy_core::recording::{Gap, GapScope};

/// What a gap is told from others by.
type Name = (GapScope, Option<AssetId>, Option<u64>, Option<u64>);

/// Gaps in the order in which they were first told: each is told when it opens, and again
/// with its end, which counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gaps {
    list: Vec<Gap>,
    places: HashMap<Name, usize>,
}

impl Gaps {
    /// A gap is told; whether for the first time.
    pub(crate) fn note(&mut self, gap: &Gap) -> bool {
        let name = (gap.scope, gap.token_id.clone(), gap.socket, gap.from_ts);
        let next = self.list.len();
        let place = *self.places.entry(name).or_insert(next);
        match self.list.get_mut(place) {
            Some(known) => known.clone_from(gap),
            None => self.list.push(gap.clone()),
        }
        place == next
    }

    /// Adds those of the manifest that nobody has told: what a file says of a gap is the last
    /// word, unless it was found out later that it had another cause.
    pub(crate) fn add_untold(&mut self, gaps: &[Gap]) {
        let mut untold = Self::default();
        for gap in gaps {
            untold.note(gap);
        }
        for gap in untold.list {
            let name = (gap.scope, gap.token_id.clone(), gap.socket, gap.from_ts);
            let told = self.places.get(&name).map(|place| &self.list[*place]);
            let is_newer = |told: &Gap| told.to_ts.is_none() && told.detected_ts < gap.detected_ts;
            if told.is_none_or(is_newer) {
                self.note(&gap);
            }
        }
    }

    pub(crate) fn into_list(self) -> Vec<Gap> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use polypy_core::Owner;

    use super::*;

    #[test]
    fn a_gap_that_is_told_again_has_its_end() {
        let gap = |from, to| Gap::of_recording("killed", Owner::Us, (Some(from), to), 9);
        let mut gaps = Gaps::default();
        let told = [gap(1, None), gap(2, None), gap(1, Some(3))];
        assert_eq!(
            told.each_ref().map(|gap| gaps.note(gap)),
            [true, true, false]
        );
        gaps.add_untold(&[gap(1, None), gap(4, None)]);
        let all = [gap(1, Some(3)), gap(2, None), gap(4, None)];
        assert_eq!(gaps.into_list(), all);
    }

    #[test]
    fn what_was_found_out_later_of_a_gap_counts_unless_a_file_has_told_its_end() {
        let gap =
            |reason, to, detected| Gap::of_recording(reason, Owner::Us, (Some(1), to), detected);
        // The manifest says this of it, besides what a file says.
        let last = |told: &Gap, by_manifest: Vec<Gap>| {
            let mut gaps = Gaps::default();
            gaps.note(told);
            gaps.add_untold(&by_manifest);
            gaps.into_list()
        };
        let (killed, full) = (gap("killed", None, 5), gap("disk_full", Some(9), 6));
        assert_eq!(last(&killed, vec![full.clone()]), vec![full.clone()]);
        // Not later, so the file has the last word.
        let as_early = gap("disk_full", Some(9), 5);
        assert_eq!(last(&killed, vec![as_early]), vec![killed.clone()]);
        let ended = gap("killed", Some(8), 5);
        assert_eq!(last(&ended, vec![full.clone()]), vec![ended]);
        // Of two in the manifest the later one.
        let earlier = gap("disk_failed", None, 7);
        assert_eq!(last(&killed, vec![earlier, full.clone()]), vec![full]);
    }
}
