//! Which assets a text names that could not be decoded.
//!
//! What cannot be read may have held a change, and a change lost unseen is a
//! wrong book. So a refused text is searched for `"asset_id":"…"`, whatever its
//! state as JSON. Naming too many is harmless: each costs a fresh snapshot.

use std::sync::Arc;

use polypy_core::{AssetInfo, Interner};

const KEY: &str = "\"asset_id\"";

/// The known assets that `text` names.
pub(super) fn named_assets<'a>(
    text: &'a str,
    assets: &'a Interner,
) -> impl Iterator<Item = &'a Arc<AssetInfo>> {
    text.split(KEY)
        .skip(1)
        .filter_map(value_of_key)
        .filter_map(|id| assets.get(id))
}

/// The digits behind `: "`, or behind `:` when the id is a number. Digits at
/// the very end of the text may be cut off and are not taken.
fn value_of_key(after_key: &str) -> Option<&str> {
    let value = after_key.trim_ascii_start().strip_prefix(':')?;
    let value = value.trim_ascii_start();
    let digits = value.strip_prefix('"').unwrap_or(value);
    let end = digits.bytes().position(|byte| !byte.is_ascii_digit())?;
    Some(&digits[..end])
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
    }
}
