//! Finds things in Markdown text: links, headings, sections, code.
//!
//! Knows the plain subset our documents use: `[text](target)`, `#` headings,
//! fences of three back-ticks.

/// A document's lines outside code fences, with their numbers from one.
pub fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push((at + 1, line));
        }
    }
    lines
}

/// The lines inside code fences.
pub fn code(text: &str) -> Vec<&str> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            lines.push(line);
        }
    }
    lines
}

/// The targets of all links, with their lines.
pub fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        // Every second piece between back-ticks is code.
        let spoken: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let mut rest = spoken.as_str();
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            if let Some(end) = rest.find(')') {
                found.push((number, rest[..end].to_owned()));
            }
        }
    }
    found
}

/// The anchors of all headings: lower case, spaces to dashes, punctuation gone.
pub fn anchors(text: &str) -> Vec<String> {
    prose(text)
        .into_iter()
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter_map(|c| match c {
                    ' ' => Some('-'),
                    c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
                    _ => None,
                })
                .collect()
        })
        .collect()
}

/// The lines below the heading `title`, up to the next of its rank or above.
/// `None` when there is no such heading.
pub fn section<'a>(text: &'a str, title: &str) -> Option<Vec<&'a str>> {
    let mut lines = text.lines();
    let heading =
        lines.find(|line| line.starts_with('#') && line.trim_start_matches('#').trim() == title)?;
    let rank = heading.chars().take_while(|c| *c == '#').count();
    let mut fenced = false;
    let mut found = Vec::new();
    for line in lines {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let depth = line.chars().take_while(|c| *c == '#').count();
        if !fenced && (1..=rank).contains(&depth) {
            break;
        }
        found.push(line);
    }
    Some(found)
}

/// The cells of a table's row; `None` for other lines and the rule below a head.
pub fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    if inner.chars().all(|c| matches!(c, '-' | ':' | '|' | ' ')) {
        return None;
    }
    Some(inner.split('|').map(str::trim).collect())
}

/// What stands between back-ticks.
pub fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_code() {
        let text = "see [a](b.md#c) and `[not](x)`\n```text\n[nor](y)\n```\n[d](https://e)\n";
        let found = links(text);
        assert_eq!(
            found,
            [(1, "b.md#c".to_owned()), (5, "https://e".to_owned())]
        );
    }

    #[test]
    fn headings_become_anchors() {
        assert_eq!(
            anchors("# The way, of `a` frame\n```sh\n# no\n```\n## Two_b\n"),
            ["the-way-of-a-frame", "two_b"]
        );
    }

    #[test]
    fn a_section_ends_at_its_own_rank() {
        let text = "# A\n## B\none\n### C\ntwo\n## D\nthree\n";
        assert_eq!(section(text, "B"), Some(vec!["one", "### C", "two"]));
        assert_eq!(section(text, "E"), None);
    }

    #[test]
    fn rows_are_split_into_cells() {
        assert_eq!(cells("| a | `b` |"), Some(vec!["a", "`b`"]));
        assert_eq!(cells("|---|:-:|"), None);
        assert_eq!(cells("text"), None);
    }
}
