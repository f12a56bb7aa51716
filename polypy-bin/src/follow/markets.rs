//! `polypy markets`.

use std::io::IsTerminal;

use polypy::clock::SystemClock;
use polypy::exit::Exit;
use polypy_client::reads::{Listed, Market, Pages, RawMarket, ReadError};
use polypy_core::Clock;
use serde_json::Value;

use super::dry_run::dry_run;
use super::table::{Paper, table};
use super::{Target, address, run};
use crate::cli;
use crate::terminal;

/// Shows the markets that match, once.
pub(crate) fn markets(typed: cli::Markets, variables: Vec<(String, String)>) -> Exit {
    if typed.dry_run {
        return dry_run(typed, variables);
    }
    if let Some(misplaced) = typed.misplaced_keys() {
        terminal::say(&misplaced);
        return Exit::Usage;
    }
    let (query, limit, json) = (typed.question(), typed.listing.limit, typed.json);
    let target = match Target::find(typed.server, variables) {
        Ok(target) => target,
        Err(exit) => return exit,
    };
    run(async {
        let client = match target.client() {
            Ok(client) => client,
            Err(exit) => return exit,
        };
        let shown = if json {
            lines(
                &target,
                client.raw_markets(&query),
                limit,
                |RawMarket(market)| market,
            )
            .await
        } else {
            rows(
                &target,
                client.markets(&query),
                limit,
                |markets: &[Market]| table(markets, paper(), now_ms()),
            )
            .await
        };
        match shown {
            Ok(()) => Exit::Clean,
            Err(exit) => exit,
        }
    })
}

/// Prints what is found as it comes, an object a line.
pub(super) async fn lines<T: Listed>(
    target: &Target,
    mut found: Pages<T>,
    limit: usize,
    object: impl Fn(&T) -> &Value,
) -> Result<(), Exit> {
    let mut shown = 0;
    while shown < limit
        && let Some(one) = next(target, &mut found).await?
    {
        terminal::print_more(&format!("{}\n", object(&one)))?;
        shown += 1;
    }
    remark(&found, shown);
    Ok(())
}

/// Prints what is found as one table.
pub(super) async fn rows<T: Listed>(
    target: &Target,
    mut found: Pages<T>,
    limit: usize,
    table: impl Fn(&[T]) -> String,
) -> Result<(), Exit> {
    let mut all = Vec::new();
    while all.len() < limit
        && let Some(one) = next(target, &mut found).await?
    {
        all.push(one);
    }
    if !all.is_empty() {
        terminal::print_more(&table(&all))?;
    }
    remark(&found, all.len());
    Ok(())
}

/// What is written on: a terminal, or what a program reads.
pub(super) fn paper() -> Paper {
    match std::io::stdout() {
        output if output.is_terminal() => Paper::Wide(terminal::columns(&output)),
        _ => Paper::Endless,
    }
}

pub(super) fn now_ms() -> i64 {
    i64::try_from(SystemClock.now().millis()).unwrap_or(i64::MAX)
}

/// The next of a list, or what is said where there is none.
pub(super) async fn next<T: Listed>(
    target: &Target,
    found: &mut Pages<T>,
) -> Result<Option<T>, Exit> {
    match found.next().await {
        Ok(next) => Ok(next),
        Err(error) => Err(refused(target, error)),
    }
}

/// Says why there is no answer, and what to do.
pub(super) fn refused(target: &Target, error: ReadError) -> Exit {
    match error {
        ReadError::Lost(cause) => target.lost(&cause),
        ReadError::Refused(problem) if problem.status.as_u16() == 400 => {
            let flag = problem
                .parameter
                .as_deref()
                .map_or_else(String::new, cli::flag);
            target.say(&format!("{flag}: {problem}"));
            Exit::Usage
        }
        error => {
            let remedy = match &error {
                ReadError::Refused(problem) => match problem.status.as_u16() {
                    401 => ": --token-file names the file with the token".to_owned(),
                    404 => address::no_route(&target.url),
                    _ => String::new(),
                },
                _ => String::new(),
            };
            target.say(&format!("{error}{remedy}"));
            Exit::Failure
        }
    }
}

/// Says what is not shown, and how to have it.
pub(super) fn remark<T: Listed>(found: &Pages<T>, shown: usize) {
    let Some(head) = found.head() else { return };
    let (matched, unfollowed) = (head.matched, head.unfollowed);
    if head.complete == Some(false) {
        terminal::say(
            &"the server has not read the venue's listing to its end yet: there may be more",
        );
    }
    if matched == 0 {
        let followed = if unfollowed > 0 {
            "that is followed "
        } else {
            ""
        };
        terminal::say(&format_args!("nothing {followed}matches"));
    }
    for tag in &head.unknown_tags {
        terminal::say(&format_args!(
            "no market has the tag {tag:?}: --json shows the tags of markets"
        ));
    }
    if usize::try_from(matched).is_ok_and(|matched| matched > shown) {
        terminal::say(&format_args!(
            "{shown} of {matched} are shown: --limit {matched}"
        ));
    }
    if unfollowed > 0 {
        let verb = if unfollowed == 1 {
            "matches and is"
        } else {
            "match and are"
        };
        terminal::say(&format_args!(
            "{unfollowed} more {verb} not followed: --all"
        ));
    }
    if found.begun_again() > 0 {
        terminal::say(&"the order moved on while it was read: what follows is in a newer one");
    }
}
