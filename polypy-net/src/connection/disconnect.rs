//! Why a session ended, and what came of it.

use std::time::Duration;

use polypy_core::Owner;

use super::socket::End;
use crate::reason::{chain, printable};

/// Close code of an orderly end.
const NORMAL: u16 = 1000;

/// All names of [`DisconnectReason::name`].
pub(super) const CAUSES: [&str; 9] = [
    "asked",
    "closed",
    "dropped",
    "broken",
    "no_pong",
    "unresponsive",
    "stalled",
    "never_fed",
    "overflowed",
];

/// Why a session ended.
#[derive(Debug)]
pub(super) enum DisconnectReason {
    /// We were told to.
    Asked,
    /// The other side, or the way to it.
    End(End),
    /// Neither `PONG` nor data.
    NoPong,
    /// Nothing at all, where data used to come often.
    Unresponsive,
    /// A probe for data stayed unanswered.
    Stalled,
    /// It never said anything of its assets, and REST has books of them.
    NeverFed,
    /// A replacement that held back more than it may.
    Overflowed,
}

impl DisconnectReason {
    /// The name under which it is counted.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::End(End::Closed { .. }) => "closed",
            Self::End(End::Dropped) => "dropped",
            Self::End(End::Broken(_)) => "broken",
            Self::NoPong => "no_pong",
            Self::Unresponsive => "unresponsive",
            Self::Stalled => "stalled",
            Self::NeverFed => "never_fed",
            Self::Overflowed => "overflowed",
        }
    }

    /// Its name with what was said about it, for people.
    pub(super) fn cause(&self) -> String {
        match self.detail().trim_end() {
            "" => self.name().to_owned(),
            detail => format!("{}: {detail}", self.name()),
        }
    }

    /// Whose doing it is, as far as that can be told from here.
    pub(super) fn owner(&self) -> Owner {
        match self {
            Self::Asked | Self::Overflowed => Owner::Us,
            Self::End(End::Closed { .. }) | Self::Stalled | Self::NeverFed => Owner::Venue,
            Self::End(End::Dropped | End::Broken(_)) | Self::NoPong | Self::Unresponsive => {
                Owner::Network
            }
        }
    }

    /// What the other side or the system said about it.
    pub(super) fn detail(&self) -> String {
        match self.end() {
            Some(End::Closed {
                code: Some(code),
                reason,
            }) => format!("{code} {}", printable(reason)),
            Some(End::Closed { code: None, reason }) => printable(reason),
            Some(End::Broken(error)) => chain(error.as_ref()),
            Some(End::Dropped) | None => String::new(),
        }
    }

    /// How the other side, or the way to it, ended; `None` if we gave up.
    fn end(&self) -> Option<&End> {
        match self {
            Self::End(end) => Some(end),
            Self::Asked
            | Self::NoPong
            | Self::Unresponsive
            | Self::Stalled
            | Self::NeverFed
            | Self::Overflowed => None,
        }
    }

    /// The venue's close code.
    pub(super) fn close_code(&self) -> Option<u16> {
        match self.end() {
            Some(End::Closed { code, .. }) => *code,
            Some(End::Dropped | End::Broken(_)) | None => None,
        }
    }

    /// Whether the venue closed because all of its assets are resolved.
    pub(super) fn is_all_resolved(&self) -> bool {
        match self.end() {
            Some(End::Closed { code, reason }) => {
                *code == Some(NORMAL) && reason.contains("resolved")
            }
            Some(End::Dropped | End::Broken(_)) | None => false,
        }
    }
}

/// What came of a session.
#[derive(Debug)]
pub(super) struct SessionOutcome {
    pub(super) reason: DisconnectReason,
    pub(super) time: Duration,
    /// Events of its assets arrived.
    pub(super) had_data: bool,
}
