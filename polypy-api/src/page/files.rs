//! The table of the page's files: one line each. A test holds it against the folder.

/// The page itself, in which `{build}` stands for the name of its build.
pub(super) const INDEX: &str = include_str!("../../page/index.html");
/// What draws the charts, unchanged as its makers publish it.
pub(super) const UPLOT: &str = "vendor/uplot.js";

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../page/", $name)))),*]
    };
}

/// Name and bytes of each file but the page itself.
pub(super) const FILES: &[(&str, &[u8])] = files![
    "icon.svg",
    "main.js",
    "page.css",
    "runbook.txt",
    "book/book.js",
    "book/grid.js",
    "book/history.js",
    "book/truth.js",
    "core/connections.js",
    "core/dom.js",
    "core/format.js",
    "core/sample.js",
    "core/state.js",
    "core/theme.js",
    "core/widgets.js",
    "draw/canvas.js",
    "draw/chart.js",
    "draw/heatmap.js",
    "draw/ladder.js",
    "link/clock.js",
    "link/first.js",
    "link/link.js",
    "link/reads.js",
    "link/stream.js",
    "list/list.js",
    "list/pages.js",
    "views/busiest.js",
    "views/charts.js",
    "views/demo.js",
    "views/dialogs.js",
    "views/heat.js",
    "views/ladder.js",
    "views/market.js",
    "views/markets.js",
    "views/overview.js",
    "views/parts.js",
    "vendor/uplot-license.txt",
    "vendor/uplot.css",
    "vendor/uplot.js",
];
