//! The disk as recordings use it, so that tests can have one that fails.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// A file that is open.
pub trait DiskFile: Read + Write + Seek + Send {
    /// Waits until the disk has all that was written.
    ///
    /// # Errors
    /// Those of the disk. What was written before is then on the disk or not, and another
    /// try says nothing of it.
    fn sync_data(&mut self) -> io::Result<()>;

    /// Cuts the file, or lengthens it by zeros.
    ///
    /// # Errors
    /// Those of the disk.
    fn set_len(&mut self, length: u64) -> io::Result<()>;

    /// Takes the file for this one alone, among all who ask, until it is dropped. `false`:
    /// another one has it.
    ///
    /// # Errors
    /// Those of the disk.
    fn try_lock(&mut self) -> io::Result<bool>;

    /// The same, once the other one has dropped it.
    ///
    /// # Errors
    /// Those of the disk.
    fn lock(&mut self) -> io::Result<()>;
}

impl fmt::Debug for dyn DiskFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DiskFile")
    }
}

/// Where recordings are. All errors are those of the disk.
#[expect(
    clippy::missing_errors_doc,
    reason = "they are all the same, and said above"
)]
pub trait Disk: Send + Sync + fmt::Debug {
    /// A new file, to be written and read. There may be none of that name.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// A file that is there, to be read and written.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// A file that is there, to be read alone.
    fn read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name, in place of a file that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Creates a folder with those that it is in, if it is not there.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;

    /// Waits until the disk has the names of a folder's files.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Bytes that can still be written to the disk that a folder is on.
    fn free(&self, folder: &Path) -> io::Result<u64>;

    /// The names of a folder's files, and their lengths.
    fn list(&self, folder: &Path) -> io::Result<Vec<(String, u64)>>;

    /// Whether somebody replays what is in a folder, and so holds it: see [`hold`].
    fn is_held(&self, _folder: &Path) -> io::Result<bool> {
        Ok(false)
    }
}

/// Holds a folder while what is in it is replayed, until what is returned is dropped: the
/// flight recorder of a program that takes the replay for the venue must not write there, nor
/// remove what is replayed. `None` where folders cannot be held. Several may hold one.
pub fn hold(folder: &Path) -> Option<File> {
    let folder = File::open(folder).ok()?;
    folder.try_lock_shared().ok().map(|()| folder)
}

/// The folder that a file is in: of a bare name the one where the program runs.
pub(crate) fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        Some(_) | None => Path::new("."),
    }
}

/// The operating system's.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemDisk;

impl DiskFile for File {
    fn sync_data(&mut self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn set_len(&mut self, length: u64) -> io::Result<()> {
        File::set_len(self, length)
    }

    fn try_lock(&mut self) -> io::Result<bool> {
        match File::try_lock(self) {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn lock(&mut self) -> io::Result<()> {
        File::lock(self)
    }
}

impl Disk for SystemDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        Ok(Box::new(
            options.read(true).write(true).create_new(true).open(path)?,
        ))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(
            OpenOptions::new().read(true).write(true).open(path)?,
        ))
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn free(&self, folder: &Path) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(folder)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.metadata()?;
            // No file of a recording has a name that is no text.
            if let (true, Ok(name)) = (kind.is_file(), entry.file_name().into_string()) {
                files.push((name, kind.len()));
            }
        }
        files.sort();
        Ok(files)
    }

    fn is_held(&self, folder: &Path) -> io::Result<bool> {
        match File::try_lock(&File::open(folder)?) {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_until_the_last_one_lets_go() {
        let folder = std::env::temp_dir().join(format!("polypy-held-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let is_held = || SystemDisk.is_held(&folder).unwrap();
        assert!(!is_held());
        let (one, other) = (hold(&folder).unwrap(), hold(&folder).unwrap());
        assert!(is_held());
        drop(one);
        assert!(is_held());
        drop(other);
        assert!(!is_held());
        fs::remove_dir_all(&folder).unwrap();
        assert!(hold(&folder).is_none());
    }
}
