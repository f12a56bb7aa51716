//! What a part has done so far, in numbers.

use serde_json::{Map, Value};

/// Something that counts.
///
/// Cheap, without blocking and without side effect, at any moment of its life,
/// before start and after stop too. What is returned is state as of now, never
/// a queue that a read drains: two readers see the same.
pub trait StatsSource: Send + Sync {
    /// A JSON object. Its fields are the part's own; `/stats` shows it under
    /// the part's name.
    fn stats(&self) -> Value;
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
