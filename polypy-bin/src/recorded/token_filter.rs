//! Which entries name a token: in a field that holds ids, the venue's or the recording's. A
//! size, a price or a time of the same digits is none.

use memchr::memmem::Finder;
use polypy_core::AssetId;
use serde_json::Value;

/// Fields that hold an id, or a list of them.
const IDS: [&str; 7] = [
    "asset_id",
    "assets_ids",
    "clob_token_ids",
    "token_id",
    "tokens",
    "winner",
    "winning_asset_id",
];
/// Fields of REST answers that hold JSON as a text.
const TEXTS: [&str; 2] = ["body", "request"];

/// Finds the entries that name a token.
pub(super) struct TokenFilter {
    id: AssetId,
    /// Most entries do not have these digits anywhere, and are not decoded.
    digits: Finder<'static>,
    quoted: Finder<'static>,
}

impl TokenFilter {
    pub(super) fn new(id: AssetId) -> Self {
        let quoted = format!("\"{id}\"");
        Self {
            digits: Finder::new(id.as_str()).into_owned(),
            quoted: Finder::new(&quoted).into_owned(),
            id,
        }
    }

    /// Whether an entry names the token. A frame that is no JSON, as one that was cut, does so
    /// by the id as a text, wherever that stands.
    pub(super) fn is_named_in(&self, data: &[u8]) -> bool {
        if self.digits.find(data).is_none() {
            return false;
        }
        match serde_json::from_slice(data) {
            Ok(value) => self.is_in(&value, ""),
            Err(_) => self.quoted.find(data).is_some(),
        }
    }

    fn is_in(&self, value: &Value, field: &str) -> bool {
        match value {
            Value::String(text) if IDS.contains(&field) => text == self.id.as_str(),
            Value::String(text) if TEXTS.contains(&field) => {
                serde_json::from_str(text).is_ok_and(|value| self.is_in(&value, ""))
            }
            Value::Array(items) => items.iter().any(|item| self.is_in(item, field)),
            Value::Object(fields) => fields.iter().any(|(name, item)| self.is_in(item, name)),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_named_by_its_whole_id_in_a_field_of_ids_alone() {
        let filter = TokenFilter::new("123".parse().expect("an id"));
        let named = [
            r#"{"asset_id":"123","size":"7"}"#,
            r#"{"price_changes":[{"asset_id":"9"},{"asset_id" : "123"}]}"#,
            r#"[{"event_type":"book","asset_id":"123"}]"#,
            r#"{"event_type":"new_market","assets_ids":["9","123"]}"#,
            r#"{"event_type":"new_market","clob_token_ids":["123"]}"#,
            r#"{"event_type":"market_resolved","winning_asset_id":"123"}"#,
            r#"{"scope":"token","token_id":"123"}"#,
            r#"{"event":"carries","socket":2,"tokens":["9","123"]}"#,
            r#"{"event":"followed","market":{"tokens":[{"token_id":"123"}]}}"#,
            r#"{"event":"resolved","winner":"123"}"#,
            r#"{"path":"/books","request":"[{\"token_id\":\"123\"}]","body":"[]"}"#,
            r#"{"path":"/book","request":null,"body":"{\"asset_id\":\"123\"}"}"#,
            // Cut.
            r#"{"asset_id":"123","price_ch"#,
        ];
        for entry in named {
            assert!(filter.is_named_in(entry.as_bytes()), "{entry}");
        }
        let others = [
            r#"{"asset_id":"9","size":"123"}"#,
            r#"{"asset_id":"9","price":"123","timestamp":"123","hash":"123"}"#,
            r#"{"asset_id":"9","bids":[{"price":"0.5","size":"123"}]}"#,
            r#"{"token_id":"9","bids":[["0.5","123"]]}"#,
            r#"{"asset_id":"1234"}"#,
            r#"{"asset_id":"0123"}"#,
            r#"{"asset_id":"9","min_order_size":123}"#,
            r#"{"question":"Will 123 win?","tokens":["9"],"text":"123"}"#,
            r#"{"path":"/book","request":null,"body":"{\"size\":\"123\"}"}"#,
            // Cut.
            r#"{"asset_id":"1234","price_ch"#,
        ];
        for entry in others {
            assert!(!filter.is_named_in(entry.as_bytes()), "{entry}");
        }
    }
}
