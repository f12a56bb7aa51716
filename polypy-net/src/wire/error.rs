//! Why a frame, an event or a field was refused.

use polypy_core::{DecimalError, IdError};

/// The cause. Fields are named as on the wire; text of the venue's is not kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes are not text.
    #[error("not utf-8")]
    Utf8(#[from] std::str::Utf8Error),
    /// The text is not JSON, or ends too early.
    #[error("not json")]
    Json(#[from] serde_json::Error),
    /// The array has no end, or something follows it.
    #[error("array is broken off")]
    BrokenArray,
    /// An event, a level or a change is something else than an object.
    #[error("not an object")]
    NotAnObject,
    /// A required field is missing, `null` or `""`.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field holds another kind of value than it should.
    #[error("{0} has the wrong type")]
    WrongType(&'static str),
    /// A price, size or step cannot be held exactly.
    #[error("{field}: {source}")]
    Decimal {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        source: DecimalError,
    },
    /// A timestamp is not an integer number of milliseconds.
    #[error("{0} is not a number of milliseconds")]
    Timestamp(&'static str),
    /// A side is neither `BUY` nor `SELL`.
    #[error("side is neither buy nor sell")]
    Side,
    /// A hash is not 40 hexadecimal digits.
    #[error("hash is not 40 hexadecimal digits")]
    Hash,
    /// A text is longer than anything the venue puts there.
    #[error("{0} is too long")]
    TooLong(&'static str),
    /// An identifier is malformed.
    #[error("{field}: {source}")]
    Id {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        source: IdError,
    },
    /// A REST book of an asset that nobody interned.
    #[error("asset is not known")]
    UnknownAsset,
}

/// Names of the causes, as `/stats` shows them; [`WireError::cause`] indexes it.
pub(super) const CAUSES: [&str; 17] = [
    "utf8",
    "json",
    "not_an_object",
    "missing_field",
    "wrong_type",
    "decimal_empty",
    "decimal_signed",
    "decimal_unexpected_byte",
    "decimal_too_fine",
    "decimal_out_of_range",
    "decimal_other",
    "timestamp",
    "side",
    "hash",
    "too_long",
    "id",
    "unknown_asset",
];

impl WireError {
    /// The cause's place in [`CAUSES`].
    pub(super) fn cause(&self) -> usize {
        match self {
            Self::Utf8(_) => 0,
            Self::Json(_) | Self::BrokenArray => 1,
            Self::NotAnObject => 2,
            Self::Missing(_) => 3,
            Self::WrongType(_) => 4,
            Self::Decimal { source, .. } => match source {
                DecimalError::Empty => 5,
                DecimalError::Signed => 6,
                DecimalError::UnexpectedByte(_) => 7,
                DecimalError::TooFine => 8,
                DecimalError::OutOfRange => 9,
                _ => 10,
            },
            Self::Timestamp(_) => 11,
            Self::Side => 12,
            Self::Hash => 13,
            Self::TooLong(_) => 14,
            Self::Id { .. } => 15,
            Self::UnknownAsset => 16,
        }
    }

    /// The cause's name, as `/stats` shows it.
    pub fn name(&self) -> &'static str {
        CAUSES.get(self.cause()).copied().unwrap_or("json")
    }
}
