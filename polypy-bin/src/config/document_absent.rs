//! What stands in for configuration files in a build that reads none.

use std::path::Path;

use super::layer::Layer;
use super::mistake::{Mistake, Source};

/// One mistake: whoever wrote the file wants it read.
pub(super) fn from_toml(_text: &str, path: &Path) -> Layer {
    let reason = "this build reads no configuration files: build it with the feature file, or set \
                  keys in the environment";
    let path = path.to_owned();
    Layer {
        mistakes: vec![Mistake::new("file", reason, &Source::WholeFile { path })],
        ..Layer::default()
    }
}
