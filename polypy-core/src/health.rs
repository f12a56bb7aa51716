//! Whether a part does its work.

/// A verdict, with the verdicts on its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The verdict on the whole.
    pub healthy: bool,
    /// The parts by name, in a fixed order. Empty for a part without parts.
    pub components: Vec<(&'static str, bool)>,
}

impl Health {
    /// A verdict on something without parts.
    pub fn of(healthy: bool) -> Self {
        Self {
            healthy,
            components: Vec::new(),
        }
    }

    /// Names a part and its verdict. The whole is not judged by it.
    #[must_use]
    pub fn with(mut self, component: &'static str, healthy: bool) -> Self {
        self.components.push((component, healthy));
        self
    }
}

/// Something whose health can be asked for.
///
/// Cheap, without blocking and without side effect, at any moment of its life,
/// before start and after stop too: a probe reads, a supervisor acts.
pub trait HealthSource: Send + Sync {
    /// The verdict as of now.
    fn health(&self) -> Health;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_listed_and_do_not_judge_the_whole() {
        let health = Health::of(true).with("pool", false).with("router", true);
        assert!(health.healthy);
        assert_eq!(health.components, [("pool", false), ("router", true)]);
        assert!(!Health::of(false).with("pool", true).healthy);
    }
}
