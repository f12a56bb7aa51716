//! What a scenario came to, as a row of the table.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use polypy_core::{AssetId, BookState, StaleReason};

use super::scenario::{Cause, Scenario};
use super::verdict::Verdict;

/// The sums over all assets.
#[derive(Debug, Clone)]
pub struct Report {
    /// The scenario.
    pub name: &'static str,
    /// What it takes.
    pub cause: Cause,
    /// How long a wrong may last that nothing has told of.
    pub unseen: Duration,
    /// Book-time shown as live.
    pub live: Duration,
    /// Of that, wrong after evidence.
    pub after_evidence: Duration,
    /// Spans that were wrong before evidence.
    pub before_evidence: Vec<Duration>,
    /// From the beginning of such a wrong to its being shown.
    pub detections: Vec<Duration>,
    /// From live to live again.
    pub outages: Vec<Duration>,
    /// Outages by the state the books were shown in at first.
    pub reasons: BTreeMap<String, usize>,
    /// Outages of books that were right all the time.
    pub outages_right: usize,
    /// Outages of books that were taken off to see whether they come back.
    pub probed: usize,
    /// Books that were not live in the end.
    pub left_stale: usize,
    /// Sequences and epochs that went back.
    pub regressions: usize,
    /// Books shown as live beside a hash that their levels do not give.
    pub live_refuted: usize,
    /// Looks at books.
    pub looks: u64,
    /// Doubts the program had.
    pub doubts: u64,
    /// Changes that may have been copies.
    pub ambiguous: u64,
    /// Doubts that were settled.
    pub healed: u64,
    /// Time the machine did not give to this process.
    pub unrun: Duration,
    /// Books it called stale for more than a doubt.
    pub went_stale: u64,
    /// Fresh books its workers asked for.
    pub resyncs: u64,
    /// Changes it applied.
    pub applied: u64,
    /// What was wrong after evidence, for whoever has to mend it.
    pub examples: Vec<String>,
}

impl Report {
    pub(super) fn new(scenario: &Scenario, unseen: Duration) -> Self {
        Self {
            name: scenario.name,
            cause: scenario.cause,
            unseen,
            live: Duration::ZERO,
            after_evidence: Duration::ZERO,
            before_evidence: Vec::new(),
            detections: Vec::new(),
            outages: Vec::new(),
            reasons: BTreeMap::new(),
            outages_right: 0,
            probed: 0,
            left_stale: 0,
            regressions: 0,
            live_refuted: 0,
            looks: 0,
            doubts: 0,
            ambiguous: 0,
            healed: 0,
            unrun: Duration::ZERO,
            went_stale: 0,
            resyncs: 0,
            applied: 0,
            examples: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, asset: &AssetId, verdict: Verdict) {
        if let Some((from, to)) = verdict.first {
            let example = format!("{asset}: live and wrong from {from:?} to {to:?}");
            self.examples.push(example);
        }
        self.live += verdict.live;
        self.after_evidence += verdict.after_evidence;
        self.before_evidence.extend(verdict.before_evidence);
        self.detections.extend(verdict.detections);
        self.outages.extend(verdict.outages);
        for state in verdict.states {
            if let BookState::Stale(reason) = state {
                *self.reasons.entry(format!("{reason:?}")).or_default() += 1;
            }
        }
        for (at, state) in verdict.outages_right {
            // A silent connection is asked for a sign of life: one market is
            // taken off and subscribed again. What is off its feed is not live.
            if state == BookState::Stale(StaleReason::Resubscribing) {
                self.probed += 1;
                continue;
            }
            self.outages_right += 1;
            if self.cause == Cause::Nothing {
                let example = format!("{asset}: right and {state:?} at {at:?}");
                self.examples.push(example);
            }
        }
        self.left_stale += usize::from(verdict.left_stale);
        self.regressions += verdict.regressions;
        self.live_refuted += verdict.live_refuted;
    }

    /// False alarms: outages without any cause.
    pub fn false_alarms(&self) -> usize {
        match self.cause {
            Cause::Nothing => self.outages_right,
            Cause::Loss | Cause::Lie => 0,
        }
    }

    /// What does not hold of what must.
    pub fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        let mut demand = |holds: bool, what: String| {
            if !holds {
                failures.push(format!("{}: {what}", self.name));
            }
        };
        demand(
            self.after_evidence.is_zero(),
            format!(
                "{:?} wrong while live after evidence: {:?}",
                self.after_evidence, self.examples
            ),
        );
        let longest = self.before_evidence.iter().max().copied();
        demand(
            longest.unwrap_or_default() <= self.unseen,
            format!(
                "{longest:?} wrong before evidence, at most {:?}",
                self.unseen
            ),
        );
        demand(
            self.false_alarms() == 0,
            format!("{} false alarms: {:?}", self.false_alarms(), self.examples),
        );
        demand(
            self.left_stale == 0,
            format!("{} left stale", self.left_stale),
        );
        demand(
            self.regressions == 0,
            format!("{} sequences went back", self.regressions),
        );
        demand(
            self.live_refuted == 0,
            format!("{} live and not verified", self.live_refuted),
        );
        demand(!self.live.is_zero(), "no book was ever live".to_owned());
        failures
    }
}

/// The head of the table.
pub const HEAD: &str = "\
| fault | book-seconds live | wrong after evidence, ms | wrong before evidence: spans, median, max (bound) | shown after: median, max | stale: spans, median, max | false alarms | resyncs asked |
|---|--:|--:|--:|--:|--:|--:|--:|
";

/// One row of the table.
pub fn row(report: &Report) -> String {
    let mut row = String::new();
    let written = write!(
        row,
        "| {} | {:.0} | {:.0} | {} | {} | {} | {} | {} |",
        report.name,
        report.live.as_secs_f64(),
        millis(report.after_evidence),
        if report.before_evidence.is_empty() {
            "–".to_owned()
        } else {
            format!(
                "{} ({})",
                spans(&report.before_evidence),
                time(report.unseen)
            )
        },
        times(&report.detections),
        spans(&report.outages),
        report.false_alarms(),
        report.resyncs,
    );
    written.expect("a string takes everything");
    row
}

fn spans(all: &[Duration]) -> String {
    if all.is_empty() {
        "–".to_owned()
    } else {
        format!("{}, {}", all.len(), times(all))
    }
}

fn times(all: &[Duration]) -> String {
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    match (sorted.get(sorted.len() / 2), sorted.last()) {
        (Some(median), Some(longest)) => format!("{}, {}", time(*median), time(*longest)),
        _ => "–".to_owned(),
    }
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1_000.0
}

fn time(span: Duration) -> String {
    let millis = millis(span);
    if millis < 1_000.0 {
        format!("{millis:.0} ms")
    } else {
        format!("{:.1} s", millis / 1_000.0)
    }
}
