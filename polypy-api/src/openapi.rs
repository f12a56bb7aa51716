//! `/openapi.json`: the API as its routes state it (OpenAPI 3.1). Parameters, answers and
//! what is to go come from the table of routes, forms of bodies from `docs/schemas`.

use bytes::Bytes;
use polypy_core::Cents;
use polypy_http::header::HeaderValue;
use polypy_http::{Answer, Content, Description, Kind, Parameter, Reply, Route, StatusCode};
use serde_json::{Map, Value, json};

const PATH: &str = "/openapi.json";
const SUMMARY: &str = "this API as an OpenAPI document";
const ANSWERS: &[Answer] = &[Answer::json("openapi", "the document")];
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Compressed at once.
const THREADS: u32 = 1;
/// The forms of bodies, by name.
const FORMS: &str = include_str!("../../docs/schemas/http.json");
/// Times are counted from there.
const SINCE_1970: &str = "^(19[7-9]|[2-9])";
const METHODS: [&str; 3] = ["GET", "POST", "PUT"];

/// The route, for a [`polypy_http::HttpServerBuilder::describe`].
pub fn route(title: &'static str, version: &'static str) -> impl FnOnce(&[Description]) -> Route {
    move |routes| {
        let own = Route::get(PATH, SUMMARY, |_call| Reply::empty(StatusCode::OK)).answers(ANSWERS);
        let mut routes = routes.to_vec();
        routes.push(own.description());
        let document = document(title, version, &routes).to_string() + "\n";
        let document = Bytes::from(document);
        // Computed, since compressing it takes milliseconds.
        Route::computed(PATH, SUMMARY, THREADS, move |_call| {
            Reply::bytes(StatusCode::OK, JSON, document.clone())
        })
        .answers(ANSWERS)
    }
}

