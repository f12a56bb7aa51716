//! What the program's exit code says.

use std::process::ExitCode;

/// How a run of the program ended. The numbers follow `sysexits.h` where it has
/// a word for the case, and the shell's custom for signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// All went well; a signal that was obeyed in full counts as well.
    Clean,
    /// The program could not start, a part of it died, or the disk did not take the last of what
    /// was to be recorded.
    Failure,
    /// The command line was not understood.
    Usage,
    /// A recording is not whole: something of it is damaged, missing or contradicted.
    NotWhole,
    /// Nothing of what was named can be read.
    Unreadable,
    /// What was named is not there: a recording, or a token in it.
    NoInput,
    /// Standard output could not be written.
    Io,
    /// The configuration has mistakes; all of them have been named.
    Config,
    /// A second interrupt (Ctrl-C) cut the drain short.
    Interrupted,
    /// A second SIGTERM cut the drain short.
    Terminated,
}

impl Exit {
    /// All of them, with what `--help` says of each.
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::Clean, "clean end, also by a signal"),
        (
            Self::Failure,
            "could not start, a part died, or the end of a recording is lost",
        ),
        (Self::Usage, "command line not understood"),
        (Self::NotWhole, "a recording is not whole"),
        (Self::Unreadable, "a recording cannot be read"),
        (
            Self::NoInput,
            "there is no such recording, or no such token in it",
        ),
        (Self::Io, "standard output could not be written"),
        (Self::Config, "mistakes in the configuration"),
        (Self::Interrupted, "drain cut short by a second interrupt"),
        (Self::Terminated, "drain cut short by a second SIGTERM"),
    ];

    /// The code.
    pub fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::NotWhole => 3,
            Self::Unreadable => 65,
            Self::NoInput => 66,
            Self::Io => 74,
            Self::Config => 78,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
