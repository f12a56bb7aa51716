//! The sheet that writes JSON.

use super::histogram::Reading;
use super::row::{List, Number, Part, Row};
use super::sheet::Sheet;

/// Writes one JSON object, straight into its bytes.
#[derive(Debug)]
pub struct JsonSheet {
    out: Vec<u8>,
    /// Nothing stands yet in the object that is open.
    fresh: bool,
    /// For each list that is open whether its members have names, the innermost in
    /// the lowest bit.
    named: u32,
}

impl JsonSheet {
    /// An empty object, with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut out = Vec::with_capacity(bytes);
        out.push(b'{');
        Self {
            out,
            fresh: true,
            named: 0,
        }
    }

    /// The bytes of the object.
    pub fn finish(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }

    fn next(&mut self) {
        if !self.fresh {
            self.out.push(b',');
        }
        self.fresh = false;
    }

    /// Keys are ours, with nothing in them that needs to be escaped.
    fn key(&mut self, key: &'static str) {
        self.next();
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn begin_with(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.fresh = true;
    }

    fn end_with(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.fresh = false;
    }
}

impl Sheet for JsonSheet {
    fn wants(&self, list: &'static List) -> bool {
        !list.key().is_empty()
    }

    fn number(&mut self, row: &'static Row, number: Number<'_>) {
        if row.key().is_empty() || (row.is_sparse() && number.says_nothing()) {
            return;
        }
        self.key(row.key());
        match number {
            Number::Count(count) => write_count(&mut self.out, count),
            Number::Thousandths(thousandths) => write_thousandths(&mut self.out, thousandths),
            Number::Amount(amount) => write_amount(&mut self.out, amount),
            Number::Flag(true) => self.out.extend_from_slice(b"true"),
            Number::Flag(false) => self.out.extend_from_slice(b"false"),
            Number::Text(text) => write_text(&mut self.out, text),
            Number::Nothing => self.out.extend_from_slice(b"null"),
        }
    }

