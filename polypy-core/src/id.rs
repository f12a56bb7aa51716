//! The venue's identifiers as text. Inside, [`crate::AssetKey`] stands for them.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, de};

/// Longest asset id accepted. A token id is a 256-bit number: 78 decimal digits.
pub const MAX_ASSET_DIGITS: usize = 78;
/// Longest condition id accepted: `0x` and 64 hexadecimal digits.
pub const MAX_CONDITION_LENGTH: usize = 66;

/// Why an identifier was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// Not one to 78 decimal digits.
    #[error("asset id must be 1 to {MAX_ASSET_DIGITS} decimal digits")]
    Asset,
    /// Not `0x` and one to 64 hexadecimal digits.
    #[error("condition id must be 0x and 1 to 64 hexadecimal digits")]
    Condition,
}

/// An outcome token's id: the venue's `asset_id` or `token_id`, decimal digits.
/// It exceeds every machine integer, so it stays text. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct AssetId(Arc<str>);

impl AssetId {
    /// Checks and keeps the text.
    ///
    /// # Errors
    /// [`IdError::Asset`] unless it is 1 to 78 decimal digits.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits && text.len() <= MAX_ASSET_DIGITS {
            Ok(Self(Arc::from(text)))
        } else {
            Err(IdError::Asset)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A market's condition id: the venue's `market`, `0x` and hexadecimal digits
/// (64 of them, 62 on the newest markets). Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ConditionId(Arc<str>);

impl ConditionId {
    /// Checks and keeps the text; `0X` as `0x`.
    ///
    /// # Errors
    /// [`IdError::Condition`] unless it is `0x` and 1 to 64 hexadecimal digits.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let lower = text.strip_prefix("0x");
        let digits = lower.or_else(|| text.strip_prefix("0X"));
        let is_id =
            digits.is_some_and(|hex| !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits {
            Some(digits) if is_id && text.len() <= MAX_CONDITION_LENGTH => Ok(Self(match lower {
                Some(_) => Arc::from(text),
                None => format!("0x{digits}").into(),
            })),
            _ => Err(IdError::Condition),
        }
    }

    /// What all spellings of one id have in common: its digits in lower case, without
    /// leading zeros. The venue leaves these out in some places.
    pub fn canonical(&self) -> Cow<'_, str> {
        let digits = self.0.trim_start_matches("0x").trim_start_matches('0');
        if digits.bytes().any(|byte| byte.is_ascii_uppercase()) {
            digits.to_ascii_lowercase().into()
        } else {
            digits.into()
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! text_id {
    ($id:ty) => {
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($id), self.0)
            }
        }

        impl FromStr for $id {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl Borrow<str> for $id {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(&text).map_err(de::Error::custom)
            }
        }
    };
}

text_id!(AssetId);
text_id!(ConditionId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asset_ids_are_digits_only() {
        assert!(AssetId::new(&"9".repeat(78)).is_ok());
        for bad in ["", "12a", "..%2f", "-1", "١٢", &"9".repeat(79)] {
            assert_eq!(AssetId::new(bad), Err(IdError::Asset), "{bad}");
        }
    }

    #[test]
    fn ids_are_shown_as_they_were_written() {
        let (asset, condition) = (
            AssetId::new("12").unwrap(),
            ConditionId::new("0xa1").unwrap(),
        );
        assert_eq!((asset.as_str(), condition.as_str()), ("12", "0xa1"));
        assert_eq!(format!("{asset} {condition:>6}"), "12   0xa1");
        assert_eq!(
            format!("{asset:?} {condition:?}"),
            "AssetId(12) ConditionId(0xa1)"
        );
        let known = std::collections::HashSet::from([asset]);
        assert!(known.contains("12"));
    }

    #[test]
    fn condition_ids_are_prefixed_hexadecimal() {
        assert!(ConditionId::new(&format!("0x{}", "aF".repeat(32))).is_ok());
        assert!(ConditionId::new(&format!("0x{}", "a".repeat(62))).is_ok());
        assert_eq!(ConditionId::new("0XaF"), ConditionId::new("0xaF"));
        for bad in [
            "",
            "0x",
            "0X",
            "0Xzz",
            "1xa",
            "aabb",
            "0xzz",
            &format!("0x{}", "a".repeat(65)),
        ] {
            assert_eq!(ConditionId::new(bad), Err(IdError::Condition), "{bad}");
        }
    }
}
