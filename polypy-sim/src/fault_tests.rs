use std::collections::HashSet;

use super::*;

#[test]
fn every_kind_has_one_row_and_every_default_is_a_value_it_takes() {
    let names: HashSet<&str> = FAULTS.iter().map(|info| info.name).collect();
    assert_eq!(names.len(), FAULTS.len());
    for info in FAULTS {
        assert_eq!(
            info.kind.info().name,
            info.name,
            "a kind with two rows or none"
        );
        for parameter in info.parameters {
            let read = read_setting(parameter, &default_value(parameter));
            assert!(read.is_some(), "{}.{}", info.name, parameter.name);
        }
    }
}

#[test]
fn requests_read_targets_durations_and_parameters() {
    let fault = Fault::from_json(&json!({
        "name": "duplicate",
        "assets": ["12", "34"],
        "connections": [7],
        "share": 0.25,
        "for": "1.5s",
        "rate": 0.5,
    }))
    .unwrap();
    assert_eq!(fault.kind, FaultKind::Duplicate);
    assert_eq!(fault.lasting, Some(Duration::from_millis(1_500)));
    assert_eq!(fault.assets.as_ref().unwrap().len(), 2);
    assert!((fault.number("rate") - 0.5).abs() < 1e-9);
    assert_eq!(
        fault.duration("delay"),
        Duration::from_millis(120),
        "the default"
    );
    assert_eq!(fault.to_json()["share"], 0.25);
}

#[test]
fn refusals_name_the_field_and_suggest() {
    for (body, field, reason) in [
        (json!([]), "body", "not a JSON object"),
        (json!({}), "name", "missing"),
        (
            json!({"name": "stall_aset"}),
            "name",
            "did you mean \"stall_asset\"?",
        ),
        (
            json!({"name": "zzzzzzzzzzzz"}),
            "name",
            "GET /sim/faults lists them",
        ),
        (
            json!({"name": "duplicate", "rat": 0.1}),
            "rat",
            "did you mean \"rate\"?",
        ),
        (
            json!({"name": "duplicate", "rate": 2}),
            "rate",
            "not a number from 0 to 1",
        ),
        (
            json!({"name": "duplicate", "delay": 5}),
            "delay",
            "not a duration",
        ),
        (
            json!({"name": "duplicate", "share": -1}),
            "share",
            "not a number from 0 to 1",
        ),
        (
            json!({"name": "duplicate", "for": "soon"}),
            "for",
            "not a duration",
        ),
        (
            json!({"name": "duplicate", "assets": ["x"]}),
            "assets",
            "not a list of asset ids",
        ),
        (
            json!({"name": "stall_all", "assets": ["1"]}),
            "assets",
            "chooses among connections",
        ),
        (
            json!({"name": "clob_5xx", "connections": [1]}),
            "connections",
            "chooses among requests",
        ),
        (
            json!({"name": "clob_5xx", "status": 404}),
            "status",
            "not a number from 500 to 599",
        ),
        (
            json!({"name": "unreadable_change", "shape": "objekt"}),
            "shape",
            "not one of any, object, null,",
        ),
        (
            json!({"name": "reorder", "across_tokens": 1}),
            "across_tokens",
            "not true or false",
        ),
    ] {
        let error = Fault::from_json(&body).unwrap_err();
        assert_eq!(error.field, field, "{body}");
        assert!(error.reason.contains(reason), "{body}: {error}");
    }
}

#[test]
fn durations_have_a_unit_and_a_bound() {
    for (text, millis) in [
        ("250ms", Some(250)),
        ("10s", Some(10_000)),
        ("2m", Some(120_000)),
        ("1h", Some(3_600_000)),
    ] {
        assert_eq!(
            parse_duration(text),
            millis.map(Duration::from_millis),
            "{text}"
        );
    }
    for text in ["", "10", "s", "-1s", "1d", "9999h", "1e400s"] {
        assert_eq!(parse_duration(text), None, "{text}");
    }
}

/// The documentation's table is this table.
#[test]
fn the_documentation_lists_every_fault_as_the_table_has_it() {
    let documentation =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sim.md")).unwrap();
    for info in FAULTS {
        let parameters: Vec<String> = info
            .parameters
            .iter()
            .map(|parameter| format!("`{}` ({})", parameter.name, parameter.default))
            .collect();
        let row = format!(
            "| `{}` | {} | {} | {} |",
            info.name,
            info.scope.name(),
            info.summary,
            parameters.join(", ")
        );
        assert!(documentation.contains(&row), "docs/sim.md lacks:\n{row}");
    }
    let rows = documentation
        .lines()
        .filter(|line| line.starts_with("| `"))
        .count();
    let listed = documentation
        .lines()
        .filter(|line| {
            FAULTS
                .iter()
                .any(|info| line.starts_with(&format!("| `{}` |", info.name)))
        })
        .count();
    assert_eq!(listed, FAULTS.len(), "of {rows} rows");
}
