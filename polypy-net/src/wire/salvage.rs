//! Which assets a text names that could not be decoded.
//!
//! What cannot be read may have held a change, and a change lost unseen is a
//! wrong book. So a refused text is searched for `"asset_id":"…"` and
//! `"market":"…"`, whatever its state as JSON. Naming too many is harmless: each
//! costs a fresh snapshot.

use std::sync::Arc;

use polypy_core::{AssetInfo, Interner};

const ASSET: &str = "\"asset_id\"";
const MARKET: &str = "\"market\"";

/// The known assets that `text` names.
pub(super) fn named_assets<'a>(
    text: &'a str,
    assets: &'a Interner,
) -> impl Iterator<Item = &'a Arc<AssetInfo>> {
    values_of(ASSET, text).filter_map(|id| assets.get(id))
}

/// The known assets of the markets that `text` names.
pub(super) fn assets_of_named_markets<'a>(
    text: &'a str,
    assets: &'a Interner,
) -> impl Iterator<Item = &'a Arc<AssetInfo>> {
    values_of(MARKET, text).flat_map(|condition| assets.market(condition))
}

/// The ids behind `key` and `: "`, or behind `:` when the id is a number. What
/// stands at the very end of the text may be cut off and is not taken.
fn values_of<'a>(key: &'static str, text: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(key).skip(1).filter_map(|after_key| {
        let value = after_key.trim_ascii_start().strip_prefix(':')?;
        let value = value.trim_ascii_start();
        let id = value.strip_prefix('"').unwrap_or(value);
        let end = id.bytes().position(|byte| !byte.is_ascii_alphanumeric())?;
        Some(&id[..end])
    })
}

#[cfg(test)]
mod tests {
    use polypy_core::ConditionId;

    use super::*;

    #[test]
    fn finds_ids_in_whatever_is_left_of_a_text() {
        let mut assets = Interner::default();
        let condition: ConditionId = "0xa1".parse().unwrap();
        for id in ["11", "112"] {
            let asset = id.parse().unwrap();
            assets.insert(&asset, &condition, |key| {
                AssetInfo::new(key, id.parse().unwrap(), condition.clone())
            });
        }
        for (text, ids) in [
            (r#"{"asset_id":"11","asset_id" : "112"]"#, vec!["11", "112"]),
            (r#""asset_id":112,"#, vec!["112"]),
            (r#""asset_id":"\u00e9" "asset_id":"99" "asset_id""#, vec![]),
            (r#"asset_id":"11""#, vec![]),
            // The id may have gone on.
            (r#"{"asset_id":"11"#, vec![]),
        ] {
            let named: Vec<_> = named_assets(text, &assets)
                .map(|info| info.asset_id.as_str())
                .collect();
            assert_eq!(named, ids, "{text}");
        }
        for (text, count) in [
            (r#"{"market" : "0xa1","#, 1),
            (r#"{"market":"0xa2""#, 0),
            (r#"{"market":"0xa1"#, 0),
            (r#"{"market":null,"asset_id":"11"}"#, 0),
        ] {
            assert_eq!(
                assets_of_named_markets(text, &assets).count(),
                count,
                "{text}"
            );
        }
    }
}
