//! The frames that a client sends.
//!
//! A socket's first frame has `type`, every later one an `operation`: a second
//! `type` frame earns `INVALID OPERATION`. Each subscribing frame repeats both
//! flags, because the custom one belongs to the socket and the last frame wins,
//! and because snapshots stayed away at scale where `initial_dump` was left to
//! its default.

use std::sync::Arc;

use polypy_core::AssetInfo;

/// Text that keeps the socket open.
pub(super) const PING: &str = "PING";

/// What a frame asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// The socket's first frame.
    Open,
    /// More assets; a snapshot follows for those not active yet.
    Subscribe,
    /// Fewer assets; never answered.
    Unsubscribe,
}

/// A frame for these assets.
pub(super) fn frame(request: Request, assets: &[Arc<AssetInfo>]) -> String {
    const FLAGS: &str = r#","initial_dump":true,"custom_feature_enabled":true}"#;
    let (head, tail) = match request {
        Request::Open => (r#"{"type":"market","assets_ids":["#, FLAGS),
        Request::Subscribe => (r#"{"operation":"subscribe","assets_ids":["#, FLAGS),
        Request::Unsubscribe => (r#"{"operation":"unsubscribe","assets_ids":["#, "}"),
    };
    // Ids are decimal digits, at most 78 of them: nothing to escape.
    let mut text = String::with_capacity(head.len() + assets.len() * 81 + 1 + tail.len());
    text.push_str(head);
    for (position, asset) in assets.iter().enumerate() {
        if position > 0 {
            text.push(',');
        }
        text.push('"');
        text.push_str(asset.asset_id.as_str());
        text.push('"');
    }
    text.push(']');
    text.push_str(tail);
    text
}

#[cfg(test)]
mod tests {
    use polypy_core::{AssetInfo, Interner};

    use super::*;

    #[test]
    fn frames_are_what_the_venue_documents() {
        let mut interner = Interner::default();
        let condition = "0xa1".parse().unwrap();
        let assets: Vec<_> = ["11", "12"]
            .iter()
            .map(|id| {
                let id = id.parse().unwrap();
                interner.insert(&id, &condition, |key| {
                    AssetInfo::new(key, id.clone(), condition.clone())
                })
            })
            .collect();
        let cases = [
            (
                Request::Open,
                r#"{"type":"market","assets_ids":["11","12"],"initial_dump":true,"custom_feature_enabled":true}"#,
            ),
            (
                Request::Subscribe,
                r#"{"operation":"subscribe","assets_ids":["11","12"],"initial_dump":true,"custom_feature_enabled":true}"#,
            ),
            (
                Request::Unsubscribe,
                r#"{"operation":"unsubscribe","assets_ids":["11","12"]}"#,
            ),
        ];
        for (request, expected) in cases {
            let text = frame(request, &assets);
            assert_eq!(text, expected);
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
        }
    }
}
