//! What a folder says of a file that is to be repaired, beside what is in the file.

use std::io;
use std::path::Path;

use polypy_core::Owner;
use polypy_core::recording::{Entry, Gap, GapScope};

use crate::disk::{Disk, folder_of};
use crate::folder::{EXTENSION, number_of};
use crate::header::Header;
use crate::manifest::{FileLine, Manifest, name_of};
use crate::repair::final_name;
use crate::scan::{Piece, Scanner};
use crate::segment::PART;

/// What is known of a file. Times are in nanoseconds since the epoch.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Why nothing was written behind it, in the recorder's own words.
    gap: Option<Gap>,
    /// When the next file began.
    next: Option<u64>,
    /// What it was when it was finished.
    pub(crate) line: Option<FileLine>,
    /// The SHA-256 that it had before it was compacted; it has one or the other.
    former: Option<String>,
    /// The file whose copy it is.
    pub(crate) copy_of: Option<String>,
}

impl Known {
    /// What the folder of a file says of it.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn of(disk: &dyn Disk, path: &Path, own: Option<&Header>) -> io::Result<Self> {
        let folder = folder_of(path);
        let name = name_of(&final_name(path));
        let Some(number) = number_of(&name) else {
            return Ok(Self::default());
        };
        let manifest = Manifest::read(disk, folder)?;
        let mut names = disk.list(folder)?;
        let endings = [EXTENSION, PART].map(|ending| format!(".{ending}"));
        names.retain(|(name, _)| endings.iter().any(|ending| name.ends_with(ending)));
        let numbered = |name: &str| number_of(name).unwrap_or(0);
        names.sort_by_key(|(name, _)| numbered(name));
        let mut known = Self {
            gap: manifest.gap_behind(&name),
            line: manifest
                .files()
                .filter(|line| line.file == name)
                .last()
                .cloned(),
            former: manifest.former(&name).map(str::to_owned),
            ..Self::default()
        };
        let of_other = own.filter(|own| own.number != number);
        let original = of_other.and_then(|own| {
            let mut others = names.iter();
            others.find(|(name, _)| numbered(name) == own.number)
        });
        if let Some((original, _)) = original
            && Beginning::of(disk, &folder.join(original))?.header.as_ref() == own
        {
            known.copy_of = Some(original.clone());
        }
        let next = names.iter().find(|(name, _)| numbered(name) > number);
        if let Some((next, _)) = next {
            let next = Beginning::of(disk, &folder.join(next))?;
            let Some(header) = &next.header else {
                return Ok(known);
            };
            known.next = Some(header.started);
            let is_same_run = own.is_some_and(|own| own.session == header.session);
            if known.gap.is_none() && known.line.is_none() && is_same_run {
                // The run went on, so it was not killed here. It says why it left the file.
                known.gap = Some(next.loss.unwrap_or_else(|| {
                    let times = (None, Some(header.started / 1_000));
                    Gap::of_recording("disk_failed", Owner::Us, times, header.started / 1_000)
                }));
            }
        }
        Ok(known)
    }

    /// The SHA-256 that a file should have, if it has been finished with another one.
    pub(crate) fn should_have(&self, sha256: &str) -> Option<&str> {
        let line = self.line.as_ref()?;
        let is_it = line.sha256 == sha256 || self.former.as_deref() == Some(sha256);
        (!is_it).then_some(&line.sha256)
    }

    /// What is missing behind the last entry of a file that has no ending, which was at this
    /// time.
    pub(crate) fn gap_behind(&self, after: Option<u64>, now: u64) -> Gap {
        let micros = |at: Option<u64>| at.map(|at| at / 1_000);
        let after = micros(after);
        if let Some(gap) = &self.gap {
            let mut gap = gap.clone();
            gap.from_ts = gap.from_ts.or(after);
            return gap;
        }
        // One that was finished was not killed.
        let (reason, until) = match &self.line {
            Some(line) => ("damaged", line.to_ts),
            None => ("killed", micros(self.next)),
        };
        let from = after.or_else(|| self.line.as_ref()?.from_ts);
        let until = until.filter(|until| from.is_none_or(|from| from <= *until));
        let mut gap = Gap::of_recording(reason, Owner::Us, (from, until), now / 1_000);
        if self.line.is_none() && until.is_some() {
            gap.healed_by = Some("restart".into());
        }
        gap
    }
}

/// What the folder of a file says of it, and the file of itself.
///
/// # Errors
/// Those of the disk.
pub(crate) fn known(disk: &dyn Disk, path: &Path) -> io::Result<Known> {
    let header = Beginning::of(disk, path)?.header;
    Known::of(disk, path, header.as_ref())
}

/// What a file begins with.
#[derive(Debug, Default)]
struct Beginning {
    header: Option<Header>,
    /// What it says is missing in front of it.
    loss: Option<Gap>,
}

impl Beginning {
    fn of(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        let mut beginning = Self::default();
        let mut scanner = Scanner::new(disk.read(path)?)?;
        while let Some(piece) = scanner.next_piece()? {
            match piece {
                Piece::Header(header) => beginning.header = Some(header),
                Piece::Chunk(chunk) => {
                    let gaps = chunk
                        .entries()
                        .flatten()
                        .filter_map(|found| match found.entry {
                            Entry::Gap(gap) if gap.scope == GapScope::Recording => Some(gap),
                            _ => None,
                        });
                    beginning.loss = gaps.last();
                    break;
                }
                Piece::Damaged(_) | Piece::Torn(_) | Piece::Finished => break,
            }
        }
        Ok(beginning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_folder_says_of_a_loss_is_kept_and_begins_at_the_last_entry_if_it_names_no_beginning()
     {
        let said = Gap::of_recording("disk_full", Owner::Us, (None, None), 9);
        let known = Known {
            gap: Some(said.clone()),
            ..Known::default()
        };
        let from = |after| known.gap_behind(after, 50_000).from_ts;
        assert_eq!((from(Some(7_000)), from(None)), (Some(7), None));
        let known = Known {
            gap: Some(Gap {
                from_ts: Some(3),
                ..said
            }),
            ..Known::default()
        };
        assert_eq!(known.gap_behind(Some(7_000), 50_000).from_ts, Some(3));
    }

    #[test]
    fn a_gap_does_not_end_before_it_began_where_the_clock_was_set_back() {
        let next = |next| Known {
            next,
            ..Known::default()
        };
        let gap = next(Some(8_000)).gap_behind(Some(7_000), 50_000);
        assert_eq!((gap.from_ts, gap.to_ts), (Some(7), Some(8)));
        assert_eq!(
            (&*gap.reason, gap.healed_by.as_deref()),
            ("killed", Some("restart"))
        );
        let gap = next(Some(6_000)).gap_behind(Some(7_000), 50_000);
        assert_eq!((gap.from_ts, gap.to_ts), (Some(7), None));
        assert_eq!(gap.healed_by, None);
    }
}
