//! The project's rules about its own source, held against the checkout.
//!
//! The crate arrows are read from `docs/architecture.md`, section "Crates", so
//! that the picture people look at is the one that is enforced.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use polypy_tests::{markdown, ownership, source, tree};
use serde_json::Value;

/// Crates in which a type's fields are touched in the file that declares it: there a
/// file holds one idea, whatever its length.
const OWNING_CRATES: [&str; 2] = ["polypy-core", "polypy-workers"];
/// In the others, past this a file holds two ideas.
const LONGEST_FILE: usize = 600;

/// Crate to the crates of ours it may name.
type Arrows = BTreeMap<String, BTreeSet<String>>;

/// What cargo knows of the workspace's packages.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--locked"])
        .current_dir(tree::root())
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {errors}");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    packages.clone()
}

/// A package's name, and the dependencies that its manifest states, of every kind.
fn dependencies(package: &Value) -> (String, Vec<&Value>) {
    let name = package["name"].as_str().expect("packages have names");
    let stated = package["dependencies"].as_array().expect("a list");
    (name.to_owned(), stated.iter().collect())
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field]
        .as_str()
        .expect("a text field of cargo metadata")
}

/// The arrows drawn: lines `crate ──► crate, crate` of the first code block.
fn drawn() -> Arrows {
    let document = tree::read("docs/architecture.md");
    let section = markdown::section(&document, "Crates").expect("a section on crates");
    section
        .iter()
        .filter_map(|line| line.split_once("──►"))
        .map(|(from, to)| {
            let to = to.split(',').map(|name| name.trim().to_owned()).collect();
            (from.trim().to_owned(), to)
        })
        .collect()
}

#[test]
fn crates_depend_on_each_other_as_drawn() {
    let packages = packages();
    let ours: BTreeSet<_> = packages
        .iter()
        .map(|package| text(package, "name"))
        .collect();
    let mut found = Arrows::new();
    for package in &packages {
        let (name, stated) = dependencies(package);
        let inside: BTreeSet<_> = stated
            .iter()
            .map(|dependency| text(dependency, "name"))
            .filter(|name| ours.contains(name))
            .map(str::to_owned)
            .collect();
        if !inside.is_empty() {
            found.insert(name, inside);
        }
    }
    assert_eq!(
        found,
        drawn(),
        "left: cargo metadata, right: docs/architecture.md"
    );
}

#[test]
fn every_dependency_is_explained() {
    let mut used = BTreeSet::new();
    for package in &packages() {
        let (_, stated) = dependencies(package);
        // A dependency with a path is a crate of ours.
        let external = stated
            .iter()
            .filter(|dependency| dependency["path"].is_null());
        used.extend(external.map(|dependency| text(dependency, "name").to_owned()));
    }
    let document = tree::read("docs/dependencies.md");
    let section = markdown::section(&document, "Direct dependencies").expect("the list");
    let explained: BTreeSet<_> = section
        .iter()
        .filter_map(|line| markdown::cells(line))
        .filter_map(|cells| {
            markdown::quoted(cells[0])
                .first()
                .map(|name| (*name).to_owned())
        })
        .collect();
    assert_eq!(
        used, explained,
        "left: manifests, right: docs/dependencies.md"
    );
}

#[test]
fn every_declared_dependency_is_used() {
    let files = tree::rust_files();
    let mut idle = Vec::new();
    let mut declared_somewhere = BTreeSet::new();
    for package in &packages() {
        let (name, stated) = dependencies(package);
        let manifest = text(package, "manifest_path");
        let folder = Path::new(manifest).parent().expect("it lies in a folder");
        let folder = folder.strip_prefix(tree::root()).expect("a crate of ours");
        let own = |file: &&tree::File| Path::new(&file.path).starts_with(folder);
        let own: Vec<_> = files.iter().filter(own).collect();
        assert!(!own.is_empty(), "the sources of {name} are found");
        let twice = |dependency: &str| {
            let names = stated.iter().map(|stated| text(stated, "name"));
            names.filter(|name| *name == dependency).count() == 2
        };
        for stated in &stated {
            let dependency = text(stated, "name");
            declared_somewhere.insert(dependency.to_owned());
            let crate_name = stated["rename"].as_str().unwrap_or(dependency);
            let crate_name = crate_name.replace('-', "_");
            let for_tests = stated["kind"] == "dev";
            // Stated a second time, it adds features for tests.
            if for_tests && twice(dependency) {
                continue;
            }
            let used = own.iter().any(|file| {
                // What only tests use is a dependency of tests.
                if for_tests || file.is_test_code() && is_for_tests(&name) {
                    return source::uses_crate(&file.text, &crate_name);
                }
                let lines = source::product_lines(file);
                lines
                    .iter()
                    .any(|(_, line)| source::uses_crate(line, &crate_name))
            });
            if !used {
                idle.push(format!("{name}: {dependency}"));
            }
        }
    }
    assert_eq!(
        idle,
        Vec::<String>::new(),
        "declared in the manifest of a crate and used in none of its sources"
    );

    let manifest = tree::read("Cargo.toml");
    let declared = table(&manifest, "[workspace.dependencies]");
    assert!(!declared.is_empty(), "the table of dependencies is found");
    let idle: Vec<_> = declared
        .iter()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim())
        .filter(|name| !declared_somewhere.contains(*name))
        .collect();
    assert_eq!(
        idle,
        Vec::<&str>::new(),
        "declared in Cargo.toml and used by no crate"
    );
}

