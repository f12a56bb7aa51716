//! Any bytes, both ways of decoding: the same answer, or the fast way has none.
//!
//! What is compared is what the randomised test compares, from the same file.

#![no_main]

#[path = "../../polypy-net/tests/equality/compare.rs"]
#[expect(dead_code, reason = "what both agree on is counted by the test alone")]
mod compare;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use polypy_core::Interner;

static ASSETS: LazyLock<Interner> = LazyLock::new(compare::interner);

fuzz_target!(|frame: &[u8]| {
    compare::compare(frame, &ASSETS);
});
