//! Names with `*` in them.

use std::fmt;
use std::str::FromStr;

/// Characters of a pattern at most: as many as the venue's names have.
const MAX_PATTERN: usize = 512;

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GlobError {
    /// Nothing.
    #[error("it is empty")]
    Empty,
    /// Too many characters.
    #[error("more than {MAX_PATTERN} characters")]
    TooLong,
    /// The venue's names have none.
    #[error("there is a space in it; names in addresses have none")]
    Space,
}

/// A slug, or many: `*` stands for any text, also for none. Capitals make no difference.
///
/// ```
/// use polypy_core::catalogue::Glob;
///
/// let glob: Glob = "btc-updown-*".parse()?;
/// assert!(glob.matches("btc-updown-5m-1780876500"));
/// assert!(!glob.matches("eth-updown-5m-1780876500"));
/// # Ok::<(), polypy_core::catalogue::GlobError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Glob(Box<str>);

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Glob {}

impl FromStr for Glob {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        if text.is_empty() {
            return Err(GlobError::Empty);
        }
        if text.chars().nth(MAX_PATTERN).is_some() {
            return Err(GlobError::TooLong);
        }
        if text.contains(char::is_whitespace) {
            return Err(GlobError::Space);
        }
        Ok(Self(text.into()))
    }
}

impl Glob {
    /// The pattern, as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole of `name` is of this pattern.
    pub fn matches(&self, name: &str) -> bool {
        let mut pieces = self.0.split('*');
        let Some(mut rest) = pieces
            .next()
            .and_then(|first| strip_prefix(name.as_bytes(), first.as_bytes()))
        else {
            return false;
        };
        let Some(last) = pieces.next_back() else {
            return rest.is_empty();
        };
        // Each piece at the earliest place leaves most for those after it.
        for piece in pieces {
            let Some(after) = after_first(rest, piece.as_bytes()) else {
                return false;
            };
            rest = after;
        }
        rest.len()
            .checked_sub(last.len())
            .and_then(|at| rest.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(last.as_bytes()))
    }
}

fn strip_prefix<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (begin, rest) = text.split_at_checked(prefix.len())?;
    begin.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// What follows the first place of `piece` in `text`.
fn after_first<'a>(text: &'a [u8], piece: &[u8]) -> Option<&'a [u8]> {
    (0..=text.len().checked_sub(piece.len())?).find_map(|at| strip_prefix(text.get(at..)?, piece))
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        let cases = [
            ("spain", "spain", true),
            ("spain", "spain-2", false),
            ("spain*", "spain", true),
            ("*-5m-*", "btc-updown-5m-1780876500", true),
            ("*", "", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("BTC-*", "btc-1", true),
            ("btc-*", "BTC-1", true),
            ("a**b", "ab", true),
        ];
        for (pattern, name, expected) in cases {
            let glob: Glob = pattern.parse().unwrap();
            assert_eq!(glob.matches(name), expected, "{pattern} {name}");
        }
        assert_eq!("BTC-*".parse::<Glob>(), "btc-*".parse());
        assert_eq!("".parse::<Glob>(), Err(GlobError::Empty));
        assert_eq!("a b".parse::<Glob>(), Err(GlobError::Space));
        assert_eq!("x".repeat(513).parse::<Glob>(), Err(GlobError::TooLong));
    }

    /// By the definition, slowly.
    fn plain(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|at| plain(rest, &name[at..])),
            Some((byte, rest)) => name.first() == Some(byte) && plain(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn patterns_match_as_defined(pattern in "[ab*]{1,8}", name in "[ab]{0,10}") {
            let glob: Glob = pattern.parse().unwrap();
            prop_assert_eq!(glob.matches(&name), plain(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