/// Whether a crate is test code as a whole.
fn is_for_tests(package: &str) -> bool {
    ["polypy-tests", "polypy-benches"].contains(&package)
}

/// Package to features, of everything that a command compiles for the target.
type Features = BTreeMap<String, String>;

/// What cargo would compile for these arguments of `cargo tree`.
fn features(arguments: &[&str]) -> Features {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree", "--locked", "--prefix", "none", "--format", "{p}|{f}",
        ])
        .args(arguments)
        .current_dir(tree::root())
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "cargo tree {arguments:?}: {errors}"
    );
    let lines = String::from_utf8(output.stdout).expect("cargo prints text");
    let packages = lines
        .lines()
        // A line without bar names a feature, or a kind of dependency.
        .filter_map(|line| line.split_once('|'))
        .map(|(package, features)| {
            let features = features.trim_end_matches("(*)").trim();
            (package.to_owned(), features.to_owned())
        });
    packages.collect()
}

/// The first cargo command of a target in the Makefile, as arguments of `cargo tree`.
fn build_of<'a>(makefile: &'a str, target: &str) -> Vec<&'a str> {
    let head = format!("{target}:");
    let recipe = makefile
        .lines()
        .skip_while(|line| !line.starts_with(&head))
        .skip(1)
        .take_while(|line| line.starts_with('\t'))
        .find_map(|line| line.trim().strip_prefix("$(CARGO) "))
        .expect("the target runs cargo");
    let mut words = recipe.split_whitespace();
    let edges = match words.next() {
        Some("run" | "build") => "normal,build",
        Some("test") => "normal,build,dev",
        other => unreachable!("make {target} is cargo {other:?}"),
    };
    let selection = words
        .take_while(|word| *word != "--")
        .filter(|word| *word != "--locked");
    selection.chain(["--edges", edges]).collect()
}

/// Cargo compiles a package again for every set of features it is asked for with.
#[test]
fn trying_it_out_and_testing_share_one_build() {
    let makefile = tree::read("Makefile");
    let demo = features(&build_of(&makefile, "demo"));
    assert!(demo.keys().any(|package| package.starts_with("tokio v")));
    for target in ["sim", "unit", "e2e"] {
        let other = features(&build_of(&makefile, target));
        let shared: Vec<_> = demo
            .iter()
            .filter_map(|(package, features)| Some((package, features, other.get(package)?)))
            .collect();
        assert!(shared.len() > 50, "make {target} shares hardly anything");
        let apart: Vec<_> = shared
            .into_iter()
            .filter(|(_, features, others)| features != others)
            .collect();
        assert_eq!(
            apart,
            [],
            "package, its features in make demo, in make {target}"
        );
    }
}

#[test]
fn a_release_has_nothing_that_only_tests_need() {
    let release = features(&["--package", "polypy", "--edges", "normal,build"]);
    let tokio = release
        .iter()
        .find(|(package, _)| package.starts_with("tokio v"));
    let (_, features) = tokio.expect("the program has tokio");
    let features: Vec<_> = features.split(',').collect();
    assert!(features.contains(&"rt-multi-thread"), "{features:?}");
    assert!(!features.contains(&"test-util"), "{features:?}");
}

