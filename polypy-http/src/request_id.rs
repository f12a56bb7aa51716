//! The name of one request, in the answer and in the log.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Longest id taken over from a client.
const MAX_LENGTH: usize = 128;

/// One request's id: the client's own when it is sane, else a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    /// Takes over `X-Request-Id` when it is 1 to 128 characters of
    /// `A-Z a-z 0-9 . _ : -`: nothing that could break a log line or a header.
    pub(crate) fn from_client(value: &[u8]) -> Option<Self> {
        let sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:-".contains(byte);
        if value.is_empty() || value.len() > MAX_LENGTH || !value.iter().all(sane) {
            return None;
        }
        std::str::from_utf8(value)
            .ok()
            .map(|text| Self(text.into()))
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes ids that differ within a process and, by a random prefix, between
/// processes. They identify and prove nothing.
#[derive(Debug)]
pub(crate) struct RequestIds {
    prefix: u64,
    next: AtomicU64,
}

impl RequestIds {
    /// With a new prefix, from the seed that the standard library draws for
    /// its hash maps.
    pub(crate) fn new() -> Self {
        Self {
            prefix: RandomState::new().hash_one("request id") >> 32,
            next: AtomicU64::new(0),
        }
    }

    /// A new id: `5f3a9c1d-00000001`.
    pub(crate) fn next(&self) -> RequestId {
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        RequestId(format!("{:08x}-{number:08x}", self.prefix).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sane_ids_are_taken_over_and_others_are_not() {
        for sane in ["a", "req-1:2.3_4", &"x".repeat(128)] {
            assert_eq!(
                RequestId::from_client(sane.as_bytes()).unwrap().as_str(),
                sane
            );
        }
        for odd in ["", "a b", "a\"b", "é", "\x1b[31m", &"x".repeat(129)] {
            assert_eq!(RequestId::from_client(odd.as_bytes()), None, "{odd:?}");
        }
    }

    #[test]
    fn new_ids_differ_and_are_sane() {
        let ids = RequestIds::new();
        let (first, second) = (ids.next(), ids.next());
        assert_ne!(first, second);
        assert!(RequestId::from_client(first.as_str().as_bytes()).is_some());
    }
}
