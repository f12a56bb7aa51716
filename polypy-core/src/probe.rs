//! What supervisors and load balancers ask of a process.

/// A question with yes or no for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// Whether it lives: no, where a restart would help and nothing else.
    Live,
    /// Whether requests should come here now.
    Ready,
    /// Whether the start is over. Once yes, it stays so until the end.
    Started,
}

/// One condition of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What programs compare: `first_crawl`.
    pub name: &'static str,
    /// Whether it holds.
    pub passed: bool,
    /// What people read: how it stands, whether it holds or not.
    pub text: String,
}

impl Check {
    /// A condition, and how it stands.
    pub fn new(name: &'static str, passed: bool, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { name, passed, text }
    }
}

/// Something that can be probed.
///
/// As cheap as [`HealthSource`](crate::HealthSource), and answerable at any moment.
pub trait ProbeSource: Send + Sync {
    /// Every condition. The answer is yes when all of them hold.
    fn checks(&self, probe: Probe) -> Vec<Check>;
}