#[test]
fn every_crate_inherits_what_the_workspace_states_once() {
    for package in &packages() {
        let manifest = text(package, "manifest_path");
        let manifest = std::fs::read_to_string(manifest).expect("a manifest");
        let name = text(package, "name");
        assert_eq!(
            table(&manifest, "[lints]"),
            ["workspace = true"],
            "lints of {name}"
        );
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            let inherited = format!("{key}.workspace = true");
            assert!(
                manifest.contains(&inherited),
                "{name} does not say {inherited}"
            );
        }
        for head in [
            "[dependencies]",
            "[dev-dependencies]",
            "[build-dependencies]",
        ] {
            for line in table(&manifest, head) {
                assert!(
                    line.contains("workspace = true"),
                    "{name}: {line}: declare it once"
                );
            }
        }
    }
}

#[test]
fn the_toolchain_is_the_stated_minimum() {
    let manifest = tree::read("Cargo.toml");
    let toolchain = tree::read("rust-toolchain.toml");
    let value = |text: &str, key: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with(key))
            .expect("the key is there");
        line.split('"').nth(1).expect("a quoted value").to_owned()
    };
    let (stated, pinned) = (
        value(&manifest, "rust-version"),
        value(&toolchain, "channel"),
    );
    assert!(
        pinned.starts_with(&stated),
        "{pinned} is pinned, {stated} is stated"
    );
}

#[test]
fn every_source_file_says_what_it_is() {
    let undocumented: Vec<_> = tree::rust_files()
        .into_iter()
        // A unit-test module belongs to the file that names it.
        .filter(|file| !file.unit_test)
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| file.path)
        .collect();
    assert_eq!(
        undocumented,
        Vec::<String>::new(),
        "the first line is not a module doc"
    );
}

#[test]
fn no_file_holds_two_ideas() {
    let long: Vec<_> = tree::rust_files()
        .into_iter()
        // Tests of one idea may be as many as there are.
        .filter(|file| !file.unit_test)
        .filter(|file| !OWNING_CRATES.iter().any(|owning| is_in(file, owning)))
        .map(|file| (file.text.lines().count(), file.path))
        .filter(|(lines, _)| *lines > LONGEST_FILE)
        .collect();
    assert_eq!(long, Vec::new(), "longer than {LONGEST_FILE} lines");
}

#[test]
fn a_types_fields_are_touched_in_the_file_that_declares_it() {
    let files = tree::rust_files();
    let mut found = Vec::new();
    for owning in OWNING_CRATES {
        let its: Vec<_> = files
            .iter()
            .filter(|file| is_in(file, owning))
            .cloned()
            .collect();
        assert!(!its.is_empty(), "{owning} has no sources");
        found.extend(ownership::violations(&its));
    }
    assert_eq!(found, Vec::<String>::new());
}

/// Whether a file is one of a crate's sources.
fn is_in(file: &tree::File, name: &str) -> bool {
    let rest = file.path.strip_prefix(name);
    rest.is_some_and(|rest| rest.starts_with("/src/"))
}

