//! Messages as JSON text.
//!
//! Written by hand: deltas are by far the most text that a busy server makes. All
//! fields are always there, in the order of `docs/stream.md`.

use polypy_core::decimal::{MAX_TEXT, write_millionths};
use polypy_core::{BookState, Level, Owner, Price, Side, Size, TokenInfo};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::cursor::Cursor;
use crate::message::{
    Closing, Conflated, Delta, ErrorMessage, Event, Gap, GapScope, Health, Heartbeat, Hello,
    Market, Place, Snapshot, State, Stats, Subscribed, Top, Trade, VERSION,
};

/// The text of a message.
pub(crate) fn text(event: &Event) -> Utf8Bytes {
    let mut out = String::with_capacity(room(event));
    let mut object = Object::begin(&mut out);
    object.plain("type", event.name());
    match event {
        Event::Hello(hello) => hello_fields(&mut object, hello),
        Event::Subscribed(subscribed) => subscribed_fields(&mut object, subscribed),
        Event::Unsubscribed(place) | Event::Ready(place) => place_fields(&mut object, place),
        Event::Error(error) => error_fields(&mut object, error),
        Event::Heartbeat(heartbeat) => heartbeat_fields(&mut object, heartbeat),
        Event::Closing(closing) => closing_fields(&mut object, closing),
        Event::Snapshot(snapshot) => snapshot_fields(&mut object, snapshot),
        Event::Delta(delta) => delta_fields(&mut object, delta),
        Event::Top(top) => top_fields(&mut object, top),
        Event::Trade(trade) => trade_fields(&mut object, trade),
        Event::State(state) => state_fields(&mut object, state),
        Event::Market(market) => market_fields(&mut object, market),
        Event::Gap(gap) => gap_fields(&mut object, gap),
        Event::Stats(stats) => stats_fields(&mut object, stats),
        Event::Health(health) => health_fields(&mut object, health),
    }
    object.end();
    out.shrink_to_fit();
    out.into()
}

/// About how long a message's text is.
fn room(event: &Event) -> usize {
    match event {
        Event::Snapshot(book) => 640 + 28 * (book.bids.len() + book.asks.len()),
        Event::Delta(delta) => 320 + 28 * delta.changes.len(),
        Event::Stats(stats) => 64 + stats.stats.len(),
        Event::Health(health) => 80 + health.health.len() + health.sample.len(),
        _ => 512,
    }
}

fn hello_fields(object: &mut Object<'_>, hello: &Hello) {
    object.number("version", VERSION.into());
    object.plain("instance", &hello.instance.to_string());
    object.text("server", &hello.server);
    let limits = &hello.limits;
    object.key("limits");
    let mut inner = Object::begin(object.out);
    inner.number("subscriptions", limits.subscriptions);
    inner.number("tokens", limits.tokens);
    inner.number("operations_per_second", limits.operations_per_second);
    inner.number("operations_burst", limits.operations_burst);
    inner.number("message_bytes", limits.message_bytes);
    inner.number("buffer_bytes", limits.buffer_bytes);
    inner.number("resume_seconds", limits.resume_seconds);
    inner.end();
}

fn subscribed_fields(object: &mut Object<'_>, subscribed: &Subscribed) {
    object.number("id", subscribed.id);
    object.number("tokens", subscribed.tokens);
    object.key("unknown");
    list(object.out, subscribed.unknown.iter(), |out, name| {
        push_text(out, name);
    });
    object.key("channels");
    list(object.out, subscribed.channels.iter(), |out, channel| {
        push_plain(out, channel.name());
    });
    let mode = subscribed.mode;
    let name = if mode.interval.is_some() {
        "conflated"
    } else {
        "every"
    };
    object.plain("mode", name);
    object.maybe_number("interval_ms", mode.interval_ms());
    object.maybe_number("depth", mode.depth.map(u64::from));
    object.number("heartbeat_ms", subscribed.heartbeat_ms);
    object.flag("was_resuming", subscribed.was_resuming);
    object.flag("recovered", subscribed.recovered);
    object.cursor(subscribed.cursor);
}

