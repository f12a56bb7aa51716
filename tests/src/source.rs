//! Finds things in Rust text, line by line.
//!
//! No parser: our own code is formatted by rustfmt, so that an attribute
//! stands on a line of its own. Each search errs towards finding too much.

use std::collections::BTreeSet;

use crate::tree::File;

/// What marks an item as existing in tests only.
const TEST_ONLY: &str = "#[cfg(test)]";

/// A file's lines with their numbers from one, without comments and without
/// items that exist in tests only. Empty for a file that is test code as a whole.
pub fn product_lines(file: &File) -> Vec<(usize, &str)> {
    if file.is_test_code() {
        return Vec::new();
    }
    let mut kept = Vec::new();
    let mut lines = file.text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if line.trim() == TEST_ONLY {
            let indent = indentation(line);
            let more = lines.by_ref().map(|(_, line)| line);
            skip_item(more, indent);
        } else if !line.trim_start().starts_with("//") {
            kept.push((at + 1, line));
        }
    }
    kept
}

/// The modules that `file` declares for unit tests, as paths without `.rs`.
pub fn test_modules(file: &File) -> Vec<String> {
    let folder = match file.name() {
        "lib.rs" | "main.rs" | "mod.rs" => file.folder().to_owned(),
        _ => file.path.trim_end_matches(".rs").to_owned(),
    };
    let mut found = Vec::new();
    let mut lines = file.text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line != TEST_ONLY {
            continue;
        }
        let mut named = None;
        for line in lines.by_ref() {
            if let Some(path) = line.strip_prefix("#[path = \"") {
                let path = path.trim_end_matches("\"]").trim_end_matches(".rs");
                named = Some(format!("{}/{path}", file.folder()));
            } else if !line.starts_with("#[") {
                let module = line
                    .split_once("mod ")
                    .and_then(|(_, rest)| rest.strip_suffix(';'))
                    .map(|name| format!("{folder}/{name}"));
                found.extend(module.map(|module| named.take().unwrap_or(module)));
                break;
            }
        }
    }
    found
}

/// The names of all test functions: those that follow `#[test]` or
/// `#[tokio::test]`, also inside `proptest!`.
pub fn test_names(files: &[File]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in files {
        let mut marked = false;
        for line in file.text.lines().map(str::trim_start) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                marked = true;
            } else if marked && let Some(name) = function_name(line) {
                names.insert(name.to_owned());
                marked = false;
            }
        }
    }
    names
}

/// The statements that start a task or a thread and let go of it at once.
pub fn detached_spawns(file: &File) -> Vec<usize> {
    const SPAWNS: [&str; 4] = [
        "tokio::spawn(",
        "tokio::task::spawn_blocking(",
        "std::thread::spawn(",
        "thread::spawn(",
    ];
    let (text, starts) = product_text(file);
    let mut found = BTreeSet::new();
    for spawn in SPAWNS {
        for (at, _) in text.match_indices(spawn) {
            let before = text[..at].trim_end();
            let opens_statement = before.is_empty() || before.ends_with([';', '{', '}']);
            let after = closing(&text[at..]).map_or("", |end| &text[at + end..]);
            if opens_statement && after.trim_start().starts_with(';') {
                found.extend(line_of(&starts, at));
            }
        }
    }
    found.into_iter().collect()
}

/// The lines at which a call of the log begins that writes a field, or a part of its
/// text, as Rust's `Debug` does: for whoever reads the source, not the log.
pub fn debug_text_in_logs(file: &File) -> Vec<usize> {
    const CALLS: [&str; 6] = [
        "trace!(", "debug!(", "info!(", "warn!(", "error!(", "event!(",
    ];
    let (text, starts) = product_text(file);
    let mut found = BTreeSet::new();
    for call in CALLS {
        for (at, _) in text.match_indices(call) {
            let is_whole_name = !text[..at].ends_with(|c: char| c == '_' || c.is_alphanumeric());
            let opened = at + call.len() - 1;
            let arguments = closing(&text[opened..]).map_or("", |end| &text[opened..opened + end]);
            if is_whole_name && writes_debug(arguments) {
                found.extend(line_of(&starts, at));
            }
        }
    }
    found.into_iter().collect()
}

/// Whether a call's arguments hold `?value`, `name = ?value`, `{:?}` or `debug(value)`.
fn writes_debug(arguments: &str) -> bool {
    let captures = arguments.match_indices('?').any(|(at, _)| {
        let before = arguments[..at].trim_end();
        before.ends_with(['(', ',', '='])
    });
    captures
        || arguments.contains(":?}")
        || arguments.contains(":#?}")
        || arguments.contains("field::debug(")
}

/// Product lines as one text, and where in it each of them begins.
fn product_text(file: &File) -> (String, Vec<(usize, usize)>) {
    let mut text = String::new();
    let mut starts = Vec::new();
    for (number, line) in product_lines(file) {
        starts.push((text.len(), number));
        text.push_str(line);
        text.push('\n');
    }
    (text, starts)
}

/// The number of the line that holds the byte at `at`.
fn line_of(starts: &[(usize, usize)], at: usize) -> Option<usize> {
    let line = starts.iter().rev().find(|(start, _)| *start <= at);
    line.map(|(_, number)| *number)
}

