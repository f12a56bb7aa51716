//! Whether it is the hashes' format that is wrong, and not the books.
//!
//! The levels of a book that was just sent whole are right. When many of those in a
//! row do not give their own hash, and no check of any book has succeeded since the
//! first of them, the venue hashes something else than before. A book whose hash
//! fails meanwhile says nothing of its levels.
//!
//! A book fails twice at most before it is unverified and not asked any more, so
//! that so many failures are of several books.

/// Whole books in a row. Their hashes are made of what they state themselves, and fail
/// singly where a last trade price was never announced.
const MANY: u32 = 8;

/// What the checks of all of a worker's books say of the format.
#[derive(Debug, Default)]
pub(crate) struct FormatDoubt {
    failures: u32,
}

impl FormatDoubt {
    /// A hash was reproduced.
    #[inline]
    pub(super) fn note_proven(&mut self) {
        self.failures = 0;
    }

    /// A whole book of a format that had been known did not give its own hash.
    pub(super) fn note_whole_failure(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Whether a failure is to be blamed on the format.
    pub(super) fn holds(&self) -> bool {
        self.failures >= MANY
    }
}
