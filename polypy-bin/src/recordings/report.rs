//! What the verifier found in a recording.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use polypy_archive::Fault;
use polypy_core::recording::{Gap, GapScope};
use polypy_core::{AssetId, BookHash, StaleReason, Timestamp};
use polypy_workers::Findings;
use serde_json::{Value, json};

use super::lines::LeftOut;

/// Reasons of gaps in which nobody lost anything.
pub(crate) const ORDERLY: [&str; 3] = ["starting", "stopped", "unsubscribed"];
/// The reason of a gap of lines that were not imported: whether they were frames nobody knows.
pub(crate) const LEFT_OUT: &str = "left_out";
/// Tokens that the page for people names, the worst first.
const WORST: usize = 20;

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

impl fmt::Display for GapCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lasted = seconds(self.lasted);
        match self.unbounded {
            0 => write!(f, "{lasted:.1} s"),
            all if all == self.gaps => write!(f, "nobody knows for how long"),
            some => write!(f, "{lasted:.1} s and {some} of unknown length"),
        }
    }
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
    /// Frames, whatever they were.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, frames that are neither events nor known texts.
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
        let is_damaged = self.faults.iter().any(|fault| fault.what.is_damage());
        // Unlike other gaps, nobody knows whether these lines were frames.
        let has_left_out = self.gaps.iter().any(|gap| &*gap.reason == LEFT_OUT);
        lacking == 0
            && !has_left_out
            && !self.is_empty
            && !is_damaged
            && self.contradicted().next().is_none()
    }

    /// Whether nothing was lost, either: tokens begin, are moved and end without that.
    pub fn is_gapless(&self) -> bool {
        let is_loss = |gap: &Gap| !ORDERLY.contains(&&*gap.reason);
        !self.gaps.iter().any(is_loss)
    }

    /// Whether there was something to read, and none of it could be.
    pub fn is_unreadable(&self) -> bool {
        let has_nothing = self.frames + self.findings.states == 0 && self.gaps.is_empty();
        has_nothing && (self.is_empty || !self.faults.is_empty() || self.left_out.lines > 0)
    }

    /// When the first entry was and the last one, if there is any.
    fn times(&self) -> Option<(u64, u64)> {
        (!self.is_empty).then_some((self.began, self.ended))
    }

    /// Leaves only this token among those that are listed.
    pub fn keep_token(&mut self, token: &AssetId) {
        self.tokens.retain(|known| known.token_id == *token);
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
        let is_damaged = self.faults.iter().any(|fault| fault.what.loses_entries());
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
        let tokens = self.tokens.iter().map(|token| {
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

    /// A page for people.
    pub fn page(&self) -> String {
        let mut page = String::new();
        // Writing to a string does not fail.
        let _done = self.write(&mut page);
        page
    }

    fn write_faults(&self, page: &mut String) -> fmt::Result {
        for fault in self.faults.iter().take(WORST) {
            let what = if fault.what.is_damage() {
                "damaged     "
            } else {
                "note        "
            };
            writeln!(page, "{what} {fault}")?;
        }
        let more = self.faults.len().saturating_sub(WORST);
        if more > 0 {
            writeln!(page, "damaged      and {more} more parts")?;
        }
        Ok(())
    }

    /// The tokens whose books were contradicted.
    fn write_contradicted(&self, page: &mut String) -> fmt::Result {
        for token in self.contradicted().take(WORST) {
            writeln!(
                page,
                "token {}: {} of {} states verified",
                token.token_id, token.findings.verified, token.findings.states
            )?;
            for wrong in token.contradictions.iter().take(WORST) {
                let until = wrong.until.map_or_else(|| "the end".to_owned(), moment);
                writeln!(
                    page,
                    "  {} from {} to {until}",
                    wrong.reason.name(),
                    moment(wrong.from)
                )?;
                if let Some((theirs, ours)) = wrong.hashes {
                    writeln!(
                        page,
                        "    the venue's hash is {theirs}, that of the levels {ours}"
                    )?;
                }
            }
        }
        let more = self.contradicted().count().saturating_sub(WORST);
        if more > 0 {
            writeln!(page, "and {more} more tokens")?;
        }
        Ok(())
    }

    fn write(&self, page: &mut String) -> fmt::Result {
        let found = &self.findings;
        let verdict = match (self.is_whole(), self.is_gapless()) {
            (false, _) => "not whole",
            (true, false) if self.is_strict => "not whole by --strict, and it says what was lost",
            (true, false) => "whole, and it says what was lost",
            (true, true) => "whole",
        };
        match self.times() {
            Some((began, ended)) => writeln!(
                page,
                "{verdict}: {} tokens, {} to {}",
                self.tokens.len(),
                moment(began),
                moment(ended)
            )?,
            None => writeln!(page, "{verdict}: there is no entry in it that can be read")?,
        }
        self.write_contradicted(page)?;
        if self.files > 0 {
            writeln!(page, "files        {}", self.files)?;
        }
        self.write_faults(page)?;
        writeln!(page, "frames       {} ({} bytes)", self.frames, self.bytes)?;
        if self.unreadable_frames + self.errors > 0 {
            writeln!(
                page,
                "unreadable   {} frames, {} events in others",
                self.unreadable_frames, self.errors
            )?;
        }
        if self.unreadable_entries > 0 {
            writeln!(page, "unreadable   {} entries", self.unreadable_entries)?;
        }
        if let Some(first) = &self.left_out.first {
            let more = self.left_out.lines - 1 - u64::from(self.left_out.rest.is_some());
            writeln!(page, "left out     {first}, and {more} more lines")?;
        }
        if let Some(rest) = &self.left_out.rest {
            writeln!(page, "left out     {rest}")?;
        }
        if self.unknown_entries > 0 {
            writeln!(
                page,
                "unknown      {} entries of a later version",
                self.unknown_entries
            )?;
        }
        if self.missing_frames > 0 {
            writeln!(
                page,
                "missing      {} frames by their numbers, and no gap says so",
                self.missing_frames
            )?;
        }
        for ((owner, reason), count) in self.gaps_by_cause() {
            // Of those in which nothing was lost one that is open lasts to the end.
            if !ORDERLY.contains(&&*reason) {
                writeln!(
                    page,
                    "gap          {}, {reason} ({owner}), {count}",
                    count.gaps
                )?;
            } else if count.unbounded == count.gaps {
                writeln!(
                    page,
                    "no loss      {}, {reason} ({owner}), to the end",
                    count.gaps
                )?;
            } else {
                writeln!(
                    page,
                    "no loss      {}, {reason} ({owner}), {count}",
                    count.gaps
                )?;
            }
        }
        if self.unknown_events > 0 {
            writeln!(
                page,
                "not followed {} events of other tokens",
                self.unknown_events
            )?;
        }
        if !self.clock_steps.is_empty() {
            writeln!(page, "clock        set {} times", self.clock_steps.len())?;
        }
        writeln!(
            page,
            "states       {}: {} verified by their hash, {} failed, {} cannot be verified, {} without a hash, {} not judged",
            found.states,
            found.verified,
            found.failed,
            found.unverifiable,
            found.unhashed,
            found.unjudged()
        )?;
        writeln!(
            page,
            "best prices  {} as stated, {} not",
            found.tops_agreed, found.tops_failed
        )?;
        if found.tops_refuted > 0 {
            writeln!(
                page,
                "best prices  {} stated that are false: those books gave their hashes",
                found.tops_refuted
            )?;
        }
        if found.audits_agreed + found.audits_failed + found.audits_open > 0 {
            writeln!(
                page,
                "checkpoints  {} agree, {} do not, {} say nothing",
                found.audits_agreed, found.audits_failed, found.audits_open
            )?;
        }
        if self.unsettled > 0 {
            writeln!(page, "in doubt     {} books at the end", self.unsettled)?;
        }
        if self.panics > 0 {
            writeln!(
                page,
                "defect       applying the recording broke our own books {} times: please report it",
                self.panics
            )?;
        }
        Ok(())
    }
}

fn fault_json(fault: &Fault) -> Value {
    json!({
        "file": fault.file,
        "what": fault.what.name(),
        "from_byte": fault.bytes.0,
        "to_byte": fault.bytes.1,
        "after_ts": fault.after.map(|after| after / 1_000),
        "error": fault.error,
    })
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

fn moment(nanos: u64) -> String {
    Timestamp::from_millis(nanos / 1_000_000).to_string()
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

#[cfg(test)]
mod tests {
    use polypy_core::Owner;

    use super::*;

    #[test]
    fn a_gap_whose_end_nobody_knows_is_not_one_of_no_length() {
        let gap = |from, to| Gap::of_recording("killed", Owner::Us, (from, to), 9);
        let page = |gaps: &[Gap]| {
            let report = Report {
                gaps: gaps.to_vec(),
                ..Report::default()
            };
            report.page()
        };
        let (open, closed) = (gap(Some(1), None), gap(Some(2), Some(1_500_002)));
        let shown = page(std::slice::from_ref(&open));
        assert!(shown.contains("1, killed (us), nobody knows"), "{shown}");
        let shown = page(&[open, closed.clone(), gap(None, Some(7))]);
        let both = "3, killed (us), 1.5 s and 2 of unknown length";
        assert!(shown.contains(both), "{shown}");
        let shown = page(&[closed]);
        assert!(shown.contains("1, killed (us), 1.5 s\n"), "{shown}");
    }

    #[test]
    fn the_first_line_says_whether_something_was_lost_and_what_was_not_is_no_loss() {
        let gap = |reason| Gap::of_recording(reason, Owner::Us, (Some(1), None), 9);
        let page = |reason, is_strict| {
            let report = Report {
                gaps: vec![gap(reason)],
                is_strict,
                ..Report::default()
            };
            (report.page(), report.to_json()["gapless"] == true)
        };
        let (shown, is_gapless) = page("stopped", true);
        assert!(is_gapless && shown.starts_with("whole: "), "{shown}");
        assert!(
            shown.contains("no loss      1, stopped (us), to the end\n"),
            "{shown}"
        );
        let (shown, is_gapless) = page("killed", true);
        assert!(
            !is_gapless && shown.starts_with("not whole by --strict"),
            "{shown}"
        );
        let (shown, _) = page("killed", false);
        assert!(
            shown.starts_with("whole, and it says what was lost: "),
            "{shown}"
        );
        assert!(shown.contains("\ngap          1, killed"), "{shown}");
    }

    #[test]
    fn what_holds_no_entry_is_neither_whole_nor_of_1970() {
        let report = Report {
            is_empty: true,
            ..Report::default()
        };
        assert!(!report.is_whole() && report.is_unreadable());
        let page = report.page();
        assert!(page.starts_with("not whole: there is no entry"), "{page}");
        let shown = report.to_json();
        assert!(shown["began_ts"].is_null() && shown["ended_ts"].is_null());
    }
}