/// Whether `text` names something of a crate: its name as a whole word before `::`.
pub fn uses_crate(text: &str, crate_name: &str) -> bool {
    text.match_indices(crate_name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let is_word = before.is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '_' | ':')));
        is_word && text[at + crate_name.len()..].starts_with("::")
    })
}

/// Consumes the item behind an attribute at `indent`, further attributes included.
fn skip_item<'a>(lines: impl Iterator<Item = &'a str>, indent: usize) {
    for line in lines {
        let ends = line.trim_end().ends_with([';', '}', ',']);
        if indentation(line) == indent && ends {
            break;
        }
    }
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The name in `fn name(`, behind any qualifiers.
fn function_name(line: &str) -> Option<&str> {
    let (before, rest) = line.split_once("fn ")?;
    let qualifiers_only = before
        .split_whitespace()
        .all(|word| word == "async" || word.starts_with("pub"));
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'))?;
    (qualifiers_only && end > 0).then(|| &rest[..end])
}

/// Where the text behind the parenthesis that `text` opens first begins.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File {
            path: "polypy-net/src/sample.rs".to_owned(),
            text: text.to_owned(),
            unit_test: false,
        }
    }

    #[test]
    fn tests_are_found_by_their_attribute() {
        let sample = file(
            "fn plain() {}\n#[test]\n#[cfg(unix)]\nfn one() {}\n\
             #[tokio::test(start_paused = true)]\nasync fn two() {}\n\
             // #[test] in a comment\nfn three() {}\n",
        );
        let names: Vec<_> = test_names(&[sample]).into_iter().collect();
        assert_eq!(names, ["one", "two"]);
    }

    #[test]
    fn items_of_tests_are_left_out_and_nothing_behind_them() {
        let sample = file(
            "a\n#[cfg(test)]\npub(crate) mod fake;\n// b\nc {\n    #[cfg(test)]\n    d: u8,\n\
             \x20   e\n}\n#[cfg(test)]\n#[path = \"x_tests.rs\"]\nmod tests {\n    f;\n}\ng\n",
        );
        let kept: Vec<_> = product_lines(&sample);
        assert_eq!(
            kept,
            [(1, "a"), (5, "c {"), (8, "    e"), (9, "}"), (15, "g")]
        );
    }

    #[test]
    fn modules_of_tests_are_found_where_they_are_declared() {
        let text = "#[cfg(test)]\nmod fake;\nmod real;\n\
                    #[cfg(test)]\n#[path = \"x_tests.rs\"]\nmod tests;\n\
                    #[cfg(test)]\nmod inline {\n}\n";
        let mut sample = file(text);
        assert_eq!(
            test_modules(&sample),
            ["polypy-net/src/sample/fake", "polypy-net/src/x_tests"]
        );
        sample.path = "polypy-net/src/rest/mod.rs".to_owned();
        let found = test_modules(&sample);
        assert_eq!(
            found,
            ["polypy-net/src/rest/fake", "polypy-net/src/rest/x_tests"]
        );
    }

    #[test]
    fn debug_text_is_found_in_calls_of_the_log_alone() {
        let cases = [
            ("fn a() {\n    tracing::info!(?reason, \"b\");\n}\n", 1),
            (
                "fn a() {\n    warn!(\n        a = 1,\n        state = ?*state,\n        \"b\"\n    );\n}\n",
                1,
            ),
            ("fn a() {\n    debug!(\"{error:?}\");\n}\n", 1),
            (
                "fn a() {\n    debug!(a = %b, c = d.e()?, \"f?, g\");\n}\n",
                0,
            ),
            (
                "fn a() {\n    let b = format!(\"{c:?}\");\n    println!(\"{c:?}\");\n}\n",
                0,
            ),
            ("#[cfg(test)]\nmod tests {\n    info!(?a);\n}\n", 0),
        ];
        for (text, expected) in cases {
            assert_eq!(debug_text_in_logs(&file(text)).len(), expected, "{text}");
        }
    }

    #[test]
    fn a_crate_is_used_where_something_of_it_is_named() {
        for (text, expected) in [
            ("use serde::Serialize;", true),
            ("#[derive(thiserror::Error)]", false),
            ("#[serde::test]", true),
            ("use serde_json::Value;", false),
            ("use crate::serde::Own;", false),
            ("let serde = 1;", false),
            ("    a(serde::de::x)", true),
        ] {
            assert_eq!(uses_crate(text, "serde"), expected, "{text}");
        }
    }

    #[test]
    fn a_spawn_is_detached_when_nothing_takes_its_handle() {
        let cases = [
            ("fn a() {\n    tokio::spawn(work());\n}\n", 1),
            ("fn a() {\n    tokio::spawn(async move { go(1) });\n}\n", 1),
            ("fn a() {\n    let task = tokio::spawn(work());\n}\n", 0),
            (
                "fn a() {\n    let task =\n        tokio::spawn(work());\n}\n",
                0,
            ),
            ("fn a() -> J {\n    tokio::spawn(work())\n}\n", 0),
            ("fn a() {\n    tasks.push(tokio::spawn(work()));\n}\n", 0),
            (
                "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {\n tokio::spawn(x());\n }\n}\n",
                0,
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(detached_spawns(&file(text)).len(), expected, "{text}");
        }
    }
}