fn place_fields(object: &mut Object<'_>, place: &Place) {
    object.number("id", place.id);
    object.cursor(place.cursor);
}

fn error_fields(object: &mut Object<'_>, error: &ErrorMessage) {
    object.maybe_number("id", error.id);
    object.plain("code", error.code);
    object.flag("temporary", error.is_temporary);
    object.text("message", &error.message);
}

fn heartbeat_fields(object: &mut Object<'_>, heartbeat: &Heartbeat) {
    object.cursor(heartbeat.cursor);
    object.number("ts_us", heartbeat.now_us);
    object.number("queued_bytes", heartbeat.queued_bytes);
}

fn closing_fields(object: &mut Object<'_>, closing: &Closing) {
    object.number("code", closing.code.into());
    object.text("reason", &closing.reason);
    object.maybe_number("retry_ms", closing.retry_ms);
}

fn snapshot_fields(object: &mut Object<'_>, book: &Snapshot) {
    object.token(&book.token);
    object.plain("condition_id", book.token.info.condition_id.as_str());
    object.maybe_text("outcome", book.token.outcome.as_deref());
    object.number("epoch", book.epoch);
    object.number("sequence", book.sequence);
    object.plain("cause", book.cause.name());
    object.state(Some(book.state));
    object.maybe_flag("verified", book.verified);
    object.key("hash");
    match book.hash {
        Some(hash) => {
            object.out.push('"');
            for byte in hash.as_bytes() {
                for digit in [byte >> 4, byte & 15] {
                    object
                        .out
                        .push(char::from(b"0123456789abcdef"[usize::from(digit)]));
                }
            }
            object.out.push('"');
        }
        None => object.out.push_str("null"),
    }
    let tick_size = book.tick_size.as_ref().map(|text| text.as_str());
    object.maybe_plain("tick_size", tick_size);
    object.maybe_number("depth", book.depth.map(u64::from));
    object.number("ts_event_ms", book.at.millis());
    object.number("ts_recv_us", book.received_us);
    for (name, levels) in [("bids", &book.bids), ("asks", &book.asks)] {
        object.key(name);
        list(object.out, levels.iter(), |out, level| {
            out.push('[');
            push_price(out, level.price);
            out.push(',');
            push_size(out, level.size);
            out.push(']');
        });
    }
}

fn delta_fields(object: &mut Object<'_>, delta: &Delta) {
    object.token(&delta.token);
    object.number("epoch", delta.epoch);
    object.number("prev_sequence", delta.previous);
    object.number("sequence", delta.sequence);
    object.number("ts_event_ms", delta.at.millis());
    object.number("ts_recv_us", delta.received_us);
    object.key("changes");
    list(object.out, delta.changes.iter(), |out, change| {
        out.push_str(match change.side {
            Side::Bid => "[\"bid\",",
            Side::Ask => "[\"ask\",",
        });
        push_price(out, change.price);
        out.push(',');
        push_size(out, change.size);
        out.push(']');
    });
    object.maybe_price("best_bid", delta.best_bid);
    object.maybe_price("best_ask", delta.best_ask);
    object.conflated(delta.conflated);
    object.maybe_number("depth", delta.depth.map(u64::from));
}

fn top_fields(object: &mut Object<'_>, top: &Top) {
    object.token(&top.token);
    object.number("epoch", top.epoch);
    object.number("sequence", top.sequence);
    object.state(Some(top.state));
    object.number("ts_event_ms", top.at.millis());
    object.number("ts_recv_us", top.received_us);
    let price = |level: Option<Level>| level.map(|level| level.price);
    let size = |level: Option<Level>| level.map(|level| level.size);
    object.maybe_price("best_bid", price(top.bid));
    object.maybe_size("best_bid_size", size(top.bid));
    object.maybe_price("best_ask", price(top.ask));
    object.maybe_size("best_ask_size", size(top.ask));
    object.conflated(top.conflated);
}

