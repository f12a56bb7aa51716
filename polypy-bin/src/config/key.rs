//! A key of the configuration, and a group of them: what the table has of each.

use super::table::{Config, KEYS};
use super::value::Setting;

/// A key: one row of the table.
#[derive(Debug)]
pub struct Key {
    /// `section.field`: the name in mistakes and documents, and the TOML path.
    pub name: &'static str,
    /// Its section, the first half of its name.
    pub section: &'static str,
    /// Its field, the second half of its name.
    pub field: &'static str,
    /// The default, as a person would write it.
    pub default: &'static str,
    /// What to write, from [`Setting::SHAPE`].
    pub shape: &'static str,
    /// Whether TOML writes the value without quotes.
    pub bare: bool,
    /// Whether it has several values; TOML may write them as an array.
    pub list: bool,
    /// The accepted range, lowest and highest value.
    pub range: Option<(&'static str, &'static str)>,
    pub(super) doc: &'static [&'static str],
    pub(super) env: Option<&'static str>,
    pub(super) flag: Option<&'static str>,
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
    pub(super) show: fn(&Config) -> String,
}

impl Key {
    /// The environment variable.
    pub fn env(&self) -> String {
        self.env.map_or_else(|| self.long_env(), str::to_owned)
    }

    /// The name that its variable has by rule. A key with another one has both.
    pub fn long_env(&self) -> String {
        format!("POLYPY_{}__{}", self.section, self.field).to_ascii_uppercase()
    }

    /// Whether `variable` is another name of its variable. Those of proxies are written
    /// in lower case, too, by custom.
    pub(super) fn has_env(&self, variable: &str) -> bool {
        let is_proxy = |name: &str| name.ends_with("_PROXY");
        let lower_case = self.env.filter(|name| is_proxy(name));
        lower_case.is_some_and(|name| {
            variable.bytes().all(|byte| !byte.is_ascii_uppercase())
                && name.eq_ignore_ascii_case(variable)
        })
    }

    /// The flag, without its dashes.
    pub fn flag(&self) -> String {
        self.flag.map_or_else(
            || format!("{}-{}", self.section, self.field).replace('_', "-"),
            str::to_owned,
        )
    }

    /// What it does, in a sentence or two.
    pub fn doc(&self) -> String {
        joined(self.doc)
    }

    /// Sets it from what a person wrote.
    ///
    /// # Errors
    /// The reason, worded to follow the key's name.
    pub fn set(&self, config: &mut Config, text: &str) -> Result<(), String> {
        (self.set)(config, text)
    }

    /// Its value, as a person would write it.
    pub fn show(&self, config: &Config) -> String {
        (self.show)(config)
    }

    /// Whether a value is a truth: its flag may stand without one.
    pub fn is_switch(&self) -> bool {
        self.shape == bool::SHAPE
    }
}

/// A group of keys.
#[derive(Debug)]
pub struct Section {
    /// Its name.
    pub name: &'static str,
    pub(super) doc: &'static [&'static str],
}

impl Section {
    /// What its keys have in common.
    pub fn doc(&self) -> String {
        joined(self.doc)
    }

    /// Its keys, in the order of the table.
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> {
        KEYS.iter().filter(|key| key.section == self.name)
    }
}

fn joined(lines: &[&str]) -> String {
    lines
        .iter()
        .map(|line| line.trim())
        .collect::<Vec<_>>()
        .join(" ")
}
