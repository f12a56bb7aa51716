//! Recordings of the made-up venue, and what the program's commands say of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use polypy_archive::{Folder, Segment, SystemDisk};

use super::Failure;

/// When the first frame came, in nanoseconds since the epoch.
const BEGIN: u64 = 1_795_000_000_000_000_000;
/// As the program's own.
const CHUNK: usize = 4 << 20;
const ROTATE: u64 = 512 << 20;
/// All frames came by one socket.
const SOCKET: (&str, u64) = ("made", 1);

/// A folder that is removed with what is in it.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// An empty one, among the system's temporary files.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn new(name: &str) -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("polypy-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    /// A place in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is in the folder for temporary files.
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Makes a recording of these frames, of which one came each so many nanoseconds; how many
/// there are.
///
/// # Errors
/// Those of the disk.
pub fn write(
    folder: &Path,
    frames: impl Iterator<Item = String>,
    nanos: u64,
) -> Result<u64, Failure> {
    let run = ("made", env!("CARGO_PKG_VERSION"));
    let mut folder = Folder::open(Arc::new(SystemDisk), folder, run, BEGIN)?;
    let mut segment = folder.begin(BEGIN)?;
    let (mut count, mut sequence) = (0, 0);
    for frame in frames {
        let at = BEGIN + count * nanos;
        if segment.waiting() >= CHUNK {
            segment.end_chunk()?;
            if segment.bytes() >= ROTATE {
                end(&folder, segment, at)?;
                segment = folder.begin(at)?;
            }
        }
        if !segment.frame(SOCKET, sequence, at, frame.as_bytes()) {
            return Err("a frame does not fit into a chunk".into());
        }
        count += 1;
        sequence = sequence.wrapping_add(1);
    }
    let at = BEGIN + count * nanos;
    end(&folder, segment, at)?;
    folder.note_stopped(at)?;
    Ok(count)
}

fn end(folder: &Folder, segment: Segment, at: u64) -> Result<(), Failure> {
    folder.finish(segment, at)?;
    Ok(())
}

/// Bytes of the files of a recording.
///
/// # Errors
/// Those of the disk.
pub fn bytes(folder: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    for file in fs::read_dir(folder)? {
        bytes += file?.metadata()?.len();
    }
    Ok(bytes)
}

/// What the program says, run with these arguments.
///
/// # Errors
/// When it fails.
pub fn run(program: &str, arguments: &[&Path]) -> Result<String, Failure> {
    let output = Command::new(program).args(arguments).env_clear().output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(said)
    } else {
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(format!("{arguments:?}: {}: {said}{errors}", output.status).into())
    }
}
