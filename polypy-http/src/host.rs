//! Which names this server answers to.
//!
//! A page in a browser can have its own name resolve to our address (DNS
//! rebinding) and would then read our answers as its own. Its name is in `Host`:
//! so names are answered only when no stranger can own them.
//!
//! | `Host` | answered |
//! |---|---|
//! | none, empty | yes: no browser sends that |
//! | an address, `127.0.0.1:8080`, `[::1]` | yes |
//! | a name without a dot, `polypy` | yes: how containers and scrapers call each other |
//! | a name under a domain that is not delegated to anybody, `polypy.default.svc.cluster.local` | yes |
//! | a name that the configuration lists, or any below one that it lists as `*.example.org` | yes |
//! | anything else | 421 |

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Top-level domains set aside for private use, by standard or by custom that
/// the root zone's keepers have promised to respect.
const PRIVATE: [&str; 9] = [
    "localhost",
    "local",
    "internal",
    "home",
    "lan",
    "corp",
    "svc",
    "test",
    "home.arpa",
];

/// A `Host` that is one: its name, lower case, without port.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Host<'a> {
    name: Cow<'a, str>,
    is_address: bool,
}

impl<'a> Host<'a> {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Reads `name`, `name:port`, `1.2.3.4:port` or `[::1]:port`; empty text too.
    pub(crate) fn parse(value: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            is_port(port).then_some(())?;
            return Some(Self {
                name: lower_case(address),
                is_address: true,
            });
        }
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let odd = value.iter().position(|byte| !plain(byte));
        let (name, port) = text.split_at(odd.unwrap_or(value.len()));
        if !is_port(port) || (name.is_empty() && !port.is_empty()) {
            return None;
        }
        Some(Self {
            name: lower_case(name.trim_end_matches('.')),
            is_address: name.starts_with(|letter: char| letter.is_ascii_digit())
                && name.parse::<Ipv4Addr>().is_ok(),
        })
    }
}

fn lower_case(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// Nothing, or a colon and a port, which may be empty (RFC 3986 section 3.2.3).
fn is_port(text: &str) -> bool {
    text.is_empty()
        || text.strip_prefix(':').is_some_and(|digits| {
            digits.bytes().all(|byte| byte.is_ascii_digit())
                && (digits.is_empty() || digits.parse::<u16>().is_ok())
        })
}

/// The names that the configuration adds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    any: bool,
    exact: Vec<String>,
    /// With the leading dot.
    below: Vec<String>,
}

impl Names {
    pub(crate) fn new(listed: &[String]) -> Self {
        let mut names = Self::default();
        for entry in listed {
            let entry = entry.trim_end_matches('.').to_ascii_lowercase();
            match entry.strip_prefix('*') {
                Some("") => names.any = true,
                Some(suffix) => names.below.push(suffix.to_owned()),
                None => names.exact.push(entry),
            }
        }
        names
    }

    /// Whether this server answers to `host`.
    pub(crate) fn includes(&self, host: &Host<'_>) -> bool {
        let name = host.name();
        let private = || {
            PRIVATE.iter().any(|domain| {
                name.strip_suffix(domain)
                    .is_some_and(|rest| rest.ends_with('.'))
            })
        };
        self.any
            || host.is_address
            || !name.contains('.')
            || private()
            || self.exact.iter().any(|known| known == name)
            || self.below.iter().any(|suffix| name.ends_with(suffix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_strictly() {
        for good in [
            "",
            "here",
            "here:8080",
            "here:",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:8080",
            "a_b.c-d",
            "polypy.example.org.",
        ] {
            assert!(Host::parse(good.as_bytes()).is_some(), "{good}");
        }
        for bad in [
            "x:abc", "x:65536", "x:1:2", ":80", "a b", "a/b", "user@a", "[::1", "[::1]x", "[1.2]",
            "::1", "a%41", "é", "x:-1", "x:+1",
        ] {
            assert_eq!(Host::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn only_names_that_no_stranger_can_own_are_answered() {
        let listed = ["polypy.example.org", "*.mine.example.net"].map(str::to_owned);
        let names = Names::new(&listed);
        let included = |text: &str| names.includes(&Host::parse(text.as_bytes()).unwrap());
        for ours in [
            "",
            "localhost:8080",
            "LOCALHOST",
            "a.localhost",
            "127.0.0.1",
            "192.0.2.7:80",
            "[2001:db8::1]:80",
            "polypy",
            "polypy:8080",
            "polypy.monitoring.svc",
            "polypy.monitoring.svc.cluster.local:8080",
            "host.docker.internal",
            "box.home.arpa",
            "POLYPY.example.org:443",
            "polypy.example.org.",
            "a.b.mine.example.net",
        ] {
            assert!(included(ours), "{ours}");
        }
        for strange in [
            "evil.example",
            "evil.example:8080",
            "x.polypy.example.org",
            "mine.example.net",
            "notmine.example.net",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "evilocal.example",
            "1.2.3.4.5",
        ] {
            assert!(!included(strange), "{strange}");
        }
        assert!(Names::new(&["*".to_owned()]).includes(&Host::parse(b"evil.example").unwrap()));
    }
}
