//! Processor time, and what was done in it.

use std::hint::black_box;

use crate::clock::{process_nanos, thread_nanos};

/// What one pass over the work took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    /// Of processor time, whatever is not to be measured left out.
    pub nanos: u64,
    /// Changes, levels or whatever else a figure is for.
    pub units: usize,
}

impl Spent {
    /// Does this on the clock of all threads, so that nothing is free by being
    /// done elsewhere, and adds as many units as it says to have done.
    pub fn on(&mut self, work: impl FnOnce() -> usize) {
        self.by(process_nanos, work);
    }

    /// The same on the clock of this thread alone.
    pub fn on_this_thread(&mut self, work: impl FnOnce() -> usize) {
        self.by(thread_nanos, work);
    }

    fn by(&mut self, clock: fn() -> u64, work: impl FnOnce() -> usize) {
        let start = clock();
        self.units += black_box(work());
        self.nanos += clock() - start;
    }

    /// Nanoseconds a unit.
    #[expect(
        clippy::cast_precision_loss,
        reason = "far below where a float loses a unit"
    )]
    pub fn each(self) -> f64 {
        self.nanos as f64 / self.units.max(1) as f64
    }
}
