//! A disk in memory that fails where a test says, and waiting for threads. For tests, of other
//! crates as well.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::disk::{Disk, DiskFile};
use crate::segment::PART;

/// How long [`until`] waits: longer than anything takes on a busy machine.
const LONGEST: Duration = Duration::from_secs(60);
/// Between two looks of it.
const LOOK: Duration = Duration::from_millis(1);

/// What goes wrong, and when.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// So many bytes can be written, and then none until it is set again. `None`: all.
    pub room: Option<u64>,
    /// What a write fails with once there is no room. [`ErrorKind::StorageFull`] if it is
    /// not set.
    pub error: Option<ErrorKind>,
    /// Writes take one byte of two.
    pub short_writes: bool,
    /// So many files are synced, and then none.
    pub syncs: Option<u64>,
    /// Files that are called `.part` are concerned alone.
    pub only_parts: bool,
    /// No file can be created: there is no room for its name.
    pub no_names: bool,
}

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// What is there after a power cut.
    synced: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<PathBuf, Arc<Mutex<Content>>>,
    /// The names that are there after a power cut.
    synced: BTreeMap<PathBuf, Arc<Mutex<Content>>>,
    faults: Faults,
    syncs: u64,
    created: u64,
    is_held: bool,
}

/// A disk in memory that fails where a test says.
///
/// ```
/// use std::path::Path;
/// use polypy_archive::testing::{FaultyDisk, Faults};
/// use polypy_archive::Disk;
///
/// let disk = FaultyDisk::default();
/// disk.set(Faults { room: Some(4), ..Faults::default() });
/// let mut file = disk.create(Path::new("a"))?;
/// assert!(file.write_all(b"12345").is_err());
/// assert_eq!(disk.content(Path::new("a")), Some(b"1234".to_vec()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct FaultyDisk(Arc<Mutex<State>>, Arc<Hang>);

/// While it is there the disk hangs. A test that fails drops it as well, so that no thread waits
/// for ever.
#[derive(Debug)]
pub struct Hanging(Arc<Hang>);

impl Drop for Hanging {
    fn drop(&mut self) {
        *self.0.is_hanging.lock() = false;
        self.0.over.notify_all();
    }
}

#[derive(Debug, Default)]
struct Hang {
    is_hanging: Mutex<bool>,
    over: Condvar,
}

impl FaultyDisk {
    /// From now on this goes wrong.
    pub fn set(&self, faults: Faults) {
        self.0.lock().faults = faults;
    }

    /// Writes and syncs do not come back from now on, until what is returned is dropped.
    #[must_use]
    pub fn hang(&self) -> Hanging {
        *self.1.is_hanging.lock() = true;
        Hanging(Arc::clone(&self.1))
    }

    fn wait_while_hanging(&self) {
        let mut is_hanging = self.1.is_hanging.lock();
        self.1.over.wait_while(&mut is_hanging, |is| *is);
    }

