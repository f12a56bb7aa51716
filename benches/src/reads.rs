//! Frames as a socket hands them over: some at a time, side by side, in memory
//! that is near because it has just been written.

use crate::spent::Spent;

/// Copied together to where they are decoded, and bytes of them: what is copied
/// is to stay in the cache.
const FRAMES_A_COPY: usize = 256;
const BYTES_A_COPY: usize = 192 * 1024;
/// Frames that one read of a busy socket returns.
pub const FRAMES_A_READ: usize = 16;

/// The buffer that frames are read from; reused.
#[derive(Debug, Default)]
pub struct Reads {
    near: Vec<u8>,
    /// Where each frame ends.
    ends: Vec<usize>,
}

impl Reads {
    /// Hands all frames to `work`, read by read, and says what that took. `work`
    /// returns how many units it did. The copying is not on the clock.
    pub fn each(&mut self, frames: &[String], mut work: impl FnMut(Read<'_>) -> usize) -> Spent {
        let mut spent = Spent::default();
        let mut frames = frames.iter().peekable();
        while frames.peek().is_some() {
            self.near.clear();
            self.ends.clear();
            for frame in frames.by_ref().take(FRAMES_A_COPY) {
                self.near.extend_from_slice(frame.as_bytes());
                self.ends.push(self.near.len());
                if self.near.len() >= BYTES_A_COPY && self.ends.len().is_multiple_of(FRAMES_A_READ)
                {
                    break;
                }
            }
            spent.on(|| {
                let (mut units, mut start) = (0, 0);
                for ends in self.ends.chunks(FRAMES_A_READ) {
                    units += work(Read {
                        bytes: &self.near,
                        start,
                        ends,
                    });
                    start = ends.last().copied().unwrap_or(start);
                }
                units
            });
        }
        spent
    }
}

/// What one read returned.
#[derive(Debug, Clone, Copy)]
pub struct Read<'a> {
    bytes: &'a [u8],
    start: usize,
    ends: &'a [usize],
}

impl<'a> Read<'a> {
    /// Its frames, in their order.
    pub fn frames(self) -> impl Iterator<Item = &'a [u8]> {
        self.ends.iter().scan(self.start, move |start, &end| {
            let frame = self.bytes.get(*start..end);
            *start = end;
            frame
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_is_handed_over_once_and_in_its_order() {
        let frames: Vec<_> = (0..700)
            .map(|at| "x".repeat(at % 50) + &at.to_string())
            .collect();
        let (mut seen, mut reads) = (Vec::new(), 0);
        let spent = Reads::default().each(&frames, |read| {
            let texts = read
                .frames()
                .map(|frame| String::from_utf8(frame.to_vec()).unwrap());
            let before = seen.len();
            seen.extend(texts);
            reads += 1;
            seen.len() - before
        });
        assert_eq!((seen, spent.units), (frames, 700));
        assert_eq!(reads, 44);
    }
}
