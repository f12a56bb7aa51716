//! Standard output and standard error outside the log: data goes to the one,
//! talk to the other. Neither being closed ends the program.

use std::fmt::Display;
use std::io::{self, Write};

use polypy::config::ConfigError;
use polypy::exit::Exit;

/// Writes data to standard output. A reader that has seen enough is no error.
pub(crate) fn print(text: &str) -> Exit {
    let mut output = io::stdout().lock();
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        Ok(()) => Exit::Clean,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Clean,
        Err(error) => {
            say(&format_args!("standard output cannot be written: {error}"));
            Exit::Io
        }
    }
}

/// Writes a line to standard error, where the log is not open yet.
pub(crate) fn say(line: &dyn Display) {
    // Whoever closed standard error does not want to know.
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