    /// What a file holds.
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let file = self.0.lock().files.get(path).cloned()?;
        let bytes = file.lock().bytes.clone();
        Some(bytes)
    }

    /// Puts a file there, synced.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let content = Content {
            bytes: bytes.to_vec(),
            synced: bytes.to_vec(),
        };
        let content = Arc::new(Mutex::new(content));
        let mut state = self.0.lock();
        state.files.insert(path.to_owned(), Arc::clone(&content));
        state.synced.insert(path.to_owned(), content);
    }

    /// Somebody replays what is in the folders from now on, or nobody does any more.
    pub fn hold(&self, is_held: bool) {
        self.0.lock().is_held = is_held;
    }

    /// Somebody removes a folder: who writes to a file of it does not notice.
    pub fn remove_folder(&self, folder: &Path) {
        let mut state = self.0.lock();
        state.files.retain(|path, _| !path.starts_with(folder));
        state.synced.retain(|path, _| !path.starts_with(folder));
    }

    /// How often a file was synced without failing.
    pub fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    /// How many files were created.
    pub fn created(&self) -> u64 {
        self.0.lock().created
    }

    /// Leaves what had been synced: files and names. Nothing goes wrong any more.
    pub fn cut_power(&self) {
        let mut state = self.0.lock();
        let state = &mut *state;
        for file in state.files.values().chain(state.synced.values()) {
            let mut content = file.lock();
            content.bytes = content.synced.clone();
        }
        state.files = state.synced.clone();
        state.faults = Faults::default();
    }

    fn opened(&self, path: &Path, content: Arc<Mutex<Content>>) -> Box<dyn DiskFile> {
        let is_part = path.extension().is_some_and(|extension| extension == PART);
        Box::new(MemoryFile {
            disk: self.clone(),
            content,
            at: 0,
            is_part,
        })
    }

    fn file(&self, path: &Path) -> io::Result<Arc<Mutex<Content>>> {
        let state = self.0.lock();
        let found = state.files.get(path).cloned();
        found.ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// How many of so many bytes can be written.
    fn take_room(&self, wanted: usize, is_part: bool) -> io::Result<usize> {
        let faults = &mut self.0.lock().faults;
        if faults.only_parts && !is_part {
            return Ok(wanted);
        }
        let mut taken = if faults.short_writes {
            wanted.div_ceil(2)
        } else {
            wanted
        };
        if let Some(room) = &mut faults.room {
            taken = taken.min(usize::try_from(*room).unwrap_or(usize::MAX));
            *room -= taken as u64;
            if taken == 0 && wanted > 0 {
                return Err(faults.error.unwrap_or(ErrorKind::StorageFull).into());
            }
        }
        Ok(taken)
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let content = Arc::default();
        let mut state = self.0.lock();
        if state.files.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        if state.faults.no_names {
            return Err(ErrorKind::StorageFull.into());
        }
        state.files.insert(path.to_owned(), Arc::clone(&content));
        state.created += 1;
        drop(state);
        Ok(self.opened(path, content))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.opened(path, self.file(path)?))
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let content = self.file(from)?;
        let mut state = self.0.lock();
        state.files.remove(from);
        state.files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.file(path)?;
        self.0.lock().files.remove(path);
        Ok(())
    }

    fn create_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        let inside = |path: &PathBuf| path.parent() == Some(folder);
        let State { files, synced, .. } = &mut *state;
        synced.retain(|path, _| !inside(path));
        let now = files.iter().filter(|(path, _)| inside(path));
        synced.extend(now.map(|(path, content)| (path.clone(), Arc::clone(content))));
        Ok(())
    }

    fn free(&self, _folder: &Path) -> io::Result<u64> {
        Ok(self.0.lock().faults.room.unwrap_or(u64::MAX))
    }

    fn is_held(&self, _folder: &Path) -> io::Result<bool> {
        Ok(self.0.lock().is_held)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, u64)>> {
        let state = self.0.lock();
        if state.files.contains_key(folder) {
            return Err(ErrorKind::NotADirectory.into());
        }
        let inside = state.files.iter().filter_map(|(path, content)| {
            let name = path.strip_prefix(folder).ok()?.to_str()?.to_owned();
            Some((name, content.lock().bytes.len() as u64))
        });
        Ok(inside.collect())
    }
}

struct MemoryFile {
    disk: FaultyDisk,
    content: Arc<Mutex<Content>>,
    at: u64,
    is_part: bool,
}

impl MemoryFile {
    fn place(&self) -> usize {
        usize::try_from(self.at).unwrap_or(usize::MAX)
    }
}

impl Read for MemoryFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let content = self.content.lock();
        let mut rest = content.bytes.get(self.place()..).unwrap_or_default();
        let read = rest.read(buffer)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Write for MemoryFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.disk.wait_while_hanging();
        let taken = self.disk.take_room(buffer.len(), self.is_part)?;
        let at = self.place();
        let bytes = &mut self.content.lock().bytes;
        if bytes.len() < at + taken {
            bytes.resize(at + taken, 0);
        }
        bytes[at..at + taken].copy_from_slice(&buffer[..taken]);
        self.at += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for MemoryFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let length = self.content.lock().bytes.len() as u64;
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(by) => length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = place.ok_or(ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

impl DiskFile for MemoryFile {
    fn sync_data(&mut self) -> io::Result<()> {
        self.disk.wait_while_hanging();
        let mut state = self.disk.0.lock();
        let is_concerned = self.is_part || !state.faults.only_parts;
        if let Some(syncs) = state.faults.syncs.as_mut().filter(|_| is_concerned) {
            *syncs = syncs.checked_sub(1).ok_or(ErrorKind::Other)?;
        }
        state.syncs += 1;
        drop(state);
        let mut content = self.content.lock();
        content.synced = content.bytes.clone();
        Ok(())
    }

    fn set_len(&mut self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.content.lock().bytes.resize(length, 0);
        Ok(())
    }

    /// Locks are the system's: its disk is tested for that.
    fn try_lock(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    fn lock(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until this holds, which another thread brings about.
///
/// # Panics
/// When that takes longer than a minute.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < LONGEST, "not within {LONGEST:?}: {what}");
        std::thread::sleep(LOOK);
    }
}
