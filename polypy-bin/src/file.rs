//! Files that somebody named, read within bounds of size and of time.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest certificate file that is read: many times what a system trusts altogether.
pub const CERTIFICATES: u64 = 16 << 20;

/// How long a pipe or a device may take to bring everything.
const DEADLINE: Duration = Duration::from_secs(5);
/// Between two looks at one that has brought nothing yet.
const LOOK: Duration = Duration::from_millis(5);

/// Everything in a file that has at most `most` bytes. Of a pipe, such as a shell's
/// `<(command)`, all that comes within five seconds; nothing is waited for longer, also
/// where nobody ever writes.
///
/// # Errors
/// When it cannot be read, is longer, or does not end in time.
///
/// ```
/// # let path = std::env::temp_dir().join(format!("polypy-doc-{}", std::process::id()));
/// # std::fs::write(&path, "abc").unwrap();
/// assert_eq!(polypy::file::read(&path, 3).unwrap(), b"abc");
/// assert!(polypy::file::read(&path, 2).is_err());
/// # std::fs::remove_file(&path).unwrap();
/// ```
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut file = open(path)?;
    read_all(&mut file, most, DEADLINE)
}

/// Opens it without waiting for a writer.
#[cfg(unix)]
pub(crate) fn open(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    let file = opened.map_err(|error| with_remedy(error.into(), "read it"))?;
    Ok(File::from(file))
}

/// The same error with what an operator does about it, where that is always the same. `what`
/// is what this user may not do, such as `read it`.
#[cfg(unix)]
pub(crate) fn with_remedy(error: io::Error, what: &str) -> io::Error {
    let remedy = match error.kind() {
        ErrorKind::PermissionDenied => format!(
            "user {} may not {what}: chown or chmod it, or run as one who may",
            user()
        ),
        ErrorKind::ReadOnlyFilesystem => {
            "a systemd unit lets a service write there by ReadWritePaths=".to_owned()
        }
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}; {remedy}"))
}

/// Longest list of users that is read.
#[cfg(unix)]
const USERS: u64 = 1 << 20;

/// What the user is called that this process runs as; the number, where no list has a name.
#[cfg(unix)]
fn user() -> String {
    let number = rustix::process::geteuid().as_raw();
    let users = File::open("/etc/passwd").map(|file| file.take(USERS));
    let mut text = String::new();
    let read = users.and_then(|mut users| users.read_to_string(&mut text));
    let name = read.ok().and_then(|_length| name_of(number, &text));
    name.map_or_else(|| number.to_string(), str::to_owned)
}

/// Its name in a list of users as the system keeps it.
#[cfg(unix)]
fn name_of(number: u32, users: &str) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let is_it = fields.nth(1)?.parse() == Ok(number);
        is_it.then_some(name)
    })
}

#[cfg(not(unix))]
pub(crate) fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Whether files can be made in a folder that is there, as far as it tells.
///
/// # Errors
/// Why not.
pub(crate) fn may_be_written(folder: &Path) -> io::Result<()> {
    let about = std::fs::metadata(folder)?;
    if !about.is_dir() {
        return Err(io::Error::from(ErrorKind::NotADirectory));
    }
    #[cfg(unix)]
    {
        use rustix::fs::Access;
        rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|error| with_remedy(error.into(), "write to it"))?;
    }
    Ok(())
}

/// The same of a folder that is created with the first file, together with those that it is
/// in. Nothing is created for that.
///
/// # Errors
/// Why not.
#[cfg(feature = "archive")]
pub(crate) fn may_be_created(folder: &Path) -> io::Result<()> {
    match may_be_written(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let above = match folder.parent() {
                Some(above) if above != Path::new("") => above,
                Some(_) => Path::new("."),
                None => return Err(error),
            };
            may_be_created(above)
        }
        found => found,
    }
}

