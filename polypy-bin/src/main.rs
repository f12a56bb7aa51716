//! The `polypy` command: reads the command line, the environment and signals,
//! and decides the exit code. Everything else is in the library.

mod ask;
mod check;
mod cli;
#[cfg(feature = "sim")]
mod demo;
mod follow;
mod generate;
#[cfg(feature = "archive")]
mod recorded;
mod run;
mod runtime;
mod signals;
#[cfg(feature = "sim")]
mod sim;
mod status;
mod systemd;
mod terminal;
#[cfg(feature = "tui")]
mod top;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use polypy::exit::Exit;

use cli::{Cli, Command};

/// Tens of thousands of books are small pieces of memory each, which one thread asks
/// for and another may let go.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let typed = match Cli::try_parse() {
        Ok(typed) => typed,
        Err(error) => return answer(&cli::with_suggestion(error)).into(),
    };
    // A name that is not Unicode is not ours; a value that is not is refused as it reads.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            Some((name, value.to_string_lossy().into_owned()))
        })
        .collect();
    let exit = match typed.command {
        Command::CheckConfig(typed) => check::check(typed, variables),
        Command::Generate(typed) => generate::generate(&typed),
        Command::Health(typed) => ask::ask(typed, variables),
        Command::Tail(typed) => follow::tail(typed, variables),
        Command::Book(typed) => follow::book(typed, variables),
        Command::Markets(typed) => follow::markets(*typed, variables),
        Command::Events(typed) => follow::events(*typed, variables),
        Command::Trades(typed) => follow::trades(typed, variables),
        #[cfg(feature = "tui")]
        Command::Top(typed) => top::top(typed, variables),
        #[cfg(feature = "archive")]
        Command::Info(typed) => recorded::info(typed),
        #[cfg(feature = "archive")]
        Command::Cat(typed) => recorded::cat(typed),
        #[cfg(feature = "archive")]
        Command::Verify(typed) => recorded::verify(typed),
        #[cfg(feature = "archive")]
        Command::Import(typed) => recorded::import(typed),
        #[cfg(feature = "archive")]
        Command::Repair(typed) => recorded::repair(typed),
        #[cfg(feature = "archive")]
        Command::Compact(typed) => recorded::compact(typed),
        #[cfg(all(feature = "archive", feature = "sim"))]
        Command::Replay(typed) => recorded::replay(typed, variables),
        Command::Run(typed) => run::run(typed, variables),
        #[cfg(feature = "archive")]
        Command::Record(typed) => run::run(typed.into_run(), variables),
        #[cfg(feature = "sim")]
        Command::Sim(typed) => sim::run(typed, variables),
    };
    exit.into()
}

/// `--help` and `--version` are data; anything else was a mistake.
fn answer(error: &clap::Error) -> Exit {
    let asked = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    match error.print() {
        Ok(()) if asked => Exit::Clean,
        Ok(()) => Exit::Usage,
        Err(failure) if failure.kind() == std::io::ErrorKind::BrokenPipe && asked => Exit::Clean,
        Err(_) if asked => Exit::Io,
        Err(_) => Exit::Usage,
    }
}
