//! What the verifier found in a recording.

use std::collections::BTreeMap;

use polypy_archive::Fault;
use polypy_archive::manifest::LOST;
use polypy_core::recording::{Gap, GapScope};
use polypy_core::{AssetId, BookHash, StaleReason};
use polypy_workers::Findings;
use serde_json::{Value, json};

use super::lines::LeftOut;

/// Reasons of gaps in which nobody lost anything.
pub(crate) const ORDERLY: [&str; 3] = ["starting", "stopped", "resubscribing"];
/// The reason of a gap of lines that were not imported: whether they were frames nobody knows.
pub(crate) const LEFT_OUT: &str = "left_out";

/// Whether a recording with this gap is not whole, though it says so itself: lines were left
/// out, and nobody knows whether they were frames; or a file is lost that may be elsewhere.
pub(crate) fn is_unsettled(gap: &Gap) -> bool {
    [LEFT_OUT, LOST].contains(&&*gap.reason)
}

/// A time in which a book was not what the recording says of it elsewhere. In
/// nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contradiction {
    /// What contradicted it.
    pub reason: StaleReason,
    /// From when on.
    pub from: u64,
    /// Until another book came; `None` if none did.
    pub until: Option<u64>,
    /// The venue's hash that the levels did not give, and theirs, where that was it.
    pub hashes: Option<(BookHash, BookHash)>,
}

/// What was found of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenReport {
    /// The token.
    pub token_id: AssetId,
    /// What the checks found.
    pub findings: Findings,
    /// What contradicted its book, and stood.
    pub contradictions: Vec<Contradiction>,
}

/// Gaps of one cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GapCount {
    /// How many.
    pub gaps: u64,
    /// For how long those were open of which that is known, in microseconds.
    pub lasted: u64,
    /// Of how many it is not known.
    pub unbounded: u64,
}

/// Frames of a socket that are missing by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hole {
    socket: u64,
    frames: u64,
    /// When the frame before was and the one behind, in nanoseconds.
    between: (u64, u64),
}

impl Hole {
    /// Whether they may be missing for what this gap tells of.
    fn is_within_reach_of(&self, gap: &Gap) -> bool {
        // A gap's times are of whole microseconds.
        let nanos = |micros: u64| micros.saturating_mul(1_000);
        let (from, to) = self.between;
        // One whose end nobody has told was over when the frame before came.
        let ended = gap.to_ts.or(gap.from_ts);
        gap.from_ts.is_none_or(|began| nanos(began) <= to)
            && ended.is_none_or(|ended| nanos(ended.saturating_add(1)) >= from)
    }
}

/// What was found of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// JSON frames.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that are no JSON: `PONG`, other texts, binary ones.
    pub control_frames: u64,
    /// Of all these, frames that are neither events nor known texts.
    pub unreadable_frames: u64,
    /// Events that could not be read, in frames that could.
    pub errors: u64,
    /// Events of tokens that no socket was asked for, or of which no market is known.
    pub unknown_events: u64,
    /// Frames that are missing by the numbers of those before and after them, and of which
    /// no gap says so.
    pub missing_frames: u64,
    /// Frames that are missing by those numbers, by socket.
    pub missing_by_socket: BTreeMap<u64, u64>,
    /// The same, hole by hole, until it is known which of them a gap tells of.
    pub(super) holes: Vec<Hole>,
    /// Files that were read.
    pub files: u64,
    /// What cannot be read of them.
    pub faults: Vec<Fault>,
    /// Entries of channels that are not known: of a later version.
    pub unknown_entries: u64,
    /// Entries that are not what their channels hold.
    pub unreadable_entries: u64,
    /// Lines that are no frames, of a file of lines, and the first of them.
    pub left_out: LeftOut,
    /// What the recording itself says that it lacks.
    pub gaps: Vec<Gap>,
    /// Whether gaps in which something was lost count as well.
    pub is_strict: bool,
    /// No entry could be read, so it began and ended at no time.
    pub is_empty: bool,
    /// When the first entry was, in nanoseconds since the Unix epoch.
    pub began: u64,
    /// When the last one was.
    pub ended: u64,
    /// Times the recorded clock was set, by how many nanoseconds.
    pub clock_steps: Vec<i64>,
    /// What the checks found of all books.
    pub findings: Findings,
    /// Books that something contradicts at the end, and nothing has settled.
    pub unsettled: u64,
    /// Times what was recorded broke the program's own books.
    pub panics: u64,
    /// Each token, the worst first.
    pub tokens: Vec<TokenReport>,
    /// The token that alone is listed, if one was asked for.
    pub(super) listed: Option<AssetId>,
}

