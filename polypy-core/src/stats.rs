//! What a part has done so far, in numbers.

/// Something that counts.
///
/// Cheap, without blocking and without side effect, at any moment of its life,
/// before start and after stop too. What is returned is state as of now, never
/// a queue that a read drains: two readers see the same.
pub trait StatsSource: Send + Sync {
    /// A JSON object. Its fields are the part's own; `/stats` shows it under
    /// the part's name.
    fn stats(&self) -> serde_json::Value;
}
