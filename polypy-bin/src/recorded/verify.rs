//! `polypy verify`: whether a recording holds what it says.

use polypy::exit::Exit;
use polypy::recordings::{Source, SourceError, verify_source};

use super::progress::Progress;
use crate::cli;
use crate::terminal;

pub(crate) fn verify(typed: cli::Verify) -> Exit {
    let verified = Source::open(&typed.recording).and_then(|source| {
        let mut progress = Progress::of("verifying:");
        verify_source(source, &mut |done, all| progress.tell(done, all))
    });
    let mut report = match verified {
        Ok(report) => report,
        Err(error) => return refuse(&error),
    };
    report.is_strict = typed.strict;
    let exit = if report.is_unreadable() {
        Exit::Unreadable
    } else if report.is_whole() && (report.is_gapless() || !typed.strict) {
        Exit::Clean
    } else {
        Exit::NotWhole
    };
    if let Some(token) = &typed.token
        && !report.list_only(token)
        && exit != Exit::Unreadable
    {
        terminal::say(&format_args!("the recording has no book of token {token}"));
        return Exit::NoInput;
    }
    let text = if typed.json {
        format!("{}\n", report.to_json())
    } else {
        report.page()
    };
    match terminal::print_more(&text) {
        Err(failed) if failed != Exit::Clean => failed,
        Ok(()) | Err(_) => exit,
    }
}

/// Says why there is nothing to read.
pub(super) fn refuse(error: &SourceError) -> Exit {
    terminal::say(error);
    if error.is_missing() {
        Exit::NoInput
    } else {
        Exit::Unreadable
    }
}