fn trade_fields(object: &mut Object<'_>, trade: &Trade) {
    object.token(&trade.token);
    object.plain("condition_id", trade.token.info.condition_id.as_str());
    object.number("trade_sequence", trade.sequence);
    object.maybe_price("price", Some(trade.price));
    object.maybe_size("size", Some(trade.size));
    let side = trade.side.map(|side| match side {
        Side::Bid => "BUY",
        Side::Ask => "SELL",
    });
    object.maybe_plain("aggressor_side", side);
    object.number("ts_event_ms", trade.at.millis());
    object.number("ts_recv_us", trade.received_us);
}

fn state_fields(object: &mut Object<'_>, state: &State) {
    object.token(&state.token);
    object.state(state.state);
    object.number("since_ms", state.since_ms);
    object.number("epoch", state.epoch);
    object.number("sequence", state.sequence);
    object.maybe_flag("verified", state.verified);
    object.maybe_plain("winner", state.winner.as_ref().map(|id| id.as_str()));
}

fn market_fields(object: &mut Object<'_>, market: &Market) {
    object.plain("change", market.change.name());
    object.plain("condition_id", market.condition_id.as_str());
    object.maybe_text("slug", market.slug.as_deref());
    object.maybe_text("event_slug", market.event_slug.as_deref());
    object.maybe_text("question", market.question.as_deref());
    object.key("tokens");
    list(object.out, market.tokens.iter(), |out, (id, outcome)| {
        out.push('[');
        push_plain(out, id.as_str());
        out.push(',');
        push_text(out, outcome);
        out.push(']');
    });
    let id = |id: &Option<polypy_core::AssetId>| id.as_ref().map(|id| id.as_str().to_owned());
    object.maybe_plain("token_id", id(&market.token_id).as_deref());
    let tick_size = market.tick_size.as_ref().map(|text| text.as_str());
    object.maybe_plain("tick_size", tick_size);
    object.maybe_plain("winner", id(&market.winner).as_deref());
    object.maybe_text("reason", market.reason);
    object.maybe_number("ts_event_ms", market.at.map(|at| at.millis()));
    object.number("ts_recv_us", market.received_us);
}

fn gap_fields(object: &mut Object<'_>, gap: &Gap) {
    let (scope, id, token) = match &gap.scope {
        GapScope::Token(token) => ("token", None, Some(token)),
        GapScope::Subscription(id) => ("subscription", Some(*id), None),
        GapScope::Connection => ("connection", None, None),
    };
    object.plain("scope", scope);
    object.maybe_number("id", id);
    object.maybe_plain("token_id", token.map(|token| token.info.asset_id.as_str()));
    object.plain("reason", gap.reason.name());
    let owner = match gap.reason.owner() {
        Owner::Venue => "venue",
        Owner::Network => "network",
        Owner::Us => "us",
        Owner::Client => "client",
    };
    object.plain("owner", owner);
    object.maybe_number("epoch", gap.epoch);
    object.maybe_number("after_sequence", gap.after);
    object.maybe_number("before_sequence", gap.before);
    object.maybe_number("missing", gap.missing);
    object.maybe_number("from_us", gap.from_us);
    object.maybe_number("to_us", gap.to_us);
    let next = if gap.next_is_snapshot {
        "snapshot"
    } else {
        "none"
    };
    object.plain("next", next);
}

fn stats_fields(object: &mut Object<'_>, stats: &Stats) {
    object.number("ts_us", stats.now_us);
    object.key("stats");
    object.out.push_str(&stats.stats);
}

fn health_fields(object: &mut Object<'_>, health: &Health) {
    object.number("ts_us", health.now_us);
    object.key("health");
    object.out.push_str(&health.health);
    object.key("sample");
    object.out.push_str(&health.sample);
}

/// An object that is being written.
struct Object<'a> {
    out: &'a mut String,
    is_fresh: bool,
}

impl<'a> Object<'a> {
    fn begin(out: &'a mut String) -> Self {
        out.push('{');
        Self {
            out,
            is_fresh: true,
        }
    }

    fn end(self) {
        self.out.push('}');
    }

