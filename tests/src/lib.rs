//! What the tests share.
//!
//! | for | modules |
//! |---|---|
//! | black-box tests of the program | [`world`], [`http`], [`wait`], [`replay`], [`recorded`], [`judge`] |
//! | tests of the project itself, its files and documents | [`tree`], [`source`], [`markdown`] |

pub mod http;
pub mod judge;
pub mod recorded;
pub mod replay;
pub mod wait;
pub mod world;

pub mod markdown;
pub mod source;
pub mod tree;
