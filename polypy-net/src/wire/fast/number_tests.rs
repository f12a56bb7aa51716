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

/// What a window makes of `text` if it takes what is behind for expected.
fn read<T>(
    text: &str,
    behind: &str,
    read: impl Fn(&mut Window<'_, 64>, usize) -> Option<(T, usize)>,
) -> Option<T> {
    let mut frame = format!("{text}{behind}").into_bytes();
    frame.resize(64, b'"');
    let mut window = Window::at_front(&frame).expect("is long enough");
    let (value, end) = read(&mut window, 0)?;
    let behind: &[u8; 8] = behind.as_bytes().first_chunk().expect("is long enough");
    window.expect(end, behind)?;
    window.is_as_expected().then_some(value)
}

/// Both may refuse; if ours does not, both say the same.
#[track_caller]
fn check(text: &str) {
    for behind in BEHIND {
        if let Some(price) = read(text, behind, |window, at| window.price(at)) {
            assert_eq!(Price::parse(text.as_bytes()), Ok(price), "{text}{behind}");
        }
        if let Some(size) = read(text, behind, |window, at| window.size(at)) {
            assert_eq!(Size::parse(text.as_bytes()), Ok(size), "{text}{behind}");
        }
        let bid = read(text, behind, |window, at| window.top(at, Side::Bid));
        let ask = read(text, behind, |window, at| window.top(at, Side::Ask));
        for (side, top) in [(Side::Bid, bid), (Side::Ask, ask)] {
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
    let price = read(text, BEHIND[0], |window, at| window.price(at));
    assert_eq!(price.is_some(), is_price, "{text}");
    assert!(
        read(text, BEHIND[1], |window, at| window.size(at)).is_some(),
        "{text}"
    );
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

#[test]
fn digits_are_counted_up_to_the_first_other_byte() {
    for byte in 0..=u8::MAX {
        for at in 0..8 {
            let mut text = *b"12345678";
            text[at] = byte;
            let front = text.iter().take_while(|byte| byte.is_ascii_digit());
            let count = front.clone().count();
            let mut values = [0; 8];
            for (value, digit) in values.iter_mut().zip(front) {
                *value = digit - b'0';
            }
            let expected = (u64::from_le_bytes(values), count);
            assert_eq!(digits(u64::from_le_bytes(text)), expected, "{text:?}");
        }
    }
}

#[test]
fn any_number_of_digits_makes_its_number() {
    for count in 0..=8 {
        let text = &"12345678"[..count];
        let mut word = *b"........";
        word[..count].copy_from_slice(text.as_bytes());
        let (values, counted) = digits(u64::from_le_bytes(word));
        assert_eq!(counted, count);
        assert_eq!(whole(values, count), text.parse().ok());
        if count <= 6 {
            let expected: u32 = format!("{text:0<6}").parse().expect("is a number");
            assert_eq!(millionths(values), expected);
        }
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
