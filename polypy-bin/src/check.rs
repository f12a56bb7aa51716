//! `polypy check-config`.

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
    match sources.load() {
        Ok(_) if typed.print && terminal::is_output_closed() => {
            terminal::say(&"standard output is closed");
            Exit::Io
        }
        Ok(loaded) if typed.print => terminal::print(&config::effective(&loaded)),
        Ok(loaded) => {
            let read = loaded
                .file
                .as_ref()
                .map_or("no file was read".to_owned(), |file| {
                    format!("{} was read", file.display())
                });
            terminal::say(&format_args!("the configuration is valid; {read}"));
            Exit::Clean
        }
        Err(error) => terminal::refuse(&error),
    }
}
