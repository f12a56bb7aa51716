//! What a client sends over the market socket, and how the venue reads it.
//!
//! A frame with `operation` is judged by the operation, whatever else it holds;
//! one with `type` alone is the first frame of a socket. Unknown keys are
//! ignored. Whether a frame is allowed at this moment is not decided here.

use serde_json::Value;

/// One frame of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    Ping,
    /// `{"type":"market",...}` without an operation.
    Open(Subscription),
    Subscribe(Subscription),
    Unsubscribe(Vec<String>),
    /// An operation the venue does not know.
    UnknownOperation,
    /// Not JSON, no object, no list of ids, another channel's type.
    Malformed,
}

/// Which assets, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) asset_ids: Vec<String>,
    /// Whether opening books are wanted.
    pub(crate) initial_dump: bool,
    /// Whether the socket gets custom events from now on; omitted means not.
    pub(crate) custom_features: bool,
}

impl Request {
    /// Reads one text frame.
    pub(crate) fn parse(text: &str) -> Self {
        if text.trim() == "PING" {
            return Self::Ping;
        }
        let Ok(Value::Object(frame)) = serde_json::from_str(text) else {
            return Self::Malformed;
        };
        let asset_ids = match frame.get("assets_ids") {
            Some(Value::Array(ids)) => {
                let ids: Option<Vec<String>> = ids
                    .iter()
                    .map(|id| id.as_str().map(str::to_owned))
                    .collect();
                match ids {
                    Some(ids) => ids,
                    None => return Self::Malformed,
                }
            }
            Some(_) => return Self::Malformed,
            None => Vec::new(),
        };
        let flag = |key: &str, default| frame.get(key).and_then(Value::as_bool).unwrap_or(default);
        let subscription = Subscription {
            asset_ids,
            initial_dump: flag("initial_dump", true),
            custom_features: flag("custom_feature_enabled", false),
        };
        match (frame.get("operation"), frame.get("type")) {
            (Some(Value::String(operation)), _) => match operation.as_str() {
                "subscribe" => Self::Subscribe(subscription),
                "unsubscribe" => Self::Unsubscribe(subscription.asset_ids),
                _ => Self::UnknownOperation,
            },
            (Some(_), _) => Self::UnknownOperation,
            (None, Some(Value::String(kind))) if kind.eq_ignore_ascii_case("market") => {
                Self::Open(subscription)
            }
            (None, _) => Self::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(ids: &[&str], initial_dump: bool, custom_features: bool) -> Subscription {
        let asset_ids = ids.iter().map(|&id| id.to_owned()).collect();
        Subscription {
            asset_ids,
            initial_dump,
            custom_features,
        }
    }

    #[test]
    fn reads_every_frame_clients_send() {
        for (text, request) in [
            ("PING", Request::Ping),
            (
                r#"{"type":"market","assets_ids":["1","2"],"markets":[]}"#,
                Request::Open(subscription(&["1", "2"], true, false)),
            ),
            (
                r#"{"type":"MARKET","assets_ids":[],"custom_feature_enabled":true,"level":2}"#,
                Request::Open(subscription(&[], true, true)),
            ),
            (
                r#"{"type":"market","operation":"subscribe","assets_ids":["1"],"initial_dump":false}"#,
                Request::Subscribe(subscription(&["1"], false, false)),
            ),
            (
                r#"{"operation":"unsubscribe","assets_ids":["7"]}"#,
                Request::Unsubscribe(vec!["7".to_owned()]),
            ),
            (
                r#"{"operation":"pause","assets_ids":[]}"#,
                Request::UnknownOperation,
            ),
            (r#"{"operation":3}"#, Request::UnknownOperation),
            (r#"{"type":"user"}"#, Request::Malformed),
            (r#"{"type":"market","assets_ids":[1]}"#, Request::Malformed),
            (r#"{"type":"market","assets_ids":"1"}"#, Request::Malformed),
            ("[]", Request::Malformed),
            ("", Request::Malformed),
            ("hello", Request::Malformed),
        ] {
            assert_eq!(Request::parse(text), request, "{text}");
        }
    }
}
