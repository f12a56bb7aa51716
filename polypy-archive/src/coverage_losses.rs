//! What the recorder itself loses: nobody knows which tokens it was about.

use polypy_core::Owner;
use polypy_core::recording::{Gap, GapScope};

use super::{Cause, Coverage, Kept, Loss, micros, note_reason};
use crate::item::Lost;

impl Coverage {
    /// The recorder dropped frames of a socket: what the socket carries is not known whole.
    pub(crate) fn lost(
        &mut self,
        socket: u64,
        lost: &Lost,
        (from, at): (u64, u64),
        reason: &str,
        out: &mut Vec<Gap>,
    ) {
        let Some(row) = self.sockets.get_mut(&socket) else {
            return;
        };
        let cause = Cause {
            from: row.last.unwrap_or(from),
            ..row.cause(socket, reason, Owner::Us, at)
        };
        let mut gap = cause.gap(None, at);
        gap.size = Some(lost.frames);
        let pending = self.lose_books(&[socket]);
        self.losing(gap, pending, at, out);
    }

    /// From now on nothing is written, and what came after this moment is not there.
    /// That is so many frames, if it is known. `goes_on`: there is nothing of what was written
    /// since the last loss began.
    pub(crate) fn away(
        &mut self,
        reason: &str,
        (from, frames): (Option<u64>, Option<u64>),
        goes_on: bool,
        at: u64,
    ) {
        self.is_away = true;
        let sockets: Vec<_> = self.sockets.keys().copied().collect();
        let pending = self.lose_books(&sockets);
        let is_ours = |loss: &&mut Loss| loss.gap.scope == GapScope::Recording;
        let last = self.losses.iter_mut().rev().find(is_ours);
        if let Some(Loss { gap, pending: all }) = last.filter(|_| goes_on) {
            gap.size = gap.size.zip(frames).map(|(size, frames)| size + frames);
            note_reason(gap, reason);
            all.extend(pending);
            return;
        }
        let times = (from.map(micros), None);
        let mut gap = Gap::of_recording(reason, Owner::Us, times, micros(at));
        gap.size = frames;
        self.losses.push(Loss { gap, pending });
    }

    /// With the folder all was removed that it had: so many frames, from this moment on, in
    /// microseconds.
    pub(crate) fn removed(&mut self, from_ts: Option<u64>, frames: u64) {
        let is_ours = |loss: &&mut Loss| loss.gap.scope == GapScope::Recording;
        if let Some(Loss { gap, .. }) = self.losses.iter_mut().rev().find(is_ours) {
            gap.from_ts = gap.from_ts.into_iter().chain(from_ts).min();
            gap.size = gap.size.map(|size| size + frames);
            note_reason(gap, "disk_removed");
        }
    }

    /// So many frames came meanwhile.
    pub(crate) fn missed(&mut self, frames: u64) {
        if let Some(loss) = self.losses.last_mut() {
            loss.gap.size = loss.gap.size.map(|size| size + frames);
        }
    }

    /// What comes is written again.
    pub(crate) fn back(&mut self, at: u64, out: &mut Vec<Gap>) {
        self.is_away = false;
        // What opened meanwhile keeps books, too, of which the recording has nothing.
        let late = self.sockets.values().flat_map(|row| {
            let lost = row.tokens.iter().filter(|(_, kept)| **kept == Kept::Lost);
            lost.map(|(token, _)| token.clone())
        });
        for token in late.collect::<Vec<_>>() {
            let is_missing = self
                .tokens
                .get(&token)
                .is_some_and(|row| row.is_followed && row.by == 0 && row.gap.is_none());
            if is_missing && let Some(loss) = self.losses.last_mut() {
                loss.pending.insert(token);
            }
        }
        self.heal_empty("nothing_carried", at, out);
    }
}
