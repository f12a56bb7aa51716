//! What becomes of a recording: it is verified.
//!
//! Frames are decoded as the program decodes them, applied as its workers apply them, and
//! checked by the same checks, on recorded time.
//!
//! | module | |
//! |---|---|
//! | [`inventory`] | what is in it, without decoding a frame |
//! | [`moment`] | moments as people type them |
//! | [`verify`] | the verifier: what a recording says, entry by entry |
//! | [`report`] | what it found |
//! | `page` | the same, for people |
//! | [`source`] | a folder of files, one file, or frames that somebody kept as lines of JSON |
//! | [`lines`] | the last of these |
//! | [`import`](mod@import) | made into a recording |
//! | `tokens` | which tokens there are, as far as the recording says |
//! | `gaps` | what a recording says that it lacks |
//! | `doubts` | what contradicted a book, from when to when |

mod doubts;
mod gaps;
pub mod import;
pub mod inventory;
pub mod lines;
pub mod moment;
mod page;
pub mod report;
pub mod source;
mod tokens;
pub mod verify;

pub use import::import;
pub use inventory::Inventory;
pub use lines::{LeftOut, Lines};
pub use report::{Contradiction, GapCount, Report, TokenReport};
pub use source::{Source, SourceError, verify_source};
pub use verify::Verifier;
