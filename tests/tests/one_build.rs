//! Trying the program out after testing it compiles nothing: both share one build.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::parent_id;
use std::path::Path;
use std::process::{Command, Stdio};

use polypy_tests::{program, tree};
use serde_json::Value;

/// The environment in which somebody ran the tests: that of cargo, which added its own
/// variables only to this process.
fn outer_environment() -> BTreeMap<OsString, OsString> {
    let stated = std::fs::read(format!("/proc/{}/environ", parent_id())).expect("a parent");
    stated
        .split(|byte| *byte == 0)
        .filter_map(|variable| {
            let at = variable.iter().position(|byte| *byte == b'=')?;
            let (name, value) = (&variable[..at], &variable[at + 1..]);
            let own = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
            Some((own(name), own(value)))
        })
        .collect()
}

/// What cargo runs for `make demo`, without the program's own arguments.
fn demo() -> Vec<String> {
    let makefile = tree::read("Makefile");
    let command = makefile
        .lines()
        .skip_while(|line| !line.starts_with("demo:"))
        .find_map(|line| line.trim().strip_prefix("$(CARGO) run "))
        .expect("make demo runs cargo");
    command
        .split_whitespace()
        .take_while(|word| *word != "--")
        .map(str::to_owned)
        .collect()
}

/// Cargo compiles again not only for another set of features, which the architecture
/// test compares, but also where a build script reads a variable that changed.
#[test]
fn trying_it_out_after_the_tests_compiles_nothing() {
    if !cfg!(debug_assertions) {
        println!("skipped: the release build is not the one of make demo");
        return;
    }
    let target = program::binary().ancestors().nth(2).expect("target");
    let compiled = compiled_by_demo(target);
    assert_eq!(compiled, Vec::<String>::new(), "compiled by make demo");
}

fn compiled_by_demo(target: &Path) -> Vec<String> {
    let output = Command::new("cargo")
        .arg("build")
        .args(demo())
        .args(["--message-format", "json", "--target-dir"])
        .arg(target)
        .env_clear()
        .envs(outer_environment())
        .current_dir(tree::root())
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo build: {}", output.status);
    let said = String::from_utf8(output.stdout).expect("cargo prints text");
    let artifacts: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .filter(|message: &Value| message["reason"] == "compiler-artifact")
        .collect();
    assert!(artifacts.len() > 100, "{} artifacts", artifacts.len());
    artifacts
        .iter()
        .filter(|artifact| artifact["fresh"] == false)
        .map(|artifact| artifact["target"]["name"].to_string())
        .collect()
}
