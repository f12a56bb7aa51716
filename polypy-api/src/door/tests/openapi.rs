//! `/openapi.json`, and what each route states held against what it answers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use polypy_core::{BookState, Component as _};
use polypy_http::{Content, Description, HttpServer, Sources};
use serde_json::Value;

use super::common::{Books, Catalogue, NOW, Program, ask, config};
use super::hub::Hub;
use super::markets::{Server, known};
use super::own::failures;
use crate::cursor::Instance;
use crate::door::Doors;
use crate::openapi;
use crate::read::testing::Listed;
use crate::read::tests::forms::mistakes;

const MANUAL: &str = include_str!("../../../../docs/http-api.md");
const FORMS: &str = include_str!("../../../../docs/schemas/http.json");

/// What all routes of a server state, but those that a program adds.
fn stated() -> Vec<Description> {
    let doors = Doors::new(&config(), Arc::new(Books::default()))
        .with_streams(Hub::start().streams())
        .with_reads(
            Arc::new(Catalogue::new()),
            Arc::new(Listed::default()),
            Arc::new(Program),
            Instance::random(),
        )
        .with_samples(Arc::default(), Arc::new(Program))
        .with_failures(failures());
    let seen: Arc<Mutex<Vec<Description>>> = Arc::default();
    let all = Arc::clone(&seen);
    let program = Arc::new(Program);
    let sources = Sources::new(program.clone(), program.clone(), program);
    let server = HttpServer::builder(config(), sources)
        .routes(doors.routes())
        .describe(move |routes| {
            let route = openapi::route("PolyPy", "7")(routes);
            let mut all = all.lock().unwrap();
            all.extend(routes);
            all.push(route.description());
            route
        })
        .build();
    drop(server);
    let seen = seen.lock().unwrap();
    seen.clone()
}

#[tokio::test]
async fn every_route_states_its_answers_and_every_form_is_written_down() {
    let forms: Value = serde_json::from_str(FORMS).unwrap();
    let mut used = BTreeSet::new();
    for route in stated() {
        assert!(!route.answers.is_empty(), "{} states no answer", route.path);
        let bodies = route
            .answers
            .iter()
            .filter_map(|answer| match answer.content {
                Content::Json(form) => Some(form),
                _ => None,
            });
        let sent = route.body.and_then(|body| match body {
            Content::Json(form) => Some(form),
            _ => None,
        });
        for form in bodies.chain(sent) {
            assert!(
                forms["$defs"][form].is_object(),
                "{}: no form {form}",
                route.path
            );
            used.insert(form);
        }
    }
    assert!(used.len() > 15, "{used:?}");
}

/// The answer of 200 that a route states.
fn form_of(routes: &[Description], path: &str) -> &'static str {
    let route = routes.iter().find(|route| route.path == path);
    let answers = route.unwrap_or_else(|| panic!("{path}")).answers;
    let form = answers.iter().find_map(|answer| match answer.content {
        Content::Json(form) if answer.status == 200 => Some(form),
        _ => None,
    });
    form.unwrap_or_else(|| panic!("{path} answers no JSON"))
}

#[tokio::test]
async fn answers_have_the_forms_that_their_routes_state() {
    let routes = stated();
    let server = Server::start().await;
    server.listed.take([known()]);
    let keys = server.listed.follow(0);
    server
        .shelf
        .set(keys[0], BookState::Live, "0.489", "0.5025", NOW);
    for (path, target) in [
        ("/", "/"),
        ("/version", "/version"),
        ("/health", "/health"),
        ("/livez", "/livez"),
        ("/readyz", "/readyz?verbose"),
        ("/startupz", "/startupz"),
        ("/stats", "/stats"),
        ("/v1/markets", "/v1/markets"),
        ("/v1/markets", "/v1/markets?tops&limit=1"),
        ("/v1/markets", "/v1/markets?fields=slug&sort=listed"),
        ("/v1/markets/{market}", "/v1/markets/0x7?tops"),
        ("/v1/markets/{market}", "/v1/markets/0x7?explain=selection"),
        ("/v1/events", "/v1/events"),
        ("/v1/events/{event}", "/v1/events/what-holds"),
        ("/v1/tokens", "/v1/tokens?begins=7"),
        ("/v1/tokens", "/v1/tokens?begins=719"),
    ] {
        let form = form_of(&routes, path);
        let found = mistakes(form, &server.get(target).await);
        assert_eq!(found, Vec::<String>::new(), "{target}");
    }
    for target in [
        "/v1/markets/nobody",
        "/v1/markets?tag=a",
        "/v1/nothing",
        "/nothing",
    ] {
        let (status, _, body) = ask(server.address, "GET", target, "").await;
        assert!(status >= 400, "{target}");
        let found = mistakes("error", &serde_json::from_str(&body).unwrap());
        assert_eq!(found, Vec::<String>::new(), "{target}");
    }
    server.http.stop().await;
}

#[tokio::test]
async fn the_examples_of_the_manual_have_the_forms_that_their_routes_state() {
    let routes = stated();
    let mut held = 0;
    for section in MANUAL.split("\n### GET ").skip(1) {
        let (path, text) = section.split_once('\n').unwrap();
        let Some(route) = routes.iter().find(|route| route.path == path) else {
            continue;
        };
        // Messages of WebSockets are none of a route's answers.
        if route.answers.iter().all(|answer| answer.status != 200) {
            continue;
        }
        let Some(example) = text.split("```json\n").nth(1) else {
            continue;
        };
        let example = example.split("\n```").next().unwrap();
        let example: Value = serde_json::from_str(example).unwrap();
        let found = mistakes(form_of(&routes, path), &example);
        assert_eq!(found, Vec::<String>::new(), "{path}");
        held += 1;
    }
    assert!(held > 12, "{held}");
}

#[tokio::test]
async fn the_document_is_served_and_has_every_route() {
    let program = Arc::new(Program);
    let sources = Sources::new(program.clone(), program.clone(), program);
    let http = HttpServer::builder(config(), sources)
        .describe(openapi::route("PolyPy", "7"))
        .build();
    http.start().await.unwrap();
    let address = http.local_addr().unwrap();
    let (status, head, body) = ask(address, "GET", "/openapi.json", "").await;
    assert_eq!(status, 200, "{head}");
    for (wanted, part) in [("gzip", true), ("identity", false)] {
        let header = format!("Accept-Encoding: {wanted}\r\n");
        let (_, head, _) = ask(address, "HEAD", "/openapi.json", &header).await;
        assert_eq!(head.contains("content-encoding: gzip"), part, "{head}");
    }
    let document: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&document["openapi"], &document["info"]["version"]),
        (&"3.1.0".into(), &"7".into())
    );
    let (_, _, landing) = ask(address, "GET", "/", "").await;
    let landing: Value = serde_json::from_str(&landing).unwrap();
    let mut listed: Vec<_> = landing["endpoints"].as_array().unwrap().iter().collect();
    listed.retain(|endpoint| document["paths"][endpoint["path"].as_str().unwrap()].is_null());
    assert_eq!(listed, Vec::<&Value>::new());
    // Every reference leads somewhere.
    for path in body.split("\"#/components/schemas/").skip(1) {
        let name = path.split('"').next().unwrap();
        assert!(
            document["components"]["schemas"][name].is_object(),
            "{name}"
        );
    }
    http.stop().await;
}
