//! How often a client may speak: each word costs an answer.

use std::time::Duration;

use polypy_core::TokenBucket;
use tokio::time::Instant;

/// Words in a row that were too many, after which the client is sent away.
const PATIENCE: u32 = 10;

/// What to do with a client's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Heed it.
    Fine,
    /// Leave it, and say so.
    TooMany,
    /// The client does not listen: end it.
    Enough,
}

/// The words of one client.
#[derive(Debug)]
pub(crate) struct Pace {
    bucket: TokenBucket,
    refused: u32,
}

impl Pace {
    /// So many words at once, and so many a second on average.
    pub(crate) fn new(burst: u32, per_second: u32) -> Self {
        let period = f64::from(burst) / f64::from(per_second.max(1));
        Self {
            bucket: TokenBucket::new(burst, Duration::from_secs_f64(period)),
            refused: 0,
        }
    }

    /// Counts a word.
    pub(crate) fn take(&mut self, now: Instant) -> Verdict {
        if self.bucket.take(now.into_std()) {
            self.refused = 0;
            return Verdict::Fine;
        }
        self.refused += 1;
        if self.refused > PATIENCE {
            Verdict::Enough
        } else {
            Verdict::TooMany
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifty_at_once_ten_a_second_and_then_a_warning_before_the_end() {
        let (mut pace, start) = (Pace::new(50, 10), Instant::now());
        for word in 1..=50 {
            assert_eq!(pace.take(start), Verdict::Fine, "{word}");
        }
        assert_eq!(pace.take(start), Verdict::TooMany);
        // A tenth of a second is worth one word, which forgets the warnings.
        let later = start + Duration::from_millis(101);
        assert_eq!(pace.take(later), Verdict::Fine);
        for word in 1..=PATIENCE {
            assert_eq!(pace.take(later), Verdict::TooMany, "{word}");
        }
        assert_eq!(pace.take(later), Verdict::Enough);
    }
}
