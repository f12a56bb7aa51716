//! A side of a book.

use polypy_core::Level;

use super::{Reader, event};

impl Reader<'_> {
    /// Reads a side from before `[` to behind `]`.
    pub(super) fn side(&mut self) -> Option<Vec<Level>> {
        self.levels.clear();
        self.cursor.token(b'[')?;
        if self.cursor.closes(b']') {
            return Some(Vec::new());
        }
        loop {
            let start = self.cursor;
            let level = match self.level_in_order() {
                Some(level) => level,
                None => {
                    self.cursor = start;
                    self.level()?
                }
            };
            self.levels.push(level);
            if !self.cursor.goes_on(b']')? {
                // As large as need be: a book may keep it for long.
                return Some(self.levels.to_vec());
            }
        }
    }

    #[inline]
    fn level_in_order(&mut self) -> Option<Level> {
        self.cursor.literal(b"{\"price\":\"")?;
        let price = self.cursor.price()?;
        self.cursor.literal(b"\",\"size\":\"")?;
        let size = self.cursor.size()?;
        self.cursor.literal(b"\"}")?;
        Some(Level { price, size })
    }

    #[cold]
    fn level(&mut self) -> Option<Level> {
        let [mut price, mut size] = [None; 2];
        self.cursor.token(b'{')?;
        loop {
            let field = match self.cursor.key()? {
                b"price" => Some(&mut price),
                b"size" => Some(&mut size),
                _ => None,
            };
            event::set(field, self.cursor.string()?)?;
            if !self.cursor.goes_on(b'}')? {
                break;
            }
        }
        Some(Level {
            price: event::price(price?)?,
            size: event::size(size?)?,
        })
    }
}
