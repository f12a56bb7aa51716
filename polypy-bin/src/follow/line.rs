//! Messages as lines for people: when, what, of whom, and how it stands.

use std::collections::HashMap;
use std::fmt::Display;

use polypy_client::Message;
use polypy_client::message::{Closing, Gap, Market, Next, Snapshot, State, Top};
use polypy_core::{AssetId, Level, Side, Size, Timestamp};

/// Last digits of an id, enough to tell tokens apart by eye.
const SHOWN_DIGITS: usize = 8;

/// Makes lines, and remembers the outcomes that tokens pay for.
#[derive(Debug, Default)]
pub(super) struct Lines {
    outcomes: HashMap<AssetId, String>,
}

impl Lines {
    /// The line of a message; none of those that only say that all is well.
    pub(super) fn line(&mut self, message: &Message) -> Option<String> {
        let (at_us, name, text) = match message {
            Message::Hello(hello) => (None, "hello", plain(&hello.server)),
            Message::Subscribed(subscribed) => {
                let mut text = format!(
                    "tokens: {}; channels: {}",
                    subscribed.tokens,
                    plain(&subscribed.channels.join(", "))
                );
                if !subscribed.unknown.is_empty() {
                    text.push_str("; unknown: ");
                    text.push_str(&plain(&subscribed.unknown.join(", ")));
                }
                (None, "subscribed", text)
            }
            Message::Ready(_) => (None, "ready", "all snapshots are through".to_owned()),
            Message::Heartbeat(_) | Message::Unsubscribed(_) => return None,
            Message::Error(refusal) => (None, "error", plain(&refusal.message)),
            Message::Closing(Closing { reason, .. }) => (None, "closing", plain(reason)),
            Message::Snapshot(snapshot) => {
                if let Some(outcome) = &snapshot.outcome {
                    let token = snapshot.token_id.clone();
                    self.outcomes.insert(token, outcome.clone());
                }
                let text = self.of(&snapshot.token_id, &whole(snapshot));
                (Some(snapshot.ts_recv_us), "snapshot", text)
            }
            Message::Delta(delta) => {
                let mut text = format!("#{}", delta.sequence);
                for change in &delta.changes {
                    let (side, price) = (side(change.side), change.price);
                    text.push_str(&match change.size {
                        Size::ZERO => format!("  no {side} {price}"),
                        size => format!("  {side} {price} x {size}"),
                    });
                }
                let (bid, ask) = (or_none(delta.best_bid), or_none(delta.best_ask));
                text.push_str(&format!("  now {bid} / {ask}"));
                let text = self.of(&delta.token_id, &text);
                (Some(delta.ts_recv_us), "delta", text)
            }
            Message::Top(top) => {
                let text = self.of(&top.token_id, &best(top));
                (Some(top.ts_recv_us), "top", text)
            }
            Message::Trade(trade) => {
                let side = match trade.aggressor_side {
                    Some(Side::Bid) => "bought ",
                    Some(Side::Ask) => "sold ",
                    None => "",
                };
                let text = format!(
                    "{side}{} at {}  (trade {})",
                    trade.size, trade.price, trade.trade_sequence
                );
                let text = self.of(&trade.token_id, &text);
                (Some(trade.ts_recv_us), "trade", text)
            }
            Message::State(state) => {
                let text = self.of(&state.token_id, &trust(state));
                (Some(state.since_ms.saturating_mul(1_000)), "state", text)
            }
            Message::Market(market) => (Some(market.ts_recv_us), "market", happened(market)),
            Message::Gap(gap) => {
                let text = missing(gap);
                let text = match &gap.token_id {
                    Some(token) => self.of(token, &text),
                    None => text,
                };
                (gap.to_us.or(gap.from_us), "gap", text)
            }
            Message::Stats(stats) => {
                let text = "counters, which --json shows".to_owned();
                (Some(stats.ts_us), "stats", text)
            }
            Message::Health(health) => {
                let is_well = health.health["healthy"].as_bool().unwrap_or(false);
                let reasons = health.health["reasons"].as_array().into_iter().flatten();
                let reasons = reasons.filter_map(|reason| reason["text"].as_str());
                let verdict = if is_well { "healthy" } else { "not healthy" };
                let words: Vec<_> = std::iter::once(verdict).chain(reasons).collect();
                (Some(health.ts_us), "health", plain(&words.join("; ")))
            }
            Message::Other(name) => (None, "other", plain(name)),
            _ => return None,
        };
        let clock = at_us.map_or_else(String::new, clock);
        Some(format!("{clock:<12}  {name:<10}  {text}"))
    }

    /// A text about a token.
    fn of(&self, token: &AssetId, text: &str) -> String {
        let outcome = self.outcomes.get(token);
        let outcome = outcome.map_or_else(String::new, |outcome| plain(outcome));
        format!("{} {outcome:<4} {text}", short(token))
    }
}

