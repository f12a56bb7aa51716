//! Server-Sent Events, from bytes as they arrive.

/// Longest event that is read: a book of 10,000 levels a side has less than a tenth.
const MOST_BYTES: usize = 16 << 20;

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SentEvent {
    /// Its data, lines joined.
    pub(crate) data: String,
    /// The last id of the stream, this event's or an earlier one's.
    pub(crate) id: Option<String>,
}

/// An event is longer than is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Takes bytes, gives events.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    bytes: Vec<u8>,
    /// Where the next line begins.
    at: usize,
    /// Before it there is no end of a line.
    searched: usize,
    data: Option<String>,
    id: Option<String>,
    retry_ms: Option<u64>,
}

impl Parser {
    /// Adds what arrived.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        // What was read goes once it is the greater part, so that each byte moves little.
        if self.at > self.bytes.len() / 2 {
            self.bytes.drain(..self.at);
            self.searched -= self.at;
            self.at = 0;
        }
        let waiting = self.bytes.len() - self.at + self.data.as_ref().map_or(0, String::len);
        if waiting + bytes.len() > MOST_BYTES {
            return Err(TooLong);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The next event that is complete.
    pub(crate) fn next(&mut self) -> Option<SentEvent> {
        loop {
            let line = self.line()?;
            if line.is_empty() {
                if let Some(data) = self.data.take() {
                    return Some(SentEvent {
                        data,
                        id: self.id.clone(),
                    });
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "data" => match &mut self.data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                    None => self.data = Some(value.to_owned()),
                },
                "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
                "retry" => self.retry_ms = value.parse().ok().or(self.retry_ms),
                // `event` is the message's own `type`; a line without field is a comment.
                _ => {}
            }
        }
    }

    /// What the server says of when to come back.
    pub(crate) fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// The next whole line, without its end.
    fn line(&mut self) -> Option<String> {
        let found = self.bytes[self.searched..]
            .iter()
            .position(|byte| *byte == b'\n');
        let Some(found) = found else {
            self.searched = self.bytes.len();
            return None;
        };
        let end = self.searched + found;
        let line = &self.bytes[self.at..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = String::from_utf8_lossy(line).into_owned();
        self.at = end + 1;
        self.searched = self.at;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = ": hello\nretry: 2000\n\nevent: a\ndata: {\"x\":1}\n\nevent: b\r\nid: 7-1\r\n\
                        data:two\r\ndata: lines\r\n\r\nid\nunknown: x\ndata\n\ndata: half";

    fn events(parser: &mut Parser) -> Vec<(String, Option<String>)> {
        let events = std::iter::from_fn(|| parser.next());
        events.map(|event| (event.data, event.id)).collect()
    }

    #[test]
    fn events_are_the_same_however_the_bytes_arrive() {
        let id = |text: &str| Some(text.to_owned());
        let expected = [
            ("{\"x\":1}".to_owned(), None),
            ("two\nlines".to_owned(), id("7-1")),
            (String::new(), id("")),
        ];
        for size in 1..TEXT.len() {
            let mut parser = Parser::default();
            let mut found = Vec::new();
            for part in TEXT.as_bytes().chunks(size) {
                parser.push(part).unwrap();
                found.extend(events(&mut parser));
            }
            assert_eq!(found, expected, "{size} bytes at a time");
            assert_eq!(parser.retry_ms(), Some(2_000));
        }
    }

    #[test]
    fn an_event_without_end_is_refused_before_it_fills_the_memory() {
        let mut parser = Parser::default();
        let line = format!("data: {}\n", "x".repeat(1 << 20));
        let taken = (0..32).take_while(|_| {
            let pushed = parser.push(line.as_bytes());
            assert_eq!(parser.next(), None);
            pushed.is_ok()
        });
        assert!((10..16).contains(&taken.count()));
    }

    #[test]
    fn what_was_read_is_let_go() {
        let mut parser = Parser::default();
        let event = format!("data: {}\n\n", "x".repeat(1_000));
        for _ in 0..1_000 {
            parser.push(event.as_bytes()).unwrap();
            assert!(parser.next().is_some());
        }
        assert!(parser.bytes.capacity() < 10_000);
    }
}
