//! What one read of a socket held, in numbers.

use crate::wire::Frame;

/// What a batch of frames was, in numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) frames: u64,
    pub(super) bytes: u64,
    /// JSON frames.
    pub(super) data: u64,
    pub(super) pongs: u64,
    /// Frames of ours that the venue refused.
    pub(super) refused: u64,
    /// `[]`: a snapshot of assets of which none has a book.
    pub(super) empty_snapshots: u64,
}

impl Tally {
    pub(super) fn count(&mut self, frame: &Frame, bytes: &[u8]) {
        self.frames += 1;
        self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        match frame {
            Frame::Data => {
                self.data += 1;
                if bytes.trim_ascii() == b"[]" {
                    self.empty_snapshots += 1;
                }
            }
            Frame::Pong => self.pongs += 1,
            Frame::InvalidOperation | Frame::InvalidMessage => self.refused += 1,
            Frame::Garbage | Frame::NoNewAssets | Frame::Control => {}
        }
    }
}
