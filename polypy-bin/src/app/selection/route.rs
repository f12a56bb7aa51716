//! `GET /v1/selection`: what is followed, for everyone who may read.

use std::sync::Arc;

use polypy_http::{Answer, Reply, Route, StatusCode};
use serde_json::{Value, json};

use super::{Detail, InForce, SelectionControl, keys};

/// The route. It says which layer has set what, and names no place on this machine.
pub(in crate::app) fn public(control: &Arc<SelectionControl>) -> Route {
    let control = Arc::clone(control);
    Route::get(
        "/v1/selection",
        "which markets are followed: every key of the choice, and the layer that sets it",
        move |_call| Reply::json(StatusCode::OK, &body(&control.in_force())),
    )
    .answers(ANSWERS)
}

const ANSWERS: &[Answer] = &[Answer::json("selection", "what is followed, by which keys")];

fn body(in_force: &InForce) -> Value {
    json!({
        "instance": &*in_force.instance,
        "generation": in_force.generation,
        "listed": in_force.listed,
        "followed": in_force.followed,
        "complete": in_force.complete,
        "warnings": &*in_force.warnings,
        "keys": keys(&in_force.loaded, Detail::Layer),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Loaded};

    #[test]
    fn the_manuals_example_has_the_fields_of_the_answer() {
        let manual = include_str!("../../../../docs/http-api.md");
        let (_, section) = manual.split_once("### GET /v1/selection\n").unwrap();
        let example = section.split("```json\n").nth(1).unwrap();
        let example = example.split("```").next().unwrap();
        let example: Value = serde_json::from_str(example).unwrap();
        let answer = body(&InForce {
            instance: "00ff".into(),
            generation: 0,
            listed: 0,
            followed: 0,
            complete: true,
            warnings: Arc::default(),
            loaded: Arc::new(Loaded::of_program(Config::default())),
        });
        let fields =
            |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
        assert_eq!(fields(&example), fields(&answer));
        for (key, about) in example["keys"].as_object().unwrap() {
            assert_eq!(fields(about), fields(&answer["keys"][key]), "{key}");
            let (shown, real) = (&about["value"], &answer["keys"][key]["value"]);
            let is_same = real.is_null() || shown.is_array() == real.is_array();
            assert!(is_same, "{key}: {shown} {real}");
        }
        assert!(manual.contains("\n| [`GET /v1/selection`](#get-v1selection) |"));
        // The form of the document of the API.
        let forms = include_str!("../../../../docs/schemas/http.json");
        let forms: Value = serde_json::from_str(forms).unwrap();
        let stated = |form: &Value| {
            let properties = fields(&form["properties"]);
            assert_eq!(form["required"], json!(properties));
            properties
        };
        let form = &forms["$defs"]["selection"];
        assert_eq!(stated(form), fields(&answer));
        assert_eq!(stated(&form["properties"]["keys"]), fields(&answer["keys"]));
        let key = &forms["$defs"]["selection_key"];
        assert_eq!(stated(key), fields(&answer["keys"]["tags"]));
    }
}
