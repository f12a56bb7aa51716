//! `docs/http-api.md` against the routes of the doors.

use std::sync::Arc;

use super::common::{Books, Catalogue, Program, config};
use super::hub::Hub;
use crate::door::Doors;

const MANUAL: &str = include_str!("../../../../docs/http-api.md");

#[tokio::test]
async fn the_manual_has_a_section_for_each_route_and_a_line_in_its_list() {
    let doors = Doors::new(&config(), Arc::new(Books::default()));
    let doors = doors
        .with_streams(Hub::start().streams())
        .with_reads(Arc::new(Catalogue::new()), Arc::new(Program));
    let routes = doors.routes();
    let headings: Vec<&str> = MANUAL
        .lines()
        .filter_map(|line| line.strip_prefix("### GET "))
        .filter(|path| path.starts_with("/v1/") || path.starts_with("/ws/"))
        .collect();
    let paths: Vec<&str> = routes.iter().map(|route| route.path()).collect();
    assert_eq!(headings, paths);
    for path in paths {
        assert!(
            MANUAL.contains(&format!("\n| [`GET {path}`](#get-")),
            "{path}"
        );
    }
}
