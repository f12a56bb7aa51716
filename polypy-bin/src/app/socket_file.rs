//! The file of a Unix socket: made with its mode, taken over from a process that is gone,
//! removed at the end.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use polypy_http::Listener;

use crate::file;

/// A file that this process has made, and no other has replaced since.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and number of the file.
    identity: (u64, u64),
}

impl SocketFile {
    /// Listens at `path`. A file that nobody listens at is replaced; anything else that is
    /// there stays, and is an error.
    pub(super) fn listen(path: &Path, mode: u32) -> io::Result<(Listener, Self)> {
        Self::make(path, mode).map_err(with_remedy)
    }

    fn make(path: &Path, mode: u32) -> io::Result<(Listener, Self)> {
        clear(path)?;
        // Under another name until it has its mode: nobody gets in before.
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let early = PathBuf::from(name);
        clear(&early)?;
        if fs::symlink_metadata(&early).is_ok() {
            fs::remove_file(&early)?;
        }
        let listener = UnixListener::bind(&early)?;
        let made = fs::set_permissions(&early, Permissions::from_mode(mode))
            .and_then(|()| fs::symlink_metadata(&early))
            .and_then(|about| fs::rename(&early, path).map(|()| about));
        let about = match made {
            Ok(about) => about,
            Err(error) => {
                drop(fs::remove_file(&early));
                return Err(error);
            }
        };
        let file = Self {
            path: path.to_owned(),
            identity: (about.dev(), about.ino()),
        };
        Ok((Listener::unix(listener, path), file))
    }

    /// The same from the event loop.
    pub(super) async fn open(path: &Path, mode: u32) -> io::Result<(Listener, Self)> {
        let path = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || Self::listen(&path, mode)).await;
        opened.map_err(io::Error::other).and_then(|opened| opened)
    }

    /// Removes the file, unless it is another process's by now.
    pub(super) fn remove(&self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|about| (about.dev(), about.ino()) == self.identity);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, file = %self.path.display(), "socket's file not removed");
        }
    }
}

/// The same error with what an operator does about it.
fn with_remedy(error: io::Error) -> io::Error {
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => {
            "its folder is not there: create it (a systemd unit has RuntimeDirectory= for that), \
             or name another path"
        }
        io::ErrorKind::NotADirectory => "what is to be its folder is a file: name another path",
        // Longer than a socket's address has room for.
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename => {
            "name a path of 100 bytes at most"
        }
        _ => return file::with_remedy(error, "make a file in its folder"),
    };
    io::Error::new(error.kind(), format!("{error}; {remedy}"))
}

/// An error unless there is nothing at `path`, or a socket at which nobody listens.
fn clear(path: &Path) -> io::Result<()> {
    let about = match fs::symlink_metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !about.file_type().is_socket() {
        let text = "there is another file; remove it, or choose another path";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    match UnixStream::connect(path) {
        Ok(_) => {
            let text = "another process listens there; stop that one, or choose another path";
            Err(io::Error::new(io::ErrorKind::AddrInUse, text))
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            tracing::info!(file = %path.display(), "replacing a socket at which nobody listens");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("polypy-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir(&folder).unwrap();
        folder
    }

    #[test]
    fn a_socket_has_its_mode_and_goes_with_its_owner() {
        let folder = folder("own");
        let path = folder.join("polypy.sock");
        let (listener, file) = SocketFile::listen(&path, 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(UnixStream::connect(&path).is_ok());

        // It is not taken from one who listens, and taken from one who is gone.
        let error = SocketFile::listen(&path, 0o600).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        let (_listener, second) = SocketFile::listen(&path, 0o660).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
        file.remove();
        assert!(UnixStream::connect(&path).is_ok(), "the second one's");
        second.remove();
        assert!(!path.exists());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir(&folder).unwrap();
    }

    #[test]
    fn a_path_that_cannot_be_had_is_an_error_with_a_remedy() {
        let folder = folder("remedy");
        let refused = |path: &Path| SocketFile::listen(path, 0o600).unwrap_err().to_string();
        let missing = refused(&folder.join("missing/polypy.sock"));
        assert!(
            missing.contains("its folder is not there: create it"),
            "{missing}"
        );
        let long = refused(&folder.join("x".repeat(120)));
        assert!(long.contains("100 bytes at most"), "{long}");
        fs::write(folder.join("file"), "mine").unwrap();
        let below = refused(&folder.join("file/polypy.sock"));
        assert!(below.contains("name another path"), "{below}");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn another_file_is_left_alone() {
        let folder = folder("other");
        let path = folder.join("notes");
        fs::write(&path, "mine").unwrap();
        let error = SocketFile::listen(&path, 0o600).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        fs::remove_dir_all(&folder).unwrap();
    }
}
