//! `polypy check-config`.

use polypy::PolyPy;
use polypy::config::{self, Sources};
use polypy::exit::Exit;

use crate::cli::CheckConfig;
use crate::terminal;

/// Names every mistake, or prints what is in force.
pub(crate) fn check(typed: CheckConfig, variables: Vec<(String, String)>) -> Exit {
    let sources = Sources {
        named_file: typed.file.config,
        variables,
        demo: if typed.demo {
            config::demo_defaults()
        } else {
            config::Layer::default()
        },
        flags: typed.keys.0,
    };
    let loaded = match sources.load() {
        Ok(loaded) => loaded,
        Err(error) => return terminal::refuse(&error),
    };
    // The files it names are read as `run` reads them.
    if let Err(error) = PolyPy::builder().config(loaded.config.clone()).build() {
        terminal::say(&error);
        return Exit::Config;
    }
    match loaded {
        _ if typed.print && terminal::is_output_closed() => {
            terminal::say(&"standard output is closed");
            Exit::Io
        }
        loaded if typed.print => terminal::print(&config::effective(&loaded)),
        loaded => {
            let read = loaded
                .file
                .as_ref()
                .map_or("no file was read".to_owned(), |file| {
                    format!("{} was read", file.display())
                });
            terminal::say(&format_args!("the configuration is valid; {read}"));
            Exit::Clean
        }
    }
}
