//! `GET /`: what is served here, for a person who came without the manual.

use hyper::StatusCode;
use serde::Serialize;

use crate::reply::Reply;
use crate::route::{Call, ROUTES};
use crate::sources::Sources;

#[derive(Serialize)]
struct Landing {
    service: &'static str,
    version: &'static str,
    endpoints: Vec<Endpoint>,
}

#[derive(Serialize)]
struct Endpoint {
    path: &'static str,
    methods: &'static str,
    parameters: &'static [&'static str],
    summary: &'static str,
}

pub(crate) fn get(_sources: &Sources, _call: &Call) -> Reply {
    let landing = Landing {
        service: "polypy",
        version: env!("CARGO_PKG_VERSION"),
        endpoints: ROUTES
            .iter()
            .map(|route| Endpoint {
                path: route.path,
                methods: route.allow,
                parameters: route.parameters,
                summary: route.summary,
            })
            .collect(),
    };
    Reply::json(StatusCode::OK, &landing)
}
