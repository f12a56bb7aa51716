//! PolyPy as a library: the whole program as one value, and its configuration.

pub mod clock;
pub mod config;
pub mod exit;
pub mod logging;
