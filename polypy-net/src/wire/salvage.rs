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