impl Report {
    /// Whether nothing in the recording contradicts it, and nothing is missing unsaid.
    /// States of which nothing could be said do not count.
    pub fn is_whole(&self) -> bool {
        let lacking = self.unreadable_frames
            + self.unreadable_entries
            + self.left_out.lines
            + self.missing_frames
            + self.panics;
        let is_damaged = self.faults.iter().any(Fault::is_damage);
        lacking == 0
            && !self.gaps.iter().any(is_unsettled)
            && !self.is_empty
            && !is_damaged
            && self.contradicted().next().is_none()
    }

    /// Whether nothing was lost, either: tokens begin, are moved and end without that.
    pub fn is_gapless(&self) -> bool {
        let is_loss = |gap: &Gap| !ORDERLY.contains(&&*gap.reason);
        !self.gaps.iter().any(is_loss)
    }

    /// Whether no entry could be read, and nothing says what is missing.
    pub fn is_unreadable(&self) -> bool {
        self.is_empty && self.gaps.is_empty()
    }

    /// When the first entry was and the last one, if there is any.
    pub(super) fn times(&self) -> Option<(u64, u64)> {
        (!self.is_empty).then_some((self.began, self.ended))
    }

    /// Lists this token alone. Whether the recording has a book of it.
    pub fn list_only(&mut self, token: &AssetId) -> bool {
        self.listed = Some(token.clone());
        self.listed().next().is_some()
    }

    /// The tokens that are listed.
    pub(super) fn listed(&self) -> impl Iterator<Item = &TokenReport> {
        let is_listed = |token: &&TokenReport| {
            let listed = self.listed.as_ref();
            listed.is_none_or(|listed| *listed == token.token_id)
        };
        self.tokens.iter().filter(is_listed)
    }

    /// The tokens whose books were contradicted.
    pub fn contradicted(&self) -> impl Iterator<Item = &TokenReport> {
        let is_wrong = |token: &&TokenReport| !token.contradictions.is_empty();
        self.tokens.iter().filter(is_wrong)
    }

    /// So many frames of a socket are missing by their numbers, between these moments.
    pub(crate) fn note_missing(&mut self, socket: u64, frames: u64, between: (u64, u64)) {
        *self.missing_by_socket.entry(socket).or_default() += frames;
        self.holes.push(Hole {
            socket,
            frames,
            between,
        });
    }

    /// Counts the missing frames of which no gap says so.
    pub(crate) fn explain_missing(&mut self) {
        let mut unsaid: BTreeMap<u64, u64> = BTreeMap::new();
        for hole in std::mem::take(&mut self.holes) {
            // A gap of unknown size may be of any.
            let tells = |gap: &Gap| match gap.scope {
                GapScope::Recording => true,
                GapScope::Socket => gap.socket == Some(hole.socket) && gap.size.is_none(),
                GapScope::Token => false,
            };
            let mut gaps = self.gaps.iter();
            if !gaps.any(|gap| tells(gap) && hole.is_within_reach_of(gap)) {
                *unsaid.entry(hole.socket).or_default() += hole.frames;
            }
        }
        let mut missing = 0;
        for (socket, frames) in unsaid {
            let is_its = |gap: &&Gap| gap.scope == GapScope::Socket && gap.socket == Some(socket);
            let its = self.gaps.iter().filter(is_its);
            let said = its.filter_map(|gap| gap.size).fold(0, u64::saturating_add);
            missing += frames.saturating_sub(said);
        }
        let loses = |fault: &Fault| fault.is_damage() && fault.what.loses_entries();
        let is_damaged = self.faults.iter().any(loses);
        self.missing_frames = if is_damaged { 0 } else { missing };
    }

