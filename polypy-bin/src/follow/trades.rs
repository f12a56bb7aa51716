//! `polypy trades`.

use polypy::exit::Exit;
use polypy_core::AssetId;
use serde_json::Value;

use super::book::{ask, remedy};
use super::events::aligned;
use super::line::plain;
use super::{Target, run, short};
use crate::cli;
use crate::terminal;

/// Shows the newest trades of a token or of a market.
pub(crate) fn trades(typed: cli::Trades, variables: Vec<(String, String)>) -> Exit {
    let (of, limit, json) = (typed.of, typed.limit, typed.json);
    let target = match Target::find(typed.server, variables) {
        Ok(target) => target,
        Err(exit) => return exit,
    };
    run(async {
        match show(&target, &of, limit, json).await {
            Ok(()) => Exit::Clean,
            Err(exit) => exit,
        }
    })
}

async fn show(target: &Target, of: &str, limit: u16, json: bool) -> Result<(), Exit> {
    // A slug may be of digits, too; who means that has the condition id.
    let token = match of.parse::<AssetId>() {
        Ok(token) => Some(short::meant(target, token).await?),
        Err(_no_token) => None,
    };
    let path = match &token {
        Some(token) => format!("/v1/trades/{token}?limit={limit}"),
        None => format!("/v1/trades?market={}&limit={limit}", encoded(of)),
    };
    let body = ask(target, &path).await?.body;
    let Some(trades) = body["trades"].as_array() else {
        let error = body["error"].as_str();
        let error = plain(error.unwrap_or("an answer without trades: is it an older server?"));
        let of = plain(of);
        let kind = body["type"].as_str().unwrap_or_default();
        let said = match (&token, kind.rsplit(':').next()) {
            (Some(token), Some("unknown_token" | "not_followed")) => {
                short::unknown(target, token).await
            }
            (None, Some("unknown_market")) => {
                format!("{of}: {error}{}", short::like(target, &of).await)
            }
            _ => format!("{of}: {error}{}", remedy(target, &body)),
        };
        // Its lines are written here, and what stands in them is plain.
        terminal::say(&format_args!("{}: {said}", target.url));
        return Err(Exit::Failure);
    };
    if json {
        let lines = trades.iter().map(|trade| format!("{trade}\n"));
        return terminal::print_more(&lines.collect::<String>());
    }
    if trades.is_empty() {
        target.say(&format!("{of}: no trade since it is followed here"));
        return Ok(());
    }
    terminal::print_more(&table(trades, body["outcome"].as_str()))
}

/// The newest first. Of one token its outcome stands in no trade.
fn table(trades: &[Value], outcome: Option<&str>) -> String {
    let head = ["TIME", "OUTCOME", "SIDE", "PRICE", "SHARES"].map(str::to_owned);
    let row = |trade: &Value| {
        let text = |name: &str| trade[name].as_str().map_or("-".to_owned(), plain);
        [
            text("ts_event"),
            trade["outcome"]
                .as_str()
                .or(outcome)
                .map_or("-".to_owned(), plain),
            side(trade["aggressor_side"].as_str()).to_owned(),
            text("price"),
            text("size"),
        ]
    };
    let rows: Vec<_> = std::iter::once(head)
        .chain(trades.iter().map(row))
        .collect();
    aligned(&rows)
}

/// What the one did who took the other's order.
pub(super) fn side(aggressor: Option<&str>) -> &'static str {
    match aggressor {
        Some("BUY") => "bought",
        Some("SELL") => "sold",
        _ => "traded",
    }
}

/// As it stands in an address.
pub(super) fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
    let bytes = text.bytes().map(|byte| {
        if plain(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    });
    bytes.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_trade_says_when_what_and_how_many() {
        let trades = [
            json!({
                "ts_event": "2026-11-23T09:10:00.020Z", "outcome": "Yes\u{1b}", "price": "0.5025",
                "aggressor_side": "BUY", "size": "219.217767",
            }),
            json!({ "ts_event": "2026-11-23T09:09:00.020Z", "price": "0.5", "size": "1" }),
        ];
        let shown = table(&trades, Some("No"));
        let rows: Vec<Vec<&str>> = shown
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(rows[0], ["TIME", "OUTCOME", "SIDE", "PRICE", "SHARES"]);
        assert_eq!(rows[1][0], "2026-11-23T09:10:00.020Z");
        assert_eq!(rows[1][2..], ["bought", "0.5025", "219.217767"]);
        assert_eq!(rows[2][1..], ["No", "traded", "0.5", "1"]);
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
    }

    #[test]
    fn names_stand_in_addresses_byte_by_byte() {
        assert_eq!(encoded("a-b_c.1"), "a-b_c.1");
        assert_eq!(encoded("a&b=\u{e9} "), "a%26b%3D%C3%A9%20");
    }
}