    /// Keys are ours, with nothing in them that needs to be escaped.
    fn key(&mut self, key: &'static str) {
        self.out.push_str(if self.is_fresh { "\"" } else { ",\"" });
        self.is_fresh = false;
        self.out.push_str(key);
        self.out.push_str("\":");
    }

    fn maybe<T>(&mut self, key: &'static str, value: Option<T>, push: impl FnOnce(&mut String, T)) {
        self.key(key);
        match value {
            Some(value) => push(self.out, value),
            None => self.out.push_str("null"),
        }
    }

    /// A text with nothing in it that needs to be escaped.
    fn plain(&mut self, key: &'static str, text: &str) {
        self.maybe(key, Some(text), push_plain);
    }

    fn maybe_plain(&mut self, key: &'static str, text: Option<&str>) {
        self.maybe(key, text, push_plain);
    }

    /// A text from outside.
    fn text(&mut self, key: &'static str, text: &str) {
        self.maybe(key, Some(text), push_text);
    }

    fn maybe_text(&mut self, key: &'static str, text: Option<&str>) {
        self.maybe(key, text, push_text);
    }

    fn number(&mut self, key: &'static str, number: u64) {
        self.maybe(key, Some(number), push_number);
    }

    fn maybe_number(&mut self, key: &'static str, number: Option<u64>) {
        self.maybe(key, number, push_number);
    }

    fn maybe_flag(&mut self, key: &'static str, flag: Option<bool>) {
        self.maybe(key, flag, |out, flag| {
            out.push_str(if flag { "true" } else { "false" });
        });
    }

    fn flag(&mut self, key: &'static str, flag: bool) {
        self.maybe_flag(key, Some(flag));
    }

    fn maybe_price(&mut self, key: &'static str, price: Option<Price>) {
        self.maybe(key, price, push_price);
    }

    fn maybe_size(&mut self, key: &'static str, size: Option<Size>) {
        self.maybe(key, size, push_size);
    }

    fn token(&mut self, token: &TokenInfo) {
        self.plain("token_id", token.info.asset_id.as_str());
    }

    fn cursor(&mut self, cursor: Option<Cursor>) {
        self.maybe("cursor", cursor, |out, cursor| {
            push_plain(out, &cursor.to_string());
        });
    }

    /// `None`: forgotten.
    fn state(&mut self, state: Option<BookState>) {
        self.plain("state", state.map_or("forgotten", BookState::name));
        let reason = match state {
            Some(BookState::Stale(reason)) => Some(reason.name()),
            _ => None,
        };
        self.maybe_plain("reason", reason);
    }

    fn conflated(&mut self, conflated: Option<Conflated>) {
        let name = conflated.map(|why| match why {
            Conflated::Interval => "interval",
            Conflated::Backlog => "backlog",
        });
        self.maybe_plain("conflated", name);
    }
}

fn list<T>(
    out: &mut String,
    members: impl Iterator<Item = T>,
    mut push: impl FnMut(&mut String, T),
) {
    out.push('[');
    for (at, member) in members.enumerate() {
        if at > 0 {
            out.push(',');
        }
        push(out, member);
    }
    out.push(']');
}

pub(crate) fn push_plain(out: &mut String, text: &str) {
    out.push('"');
    out.push_str(text);
    out.push('"');
}

pub(crate) fn push_text(out: &mut String, text: &str) {
    let needs_care = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\' || byte == 0x7f;
    if !text.bytes().any(needs_care) {
        return push_plain(out, text);
    }
    match serde_json::to_string(text) {
        Ok(escaped) => out.push_str(&escaped),
        Err(_) => out.push_str("\"\""),
    }
}

pub(crate) fn push_price(out: &mut String, price: Price) {
    push_plain(
        out,
        write_millionths(price.millionths().into(), &mut [0; MAX_TEXT]),
    );
}

pub(crate) fn push_size(out: &mut String, size: Size) {
    push_plain(out, write_millionths(size.millionths(), &mut [0; MAX_TEXT]));
}

pub(crate) fn push_number(out: &mut String, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.push_str(std::str::from_utf8(&digits[at..]).unwrap_or_default());
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
