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
mod demo_routes;
mod description;
mod events;
mod hang_up;
mod health;
mod markets;
mod process;
mod record;
mod status;
mod streams;
mod supervised;
mod suspension;
mod tmux;
#[cfg(feature = "tui")]
mod top;
