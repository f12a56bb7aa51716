//! The line below the log of `polypy run` on a terminal: how far the start has come, and then
//! quietly that all is there.

use std::convert::Infallible;
use std::time::Duration;

use polypy::logging::StatusLine;
use polypy::{PolyPy, Progress};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Between two looks: as often as an eye sees a number move.
const LOOK: Duration = Duration::from_millis(200);
/// Columns of the bar.
const BAR: usize = 10;

/// Shows it for as long as it is polled; nothing where there is no terminal.
pub(crate) async fn follow(app: &PolyPy, status: Option<StatusLine>) -> Infallible {
    let Some(status) = status else {
        return std::future::pending().await;
    };
    let began = Instant::now();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_complete = false;
    loop {
        looks.tick().await;
        let progress = app.progress();
        was_complete |= progress.is_complete();
        let text = if was_complete {
            let address = app.http_addr();
            let place = address.map_or_else(String::new, |address| format!(" | {address}"));
            format!("{}{place}", quiet(progress))
        } else {
            starting(progress, began.elapsed())
        };
        status.show(text);
    }
}

/// How far the start has come.
fn starting(progress: Progress, elapsed: Duration) -> String {
    let Progress {
        markets,
        assets,
        subscribed,
        connections,
        live_books,
    } = progress;
    let seconds = elapsed.as_secs();
    if assets == 0 {
        return format!("starting {seconds} s | looking for markets");
    }
    let done = (live_books * BAR).checked_div(assets).unwrap_or(0).min(BAR);
    let bar = format!("[{}{}]", "#".repeat(done), ".".repeat(BAR - done));
    // Of a narrow terminal's line the end is cut: what a start waits for comes first.
    format!(
        "starting {seconds} s {bar} {live_books} of {assets} books | {connections} connections, \
         {subscribed} tokens subscribed | {markets} markets"
    )
}

/// What is there.
fn quiet(progress: Progress) -> String {
    let Progress {
        assets,
        connections,
        live_books,
        ..
    } = progress;
    let noun = if connections == 1 {
        "connection"
    } else {
        "connections"
    };
    format!("{live_books} of {assets} books live | {connections} {noun}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_told_in_its_order_and_then_it_is_quiet() {
        let mut progress = Progress::default();
        let shown = |progress| starting(progress, Duration::from_secs(3));
        assert_eq!(shown(progress), "starting 3 s | looking for markets");
        progress.markets = 5;
        progress.assets = 10;
        progress.connections = 1;
        progress.subscribed = 8;
        progress.live_books = 5;
        assert_eq!(
            shown(progress),
            "starting 3 s [#####.....] 5 of 10 books | 1 connections, 8 tokens subscribed | 5 \
             markets"
        );
        progress.live_books = 10;
        assert_eq!(quiet(progress), "10 of 10 books live | 1 connection");
    }

    #[test]
    fn eighty_columns_have_room_for_what_a_start_waits_for() {
        let progress = Progress {
            markets: 50_000,
            assets: 100_000,
            subscribed: 99_999,
            connections: 250,
            live_books: 98_765,
        };
        let shown = starting(progress, Duration::from_secs(120));
        assert!(
            shown[..80].contains("98765 of 100000 books | 250 connections"),
            "{shown}"
        );
    }
}
