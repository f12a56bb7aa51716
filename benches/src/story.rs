//! The corpus as files, and one timing of whoever plays it.
//!
//! Rivals are programs of their own that share no crate with the product, since
//! the features it wants of a crate would be theirs, too. They include this file
//! and those it names, and are told of the corpus by a folder:
//!
//! | file | holds |
//! |---|---|
//! | `openings`, `warm-up`, `frames` | frames, a line each; those of the last one are on the clock |
//! | `truth` | level changes in `frames`, levels in `openings`, levels of all books in the end, their checksum |

use std::fmt::Write as _;
use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

use crate::checksum::Checksum;
use crate::reads::{Read, Reads};
use crate::spent::Spent;

/// What is played, and what has come of it in the end.
#[derive(Debug, Default)]
pub struct Story {
    /// A whole book of each token.
    pub openings: Vec<String>,
    /// Frames that are not on the clock.
    pub warm_up: Vec<String>,
    /// Frames that are.
    pub frames: Vec<String>,
    /// Level changes in `frames`.
    pub changes: usize,
    /// Levels in `openings`.
    pub levels: usize,
    /// Of all books after the last frame.
    pub truth: Checksum,
}

/// A way from frames to books.
pub trait Way {
    /// Applies what a read returned.
    fn read(&mut self, read: Read<'_>);

    /// Of all books.
    fn checksum(&self) -> Checksum;
}

impl Story {
    /// Reads it from a folder.
    ///
    /// # Errors
    /// If a file is missing or not as [`Self::write`] left it.
    pub fn read(folder: &Path) -> Result<Self> {
        let lines = |name: &str| -> Result<Vec<String>> {
            let text = fs::read_to_string(folder.join(name))?;
            Ok(text.lines().map(str::to_owned).collect())
        };
        let truth = fs::read_to_string(folder.join("truth"))?;
        let mut numbers = truth.split_whitespace().map(str::parse::<u64>);
        let mut number = || match numbers.next() {
            Some(Ok(number)) => Ok(number),
            _ => Err(Error::new(ErrorKind::InvalidData, "truth: four numbers")),
        };
        let count = |number: u64| usize::try_from(number).map_err(Error::other);
        Ok(Self {
            openings: lines("openings")?,
            warm_up: lines("warm-up")?,
            frames: lines("frames")?,
            changes: count(number()?)?,
            levels: count(number()?)?,
            truth: Checksum {
                levels: number()?,
                sum: number()?,
            },
        })
    }

    /// Writes it into a folder, which is made if need be.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        for (name, frames) in [
            ("openings", &self.openings),
            ("warm-up", &self.warm_up),
            ("frames", &self.frames),
        ] {
            let lines: String = frames
                .iter()
                .flat_map(|frame| [frame.trim_end(), "\n"])
                .collect();
            fs::write(folder.join(name), lines)?;
        }
        let Checksum { levels, sum } = self.truth;
        let truth = format!("{} {} {levels} {sum}\n", self.changes, self.levels);
        fs::write(folder.join("truth"), truth)
    }

    /// Has it played once, and says what was found as a line of JSON.
    pub fn time(&self, name: &str, way: &mut impl Way) -> String {
        let mut reads = Reads::default();
        let mut play = |frames: &[String], units| Spent {
            units,
            ..reads.each(frames, |read| {
                way.read(read);
                0
            })
        };
        let opened = play(&self.openings, self.levels);
        play(&self.warm_up, 0);
        let played = play(&self.frames, self.changes);
        let mut line = String::new();
        let written = write!(
            line,
            r#"{{"way":"{name}","change_nanos":{:.1},"level_nanos":{:.1},"books_equal":{}}}"#,
            played.each(),
            opened.each(),
            way.checksum() == self.truth,
        );
        written.map_or_else(|error| error.to_string(), |()| line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(Checksum);

    impl Way for Counting {
        fn read(&mut self, read: Read<'_>) {
            for frame in read.frames() {
                let size = u64::try_from(frame.len()).unwrap();
                self.0.add_book("1", [(1, size)], []);
            }
        }

        fn checksum(&self) -> Checksum {
            self.0
        }
    }

    #[test]
    fn it_is_read_as_it_was_written_and_played_to_its_end() {
        let name = format!("polypy-story-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let mut counting = Counting(Checksum::default());
        counting.0.add_book("1", [(1, 3), (1, 1), (1, 2)], []);
        let written = Story {
            openings: vec!["abc\n".to_owned()],
            warm_up: vec!["d".to_owned()],
            frames: vec!["ef".to_owned()],
            changes: 2,
            levels: 3,
            truth: counting.0,
        };
        written.write(&folder).unwrap();
        let read = Story::read(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(read.openings, ["abc"]);
        assert_eq!((read.changes, read.levels), (2, 3));
        let line = read.time("counting", &mut Counting(Checksum::default()));
        assert!(line.contains(r#""way":"counting""#), "{line}");
        assert!(line.ends_with(r#""books_equal":true}"#), "{line}");
        let line = read.time("counting", &mut counting);
        assert!(line.ends_with(r#""books_equal":false}"#), "{line}");
    }
}
