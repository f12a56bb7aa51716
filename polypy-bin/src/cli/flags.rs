//! Flags made from the table of keys.

use std::sync::LazyLock;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use polypy::config::{FORMER, Former, Key, Layer, SECTIONS, Source};

/// What clap borrows for as long as the program runs.
struct Text {
    key: &'static Key,
    long: String,
    /// The flag where only `[sim]` is configured: `--markets` for `--sim-markets`.
    #[cfg(feature = "sim")]
    short_long: String,
    help: String,
    heading: String,
}

static TEXTS: LazyLock<Vec<Text>> = LazyLock::new(|| {
    let sections = SECTIONS.iter();
    sections
        .flat_map(|section| section.keys().map(move |key| (section, key)))
        .map(|(section, key)| {
            let long = key.flag();
            let default = Some(key.default).filter(|default| !default.is_empty());
            let default = default.map_or(String::new(), |text| format!(" [default: {text}]"));
            Text {
                key,
                #[cfg(feature = "sim")]
                short_long: long.trim_start_matches("sim-").to_owned(),
                long,
                help: format!("{}{default} [env: {}]", key.doc(), key.env()),
                heading: format!("[{}]", section.name),
            }
        })
        .collect()
});

/// Keys that `-h` shows; `--help` shows all.
const EVERYDAY: [&str; 6] = [
    "http.enabled",
    "http.port",
    "log.level",
    "log.format",
    "markets.max_markets",
    "workers.count",
];

/// Every key's flag.
#[derive(Debug)]
pub(crate) struct AllKeys(pub(crate) Layer);

#[cfg(feature = "sim")]
/// The flags of the embedded exchange and of the log.
#[derive(Debug)]
pub(crate) struct SimKeys(pub(crate) Layer);

/// The flags of what is followed, and of the venue.
#[derive(Debug)]
pub(crate) struct MarketKeys(pub(crate) Layer);

fn market_texts() -> impl Iterator<Item = &'static Text> {
    TEXTS
        .iter()
        .filter(|text| matches!(text.key.section, "markets" | "venue"))
}

#[cfg(feature = "sim")]
fn sim_texts() -> impl Iterator<Item = &'static Text> {
    TEXTS
        .iter()
        .filter(|text| matches!(text.key.section, "sim" | "log"))
}

fn flag(text: &'static Text, long: &'static str) -> Arg {
    let flag = Arg::new(text.key.name)
        .long(long)
        .help(&*text.help)
        .help_heading(&*text.heading)
        .value_name(text.key.shape)
        // A value below zero is a mistake of the configuration, told with the others.
        .allow_negative_numbers(true)
        .action(ArgAction::Set);
    if text.key.is_switch() {
        flag.num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
    } else {
        flag
    }
}

fn layer<'a>(
    matches: &ArgMatches,
    flags: impl IntoIterator<Item = (&'static Key, &'a str)>,
) -> Layer {
    let mut layer = Layer::default();
    for (key, long) in flags {
        if let Some(text) = matches.get_one::<String>(key.name) {
            let source = Source::Flag {
                flag: format!("--{long}"),
            };
            layer.set(key, text.clone(), source);
        }
    }
    layer
}

/// Flags of former names, which no help shows.
static FORMER_FLAGS: LazyLock<Vec<(&'static Former, String)>> = LazyLock::new(|| {
    FORMER
        .iter()
        .map(|former| (former, former.flag()))
        .collect()
});

/// Values that were typed under former names.
fn former_layer(layer: &mut Layer, matches: &ArgMatches) {
    for (former, long) in &*FORMER_FLAGS {
        if let Some(text) = matches.get_one::<String>(former.name) {
            let flag = format!("--{long}");
            layer.set_former(former, text.clone(), Source::Flag { flag });
        }
    }
}

impl Args for AllKeys {
    fn augment_args(command: Command) -> Command {
        let command = FORMER_FLAGS
            .iter()
            .fold(command, |command, (former, long)| {
                let flag = Arg::new(former.name).long(long.as_str()).hide(true);
                command.arg(flag.allow_negative_numbers(true))
            });
        TEXTS.iter().fold(command, |command, text| {
            let everyday = EVERYDAY.contains(&text.key.name);
            command.arg(flag(text, &text.long).hide_short_help(!everyday))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for AllKeys {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let flags = TEXTS.iter().map(|text| (text.key, text.long.as_str()));
        let mut layer = layer(matches, flags);
        former_layer(&mut layer, matches);
        Ok(Self(layer))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for MarketKeys {
    fn augment_args(command: Command) -> Command {
        market_texts().fold(command, |command, text| {
            command.arg(flag(text, &text.long).hide_short_help(true))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for MarketKeys {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let flags = market_texts().map(|text| (text.key, text.long.as_str()));
        Ok(Self(layer(matches, flags)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(feature = "sim")]
impl Args for SimKeys {
    fn augment_args(command: Command) -> Command {
        sim_texts().fold(command, |command, text| {
            command.arg(flag(text, &text.short_long))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

#[cfg(feature = "sim")]
impl FromArgMatches for SimKeys {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let flags = sim_texts().map(|text| (text.key, text.short_long.as_str()));
        Ok(Self(layer(matches, flags)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use polypy::config::KEYS;

    use super::*;

    #[test]
    fn every_key_has_a_flag() {
        let command = AllKeys::augment_args(Command::new("test"));
        for key in KEYS {
            let flag = key.flag();
            let found = command
                .get_arguments()
                .any(|arg| arg.get_long() == Some(&flag));
            assert!(found, "--{flag}");
        }
    }

    #[test]
    fn everyday_keys_exist() {
        for name in EVERYDAY {
            assert!(KEYS.iter().any(|key| key.name == name), "{name}");
        }
    }

    #[test]
    fn a_switch_may_stand_alone_or_carry_a_value() {
        let read = |args: &[&str]| {
            let command = AllKeys::augment_args(Command::new("test").no_binary_name(true));
            let matches = command.try_get_matches_from(args).unwrap();
            matches.get_one::<String>("http.enabled").cloned()
        };
        assert_eq!(read(&[]), None);
        assert_eq!(read(&["--enable-http"]).as_deref(), Some("true"));
        assert_eq!(read(&["--enable-http=no"]).as_deref(), Some("no"));
    }
}
