//! What the tests share.
//!
//! | for | modules |
//! |---|---|
//! | black-box tests of the program | [`world`], [`comparison`], [`http`], [`wait`], [`replay`], [`recorded`], [`judge`], [`listing`], [`choice`], [`spans`], [`follower`], [`history`], [`python`] |
//! | the same with every part a process of its own | [`program`], [`recording`], [`pair`], [`figures`], [`alerting`], [`inbox`] |
//! | tests of the project itself, its files and documents | [`tree`], [`source`], [`markdown`], [`monitoring`] |

pub mod alerting;
pub mod choice;
pub mod comparison;
pub mod figures;
pub mod follower;
pub mod history;
pub mod http;
pub mod inbox;
pub mod judge;
pub mod listing;
pub mod pair;
pub mod program;
pub mod python;
pub mod recorded;
pub mod recording;
pub mod replay;
pub mod spans;
pub mod wait;
pub mod world;

pub mod markdown;
pub mod monitoring;
pub mod ownership;
pub mod source;
pub mod tree;
