//! The overlay's file: read at the start, and replaced as a whole.
//!
//! A new one is written beside the old one, brought to the disk, and takes its place in
//! one step, which is brought to the disk as well: whatever happens meanwhile, the file is
//! the old one or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::mistake::{ConfigError, Mistake, Source};
use super::overlay::{MOST_BYTES, Overlay};
use crate::file;

/// Reads it. A file that is not there yet is no overlay.
pub(super) fn read(path: &Path) -> Result<Overlay, ConfigError> {
    match file::read(path, MOST_BYTES as u64) {
        Ok(bytes) => Overlay::of_file(&bytes, path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Overlay::default()),
        Err(error) => {
            let source = Source::Overlay {
                file: Some(path.to_owned()),
            };
            let reason = format!("cannot be read: {error}");
            let mistakes = vec![Mistake::new("markets.overlay_file", reason, &source)];
            ConfigError::of(mistakes).map_or(Ok(Overlay::default()), Err)
        }
    }
}

/// Whether it can be replaced, as far as its folder tells: it must be there and be writable.
pub(crate) fn check(path: &Path) -> Result<(), String> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = folder_of(&path);
    file::may_be_written(folder).map_err(|error| {
        let folder = folder.display();
        format!("its folder {folder} must be there and be writable: {error}")
    })
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    folder.unwrap_or(Path::new("."))
}

/// Replaces what the file has. May wait for a disk.
///
/// # Errors
/// When that fails; the file is the old one then.
pub(crate) fn write(path: &Path, overlay: &Overlay) -> io::Result<()> {
    // Of a link, what it leads to.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    replace(&Disk, &path, format!("{overlay}\n").as_bytes())
}

/// The steps of a replacement, in their order.
trait Steps {
    /// Puts all bytes into a new file.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<File>;
    /// Waits until they are on the disk.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Gives a file another's name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Waits until the folder's names are on the disk.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

fn replace(steps: &impl Steps, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(ErrorKind::InvalidInput, "names no file"));
    };
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(".new");
    let beside: PathBuf = path.with_file_name(beside);
    let written = steps.write(&beside, bytes);
    let replaced = written.and_then(|file| {
        steps.sync(&file)?;
        steps.rename(&beside, path)
    });
    if let Err(error) = replaced {
        // What is half written is nobody's.
        return Err(match remove(&beside) {
            Ok(()) => error,
            Err(left) => io::Error::new(
                error.kind(),
                format!("{error}; and {} stays: {left}", beside.display()),
            ),
        });
    }
    steps.sync_folder(folder_of(path))
}

/// Removes a file, if there is one.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

struct Disk;

impl Steps for Disk {
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<File> {
        // Left by a program that was killed; and nothing that somebody else has put there
        // is written through.
        remove(path)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600);
        }
        let mut file = options.open(path)?;
        file.write_all(bytes)?;
        Ok(file)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    #[cfg(unix)]
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    #[cfg(not(unix))]
    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// A disk of which one step fails.
    struct Failing {
        step: &'static str,
        done: RefCell<Vec<&'static str>>,
    }

    impl Failing {
        fn at(&self, step: &'static str) -> io::Result<()> {
            self.done.borrow_mut().push(step);
            if self.step == step {
                return Err(io::Error::from(ErrorKind::StorageFull));
            }
            Ok(())
        }
    }

    impl Steps for Failing {
        fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<File> {
            let file = Disk.write(path, bytes)?;
            self.at("write")?;
            Ok(file)
        }

        fn sync(&self, file: &File) -> io::Result<()> {
            self.at("sync")?;
            Disk.sync(file)
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.at("rename")?;
            Disk.rename(from, to)
        }

        fn sync_folder(&self, folder: &Path) -> io::Result<()> {
            self.at("sync folder")?;
            Disk.sync_folder(folder)
        }
    }

    fn folder(name: &str) -> PathBuf {
        let name = format!("polypy-overlay-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_file_is_on_the_disk_before_it_takes_its_place_and_a_failure_leaves_the_old_one() {
        let folder = folder("steps");
        let path = folder.join("overlay.json");
        let steps = ["write", "sync", "rename", "sync folder"];
        for (at, step) in steps.into_iter().enumerate() {
            fs::write(&path, "old").unwrap();
            let disk = Failing {
                step,
                done: RefCell::default(),
            };
            let error = replace(&disk, &path, b"new").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{step}");
            assert_eq!(*disk.done.borrow(), steps[..=at], "{step}");
            let expected = if step == "sync folder" { "new" } else { "old" };
            assert_eq!(fs::read_to_string(&path).unwrap(), expected, "{step}");
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "{step}");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = folder("read");
        let path = folder.join("overlay.json");
        assert_eq!(read(&path).unwrap(), Overlay::default());
        let overlay = Overlay::parse(r#"{"tags": ["crypto"], "max_markets": 7}"#).unwrap();
        write(&path, &overlay).unwrap();
        let again = read(&path).unwrap();
        assert_eq!(again, overlay);
        let origin = again.layer().entries[0].source.to_string();
        assert_eq!(origin, format!("overlay {}", path.display()));
        // One that a killed program has left is in nobody's way.
        fs::write(folder.join(".overlay.json.new"), "half").unwrap();
        write(&path, &Overlay::default()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}\n");
        let error = write(&folder.join("no/such/folder.json"), &overlay).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        for (text, reason) in [
            ("half", "overlay: must be a JSON object"),
            (r#"{"tgas": 1}"#, "tgas: unknown key, did you mean tags?"),
        ] {
            fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.starts_with(reason), "{error}");
            assert!(error.contains("overlay.json)"), "{error}");
        }
        let error = read(&folder).unwrap_err().to_string();
        assert!(
            error.starts_with("markets.overlay_file: cannot be read"),
            "{error}"
        );
        fs::remove_dir_all(folder).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_is_not_there_or_not_writable_is_told_before_a_change_is_lost() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = folder("check");
        let path = folder.join("overlay.json");
        assert_eq!(check(&path), Ok(()));
        assert_eq!(check(Path::new("overlay.json")), Ok(()));
        assert_eq!(
            fs::read_dir(&folder).unwrap().count(),
            0,
            "it writes nothing"
        );
        let error = check(&folder.join("no/overlay.json")).unwrap_err();
        assert!(error.contains("must be there and be writable"), "{error}");
        fs::write(&path, "{}").unwrap();
        assert_eq!(check(&path), Ok(()));
        assert!(check(&path.join("overlay.json")).is_err());
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
        // Root may write anywhere.
        let may_write = File::create(folder.join("other")).is_ok();
        assert_eq!(check(&path).is_ok(), may_write);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        fs::remove_dir_all(folder).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_the_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = folder("link");
        let (file, link) = (folder.join("file.json"), folder.join("link.json"));
        fs::write(&file, "{}").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let overlay = Overlay::parse(r#"{"max_markets": 7}"#).unwrap();
        write(&link, &overlay).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(read(&file).unwrap(), overlay);
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_dir_all(folder).unwrap();
    }
}
