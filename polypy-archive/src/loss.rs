//! What is lost where the disk fails, and why it was.

use std::io;

/// Nothing is written from now on.
#[derive(Debug)]
pub(crate) struct Loss {
    /// Why, in a word.
    pub(crate) reason: &'static str,
    /// What came after this is not on the disk.
    pub(crate) from: Option<u64>,
    /// How many frames that are; `None` where nobody knows what the disk has.
    pub(crate) frames: Option<u64>,
    /// The disk has nothing of what was given to it since the loss before.
    pub(crate) goes_on: bool,
    /// What the file has never had of what was given to it.
    pub(crate) unwritten: Given,
}

/// What of a file is lost: the parts of a [`Loss`].
#[derive(Debug, Default)]
pub(crate) struct Lost {
    pub(crate) from: Option<u64>,
    pub(crate) frames: Option<u64>,
    pub(crate) goes_on: bool,
    pub(crate) unwritten: Given,
}

impl Lost {
    /// The file was finished; what comes behind it is lost.
    pub(crate) fn nothing_since(last: Option<u64>) -> Self {
        Self {
            from: last,
            frames: Some(0),
            ..Self::default()
        }
    }
}

/// Frames that were given to a file.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Given {
    /// Those that are JSON.
    pub(crate) frames: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// The others.
    pub(crate) control: u64,
}

impl Given {
    /// A JSON frame of so many bytes.
    pub(crate) fn frame(bytes: usize) -> Self {
        Self {
            frames: 1,
            bytes: bytes as u64,
            control: 0,
        }
    }

    /// Another one.
    pub(crate) fn control() -> Self {
        Self {
            control: 1,
            ..Self::default()
        }
    }

    /// Frames of both kinds.
    pub(crate) fn all(self) -> u64 {
        self.frames + self.control
    }

    /// As many more.
    pub(crate) fn add(&mut self, more: Self) {
        self.frames += more.frames;
        self.bytes += more.bytes;
        self.control += more.control;
    }

    /// Makes up for what was counted ahead: what of `given` is to be counted still.
    pub(crate) fn make_up(&mut self, given: Self) -> Self {
        let take = |ahead: &mut u64, given: u64| {
            let made_up = given.min(*ahead);
            *ahead -= made_up;
            given - made_up
        };
        Self {
            frames: take(&mut self.frames, given.frames),
            bytes: take(&mut self.bytes, given.bytes),
            control: take(&mut self.control, given.control),
        }
    }
}

/// Why.
#[derive(Debug)]
pub(crate) enum Failure {
    Disk(io::Error),
    Reserve {
        free: u64,
    },
    /// Somebody has removed the file, or its folder.
    Gone,
    Panic,
}

/// Whether there is no room, on the disk or for this user.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// What to do about a disk that is full.
const MAKE_ROOM: &str =
    "make room and it goes on by itself; record.keep_bytes and record.keep_for bound what it takes";

impl Failure {
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Disk(error) if is_full(error) => "disk_full",
            Self::Disk(_) => "disk_failed",
            Self::Reserve { .. } => "disk_reserve",
            Self::Gone => "disk_removed",
            Self::Panic => "recorder_died",
        }
    }

    pub(crate) fn text(&self, reserve: u64) -> String {
        match self {
            Self::Disk(error) if is_full(error) => {
                format!("the recording cannot be written: {error}; {MAKE_ROOM}")
            }
            Self::Disk(error) => format!("the recording cannot be written: {error}"),
            Self::Reserve { free } => format!(
                "the disk of the recording has {free} bytes left and {reserve} are reserved \
                 (record.disk_reserve); {MAKE_ROOM}"
            ),
            Self::Gone => "the file that was being recorded to is gone: somebody has removed or \
                           moved it, or its folder"
                .to_owned(),
            Self::Panic => "the writer of the recording panicked".to_owned(),
        }
    }
}