/// As [`read`], of what is open already.
pub(crate) fn read_within(file: &mut File, most: u64) -> io::Result<Vec<u8>> {
    read_all(file, most, DEADLINE)
}

fn read_all(file: &mut File, most: u64, deadline: Duration) -> io::Result<Vec<u8>> {
    let is_pipe = is_pipe(file)?;
    let end = Instant::now() + deadline;
    // One byte more shows that there is more.
    let mut rest = file.take(most.saturating_add(1));
    let mut bytes = Vec::new();
    loop {
        match rest.read_to_end(&mut bytes) {
            Ok(_) => break,
            // What came before it is kept.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if Instant::now() >= end {
            let text = format!(
                "does not end: a pipe or a device has {} seconds to bring everything; \
                 name a regular file",
                deadline.as_secs()
            );
            return Err(io::Error::new(ErrorKind::TimedOut, text));
        }
        std::thread::sleep(LOOK);
    }
    if u64::try_from(bytes.len()).is_ok_and(|length| length > most) {
        let text = format!("has more than {most} bytes");
        return Err(io::Error::new(ErrorKind::FileTooLarge, text));
    }
    if is_pipe && bytes.is_empty() {
        let text = "is a pipe that nobody writes to, or that has been read already; \
                    name a regular file";
        return Err(io::Error::new(ErrorKind::UnexpectedEof, text));
    }
    Ok(bytes)
}

#[cfg(unix)]
fn is_pipe(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::FileTypeExt as _;
    Ok(file.metadata()?.file_type().is_fifo())
}

#[cfg(not(unix))]
fn is_pipe(_file: &File) -> io::Result<bool> {
    Ok(false)
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Write as _;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn what_never_ends_is_read_up_to_its_limit() {
        let error = read(Path::new("/dev/zero"), 64).unwrap_err();
        assert_eq!(error.to_string(), "has more than 64 bytes");
        assert_eq!(read(Path::new("/dev/null"), 64).unwrap(), b"");
    }

    #[test]
    fn of_what_this_user_may_not_the_remedy_is_said() {
        let error = |kind| with_remedy(io::Error::from(kind), "read it").to_string();
        let denied = error(ErrorKind::PermissionDenied);
        assert!(denied.contains("may not read it: chown"), "{denied}");
        let fixed = error(ErrorKind::ReadOnlyFilesystem);
        assert!(fixed.contains("ReadWritePaths="), "{fixed}");
        assert!(!error(ErrorKind::NotFound).contains(';'));
    }

    #[test]
    fn a_user_is_named_where_the_system_has_a_name() {
        let users =
            "root:x:0:0:root:/root:/bin/sh\n# none\n:x:7::\npolypy:x:998:997::/:/bin/false\n";
        assert_eq!(name_of(998, users), Some("polypy"));
        assert_eq!(name_of(0, users), Some("root"));
        assert_eq!(name_of(7, users), None);
        assert_eq!(name_of(65_532, users), None);
        let named = user();
        let is_number = named.bytes().all(|byte| byte.is_ascii_digit());
        let listed = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        assert!(is_number || listed.contains(&named), "{named}");
    }

    #[test]
    fn a_pipe_brings_what_is_written_and_is_not_waited_for() {
        let (reader, mut writer) = io::pipe().unwrap();
        let inherited = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        writer.write_all(b"token").unwrap();
        let mut file = open(Path::new(&inherited)).unwrap();
        // It is still open for writing: nothing says that this was all.
        let error = read_all(&mut file, 64, SHORT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        writer.write_all(b"token").unwrap();
        let late = std::thread::spawn(move || {
            std::thread::sleep(SHORT);
            writer.write_all(b" and more").unwrap();
        });
        assert_eq!(read(Path::new(&inherited), 64).unwrap(), b"token and more");
        late.join().unwrap();
        let error = read(Path::new(&inherited), 64).unwrap_err().to_string();
        assert!(error.contains("nobody writes to"), "{error}");
    }
}