    /// The gaps by owner and reason.
    pub fn gaps_by_cause(&self) -> BTreeMap<(String, String), GapCount> {
        let mut by_cause: BTreeMap<_, GapCount> = BTreeMap::new();
        for gap in &self.gaps {
            let owner = json!(gap.owner).as_str().unwrap_or_default().to_owned();
            let of_cause = by_cause.entry((owner, gap.reason.to_string())).or_default();
            of_cause.gaps += 1;
            match gap.from_ts.zip(gap.to_ts) {
                Some((from, to)) => of_cause.lasted += to.saturating_sub(from),
                None => of_cause.unbounded += 1,
            }
        }
        by_cause
    }

    /// Puts the tokens in order: first those with contradictions, then those with failed
    /// checks, then those of which least is known.
    pub(crate) fn sort(&mut self) {
        self.tokens.sort_by_cached_key(|token| {
            let found = token.findings;
            let wrong = token.contradictions.len();
            let unknown = found.states - found.verified.min(found.states);
            let worst = (wrong, found.failed, unknown);
            (std::cmp::Reverse(worst), token.token_id.clone())
        });
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let tokens = self.listed().map(|token| {
            let wrong = token.contradictions.iter().map(|wrong| {
                json!({
                    "reason": wrong.reason.name(),
                    "from_ts": wrong.from / 1_000,
                    "to_ts": wrong.until.map(|until| until / 1_000),
                    "hash": wrong.hashes.map(|(theirs, _)| theirs.to_string()),
                    "computed_hash": wrong.hashes.map(|(_, ours)| ours.to_string()),
                })
            });
            json!({
                "token_id": token.token_id.as_str(),
                "checks": checks(&token.findings),
                "contradictions": wrong.collect::<Vec<_>>(),
            })
        });
        json!({
            "whole": self.is_whole(),
            "gapless": self.is_gapless(),
            "files": self.files,
            "faults": self.faults.iter().map(fault_json).collect::<Vec<_>>(),
            "frames": self.frames,
            "bytes": self.bytes,
            "control_frames": self.control_frames,
            "unreadable_frames": self.unreadable_frames,
            "unreadable_entries": self.unreadable_entries,
            "unreadable_lines": self.left_out.lines,
            "unknown_entries": self.unknown_entries,
            "errors": self.errors,
            "unknown_events": self.unknown_events,
            "missing_frames": self.missing_frames,
            "gaps": self.gaps,
            "began_ts": self.times().map(|(began, _)| began / 1_000),
            "ended_ts": self.times().map(|(_, ended)| ended / 1_000),
            "clock_steps_ns": self.clock_steps,
            "checks": checks(&self.findings),
            "unsettled_books": self.unsettled,
            "panics": self.panics,
            "tokens": tokens.collect::<Vec<_>>(),
        })
    }
}

/// A fault for programs.
pub(crate) fn fault_json(fault: &Fault) -> Value {
    json!({
        "file": fault.file,
        "what": fault.what.name(),
        "noted": fault.is_noted,
        "line": fault.line,
        "from_byte": fault.bytes.0,
        "to_byte": fault.bytes.1,
        "after_ts": fault.after.map(|after| after / 1_000),
        "error": fault.error,
        "text": fault.to_string(),
    })
}

fn checks(found: &Findings) -> Value {
    json!({
        "states": found.states,
        "verified": found.verified,
        "failed": found.failed,
        "unverifiable": found.unverifiable,
        "unhashed": found.unhashed,
        "unjudged": found.unjudged(),
        "tops_agreed": found.tops_agreed,
        "tops_failed": found.tops_failed,
        "tops_refuted": found.tops_refuted,
        "checkpoints_agreed": found.audits_agreed,
        "checkpoints_failed": found.audits_failed,
        "checkpoints_open": found.audits_open,
    })
}
