//! Whether a part does its work.

/// A verdict, with the verdicts on its parts and what there is to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The verdict on the whole.
    pub healthy: bool,
    /// The parts by name, in a fixed order. Empty for a part without parts.
    pub components: Vec<(&'static str, bool)>,
    /// Why it is not healthy, or what is amiss although it is; gravest first.
    pub reasons: Vec<Reason>,
    /// Counts behind the verdict, by group and name.
    pub counts: Vec<(&'static str, Vec<(&'static str, u64)>)>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// What programs compare: `no_live_books`.
    pub code: &'static str,
    /// What people read.
    pub text: String,
}

impl Health {
    /// A verdict on something without parts.
    pub fn of(healthy: bool) -> Self {
        Self {
            healthy,
            components: Vec::new(),
            reasons: Vec::new(),
            counts: Vec::new(),
        }
    }

    /// Names a part and its verdict. The whole is not judged by it.
    #[must_use]
    pub fn with(mut self, component: &'static str, healthy: bool) -> Self {
        self.components.push((component, healthy));
        self
    }

    /// Says why, or what is amiss. The whole is not judged by it.
    #[must_use]
    pub fn because(mut self, code: &'static str, text: impl Into<String>) -> Self {
        let text = text.into();
        self.reasons.push(Reason { code, text });
        self
    }

    /// Adds counts.
    #[must_use]
    pub fn with_counts(
        mut self,
        group: &'static str,
        counts: impl IntoIterator<Item = (&'static str, u64)>,
    ) -> Self {
        self.counts.push((group, counts.into_iter().collect()));
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
