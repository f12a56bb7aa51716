//! A judge of what the program calls live.
//!
//! | module | |
//! |---|---|
//! | [`watch`] | looks at every book every few milliseconds, as a reader does |
//! | [`truth`] | what the exchange has noted down: every state, and who could know of it |
//! | [`verdict`] | holds one against the other |
//! | [`scenario`] | what goes wrong meanwhile |
//! | [`trial`] | one scenario from beginning to end |
//! | [`report`] | what it came to |
//!
//! It trusts nothing the program says of itself except that a book is live.

pub mod report;
pub mod scenario;
pub mod trial;
pub mod truth;
pub mod verdict;
pub mod watch;

pub use report::Report;
pub use scenario::{Patience, Scenario, scenarios};
pub use trial::{Setting, run};