#[test]
fn nothing_names_a_folder_of_one_machine() {
    let here = ["/work/", "/root/", "/home/", "/Users/"];
    let mut found = Vec::new();
    for file in tree::files(|_| true) {
        // This list names them.
        if file.path == "tests/tests/architecture.rs" {
            continue;
        }
        for (at, line) in file.text.lines().enumerate() {
            if here.iter().any(|folder| names_folder(line, folder)) {
                found.push(format!("{}:{}: {line}", file.path, at + 1));
            }
        }
        for (number, line) in source::product_lines(&file) {
            if file.name().ends_with(".rs") && names_folder(line, "/tmp/") {
                found.push(format!("{}:{number}: {line}", file.path));
            }
        }
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_test_that_is_left_out_says_why() {
    let mut found = Vec::new();
    for file in tree::rust_files() {
        for (at, line) in file.text.lines().enumerate() {
            if line.trim() == concat!("#[ig", "nore]") {
                found.push(format!("{}:{}", file.path, at + 1));
            }
        }
    }
    assert_eq!(found, Vec::<String>::new(), "ignored without a reason");
}

#[test]
fn only_the_counting_allocators_are_unsafe() {
    // Named where the lint is lifted; nothing unsafe compiles without that.
    let lint = concat!("unsafe", "_code");
    let lifted: Vec<_> = tree::rust_files()
        .into_iter()
        .filter(|file| file.text.contains(lint))
        .map(|file| file.path)
        .collect();
    let allowed = [
        "benches/tests/allocations.rs",
        "benches/tests/catalogue_memory.rs",
        "polypy-net/tests/allocations.rs",
    ];
    assert_eq!(lifted, allowed);
    assert!(tree::read("Cargo.toml").contains(concat!("unsafe", "_code = \"deny\"")));
}

#[test]
fn no_task_is_detached() {
    let mut found = Vec::new();
    for file in tree::rust_files() {
        for number in source::detached_spawns(&file) {
            found.push(format!("{}:{number}", file.path));
        }
    }
    assert_eq!(
        found,
        Vec::<String>::new(),
        "started, and nobody holds its handle"
    );
}

/// What the log says is for people and their tools: `reason="age"`, and neither
/// `reason=Some(Age)` nor quotes in quotes.
#[test]
fn no_debug_text_is_logged() {
    let mut found = Vec::new();
    for file in tree::rust_files() {
        for number in source::debug_text_in_logs(&file) {
            found.push(format!("{}:{number}", file.path));
        }
    }
    assert_eq!(
        found,
        Vec::<String>::new(),
        "write the value's name, its text, or a number with its unit"
    );
}

#[test]
fn no_queue_is_unbounded() {
    let found = product_lines_with(|_| true, &["unbounded_channel", "mpsc::channel()"]);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn only_the_binary_reads_its_surroundings() {
    // The exchange opens a file, the recording it is told to play; and recordings are
    // files by way of one module, in whose place tests put a disk that fails.
    let surroundings = [
        "env::var",
        "env::args",
        "current_dir(",
        "tokio::signal",
        "signal::",
    ];
    let files = ["std::fs", "tokio::fs", "File::open", "fs::read"];
    let library = |path: &str| !path.starts_with("polypy-bin/");
    let mut found = product_lines_with(library, &surroundings);
    let files_are_theirs =
        |path: &str| path.starts_with("polypy-sim/") || path == "polypy-archive/src/disk.rs";
    let no_files = |path: &str| library(path) && !files_are_theirs(path);
    found.extend(product_lines_with(no_files, &files));
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn the_clock_is_handed_in() {
    // It is read in one file, and the program alone names what reads it.
    let reads = product_lines_with(
        |path| path != "polypy-core/src/time.rs",
        &["SystemTime::now", "UNIX_EPOCH"],
    );
    assert_eq!(reads, Vec::<String>::new(), "reads the wall clock");
    let named = product_lines_with(
        |path| {
            let is_its_home = ["polypy-core/src/time.rs", "polypy-core/src/lib.rs"];
            !path.starts_with("polypy-bin/") && !is_its_home.contains(&path)
        },
        &["SystemClock", "Timestamp::now", "Zoned::now"],
    );
    assert_eq!(
        named,
        Vec::<String>::new(),
        "is to have its clock handed in"
    );
    // Time in asynchronous code is tokio's, which tests can stop.
    let elapsed = product_lines_with(
        |path| path.starts_with("polypy-net/") || path.starts_with("polypy-http/"),
        &["time::Instant", "thread::sleep"],
    );
    let elapsed: Vec<_> = elapsed
        .into_iter()
        .filter(|line| !line.contains("tokio::time::"))
        .collect();
    assert_eq!(
        elapsed,
        Vec::<String>::new(),
        "cannot be tested on stopped time"
    );
}

#[test]
fn core_does_nothing_but_compute() {
    let found = product_lines_with(
        |path| path.starts_with("polypy-core/"),
        &[
            "std::net",
            "tokio",
            "hyper",
            "std::thread",
            "std::io",
            "println",
            "tracing",
        ],
    );
    assert_eq!(found, Vec::<String>::new());
}

/// `path:line: text` of every line of product code that holds one of `words`.
fn product_lines_with(wanted: impl Fn(&str) -> bool, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for file in tree::rust_files() {
        if !wanted(&file.path) || file.path.contains("/examples/") {
            continue;
        }
        for (number, line) in source::product_lines(&file) {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    found
}

/// The entries below a table's head, comments and blank lines left out.
fn table<'a>(manifest: &'a str, head: &str) -> Vec<&'a str> {
    manifest
        .lines()
        .skip_while(|line| line.trim() != head)
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

/// Whether `folder` stands in `line` as the beginning of an absolute path.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| {
            !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '}' | '*'))
        })
    })
}
