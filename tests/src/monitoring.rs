//! The files of `monitoring/` as values: rules, dashboards, and what their
//! expressions ask for.
//!
//! Knows the plain subset of YAML and PromQL that our own files use.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::{markdown, tree};

/// Where the files lie.
pub const FOLDER: &str = "monitoring";
/// What Prometheus itself adds to each target, and its own series of alerts.
const OF_PROMETHEUS: [&str; 4] = [
    "up",
    "ALERTS",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
];
/// Words of PromQL that stand where a metric could.
const WORDS: [&str; 6] = ["and", "or", "unless", "bool", "offset", "inf"];
/// Words of PromQL whose parentheses hold labels.
const GROUPINGS: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];

/// A rule of Prometheus.
#[derive(Debug, Clone, Default)]
pub struct Rule {
    /// Whether it is an alert; otherwise it records.
    pub is_alert: bool,
    /// Of the alert, or of what is recorded.
    pub name: String,
    /// What it asks.
    pub expr: String,
    /// `severity` of an alert.
    pub severity: String,
    /// `summary`, `description`, `runbook_url` of an alert.
    pub annotations: BTreeMap<String, String>,
}

/// All rules, of every file that Prometheus loads.
pub fn rules() -> Vec<Rule> {
    let files = ["recording.yml", "alerts.yml"];
    let texts = files.map(|file| tree::read(&format!("{FOLDER}/rules/{file}")));
    texts.iter().flat_map(|text| rules_of(text)).collect()
}

fn rules_of(text: &str) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for line in text.lines().map(str::trim) {
        let (key, value) = line.split_once(": ").unwrap_or((line, ""));
        let value = value.trim_matches('\'');
        if matches!(key, "- alert" | "- record") {
            rules.push(Rule {
                is_alert: key == "- alert",
                name: value.to_owned(),
                ..Rule::default()
            });
            continue;
        }
        let Some(rule) = rules.last_mut() else {
            continue;
        };
        match key {
            "expr" => rule.expr = value.trim_start_matches(">-").to_owned(),
            "severity" => rule.severity = value.to_owned(),
            "summary" | "description" | "runbook_url" => {
                rule.annotations.insert(key.to_owned(), value.to_owned());
            }
            "for" | "- name" | "rules:" | "labels:" | "annotations:" => {}
            comment if comment.starts_with('#') => {}
            // What is left is a line of a folded expression.
            _ => {
                rule.expr.push(' ');
                rule.expr.push_str(line);
            }
        }
    }
    rules
}

/// A panel's question.
#[derive(Debug, Clone)]
pub struct Query {
    /// The dashboard's file.
    pub dashboard: String,
    /// The panel's title.
    pub panel: String,
    /// PromQL, with Grafana's variables in it.
    pub expr: String,
}

/// The dashboards by file name.
///
/// # Panics
/// When one is no JSON.
pub fn dashboards() -> Vec<(String, Value)> {
    let files = tree::files(|name| name.ends_with(".json"));
    let ours = files
        .into_iter()
        .filter(|file| file.folder() == format!("{FOLDER}/grafana/dashboards"));
    ours.map(|file| {
        let value = serde_json::from_str(&file.text).expect("a dashboard is JSON");
        (file.name().to_owned(), value)
    })
    .collect()
}

/// The panels of a dashboard that show something.
pub fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let all = dashboard["panels"].as_array().into_iter().flatten();
    all.filter(|panel| panel["type"] != "row")
}

/// Every question of every dashboard: of its panels and of its annotations.
pub fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for (name, dashboard) in dashboards() {
        let mut note = |panel: &Value, expr: &Value| {
            let [panel, expr] = [panel, expr].map(|text| text.as_str().unwrap_or_default());
            queries.push(Query {
                dashboard: name.clone(),
                panel: panel.to_owned(),
                expr: expr.to_owned(),
            });
        };
        for panel in panels(&dashboard) {
            for target in panel["targets"].as_array().into_iter().flatten() {
                note(&panel["title"], &target["expr"]);
            }
        }
        let annotations = dashboard["annotations"]["list"].as_array();
        for annotation in annotations.into_iter().flatten() {
            note(&annotation["name"], &annotation["expr"]);
        }
    }
    queries
}

/// What an expression reads: a metric's name and the labels it must have, with
/// their braces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector {
    /// The metric.
    pub name: String,
    /// `{...}`, or nothing.
    pub labels: String,
}

/// The selectors of an expression.
pub fn selectors(expr: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    let mut rest = expr;
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            rest = after(&rest[1..], '"');
        } else if first == '[' {
            rest = after(rest, ']');
        } else if first.is_alphabetic() || matches!(first, '_' | ':') {
            let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':');
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            rest = behind.trim_start();
            if GROUPINGS.contains(&word) {
                rest = after(rest, ')');
            } else if rest.starts_with('{') {
                let behind = after(rest, '}');
                let labels = &rest[..rest.len() - behind.len()];
                found.push(Selector {
                    name: word.to_owned(),
                    labels: labels.to_owned(),
                });
                rest = behind;
            } else if !is_function(rest) && !WORDS.contains(&word) {
                found.push(Selector {
                    name: word.to_owned(),
                    labels: String::new(),
                });
            }
        } else if first.is_ascii_digit() {
            let is_part = |c: char| c.is_alphanumeric() || c == '.';
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            rest = &rest[end..];
        } else {
            rest = &rest[first.len_utf8()..];
        }
    }
    found
}

