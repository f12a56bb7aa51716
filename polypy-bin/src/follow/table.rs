//! Markets as a table: a row for each token, the question beside them.

use polypy_client::message::Trust;
use polypy_client::reads::{Market, Token};

use super::line::plain;
use super::shown::{cut, padded, width, wrapped};

/// Digits of an id that are shown at least.
const LEAST_DIGITS: usize = 10;
/// Columns that a question has at least, and an outcome at most beside others.
const LEAST_QUESTION: usize = 20;
const MOST_OUTCOME: usize = 12;
const GAP: &str = "  ";

/// What it is written on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paper {
    /// A terminal of so many columns.
    Wide(usize),
    /// What a program reads: nothing is cut, and each row stands for itself.
    Endless,
}

/// A row, but for the question.
struct Row {
    outcome: String,
    bid: String,
    ask: String,
    token: String,
    ends: String,
    day: String,
}

impl Row {
    const NAMES: [&str; 6] = ["OUTCOME", "BID", "ASK", "TOKEN", "ENDS", "DAY"];

    fn cells(&self) -> [&str; 6] {
        [
            &self.outcome,
            &self.bid,
            &self.ask,
            &self.token,
            &self.ends,
            &self.day,
        ]
    }
}

/// The table, with its head. Token ids are as short as they can be told apart.
pub(super) fn table(markets: &[Market], paper: Paper, now_ms: i64) -> String {
    let tokens = markets.iter().flat_map(|market| &market.tokens);
    let ids: Vec<_> = tokens.map(|token| token.token_id.as_str()).collect();
    let digits = shortest(&ids);
    let rows: Vec<Vec<Row>> = markets
        .iter()
        .map(|market| rows(market, paper, digits, now_ms))
        .collect();
    let mut widths = Row::NAMES.map(width);
    for row in rows.iter().flatten() {
        for (most, cell) in widths.iter_mut().zip(row.cells()) {
            *most = width(cell).max(*most);
        }
    }
    let others: usize = widths.iter().map(|width| width + GAP.len()).sum();
    let questions = markets.iter().map(|market| plain(&market.question));
    let questions: Vec<_> = questions.collect();
    let longest = questions.iter().map(|text| width(text)).max().unwrap_or(0);
    let room = match paper {
        Paper::Wide(columns) => columns.saturating_sub(others).max(LEAST_QUESTION),
        Paper::Endless => longest,
    };
    let room = room.min(longest.max("QUESTION".len()));
    let mut text = line("QUESTION", Row::NAMES, room, widths);
    for (question, rows) in questions.iter().zip(&rows) {
        let parts = match paper {
            Paper::Wide(_) => wrapped(question, room, rows.len()),
            Paper::Endless => vec![question.clone(); rows.len()],
        };
        for (at, row) in rows.iter().enumerate() {
            let question = parts.get(at).map_or("", String::as_str);
            text.push_str(&line(question, row.cells(), room, widths));
        }
    }
    text
}

fn line(question: &str, cells: [&str; 6], room: usize, widths: [usize; 6]) -> String {
    let mut line = padded(question, room);
    for (cell, width) in cells.into_iter().zip(widths) {
        line.push_str(GAP);
        line.push_str(&padded(cell, width));
    }
    format!("{}\n", line.trim_end())
}

fn rows(market: &Market, paper: Paper, digits: usize, now_ms: i64) -> Vec<Row> {
    let ends = ends(market, now_ms);
    let day = market.volume_day.as_deref().map_or("-".to_owned(), dollars);
    let row = |(at, token): (usize, &Token)| {
        let (bid, ask) = prices(market, token);
        let outcome = plain(&token.outcome);
        let is_first = at == 0 || paper == Paper::Endless;
        let once = |text: &String| {
            if is_first {
                text.clone()
            } else {
                String::new()
            }
        };
        let id = token.token_id.as_str();
        Row {
            outcome: match paper {
                Paper::Wide(_) => cut(&outcome, MOST_OUTCOME),
                Paper::Endless => outcome,
            },
            bid,
            ask,
            token: id.get(..digits).unwrap_or(id).to_owned(),
            ends: once(&ends),
            day: once(&day),
        }
    };
    market.tokens.iter().enumerate().map(row).collect()
}

/// How many digits it takes to tell these ids apart.
pub(super) fn shortest(ids: &[&str]) -> usize {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    let shared = ids.windows(2).map(|pair| {
        let same = pair[0].bytes().zip(pair[1].bytes());
        same.take_while(|(a, b)| a == b).count()
    });
    shared
        .max()
        .map_or(LEAST_DIGITS, |shared| LEAST_DIGITS.max(shared + 1))
}

/// Best bid and ask, or in their place why there are none to trade on.
fn prices(market: &Market, token: &Token) -> (String, String) {
    let none = || "-".to_owned();
    if let Some(resolution) = &market.resolution {
        let won = resolution
            .winner
            .as_ref()
            .map(|winner| *winner == token.token_id);
        let word = match won {
            Some(true) => "won",
            Some(false) => "lost",
            None => "decided",
        };
        return (word.to_owned(), String::new());
    }
    let Some(top) = &token.top else {
        return match (market.followed, &*market.status) {
            (true, "open") => ("pending".to_owned(), String::new()),
            // None comes any more.
            (true, _) => ("settled".to_owned(), String::new()),
            (false, _) => (none(), none()),
        };
    };
    if top.state != Trust::Live {
        return (top.state.name().to_owned(), String::new());
    }
    let text =
        |price: Option<polypy_core::Price>| price.map_or_else(none, |price| price.to_string());
    (text(top.best_bid), text(top.best_ask))
}

/// When a market ends, from now, or how far it is.
fn ends(market: &Market, now_ms: i64) -> String {
    if market.status != "open" {
        return plain(&market.status);
    }
    end(market.end_ms, now_ms)
}

/// When something ends, from now.
pub(super) fn end(end_ms: Option<i64>, now_ms: i64) -> String {
    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    let Some(end) = end_ms else {
        return "-".to_owned();
    };
    match end.saturating_sub(now_ms) {
        left if left < 0 => "overdue".to_owned(),
        left if left < HOUR => format!("{} min", left / MINUTE),
        left if left < 2 * DAY => format!("{} h", left / HOUR),
        left => format!("{} d", left / DAY),
    }
}

/// Dollars for people: `$1.3M`.
pub(super) fn dollars(text: &str) -> String {
    let Ok(amount) = text.parse::<f64>() else {
        return plain(text);
    };
    match amount {
        _ if amount >= 999_500_000.0 => format!("${:.1}B", amount / 1e9),
        _ if amount >= 999_950.0 => format!("${:.1}M", amount / 1e6),
        _ if amount >= 1_000.0 => format!("${:.1}k", amount / 1e3),
        _ => format!("${amount:.0}"),
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
