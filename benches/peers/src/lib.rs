//! What the rivals have in common: they read the same frames from the same place,
//! are timed by the same clock, and are asked for the same number at the end.
//!
//! The files are those of `polypy-benches`. They are included and not depended on:
//! see `story`.

#[path = "../../src/checksum.rs"]
pub mod checksum;
#[path = "../../src/clock.rs"]
pub mod clock;
#[path = "../../src/reads.rs"]
pub mod reads;
#[path = "../../src/spent.rs"]
pub mod spent;
#[path = "../../src/story.rs"]
pub mod story;

use std::path::Path;

use story::{Story, Way};

/// Plays the story in the folder that the first argument names, and prints what
/// was found.
///
/// # Errors
/// If there is no story.
pub fn run<W: Way>(name: &str, start: impl FnOnce(&Story) -> W) -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).unwrap_or_default();
    let story = Story::read(Path::new(&folder))?;
    let mut way = start(&story);
    println!("{}", story.time(name, &mut way));
    Ok(())
}

/// A decimal number of whatever type in millionths, by way of its text.
pub fn millionths(number: impl ToString) -> u64 {
    let text = number.to_string();
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let rest = format!("{:0<6}", rest.trim_end_matches('0'));
    format!("{whole}{rest}")
        .parse()
        .expect("is a number of at most six decimals")
}
