//! Text in columns of a terminal.

/// The columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// Two for the wide letters of East Asia and for pictures, none for marks upon others.
fn columns(letter: char) -> usize {
    match u32::from(letter) {
        0x300..=0x36f | 0x200b..=0x200d | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// The text, cut with a sign of it where it is longer.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let (mut cut, mut used) = (String::new(), 0);
    for letter in text.chars() {
        used += columns(letter);
        if used >= most {
            break;
        }
        cut.push(letter);
    }
    format!("{}…", cut.trim_end())
}

/// The text, with blanks up to this width.
pub(crate) fn padded(text: &str, to: usize) -> String {
    let blanks = to.saturating_sub(width(text));
    format!("{text}{}", " ".repeat(blanks))
}

/// The text in at most so many lines of this width, broken between words where it can be.
pub(super) fn wrapped(text: &str, room: usize, most: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() && lines.len() < most {
        if lines.len() + 1 == most || width(rest) <= room {
            lines.push(cut(rest, room));
            break;
        }
        let mut used = 0;
        let fits = rest.char_indices().take_while(|(_, letter)| {
            used += columns(*letter);
            used <= room
        });
        let end = fits.map(|(at, letter)| at + letter.len_utf8()).last();
        let end = end.unwrap_or(rest.len());
        // A blank right behind the line ends a word, too.
        let words = match rest.get(end..).and_then(|behind| behind.chars().next()) {
            Some(' ') => Some(end),
            _ => rest.get(..end).and_then(|line| line.rfind(' ')),
        };
        let (line, behind) = rest.split_at(words.unwrap_or(end));
        lines.push(line.trim_end().to_owned());
        rest = behind.trim_start();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_the_last_one_is_cut() {
        let text = "Will it rain in Lisbon on Friday?";
        assert_eq!(
            wrapped(text, 12, 9),
            ["Will it rain", "in Lisbon on", "Friday?"]
        );
        assert_eq!(wrapped(text, 12, 2), ["Will it rain", "in Lisbon o…"]);
        assert_eq!(wrapped(text, 80, 2), [text]);
        assert_eq!(
            wrapped("Supercalifragilistic", 10, 2),
            ["Supercalif", "ragilistic"]
        );
        assert_eq!(wrapped("", 10, 2), [""; 0]);
    }

    #[test]
    fn wide_letters_take_two_columns_and_marks_none() {
        assert_eq!(width("東京"), 4);
        assert_eq!(width("e\u{301}"), 1);
        assert_eq!(cut("東京都", 5), "東京…");
        assert_eq!(padded("東", 4), "東  ");
        assert_eq!(wrapped("東京都", 4, 2), ["東京", "都"]);
    }
}
