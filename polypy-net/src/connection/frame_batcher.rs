//! Batches a socket's frames for decoding: frames in, events out.
//!
//! A frame's bytes are copied and the socket's own let go at once. While any of
//! them were held, the socket could not use its buffer again: it would get a new
//! one, of 64 KB or more, for nearly every read, and copy there what the old one
//! still holds. The copy is near when it is decoded, some frames later: with many
//! tokens, those frames' tables are fetched from memory together
//! ([`Reading::expect`]).
//!
//! A recorder gets each group before any of it is decoded: a frame that breaks the decoder
//! is recorded. Does not know where events go.

use parking_lot::RwLock;
use polypy_core::Interner;

use super::tap::Tap;
use crate::counter::count;
use crate::wire::{Decoded, Frame, Reading, WireStats};

/// Frames decoded together: enough for their waiting to overlap, few enough for
/// their bytes to stay in the nearest cache.
const GROUP: usize = 16;
/// A longer frame (whole books) is decoded where it is, alone.
const LONGEST: usize = 16 << 10;

/// The frames since it was last emptied, and what they decoded to.
#[derive(Debug, Default)]
pub(super) struct FrameBatcher {
    /// Frames that wait for their group to be full, side by side.
    near: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    pub(super) decoded: Decoded,
    pub(super) summary: ReadSummary,
}

impl FrameBatcher {
    /// Takes a frame in, which came as text or as binary. It is decoded at
    /// [`Self::finish`] at the latest.
    pub(super) fn take(
        &mut self,
        (frame, is_text): (&[u8], bool),
        known: &RwLock<Interner>,
        stats: &WireStats,
        tap: &mut Tap,
    ) {
        // Those of a group came the same way: a binary one is by itself.
        if frame.len() > LONGEST || !is_text {
            self.finish(known, stats, tap);
            tap.received(frame, &[frame.len()], is_text);
            let known = known.read();
            let mut reading = Reading::new(&known, stats, &mut self.decoded);
            self.summary.count(&reading.frame(frame), frame);
            return;
        }
        self.near.extend_from_slice(frame);
        self.ends.push(self.near.len());
        if self.ends.len() == GROUP {
            self.finish(known, stats, tap);
        }
    }

    /// Decodes what waits.
    pub(super) fn finish(&mut self, known: &RwLock<Interner>, stats: &WireStats, tap: &mut Tap) {
        if self.ends.is_empty() {
            return;
        }
        tap.received(&self.near, &self.ends, true);
        let known = known.read();
        let mut reading = Reading::new(&known, stats, &mut self.decoded);
        each(&self.near, &self.ends, |frame| reading.expect(frame));
        each(&self.near, &self.ends, |frame| {
            self.summary.count(&reading.frame(frame), frame);
        });
        self.near.clear();
        self.ends.clear();
    }

    /// Empties it, and keeps its memory.
    pub(super) fn clear(&mut self) {
        self.decoded.clear();
        self.summary = ReadSummary::default();
    }
}

/// What one read of a socket held, in numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ReadSummary {
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

impl ReadSummary {
    pub(super) fn count(&mut self, frame: &Frame, bytes: &[u8]) {
        self.frames += 1;
        self.bytes += count(bytes.len());
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

fn each(bytes: &[u8], ends: &[usize], mut work: impl FnMut(&[u8])) {
    let mut start = 0;
    for &end in ends {
        if let Some(frame) = bytes.get(start..end) {
            work(frame);
        }
        start = end;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use polypy_core::{
        Answer, Asked, AssetInfo, AssetKey, BookOrigin, FeedId, FrameSink, Opened, Owner, SocketId,
        SocketSink,
    };

    use super::*;

    /// A recorder that holds how many frames were decoded against how many it has had.
    #[derive(Clone, Default)]
    struct Ahead {
        stats: Arc<WireStats>,
        had: u64,
    }

    impl FrameSink for Ahead {
        fn opened(&self, _opened: &Opened<'_>) -> Box<dyn SocketSink> {
            Box::new(self.clone())
        }
        fn answered(&self, _answer: &Answer<'_>) {}
    }

    impl SocketSink for Ahead {
        fn received(&mut self, _bytes: &[u8], ends: &[usize], _is_text: bool, _at: Instant) {
            assert_eq!(self.stats.snapshot().frames, self.had, "decoded before");
            self.had += ends.len() as u64;
        }
        fn sent(&mut self, _: &str, _: Asked, _: &[Arc<AssetInfo>], _: Instant) {}
        fn first_books(&mut self, _: &[AssetKey], _: BookOrigin, _: Instant) {}
        fn delivers(&mut self, _: FeedId, _: Instant) {}
        fn closed(&mut self, _: &str, _: Owner, _: Instant) {}
    }

    /// A frame whose decoding can be told from the others'.
    fn frame(number: usize, length: usize) -> String {
        let id = format!("0x{number:064x}");
        let padding = " ".repeat(length);
        format!(
            r#"{{"event_type":"market_resolved","market":"{id}","assets_ids":["{number}"],"winning_asset_id":"{number}"}}{padding}"#
        )
    }

    #[test]
    fn every_frame_is_decoded_once_and_in_its_order() {
        let (known, stats) = (RwLock::default(), Arc::<WireStats>::default());
        let recorder: Arc<dyn FrameSink> = Arc::new(Ahead {
            stats: Arc::clone(&stats),
            had: 0,
        });
        let mut tap = Tap::open(Some(&recorder), (SocketId(1), "conn-1"), false);
        let mut batcher = FrameBatcher::default();
        for number in [0, 1, GROUP - 1, GROUP, GROUP + 1, 5 * GROUP + 3] {
            for at in 0..number {
                // Every tenth is a long one.
                let length = if at % 10 == 4 { LONGEST } else { at % 7 };
                let frame = frame(at, length);
                let is_text = at % 10 != 6;
                batcher.take((frame.as_bytes(), is_text), &known, &stats, &mut tap);
            }
            batcher.finish(&known, &stats, &mut tap);
            batcher.finish(&known, &stats, &mut tap);
            let told = |event: &polypy_core::LifecycleEvent| match event {
                polypy_core::LifecycleEvent::Resolved(event) => event.condition_id.to_string(),
                polypy_core::LifecycleEvent::NewMarket(event) => event.condition_id.to_string(),
            };
            let found: Vec<_> = batcher.decoded.lifecycle.iter().map(told).collect();
            let wanted: Vec<_> = (0..number).map(|at| format!("0x{at:064x}")).collect();
            assert_eq!(found, wanted);
            assert_eq!(batcher.summary.frames, number as u64);
            batcher.clear();
            assert_eq!(batcher.summary.frames, 0);
        }
    }
}
