//! The files of `monitoring/` and the runbook, held against the table of numbers,
//! against each other and, where they are installed, against Prometheus' own tools.

use std::collections::BTreeSet;
use std::process::Command;

use polypy_tests::monitoring::{self, FOLDER, Metrics, Rule};
use polypy_tests::{markdown, tree};
use serde_json::Value;

const RUNBOOK: &str = "docs/runbook.md";
/// What each section of the runbook has to say.
const PARTS: [&str; 4] = [
    "**Means.**",
    "**Users see.**",
    "**Find the cause.**",
    "**Do.**",
];

fn alerts() -> Vec<Rule> {
    let rules = monitoring::rules().into_iter();
    rules.filter(|rule| rule.is_alert).collect()
}

#[test]
fn every_metric_that_is_asked_for_is_in_the_table_of_numbers() {
    let metrics = Metrics::known();
    assert!(metrics.count() > 150, "the table is found");
    let mut unknown = Vec::new();
    let mut asked = 0;
    let rules = monitoring::rules().into_iter();
    let rules = rules.map(|rule| (rule.name, rule.expr));
    let queries = monitoring::queries().into_iter();
    let queries =
        queries.map(|query| (format!("{}: {}", query.dashboard, query.panel), query.expr));
    for (place, expr) in rules.chain(queries) {
        let selectors = monitoring::selectors(&expr);
        assert!(!selectors.is_empty(), "{place} asks for nothing: {expr}");
        asked += selectors.len();
        for selector in selectors {
            if !metrics.has(&selector.name) {
                unknown.push(format!("{place}: {}", selector.name));
            }
        }
    }
    assert_eq!(unknown, Vec::<String>::new());
    assert!(asked > 200, "rules and dashboards are found: {asked}");
}

#[test]
fn every_alert_has_its_section_in_the_runbook_and_none_is_left_over() {
    let text = tree::read(RUNBOOK);
    let alerts = alerts();
    let sections: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    let names: BTreeSet<_> = alerts.iter().map(|alert| alert.name.as_str()).collect();
    assert_eq!(names, sections, "left: alerts, right: sections");
    for alert in &alerts {
        let section = markdown::section(&text, &alert.name).expect("the section");
        let parts = section.iter().filter_map(|line| {
            let part = PARTS.iter().find(|part| line.starts_with(**part));
            part.copied()
        });
        assert_eq!(parts.collect::<Vec<_>>(), PARTS, "{}", alert.name);
        let url = format!("{RUNBOOK}#{}", alert.name.to_lowercase());
        assert_eq!(alert.annotations["runbook_url"], url);
    }
}

#[test]
fn every_alert_says_how_grave_it_is_and_is_tested() {
    let tests = tree::read(&format!("{FOLDER}/rules/alerts_test.yml"));
    for alert in alerts() {
        let name = &alert.name;
        assert!(
            matches!(alert.severity.as_str(), "critical" | "warning"),
            "{name}"
        );
        for part in ["summary", "description"] {
            assert!(alert.annotations.contains_key(part), "{name}: {part}");
        }
        // The same line stands above what is expected of it: nothing, or alerts.
        let of_this = format!("alertname: {name}\n        exp_alerts:");
        let expected: Vec<_> = tests.split(&of_this).skip(1).collect();
        let fires = expected.iter().any(|rest| rest.starts_with("\n"));
        let does_not = expected.iter().any(|rest| rest.starts_with(" []"));
        assert!(fires && does_not, "{name} is not tested both ways");
    }
}

