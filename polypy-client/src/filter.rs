//! What a subscription asks for.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value, json};

/// What a subscription asks for: everything, unless it is narrowed.
///
/// ```
/// use std::time::Duration;
/// use polypy_client::Filter;
/// let filter = Filter::everything()
///     .markets(["will-it-rain-in-lisbon-on-friday"])
///     .channels(["book", "trade"])
///     .conflated(Duration::from_millis(500));
/// assert_eq!(
///     filter.query(),
///     "markets=will-it-rain-in-lisbon-on-friday&channels=book,trade&mode=conflated&interval_ms=500"
/// );
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    tokens: Vec<String>,
    markets: Vec<String>,
    events: Vec<String>,
    channels: Vec<String>,
    interval: Option<Duration>,
    depth: Option<u32>,
}

impl Filter {
    /// All markets, on the channels that the server takes by itself: `book`, `trade`,
    /// `state`, `market`.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Adds tokens by their ids.
    #[must_use]
    pub fn tokens<T: Into<String>>(mut self, ids: impl IntoIterator<Item = T>) -> Self {
        self.tokens.extend(ids.into_iter().map(Into::into));
        self
    }

    /// Adds both tokens of markets, by condition id or slug.
    #[must_use]
    pub fn markets<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.markets.extend(names.into_iter().map(Into::into));
        self
    }

    /// Adds all tokens of events, by slug.
    #[must_use]
    pub fn events<T: Into<String>>(mut self, slugs: impl IntoIterator<Item = T>) -> Self {
        self.events.extend(slugs.into_iter().map(Into::into));
        self
    }

    /// Adds channels: of `book`, `top`, `trade`, `state`, `market`, `stats`.
    #[must_use]
    pub fn channels<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.channels.extend(names.into_iter().map(Into::into));
        self
    }

    /// The latest state at most this often for each token, instead of each change.
    #[must_use]
    pub fn conflated(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// So many levels a side: 1, 5, 10, 20, 50 or 100.
    #[must_use]
    pub fn depth(mut self, levels: u32) -> Self {
        self.depth = Some(levels);
        self
    }

    /// As the query of `/v1/stream`.
    pub fn query(&self) -> String {
        let mut query = String::new();
        for (name, names) in self.lists() {
            let names: Vec<_> = names.iter().map(|name| encoded(name)).collect();
            push(&mut query, name, &names.join(","));
        }
        if let Some(interval) = self.interval_ms() {
            push(&mut query, "mode", "conflated");
            push(&mut query, "interval_ms", &interval.to_string());
        }
        if let Some(depth) = self.depth {
            push(&mut query, "depth", &depth.to_string());
        }
        query
    }

    /// As the operation `subscribe` of the WebSocket.
    pub fn operation(&self, id: u64, cursor: Option<&str>) -> String {
        let mut fields = Map::new();
        fields.insert("op".to_owned(), json!("subscribe"));
        fields.insert("id".to_owned(), json!(id));
        for (name, names) in self.lists() {
            fields.insert(name.to_owned(), json!(names));
        }
        if let Some(interval) = self.interval_ms() {
            fields.insert("mode".to_owned(), json!("conflated"));
            fields.insert("interval_ms".to_owned(), json!(interval));
        }
        if let Some(depth) = self.depth {
            fields.insert("depth".to_owned(), json!(depth));
        }
        if let Some(cursor) = cursor {
            fields.insert("cursor".to_owned(), json!(cursor));
        }
        Value::Object(fields).to_string()
    }

    /// The lists that are not empty.
    fn lists(&self) -> impl Iterator<Item = (&'static str, &[String])> {
        let lists: [(_, &[String]); 4] = [
            ("tokens", &self.tokens),
            ("markets", &self.markets),
            ("events", &self.events),
            ("channels", &self.channels),
        ];
        lists.into_iter().filter(|(_, names)| !names.is_empty())
    }

    fn interval_ms(&self) -> Option<u128> {
        self.interval.map(|interval| interval.as_millis())
    }
}

pub(crate) fn push(query: &mut String, name: &str, value: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(name);
    query.push('=');
    query.push_str(value);
}

/// Text inside a query: a comma of a name would divide it.
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            write!(encoded, "%{byte:02X}").unwrap_or_default();
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_no_parameter() {
        assert_eq!(Filter::everything().query(), "");
        let operation = Filter::everything().operation(1, None);
        assert_eq!(operation, r#"{"op":"subscribe","id":1}"#);
    }

    #[test]
    fn both_doors_say_the_same() {
        let filter = Filter::everything()
            .tokens(["1", "2"])
            .markets(["a,b&c=\u{e9}"])
            .events(["e"])
            .channels(["top"])
            .conflated(Duration::from_secs(2))
            .depth(5);
        assert_eq!(
            filter.query(),
            "tokens=1,2&markets=a%2Cb%26c%3D%C3%A9&events=e&channels=top\
             &mode=conflated&interval_ms=2000&depth=5"
        );
        assert_eq!(
            filter.operation(7, Some("a-1")),
            concat!(
                r#"{"op":"subscribe","id":7,"tokens":["1","2"],"markets":["a,b&c="#,
                "\u{e9}",
                r#""],"events":["e"],"channels":["top"],"mode":"conflated","#,
                r#""interval_ms":2000,"depth":5,"cursor":"a-1"}"#
            )
        );
    }
}
