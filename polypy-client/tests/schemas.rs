//! The golden messages held against the JSON Schemas: both have the same types, each with
//! the same fields, and the messages show every field that may be null both ways.
//!
//! A schema says more than is looked at here (patterns, ranges): the Python package's
//! tests hold the same files, and what a server really sends, against all of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

const MESSAGES: &str = include_str!("data/messages.ndjson");
const OPERATIONS: &str = include_str!("data/operations.ndjson");
const MESSAGES_SCHEMA: &str = include_str!("../../docs/schemas/messages.json");
const OPERATIONS_SCHEMA: &str = include_str!("../../docs/schemas/operations.json");

fn lines(text: &str) -> Vec<Map<String, Value>> {
    let objects = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("an object a line"));
    objects.collect()
}

/// The definitions that the schema's `oneOf` names.
fn definitions(schema: &str) -> BTreeMap<String, Value> {
    let schema: Value = serde_json::from_str(schema).expect("a schema");
    let named = schema["oneOf"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| {
            let name = one["$ref"].as_str().expect("a text");
            let name = name.strip_prefix("#/$defs/").expect("a definition");
            (name.to_owned(), schema["$defs"][name].clone())
        });
    named.collect()
}

fn fields(definition: &Value) -> Vec<&String> {
    definition["properties"]
        .as_object()
        .expect("an object")
        .keys()
        .collect()
}

fn may_be_null(field: &Value) -> bool {
    let in_type = field["type"].as_array();
    let either = field["anyOf"].as_array();
    in_type.is_some_and(|types| types.contains(&"null".into()))
        || either.is_some_and(|all| all.iter().any(|one| one["type"] == "null"))
}

#[test]
fn each_type_has_messages_with_exactly_its_fields_in_order() {
    let definitions = definitions(MESSAGES_SCHEMA);
    let mut seen = BTreeSet::new();
    for message in lines(MESSAGES) {
        let name = message["type"].as_str().unwrap();
        let definition = &definitions[name];
        assert_eq!(
            message.keys().collect::<Vec<_>>(),
            fields(definition),
            "{name}"
        );
        seen.insert(name.to_owned());
    }
    assert!(seen.iter().eq(definitions.keys()), "{seen:?}");
}

#[test]
fn each_field_that_may_be_null_is_shown_both_ways_and_no_other_is_null() {
    let mut found: BTreeMap<(String, String), [bool; 2]> = BTreeMap::new();
    for message in lines(MESSAGES) {
        let name = message["type"].as_str().unwrap().to_owned();
        for (field, value) in &message {
            let ways = found.entry((name.clone(), field.clone())).or_default();
            ways[usize::from(value.is_null())] = true;
        }
    }
    for (name, definition) in definitions(MESSAGES_SCHEMA) {
        for (field, schema) in definition["properties"].as_object().unwrap() {
            let ways = found[&(name.clone(), field.clone())];
            assert_eq!(ways, [true, may_be_null(schema)], "{name}.{field}");
        }
    }
}

#[test]
fn schemas_refuse_what_they_do_not_name_and_want_all_they_do() {
    for (schema, operations) in [(MESSAGES_SCHEMA, false), (OPERATIONS_SCHEMA, true)] {
        for (name, definition) in definitions(schema) {
            assert_eq!(definition["additionalProperties"], false, "{name}");
            let required = definition["required"].as_array().unwrap();
            let required: Vec<_> = required.iter().map(|name| name.as_str().unwrap()).collect();
            let fields = fields(&definition);
            if operations {
                assert_eq!(required.first(), Some(&"op"), "{name}");
            } else {
                assert_eq!(required, fields, "{name}");
            }
        }
    }
}

#[test]
fn each_operation_and_each_parameter_is_shown() {
    let mut shown: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for operation in lines(OPERATIONS) {
        let name = operation["op"].as_str().unwrap().to_owned();
        shown
            .entry(name)
            .or_default()
            .extend(operation.keys().cloned());
    }
    let wanted = definitions(OPERATIONS_SCHEMA);
    let wanted = wanted.iter().map(|(name, definition)| {
        let fields = fields(definition).into_iter().cloned().collect();
        (name.clone(), fields)
    });
    assert_eq!(shown, wanted.collect());
}
