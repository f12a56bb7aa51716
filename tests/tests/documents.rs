//! The documents held against the checkout: what they name exists.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use polypy_tests::judge::scenarios;
use polypy_tests::{markdown, source, tree};

#[test]
fn relative_links_resolve() {
    let root = tree::root();
    let mut broken = Vec::new();
    for file in tree::markdown_files() {
        for (line, target) in markdown::links(&file.text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let path = if path.is_empty() {
                file.path.clone()
            } else {
                inside(&format!("{}/{path}", file.folder()))
            };
            let full = root.join(&path);
            let found = full.exists()
                && (anchor.is_empty()
                    || markdown::anchors(&tree::read(&path))
                        .iter()
                        .any(|a| a == anchor));
            if !found {
                broken.push(format!("{}:{line}: {target}", file.path));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

/// An example whose parts contradict each other is the answer of no server.
#[test]
fn moments_in_examples_are_the_same_in_both_forms() {
    fn look(value: &serde_json::Value, at: &str, wrong: &mut Vec<String>, seen: &mut usize) {
        let Some(object) = value.as_object() else {
            let items = value.as_array().into_iter().flatten();
            return items.for_each(|one| look(one, at, wrong, seen));
        };
        for (name, value) in object {
            look(value, at, wrong, seen);
            let text = name.strip_suffix("_ms").and_then(|name| object.get(name));
            let text = text.and_then(serde_json::Value::as_str);
            let Some((text, millis)) = text.zip(value.as_u64()) else {
                continue;
            };
            *seen += 1;
            let moment = polypy_core::Timestamp::from_millis(millis).to_string();
            if moment != text {
                wrong.push(format!("{at}: {name} {millis} is {moment}, not {text}"));
            }
        }
    }
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for file in tree::markdown_files() {
        for block in file.text.split("```json\n").skip(1) {
            let code = block.split("```").next().unwrap_or_default();
            if let Ok(example) = serde_json::from_str(code) {
                look(&example, &file.path, &mut wrong, &mut seen);
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(seen > 10, "{seen} moments");
}

#[test]
fn documented_commands_are_in_the_makefile() {
    let makefile = tree::read("Makefile");
    let targets: BTreeSet<_> = makefile
        .lines()
        .filter(|line| !line.starts_with(['\t', '#', '.', ' ']))
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name)
        .collect();
    for document in ["README.md", "CONTRIBUTING.md"] {
        let text = tree::read(document);
        let named: BTreeSet<_> = markdown::code(&text)
            .into_iter()
            .filter_map(|line| line.trim().strip_prefix("make "))
            .filter_map(|rest| rest.split_whitespace().next())
            .filter(|word| !word.starts_with('#'))
            .collect();
        assert!(
            named.contains("test"),
            "{document} does not show the test command"
        );
        for target in named {
            assert!(targets.contains(target), "{document}: make {target}");
        }
    }
}

#[test]
fn ci_runs_what_the_readme_says() {
    let script = tree::read(".ci/run");
    let last = script.lines().rfind(|line| !line.trim().is_empty());
    assert_eq!(last, Some("exec make test"));
    let readme = tree::read("README.md");
    for command in ["make demo", "make test"] {
        let shown = markdown::code(&readme).iter().any(|line| {
            line.split('#')
                .next()
                .is_some_and(|code| code.trim() == command)
        });
        assert!(shown, "README.md does not show {command}");
    }
}

#[test]
fn the_readme_has_every_crate() {
    let manifest = tree::read("Cargo.toml");
    let members = manifest.split("members = [").nth(1).expect("a workspace");
    let members = members.split(']').next().expect("the end of the list");
    let readme = tree::read("README.md");
    let crates = markdown::section(&readme, "Crates").expect("the section");
    for member in members.split('"').skip(1).step_by(2) {
        let is_there = crates
            .iter()
            .any(|line| line.contains(&format!("]({member})")));
        assert!(is_there || member == "benches", "README.md has no {member}");
    }
}

#[test]
fn every_invariant_and_every_promise_names_tests_that_exist() {
    let tests = source::test_names(&tree::rust_files());
    for (document, heading) in [
        ("docs/architecture.md", "Invariants"),
        ("docs/reliability.md", "What is promised"),
    ] {
        let text = tree::read(document);
        let section = markdown::section(&text, heading).expect("the section");
        let mut named = Vec::new();
        for cells in section
            .iter()
            .filter_map(|line| markdown::cells(line))
            .skip(1)
        {
            let mut guards = markdown::quoted(cells[cells.len() - 1]);
            guards.retain(|guard| *guard != "make attack");
            assert!(!guards.is_empty(), "no test guards: {}", cells[0]);
            named.extend(guards);
        }
        assert!(named.len() >= 10, "the table of {document} is found");
        named.retain(|name| !tests.contains(*name));
        assert_eq!(named, Vec::<&str>::new(), "named, and no such test");
    }
}

#[test]
fn every_known_failure_is_guarded_or_impossible() {
    let tests = source::test_names(&tree::rust_files());
    let document = tree::read("docs/defects.md");
    let rows: Vec<_> = document
        .lines()
        .filter_map(markdown::cells)
        .skip(1)
        .collect();
    let mut letters = String::new();
    for cells in &rows {
        letters.push_str(cells[0]);
        let guard = cells[cells.len() - 1];
        let names = markdown::quoted(guard);
        let impossible = guard.starts_with("Cannot occur: ");
        assert!(
            impossible || !names.is_empty(),
            "({}) has no guard",
            cells[0]
        );
        if !impossible {
            for name in names {
                assert!(
                    tests.contains(name),
                    "({}) names {name}, no such test",
                    cells[0]
                );
            }
        }
    }
    assert_eq!(letters, "abcdefghijklmnopqrstu");
}

#[test]
fn decisions_are_numbered_listed_and_shaped_alike() {
    let index = tree::read("docs/decisions/README.md");
    let records: Vec<_> = tree::markdown_files()
        .into_iter()
        .filter(|file| file.folder() == "docs/decisions" && file.name() != "README.md")
        .collect();
    assert!(!records.is_empty());
    for (at, file) in records.iter().enumerate() {
        let number = format!("{:04}-", at + 1);
        assert!(
            file.name().starts_with(&number),
            "{} is not {number}",
            file.path
        );
        assert!(
            index.contains(&format!("({})", file.name())),
            "{} is not listed",
            file.path
        );
        for heading in ["Context", "Decision", "Consequences"] {
            let found = markdown::section(&file.text, heading);
            assert!(found.is_some(), "{} has no section {heading}", file.path);
        }
    }
}

#[test]
fn the_changelog_says_what_is_unreleased() {
    let text = tree::read("CHANGELOG.md");
    let section = markdown::section(&text, "[Unreleased]").expect("a section on what is to come");
    assert!(
        section.iter().any(|line| line.starts_with("- ")),
        "it is empty"
    );
}

/// A relative path without `.` and `..`; one that leaves the checkout stays broken.
fn inside(path: &str) -> String {
    let mut plain = PathBuf::new();
    for part in Path::new(path.trim_start_matches('/')).components() {
        match part {
            Component::ParentDir => {
                if !plain.pop() {
                    return "outside-the-checkout".to_owned();
                }
            }
            Component::Normal(name) => plain.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    plain.to_string_lossy().into_owned()
}

#[test]
fn the_table_of_faults_has_a_row_for_each_and_no_book_wrong_after_evidence() {
    let document = tree::read("docs/integrity.md");
    let section = markdown::section(&document, "Measured").expect("the measurements");
    let rows: Vec<_> = section
        .iter()
        .filter_map(|line| markdown::cells(line))
        .filter(|cells| cells.len() == 8 && cells[1].parse::<u64>().is_ok())
        .collect();
    let names: BTreeSet<_> = rows.iter().map(|cells| cells[0].to_owned()).collect();
    let mut expected: BTreeSet<_> = scenarios()
        .iter()
        .map(|scenario| scenario.name.to_owned())
        .collect();
    expected.insert("clean".to_owned());
    assert_eq!(names, expected, "left: the table, right: the scenarios");
    for cells in rows {
        assert_eq!((cells[2], cells[6]), ("0", "0"), "{}", cells[0]);
    }
}
