//! A side of a book.

use polypy_core::Level;

use super::window::Window;
use super::{Reader, event};

/// Longer than a level, with what is read behind a number.
const WINDOW: usize = 48;

impl Reader<'_> {
    /// Reads a side from before `[` to behind `]`.
    pub(super) fn side(&mut self) -> Option<Vec<Level>> {
        self.levels.clear();
        self.cursor.token(b'[')?;
        if self.cursor.closes(b']') {
            return Some(Vec::new());
        }
        loop {
            let level = match self.level_in_order() {
                Some(level) => level,
                None => self.level()?,
            };
            self.levels.push(level);
            if !self.cursor.goes_on(b']')? {
                // As large as need be: a book may keep it for long.
                return Some(self.levels.to_vec());
            }
        }
    }

    /// Reads a level in the venue's own form, or moves nothing.
    #[inline]
    fn level_in_order(&mut self) -> Option<Level> {
        let text: Window<'_, WINDOW> = Window::at_front(self.cursor.rest())?;
        let (price, at) = text.price(0, br#"{"price":"0."#)?;
        let at = text.expect(at, br#"","size":""#)?;
        let (size, at) = text.size(at)?;
        if text.bytes(at)? != br#""}"# {
            return None;
        }
        self.cursor.skip(at + 2)?;
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
