//! `polypy events`.

use polypy::exit::Exit;
use polypy_client::Client;
use polypy_client::reads::{Event, EventMarkets, RawEvent};

use super::line::plain;
use super::markets::{lines, now_ms, paper, refused, rows};
use super::shown::{padded, width};
use super::table::{dollars, end, table};
use super::{Target, run};
use crate::cli;
use crate::terminal;

/// Shows the events that match, or one with its markets.
pub(crate) fn events(typed: cli::Events, variables: Vec<(String, String)>) -> Exit {
    let (query, limit, json) = (typed.question(), typed.listing.limit, typed.json);
    let slug = typed.slug().map(str::to_owned);
    let target = match Target::find(typed.server, variables) {
        Ok(target) => target,
        Err(exit) => return exit,
    };
    run(async {
        let client = match target.client() {
            Ok(client) => client,
            Err(exit) => return exit,
        };
        let is_shown = match &slug {
            Some(slug) => one(&target, &client, slug, json).await,
            None => Ok(false),
        };
        let shown = match is_shown {
            Ok(true) => Ok(()),
            Ok(false) if json => {
                lines(
                    &target,
                    client.raw_events(&query),
                    limit,
                    |RawEvent(event)| event,
                )
                .await
            }
            Ok(false) => {
                rows(
                    &target,
                    client.events(&query),
                    limit,
                    |events: &[Event]| list(events, now_ms()),
                )
                .await
            }
            Err(exit) => Err(exit),
        };
        match shown {
            Ok(()) => Exit::Clean,
            Err(exit) => exit,
        }
    })
}

/// Shows the event of this slug, if there is one.
async fn one(target: &Target, client: &Client, slug: &str, json: bool) -> Result<bool, Exit> {
    let text = if json {
        let found = client.raw_event(slug).await;
        let found = found.map_err(|error| refused(target, error))?;
        found.map(|RawEvent(event)| format!("{event}\n"))
    } else {
        let found = client.event(slug).await;
        let found = found.map_err(|error| refused(target, error))?;
        found.map(|event| head(&event) + &table(&event.markets, paper(), now_ms()))
    };
    match text {
        Some(text) => terminal::print_more(&text).map(|()| true),
        None => Ok(false),
    }
}

/// What is said of an event above its markets.
fn head(found: &EventMarkets) -> String {
    let event = &found.event;
    let mut text = format!("{}\n{}", plain(&event.title), followed(event));
    if let (Some(bid), Some(ask)) = (&found.sum_best_bid, &found.sum_best_ask) {
        let (bid, ask) = (plain(bid), plain(ask));
        text.push_str(&format!(
            "; of its {} open markets the best bids add up to {bid}, the best asks to {ask}",
            found.open_count
        ));
    }
    text.push_str("\n\n");
    text
}

fn followed(event: &Event) -> String {
    format!(
        "{} of {} markets are followed",
        event.followed_count, event.market_count
    )
}

/// A row for each event. The slug is what shows it alone: it stands last, and is whole.
fn list(events: &[Event], now_ms: i64) -> String {
    let head = ["EVENT", "FOLLOWED", "ENDS", "DAY", "SLUG"].map(str::to_owned);
    let row = |event: &Event| {
        let day = event.volume_day.as_deref();
        [
            plain(&event.title),
            format!("{} of {}", event.followed_count, event.market_count),
            end(event.end_ms, now_ms),
            day.map_or("-".to_owned(), dollars),
            plain(&event.slug),
        ]
    };
    let rows: Vec<_> = std::iter::once(head)
        .chain(events.iter().map(row))
        .collect();
    aligned(&rows)
}

/// Rows whose cells stand below each other.
pub(super) fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (most, cell) in widths.iter_mut().zip(row) {
            *most = width(cell).max(*most);
        }
    }
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(widths);
        let cells: Vec<_> = cells.map(|(cell, width)| padded(cell, width)).collect();
        format!("{}\n", cells.join("  ").trim_end())
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn event(change: impl FnOnce(&mut Value)) -> Value {
        let mut event = json!({
            "slug": "weather-in-lisbon", "title": "Weather in Lisbon\u{1b}[2J", "neg_risk": false,
            "neg_risk_augmented": false, "market_count": 5, "followed_count": 3, "volume": null,
            "volume_day": "12345.67", "liquidity": null, "end_ms": 5 * DAY_MS, "end": null,
        });
        change(&mut event);
        event
    }

    #[test]
    fn events_stand_in_rows_with_the_slug_whole() {
        let long = "a-slug-that-is-long-enough-for-two-columns-of-a-terminal-and-more";
        let events = [
            event(|_| {}),
            event(|event| {
                event["slug"] = long.into();
                event["title"] = "No end".into();
                event["end_ms"] = Value::Null;
                event["volume_day"] = Value::Null;
            }),
        ];
        let events = events.map(|event| serde_json::from_value(event).unwrap());
        let text = list(&events, 0);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| {
                let cells = line.split("  ").map(str::trim);
                cells.filter(|cell| !cell.is_empty()).collect()
            })
            .collect();
        assert_eq!(lines[0], ["EVENT", "FOLLOWED", "ENDS", "DAY", "SLUG"]);
        assert_eq!(
            lines[1][1..],
            ["3 of 5", "5 d", "$12.3k", "weather-in-lisbon"]
        );
        assert_eq!(lines[2], ["No end", "3 of 5", "-", "-", long]);
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn of_one_event_it_is_said_what_its_prices_add_up_to_if_all_are_known() {
        let found = |sums: bool| {
            let sum = |text: &str| if sums { text.into() } else { Value::Null };
            let found = event(|event| {
                event["markets"] = json!([]);
                event["open_count"] = 4.into();
                event["sum_best_bid"] = sum("0.98");
                event["sum_best_ask"] = sum("1.03");
            });
            head(&serde_json::from_value(found).unwrap())
        };
        assert!(
            found(true).ends_with(
                "\n3 of 5 markets are followed; of its 4 open markets the best bids add up to \
                 0.98, the best asks to 1.03\n\n"
            ),
            "{}",
            found(true)
        );
        assert!(found(false).ends_with("\n3 of 5 markets are followed\n\n"));
    }
}
