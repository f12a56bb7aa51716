//! `GET /`: what is served here, for a person who came without the manual.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{HeaderMap, VARY};
use serde::Serialize;

use crate::assets::{Assets, BY_ACCEPT};
use crate::describe::Answer;
use crate::negotiate::{Offer, best};
use crate::reply::{Reply, Service};
use crate::route::{READ, Route};

const PATH: &str = "/";
const SUMMARY: &str = "what is served here";

#[derive(Serialize)]
struct Landing<'a> {
    service: &'a str,
    version: &'a str,
    endpoints: &'a [Endpoint],
}

#[derive(Serialize)]
struct Endpoint {
    path: &'static str,
    methods: &'static str,
    parameters: Vec<&'static str>,
    summary: &'static str,
}

/// JSON comes first: a page is for those alone who name it.
const FORMS: &[Offer] = &[
    Offer {
        kind: "application",
        subtype: "json",
        versions: &[],
        by_name: false,
    },
    Offer {
        kind: "text",
        subtype: "html",
        versions: &[],
        by_name: true,
    },
];
const PAGE: usize = 1;

/// Whether a request prefers a page to JSON.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    best(headers, FORMS) == Some(PAGE)
}

/// The route, for a server that has these others. What it says never changes. With a page,
/// that is the answer for those who prefer it.
pub(crate) fn landing<'a>(
    service: Service,
    page: Option<Arc<Assets>>,
    others: impl Iterator<Item = &'a Route>,
) -> Route {
    let has_page = page.is_some();
    let mut endpoints = vec![Endpoint {
        path: PATH,
        methods: READ,
        parameters: Vec::new(),
        summary: SUMMARY,
    }];
    endpoints.extend(others.map(|route| Endpoint {
        path: route.path,
        methods: route.allow,
        parameters: route.parameters.iter().map(|one| one.name).collect(),
        summary: route.summary,
    }));
    let route = Route::get(PATH, SUMMARY, move |call| {
        if let Some(page) = page.as_ref().filter(|_| wants_page(call.headers())) {
            return page.page(call.headers());
        }
        let landing = Landing {
            service: &service.name,
            version: &service.version,
            endpoints: &endpoints,
        };
        Reply::json(StatusCode::OK, &landing).with_header(VARY, BY_ACCEPT)
    })
    .answers(const { &[Answer::json("index", "the routes")] });
    if has_page {
        route.open_to_pages()
    } else {
        route
    }
}
