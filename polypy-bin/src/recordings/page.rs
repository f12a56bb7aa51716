//! What the verifier found, as a page for people.

use std::fmt::{self, Write as _};
use std::time::Duration;

use polypy_core::Timestamp;

use super::report::{GapCount, ORDERLY, Report, TokenReport};

/// Tokens that the page names, the worst first.
const WORST: usize = 20;
/// Until when something lasts that is not over at the recording's end.
const END: &str = "the end of the recording";

impl fmt::Display for GapCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lasted = seconds(self.lasted);
        let bounded = self.gaps - self.unbounded;
        // Of tokens that waited at the same time, each counts.
        let added_up = if bounded > 1 { " added up" } else { "" };
        match self.unbounded {
            0 => write!(f, "{lasted:.1} s{added_up}"),
            _ if bounded == 0 => write!(f, "nobody knows for how long"),
            some => write!(f, "{lasted:.1} s{added_up}, and {some} of unknown length"),
        }
    }
}

impl Report {
    /// A page for people.
    pub fn page(&self) -> String {
        let mut page = String::new();
        // Writing to a string does not fail.
        let _done = self.write(&mut page);
        page
    }

    fn write_faults(&self, page: &mut String) -> fmt::Result {
        for fault in self.faults.iter().take(WORST) {
            let what = if fault.is_damage() {
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

    /// The tokens whose books were contradicted, and the one that was asked for.
    fn write_tokens(&self, page: &mut String) -> fmt::Result {
        let is_asked_for = self.listed.is_some();
        let is_shown = |token: &&TokenReport| is_asked_for || !token.contradictions.is_empty();
        for token in self.listed().filter(is_shown).take(WORST) {
            let found = &token.findings;
            let verdict = if token.contradictions.is_empty() {
                ", and nothing contradicts its book"
            } else {
                ""
            };
            writeln!(
                page,
                "token {}: {} of {} states verified{verdict}",
                token.token_id, found.verified, found.states
            )?;
            for wrong in token.contradictions.iter().take(WORST) {
                let until = wrong.until.map_or_else(|| END.to_owned(), moment);
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
        let more = self.listed().filter(is_shown).count().saturating_sub(WORST);
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
        self.write_tokens(page)?;
        if self.files > 0 {
            writeln!(page, "files        {}", self.files)?;
        }
        self.write_faults(page)?;
        writeln!(page, "frames       {} ({} bytes)", self.frames, self.bytes)?;
        if self.control_frames > 0 {
            writeln!(
                page,
                "control      {} frames that are no JSON",
                self.control_frames
            )?;
        }
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
                    "no loss      {}, {reason} ({owner}), until {END}",
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
            "states       {}: {} verified by their hash, {} failed, {} cannot be verified, {} without a hash, {} replaced before a check",
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

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

fn moment(nanos: u64) -> String {
    Timestamp::from_millis(nanos / 1_000_000).to_string()
}

#[cfg(test)]
mod tests {
    use polypy_core::Owner;
    use polypy_core::recording::Gap;

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
        let both = "3, killed (us), 1.5 s, and 2 of unknown length\n";
        assert!(shown.contains(both), "{shown}");
        let shown = page(&[closed.clone(), gap(Some(3), Some(500_003))]);
        let added_up = "2, killed (us), 2.0 s added up\n";
        assert!(shown.contains(added_up), "{shown}");
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
            shown.contains("no loss      1, stopped (us), until the end of the recording\n"),
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
