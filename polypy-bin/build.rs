//! Tells the program which compiler built it, for which target and of which revision.
//!
//! The revision is whatever the environment says: asking a repository would build the
//! program again at each commit.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=BUILD_REVISION");
    let unknown = || "unknown".to_owned();
    let compiler = env::var_os("RUSTC").and_then(|rustc| {
        let output = Command::new(rustc).arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        // `rustc 1.95.0 (0123abcd 2026-01-01)`: the number alone.
        text.split_whitespace().nth(1).map(str::to_owned)
    });
    for (name, value) in [
        ("BUILD_RUSTC", compiler),
        ("BUILD_TARGET", env::var("TARGET").ok()),
        ("BUILD_REVISION", env::var("BUILD_REVISION").ok()),
    ] {
        let value = value.unwrap_or_else(unknown);
        println!("cargo::rustc-env={name}={value}");
    }
}
