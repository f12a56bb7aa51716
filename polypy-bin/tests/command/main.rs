//! The built `polypy` command, black box.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod access;
mod admin;
mod cli;
mod demo;
mod hang_up;
mod health;
mod process;
mod streams;
mod supervised;
mod suspension;
