//! Why something could not be read.

use std::fmt;

use hyper::StatusCode;
use serde::Deserialize;

use crate::error::{Error, Lost};

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The server refused, and would refuse again.
    #[error(transparent)]
    Refused(Problem),
    /// There is no answer now; asking again may help.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The address cannot be used.
    #[error(transparent)]
    Address(#[from] Error),
    /// What came is no answer of this kind.
    #[error("the answer of {route} cannot be read: {source}")]
    Unreadable {
        /// What was asked.
        route: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The order of a list is kept for too short a time to be read to its end.
    #[error(
        "the list was begun {0} times, and its order was over each time: ask for less, or \
             sort by end or listed, which hold still"
    )]
    Restless(u32),
}

/// What the server said instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The status of its answer.
    pub status: StatusCode,
    /// The kind of problem, for programs: `unknown_market`, `not_followed` and others.
    pub kind: Option<String>,
    /// What it said.
    pub message: Option<String>,
    /// The parameter that is wrong.
    pub parameter: Option<String>,
    /// Where the server explains it.
    pub explain: Option<String>,
}

/// What stands before the kinds of problems of this program.
const OWN: &str = "urn:polypy:problem:";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    #[serde(rename = "type")]
    kind: Option<String>,
    error: Option<String>,
    parameter: Option<String>,
    explain: Option<String>,
}

impl Problem {
    pub(super) fn read(status: StatusCode, body: &[u8]) -> Self {
        let body: Body = serde_json::from_slice(body).unwrap_or_default();
        let kind = body.kind.as_deref().and_then(|kind| kind.strip_prefix(OWN));
        Self {
            status,
            kind: kind.map(str::to_owned),
            message: body.error,
            parameter: body.parameter,
            explain: body.explain,
        }
    }

    /// Whether it is of this kind.
    pub fn is(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.status, &self.message) {
            (StatusCode::UNAUTHORIZED, _) => {
                f.write_str("the server wants a token, or another one (401 Unauthorized)")
            }
            (_, Some(message)) => f.write_str(message),
            (StatusCode::NOT_FOUND, None) => f.write_str(
                "the server has no such route: it is an older one, or another program (404 Not \
                 Found)",
            ),
            (status, None) => write!(f, "the server answered {status}"),
        }
    }
}

impl std::error::Error for Problem {}
