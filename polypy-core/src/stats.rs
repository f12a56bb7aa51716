//! What a part has done so far, in numbers.

use serde_json::Value;

use crate::metrics::{JsonSheet, Sheet};

/// Something that counts.
///
/// Cheap, without blocking and without side effect, at any moment of its life,
/// before start and after stop too. What is shown is state as of now, never
/// a queue that a read drains: two readers see the same.
///
/// ```
/// use polypy_core::StatsSource;
/// use polypy_core::metrics::{Counter, Entry, Sheet};
///
/// #[derive(Default)]
/// struct Doors {
///     opened: Counter,
/// }
///
/// type Shown = Entry<Doors>;
/// static ROWS: &[Shown] = &[Shown::counter(
///     "opened",
///     "example_doors_opened_total",
///     "Times a door was opened.",
///     |doors| doors.opened.get().into(),
/// )];
///
/// impl StatsSource for Doors {
///     fn show(&self, sheet: &mut dyn Sheet) {
///         sheet.table(ROWS, self);
///     }
/// }
///
/// let doors = Doors::default();
/// doors.opened.increment();
/// assert_eq!(doors.stats()["opened"], 1);
/// ```
pub trait StatsSource: Send + Sync {
    /// Shows its rows, all of them and in the same order each time. Its fields are
    /// the part's own; `/stats` shows them under the part's name.
    fn show(&self, sheet: &mut dyn Sheet);

    /// About how many bytes its JSON has, if showing takes microseconds and waits
    /// for nobody: it may then be asked on an event loop. `None`: it is asked on a
    /// thread that may wait.
    fn quick_bytes(&self) -> Option<usize> {
        None
    }

    /// The same as a JSON object, for programs.
    fn stats(&self) -> Value {
        let mut sheet = JsonSheet::with_capacity(self.quick_bytes().unwrap_or(1_024));
        self.show(&mut sheet);
        serde_json::from_slice(&sheet.finish()).unwrap_or_default()
    }
}
