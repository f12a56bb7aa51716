use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::*;

/// Bytes of script and style that a browser fetches at most, compressed.
const MOST_PACKED: usize = 110 * 1024;
/// Files that the page may fetch before it shows anything.
const MOST_FILES: usize = 45;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/page"))
}

fn names(folder: &Path, before: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{before}{}", entry.file_name().to_str().unwrap());
        // For tests alone: one says that the scripts are modules, the other what uPlot is.
        if name == "package.json" || name.ends_with(".d.ts") {
            continue;
        }
        if entry.path().is_dir() {
            if name != "test" {
                names(&entry.path(), &format!("{name}/"), found);
            }
        } else {
            found.insert(name);
        }
    }
}

#[test]
fn every_file_of_the_folder_is_served() {
    let mut expected = BTreeSet::new();
    names(folder(), "", &mut expected);
    assert!(expected.remove("index.html"));
    let served: BTreeSet<String> = all().map(|(name, ..)| name.to_owned()).collect();
    assert_eq!(served, expected, "files.rs lists the files of page/");
    assert_eq!(served.len(), FILES.len());
}

#[test]
fn the_page_names_every_script_so_that_all_come_at_once() {
    let named: BTreeSet<&str> = INDEX
        .split("page/{build}/")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    for (name, ..) in all() {
        let is_part = name.ends_with(".js") || name.ends_with(".css");
        assert_eq!(
            named.contains(name),
            is_part || name == "icon.svg",
            "{name} in index.html"
        );
    }
    assert!(named.len() <= MOST_FILES, "{}", named.len());
}

#[test]
fn what_a_browser_fetches_is_small() {
    let mut sizes = BTreeMap::new();
    for (name, _, bytes) in all() {
        if name.ends_with(".js") || name.ends_with(".css") {
            sizes.insert(name, packed(&bytes));
        }
    }
    let sum: usize = sizes.values().sum();
    assert!(sum <= MOST_PACKED, "{sum} bytes: {sizes:?}");
}

fn packed(bytes: &[u8]) -> usize {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap().len()
}

#[test]
fn uplot_is_what_its_makers_publish() {
    let (_, bytes) = FILES.iter().find(|(name, _)| *name == UPLOT).unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let digits: String = digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    // Of `uPlot.iife.min.js` of uplot 1.6.32 at npm.
    let expected = "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f";
    assert_eq!(digits, expected);
    let licence = include_str!("../../page/vendor/uplot-license.txt");
    assert!(licence.contains("The MIT License"), "{licence}");
}

/// What lets the text of others become markup or code, and addresses that break below the
/// path of a proxy.
const REFUSED: &[&str] = &[
    "innerHTML",
    "outerHTML",
    "insertAdjacent",
    "createContextualFragment",
    "DOMParser",
    "setHTML",
    "srcdoc",
    "document.write",
    "eval(",
    "Function(",
    "setAttribute(\"style",
    "javascript:",
    "http://",
    "https://",
    "href=\"/",
    "src=\"/",
    "fetch(\"/",
    "fetch(`/",
    "await import(",
];

#[test]
fn no_script_makes_markup_of_text_or_asks_elsewhere() {
    for (name, bytes) in FILES {
        let is_ours = name.ends_with(".js") && *name != UPLOT;
        if !is_ours {
            continue;
        }
        let text = std::str::from_utf8(bytes).unwrap();
        for refused in REFUSED {
            assert!(!text.contains(refused), "{name} has {refused}");
        }
        let makes = text.contains("createElement");
        assert_eq!(makes, *name == "core/dom.js", "{name} makes elements");
        let lines = text.lines().count();
        assert!(lines <= 500, "{name} has {lines} lines");
    }
    for refused in [
        "<style", " style=", " onclick", "href=\"/", "src=\"/", "http",
    ] {
        assert!(!INDEX.contains(refused), "index.html has {refused}");
    }
}

/// A copy, for the crate has to hold all that it is built of.
#[test]
fn the_runbook_of_the_page_is_that_of_the_documents() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (original, copy) = (
        root.join("../docs/runbook.md"),
        root.join("page/runbook.txt"),
    );
    let runbook = fs::read_to_string(&original).unwrap();
    if std::env::var_os("POLYPY_BLESS").is_some() {
        fs::write(&copy, &runbook).unwrap();
    }
    let is_same = fs::read_to_string(&copy).unwrap() == runbook;
    let remedy = "POLYPY_BLESS=1 cargo test -p polypy-api page";
    assert!(is_same, "page/runbook.txt is not docs/runbook.md: {remedy}");
}

/// A table of names that a module has.
fn table<'a>(module: &'a str, name: &str) -> BTreeMap<&'a str, &'a str> {
    let rows = module.split(&format!("const {name} = {{")).nth(1).unwrap();
    let rows = rows.split("};").next().unwrap().lines();
    rows.filter_map(|line| line.trim().trim_end_matches(',').split_once(": "))
        .map(|(code, words)| (code, words.trim_matches('"')))
        .collect()
}

/// The rows of the table that begins so, down to its end: their first columns.
fn first_column<'a>(text: &'a str, heading: &str) -> Vec<&'a str> {
    let rows = text.split(heading).nth(1).unwrap().lines().skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.flat_map(|line| line.split('|').nth(1).unwrap().split(','))
        .map(|code| code.trim().trim_matches('`'))
        .collect()
}

#[test]
fn each_state_of_a_connection_has_words() {
    let state = include_str!("../../page/core/state.js");
    let states = table(state, "CONNECTION");
    let manual = include_str!("../../../docs/http-api.md");
    let listed = first_column(manual, "| `state` | the connection |");
    assert_eq!(listed.len(), states.len(), "{listed:?}");
    for name in listed {
        assert!(states.contains_key(name), "{name}");
    }
}

#[test]
fn each_reason_has_its_section_of_the_runbook() {
    let state = include_str!("../../page/core/state.js");
    let rows = table(state, "RUNBOOK");
    let runbook = include_str!("../../../docs/runbook.md");
    for (code, section) in &rows {
        let heading = format!("\n### {section}\n");
        assert!(runbook.contains(&heading), "{code} names {section}");
    }
    for reason in polypy_core::StaleReason::ALL {
        assert!(rows.contains_key(reason.name()), "{reason:?}");
    }
    // The codes of /health, as the manual lists them.
    let manual = include_str!("../../../docs/http-api.md");
    for code in first_column(manual, "| `code` | status | meaning |") {
        assert!(rows.contains_key(code), "{code}");
    }
}
