//! Any bytes, as a file of a recording and as what a chunk of one holds: what is whole is
//! read and kept by a repair, and nothing panics.
//!
//! What is checked is what a test of `polypy-archive` checks, from the same file.

#![no_main]

#[path = "../../polypy-archive/tests/recordings/any_bytes.rs"]
mod any_bytes;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    any_bytes::check(bytes);
});
