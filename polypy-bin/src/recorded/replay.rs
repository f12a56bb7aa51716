//! `polypy replay`: a recording as the venue that it is of.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use polypy::archive::{Entries, Recording, hold, is_recording};
use polypy::clock::SystemClock;
use polypy::config::{Layer, Overlay, Sources};
use polypy::exit::Exit;
use polypy_core::recording::RecordingSource;
use polypy_sim::{Sim, SimConfig, SimError, SimHandle};
use tokio::time::{MissedTickBehavior, interval};

use super::open;
use crate::cli;
use crate::runtime::{Wishes, with_runtime};
use crate::terminal;

/// Between two lines of the log about how far it is.
const TOLD: Duration = Duration::from_secs(10);

pub(crate) fn replay(typed: cli::Replay, variables: Vec<(String, String)>) -> Exit {
    let is_lines = !typed.recording.is_dir() && matches!(is_recording(&typed.recording), Ok(false));
    let refused = typed.span.contradiction();
    if let Some(why) = refused.or_else(|| cannot_shift(&typed, is_lines)) {
        terminal::say(&why);
        return Exit::Usage;
    }
    let is_beside;
    let recording = match open(&typed.recording) {
        // What is before makes the books; files that no book needs are not read.
        Ok(recording) => {
            is_beside = lies_beside(&typed.span, &recording);
            recording.reaching(typed.span.from.unwrap_or(0))
        }
        Err(exit) => return exit,
    };
    let sources = Sources {
        named_file: typed.file.config.clone(),
        variables,
        demo: Layer::default(),
        flags: Layer::default(),
    };
    let loaded = match sources.load_with(Overlay::default()) {
        Ok(loaded) => loaded,
        Err(error) => return terminal::refuse(&error),
    };
    let folder = match typed.recording.parent() {
        _ if typed.recording.is_dir() => typed.recording.as_path(),
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let held = hold(folder);
    let exit = with_runtime(&loaded.config.clone(), async move |wishes| {
        if is_beside {
            tracing::warn!("the recording has nothing between --from and --to: nothing is played");
        }
        serve(typed, recording, is_lines, wishes).await
    });
    drop(held);
    exit
}

/// Whether the recording has nothing of this time, as far as its manifest says.
fn lies_beside(span: &cli::Span, recording: &Recording) -> bool {
    let times = recording.files.iter().map(|file| {
        let line = file.line.as_ref()?;
        line.from_ts.zip(line.to_ts)
    });
    let Some(times) = times.collect::<Option<Vec<_>>>() else {
        return false;
    };
    let first = times.iter().map(|(first, _)| *first).min();
    let last = times.iter().map(|(_, last)| *last).max();
    let is_after = |from: u64| last.is_some_and(|last| from / 1_000 > last);
    let is_before = |to: u64| first.is_some_and(|first| to / 1_000 < first);
    span.from.is_some_and(is_after) || span.to.is_some_and(is_before)
}

/// Why time stamps cannot be shifted, if they are to be and cannot.
fn cannot_shift(typed: &cli::Replay, is_lines: bool) -> Option<&'static str> {
    let is_as_it_was = (typed.speed.0 - 1.0).abs() < f64::EPSILON;
    if !typed.shift_times {
        None
    } else if is_lines {
        Some("--shift-times needs times of arrival: make a recording by polypy import")
    } else if is_as_it_was {
        None
    } else {
        Some("--shift-times goes with --speed 1x: recorded time would part from the clock")
    }
}

async fn serve(
    typed: cli::Replay,
    recording: Recording,
    is_lines: bool,
    mut wishes: Wishes,
) -> Exit {
    // It has no files to read again.
    wishes.reload.close();
    let config = SimConfig {
        listen: typed.listen,
        playback: is_lines.then(|| typed.recording.clone()),
        playback_speed: typed.speed.0,
        playback_loops: typed.again,
        playback_shifts: typed.shift_times,
        ..SimConfig::default()
    };
    let clock = Arc::new(SystemClock);
    let started = if is_lines {
        Sim::start(config, clock).await
    } else {
        let span = typed.span.from.unwrap_or(0)..typed.span.to.unwrap_or(u64::MAX);
        let source: Box<dyn RecordingSource> = Box::new(Entries::of(recording));
        Sim::play(config, clock, source, span).await
    };
    let sim = match started {
        Ok(sim) => sim,
        Err(error) => {
            let cause: &(dyn std::error::Error + 'static) = &error;
            let recording = typed.recording.display();
            tracing::error!(error = cause, %recording, "the recording cannot be played");
            return match error {
                SimError::Listen { .. } | SimError::Thread(_) => Exit::Failure,
                _ => Exit::Unreadable,
            };
        }
    };
    if typed.shift_times {
        tracing::warn!(
            "time stamps are shifted to now, and hashes left out: nothing proves a book"
        );
    }
    let written = terminal::print(&format!(
        "gamma_url = \"{}\"\nclob_url = \"{}\"\nws_url = \"{}\"\n",
        sim.gamma_url(),
        sim.clob_url(),
        sim.ws_url()
    ));
    tokio::select! {
        _ended = &mut wishes.drain => {}
        never = tell(&sim) => match never {},
    }
    sim.stop().await;
    written
}

/// Says how far it is.
async fn tell(sim: &SimHandle) -> std::convert::Infallible {
    let mut looks = interval(TOLD);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = 0;
    let mut is_done = false;
    loop {
        looks.tick().await;
        let Some(played) = sim.stats().playback else {
            continue;
        };
        if played.sent != told {
            told = played.sent;
            tracing::info!(frames = played.sent, of = played.total, "played");
        }
        if played.done && !std::mem::replace(&mut is_done, true) {
            tracing::info!("the recording has been played; Ctrl-C ends the venue");
        }
    }
}
