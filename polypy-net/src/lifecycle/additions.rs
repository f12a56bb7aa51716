//! What was added to what is followed a moment ago: its books are on their way.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// For so long. Books come within seconds; thousands of them, within half a minute.
const RECENT: Duration = Duration::from_secs(60);
/// Additions within this time are one, so that few are kept.
const ONE: Duration = Duration::from_secs(1);

/// Tokens by the moment at which they were added.
#[derive(Debug, Default)]
pub(super) struct Additions {
    /// The earliest first; a minute of them.
    recent: Mutex<VecDeque<(Instant, usize)>>,
}

impl Additions {
    /// So many tokens are added now.
    pub(super) fn note(&self, tokens: usize, now: Instant) {
        let mut recent = self.recent.lock();
        forget_old(&mut recent, now);
        match recent.back_mut() {
            Some((at, many)) if now.saturating_duration_since(*at) < ONE => *many += tokens,
            _ => recent.push_back((now, tokens)),
        }
    }

    /// Tokens that were added within a minute.
    pub(super) fn count(&self, now: Instant) -> usize {
        let mut recent = self.recent.lock();
        forget_old(&mut recent, now);
        recent.iter().map(|(_, tokens)| tokens).sum()
    }
}

fn forget_old(recent: &mut VecDeque<(Instant, usize)>, now: Instant) {
    while let Some((at, _)) = recent.front()
        && now.saturating_duration_since(*at) >= RECENT
    {
        recent.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_added_counts_for_a_minute_and_is_kept_in_few_pieces() {
        let additions = Additions::default();
        let begun = Instant::now();
        assert_eq!(additions.count(begun), 0);
        for step in 0..100_000 {
            additions.note(2, begun + Duration::from_millis(step));
        }
        let added = begun + Duration::from_millis(99_999);
        assert!(additions.recent.lock().len() <= 60);
        let count = additions.count(added);
        assert!((118_000..=120_000).contains(&count), "{count}");
        assert!(additions.count(added + RECENT - ONE) > 0);
        assert_eq!(additions.count(added + RECENT), 0);
    }
}
