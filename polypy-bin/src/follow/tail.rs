//! `polypy tail`.

use polypy::exit::Exit;
use polypy_client::{Event, Filter};

use super::line::Lines;
use super::{Target, run};
use crate::cli;
use crate::terminal;

/// Prints what a server streams, until it is told to end.
pub(crate) fn tail(typed: cli::Tail, variables: Vec<(String, String)>) -> Exit {
    let filter = filter(&typed);
    let (json, count) = (typed.json, typed.count);
    let target = match Target::find(typed.server, variables) {
        Ok(target) => target,
        Err(exit) => return exit,
    };
    run(async {
        match follow(&target, filter, json, count).await {
            Ok(()) => Exit::Clean,
            Err(exit) => exit,
        }
    })
}

async fn follow(
    target: &Target,
    filter: Filter,
    json: bool,
    count: Option<u64>,
) -> Result<(), Exit> {
    let mut stream = target.client()?.subscribe(filter);
    let mut lines = Lines::default();
    let mut left = count.unwrap_or(u64::MAX);
    let mut was_connected = false;
    while left > 0 {
        let event = stream.next().await;
        match event.map_err(|error| target.refused(&error))? {
            Event::Message(received) => {
                was_connected = true;
                left -= 1;
                if json {
                    terminal::print_more(&format!("{}\n", received.text))?;
                } else if let Some(line) = lines.line(&received.message) {
                    terminal::print_more(&format!("{line}\n"))?;
                }
            }
            Event::Lost { cause, .. } if !was_connected => return Err(target.lost(&cause)),
            Event::Lost { cause, retry } => {
                let wait = retry.as_secs_f64();
                target.say(&format!("{cause}; asking again in {wait:.1} s"));
            }
            Event::Resumed {
                recovered, text, ..
            } => {
                target.say(if recovered {
                    "connected again, and nothing is missing"
                } else {
                    "connected again: what came meanwhile is lost, but for the books as they are now"
                });
                if json {
                    left -= 1;
                    terminal::print_more(&format!("{text}\n"))?;
                }
            }
            Event::Broken { broken, .. } => {
                target.say(&format!("the messages contradict each other: {broken}"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The words of the command line as a filter.
fn filter(typed: &cli::Tail) -> Filter {
    let mut filter = Filter::everything().channels(&typed.channels);
    for word in &typed.filter {
        let is_token = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        filter = match word.strip_prefix("event:") {
            Some(slug) => filter.events([slug]),
            None if is_token => filter.tokens([word]),
            None => filter.markets([word]),
        };
    }
    if let Some(interval) = typed.interval {
        filter = filter.conflated(interval);
    }
    if let Some(depth) = typed.depth {
        filter = filter.depth(depth);
    }
    filter
}
