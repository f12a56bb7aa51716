//! Standard output and standard error outside the log: data goes to the one,
//! talk to the other. Neither being closed ends the program.

use std::fmt::Display;
use std::io::{self, Write};

use polypy::config::ConfigError;
use polypy::exit::Exit;

/// Writes data to standard output, by those who have more to write.
///
/// # Errors
/// With what the program is to end: cleanly if the reader has seen enough.
pub(crate) fn print_more(text: &str) -> Result<(), Exit> {
    let mut output = io::stdout().lock();
    let written = output.write_all(text.as_bytes());
    written.and_then(|()| output.flush()).map_err(|error| {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Exit::Clean;
        }
        say(&format_args!("standard output cannot be written: {error}"));
        Exit::Io
    })
}

/// Writes data to standard output. A reader that has seen enough is no error.
pub(crate) fn print(text: &str) -> Exit {
    match print_more(text) {
        Ok(()) => Exit::Clean,
        Err(exit) => exit,
    }
}

/// The columns of a terminal; 80 where it does not say.
pub(crate) fn columns(output: &io::Stdout) -> usize {
    let size = rustix::termios::tcgetwinsize(output);
    let columns = size.map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { 80 } else { columns }
}

/// Whether the program was started without a standard output. What Rust opens in
/// its place takes every write; that it is open for reading, too, tells it from
/// what a shell's redirection opens. Elsewhere than on Linux nothing tells.
pub(crate) fn is_output_closed() -> bool {
    const READ_WRITE: u32 = 2;
    let is_nowhere = std::fs::read_link("/proc/self/fd/1")
        .is_ok_and(|target| target == std::path::Path::new("/dev/null"));
    let status = std::fs::read_to_string("/proc/self/fdinfo/1").unwrap_or_default();
    let flags = status.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok());
    is_nowhere && flags.is_some_and(|flags| flags & 3 == READ_WRITE)
}

/// Writes a line to standard error, where the log is not open yet.
pub(crate) fn say(line: &dyn Display) {
    // Who has closed standard error does not want to know.
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// Names every mistake in the configuration.
pub(crate) fn refuse(error: &ConfigError) -> Exit {
    let count = error.mistakes().len();
    let noun = if count == 1 { "mistake" } else { "mistakes" };
    say(&format_args!(
        "{error}\n{count} {noun} in the configuration"
    ));
    Exit::Config
}

/// An error with what caused it.
#[cfg(feature = "sim")]
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Some say their cause themselves.
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}
