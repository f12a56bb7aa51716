//! Orders that move, as they were at one moment: a client that pages through one sees each
//! market once, whatever happens meanwhile.
//!
//! Bounds: a moment is kept for a minute after it was last asked for, and all of them hold a
//! part of the memory for answers. If there are too many, those of which nobody has asked for
//! a second page go first, the longest unused of them; the newest always stays.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use polypy_core::Timestamp;

use super::order::{Key, Ranked};

/// How long one is kept after it was last asked for.
pub(crate) const KEPT: Duration = Duration::from_secs(60);
/// What one costs besides its list.
const OVERHEAD: usize = 256;

/// A list at one moment.
#[derive(Debug)]
pub(crate) struct Moment {
    pub(crate) id: u64,
    /// What was asked for: the list is an answer to nothing else.
    pub(crate) query: Box<str>,
    pub(crate) at: Timestamp,
    /// How many were left out because they are not followed.
    pub(crate) unfollowed: usize,
    pub(crate) ranked: Mutex<Ranked>,
}

impl Moment {
    pub(crate) fn page(&self, position: usize, limit: usize) -> Vec<(Key, u64)> {
        self.ranked.lock().page(position, limit).to_vec()
    }

    pub(crate) fn len(&self) -> usize {
        self.ranked.lock().len()
    }

    fn bytes(&self) -> usize {
        OVERHEAD + self.query.len() + self.len() * size_of::<(Key, u64)>()
    }
}

/// Those that are kept.
#[derive(Debug)]
pub(crate) struct Moments {
    most_bytes: usize,
    kept: Mutex<Vec<Kept>>,
}

#[derive(Debug)]
struct Kept {
    moment: Arc<Moment>,
    used: Instant,
    /// Somebody pages through it.
    is_paged: bool,
}

impl Moments {
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            kept: Mutex::default(),
        }
    }

    /// The one of this name, if it is still kept.
    pub(crate) fn get(&self, id: u64, now: Instant) -> Option<Arc<Moment>> {
        let mut kept = self.kept.lock();
        let found = kept.iter_mut().find(|kept| kept.moment.id == id)?;
        if now.saturating_duration_since(found.used) >= KEPT {
            return None;
        }
        (found.used, found.is_paged) = (now, true);
        Some(Arc::clone(&found.moment))
    }

    /// Keeps this one.
    pub(crate) fn keep(&self, moment: Arc<Moment>, now: Instant) {
        let mut kept = self.kept.lock();
        let is_paged = kept
            .iter()
            .any(|known| known.moment.id == moment.id && known.is_paged);
        kept.retain(|known| {
            known.moment.id != moment.id && now.saturating_duration_since(known.used) < KEPT
        });
        let mut bytes: usize = kept.iter().map(|known| known.moment.bytes()).sum();
        bytes += moment.bytes();
        while bytes > self.most_bytes {
            let places = kept.iter().enumerate();
            let least = places.min_by_key(|(_, known)| (known.is_paged, known.used));
            let Some((at, _)) = least else {
                break;
            };
            bytes -= kept.swap_remove(at).moment.bytes();
        }
        kept.push(Kept {
            moment,
            used: now,
            is_paged,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: usize = 100;

    fn moment(id: u64) -> Arc<Moment> {
        Arc::new(Moment {
            id,
            query: "".into(),
            at: Timestamp::from_millis(0),
            unfollowed: 0,
            ranked: Mutex::new(Ranked::new(vec![(0, 0); LEN], 1)),
        })
    }

    #[test]
    fn a_moment_goes_a_minute_after_it_was_last_asked_for() {
        let moments = Moments::new(usize::MAX);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        moments.keep(moment(1), start);
        assert!(moments.get(1, at(59)).is_some());
        assert!(moments.get(1, at(118)).is_some());
        assert!(moments.get(2, at(118)).is_none());
        assert!(moments.get(1, at(178)).is_none());
        moments.keep(moment(2), at(178));
        assert_eq!(moments.kept.lock().len(), 1, "its memory is given back");
    }

    #[test]
    fn when_there_are_too_many_those_that_nobody_pages_through_go_first() {
        let one = moment(0).bytes();
        assert!(one > LEN * 16);
        let moments = Moments::new(3 * one);
        let start = Instant::now();
        for id in 1..=3 {
            moments.keep(moment(id), start + Duration::from_secs(id));
        }
        let now = start + Duration::from_secs(4);
        assert!(moments.get(1, now).is_some());
        moments.keep(moment(4), now);
        let all = || (1..=9).filter(|id| moments.get(*id, now).is_some());
        assert_eq!(all().collect::<Vec<_>>(), [1, 3, 4]);
        for id in 5..=6 {
            moments.keep(moment(id), now + Duration::from_secs(id));
        }
        assert_eq!(all().count(), 3);
        // One that is larger than all may be is kept alone.
        let moments = Moments::new(one / 2);
        moments.keep(moment(1), now);
        moments.keep(moment(2), now);
        assert!(moments.get(1, now).is_none() && moments.get(2, now).is_some());
    }
}
