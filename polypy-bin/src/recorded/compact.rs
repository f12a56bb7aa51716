//! `polypy compact`: a recording for keeping.

use polypy::archive::{Compacted, SystemDisk, check_compacted, compact as compact_file};
use polypy::exit::Exit;

use super::{now, open};
use crate::cli;
use crate::terminal;

pub(crate) fn compact(typed: cli::Compact) -> Exit {
    let recording = match open(&typed.recording) {
        Ok(recording) => recording,
        Err(exit) => return exit,
    };
    let mut exit = Exit::Clean;
    for file in &recording.files {
        if file.is_unfinished {
            terminal::say(&format_args!("{}: not finished, left as it is", file.name));
            continue;
        }
        let compacted = match file.former {
            Some(_) => check_compacted(&SystemDisk, &file.path).map(|()| None),
            None => compact_file(&SystemDisk, &file.path, now()).map(Some),
        };
        let line = match compacted {
            Ok(None) => format!("{}: compacted before\n", file.name),
            Ok(Some(Compacted::Smaller(now, was))) => {
                let percent = now.bytes.saturating_mul(100) / was.max(1);
                let bytes = now.bytes;
                format!("{}: {bytes} bytes, {percent} % of {was}\n", file.name)
            }
            Ok(Some(_)) => format!("{}: as it was\n", file.name),
            Err(error) => {
                terminal::say(&format_args!("{}: left as it was: {error}", file.name));
                exit = Exit::NotWhole;
                continue;
            }
        };
        if let Err(failed) = terminal::print_more(&line) {
            return failed;
        }
    }
    exit
}
