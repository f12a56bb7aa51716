//! `polypy markets --dry-run`.

use std::io::{IsTerminal, Write};

use polypy::clock::SystemClock;
use polypy::config::{Layer, Sources};
use polypy::exit::Exit;
use polypy::{Preview, preview};
use polypy_core::catalogue::{NotFollowed, SeatOrder};
use serde_json::json;

use super::line::plain;
use super::run;
use super::shown::padded;
use crate::cli;
use crate::terminal;

/// Shows what the configuration would follow.
pub(crate) fn dry_run(typed: cli::Markets, variables: Vec<(String, String)>) -> Exit {
    let sources = Sources {
        named_file: typed.server.file.config,
        variables,
        demo: Layer::default(),
        flags: typed.keys.0,
    };
    let loaded = match sources.load() {
        Ok(loaded) => loaded,
        Err(error) => return terminal::refuse(&error),
    };
    let (limit, json) = (typed.listing.limit, typed.json);
    run(async move {
        let is_watched = std::io::stderr().is_terminal();
        let progress = |listed| {
            if is_watched {
                // Over the line before; who has closed standard error does not want to know.
                drop(write!(std::io::stderr(), "\r{listed} markets listed"));
            }
        };
        let previewed = preview(&loaded, &SystemClock, progress).await;
        if is_watched {
            drop(writeln!(std::io::stderr()));
        }
        let previewed = match previewed {
            Ok(previewed) => previewed,
            Err(error) => {
                terminal::say(&error.located(&loaded));
                return Exit::Config;
            }
        };
        let text = if json {
            object(&previewed, limit)
        } else {
            text(&previewed, limit)
        };
        let printed = terminal::print(&text);
        for warning in &previewed.warnings {
            terminal::say(&plain(warning));
        }
        let url = &loaded.config.venue.gamma_url;
        if let Some(cause) = &previewed.without_tags {
            terminal::say(&format_args!(
                "{url} refuses to list tags: {}; markets are listed without, and none is followed \
                 for its tags",
                plain(cause)
            ));
        }
        if let Some(cause) = &previewed.broke_off {
            terminal::say(&format_args!(
                "the listing of {url} broke off: {}; this is what it had until then, and whether \
                 anything has the names of the selection is not known",
                plain(cause)
            ));
            return Exit::Failure;
        }
        printed
    })
}

/// For people: numbers, then the most traded ones.
fn text(preview: &Preview, limit: usize) -> String {
    let (followed, tokens) = (preview.followed.len(), preview.tokens());
    let mut text = format!(
        "{} markets are listed as open; {followed} would be followed ({tokens} tokens)\n",
        preview.listed
    );
    if !preview.not_followed.is_empty() {
        text.push_str("\nNOT FOLLOWED, SINCE\n");
        let counts = preview.not_followed.iter().map(|(_, count)| count);
        let wide = counts.max().map_or(0, |count| count.to_string().len());
        for (reason, count) in &preview.not_followed {
            text.push_str(&format!("  {count:>wide$}  {}\n", why(*reason)));
        }
    }
    if followed > 0 {
        text.push_str(&format!("\nFOLLOWED, {}\n", heading(preview.order)));
        let shown = preview.followed.iter().take(limit).map(|entry| {
            let day = entry.figures.volume_day;
            let day = day.map_or("-".to_owned(), |day| format!("${day}"));
            (day, plain(&entry.market.question))
        });
        let shown: Vec<_> = shown.collect();
        let wide = shown.iter().map(|(day, _)| day.len()).max().unwrap_or(0);
        for (day, question) in &shown {
            text.push_str(&format!("  {}  {question}\n", padded(day, wide)));
        }
        if followed > shown.len() {
            let more = followed - shown.len();
            text.push_str(&format!("  and {more} more: --limit {followed}\n"));
        }
    }
    text
}

/// Who is shown first, and would be followed first.
fn heading(order: SeatOrder) -> &'static str {
    match order {
        SeatOrder::VolumeDay => "THE MOST TRADED OF A DAY FIRST (volume_day)",
        SeatOrder::Volume => "THE MOST TRADED FIRST (volume)",
        SeatOrder::Liquidity => "THOSE WITH MOST IN THEIR BOOKS FIRST (liquidity)",
        SeatOrder::End => "THOSE THAT END FIRST FIRST (end)",
        SeatOrder::Listed => "THOSE LISTED FIRST FIRST (listed)",
    }
}

/// For programs.
fn object(preview: &Preview, limit: usize) -> String {
    let counts = preview.not_followed.iter();
    let counts = counts.map(|(reason, count)| (reason.name().to_owned(), json!(count)));
    let markets = preview.followed.iter().take(limit).map(|entry| {
        let market = &entry.market;
        json!({
            "condition_id": market.condition_id.as_str(),
            "slug": market.slug.as_deref(),
            "question": market.question,
            "volume_day": entry.figures.volume_day.map(|day| day.to_string()),
        })
    });
    let object = json!({
        "listed": preview.listed,
        "followed": preview.followed.len(),
        "tokens": preview.tokens(),
        "order": preview.order.name(),
        "not_followed": serde_json::Map::from_iter(counts),
        "warnings": preview.warnings,
        "without_tags": preview.without_tags,
        "complete": preview.broke_off.is_none(),
        "markets": markets.collect::<Vec<_>>(),
    });
    format!("{object}\n")
}

/// A reason, with the key that it comes of.
fn why(reason: NotFollowed) -> &'static str {
    match reason {
        NotFollowed::Unjudged => "they were not judged",
        NotFollowed::ExcludedTags => "they have one of the tags that are excluded (exclude_tags)",
        NotFollowed::ExcludedCategory => {
            "they are in one of the categories that are excluded (exclude_categories)"
        }
        NotFollowed::ExcludedEvent => {
            "they are part of one of the events that are excluded (exclude_events)"
        }
        NotFollowed::ExcludedSlug => "they have one of the slugs that are excluded (exclude_slugs)",
        NotFollowed::ExcludedText => {
            "one of the texts that are excluded is in their words (exclude_text)"
        }
        NotFollowed::ExcludedId => "they have one of the ids that are excluded (exclude_ids)",
        NotFollowed::Tags => "they have none of the tags (tags)",
        NotFollowed::TagsUnknown => "the venue has not said which tags they have (tags)",
        NotFollowed::Category => "they are in none of the categories (categories)",
        NotFollowed::Event => "they are part of none of the events (events)",
        NotFollowed::Slug => "they have none of the slugs (slugs)",
        NotFollowed::Text => "none of the texts is in their words (text)",
        NotFollowed::Id => "they have none of the ids (ids)",
        NotFollowed::Volume => "too little was traded (min_volume)",
        NotFollowed::VolumeDay => "too little was traded within a day (min_volume_day)",
        NotFollowed::Liquidity => "too little is in their books (min_liquidity)",
        NotFollowed::EndsAfter => "they end too early, or do not say when (ends_after)",
        NotFollowed::EndsBefore => "they end too late, or do not say when (ends_before)",
        NotFollowed::NegRisk => "they are part of a negative-risk event, or are not (neg_risk)",
        NotFollowed::Seats => "as many as there may be are ahead of them (max_markets, order)",
        NotFollowed::Shard => "they belong to another process (shard)",
        NotFollowed::Sockets => "more connections would be needed than there may be",
    }
}
