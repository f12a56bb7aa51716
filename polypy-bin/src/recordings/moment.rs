//! Moments as people type and read them.

use polypy_core::Timestamp;

/// A moment in nanoseconds since the epoch: RFC 3339, or a Unix time whose digits say in
/// what it is counted.
///
/// # Errors
/// Says what would be understood.
///
/// ```
/// use polypy::recordings::moment::parse;
///
/// assert_eq!(parse("2026-11-29T08:43:00Z"), Ok(1_795_941_780_000_000_000));
/// assert_eq!(parse("1795941780"), parse("1795941780000"));
/// assert!(parse("yesterday").is_err());
/// ```
pub fn parse(text: &str) -> Result<u64, String> {
    if let Ok(count) = text.parse::<u64>() {
        let unit = match text.len() {
            ..=11 => 1_000_000_000,
            12..=14 => 1_000_000,
            15..=17 => 1_000,
            _ => 1,
        };
        let nanos = count.checked_mul(unit);
        return nanos.ok_or_else(|| "that is later than year 2500".to_owned());
    }
    let stamp = Timestamp::from_rfc3339(text).ok_or_else(|| {
        "not a time: RFC 3339, as 2026-11-29T08:43:00Z, or a Unix time, as 1795941780".to_owned()
    })?;
    Ok(stamp.millis().saturating_mul(1_000_000))
}

/// How people read one.
pub fn shown(nanos: u64) -> String {
    Timestamp::from_millis(nanos / 1_000_000).to_string()
}
