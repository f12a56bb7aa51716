//! What the writer does about what is lost: in its queue, and on the disk.

use std::time::Instant;

use polypy_core::recording::{Entry, GapScope, SocketEvent};
use polypy_core::{Owner, SocketId};

use super::Writer;
use crate::beginning::Beginning;
use crate::item::Lost;
use crate::loss::Loss;

impl Writer {
    /// The queue was full, or a frame too long. It was counted as it was dropped.
    pub(super) fn lost(&mut self, socket: SocketId, lost: &Lost, at: u64, now: Instant) {
        let behind = lost.frames - lost.too_long.min(lost.frames);
        if lost.frames == 0 {
            return;
        }
        let reason = if behind > 0 {
            "recorder_behind"
        } else {
            "too_large"
        };
        let from = self.anchor.wall(lost.from);
        let mut gaps = Vec::new();
        let times = (from, at);
        self.coverage.lost(socket.0, lost, times, reason, &mut gaps);
        self.gaps(gaps, at, now);
    }

    /// What sockets and markets have become while something of it was lost.
    pub(super) fn reconcile(&mut self, at: u64, now: Instant) {
        let open = self.outlet.sockets();
        let mut gaps = Vec::new();
        for socket in self.coverage.open_sockets() {
            if !open.iter().any(|open| open.socket.0 == socket) {
                self.coverage.closed(socket, Owner::Us, at, &mut gaps);
                let event = SocketEvent::Closed {
                    socket,
                    reason: "not_recorded".into(),
                    owner: Owner::Us,
                };
                self.put(now, at, Entry::Socket(event));
            }
        }
        for open in &open {
            let before = self.coverage.open_socket(open.socket.0);
            if before.is_none_or(|before| before.tokens != open.tokens) {
                self.coverage.replace(open, at, &mut gaps);
                for event in Beginning::socket(open) {
                    self.put(now, at, Entry::Socket(event));
                }
            }
        }
        for taken in self.markets.replace(&self.outlet.markets()) {
            self.market(taken, at, now);
        }
        self.gaps(gaps, at, now);
    }

    /// Nothing is written from now on.
    pub(super) fn lost_all(&mut self, loss: &Loss, now: Instant) {
        let at = self.anchor.wall(now);
        let lost = (loss.from, loss.frames);
        self.coverage.away(loss.reason, lost, loss.goes_on, at);
        self.numbers.lost_disk.add(loss.unwritten.all());
        self.ahead.add(loss.unwritten);
        self.numbers.gap(Owner::Us);
        self.beginning = Beginning::default();
        self.checkpoints.stop();
        self.is_untold = false;
        self.note_loss(None, at);
    }

    /// Says what is missing of earlier runs: in the file, and in the manifest while there is none.
    /// What a file has that the disk may not take is said again in the next one.
    pub(super) fn tell_earlier(&mut self, now: Instant) {
        let at = self.anchor.wall(now);
        for (gap, is_noted) in std::mem::take(&mut self.earlier) {
            if self.files.is_open() {
                self.put(now, at, Entry::Gap(gap.clone()));
                if self.numbers.has_failed() {
                    self.earlier.push((gap, is_noted));
                }
            } else {
                let is_noted = is_noted || self.files.note_gap(gap.clone(), at).is_ok();
                self.earlier.push((gap, is_noted));
            }
        }
    }

    /// What was removed with the folder is missing as well.
    pub(super) fn note_removed(&mut self) {
        if let Some(held) = self.files.take_removed() {
            self.coverage.removed(held.from_ts, held.frames);
        }
    }

    /// Says in the manifest what is missing from now on, and a further reason for it. What
    /// it cannot take now it takes later, unless a file can say it by then.
    pub(super) fn note_loss(&mut self, further: Option<&str>, at: u64) {
        let losses = self.coverage.open_losses().into_iter().rev();
        let mut losses = losses.filter(|gap| gap.scope == GapScope::Recording);
        let Some(mut gap) = losses.next() else { return };
        // How much it will be nobody knows yet, and a kill would leave it at that.
        gap.size = gap.size.filter(|_| further.is_some());
        gap.also.extend(further.map(Into::into));
        let Err(error) = self.files.note_gap(gap, at) else {
            self.is_untold = false;
            return;
        };
        let is_first = !std::mem::replace(&mut self.is_untold, true);
        // That the folder is gone was said.
        if is_first && !self.files.is_gone() || further.is_some() {
            let folder = self.files.path().display();
            tracing::error!(%error, %folder, "the manifest cannot say what the recording lacks");
        }
    }
}
