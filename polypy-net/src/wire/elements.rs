//! The elements of a JSON array, one by one, each as text.
//!
//! Splits by brackets and strings alone and leaves the judgement of each
//! element to its own parser, so that a broken element costs none of the
//! others. One pass, no recursion: depth is a number.

/// Iterates over the elements of the array that a text holds.
///
/// An `Err` is the rest of the text from where the array broke off: it never
/// closes, or something follows it. Nothing comes after an `Err`.
#[derive(Debug)]
pub(super) struct Elements<'a> {
    place: Place<'a>,
}

#[derive(Debug)]
enum Place<'a> {
    /// Behind `[` or `,`: an element begins here.
    Element(&'a str),
    /// Behind `]`: nothing may follow.
    End(&'a str),
}

impl<'a> Elements<'a> {
    /// The elements of `text`; `None` unless it begins with `[`.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let inside = text.trim_ascii_start().strip_prefix('[')?;
        let place = match inside.trim_ascii_start().strip_prefix(']') {
            Some(after) => Place::End(after),
            None => Place::Element(inside),
        };
        Some(Self { place })
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<&'a str, &'a str>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.place {
            Place::Element(rest) => {
                let Some(end) = element_end(rest.as_bytes()) else {
                    self.place = Place::End("");
                    return Some(Err(rest));
                };
                // `end` is the index of an ASCII byte: both cuts are between characters.
                let (element, after) = (&rest[..end], &rest[end + 1..]);
                self.place = match rest.as_bytes()[end] {
                    b',' => Place::Element(after),
                    _ => Place::End(after),
                };
                Some(Ok(element.trim_ascii()))
            }
            Place::End(rest) => {
                self.place = Place::End("");
                let rest = rest.trim_ascii();
                (!rest.is_empty()).then_some(Err(rest))
            }
        }
    }
}

/// The index of the `,` or `]` that ends the element at the beginning.
fn element_end(bytes: &[u8]) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at)?,
            b'{' | b'[' => depth += 1,
            b',' | b']' if depth == 0 => return Some(at),
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The index of the quote that closes the string opened at `open`.
fn string_end(bytes: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<Result<&str, &str>> {
        Elements::of(text).unwrap().collect()
    }

    #[test]
    fn splits_whatever_stands_between_brackets() {
        assert_eq!(split("[]"), []);
        assert_eq!(split(" [ ] \n"), []);
        assert_eq!(split("[1]"), [Ok("1")]);
        assert_eq!(
            split(r#"[ {"a":[1,2],"b":"],["} , "\",", null ]"#),
            [Ok(r#"{"a":[1,2],"b":"],["}"#), Ok(r#""\",""#), Ok("null")]
        );
        assert_eq!(split("[1,,]"), [Ok("1"), Ok(""), Ok("")]);
        assert!(Elements::of("{}").is_none());
    }

    #[test]
    fn a_broken_element_costs_none_of_the_others() {
        assert_eq!(
            split("[1,{bad: nonsense},2]"),
            [Ok("1"), Ok("{bad: nonsense}"), Ok("2")]
        );
        assert_eq!(split("[1,},2]"), [Ok("1"), Ok("}"), Ok("2")]);
    }

    #[test]
    fn hands_out_what_follows_a_break() {
        assert_eq!(split("["), [Err("")]);
        assert_eq!(split("[1,"), [Ok("1"), Err("")]);
        assert_eq!(split("[1,{\"a\":2"), [Ok("1"), Err("{\"a\":2")]);
        assert_eq!(split("[1,\"ü"), [Ok("1"), Err("\"ü")]);
        assert_eq!(split("[1]x"), [Ok("1"), Err("x")]);
        assert_eq!(split("[\"\\"), [Err("\"\\")]);
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = "[".repeat(1_000_000);
        assert_eq!(split(&deep), [Err(&deep[1..])]);
    }
}
