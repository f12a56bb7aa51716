//! `polypy check-config`.

use polypy::PolyPy;
use polypy::config::{self, Sources};
#[cfg(feature = "sim")]
use polypy::config::{Config, exchange_config};
use polypy::exit::Exit;
#[cfg(feature = "sim")]
use polypy_sim::Sim;

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
    // The files it names are read as `run` reads them, once: a pipe has them once.
    let builder = PolyPy::builder().loaded(loaded.clone());
    if let Err(error) = builder.read_every_file().build() {
        terminal::say(&error.located(&loaded));
        return Exit::Config;
    }
    #[cfg(feature = "sim")]
    if let Err(exit) = check_exchange(&loaded.config) {
        return exit;
    }
    for renamed in &loaded.renamed {
        terminal::say(renamed);
    }
    for passed_over in &loaded.passed_over {
        terminal::say(passed_over);
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
            // Not of a file that nobody has seen.
            let what = match &*loaded.passed_over {
                [] => "the configuration is valid",
                _ => "what could be read of the configuration is valid",
            };
            terminal::say(&format_args!("{what}; {read}"));
            Exit::Clean
        }
    }
}

/// What `sim` and `run --demo` would refuse, with the files of faults and frames.
#[cfg(feature = "sim")]
fn check_exchange(config: &Config) -> Result<(), Exit> {
    let settings = exchange_config(&config.sim);
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let checked = runtime.map(|runtime| runtime.block_on(Sim::check(&settings)));
    match checked {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            terminal::say(&terminal::chain(&error));
            Err(Exit::Config)
        }
        Err(error) => {
            terminal::say(&format_args!(
                "the exchange's files were not checked: {error}"
            ));
            Err(Exit::Failure)
        }
    }
}
