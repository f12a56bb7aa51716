//! What a part has done so far, in numbers.

use serde_json::{Map, Value};

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

/// A JSON object of these fields, in this order.
///
/// The values are moved, where `json!` would copy them: an object made of
/// objects made of objects copies the innermost once for each layer.
pub fn object<const FIELDS: usize>(fields: [(&str, Value); FIELDS]) -> Value {
    let mut map = Map::with_capacity(FIELDS);
    for (name, value) in fields {
        map.insert(name.to_owned(), value);
    }
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_keep_their_order_and_values() {
        let inner = object([("b", json!(1)), ("a", json!([true]))]);
        let outer = object([("z", inner), ("y", Value::Null)]);
        assert_eq!(outer.to_string(), r#"{"z":{"b":1,"a":[true]},"y":null}"#);
    }
}
