//! `polypy import`: frames that somebody kept otherwise become a recording.

use std::io::ErrorKind;

use polypy::exit::Exit;
use polypy::recordings::import as import_file;
use polypy::recordings::import::ImportError;

use super::now;
use crate::cli;
use crate::terminal;

pub(crate) fn import(mut typed: cli::Import) -> Exit {
    let Some(folder) = typed.paths.pop() else {
        return Exit::Usage;
    };
    let mut worst = 0;
    for path in &typed.paths {
        let imported = match import_file(path, &folder, now()) {
            Ok(imported) => imported,
            Err(error) => {
                terminal::say(&error);
                return match error {
                    ImportError::Read { error, .. } if error.kind() == ErrorKind::NotFound => {
                        Exit::NoInput
                    }
                    ImportError::Read { .. } => Exit::Unreadable,
                    // What is left has to do with the folder.
                    _ => Exit::Failure,
                };
            }
        };
        let shown = path.display();
        if let Some(first) = &imported.left_out.first {
            let lines = imported.left_out.lines - u64::from(imported.left_out.rest.is_some());
            terminal::say(&format_args!("{shown}: left out {lines} lines; {first}"));
            worst = worst.max(1);
        }
        if let Some(rest) = &imported.left_out.rest {
            terminal::say(&format_args!(
                "{shown}: {rest}; what is before that was imported"
            ));
            worst = worst.max(1);
        }
        if imported.files.is_empty() {
            terminal::say(&format_args!("{shown}: no line is a frame or a book"));
            worst = 2;
        }
        for file in &imported.files {
            let line = format!(
                "{shown}: {} frames in {} entries, {} bytes, {}\n",
                file.frames,
                file.entries,
                file.bytes,
                file.path.display()
            );
            if let Err(failed) = terminal::print_more(&line) {
                return failed;
            }
        }
    }
    [Exit::Clean, Exit::NotWhole, Exit::Unreadable][worst]
}
