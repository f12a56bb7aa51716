//! The last answers with books that are compared with ours. Whether one contradicts a book is
//! known later: then it is recorded, and the others never are.

use std::collections::VecDeque;
use std::time::Instant;

use memchr::memmem;
use polypy_core::AssetId;
use polypy_core::recording::RestAnswer;

/// Bytes of bodies that a recorder keeps: those of some seconds.
const MOST_BYTES: usize = 8 << 20;

/// An answer, when it was asked for, and when it had come.
#[derive(Debug)]
pub(crate) struct Audit {
    pub(crate) answer: RestAnswer,
    pub(crate) requested: Instant,
    pub(crate) received: Instant,
}

/// The answers that are kept, the oldest first.
#[derive(Debug)]
pub(crate) struct Audits {
    room: usize,
    kept: VecDeque<Audit>,
    bytes: usize,
}

impl Default for Audits {
    fn default() -> Self {
        Self::new(MOST_BYTES)
    }
}

impl Audits {
    /// None yet, and room for so many bytes of bodies.
    pub(crate) fn new(room: usize) -> Self {
        Self {
            room,
            kept: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Bytes of the bodies that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps an answer, and forgets the oldest that there is no room for.
    pub(crate) fn keep(&mut self, audit: Audit) {
        self.bytes += audit.answer.body.len();
        self.kept.push_back(audit);
        while self.bytes > self.room
            && let Some(oldest) = self.kept.pop_front()
        {
            self.bytes -= oldest.answer.body.len();
        }
    }

    /// The latest answer that names each of these tokens, which is not kept any longer.
    pub(crate) fn take_about(&mut self, tokens: &[AssetId]) -> Vec<Audit> {
        let mut found = Vec::new();
        for token in tokens {
            let name = format!("\"{token}\"");
            let names = |audit: &Audit| {
                memmem::find(audit.answer.body.as_bytes(), name.as_bytes()).is_some()
            };
            if found.iter().any(names) {
                continue;
            }
            let place = self.kept.iter().rposition(names);
            if let Some(audit) = place.and_then(|place| self.kept.remove(place)) {
                self.bytes -= audit.answer.body.len();
                found.push(audit);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audit(body: &str) -> Audit {
        let now = Instant::now();
        Audit {
            answer: RestAnswer {
                path: "/books".into(),
                request: "[]".into(),
                status: 200,
                purpose: "audit".into(),
                requested: 0,
                body: body.into(),
            },
            requested: now,
            received: now,
        }
    }

    fn ids(ids: &[&str]) -> Vec<AssetId> {
        ids.iter().map(|id| id.parse().unwrap()).collect()
    }

    #[test]
    fn the_latest_that_names_a_token_is_found_once() {
        let mut audits = Audits::default();
        for body in [r#"["12","old"]"#, r#"["12","13"]"#, r#"["121"]"#] {
            audits.keep(audit(body));
        }
        let found = audits.take_about(&ids(&["12", "13", "99"]));
        let bodies: Vec<_> = found.iter().map(|audit| &*audit.answer.body).collect();
        assert_eq!(bodies, [r#"["12","13"]"#]);
        let found = audits.take_about(&ids(&["12"]));
        assert_eq!(&*found[0].answer.body, r#"["12","old"]"#);
        assert!(audits.take_about(&ids(&["12"])).is_empty());
        assert_eq!(audits.bytes, r#"["121"]"#.len());
    }

    #[test]
    fn memory_is_bounded() {
        let mut audits = Audits::default();
        let long = format!("[\"{}\"]", "x".repeat(MOST_BYTES / 3));
        for _ in 0..10 {
            audits.keep(audit(&long));
            assert!(audits.bytes <= MOST_BYTES);
        }
        assert_eq!(audits.kept.len(), 2);
        audits.keep(audit(&"y".repeat(MOST_BYTES + 1)));
        assert_eq!((audits.kept.len(), audits.bytes), (0, 0));
    }
}