/// Whether what stands behind a word makes it a function: its arguments, or the
/// labels that it keeps or drops.
fn is_function(behind: &str) -> bool {
    let word = behind.split([' ', '(']).next().unwrap_or_default();
    word.is_empty() && behind.starts_with('(') || GROUPINGS.contains(&word)
}

/// What is behind the next `end` that is not between quotes.
fn after(text: &str, end: char) -> &str {
    let mut is_quoted = false;
    for (at, c) in text.char_indices() {
        if c == end && !is_quoted {
            return &text[at + c.len_utf8()..];
        }
        is_quoted ^= c == '"';
    }
    ""
}

/// Says which metrics there are: those of the table of numbers, those that are
/// recorded, and Prometheus' own.
#[derive(Debug)]
pub struct Metrics {
    plain: BTreeSet<String>,
    histograms: BTreeSet<String>,
}

impl Metrics {
    /// Reads the table and the recording rules.
    pub fn known() -> Self {
        let (mut plain, mut histograms) = (BTreeSet::new(), BTreeSet::new());
        for cells in tree::read("docs/metrics.md")
            .lines()
            .filter_map(markdown::cells)
        {
            let [_, metric, _, kind, _] = cells[..] else {
                continue;
            };
            let metrics = if kind == "histogram" {
                &mut histograms
            } else {
                &mut plain
            };
            metrics.extend(markdown::quoted(metric).into_iter().map(str::to_owned));
        }
        let recorded = rules().into_iter().filter(|rule| !rule.is_alert);
        plain.extend(recorded.map(|rule| rule.name));
        plain.extend(OF_PROMETHEUS.map(str::to_owned));
        Self { plain, histograms }
    }

    /// Whether there is one of this name.
    pub fn has(&self, name: &str) -> bool {
        let mut series = ["_bucket", "_sum", "_count"].iter();
        let of_histogram = series.find_map(|part| name.strip_suffix(part));
        self.plain.contains(name) || of_histogram.is_some_and(|of| self.histograms.contains(of))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.plain.len() + self.histograms.len()
    }
}

/// The text of a configuration, of rules or of an expression, with every duration
/// divided: so that what takes minutes is seen within seconds.
pub fn sped_up(text: &str, factor: u64) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut made = String::new();
        let mut rest = line;
        while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
            let before = rest[..at].chars().next_back();
            let digits = rest[at..].find(|c: char| !c.is_ascii_digit());
            let end = digits.map_or(rest.len(), |digits| at + digits);
            let unit = rest[end..].chars().next();
            let seconds = match unit {
                Some('s') => Some(1),
                Some('m') => Some(60),
                Some('h') => Some(3_600),
                _ => None,
            };
            let behind = rest[end..].chars().nth(1);
            let is_alone = matches!((before, behind), (Some('['), Some(']')) | (Some(' '), None));
            made.push_str(&rest[..at]);
            match (seconds, rest[at..end].parse::<u64>()) {
                (Some(seconds), Ok(number)) if is_alone => {
                    made.push_str(&format!("{}ms", number * seconds * 1_000 / factor));
                    rest = &rest[end + 1..];
                }
                _ => {
                    made.push_str(&rest[at..end]);
                    rest = &rest[end..];
                }
            }
        }
        made.push_str(rest);
        lines.push(made);
    }
    lines.join("\n") + "\n"
}

/// Whether a program of Prometheus can be run.
///
/// # Panics
/// When it cannot, and `POLYPY_MONITORING` says `required`.
pub fn is_installed(program: &str) -> bool {
    let version = Command::new(program).arg("--version").output();
    let is_required = std::env::var("POLYPY_MONITORING").is_ok_and(|how| how == "required");
    assert!(
        version.is_ok() || !is_required,
        "{program} cannot be run: .ci/monitoring installs it"
    );
    version.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(expr: &str) -> Vec<String> {
        let selectors = selectors(expr).into_iter();
        selectors.map(|found| found.name + &found.labels).collect()
    }

    #[test]
    fn selectors_are_told_from_functions_words_and_labels() {
        assert_eq!(
            names("sum without (a, b) (rate(x_total{c=\"}\",d=~\"e.*\"}[5m])) / (y > 0)"),
            ["x_total{c=\"}\",d=~\"e.*\"}", "y"]
        );
        assert_eq!(
            names("a / ignoring (worker) group_left () b{} and l:c:r5m > 1.5e3 or vector(1)"),
            ["a", "b{}", "l:c:r5m"]
        );
    }

    #[test]
    fn rules_are_read() {
        let text = "groups:\n  - name: a\n    rules:\n      # why\n      - record: r:x\n        \
                    expr: >-\n          a\n          / b\n      - alert: B\n        expr: c > 1\n        \
                    for: 1m\n        labels:\n          severity: warning\n        annotations:\n          \
                    description: '{{ $value }}: d'\n";
        let [record, alert] = &rules_of(text)[..] else {
            panic!("two rules");
        };
        assert_eq!((record.name.as_str(), record.expr.trim()), ("r:x", "a / b"));
        assert_eq!((alert.name.as_str(), alert.expr.as_str()), ("B", "c > 1"));
        assert_eq!(alert.severity, "warning");
        assert_eq!(alert.annotations["description"], "{{ $value }}: d");
    }

    #[test]
    fn durations_alone_are_divided() {
        let text = "  for: 2m\n  scrape_interval: 15s\n  expr: x_rate5m[5m] > 0.5 # l9:80s\n";
        let expected =
            "  for: 6000ms\n  scrape_interval: 750ms\n  expr: x_rate5m[15000ms] > 0.5 # l9:80s\n";
        assert_eq!(sped_up(text, 20), expected);
    }
}
