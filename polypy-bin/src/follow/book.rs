//! `polypy book`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use polypy::exit::Exit;
use polypy_client::{Book, Event, Filter};
use polypy_core::{AssetId, Level, Side, Timestamp};
use serde_json::{Value, json};

use super::ladder::{Head, ladder};
use super::line::plain;
use super::reason::words;
use super::trades::side;
use super::{Target, address, run, short};
use crate::ask::{self, Answer};
use crate::cli;
use crate::terminal;

/// How often a watched book is shown at most.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer that is read: a book of the finest grid, or some tokens.
const MOST_BYTES: usize = 1 << 20;

/// Shows a book, once or for as long as it changes.
pub(crate) fn book(typed: cli::Book, variables: Vec<(String, String)>) -> Exit {
    let token = match typed.token.parse::<AssetId>() {
        Ok(token) => token,
        Err(error) => {
            let typed = typed.token.escape_debug();
            terminal::say(&format_args!(
                "{typed}: {error}: `polypy markets` shows the token ids"
            ));
            return Exit::Usage;
        }
    };
    let (is_watched, json, depth) = (typed.watch, typed.json, usize::from(typed.depth));
    let target = match Target::find(typed.server, variables) {
        Ok(target) => target,
        Err(exit) => return exit,
    };
    run(async {
        let token = match short::meant(&target, token).await {
            Ok(token) => token,
            Err(exit) => return exit,
        };
        let shown = if is_watched {
            watch(&target, &token, depth, json).await
        } else {
            show(&target, &token, depth, json).await
        };
        match shown {
            Ok(()) => Exit::Clean,
            Err(exit) => exit,
        }
    })
}

async fn show(target: &Target, token: &AssetId, depth: usize, json: bool) -> Result<(), Exit> {
    let answer = ask(target, &format!("/orderbook/{token}?depth={depth}")).await?;
    let body = &answer.body;
    let is_found = body["found"] == true;
    if !is_found && body["found"] != false {
        // Not an answer about a book: a refusal, or another program.
        let error = body["error"]
            .as_str()
            .unwrap_or("an answer that is no book");
        target.say(&format!("{error}{}", remedy(target, body)));
        return Err(Exit::Failure);
    }
    if json {
        terminal::print_more(&format!("{body}\n"))?;
        return if is_found { Ok(()) } else { Err(Exit::Failure) };
    }
    if !is_found {
        return Err(absent(target, token, body["state"].as_str()).await);
    }
    let levels = |side: &str| -> Vec<Level> {
        let rows = body[side].as_array().into_iter().flatten();
        let rows = rows.filter_map(|row| {
            let (price, size) = (row[0].as_str()?, row[1].as_str()?);
            Some(Level::new(price.parse().ok()?, size.parse().ok()?))
        });
        rows.collect()
    };
    let head = Head {
        trust: trust(
            body["state"].as_str().unwrap_or("unknown"),
            body["reason"].as_str(),
            body["hash_verified"].as_bool(),
        ),
        detail: format!(
            "epoch {}, sequence {}, {} bids and {} asks, changed {} ms ago\n{}",
            body["epoch"],
            body["sequence"],
            body["bid_levels"],
            body["ask_levels"],
            body["age_ms"],
            last_trade(&body["last_trade"]),
        ),
    };
    terminal::print_more(&ladder(&head, &levels("bids"), &levels("asks")))
}

async fn watch(target: &Target, token: &AssetId, depth: usize, json: bool) -> Result<(), Exit> {
    let mut filter = Filter::everything()
        .tokens([token.as_str()])
        .channels(["book", "state"])
        .conflated(INTERVAL);
    // The least of the depths that streams have and that is enough; all levels otherwise.
    let depths = [1_u16, 5, 10, 20, 50, 100];
    if let Some(enough) = depths.into_iter().find(|most| usize::from(*most) >= depth) {
        filter = filter.depth(u32::from(enough));
    }
    let mut stream = target.client()?.subscribe(filter);
    let is_terminal = std::io::stdout().is_terminal();
    let mut was_connected = false;
    let mut last: Option<Shown> = None;
    loop {
        let event = match stream.next().await {
            Ok(event) => event,
            Err(error) => {
                let text = error.to_string();
                if text.contains(token.as_str()) {
                    return Err(absent(target, token, None).await);
                }
                return Err(target.refused(&error));
            }
        };
        match event {
            Event::Message(_) => was_connected = true,
            Event::Lost { cause, .. } if !was_connected => return Err(target.lost(&cause)),
            Event::Lost { cause, retry } if json || !is_terminal => {
                let wait = retry.as_secs_f64();
                target.say(&format!("{cause}; asking again in {wait:.1} s"));
            }
            _ => {}
        }
        let Some(book) = stream.books().get(token.as_str()) else {
            continue;
        };
        // What happens below the depth is nothing that is shown.
        let shown = Shown::of(book, depth);
        if last.as_ref() == Some(&shown) {
            continue;
        }
        let text = if json {
            format!("{}\n", shown.json(token, book))
        } else {
            // From the upper left corner, and nothing of before below it.
            let (before, after) = if is_terminal {
                ("\x1b[H\x1b[J", "")
            } else {
                ("", "\n")
            };
            format!("{before}{}{after}", shown.text(book))
        };
        last = Some(shown);
        terminal::print_more(&text)?;
    }
}

