//! Keys that were called otherwise, and are read under their former names for a while.
//!
//! A former name is an alias in the file, in the environment and among the flags: its value is
//! one of the key, in the same layer. A layer that has both is mistaken, for nobody could
//! say which of them counts.

use std::fmt;

use super::mistake::Source;
use super::table::{Key, key};

/// A key's former name: one row of the table.
#[derive(Debug)]
pub struct Former {
    /// How it was called.
    pub name: &'static str,
    /// How it is called now.
    pub key: &'static str,
    /// The version that no longer reads it.
    pub until: &'static str,
}

/// Every former name that is still read. A row stays for one minor version at least.
pub static FORMER: &[Former] = &[Former {
    name: "lifecycle.max_markets",
    key: "markets.max_markets",
    until: "0.3",
}];

impl Former {
    /// The key that it is now.
    pub fn now(&self) -> Option<&'static Key> {
        key(self.key)
    }

    /// The variable that the environment had.
    pub fn env(&self) -> String {
        format!("POLYPY_{}", self.name.replace('.', "__")).to_ascii_uppercase()
    }

    /// The flag that the command line had, without its dashes.
    pub fn flag(&self) -> String {
        self.name.replace(['.', '_'], "-")
    }
}

/// The row of a key that is written under the former name of its variable.
pub(super) fn called_by_variable(variable: &str) -> Option<&'static Former> {
    FORMER.iter().find(|former| former.env() == variable)
}

/// A former name that somebody has used.
#[derive(Debug, Clone)]
pub struct Renamed {
    /// Which one.
    pub former: &'static Former,
    /// Where.
    pub source: Source,
}

impl fmt::Display for Renamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Former { name, key, until } = self.former;
        let source = &self.source;
        write!(
            f,
            "{name} is called {key} now: rename it before version {until}, which no longer reads \
             it ({source})"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Major and minor number of a version.
    fn minor(version: &str) -> (u32, u32) {
        let mut numbers = version.split('.').map(|number| number.parse().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap())
    }

    #[test]
    fn every_row_leads_to_a_key_is_none_and_is_still_to_be_read() {
        for former in FORMER {
            assert!(former.now().is_some(), "{}", former.key);
            assert!(key(former.name).is_none(), "{} is a key", former.name);
            let (now, until) = (minor(env!("CARGO_PKG_VERSION")), minor(former.until));
            assert!(now < until, "{} is no longer to be read", former.name);
        }
    }
}
