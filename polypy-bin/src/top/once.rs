//! The same once, as plain text or JSON: for scripts, and where no terminal is.

use std::time::Duration;

use polypy::exit::Exit;
use polypy_client::reads::{RawMarket, ReadError};
use polypy_client::{Client, Event, Filter, Message};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::live::{query, rows};
use super::model::{Kind, Pulse, Question, Rows};
use super::words::{
    CONNECTION_COLUMNS, MARKET_COLUMNS, connection_cells, cost, last_end, market_cells, totals,
    uptime, verdict,
};
use crate::follow::{self, Target, plain, width};
use crate::terminal;

/// The server speaks once a second.
const PATIENCE: Duration = Duration::from_secs(10);

/// Shows everything once.
pub(super) async fn once(target: &Target, client: &Client, question: Question, json: bool) -> Exit {
    let shown = async {
        let pulse = pulse(target, client).await?;
        let text = if json {
            let list = list(target, client, &question).await?;
            let name = question.kind.name();
            let mut all = json!({ "health": pulse.health, "sample": pulse.sample });
            all[name] = list;
            format!("{all}\n")
        } else {
            let rows = rows(client.clone(), question.clone()).await;
            text(
                &pulse,
                &question,
                &rows.map_err(|error| unread(target, &error))?,
            )
        };
        terminal::print_more(&text)
    };
    match shown.await {
        Ok(()) => Exit::Clean,
        Err(exit) => exit,
    }
}

/// The verdict and the newest sample.
async fn pulse(target: &Target, client: &Client) -> Result<Pulse, Exit> {
    let mut stream = client.subscribe(Filter::everything().channels(["health"]));
    let heard = async {
        loop {
            match stream.next().await {
                Ok(Event::Message(received)) => {
                    if let Message::Health(health) = received.message {
                        return Ok(Pulse {
                            ts_us: health.ts_us,
                            health: health.health,
                            sample: health.sample,
                        });
                    }
                }
                Ok(Event::Lost { cause, .. }) => return Err(target.lost(&cause)),
                Ok(_) => {}
                Err(error) => return Err(target.refused(&error)),
            }
        }
    };
    timeout(PATIENCE, heard).await.unwrap_or_else(|_elapsed| {
        target.say(&format!(
            "it has said nothing of itself within {} s",
            PATIENCE.as_secs()
        ));
        Err(Exit::Failure)
    })
}

/// The rows as the server has them.
async fn list(target: &Target, client: &Client, question: &Question) -> Result<Value, Exit> {
    match question.kind {
        Kind::Markets => {
            let mut found = client.raw_markets(&query(question));
            let mut markets = Vec::new();
            while markets.len() < usize::from(question.limit) {
                match found.next().await {
                    Ok(Some(RawMarket(market))) => markets.push(market),
                    Ok(None) => break,
                    Err(error) => return Err(unread(target, &error)),
                }
            }
            Ok(Value::Array(markets))
        }
        Kind::Connections => {
            let (sort, limit) = (question.sort, question.limit);
            let path = format!("/v1/connections?sort={sort}&limit={limit}");
            let mut answer = follow::ask(target, &path).await?;
            if !answer.healthy {
                target.say(
                    answer.body["error"]
                        .as_str()
                        .unwrap_or("no answer that is known"),
                );
                return Err(Exit::Failure);
            }
            Ok(answer.body["connections"].take())
        }
    }
}

fn unread(target: &Target, error: &ReadError) -> Exit {
    if let ReadError::Lost(cause) = error {
        return target.lost(cause);
    }
    target.say(&error.to_string());
    match error {
        ReadError::Refused(problem) if problem.status.as_u16() == 400 => Exit::Usage,
        _ => Exit::Failure,
    }
}

/// Totals, and a table in which nothing is cut.
fn text(pulse: &Pulse, question: &Question, rows: &Rows) -> String {
    let (_, verdict) = verdict(pulse);
    let [books, flow] = totals(pulse);
    let (names, table, last, matched): (Vec<_>, Vec<Vec<String>>, _, _) = match rows {
        Rows::Markets(markets, matched) => {
            let rows = markets.iter().map(|market| {
                let question = plain(&market.question);
                market_cells(market).into_iter().chain([question]).collect()
            });
            let names = MARKET_COLUMNS.iter().map(|column| column.name);
            (names.collect(), rows.collect(), "QUESTION", matched)
        }
        Rows::Connections(connections, matched) => {
            let rows = connections.iter().map(|connection| {
                let end = last_end(connection);
                connection_cells(connection)
                    .into_iter()
                    .chain([end])
                    .collect()
            });
            let names = CONNECTION_COLUMNS.iter().map(|column| column.name);
            (names.collect(), rows.collect(), "LAST END", matched)
        }
    };
    let names: Vec<String> = names.into_iter().chain([last]).map(str::to_owned).collect();
    let mut text = format!(
        "{verdict}; up {}  {}\n{books}\n{flow}\n{} of {matched} {}, sorted by {}\n\n",
        uptime(pulse),
        cost(pulse),
        table.len(),
        question.kind.name(),
        question.sort
    );
    let all = || std::iter::once(&names).chain(&table);
    let widths: Vec<usize> = (0..names.len())
        .map(|at| all().map(|row| width(&row[at])).max().unwrap_or(0))
        .collect();
    for row in all() {
        let cells = row.iter().zip(&widths);
        let line: Vec<_> = cells
            .map(|(cell, width)| follow::padded(cell, *width))
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}
