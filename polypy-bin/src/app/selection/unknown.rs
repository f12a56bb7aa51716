//! What the selection in force names and nothing listed has: looked at now and then, and
//! told once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use polypy_core::catalogue::Selection;

/// How long a look lasts: it goes through all that is listed, and markets come all the time.
const LASTS: Duration = Duration::from_secs(10);

/// The newest look, and what was told.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    looked: Mutex<Option<Look>>,
    told: Mutex<HashSet<String>>,
}

#[derive(Debug)]
struct Look {
    of: Arc<Selection>,
    until: Instant,
    found: Arc<[String]>,
}

impl Unknown {
    /// What a selection names that is not there: as it was a moment ago, if it is the same
    /// one.
    pub(super) fn of(
        &self,
        selection: &Arc<Selection>,
        look: impl FnOnce() -> Vec<String>,
    ) -> Arc<[String]> {
        let mut looked = self.looked.lock();
        let now = Instant::now();
        if let Some(newest) = &*looked
            && Arc::ptr_eq(&newest.of, selection)
            && now < newest.until
        {
            return Arc::clone(&newest.found);
        }
        let found: Arc<[String]> = look().into();
        *looked = Some(Look {
            of: Arc::clone(selection),
            until: now + LASTS,
            found: Arc::clone(&found),
        });
        found
    }

    /// Names in the log what was not named there before.
    pub(super) fn tell(&self, warnings: &[String]) {
        let mut told = self.told.lock();
        for warning in warnings {
            if told.insert(warning.clone()) {
                tracing::warn!(warning, "the selection names what nothing has");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_looked_at_again_when_it_is_another_one_or_time_has_passed() {
        let unknown = Unknown::default();
        let (first, second) = (Arc::default(), Arc::default());
        let looks = |selection, word: &str| unknown.of(selection, || vec![word.to_owned()]);
        assert_eq!(*looks(&first, "one"), ["one"]);
        assert_eq!(*looks(&first, "two"), ["one"]);
        assert_eq!(*looks(&second, "three"), ["three"]);
        if let Some(look) = &mut *unknown.looked.lock() {
            look.until = Instant::now();
        }
        assert_eq!(*looks(&second, "four"), ["four"]);
    }
}