/// What is shown of a watched book: another line comes when this is another one.
#[derive(Debug, PartialEq)]
struct Shown {
    state: String,
    reason: Option<String>,
    verified: Option<bool>,
    is_followed: bool,
    epoch: u64,
    bids: Vec<Level>,
    asks: Vec<Level>,
}

impl Shown {
    fn of(book: &Book, depth: usize) -> Self {
        let levels = |side| book.levels().levels(side).take(depth).collect();
        Self {
            state: book.state().name().to_owned(),
            reason: book.reason().map(str::to_owned),
            verified: book.verified(),
            is_followed: book.is_followed(),
            epoch: book.epoch(),
            bids: levels(Side::Bid),
            asks: levels(Side::Ask),
        }
    }

    /// As a line for programs, in the words of the stream's messages.
    fn json(&self, token: &AssetId, book: &Book) -> Value {
        let levels = |levels: &[Level]| -> Value {
            let pairs = levels.iter().map(|level| {
                let (price, size) = (level.price.to_string(), level.size.to_string());
                json!([price, size])
            });
            pairs.collect()
        };
        json!({
            "token_id": token.as_str(),
            "epoch": self.epoch,
            "sequence": book.sequence(),
            "state": self.state,
            "reason": self.reason,
            "verified": self.verified,
            "followed": self.is_followed,
            "bids": levels(&self.bids),
            "asks": levels(&self.asks),
        })
    }

    fn text(&self, book: &Book) -> String {
        let mut trust = trust(&self.state, self.reason.as_deref(), self.verified);
        if !self.is_followed {
            trust.push_str("; not followed now: something is missing, or there is no connection");
        }
        let head = Head {
            trust,
            detail: format!("epoch {}, sequence {}", self.epoch, book.sequence()),
        };
        ladder(&head, &self.bids, &self.asks)
    }
}

fn trust(state: &str, reason: Option<&str>, verified: Option<bool>) -> String {
    let mut text = plain(state);
    if let Some(reason) = reason {
        let words = words(reason).map_or_else(String::new, |words| format!(": {words}"));
        text.push_str(&format!(" ({}{words})", plain(reason)));
    }
    text.push_str(match verified {
        Some(true) => ", verified by the venue's hash",
        Some(false) => ", and the venue's hash does not come out",
        None => ", no hash says anything",
    });
    text
}

/// The last trade that was seen of a token.
fn last_trade(trade: &Value) -> String {
    let text = |name: &str| trade[name].as_str().map(plain);
    let (Some(price), Some(size)) = (text("price"), text("size")) else {
        return "no trade since it is followed".to_owned();
    };
    let when = trade["timestamp"].as_u64().map(Timestamp::from_millis);
    let when = when.map_or_else(String::new, |when| format!(", {when}"));
    let side = side(trade["side"].as_str());
    format!("last trade at {price}: {size} {side}{when}")
}

/// What to do about a refusal that is not about what was asked for.
pub(super) fn remedy(target: &Target, refusal: &Value) -> String {
    match refusal["status"].as_u64() {
        Some(401) => ": --token-file names the file with the token".to_owned(),
        Some(404) if refusal["routes"].is_array() => address::no_route(&target.url),
        _ => String::new(),
    }
}

/// Says why there is no book, and which ids are like the one that was typed.
async fn absent(target: &Target, token: &AssetId, state: Option<&str>) -> Exit {
    match state {
        Some("pending" | "requested") => {
            target.say(&format!(
                "{token}: no snapshot of this token has come yet: ask again"
            ));
        }
        Some("settled") => {
            target.say(&format!(
                "{token}: its market is over, and no book of it ever came"
            ));
        }
        _ => {
            let why = short::unknown(target, token).await;
            terminal::say(&format_args!("{}: {why}", target.url));
        }
    }
    Exit::Failure
}

/// Asks one of the server's other routes.
pub(crate) async fn ask(target: &Target, path: &str) -> Result<Answer, Exit> {
    let (socket, base) = match target.url.strip_prefix("unix:") {
        Some(path) => (Some(PathBuf::from(path)), "http://localhost".to_owned()),
        None => (None, target.url.clone()),
    };
    let base = base
        .strip_prefix("ws")
        .map(|rest| format!("http{rest}"))
        .unwrap_or(base);
    let uri = format!("{}{path}", base.trim_end_matches('/')).parse();
    let uri = uri.map_err(|error| {
        terminal::say(&format_args!("--url {}: {error}", target.url));
        Exit::Usage
    })?;
    let socket: Option<&Path> = socket.as_deref();
    let server = ask::Place {
        uri: &uri,
        socket,
        ca_file: target.ca_file.as_deref(),
    };
    let answer = ask::get(server, target.token.as_deref(), MOST_BYTES);
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            let remedy = address::io(&target.url, &error);
            target.say(&format!("{error}{remedy}"));
            Err(Exit::Failure)
        }
        Err(_elapsed) => {
            target.say(&format!("no answer within {} s", PATIENCE.as_secs()));
            Err(Exit::Failure)
        }
    }
}
