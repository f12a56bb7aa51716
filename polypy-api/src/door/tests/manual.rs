//! `docs/http-api.md` against the routes of the doors.

use std::sync::Arc;

use polypy_http::manual_mistakes;

use super::common::{Books, Catalogue, Listed, Program, config};
use super::hub::Hub;
use super::own::failures;
use crate::cursor::Instance;
use crate::door::Doors;

const MANUAL: &str = include_str!("../../../../docs/http-api.md");

#[tokio::test]
async fn the_manual_has_a_section_for_each_route_and_a_line_in_its_list() {
    let doors = Doors::new(&config(), Arc::new(Books::default()));
    let doors = doors
        .with_streams(Hub::start().streams())
        .with_reads(
            Arc::new(Catalogue::new()),
            Arc::new(Listed::default()),
            Arc::new(Program),
            Instance::random(),
        )
        .with_samples(Arc::default(), Arc::new(Program))
        .with_failures(failures());
    let routes = doors.routes();
    let headings: Vec<&str> = MANUAL
        .lines()
        .filter_map(|line| line.strip_prefix("### GET "))
        .filter(|path| path.starts_with("/v1/") || path.starts_with("/ws/"))
        // The program's own: it knows of the layers.
        .filter(|path| *path != "/v1/selection")
        .collect();
    let paths: Vec<&str> = routes.iter().map(|route| route.path()).collect();
    assert_eq!(headings, paths);
    for path in paths {
        assert!(
            MANUAL.contains(&format!("\n| [`GET {path}`](#get-")),
            "{path}"
        );
    }
    for route in routes.iter().map(|route| route.description()) {
        let mistakes = manual_mistakes(MANUAL, route.path, route.parameters);
        assert_eq!(mistakes, Vec::<String>::new());
    }
}
