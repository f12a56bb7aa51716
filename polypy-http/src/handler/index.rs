//! `GET /`: what is served here, for a person who came without the manual.

use hyper::StatusCode;
use serde::Serialize;

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
    parameters: &'static [&'static str],
    summary: &'static str,
}

/// The route, for a server that has these others. What it says never changes.
pub(crate) fn landing<'a>(service: Service, others: impl Iterator<Item = &'a Route>) -> Route {
    let mut endpoints = vec![Endpoint {
        path: PATH,
        methods: READ,
        parameters: &[],
        summary: SUMMARY,
    }];
    endpoints.extend(others.map(|route| Endpoint {
        path: route.path,
        methods: route.allow,
        parameters: route.parameters,
        summary: route.summary,
    }));
    Route::get(PATH, SUMMARY, move |_call| {
        let landing = Landing {
            service: &service.name,
            version: &service.version,
            endpoints: &endpoints,
        };
        Reply::json(StatusCode::OK, &landing)
    })
}
