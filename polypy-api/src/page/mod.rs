//! The page that is served at `/`: a client of the streams and reads like any other.
//!
//! Its files lie below `page/` as they are served. No build makes them, and they ask nobody
//! but the server that they come from. `docs/page.md` says what it shows.

mod files;

use bytes::Bytes;
use polypy_http::Assets;

use files::{FILES, INDEX, UPLOT};

/// uPlot's small build is no module: this line makes it one.
const EXPORT: &[u8] = b"\nexport default uPlot;\n";

/// The page, for [`polypy_http::HttpServerBuilder::page`].
pub fn assets() -> Assets {
    Assets::new(INDEX, all())
}

/// Name, content type and bytes of each file, as they are served.
fn all() -> impl Iterator<Item = (&'static str, &'static str, Bytes)> {
    FILES.iter().map(|(name, bytes)| {
        let bytes = if *name == UPLOT {
            [bytes, EXPORT].concat().into()
        } else {
            Bytes::from_static(bytes)
        };
        (*name, content_type(name), bytes)
    })
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests;
