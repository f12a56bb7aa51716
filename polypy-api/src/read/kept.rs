//! Answers that are kept for those who ask the same: for a second, and after that for as
//! long as the catalogue stays as it is.
//!
//! During a crawl the figures of some market change all the time; a second is what a list may
//! be behind, so that many clients of one list cost as much as one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use polypy_http::{CachedBody, Call, Reply};

use super::JSON;
use super::etag::{has_it, not_modified, with_etag};

/// How long an answer is good enough.
const ENOUGH: Duration = Duration::from_secs(1);
/// Answers at most, whatever they hold.
const MOST: usize = 4_096;

/// The versions of the catalogue: of its facts and of its figures.
pub(crate) type Versions = (u64, u64);

/// An answer that is kept.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: CachedBody,
    pub(crate) versions: Versions,
    /// There if equal versions mean an equal answer.
    pub(crate) etag: Option<String>,
}

impl Answer {
    /// What a client is sent; compresses if that has not been done.
    pub(crate) fn reply(&self, call: &Call) -> Reply {
        match &self.etag {
            Some(etag) if has_it(call.headers(), etag) => not_modified(etag),
            Some(etag) => with_etag(self.body.reply(JSON, call.headers()), etag),
            None => self.body.reply(JSON, call.headers()),
        }
    }

    /// Whether that takes nothing but a look.
    pub(crate) fn is_ready(&self, call: &Call) -> bool {
        let etag = self.etag.as_ref();
        self.body.is_ready(call.headers()) || etag.is_some_and(|it| has_it(call.headers(), it))
    }
}

/// The answers, by what was asked for.
#[derive(Debug)]
pub(crate) struct KeptAnswers {
    most_bytes: usize,
    answers: Mutex<HashMap<Box<str>, Kept>>,
}

#[derive(Debug)]
struct Kept {
    answer: Arc<Answer>,
    /// It was right then.
    right: Instant,
    used: Instant,
}

impl KeptAnswers {
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            answers: Mutex::default(),
        }
    }

    /// An answer that is good enough, whatever the catalogue is like by now.
    pub(crate) fn fresh(&self, query: &str, now: Instant) -> Option<Arc<Answer>> {
        let mut answers = self.answers.lock();
        let kept = answers.get_mut(query)?;
        if now.saturating_duration_since(kept.right) >= ENOUGH {
            return None;
        }
        kept.used = now;
        Some(Arc::clone(&kept.answer))
    }

    /// An answer that is right for a catalogue of these versions.
    pub(crate) fn right(&self, query: &str, is: Versions, now: Instant) -> Option<Arc<Answer>> {
        let mut answers = self.answers.lock();
        let kept = answers.get_mut(query)?;
        if kept.answer.etag.is_none() || kept.answer.versions != is {
            return None;
        }
        (kept.right, kept.used) = (now, now);
        Some(Arc::clone(&kept.answer))
    }

    /// Keeps an answer, unless it alone is too large.
    pub(crate) fn keep(&self, query: &str, answer: &Arc<Answer>, now: Instant) {
        let size = |query: &str, answer: &Answer| query.len() + answer.body.held();
        let mut bytes = size(query, answer);
        if bytes > self.most_bytes {
            return;
        }
        let mut answers = self.answers.lock();
        answers.remove(query);
        let others = answers.iter();
        bytes += others
            .map(|(query, kept)| size(query, &kept.answer))
            .sum::<usize>();
        while bytes > self.most_bytes || answers.len() >= MOST {
            let others = answers.iter();
            let Some((oldest, kept)) = others.min_by_key(|(_, kept)| kept.used) else {
                break;
            };
            bytes -= size(oldest, &kept.answer);
            let oldest = oldest.clone();
            answers.remove(&oldest);
        }
        let kept = Kept {
            answer: Arc::clone(answer),
            right: now,
            used: now,
        };
        answers.insert(query.into(), kept);
    }
}

#[cfg(test)]
mod tests {
    use polypy_http::Memory;

    use super::*;

    fn answer(versions: Versions, is_lasting: bool) -> Arc<Answer> {
        let memory = Memory::new(1 << 20);
        let share = memory.take(1_000).unwrap();
        Arc::new(Answer {
            body: CachedBody::new(vec![b'a'; 1_000], share, &memory),
            versions,
            etag: is_lasting.then(|| "W/\"1\"".to_owned()),
        })
    }

    #[test]
    fn an_answer_is_enough_for_a_second_and_right_while_nothing_changes() {
        let kept = KeptAnswers::new(usize::MAX);
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        kept.keep("a", &answer((1, 1), true), start);
        kept.keep("b", &answer((1, 1), false), start);
        for query in ["a", "b"] {
            assert!(kept.fresh(query, at(999)).is_some());
            assert!(kept.fresh(query, at(1_000)).is_none());
        }
        assert!(kept.right("a", (1, 2), at(1_000)).is_none());
        assert!(kept.right("a", (2, 1), at(1_000)).is_none());
        assert!(kept.right("b", (1, 1), at(1_000)).is_none(), "it has moved");
        assert!(kept.right("a", (1, 1), at(1_000)).is_some());
        assert!(kept.fresh("a", at(1_999)).is_some());
        assert!(kept.fresh("c", start).is_none());
    }

    #[test]
    fn the_longest_unused_answer_goes_when_there_are_too_many() {
        let kept = KeptAnswers::new(3_100);
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        for (query, millis) in [("a", 0), ("b", 1), ("c", 2)] {
            kept.keep(query, &answer((1, 1), true), at(millis));
        }
        assert!(kept.fresh("a", at(3)).is_some());
        kept.keep("d", &answer((1, 1), true), at(4));
        let left = |query| kept.fresh(query, at(5)).is_some();
        assert_eq!(["a", "b", "c", "d"].map(left), [true, false, true, true]);
        KeptAnswers::new(999).keep("a", &answer((1, 1), true), start);
    }
}
