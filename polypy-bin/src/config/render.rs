//! The table of keys as people read it: the example file, the documentation's
//! tables, and the values in force.

use std::fmt::Write;

use super::Loaded;
use super::table::{Config, Key, SECTIONS};

/// Widest comment line of the example file.
const COMMENT_WIDTH: usize = 92;

/// `polypy.example.toml`: every key with its default, commented as in the table.
pub fn example() -> String {
    let mut text = String::from(
        "# Every key of PolyPy with its default. Read from --config, else the first of\n\
         # ./polypy.toml, $XDG_CONFIG_HOME/polypy/polypy.toml and /etc/polypy/polypy.toml.\n\
         # Environment variables outrank this file, flags outrank both;\n\
         # `polypy check-config --print` shows what is in force and why.\n",
    );
    let defaults = Config::default();
    for section in SECTIONS {
        text.push('\n');
        push_comment(&mut text, &section.doc());
        text.push_str(&format!("[{}]\n", section.name));
        for key in section.keys() {
            push_comment(&mut text, &format!("{}{}", key.doc(), range(key)));
            text.push_str(&format!("{} = {}\n", key.field, literal(key, &defaults)));
        }
    }
    text
}

/// The tables of `docs/configuration.md`: every key by section.
pub fn documentation() -> String {
    let mut text = String::new();
    for section in SECTIONS {
        text.push_str(&format!(
            "### `[{}]`\n\n{}\n\n",
            section.name,
            section.doc()
        ));
        text.push_str("| key | variable | flag | default | meaning |\n|---|---|---|---|---|\n");
        for key in section.keys() {
            let default = match key.default {
                "" => "none".to_owned(),
                default => format!("`{default}`"),
            };
            text.push_str(&format!(
                "| `{}` | `{}` | `--{}` | {default} | {}{} |\n",
                key.field,
                key.env(),
                key.flag(),
                key.doc().replace('|', "\\|"),
                range(key),
            ));
        }
        text.push('\n');
    }
    text
}

/// Every value in force and its origin, as lines that are valid TOML.
pub fn effective(loaded: &Loaded) -> String {
    let lines = SECTIONS.iter().flat_map(|section| section.keys());
    let lines: Vec<(String, String)> = lines
        .map(|key| {
            let value = literal(key, &loaded.config);
            (
                format!("{} = {value}", key.name),
                loaded.origin(key).to_string(),
            )
        })
        .collect();
    let width = lines
        .iter()
        .map(|(left, _)| left.chars().count())
        .max()
        .unwrap_or_default();
    lines.iter().fold(String::new(), |mut text, (left, right)| {
        // Writing to a String cannot fail.
        let written = writeln!(text, "{left:width$}  # {}", right.escape_debug());
        debug_assert!(written.is_ok());
        text
    })
}

/// The key's value as TOML writes it.
fn literal(key: &Key, config: &Config) -> String {
    let shown = key.show(config);
    if key.bare { shown } else { quoted(&shown) }
}

/// A text in quotes, as TOML has it: in single ones where that saves escapes.
fn quoted(text: &str) -> String {
    let needs_escapes = text.contains(['"', '\\']);
    if needs_escapes && !text.contains(|c: char| c == '\'' || c.is_control()) {
        return format!("'{text}'");
    }
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_control() => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(letter)));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

fn range(key: &Key) -> String {
    key.range
        .map(|(low, high)| format!(" {low} to {high}."))
        .unwrap_or_default()
}

fn push_comment(text: &mut String, words: &str) {
    let mut line = String::from("#");
    for word in words.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > COMMENT_WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_quoted_reads_as_it_was(text in ".*|['\"\\\\\n\t a]{0,8}") {
            let document: toml::Table = format!("a = {}", quoted(&text)).parse().unwrap();
            prop_assert_eq!(document["a"].as_str(), Some(&*text));
        }
    }
}