fn document(title: &str, version: &str, routes: &[Description]) -> Value {
    let mut paths = Map::new();
    for route in routes {
        let mut item = Map::new();
        let methods = route.methods.split(", ");
        for method in methods.filter(|method| METHODS.contains(method)) {
            item.insert(method.to_ascii_lowercase(), operation(method, route));
        }
        paths.insert(route.path.to_owned(), Value::Object(item));
    }
    // The file is held to be JSON by a test.
    let forms = FORMS.replace("#/$defs/", "#/components/schemas/");
    let mut forms: Value = serde_json::from_str(&forms).unwrap_or_default();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": version,
            "description": "Markets and order books of Polymarket. Prices and sizes are exact \
                            decimals, as strings. A client ignores fields that it does not know.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{}, { "token": [] }],
        "paths": paths,
        "components": {
            "schemas": forms["$defs"].take(),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(method: &str, route: &Description) -> Value {
    let mut operation = json!({
        "operationId": operation_id(method, route.path),
        "summary": route.summary,
        "responses": responses(method, route),
    });
    let names = names(route.path).map(|name| in_path(route.path, name));
    let mut parameters: Vec<Value> = names.collect();
    if method == "GET" {
        let parameter = |parameter| in_query(parameter, route.takes_any_query);
        parameters.extend(route.parameters.iter().map(parameter));
    } else if let Some((media, schema)) = route.body.and_then(|body| content(route.path, body)) {
        let content = json!({ media: { "schema": schema } });
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if route.deprecation.is_some() {
        operation["deprecated"] = Value::Bool(true);
    }
    if route.is_open {
        operation["security"] = json!([]);
    }
    operation
}

/// `get_v1_markets_market` for `GET /v1/markets/{market}`.
fn operation_id(method: &str, path: &str) -> String {
    let mut id = method.to_ascii_lowercase();
    for part in path.split(|letter: char| !letter.is_ascii_alphanumeric()) {
        if !part.is_empty() {
            id.push('_');
            id.push_str(part);
        }
    }
    id
}

/// What stands in braces.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn in_path(path: &str, name: &str) -> Value {
    let (about, schema) = match name {
        "id" if path.starts_with("/tokens/") => ("a token id", reference("token_id")),
        "id" if path.starts_with("/connections/") => (
            "a connection as /stats names it",
            json!({ "type": "string", "pattern": "^conn-[0-9]{1,9}$" }),
        ),
        "token_id" | "asset_id" => ("a token id", reference("token_id")),
        "market" => ("a condition id or a slug", json!({ "type": "string" })),
        "event" => ("a slug", json!({ "type": "string" })),
        _ => ("a name", json!({ "type": "string" })),
    };
    json!({
        "name": name, "in": "path", "required": true, "description": about, "schema": schema,
    })
}

fn in_query(parameter: &Parameter, takes_any: bool) -> Value {
    let mut schema = if takes_any {
        // A probe must not fail for its query, so that nothing is a wrong value.
        json!({ "type": "string" })
    } else {
        values(parameter)
    };
    // A default in words is for people alone.
    let is_whole = parameter.default.parse::<u64>();
    match (parameter.kind, is_whole) {
        (Kind::Whole { .. }, Ok(default)) => schema["default"] = default.into(),
        (Kind::Flag, _) if matches!(parameter.default, "true" | "false") => {
            schema["default"] = (parameter.default == "true").into();
        }
        (Kind::OneOf(words), _) if words.contains(&parameter.default) => {
            schema["default"] = parameter.default.into();
        }
        _ => {}
    }
    let is_list = schema["type"] == "array";
    let mut object = json!({
        "name": parameter.name, "in": "query", "description": parameter.about, "schema": schema,
    });
    if parameter.is_required {
        object["required"] = true.into();
    }
    if is_list {
        object["style"] = "form".into();
        object["explode"] = false.into();
    }
    object
}

/// The values that a parameter may have.
fn values(parameter: &Parameter) -> Value {
    match parameter.kind {
        Kind::Whole { least, most } => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        // The name alone says yes, too.
        Kind::Flag => json!({ "anyOf": [{ "type": "boolean" }, { "enum": [1, 0, ""] }] }),
        Kind::OneOf(words) => json!({ "type": "string", "enum": words }),
        Kind::List { most } => {
            let pattern = match parameter.pattern {
                "" => "^[^,]+$",
                pattern => pattern,
            };
            let items = json!({ "type": "string", "pattern": pattern });
            json!({ "type": "array", "items": items, "minItems": 1, "maxItems": most })
        }
        Kind::Words(words) => {
            let items = json!({ "type": "string", "enum": words });
            json!({ "type": "array", "items": items, "minItems": 1 })
        }
        Kind::Text { most } if parameter.pattern.is_empty() => {
            json!({ "type": "string", "maxLength": most })
        }
        Kind::Text { most } => {
            json!({ "type": "string", "maxLength": most, "pattern": parameter.pattern })
        }
        Kind::Dollars => {
            let (whole, places) = Cents::TYPED;
            let pattern = format!("^[0-9]{{1,{whole}}}(\\.[0-9]{{1,{places}}})?$");
            json!({ "type": "string", "pattern": pattern })
        }
        Kind::Moment => json!({
            "anyOf": [
                { "type": "string", "format": "date", "pattern": SINCE_1970 },
                { "type": "string", "format": "date-time", "pattern": SINCE_1970 },
                { "type": "string", "pattern": "^[0-9]{1,9}[dhms]$" },
            ],
        }),
        Kind::Cursor => json!({ "type": "string", "pattern": "^[!-~]{1,128}$" }),
        _ => json!({ "type": "string" }),
    }
}

/// A body: its media type, and its form. None is none.
fn content(path: &str, body: Content) -> Option<(&'static str, Value)> {
    match body {
        Content::Json(form) => Some(("application/json", reference(form))),
        Content::Error => Some((error_type(path), reference("error"))),
        Content::Other(media) => Some((media, json!({ "type": "string" }))),
        _ => None,
    }
}

fn responses(method: &str, route: &Description) -> Value {
    let mut responses = Map::new();
    let answers = route.answers.iter();
    for answer in answers.filter(|answer| answer.method.is_none_or(|only| only == method)) {
        let response = responses
            .entry(answer.status.to_string())
            .or_insert_with(|| json!({ "description": "" }));
        let about = match response["description"].as_str() {
            None | Some("") => answer.about.to_owned(),
            Some(before) => format!("{before}; {}", answer.about),
        };
        response["description"] = about.into();
        if let Some((media, schema)) = content(route.path, answer.content) {
            response["content"][media] = json!({ "schema": schema });
        }
    }
    let error = json!({ error_type(route.path): { "schema": reference("error") } });
    let default = json!({ "description": "an error", "content": error });
    responses.insert("default".to_owned(), default);
    Value::Object(responses)
}

/// How errors are written there.
fn error_type(path: &str) -> &'static str {
    if path.starts_with("/v1/") {
        "application/problem+json"
    } else {
        "application/json"
    }
}

fn reference(form: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{form}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMETERS: &[Parameter] = &[
        Parameter::new("limit", Kind::Whole { least: 1, most: 9 }, "how many").or("5"),
        Parameter::new("tags", Kind::List { most: 3 }, "which"),
        Parameter::new("sort", Kind::OneOf(&["up", "down"]), "the order").or("up"),
        Parameter::new("full", Kind::Flag, "full alone").or("false"),
    ];

    #[test]
    fn a_route_becomes_what_it_states() {
        const ANSWERS: &[Answer] = &[
            Answer::json("book", "the book"),
            Answer::error(404, "no such"),
            Answer::error(404, "not any more"),
            Answer::new(304, Content::Empty, "the client has it"),
        ];
        let route = Route::get("/v1/sacks/{token_id}", "a sack", |_| {
            Reply::empty(StatusCode::OK)
        })
        .with_parameters(PARAMETERS)
        .answers(ANSWERS)
        .deprecated(1, "Sun, 06 Nov 2027 08:49:37 GMT");
        let document = document("Sacks", "7", &[route.description()]);
        let path = &document["paths"]["/v1/sacks/{token_id}"];
        assert_eq!(path.as_object().unwrap().len(), 1, "{path}");
        let get = &path["get"];
        assert_eq!(get["operationId"], "get_v1_sacks_token_id");
        assert_eq!(get["deprecated"], true);
        let names: Vec<_> = get["parameters"].as_array().unwrap().iter().collect();
        assert_eq!(names[0]["in"], "path");
        assert_eq!(
            names[1]["schema"],
            json!({ "type": "integer", "minimum": 1, "maximum": 9, "default": 5 })
        );
        assert_eq!(names[2]["explode"], false);
        assert_eq!(names[3]["schema"]["default"], "up");
        assert_eq!(
            names[4]["schema"],
            json!({ "anyOf": [{ "type": "boolean" }, { "enum": [1, 0, ""] }], "default": false })
        );
        let book = &get["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
        assert_eq!(book, "#/components/schemas/book");
        let missing = &get["responses"]["404"];
        assert_eq!(missing["description"], "no such; not any more");
        assert!(missing["content"]["application/problem+json"].is_object());
        assert_eq!(
            get["responses"]["304"],
            json!({ "description": "the client has it" })
        );
        assert!(document["components"]["schemas"]["book"].is_object());
        assert!(!document.to_string().contains("$defs"));
    }

    #[test]
    fn what_a_parameter_is_stated_to_be_is_what_is_taken() {
        use polypy_http::Query;
        use proptest::string::string_regex;
        use proptest::test_runner::TestRunner;

        let mut runner = TestRunner::deterministic();
        for kind in [Kind::Dollars, Kind::Moment, Kind::Cursor] {
            let parameter = Parameter::new("one", kind, "");
            let schema = values(&parameter);
            // Of a moment what is no format.
            let of_span = &schema["anyOf"][2]["pattern"];
            let pattern = schema["pattern"].as_str().or(of_span.as_str()).unwrap();
            let value = string_regex(pattern.trim_matches(['^', '$'])).unwrap();
            let take = |value: String| {
                let encoded: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
                let taken = Query::parse(&format!("one={encoded}"), &[parameter]);
                proptest::prop_assert!(taken.is_ok(), "{value}: {taken:?}");
                Ok(())
            };
            runner.run(&value, take).unwrap();
        }
    }

    #[test]
    fn a_probe_may_have_any_query() {
        const PROBE: &[Parameter] = &[Parameter::new("verbose", Kind::Flag, "all").or("off")];
        let route = Route::get("/livez", "", |_| Reply::empty(StatusCode::OK))
            .with_parameters(PROBE)
            .for_probes();
        let document = document("Sacks", "7", &[route.description()]);
        let verbose = &document["paths"]["/livez"]["get"]["parameters"][0];
        assert_eq!(verbose["schema"], json!({ "type": "string" }));
    }
}
