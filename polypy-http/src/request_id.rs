//! The name of one request, in the answer and in the log.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Serialize, Serializer};

/// Longest id taken over from a client.
const MAX_LENGTH: usize = 128;
/// Longest id of our own: eight digits, a hyphen, and sixteen more.
const OWN_LENGTH: usize = 25;

/// One request's id: the client's own when it is sane, else a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(Text);

/// Ids of our own need no memory: most requests bring none.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Text {
    Own([u8; OWN_LENGTH], usize),
    Client(Arc<str>),
}

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
            .map(|text| Self(Text::Client(text.into())))
    }

    /// `prefix` and `number` in hexadecimal, eight digits each at least.
    fn own(prefix: u32, number: u64) -> Self {
        let mut text = [b'-'; OWN_LENGTH];
        write_hex(&mut text[..8], prefix.into());
        let digits = usize::try_from(16 - number.leading_zeros() / 4).unwrap_or(16);
        let length = 9 + digits.clamp(8, 16);
        write_hex(&mut text[9..length], number);
        Self(Text::Own(text, length))
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        match &self.0 {
            // Nothing but ASCII was written.
            Text::Own(text, length) => str::from_utf8(&text[..*length]).unwrap_or_default(),
            Text::Client(text) => text,
        }
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Makes ids that differ within a process and, by a random prefix, between
/// processes. They identify and prove nothing.
#[derive(Debug)]
pub(crate) struct RequestIds {
    prefix: u32,
    next: AtomicU64,
}

impl RequestIds {
    /// With a new prefix, from the seed that the standard library draws for
    /// its hash maps.
    pub(crate) fn new() -> Self {
        let random = RandomState::new().hash_one("request id");
        Self {
            prefix: u32::try_from(random >> 32).unwrap_or_default(),
            next: AtomicU64::new(0),
        }
    }

    /// A new id: `5f3a9c1d-00000001`.
    pub(crate) fn next(&self) -> RequestId {
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        RequestId::own(self.prefix, number)
    }
}

/// The lowest digits of a number, as many as there is room for.
fn write_hex(room: &mut [u8], number: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut rest = number;
    for place in room.iter_mut().rev() {
        let [lowest, ..] = rest.to_le_bytes();
        *place = DIGITS[usize::from(lowest & 15)];
        rest >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_ids_have_eight_digits_or_more() {
        for (prefix, number) in [
            (0x5f3a_9c1d, 1),
            (0, 0xffff_ffff),
            (7, 0x1_0000_0000),
            (u32::MAX, u64::MAX),
        ] {
            let expected = format!("{prefix:08x}-{number:08x}");
            assert_eq!(RequestId::own(prefix, number).as_str(), expected);
        }
    }

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
