//! A connection's place in the stream.

use std::fmt;
use std::str::FromStr;

/// A place in the stream of one instance of the hub: everything up to it was given.
/// Opaque to clients.
///
/// ```
/// use polypy_api::Cursor;
/// let cursor: Cursor = "5f3a9c1d2b7e4a60-57".parse()?;
/// assert_eq!(cursor.to_string(), "5f3a9c1d2b7e4a60-57");
/// # Ok::<(), polypy_api::cursor::BadCursor>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The hub's life: another one numbers from zero.
    pub instance: Instance,
    /// Messages published in it.
    pub position: u64,
}

/// One life of the hub, or of what answers reads: a random number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instance(pub u64);

impl Instance {
    /// Another one than all before.
    pub fn random() -> Self {
        Self(fastrand::u64(..))
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.instance, self.position)
    }
}

/// The text is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a cursor: give one as it came in a message (cursor) or as the id of an event, or leave it out"
)]
pub struct BadCursor;

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let (instance, position) = text.split_once('-').ok_or(BadCursor)?;
        let is_plain = |text: &str, digits: fn(&u8) -> bool| text.as_bytes().iter().all(digits);
        if instance.len() != 16
            || !is_plain(instance, u8::is_ascii_hexdigit)
            || !is_plain(position, u8::is_ascii_digit)
        {
            return Err(BadCursor);
        }
        let instance = u64::from_str_radix(instance, 16).map_err(|_not_a_number| BadCursor)?;
        let position = position.parse().map_err(|_not_a_number| BadCursor)?;
        Ok(Self {
            instance: Instance(instance),
            position,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_as_it_was_written_and_nothing_else_does() {
        for text in [
            "0000000000000000-0",
            "ffffffffffffffff-18446744073709551615",
        ] {
            let cursor: Cursor = text.parse().unwrap();
            assert_eq!(cursor.to_string(), text);
        }
        for bad in [
            "",
            "-",
            "57",
            "5f3a9c1d2b7e4a60",
            "5f3a9c1d2b7e4a60-",
            "5f3a-1",
            "+f3a9c1d2b7e4a60-1",
            "5f3a9c1d2b7e4a60-+1",
            "5f3a9c1d2b7e4a60-18446744073709551616",
            "5f3a9c1d2b7e4a60-1-1",
        ] {
            assert_eq!(bad.parse::<Cursor>(), Err(BadCursor), "{bad}");
        }
    }
}
