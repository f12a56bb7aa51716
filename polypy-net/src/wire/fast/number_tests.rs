//! Word-wise parsing against core's own, text by text.

use polypy_core::{Price, Size};
use proptest::prelude::*;

use super::*;

/// What follows a number in a frame: long enough, or hardly there.
const BEHIND: [&str; 4] = [
    "\",\"size\":\"12.5\",\"side\"",
    "\"}",
    "\"",
    "\".5\"0\"1.25\"9\"8\"7\"6\"5\"",
];

/// Both may refuse; if ours does not, both say the same and the quote is next.
#[track_caller]
fn check(text: &str) {
    for behind in BEHIND {
        let frame = format!("{text}{behind}");
        let mut cursor = Cursor::new(frame.as_bytes());
        if let Some(price) = cursor.price() {
            assert_eq!(Price::parse(text.as_bytes()), Ok(price), "{frame}");
            assert_eq!(cursor.rest(), behind.as_bytes());
        }
        let mut cursor = Cursor::new(frame.as_bytes());
        if let Some(size) = cursor.size() {
            assert_eq!(Size::parse(text.as_bytes()), Ok(size), "{frame}");
            assert_eq!(cursor.rest(), behind.as_bytes());
        }
    }
}

/// Whether both are read, and rightly.
#[track_caller]
fn reads(text: &str) {
    check(text);
    let frame = format!("{text}\",");
    let is_price = Price::parse(text.as_bytes()).is_ok();
    let price = Cursor::new(frame.as_bytes()).price();
    assert_eq!(price.is_some(), is_price, "{text}");
    assert!(Cursor::new(frame.as_bytes()).size().is_some(), "{text}");
}

#[test]
fn every_form_the_venue_has_sent_is_read() {
    for text in [
        "0",
        "1",
        "5",
        "10",
        "0.5",
        "0.53",
        "0.053",
        "0.0025",
        "0.99999",
        "0.123456",
        "0.850",
        "1.0",
        "4271",
        "818.1",
        "8534.58",
        "12345.67",
        "100115",
        "1147877.83",
        "21006065",
        "11005549.53",
        "216.216215",
        "99999999.999999",
        "123456789",
        "123456789.5",
    ] {
        reads(text);
    }
}

#[test]
fn odd_forms_are_refused_or_read_as_core_does() {
    for text in [
        "",
        ".",
        "..",
        "0.",
        "7.",
        ".5",
        "1.2.3",
        "-1",
        "+1",
        "1e3",
        " 1",
        "1 ",
        "0.5 ",
        "0,5",
        "0.0000001",
        "0.1234567",
        "0.5000000",
        "0.\u{30a}",
        "1:",
        "1/",
        "0x1",
        "1.0000001",
        "99999999999999999999",
        "18446744073709.551616",
        "1234567.1234567",
        "00000000.5",
    ] {
        check(text);
    }
}

#[test]
fn every_price_of_the_finest_grid_is_read() {
    for units in 0..100_000 {
        reads(&format!("0.{units:05}"));
    }
}

#[test]
fn eight_digits_are_eight_digits() {
    for byte in 0..=u8::MAX {
        for at in 0..8 {
            let mut text = *b"12345678";
            text[at] = byte;
            let expected = std::str::from_utf8(&text)
                .ok()
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|text| text.parse().ok());
            assert_eq!(eight_digits(u64::from_le_bytes(text)), expected, "{text:?}");
        }
    }
}

proptest! {
    #[test]
    fn any_number_is_read_as_core_does(text in "[0-9]{0,10}\\.?[0-9]{0,8}") {
        check(&text);
    }

    #[test]
    fn any_text_is_read_as_core_does(text in "[0-9.,:/ x\\x00\u{7f}ü-]{0,18}") {
        check(&text);
    }

    #[test]
    fn times_are_read_as_numbers(text in "[0-9]{0,22}|[0-9/:x]{13}") {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let millis: Option<u64> = text.parse().ok().filter(|_| digits);
        prop_assert_eq!(timestamp(text.as_bytes()).map(Timestamp::millis), millis);
    }
}
