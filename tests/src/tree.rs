//! The checkout as a set of text files.
//!
//! Paths are relative to the checkout's root and use `/`. Build output, the
//! version control folder and other hidden folders are not looked into,
//! `.ci` excepted.

use std::fs;
use std::path::{Path, PathBuf};

use crate::source;

/// The checkout's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies one folder below the root")
        .to_path_buf()
}

/// One text file.
#[derive(Debug, Clone)]
pub struct File {
    /// Relative to the root, with `/`.
    pub path: String,
    /// All of it.
    pub text: String,
    /// Whether it is a module that exists in unit tests only; found by
    /// [`rust_files`].
    pub unit_test: bool,
}

impl File {
    /// The folder it lies in, relative to the root; empty for the root itself.
    pub fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// Its name without folders.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Whether it is test code as a whole: of a test crate, a unit-test module
    /// in a file of its own, or of the benchmarks.
    pub fn is_test_code(&self) -> bool {
        self.unit_test
            || self.path.starts_with("tests/")
            || self.path.starts_with("benches/")
            || self.path.contains("/tests/")
    }
}

/// Every file whose name satisfies `wanted`, sorted by path.
pub fn files(wanted: impl Fn(&str) -> bool) -> Vec<File> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the checkout can be listed") {
            let path = entry.expect("its entries can be read").path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .expect("names in the checkout are UTF-8");
            if path.is_dir() {
                let skipped = name == "target" || (name.starts_with('.') && name != ".ci");
                if !skipped {
                    folders.push(path);
                }
            } else if name != ".git" && wanted(name) {
                // (In a linked worktree `.git` is a file.)
                let relative = path.strip_prefix(&root).expect("found below the root");
                let bytes = fs::read(&path).expect("a file of the checkout can be read");
                found.push(File {
                    path: relative.to_string_lossy().replace('\\', "/"),
                    text: String::from_utf8_lossy(&bytes).into_owned(),
                    unit_test: false,
                });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Every Rust file.
pub fn rust_files() -> Vec<File> {
    let mut files = files(|name| name.ends_with(".rs"));
    let unit_tests: Vec<_> = files.iter().flat_map(source::test_modules).collect();
    for file in &mut files {
        file.unit_test = unit_tests.iter().any(|module| {
            // The module's file, or one in the module's folder.
            let rest = file.path.strip_prefix(module.as_str());
            rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        });
    }
    files
}

/// Every Markdown file.
pub fn markdown_files() -> Vec<File> {
    files(|name| name.ends_with(".md"))
}

/// One file that must be there.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| missing(path, &error))
}

#[expect(clippy::panic, reason = "called by tests, whose way to fail this is")]
fn missing(path: &str, error: &std::io::Error) -> ! {
    panic!("{path} cannot be read: {error}")
}
