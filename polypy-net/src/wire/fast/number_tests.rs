//! Word-wise parsing against core's own, text by text.

use polypy_core::{Price, Side, Size};
use proptest::prelude::*;

use super::super::event;
use super::super::window::Window;
use super::*;

/// What follows a number in a frame.
const BEHIND: [&str; 3] = [
    "\",\"size\":\"12.5\",\"side\"",
    "\",\"side\":\"",
    "\".5\"0\"1.25\"9\"8\"7\"6\"5\"",
];

/// What a window makes of `text` in quotes, if what stands behind is read on.
fn read<T>(
    text: &str,
    behind: &str,
    read: impl Fn(Window<'_, 64>) -> Option<(T, usize)>,
) -> Option<T> {
    let mut frame = format!("{BEFORE}{text}{behind}").into_bytes();
    frame.resize(64, b'"');
    let window = Window::at_front(&frame).expect("is long enough");
    let (value, end) = read(window)?;
    let behind: &[u8; 8] = behind.as_bytes().first_chunk().expect("is long enough");
    window.expect(end, behind)?;
    Some(value)
}

const BEFORE: &str = r#"{"price":""#;
const USUAL: &[u8; 12] = br#"{"price":"0."#;

fn price(text: &str, behind: &str) -> Option<Price> {
    read(text, behind, |window| window.price(0, USUAL))
}

fn size(text: &str, behind: &str) -> Option<Size> {
    read(text, behind, |window| window.size(BEFORE.len()))
}

/// Both may refuse; if ours does not, both say the same.
#[track_caller]
fn check(text: &str) {
    for behind in BEHIND {
        if let Some(price) = price(text, behind) {
            assert_eq!(Price::parse(text.as_bytes()), Ok(price), "{text}{behind}");
        }
        if let Some(size) = size(text, behind) {
            assert_eq!(Size::parse(text.as_bytes()), Ok(size), "{text}{behind}");
        }
        for side in [Side::Bid, Side::Ask] {
            let top = read(text, behind, |window| window.top(0, USUAL, side));
            let expected = event::top(Some(text.as_bytes()), side);
            assert!(top.is_none() || top == expected, "{text}{behind}");
        }
    }
}

/// Whether both are read, and rightly.
#[track_caller]
fn reads(text: &str) {
    check(text);
    let is_price = Price::parse(text.as_bytes()).is_ok();
    assert_eq!(price(text, BEHIND[0]).is_some(), is_price, "{text}");
    assert!(size(text, BEHIND[1]).is_some(), "{text}");
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
        "1.1000000",
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
        "123456789",
        "123456789.5",
        "12345678.1234567",
        "0.10000000",
        "0.100000000",
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

/// What the digits at the front of a text say, one by one.
#[track_caller]
fn check_front(text: [u8; 8]) {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let front = std::str::from_utf8(&text[..count]).expect("is digits");
    let word = u64::from_le_bytes(text);
    let number = front.parse().ok().map(|number| (number, count));
    assert_eq!(whole(word), number, "{text:?}");
    let six = &format!("{front:0<6}")[..6];
    let Fraction {
        millionths,
        beyond,
        count: counted,
    } = fraction(word);
    assert_eq!(Ok(millionths), six.parse(), "{text:?}");
    let zeros = front.bytes().skip(6).all(|byte| byte == b'0');
    assert_eq!((beyond == 0, counted), (zeros, count), "{text:?}");
}

#[test]
fn digits_are_read_up_to_the_first_other_byte() {
    for text in [*b"12345678", *b"90070000", *b"00000000", *b"99999999"] {
        for at in 0..8 {
            for byte in 0..=u8::MAX {
                let mut text = text;
                text[at] = byte;
                check_front(text);
            }
        }
    }
}

#[test]
fn thirteen_digits_are_thirteen_digits() {
    for byte in 0..=u8::MAX {
        for at in 0..13 {
            let mut text = *b"1791200000987";
            text[at] = byte;
            let expected = std::str::from_utf8(&text)
                .ok()
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|text| text.parse().ok());
            assert_eq!(thirteen(&text), expected, "{text:?}");
        }
    }
}

proptest! {
    #[test]
    fn any_eight_bytes_are_read_up_to_the_first_other(
        digits in prop::array::uniform8(b'0'..=b'9'),
        other in prop::array::uniform8(any::<u8>()),
        from in 0..=8usize,
    ) {
        let mut text = digits;
        text[from..].copy_from_slice(&other[from..]);
        check_front(text);
    }

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
