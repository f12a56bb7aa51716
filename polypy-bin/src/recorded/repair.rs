//! `polypy repair`: what a kill or a disk did to a recording.

use std::sync::Arc;

use polypy::archive::manifest::MANIFEST;
use polypy::archive::{Mended, Repaired, SystemDisk, repair_recording};
use polypy::exit::Exit;
use polypy_core::recording::Gap;

use super::{now, open};
use crate::cli;
use crate::terminal;

pub(crate) fn repair(typed: cli::Repair) -> Exit {
    let recording = match open(&typed.recording) {
        Ok(recording) => recording,
        Err(exit) => return exit,
    };
    let mut shown = Ok(());
    let mut is_done = true;
    let mut is_any_read = false;
    let mut is_any_told = false;
    let repaired = repair_recording(Arc::new(SystemDisk), &recording, now(), &mut |mended| {
        // What cannot be read is no better than it was.
        is_done &= mended.is_removed || !matches!(mended.result, Ok(Repaired::Empty) | Err(_));
        // One that was removed was our own, and had nothing in it yet.
        is_any_read |= mended.is_removed
            || mended.file != MANIFEST && !matches!(mended.result, Ok(Repaired::Empty));
        let line = line(mended);
        is_any_told |= line.is_some();
        if let Some(line) = line
            && shown.is_ok()
        {
            shown = terminal::print_more(&line);
        }
    });
    match (repaired, shown) {
        (Err(error), _) => {
            terminal::say(&error);
            Exit::Failure
        }
        (Ok(()), Err(exit)) if exit != Exit::Clean => exit,
        (Ok(()), _) if !is_any_read => Exit::Unreadable,
        (Ok(()), _) if is_done => {
            if !is_any_told {
                terminal::say(&"nothing to repair: each file is whole, and in the manifest");
                for lost in &recording.lost {
                    let name = &lost.line.file;
                    terminal::say(&format_args!(
                        "{name}: lost, and a gap of the manifest says so"
                    ));
                }
            }
            Exit::Clean
        }
        (Ok(()), _) => Exit::NotWhole,
    }
}

fn line(mended: &Mended) -> Option<String> {
    let name = &mended.file;
    let missing = |gaps: &[Gap]| {
        let gap = |gap: &Gap| {
            let time = |at: Option<u64>| {
                at.map_or_else(
                    || "unknown".to_owned(),
                    |at| polypy::recordings::moment::shown(at.saturating_mul(1_000)),
                )
            };
            format!(
                "\n  missing from {} to {}: {}",
                time(gap.from_ts),
                time(gap.to_ts),
                gap.reason
            )
        };
        gaps.iter().map(gap).collect::<String>()
    };
    Some(match &mended.result {
        Ok(Repaired::Whole(_)) if mended.is_known => return None,
        Ok(Repaired::Whole(_)) => format!("{name}: whole, and now in the manifest\n"),
        Ok(Repaired::Empty) if mended.is_removed => format!("{name}: removed, nothing was in it\n"),
        Ok(Repaired::Empty) => {
            format!("{name}: nothing in it can be read as a recording; left as it is\n")
        }
        Ok(Repaired::CopyOf(other)) => {
            format!("{name}: a copy of {other}, which is read in its place; left as it is\n")
        }
        Ok(Repaired::Ended { cut, gap, .. }) => match gap {
            Some(gap) => format!(
                "{name}: ended, {cut} bytes cut{}\n",
                missing(std::slice::from_ref(gap))
            ),
            None => format!("{name}: ended, {cut} bytes cut; nothing is missing\n"),
        },
        Ok(Repaired::Copied {
            file,
            damaged,
            gaps,
        }) => {
            let what = if file.entries > gaps.len() as u64 {
                "copied without what is damaged"
            } else {
                "nothing of it can be read, and a gap stands in its place"
            };
            let damaged = damaged.display();
            format!(
                "{name}: {what}; the file itself is {damaged}{}\n",
                missing(gaps)
            )
        }
        Ok(Repaired::Changed { was_sha256, .. }) => format!(
            "{name}: can be read to its end, and was changed after it was finished; the manifest says \
             so now, with its new SHA-256\n  it had {was_sha256}: if that is the file to have, put it \
             back and repair again\n"
        ),
        Ok(Repaired::Lost(gap)) => format!(
            "{name}: lost, and the manifest says now what is missing with it; if you have that file, \
             put it back{}\n",
            missing(std::slice::from_ref(gap))
        ),
        Ok(Repaired::Noted(gap)) => format!(
            "{name}: says now what no file can say{}\n",
            missing(std::slice::from_ref(gap))
        ),
        Ok(_) => return None,
        Err(error) => format!("{name}: not repaired: {error}\n"),
    })
}
