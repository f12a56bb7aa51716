//! What both listeners say of themselves in `/openapi.json`, held against what they answer.

#[path = "../../../polypy-api/src/read/tests/forms.rs"]
mod forms;

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use crate::admin::{ask, tcp};
use crate::process::Running;

const READER: &str = "a-token-of-one-who-reads";
const ADMINISTRATOR: &str = "a-token-of-one-who-changes";

/// What is wrong with an answer to this line of a request, by the document of the listener.
pub(crate) fn mistakes(document: &Value, line: &str, status: u16, body: &Value) -> Vec<String> {
    let (method, target) = line.split_once(' ').unwrap();
    let path = target.split('?').next().unwrap();
    let paths = document["paths"].as_object().unwrap();
    let is_of = |pattern: &str| {
        let (given, stated): (Vec<_>, Vec<_>) =
            (path.split('/').collect(), pattern.split('/').collect());
        let mut pairs = given.iter().zip(&stated);
        given.len() == stated.len() && pairs.all(|(one, part)| part.starts_with('{') || one == part)
    };
    let found = paths.iter().find(|(pattern, _)| is_of(pattern));
    let Some((_, item)) = found else {
        return vec![format!("{line}: no such path is stated")];
    };
    let stated = &item[method.to_ascii_lowercase()]["responses"];
    let answer = match &stated[status.to_string()] {
        Value::Null if status >= 400 => &stated["default"],
        answer => answer,
    };
    let contents = answer["content"].as_object();
    let form = contents
        .into_iter()
        .flatten()
        .find_map(|(_, content)| content["schema"]["$ref"].as_str());
    let Some(form) = form else {
        return vec![format!(
            "{line}: no form of an answer of {status} is stated"
        )];
    };
    forms::mistakes(form.rsplit('/').next().unwrap(), body)
}

#[test]
fn every_route_of_both_listeners_states_its_answers() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let token_file = |kind: &str, token: &str| {
        let file = folder.join(format!("description-{kind}"));
        std::fs::write(&file, token).unwrap();
        format!("--{kind}-token-file={}", file.display())
    };
    let mut demo = Running::start(&[
        "run",
        "--demo",
        "--http-port=0",
        "--sim-markets=5",
        "--admin-listen=127.0.0.1:0",
        &token_file("http", READER),
        &token_file("admin", ADMINISTRATOR),
    ]);
    let line = demo.stderr_line("\"server\":\"admin\"");
    let line: Value = serde_json::from_str(&line).unwrap();
    let admin = line["address"].as_str().unwrap().to_owned();
    let health = demo.stdout_line("/health");
    let public = health.split('/').nth(2).unwrap().to_owned();
    for (address, token, least) in [(&public, READER, 28), (&admin, ADMINISTRATOR, 7)] {
        let header = format!("Authorization: Bearer {token}\r\n");
        let (_, landing) = ask(tcp(address), "GET /", &header, "");
        let (status, document) = ask(tcp(address), "GET /openapi.json", &header, "");
        assert_eq!(status, 200, "{document}");
        assert_eq!(
            mistakes(&document, "GET /", 200, &landing),
            Vec::<String>::new()
        );
        let endpoints = landing["endpoints"].as_array().unwrap();
        assert!(endpoints.len() >= least, "{landing:#}");
        let mut forms = BTreeSet::new();
        for endpoint in endpoints {
            let path = endpoint["path"].as_str().unwrap();
            let methods = endpoint["methods"].as_str().unwrap().split(", ");
            for method in methods.filter(|method| !matches!(*method, "HEAD" | "OPTIONS")) {
                let stated = &document["paths"][path][method.to_ascii_lowercase()]["responses"];
                let answers = stated.as_object().unwrap_or_else(|| {
                    panic!("{method} {path} is not in the document");
                });
                let is_good = |status: &&String| matches!(status.as_bytes()[0], b'1'..=b'3');
                assert!(
                    answers.keys().any(|status| is_good(&status)),
                    "{method} {path} states no answer: {stated:#}"
                );
                forms.extend(
                    stated
                        .to_string()
                        .split("#/components/schemas/")
                        .skip(1)
                        .map(|rest| rest.split('"').next().unwrap().to_owned()),
                );
            }
        }
        for form in forms {
            let known = &document["components"]["schemas"][&form];
            assert!(known.is_object(), "{form}");
        }
    }
    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0));
}
