//! The routes. This table is the only place where they are written down.
//!
//! | path | answer |
//! |---|---|
//! | `/` | what is served here |
//! | `/health` | 200 when healthy, 503 when not, with the verdict on each part |
//! | `/stats` | the statistics object, always 200 |
//! | `/markets` | the catalogue |
//! | `/orderbook/{asset_id}` | one book |
//!
//! A path is split at `/` first and percent-decoded afterwards, once: an
//! encoded slash stays inside its segment, and `..` means nothing. A trailing
//! slash is another path. Tests compare this table with the one above and with
//! `docs/http-api.md`.

use std::fmt;

use crate::handler;
use crate::query::{Query, percent_decode};
use crate::reply::Reply;
use crate::request_id::RequestId;
use crate::sources::Sources;

/// What a resource that is only read accepts, as `Allow` lists it.
const READ: &str = "GET, HEAD, OPTIONS";

/// Where a handler runs.
#[derive(Clone, Copy)]
pub(crate) enum Handler {
    /// On the event loop: microseconds, bounded by constants.
    Inline(fn(&Sources, &Call) -> Reply),
    /// On the blocking pool: grows with the number of markets or connections.
    Blocking(fn(&Sources, &Call) -> Reply),
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inline(_) => "Inline",
            Self::Blocking(_) => "Blocking",
        })
    }
}

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Route {
    /// Pattern; a segment in braces matches any one segment.
    pub(crate) path: &'static str,
    /// `Allow`.
    pub(crate) allow: &'static str,
    /// Query parameters. A route that has none ignores the query: a health
    /// probe that adds one must not fail for it.
    pub(crate) parameters: &'static [&'static str],
    pub(crate) handler: Handler,
    /// One line for people.
    pub(crate) summary: &'static str,
}

/// The table.
pub(crate) static ROUTES: &[Route] = &[
    Route {
        path: "/",
        allow: READ,
        parameters: &[],
        handler: Handler::Inline(handler::index::get),
        summary: "what is served here",
    },
    Route {
        path: "/health",
        allow: READ,
        parameters: &[],
        handler: Handler::Inline(handler::health::get),
        summary: "200 when healthy, 503 when not, with the verdict on each part",
    },
    Route {
        path: "/stats",
        allow: READ,
        parameters: &[],
        handler: Handler::Blocking(handler::stats::get),
        summary: "the statistics object, always 200",
    },
    Route {
        path: "/markets",
        allow: READ,
        parameters: handler::markets::PARAMETERS,
        handler: Handler::Blocking(handler::markets::get),
        summary: "the catalogue",
    },
    Route {
        path: "/orderbook/{asset_id}",
        allow: READ,
        parameters: handler::orderbook::PARAMETERS,
        handler: Handler::Inline(handler::orderbook::get),
        summary: "one book",
    },
];

/// A row's place in [`ROUTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RouteIndex(usize);

impl RouteIndex {
    pub(crate) fn get(self) -> usize {
        self.0
    }
}

/// A request as handlers see it.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request_id: RequestId,
    /// The decoded segment that stood for the braces; empty without braces.
    pub(crate) segment: String,
    pub(crate) query: Query,
}

/// A path that matched.
#[derive(Debug)]
pub(crate) struct Matched {
    pub(crate) index: RouteIndex,
    pub(crate) route: &'static Route,
    pub(crate) segment: String,
}

/// Why a path matched nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoMatch {
    /// A `%` without two hexadecimal digits, or bytes that are not UTF-8.
    Encoding,
    /// No such route.
    Unknown,
}

/// Finds the route of a raw path.
pub(crate) fn find(path: &str) -> Result<Matched, NoMatch> {
    let segments: Vec<String> = path
        .split('/')
        .map(percent_decode)
        .collect::<Option<_>>()
        .ok_or(NoMatch::Encoding)?;
    ROUTES
        .iter()
        .enumerate()
        .find_map(|(at, route)| {
            let segment = matches(route.path, &segments)?;
            Some(Matched {
                index: RouteIndex(at),
                route,
                segment: segment.to_owned(),
            })
        })
        .ok_or(NoMatch::Unknown)
}

/// The segment in braces (empty when the pattern has none), or `None`.
fn matches<'a>(pattern: &str, segments: &'a [String]) -> Option<&'a str> {
    let mut captured = "";
    let mut given = segments.iter();
    for expected in pattern.split('/') {
        let segment = given.next()?;
        if expected.starts_with('{') {
            captured = segment;
        } else if expected != segment {
            return None;
        }
    }
    given.next().is_none().then_some(captured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_matched_segment_by_segment() {
        for (path, expected) in [
            ("/", Ok(("/", ""))),
            ("/health", Ok(("/health", ""))),
            ("/%68ealth", Ok(("/health", ""))),
            ("/orderbook/123", Ok(("/orderbook/{asset_id}", "123"))),
            ("/orderbook/..%2fx", Ok(("/orderbook/{asset_id}", "../x"))),
            ("/orderbook/", Ok(("/orderbook/{asset_id}", ""))),
            ("/orderbook", Err(NoMatch::Unknown)),
            ("/orderbook/1/2", Err(NoMatch::Unknown)),
            ("/orderbook/../health", Err(NoMatch::Unknown)),
            ("/health/", Err(NoMatch::Unknown)),
            ("//health", Err(NoMatch::Unknown)),
            ("/health%2f", Err(NoMatch::Unknown)),
            ("/Health", Err(NoMatch::Unknown)),
            ("", Err(NoMatch::Unknown)),
            ("*", Err(NoMatch::Unknown)),
            ("/orderbook/%zz", Err(NoMatch::Encoding)),
            ("/orderbook/%ff", Err(NoMatch::Encoding)),
        ] {
            let found = find(path);
            let found = found
                .as_ref()
                .map(|matched| (matched.route.path, matched.segment.as_str()))
                .map_err(|reason| match reason {
                    NoMatch::Encoding => NoMatch::Encoding,
                    NoMatch::Unknown => NoMatch::Unknown,
                });
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn the_module_documentation_lists_this_table() {
        let documented: Vec<&str> = include_str!("route.rs")
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .filter(|line| line.starts_with("//! | `"))
            .collect();
        let expected: Vec<String> = ROUTES
            .iter()
            .map(|route| format!("//! | `{}` | {} |", route.path, route.summary))
            .collect();
        assert_eq!(documented, expected);
    }

    #[test]
    fn the_manual_has_a_section_for_each_route_and_no_other() {
        let manual = include_str!("../../docs/http-api.md");
        let headings: Vec<&str> = manual
            .lines()
            .filter_map(|line| line.strip_prefix("### GET "))
            .collect();
        let paths: Vec<&str> = ROUTES.iter().map(|route| route.path).collect();
        assert_eq!(headings, paths);
    }

    #[test]
    fn the_manual_names_each_query_parameter() {
        let manual = include_str!("../../docs/http-api.md");
        for route in ROUTES {
            let heading = format!("### GET {}\n", route.path);
            let section = manual.split_once(&heading).map_or("", |(_, rest)| rest);
            let section = section.split("\n### ").next().unwrap_or("");
            for parameter in route.parameters {
                assert!(
                    section.contains(&format!("| `{parameter}` |")),
                    "{} does not document {parameter}",
                    route.path
                );
            }
        }
    }
}
