//! `docs/metrics.md` against the rows themselves, and the rows against the conventions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use polypy_core::StatsSource;
use polypy_core::metrics::{Kind, ManualLine, ManualSheet, Sheet, Unit};

use super::PolyPy;
use super::overview::HTTP;

const BEGIN: &str = "<!-- generated from the rows: do not change by hand -->\n";

/// Keys whose names are older than the rule that a unit stands at the end.
const OLDER: [&str; 0] = [];

fn lines() -> Vec<ManualLine> {
    let app = PolyPy::builder().build().unwrap();
    let mut sheet = ManualSheet::default();
    app.overview.show(&mut sheet);
    // Made by the start, and shown from then on.
    let server = app.new_http_server(Vec::new());
    let http: &mut dyn Sheet = &mut sheet;
    http.part(&HTTP, |sheet| server.show(sheet));
    sheet.finish()
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
        Kind::Summary => "summary",
        Kind::Info => "info",
    }
}

/// A section for each part.
fn tables() -> String {
    let mut parts: Vec<(&str, Vec<ManualLine>)> = Vec::new();
    for line in lines() {
        let part = if line.part.is_empty() {
            "polypy"
        } else {
            line.part
        };
        match parts.iter_mut().find(|(name, _)| *name == part) {
            Some((_, lines)) => lines.push(line),
            None => parts.push((part, vec![line])),
        }
    }
    let code = |text: &str| match text {
        "" => String::new(),
        text => format!("`{text}`"),
    };
    let mut text = String::new();
    for (part, lines) in parts {
        let head = "| `/stats` | metric | labels | kind | meaning |\n|---|---|---|---|---|";
        writeln!(text, "\n### {part}\n\n{head}").unwrap();
        for line in lines {
            let row = line.row;
            let (metric, labels) = if line.is_exposed() {
                let mut labels: Vec<_> = line.labels.clone();
                labels.push(row.labels());
                labels.retain(|label| !label.is_empty());
                (row.metric(), labels.join(","))
            } else {
                ("", String::new())
            };
            writeln!(
                text,
                "| {} | {} | {} | {} | {} |",
                code(&line.path),
                code(metric),
                code(&labels),
                if metric.is_empty() {
                    ""
                } else {
                    kind(row.kind())
                },
                row.help().trim()
            )
            .unwrap();
        }
    }
    text
}

/// With `POLYPY_BLESS` set in the environment it writes the tables.
#[test]
fn the_table_of_numbers_is_what_the_rows_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (head, found) = document
        .split_once(BEGIN)
        .expect("the tables have a beginning");
    let expected = tables();
    if std::env::var_os("POLYPY_BLESS").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{expected}")).unwrap();
    } else {
        assert!(
            found == expected,
            "docs/metrics.md has drifted from the rows, run the test with POLYPY_BLESS=1"
        );
    }
}

#[test]
fn every_metric_is_named_by_the_conventions() {
    let mut families: BTreeMap<&str, (Kind, &str)> = BTreeMap::new();
    let mut series = BTreeSet::new();
    for line in lines().iter().filter(|line| line.is_exposed()) {
        let row = line.row;
        let metric = row.metric();
        let is_ours = metric.starts_with("polypy_") || metric.starts_with("process_");
        assert!(is_ours, "{metric}");
        let is_counter = row.kind() == Kind::Counter;
        assert_eq!(metric.ends_with("_total"), is_counter, "{metric}");
        let base = metric.strip_suffix("_total").unwrap_or(metric);
        match row.counted_in() {
            Unit::Seconds | Unit::Millis | Unit::Micros | Unit::Nanos => {
                assert!(base.ends_with("_seconds"), "{metric}");
            }
            Unit::Bytes => assert!(base.ends_with("_bytes"), "{metric}"),
            Unit::One | Unit::Megabytes => {}
        }
        let family = (row.kind(), row.family_help());
        let first = *families.entry(metric).or_insert(family);
        assert_eq!(first, family, "{metric}: one family, one kind and one help");
        let labels = (metric, line.labels.clone(), row.labels());
        assert!(
            series.insert(labels),
            "{metric}: two rows with the same labels"
        );
    }
    assert!(families.len() > 30, "{}", families.len());
}

#[test]
fn every_field_has_a_name_of_its_own_a_meaning_and_its_unit() {
    let mut paths = BTreeSet::new();
    for line in lines() {
        let (row, path) = (line.row, &line.path);
        let help = row.help().trim();
        let name = if path.is_empty() { row.metric() } else { path };
        assert!(help.ends_with('.') && help.len() > 4, "{name}: {help:?}");
        if path.is_empty() {
            continue;
        }
        assert!(paths.insert(path.clone()), "{path} twice");
        let ending = match row.counted_in() {
            Unit::One => continue,
            Unit::Seconds => "_seconds",
            Unit::Millis => "_ms",
            Unit::Micros => "_us",
            Unit::Nanos => "_ns",
            Unit::Bytes => "bytes",
            Unit::Megabytes => "_mb",
        };
        assert!(
            path.ends_with(ending) || OLDER.contains(&path.as_str()),
            "{path}"
        );
    }
    assert!(paths.len() > 80, "{}", paths.len());
}
