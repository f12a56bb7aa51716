//! `GET /version`: what runs, and what it was built by.

use hyper::StatusCode;

use crate::describe::Answer;
use crate::reply::{Reply, Service};
use crate::route::Route;

pub(crate) const PATH: &str = "/version";

/// The route. What it says never changes.
pub(crate) fn version(service: Service) -> Route {
    Route::get(PATH, "what runs, and what built it", move |_call| {
        let about = [("name", &service.name), ("version", &service.version)];
        let details = service.details.iter().map(|(field, value)| (*field, value));
        let fields: serde_json::Map<_, _> = about
            .into_iter()
            .chain(details)
            .map(|(field, value)| (field.to_owned(), value.as_str().into()))
            .collect();
        Reply::json(StatusCode::OK, &fields)
    })
    .answers(const { &[Answer::json("version", "the build")] })
}
