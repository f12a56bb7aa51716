//! `polypy generate`: man pages and completions, made from what `--help` is made from.

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;
use polypy::exit::Exit;

use crate::cli::{self, Cli};
use crate::terminal;

const PROGRAM: &str = "polypy";
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// Writes `man/polypy*.1` and `completions/` into the folder.
pub(crate) fn generate(typed: &cli::Generate) -> Exit {
    match write(typed) {
        Ok(()) => Exit::Clean,
        Err(error) => {
            let folder = typed.folder.display();
            terminal::say(&format_args!("{folder} cannot be written to: {error}"));
            Exit::Io
        }
    }
}

fn write(typed: &cli::Generate) -> io::Result<()> {
    let folder = &typed.folder;
    let man = folder.join("man");
    fs::create_dir_all(&man)?;
    // `polypy help` says what the pages say.
    let mut command = in_full(Cli::command().disable_help_subcommand(true));
    command.build();
    write_pages(command.clone(), &typed.date, &man)?;
    let completions = folder.join("completions");
    fs::create_dir_all(&completions)?;
    for shell in SHELLS {
        generate_to(shell, &mut command, PROGRAM, &completions)?;
    }
    Ok(())
}

/// The page of the command, and those of its own commands.
fn write_pages(command: Command, date: &str, folder: &Path) -> io::Result<()> {
    let shown = command.get_subcommands().filter(|own| !own.is_hide_set());
    for own in shown.cloned() {
        write_pages(own, date, folder)?;
    }
    // Each field is said: an empty one would be taken for the one behind it.
    let page = Man::new(command)
        .date(date)
        .source(concat!("polypy ", env!("CARGO_PKG_VERSION")))
        .manual("PolyPy");
    page.generate_to(folder).map(drop)
}

/// The command with all that `--help` has and `-h` leaves out.
fn in_full(command: Command) -> Command {
    let command = command.mut_args(|arg| arg.hide_short_help(false));
    command.mut_subcommands(in_full)
}
