//! Answers that come packed.

use std::io::Read;

use bytes::Bytes;
use flate2::read::GzDecoder;
use hyper::header::CONTENT_ENCODING;
use hyper::http::response::Parts;

use super::error::RestError;

/// Times its packed size that an answer may have at most. Texts stay far below; gzip goes
/// to a thousand, for zeros.
const RATIO: usize = 200;

/// Whether the body is packed as it was asked for; an error if it is in another way.
pub(super) fn is_packed(parts: &Parts) -> Result<bool, RestError> {
    match parts.headers.get(CONTENT_ENCODING) {
        None => Ok(false),
        Some(encoding) if encoding == "identity" => Ok(false),
        Some(encoding) if encoding == "gzip" || encoding == "x-gzip" => Ok(true),
        Some(_) => Err(RestError::Encoded),
    }
}

/// What was packed, at most `limit` bytes.
pub(super) fn unpack(packed: &[u8], limit: usize) -> Result<Bytes, RestError> {
    let limit = limit.min(packed.len().saturating_mul(RATIO));
    // One more than may come: it tells the end from the limit.
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut plain = Vec::new();
    GzDecoder::new(packed)
        .take(most)
        .read_to_end(&mut plain)
        .map_err(RestError::Packed)?;
    if plain.len() > limit {
        return Err(RestError::TooLarge { limit });
    }
    Ok(plain.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_was_packed_comes_out_within_both_bounds() {
        let text = br#"{"markets":[],"next_cursor":"LTE="}"#;
        assert_eq!(unpack(&packed(text), 35).unwrap(), &text[..]);
        let error = unpack(&packed(text), 34).unwrap_err();
        assert!(matches!(error, RestError::TooLarge { limit: 34 }));
        assert!(unpack(&packed(b""), 0).unwrap().is_empty());
        let bomb = packed(&vec![b'0'; 1 << 20]);
        let RestError::TooLarge { limit } = unpack(&bomb, 64 << 20).unwrap_err() else {
            panic!("a bomb went off");
        };
        assert_eq!(limit, bomb.len() * RATIO);
    }

    #[test]
    fn what_is_broken_is_an_error_and_no_panic() {
        let whole = packed(b"some text that is long enough to be packed, packed, packed");
        for end in 0..whole.len() {
            assert!(unpack(&whole[..end], 1_000).is_err(), "{end}");
        }
        assert!(matches!(unpack(b"bomb", 1_000), Err(RestError::Packed(_))));
    }
}