#[test]
fn the_runbook_asks_for_fields_that_there_are() {
    let table = tree::read("docs/metrics.md");
    let fields: BTreeSet<_> = table
        .lines()
        .filter_map(markdown::cells)
        .flat_map(|cells| {
            markdown::quoted(cells[0])
                .into_iter()
                .map(pattern)
                .collect::<Vec<_>>()
        })
        .collect();
    let text = tree::read(RUNBOOK);
    let mut missing = Vec::new();
    let mut asked = 0;
    for line in markdown::code(&text) {
        let Some((_, program)) = line.split_once("$POLYPY/stats | jq '") else {
            continue;
        };
        let program = program.split('\'').next().unwrap_or_default();
        for path in stats_paths(program) {
            asked += 1;
            let is_there = fields.iter().any(|field| starts_with(field, &path));
            if !is_there {
                missing.push(format!("{} in {line}", path.join(".")));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
    assert!(asked > 30, "the commands are found: {asked}");
}

/// A field of the table as the names on its way.
fn pattern(field: &str) -> Vec<String> {
    let names = field.split('.').map(|name| name.trim_end_matches("[]"));
    names.map(str::to_owned).collect()
}

/// The ways into the statistics that a jq program goes from the top: those that
/// begin with a point behind nothing, a comma or a pipe at the outermost level, and
/// the names that it then picks in braces.
fn stats_paths(program: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for part in program.split(", .") {
        let (way, picked) = part.split_once(" | ").unwrap_or((part, ""));
        if way.starts_with('{') {
            // `{name: .way, name: .way}`
            for way in way.trim_matches(['{', '}']).split(", ") {
                let way = way.split_once(": .").map_or(way, |(_, way)| way);
                paths.push(pattern(way.trim_matches(['{', '}', '.'])));
            }
            continue;
        }
        let way = pattern(way.trim_start_matches('.'));
        match picked
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
        {
            Some(names) => paths.extend(names.split(", ").map(|name| {
                let mut way = way.clone();
                way.push(name.to_owned());
                way
            })),
            None => paths.push(way),
        }
    }
    paths
}

/// Whether `field` leads through `way`.
fn starts_with(field: &[String], way: &[String]) -> bool {
    field.len() >= way.len() && field.iter().zip(way).all(|(a, b)| a == b || a == "*")
}

#[test]
fn dashboards_are_made_alike() {
    let runbook = markdown::anchors(&tree::read(RUNBOOK));
    let dashboards = monitoring::dashboards();
    let mut uids = BTreeSet::new();
    for (file, dashboard) in &dashboards {
        let uid = dashboard["uid"].as_str().expect("a uid").to_owned();
        assert_eq!(format!("{uid}.json"), format!("polypy-{file}"));
        assert!(uids.insert(uid));
        assert!(!text(dashboard, "description").is_empty(), "{file}");
        let variables = dashboard["templating"]["list"].as_array();
        let variables: Vec<_> = variables.into_iter().flatten().collect();
        let names: Vec<_> = variables.iter().map(|of| text(of, "name")).collect();
        assert_eq!(names, ["datasource", "instance", "runbook"], "{file}");
        assert_eq!(text(variables[2], "query"), RUNBOOK, "{file}");
        let mut ids = BTreeSet::new();
        for panel in monitoring::panels(dashboard) {
            let place = format!("{file}: {}", text(panel, "title"));
            assert!(ids.insert(panel["id"].as_u64()), "{place}");
            assert!(!text(panel, "description").is_empty(), "{place}");
            assert_eq!(
                text(&panel["datasource"], "uid"),
                "${datasource}",
                "{place}"
            );
            let shown = &panel["fieldConfig"]["defaults"]["unit"];
            let unit = [shown, &panel["options"]["yAxis"]["unit"]];
            assert!(unit.iter().any(|unit| unit.is_string()), "{place}: no unit");
            for link in panel["links"].as_array().into_iter().flatten() {
                let anchor = text(link, "url").strip_prefix("${runbook}#");
                let is_there = anchor.is_some_and(|at| runbook.iter().any(|known| known == at));
                assert!(is_there, "{place}: {link}");
            }
            for target in panel["targets"].as_array().into_iter().flatten() {
                assert!(!text(target, "legendFormat").is_empty(), "{place}");
            }
        }
    }
    for query in monitoring::queries() {
        for selector in monitoring::selectors(&query.expr) {
            assert!(
                selector.labels.contains("instance=~\"$instance\""),
                "{}: {} asks every instance: {}",
                query.dashboard,
                query.panel,
                selector.name
            );
        }
    }
    assert_eq!(dashboards.len(), 6);
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

#[test]
fn prometheus_and_alertmanager_take_the_files() {
    let folder = tree::root().join(FOLDER);
    for command in [
        ["promtool", "check config prometheus.yml"],
        ["promtool", "test rules rules/alerts_test.yml"],
        ["amtool", "check-config alertmanager.yml"],
    ] {
        let [tool, arguments] = command;
        if !monitoring::is_installed(tool) {
            println!("skipped: {tool} cannot be run");
            continue;
        }
        let output = Command::new(tool)
            .args(arguments.split(' '))
            .current_dir(&folder)
            .output()
            .expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(output.status.success(), "{tool} {arguments}: {said}");
    }
}
