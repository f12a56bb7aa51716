//! WebSocket frames as a server sends them, and what a message says at a glance: the
//! clients are to cost as little as can be, so they read numbers from where they stand
//! and parse no JSON.

/// A text that is whole.
pub(crate) const TEXT: u8 = 1;
/// The end.
pub(crate) const CLOSE: u8 = 8;
/// Asks for a [`PONG`].
pub(crate) const PING: u8 = 9;
const PONG: u8 = 10;

/// A frame that bytes begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) opcode: u8,
    pub(crate) payload: &'a [u8],
    /// With its head.
    pub(crate) length: usize,
}

/// The frame that these bytes begin with, if it is there whole.
pub(crate) fn first(bytes: &[u8]) -> Option<Frame<'_>> {
    let [kind, size, rest @ ..] = bytes else {
        return None;
    };
    let (head, length) = match size & 127 {
        127 => (
            10,
            usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?,
        ),
        126 => (4, usize::from(u16::from_be_bytes(*rest.first_chunk()?))),
        short => (2, usize::from(short)),
    };
    let end = head + length;
    Some(Frame {
        opcode: kind & 15,
        payload: bytes.get(head..end)?,
        length: end,
    })
}

/// A client's frame. It is masked, as it has to be, by zeros, which change nothing.
fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ ..126), _) => frame.push(0x80 | short),
        (_, Ok(middle)) => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&middle.to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            let long = u64::try_from(payload.len()).unwrap_or(u64::MAX);
            frame.extend_from_slice(&long.to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// A text of a client.
pub(crate) fn text(payload: &str) -> Vec<u8> {
    masked(TEXT, payload.as_bytes())
}

/// The answer to a ping.
pub(crate) fn pong(payload: &[u8]) -> Vec<u8> {
    masked(PONG, payload)
}

/// Which token a message is of: the first digits of its id. Those of ids of 77 digits
/// are another one's by no chance worth counting.
pub(crate) type Token = u128;

/// See [`Token`].
pub(crate) fn token(id: &[u8]) -> Token {
    let mut digits = [0; 16];
    let length = id.len().min(16);
    digits[..length].copy_from_slice(&id[..length]);
    Token::from_le_bytes(digits)
}

/// What a message of the streams says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Glance {
    Snapshot {
        token: Token,
        epoch: u64,
        sequence: u64,
        live: bool,
    },
    Delta {
        token: Token,
        epoch: u64,
        previous: u64,
        sequence: u64,
        changes: u64,
        /// Millionths of the first size that is not zero.
        size: Option<u64>,
    },
    State {
        token: Token,
        live: bool,
    },
    Trade {
        token: Token,
    },
    Ready,
    Gap,
    /// Nothing that the clients look at.
    Other,
}

/// Reads a message; `None` if it is not what it says that it is.
pub(crate) fn glance(text: &[u8]) -> Option<Glance> {
    let mut text = Reader(text);
    text.past(b"{\"type\":\"")?;
    Some(match text.until(b'"')? {
        b"delta" => text.delta()?,
        b"snapshot" => {
            let token = text.token()?;
            let rest = text.0;
            let number = |name: &[u8]| Reader(after(rest, name)?).number();
            Glance::Snapshot {
                token,
                epoch: number(b",\"epoch\":")?,
                sequence: number(b",\"sequence\":")?,
                live: after(rest, b",\"state\":\"live\"").is_some(),
            }
        }
        b"state" => Glance::State {
            token: text.token()?,
            live: text.past(b",\"state\":\"live\"").is_some(),
        },
        b"trade" => Glance::Trade {
            token: text.token()?,
        },
        b"ready" => Glance::Ready,
        b"gap" => Glance::Gap,
        _ => Glance::Other,
    })
}

/// When what a message says reached the program.
pub(crate) fn received_us(text: &[u8]) -> Option<u64> {
    Reader(after(text, b"\"ts_recv_us\":")?).number()
}

/// Millionths of the first size in a frame of the venue that changes levels and does not
/// remove them.
pub(crate) fn venue_size(frame: &[u8]) -> Option<u64> {
    const SIZE: &[u8] = b"\"size\":\"";
    let mut rest = after(frame, b"\"price_changes\":[")?;
    loop {
        rest = after(rest, SIZE)?;
        match millionths(Reader(rest).until(b'"')?)? {
            0 => {}
            size => return Some(size),
        }
    }
}

fn after<'a>(text: &'a [u8], what: &[u8]) -> Option<&'a [u8]> {
    let at = text.windows(what.len()).position(|found| found == what)?;
    text.get(at + what.len()..)
}

/// A decimal number of at most six places, in millionths.
fn millionths(digits: &[u8]) -> Option<u64> {
    let (mut units, mut places) = (0_u64, None);
    for digit in digits {
        match digit {
            b'0'..=b'9' => {
                units = units
                    .checked_mul(10)?
                    .checked_add(u64::from(digit - b'0'))?;
                places = places.map(|places| places + 1);
            }
            b'.' if places.is_none() => places = Some(0),
            _ => return None,
        }
    }
    let left = 6_u32.checked_sub(places.unwrap_or(0))?;
    units.checked_mul(10_u64.pow(left))
}

/// What is left of a text.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn past(&mut self, what: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(what)?;
        Some(())
    }

    /// What stands before the next such byte, which is passed.
    fn until(&mut self, end: u8) -> Option<&'a [u8]> {
        let at = self.0.iter().position(|byte| *byte == end)?;
        let (before, rest) = self.0.split_at(at);
        self.0 = &rest[1..];
        Some(before)
    }

    fn number(&mut self) -> Option<u64> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit());
        let (digits, rest) = self.0.split_at(digits.count());
        self.0 = rest;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    fn token(&mut self) -> Option<Token> {
        self.past(b",\"token_id\":\"")?;
        self.until(b'"').map(token)
    }

    fn delta(&mut self) -> Option<Glance> {
        let token = self.token()?;
        self.past(b",\"epoch\":")?;
        let epoch = self.number()?;
        self.past(b",\"prev_sequence\":")?;
        let previous = self.number()?;
        self.past(b",\"sequence\":")?;
        let sequence = self.number()?;
        self.0 = after(self.0, b"\"changes\":[")?;
        let (mut changes, mut size) = (0, None);
        // ["bid","0.48","12.5"]
        while self.past(b"[\"").is_some() {
            self.until(b'"')?;
            self.past(b",\"")?;
            self.until(b'"')?;
            self.past(b",\"")?;
            let text = self.until(b'"')?;
            if size.is_none() && text != b"0" {
                size = Some(millionths(text)?);
            }
            self.past(b"]")?;
            changes += 1;
            if self.past(b",").is_none() {
                break;
            }
        }
        self.past(b"]")?;
        Some(Glance::Delta {
            token,
            epoch,
            previous,
            sequence,
            changes,
            size,
        })
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