/// The time of day in UTC, to the millisecond.
fn clock(us: u64) -> String {
    let text = Timestamp::from_millis(us / 1_000).to_string();
    let time = text.split_once('T').map_or("", |(_, time)| time);
    time.trim_end_matches('Z').to_owned()
}

fn short(token: &AssetId) -> String {
    let text = token.as_str();
    let from = text.len().saturating_sub(SHOWN_DIGITS);
    let dots = if from == 0 { "" } else { ".." };
    format!("{dots}{}", &text[from..])
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Bid => "bid",
        Side::Ask => "ask",
    }
}

fn or_none(value: Option<impl Display>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

fn level(level: Option<&Level>) -> String {
    or_none(level.map(|level| format!("{} x {}", level.price, level.size)))
}

fn whole(snapshot: &Snapshot) -> String {
    let verified = match snapshot.verified {
        Some(true) => " verified",
        Some(false) | None => "",
    };
    let reason = snapshot
        .reason
        .as_deref()
        .map_or_else(String::new, |reason| format!(" ({})", plain(reason)));
    format!(
        "#{}  {}{verified}{reason}  {} / {}  of {} bids and {} asks",
        snapshot.sequence,
        snapshot.state.name(),
        level(snapshot.bids.first()),
        level(snapshot.asks.first()),
        snapshot.bids.len(),
        snapshot.asks.len(),
    )
}

fn best(top: &Top) -> String {
    let of = |price, size| Option::zip(price, size).map(|(price, size)| Level::new(price, size));
    let bid = of(top.best_bid, top.best_bid_size);
    let ask = of(top.best_ask, top.best_ask_size);
    let reason = top
        .reason
        .as_deref()
        .map_or_else(String::new, |reason| format!(" ({})", plain(reason)));
    format!(
        "#{}  {}{reason}  {} / {}",
        top.sequence,
        top.state.name(),
        level(bid.as_ref()),
        level(ask.as_ref())
    )
}

fn trust(state: &State) -> String {
    let mut text = state.state.name().to_owned();
    if let Some(reason) = &state.reason {
        text.push_str(&format!(" ({})", plain(reason)));
    }
    if let Some(winner) = &state.winner {
        text.push_str(&format!(", {} won", short(winner)));
    }
    text
}

fn happened(market: &Market) -> String {
    let mut text = plain(&market.change);
    if let Some(tick_size) = &market.tick_size {
        text.push_str(&format!(", steps of {}", plain(tick_size)));
    }
    if let Some(winner) = &market.winner {
        text.push_str(&format!(", {} won", short(winner)));
    }
    if let Some(reason) = &market.reason {
        text.push_str(&format!(" ({})", plain(reason)));
    }
    let name = market.question.as_deref().or(market.slug.as_deref());
    let name = name.map_or_else(|| market.condition_id.as_str().to_owned(), plain);
    format!("{text}: {name}")
}

fn missing(gap: &Gap) -> String {
    let mut text = format!("{}, by the {}", plain(&gap.reason), owner(&gap.owner));
    if let Some(missing) = gap.missing {
        text.push_str(&format!(", {missing} messages"));
    }
    if let (Some(after), Some(before)) = (gap.after_sequence, gap.before_sequence) {
        text.push_str(&format!(", after #{after} and before #{before}"));
    }
    text.push_str(match gap.next {
        Next::Snapshot => ": whole books follow",
        Next::Closing => ": the connection ends",
        Next::None => ": nothing comes for it",
        _ => "",
    });
    text
}

fn owner(owner: &str) -> String {
    match owner {
        "us" => "server".to_owned(),
        other => plain(other),
    }
}

/// What another program sent must not steer the terminal.
pub(crate) fn plain(text: &str) -> String {
    // Nor may it turn the direction of what stands behind it.
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let steers = |c: char| c.is_control() || turns(c);
    let plain = text.chars().map(|c| if steers(c) { '?' } else { c });
    plain.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = include_str!("../../../polypy-client/tests/data/messages.ndjson");

    #[test]
    fn every_golden_message_reads_well() {
        let mut lines = Lines::default();
        let messages = GOLDEN.lines().map(|line| Message::parse(line).unwrap());
        let shown: Vec<_> = messages
            .filter_map(|message| lines.line(&message))
            .collect();
        let shown = format!("{}\n", shown.join("\n"));
        assert_eq!(shown, include_str!("../../tests/data/tail.txt"));
    }

    #[test]
    fn what_others_wrote_steers_no_terminal() {
        let message = GOLDEN
            .lines()
            .find(|line| line.contains("Will it rain"))
            .unwrap();
        let message = message.replace("Will it rain", "Will\\u001b[2J\\nit rain");
        let line = Lines::default().line(&Message::parse(&message).unwrap());
        let line = line.unwrap();
        assert!(line.contains("Will?[2J?it rain"), "{line}");
    }
}
