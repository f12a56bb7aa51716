//! Bodies held against the forms of `docs/schemas/http.json`: what clients and the document
//! of the API are made from.
//!
//! Stricter than a reader of the schema has to be: no field may be there that it does not
//! state. Patterns are looked at where schemas are read by others.

use std::sync::LazyLock;

use serde_json::{Map, Value};

static FORMS: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    let text = include_str!("../../../../docs/schemas/http.json");
    let schema: Value = serde_json::from_str(text).unwrap();
    schema["$defs"].as_object().unwrap().clone()
});

/// What is wrong with a body of this form.
pub(crate) fn mistakes(form: &str, body: &Value) -> Vec<String> {
    let mut found = Vec::new();
    look(&FORMS[form], body, form, &mut found);
    found
}

fn look(form: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(path) = form["$ref"].as_str() {
        let name = path.strip_prefix("#/$defs/").unwrap();
        return look(&FORMS[name], value, at, found);
    }
    if let Some(any) = form["anyOf"].as_array() {
        let fits = |one: &Value| {
            let mut wrong = Vec::new();
            look(one, value, at, &mut wrong);
            wrong
        };
        let wrong: Vec<_> = any.iter().map(fits).collect();
        if !wrong.iter().any(Vec::is_empty) {
            found.extend(wrong.into_iter().next().unwrap_or_default());
        }
    }
    let is_one_of = |names: &Value| match names {
        Value::String(name) => is(value, name),
        Value::Array(names) => names.iter().any(|name| is(value, name.as_str().unwrap())),
        _ => true,
    };
    if !is_one_of(&form["type"]) {
        found.push(format!("{at}: {value} is no {}", form["type"]));
    }
    let is_listed = form["enum"]
        .as_array()
        .is_none_or(|all| all.contains(value));
    if !is_listed || form.get("const").is_some_and(|only| only != value) {
        found.push(format!("{at}: {value} is not listed"));
    }
    if let Value::Object(fields) = value {
        look_at_fields(form, fields, at, found);
    }
    if let Value::Array(members) = value {
        look_at_members(form, members, at, found);
    }
}

fn look_at_fields(form: &Value, fields: &Map<String, Value>, at: &str, found: &mut Vec<String>) {
    let Some(stated) = form["properties"].as_object() else {
        return;
    };
    for name in form["required"].as_array().into_iter().flatten() {
        if !fields.contains_key(name.as_str().unwrap()) {
            found.push(format!("{at}: {name} is missing"));
        }
    }
    for (name, value) in fields {
        match stated.get(name) {
            Some(form) => look(form, value, &format!("{at}.{name}"), found),
            None => found.push(format!("{at}: {name} is not stated")),
        }
    }
}

fn look_at_members(form: &Value, members: &[Value], at: &str, found: &mut Vec<String>) {
    let places = form["prefixItems"].as_array();
    let stated = places.map_or(0, Vec::len);
    for (number, value) in members.iter().enumerate() {
        let place = places.and_then(|places| places.get(number));
        if let Some(form) = place.or(form.get("items").filter(|items| items.is_object())) {
            look(form, value, &format!("{at}[{number}]"), found);
        } else if stated > 0 {
            found.push(format!("{at}: {number} is not stated"));
        }
    }
    let count = members.len() as u64;
    let least = form["minItems"].as_u64().unwrap_or(0);
    let most = form["maxItems"].as_u64().unwrap_or(u64::MAX);
    if !(least..=most).contains(&count) {
        found.push(format!("{at}: {count} members"));
    }
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type {other}"),
    }
}

#[test]
fn what_differs_from_a_form_is_found() {
    let fine = serde_json::json!({
        "name": "a", "code": "ended", "message": "", "explain": null,
    });
    assert_eq!(mistakes("missing", &fine), Vec::<String>::new());
    for (name, value) in [
        ("code", Value::from("over")),
        ("explain", Value::from(7)),
        ("title", Value::Null),
    ] {
        let mut other = fine.clone();
        other[name] = value;
        assert_eq!(mistakes("missing", &other).len(), 1, "{name}");
    }
    let level = |text: &str| mistakes("level", &serde_json::from_str(text).unwrap()).len();
    assert_eq!(level(r#"["0.5","1"]"#), 0);
    assert_eq!((level(r#"["0.5"]"#), level(r#"["0.5","1",null]"#)), (1, 1));
    assert_eq!(level(r#"["0.5",1]"#), 1);
}
