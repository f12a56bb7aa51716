//! What the tests share.
//!
//! | for | modules |
//! |---|---|
//! | tests of the project itself, its files and documents | [`tree`], [`source`], [`markdown`] |

pub mod markdown;
pub mod source;
pub mod tree;
