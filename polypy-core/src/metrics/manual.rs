//! The sheet that lists the rows themselves.

use super::histogram::Reading;
use super::row::{List, Number, Part, Row};
use super::sheet::Sheet;

/// A row, and where it stands.
#[derive(Debug, Clone)]
pub struct ManualLine {
    /// Its path in `/stats`, `pool.stats[].status`; `*` stands for a name. Empty for
    /// what is in `/metrics` alone.
    pub path: String,
    /// The outermost object that it stands in; empty for none.
    pub part: &'static str,
    /// Labels that its metric has from where it stands.
    pub labels: Vec<&'static str>,
    /// The row.
    pub row: &'static Row,
}

impl ManualLine {
    /// Whether it is in `/metrics`.
    pub fn is_exposed(&self) -> bool {
        !self.row.metric().is_empty() && self.labels.iter().all(|label| !label.is_empty())
    }
}

/// Lists every row that a part shows, each once, whatever its numbers are.
#[derive(Debug, Default)]
pub struct ManualSheet {
    lines: Vec<ManualLine>,
    path: Vec<&'static str>,
    labels: Vec<&'static str>,
}

impl ManualSheet {
    /// The rows, in the order in which they were shown first.
    pub fn finish(self) -> Vec<ManualLine> {
        self.lines
    }

    fn add(&mut self, row: &'static Row, suffix: &str) {
        let mut path = String::new();
        // What stands in a list without a key is in `/metrics` alone.
        let is_in_stats = self.path.iter().all(|step| !step.is_empty());
        if is_in_stats && !row.key().is_empty() {
            for step in &self.path {
                path.push_str(step);
                path.push('.');
            }
            path.push_str(row.key());
            path.push_str(suffix);
            path = path.replace(".[]", "[]");
        }
        // Members of a list show the same rows, and a row may stand in two places.
        let is_known = self.lines.iter().any(|line| {
            std::ptr::eq(line.row, row) && line.path == path && line.labels == self.labels
        });
        if !is_known {
            self.lines.push(ManualLine {
                path,
                part: self.path.first().copied().unwrap_or_default(),
                labels: self.labels.clone(),
                row,
            });
        }
    }
}

impl Sheet for ManualSheet {
    fn number(&mut self, row: &'static Row, _number: Number<'_>) {
        self.add(row, "");
    }

    fn histogram(&mut self, row: &'static Row, _reading: &Reading) {
        self.add(row, "");
    }

    fn members(&mut self, row: &'static Row, _members: &mut dyn Iterator<Item = (&str, u64)>) {
        self.add(row, if row.key() == "*" { "" } else { ".*" });
    }

    fn words(&mut self, row: &'static Row, _words: &mut dyn Iterator<Item = &str>) {
        self.add(row, "[]");
    }

    fn open(&mut self, part: &'static Part) {
        self.path.push(part.key());
    }

    fn close(&mut self) {
        self.path.pop();
    }

    fn begin(&mut self, list: &'static List) {
        self.path.push(list.key());
        self.path.push(if list.is_named() { "*" } else { "[]" });
        self.labels.push(list.label());
    }

    fn member(&mut self, _name: &str) {}

    fn end_member(&mut self) {}

    fn end(&mut self) {
        self.path.truncate(self.path.len().saturating_sub(2));
        self.labels.pop();
    }

    fn with(&mut self, label: &'static str) {
        self.labels.push(label);
    }

    fn without(&mut self) {
        self.labels.pop();
    }

    fn wants_every_row(&self) -> bool {
        true
    }
}
