//! A place in a frame, and the steps from it.
//!
//! A step that does not fit says `None`; where the cursor then stands does not
//! matter, since a caller that wants to try something else keeps a copy.

const LOW_BITS: u64 = spread(0x01);
const HIGH_BITS: u64 = spread(0x80);

/// Eight times the same byte.
pub(super) const fn spread(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Bit 7 of every byte of `word` that is `byte`. Exact up to the first one; of
/// the bytes behind it some may be marked in error.
pub(super) fn marks(word: u64, byte: u8) -> u64 {
    let differing = word ^ spread(byte);
    differing.wrapping_sub(LOW_BITS) & !differing & HIGH_BITS
}

/// The same of the bytes that do not mean themselves inside a string: quote,
/// backslash, control characters, and all beyond ASCII.
pub(super) fn specials(word: u64) -> u64 {
    let control = word.wrapping_sub(spread(0x20)) & !word;
    marks(word, b'"') | marks(word, b'\\') | (control | word) & HIGH_BITS
}

/// The first eight bytes, followed by zeros where there are fewer.
pub(super) fn word(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => {
            let mut chunk = [0; 8];
            for (to, from) in chunk.iter_mut().zip(bytes) {
                *to = *from;
            }
            u64::from_le_bytes(chunk)
        }
    }
}

/// Bytes looked at together in long strings.
pub(super) const BLOCK: usize = 64;

/// Whether all bytes mean themselves inside a string: ASCII and neither quote,
/// backslash nor control character. Without a branch, so that it is compiled
/// to vector instructions.
#[inline]
pub(super) fn is_plain(block: &[u8; BLOCK]) -> bool {
    block.iter().fold(true, |plain, &byte| {
        // As a signed number, a byte beyond ASCII is below all others.
        let printable = byte.cast_signed() >= 0x20;
        plain & printable & (byte != b'"') & (byte != b'\\')
    })
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(frame: &'a [u8]) -> Self {
        Self { rest: frame }
    }

    /// What is not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn skip(&mut self, bytes: usize) -> Option<()> {
        self.rest = self.rest.get(bytes..)?;
        Some(())
    }

    /// Steps over `text`, or stays.
    pub(super) fn literal<const N: usize>(&mut self, text: &[u8; N]) -> Option<()> {
        let (found, rest) = self.rest.split_first_chunk::<N>()?;
        if found != text {
            return None;
        }
        self.rest = rest;
        Some(())
    }

    /// Steps over white space.
    pub(super) fn space(&mut self) {
        while let Some((b' ' | b'\n' | b'\r' | b'\t', rest)) = self.rest.split_first() {
            self.rest = rest;
        }
    }

    /// Steps over `byte` and the white space before it.
    pub(super) fn token(&mut self, byte: u8) -> Option<()> {
        self.space();
        self.literal(&[byte])
    }

    /// Whether `close` comes next; then it is behind.
    pub(super) fn closes(&mut self, close: u8) -> bool {
        self.token(close).is_some()
    }

    /// Behind an element: whether another one follows, or `close` is behind.
    pub(super) fn goes_on(&mut self, close: u8) -> Option<bool> {
        if self.literal(b",").is_some() {
            return Some(true);
        }
        self.space();
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        match byte {
            b',' => Some(true),
            byte if byte == close => Some(false),
            _ => None,
        }
    }

    /// Nothing but white space is left.
    pub(super) fn end(&mut self) -> Option<()> {
        self.space();
        self.rest.is_empty().then_some(())
    }

    /// Reads a string of plain bytes and the white space before it.
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        self.token(b'"')?;
        self.string_end()
    }

    /// Reads a key with its colon.
    pub(super) fn key(&mut self) -> Option<&'a [u8]> {
        let key = self.string()?;
        self.token(b':')?;
        Some(key)
    }

    /// Inside a string: reads the rest of it, and its quote.
    pub(super) fn string_end(&mut self) -> Option<&'a [u8]> {
        let mut length = 0;
        loop {
            let word = word(self.rest.get(length..)?);
            // A zero behind the frame's end is a control character, too.
            let special = specials(word);
            if special != 0 {
                length += (special.trailing_zeros() / 8) as usize;
                break;
            }
            length += 8;
        }
        let (string, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest.strip_prefix(b"\"")?;
        Some(string)
    }

    /// The same for strings that are usually longer than 64 bytes and not kept.
    pub(super) fn long_string_end(&mut self) -> Option<()> {
        if let Some((block, rest)) = self.rest.split_first_chunk()
            && is_plain(block)
        {
            self.rest = rest;
        }
        self.string_end().map(|_rest| ())
    }
}
