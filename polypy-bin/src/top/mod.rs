//! `polypy top`: a running server on a screen of text.
//!
//! | file | |
//! |---|---|
//! | `model` | what is shown, and what a key or an answer does to it |
//! | `draw`, `words`, `look` | how that looks |
//! | `screen` | the terminal, taken over and given back |
//! | `live` | the screen while it lives |
//! | `once` | the same once, without a screen |

mod draw;
mod live;
mod look;
mod model;
mod once;
mod screen;
mod words;

use std::io::{self, IsTerminal};

use polypy::exit::Exit;

use crate::cli;
use crate::follow::{self, Target};
use crate::terminal;
use look::Look;
use model::{Kind, Model, Question};

/// Rows of a table that is printed once.
const ROWS: u16 = 20;

/// Shows a running server until somebody ends it; once if that is asked for, or if nobody
/// looks.
pub(crate) fn top(typed: cli::Top, variables: Vec<(String, String)>) -> Exit {
    let kind = if typed.connections {
        Kind::Connections
    } else {
        Kind::Markets
    };
    let words = typed.query.join(" ");
    let sort = match sort(kind, typed.sort.as_deref(), &words) {
        Ok(sort) => sort,
        Err(known) => {
            terminal::say(&format_args!(
                "--sort: {} are sorted by {known}",
                kind.name()
            ));
            return Exit::Usage;
        }
    };
    let is_seen = io::stdout().is_terminal() && !is_dumb();
    let is_once = typed.once || typed.json || !is_seen;
    let (delay, json) = (typed.delay, typed.json);
    let limit = typed.limit.unwrap_or(ROWS);
    let target = match Target::find(typed.server, variables) {
        Ok(target) => target,
        Err(exit) => return exit,
    };
    follow::run(async move {
        let client = match target.client() {
            Ok(client) => client,
            Err(exit) => return exit,
        };
        if is_once {
            let question = Question {
                kind,
                sort,
                words,
                limit,
            };
            return once::once(&target, &client, question, json).await;
        }
        let look = Look {
            has_colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        let model = Model::new(kind, sort, words, (0, 0));
        live::live(&target, &client, model, delay, look).await
    })
}

/// The order that was asked for, or the usual one; the known ones if there is no such.
fn sort(kind: Kind, asked: Option<&str>, words: &str) -> Result<&'static str, String> {
    let sorts = kind.sorts();
    match asked {
        None if kind == Kind::Markets && !words.is_empty() => Ok("relevance"),
        None => Ok(sorts[0]),
        Some("relevance") if kind == Kind::Markets && !words.is_empty() => Ok("relevance"),
        Some(asked) => {
            let known = sorts.iter().find(|known| **known == asked).copied();
            known.ok_or_else(|| sorts.join(", "))
        }
    }
}

/// A terminal that can move no cursor.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|name| name == "dumb" || name.is_empty())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
