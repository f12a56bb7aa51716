//! Recordings as files: written, cut, damaged, repaired, read.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod any_bytes;
mod common;
mod files;
mod folders;
mod golden;
mod killing;
mod mutated;
mod noting;
mod python;
mod reading;
mod repairing;