    fn histogram(&mut self, _row: &'static Row, _reading: &Reading) {}

    fn members(&mut self, row: &'static Row, members: &mut dyn Iterator<Item = (&str, u64)>) {
        if row.key().is_empty() {
            return;
        }
        let is_beside = row.key() == "*";
        if !is_beside {
            self.key(row.key());
            self.begin_with(b'{');
        }
        for (name, number) in members {
            if row.is_sparse() && number == 0 {
                continue;
            }
            self.next();
            write_text(&mut self.out, name);
            self.out.push(b':');
            write_count(&mut self.out, number);
        }
        if !is_beside {
            self.end_with(b'}');
        }
    }

    fn words(&mut self, row: &'static Row, words: &mut dyn Iterator<Item = &str>) {
        self.key(row.key());
        self.begin_with(b'[');
        for word in words {
            self.next();
            write_text(&mut self.out, word);
        }
        self.end_with(b']');
    }

    fn open(&mut self, part: &'static Part) {
        self.key(part.key());
        self.begin_with(b'{');
    }

    fn close(&mut self) {
        self.end_with(b'}');
    }

    fn begin(&mut self, list: &'static List) {
        self.key(list.key());
        self.begin_with(if list.is_named() { b'{' } else { b'[' });
        self.named = self.named << 1 | u32::from(list.is_named());
    }

    fn member(&mut self, name: &str) {
        self.next();
        if self.named & 1 == 1 {
            write_text(&mut self.out, name);
            self.out.push(b':');
        }
        self.begin_with(b'{');
    }

    fn end_member(&mut self) {
        self.end_with(b'}');
    }

    fn end(&mut self) {
        let is_named = self.named & 1 == 1;
        self.named >>= 1;
        self.end_with(if is_named { b'}' } else { b']' });
    }
}

/// All numbers of two digits, one after the other.
const PAIRS: [u8; 200] = {
    let mut pairs = [b'0'; 200];
    let mut at = 0;
    let mut tens = b'0';
    while tens <= b'9' {
        let mut ones = b'0';
        while ones <= b'9' {
            pairs[at] = tens;
            pairs[at + 1] = ones;
            at += 2;
            ones += 1;
        }
        tens += 1;
    }
    pairs
};

fn pair(number: u64) -> [u8; 2] {
    let at = usize::try_from(number % 100).unwrap_or(0) * 2;
    [PAIRS[at], PAIRS[at + 1]]
}

/// Appends a whole number in decimal digits.
///
/// ```
/// let mut out = b"le=".to_vec();
/// polypy_core::metrics::write_count(&mut out, 1_024);
/// assert_eq!(out, b"le=1024");
/// ```
pub fn write_count(out: &mut Vec<u8>, mut number: u64) {
    // Most counters of most programs are zero.
    if let [digit @ 0..10, 0, 0, 0, 0, 0, 0, 0] = number.to_le_bytes() {
        out.push(b'0' + digit);
        return;
    }
    let mut digits = [0; 20];
    let mut at = digits.len();
    while number >= 10 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&pair(number));
        number /= 100;
    }
    // One digit is left of an odd number of them; zero has one too.
    if number > 0 || at == digits.len() {
        at -= 1;
        digits[at] = pair(number)[1];
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends thousandths as a number with a point.
fn write_thousandths(out: &mut Vec<u8>, thousandths: u64) {
    write_count(out, thousandths / 1_000);
    write_fraction(out, thousandths, 3);
}

/// Appends the point and the last `width` digits, without the zeros at their end but the
/// first.
fn write_fraction(out: &mut Vec<u8>, mut number: u64, width: usize) {
    let mut digits = [b'0'; 6];
    for digit in digits[..width].iter_mut().rev() {
        *digit = pair(number)[1];
        number /= 10;
    }
    let last = digits[..width].iter().rposition(|digit| *digit != b'0');
    out.push(b'.');
    out.extend_from_slice(&digits[..=last.unwrap_or(0)]);
}

/// Appends any number, exact to six digits behind the point; what is no number is null.
fn write_amount(out: &mut Vec<u8>, amount: f64) {
    const MILLIONTHS: f64 = 1e6;
    if amount.abs() < 1e9 {
        if amount < 0.0 {
            out.push(b'-');
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "below 10^15, and not below zero"
        )]
        let millionths = (amount.abs() * MILLIONTHS).round() as u64;
        write_count(out, millionths / 1_000_000);
        write_fraction(out, millionths, 6);
    } else if amount.is_finite() {
        out.extend_from_slice(format!("{amount:?}").as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}

/// Appends a text in quotes.
fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut copied = 0;
    let bytes = text.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[copied..at]);
        copied = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
    }
    out.extend_from_slice(&bytes[copied..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn fraction(thousandths: u64) -> String {
        written(|out| write_thousandths(out, thousandths))
    }

    #[test]
    fn numbers_are_written_as_people_do() {
        for (number, expected) in [(0, "0"), (7, "7"), (10, "10"), (99, "99"), (100, "100")] {
            assert_eq!(written(|out| write_count(out, number)), expected);
        }
        assert_eq!(
            written(|out| write_count(out, u64::MAX)),
            u64::MAX.to_string()
        );
        for (number, expected) in [(0, "0.0"), (5, "0.005"), (3_600_500, "3600.5")] {
            assert_eq!(fraction(number), expected);
        }
        for (amount, expected) in [
            (0.0, "0.0"),
            (-0.25, "-0.25"),
            (2.0, "2.0"),
            (2.0 / 3.0, "0.666667"),
            (1.5e12, "1500000000000.0"),
            (f64::NAN, "null"),
            (f64::INFINITY, "null"),
        ] {
            assert_eq!(written(|out| write_amount(out, amount)), expected);
        }
    }

    proptest! {
        #[test]
        fn counts_read_back(number: u64) {
            prop_assert_eq!(written(|out| write_count(out, number)), number.to_string());
        }

        #[test]
        fn thousandths_read_back(number in 0u64..1 << 50) {
            let read: f64 = fraction(number).parse().unwrap();
            #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
            let exact = number as f64 / 1_000.0;
            prop_assert!((read - exact).abs() < 1e-4 * (1.0 + exact * 1e-9), "{read} {exact}");
        }

        #[test]
        fn amounts_read_back(amount in -1e10f64..1e10) {
            let read: f64 = written(|out| write_amount(out, amount)).parse().unwrap();
            prop_assert!((read - amount).abs() <= 1e-6, "{read} {amount}");
        }

        #[test]
        fn any_text_reads_back(text in "(?s).{0,20}") {
            let json = written(|out| write_text(out, &text));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
