//! `polypy info`: what is in a recording.

use polypy::exit::Exit;
use polypy::recordings::Inventory;

use super::open;
use super::progress::Progress;
use crate::cli;
use crate::terminal;

pub(crate) fn info(typed: cli::Info) -> Exit {
    let recording = match open(&typed.recording) {
        Ok(recording) => recording,
        Err(exit) => return exit,
    };
    let mut progress = Progress::of("reading:");
    let mut inventory = Inventory::of(recording, &mut |done, all| progress.tell(done, all));
    drop(progress);
    let exit = if inventory.is_unreadable() {
        Exit::Unreadable
    } else if inventory.is_whole() {
        Exit::Clean
    } else {
        Exit::NotWhole
    };
    if let Some(token) = &typed.token
        && exit != Exit::Unreadable
    {
        inventory.keep_token(token);
        if inventory.sockets.is_empty() {
            terminal::say(&format_args!("no socket was asked for token {token}"));
            return Exit::NoInput;
        }
    }
    let text = if typed.json {
        format!("{}\n", inventory.to_json())
    } else {
        inventory.page(typed.token.is_some())
    };
    match terminal::print_more(&text) {
        Err(failed) if failed != Exit::Clean => failed,
        Ok(()) | Err(_) => exit,
    }
}
