//! Repairs every file of a recording, while nobody records to it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::disk::{Disk, DiskFile, folder_of};
use crate::folder::{FolderError, take_lock};
use crate::listing::{ListedFile, Recording};
use crate::manifest::{MANIFEST, UnreadableLine};
use crate::recovery::Recovery;
use crate::repair::{Repaired, repair};

/// What became of one file.
#[derive(Debug)]
#[non_exhaustive]
pub struct Mended {
    /// Its name; that of the manifest for what no file can say.
    pub file: String,
    /// What was done.
    pub result: io::Result<Repaired>,
    /// Whether the manifest had it as it is.
    pub is_known: bool,
    /// Whether it was removed: an earlier run had begun it, and nothing is in it.
    pub is_removed: bool,
}

impl Mended {
    fn new(file: &str, result: io::Result<Repaired>) -> Self {
        Self {
            file: file.to_owned(),
            result,
            is_known: false,
            is_removed: false,
        }
    }
}

/// Repairs each file of a recording, and notes in its manifest what was done. `told` is told
/// of each. `now` is in nanoseconds since the epoch. Repairing again changes nothing.
///
/// # Errors
/// Somebody records to the folder, or its lock cannot be taken. What goes wrong with one
/// file is told, and the others are repaired.
pub fn repair_recording(
    disk: Arc<dyn Disk>,
    recording: &Recording,
    now: u64,
    told: &mut dyn FnMut(&Mended),
) -> Result<(), FolderError> {
    let is_folder = recording
        .files
        .iter()
        .all(|file| file.path.parent() == Some(&recording.path));
    let folder = if is_folder {
        &*recording.path
    } else {
        folder_of(&recording.path)
    };
    // A file that was taken out of its folder has neither lock nor manifest.
    let folder =
        Some(folder).filter(|folder| is_folder || disk.read(&folder.join(MANIFEST)).is_ok());
    let _lock = folder.map(|folder| lock(&*disk, folder)).transpose()?;
    let mut is_done = true;
    for file in &recording.files {
        let mended = mend(&disk, folder, file, now);
        is_done &= mended.result.is_ok();
        told(&mended);
    }
    let Some(folder) = folder.filter(|_| is_folder) else {
        return Ok(());
    };
    let recovery = Recovery::of(&disk, folder);
    for lost in recording.lost.iter().filter(|lost| lost.gap.is_none()) {
        let noted = recovery.note_lost(&lost.line, now);
        told(&Mended::new(&lost.line.file, noted.map(Repaired::Lost)));
    }
    // Behind the files: one that was cut says itself what is missing behind it.
    let kill = is_done.then(|| recovery.note_kill(now).transpose());
    if let Some(gap) = kill.flatten() {
        told(&Mended::new(MANIFEST, gap.map(Repaired::Noted)));
    }
    for line in &recording.unreadable_lines {
        told(&Mended::new(MANIFEST, Err(unreadable(line))));
    }
    Ok(())
}

/// Nobody can say again what a line of the manifest has said.
fn unreadable(line: &UnreadableLine) -> io::Error {
    let text = format!(
        "line {} cannot be read, and what it said is lost: what the files say stands in lines \
         behind it; remove it by hand",
        line.number
    );
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn lock(disk: &dyn Disk, folder: &Path) -> Result<Box<dyn DiskFile>, FolderError> {
    let folder = folder.to_owned();
    match take_lock(disk, &folder) {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => Err(FolderError::InUse { folder }),
        Err(error) => Err(FolderError::Disk { folder, error }),
    }
}

fn mend(disk: &Arc<dyn Disk>, folder: Option<&Path>, file: &ListedFile, now: u64) -> Mended {
    let mut mended = Mended::new(&file.name, repair(&**disk, &file.path, now));
    let (Ok(repaired), Some(folder)) = (&mended.result, folder) else {
        return mended;
    };
    if let (Repaired::CopyOf(other), Some(_)) = (repaired, &file.line) {
        // What was finished under this name is lost, and this file stands in its way.
        let text = format!(
            "it is a copy of {other}, and not the file that was finished: put that one back, or \
             remove the copy and repair again, which notes what is missing"
        );
        mended.result = Err(io::Error::new(io::ErrorKind::InvalidData, text));
        return mended;
    }
    mended.is_known = matches!(repaired, Repaired::Whole(_)) && file.line.is_some();
    mended.is_removed = *repaired == Repaired::Empty && file.is_unfinished;
    let noted = if mended.is_known {
        Ok(())
    } else if mended.is_removed {
        disk.remove(&file.path)
    } else {
        Recovery::of(disk, folder).note_repaired(repaired, now)
    };
    if let Err(error) = noted {
        mended.result = Err(error);
    }
    mended
}
