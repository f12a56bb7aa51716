//! `polypy markets`, as typed.

use clap::Args;
use polypy_client::reads::{Followed, Query};

use super::Server;
use super::flags::MarketKeys;

/// Markets that are shown unless others are asked for.
const USUAL: usize = 50;

#[derive(Debug, Args)]
pub(crate) struct Markets {
    /// Words of question, event or slug; the beginning of each is enough [default: all markets]
    #[arg(value_name = "QUERY")]
    pub(crate) query: Vec<String>,
    /// Order: relevance, volume_day, volume, liquidity, end, listed, spread or change [default: relevance with words, else volume_day]
    #[arg(long, value_name = "ORDER")]
    pub(crate) sort: Option<String>,
    /// Also those that match and are not followed
    #[arg(long)]
    pub(crate) all: bool,
    /// Only those that match and are not followed
    #[arg(long, conflicts_with = "all")]
    pub(crate) unfollowed: bool,
    /// Markets at most
    #[arg(long, value_name = "COUNT", default_value_t = USUAL, value_parser = at_least_one)]
    pub(crate) limit: usize,
    /// Ask no server: list what the venue has, and show what the configuration would follow
    #[arg(long, conflicts_with_all = ["query", "Filters", "sort", "all", "unfollowed", "url"])]
    pub(crate) dry_run: bool,
    /// Print the markets as the server has them, one JSON object a line: docs/http-api.md
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: Server,
    /// Behind all others: what follows would stand under the same heading.
    #[command(flatten)]
    pub(crate) filters: Filters,
    #[command(flatten)]
    pub(crate) keys: MarketKeys,
}

/// Which markets: the words of `/v1/markets`.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Filters")]
pub(crate) struct Filters {
    /// With one of these tags
    #[arg(long, value_name = "TAGS", value_delimiter = ',')]
    tags: Vec<String>,
    /// Of one of these categories
    #[arg(long, value_name = "CATEGORIES", value_delimiter = ',')]
    categories: Vec<String>,
    /// Of one of these events, by slug; * stands for anything
    #[arg(long, value_name = "SLUGS", value_delimiter = ',')]
    events: Vec<String>,
    /// With one of these slugs; * stands for anything
    #[arg(long, value_name = "SLUGS", value_delimiter = ',')]
    slugs: Vec<String>,
    /// With one of these condition ids
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    ids: Vec<String>,
    /// With none of these tags
    #[arg(long, value_name = "TAGS", value_delimiter = ',')]
    exclude_tags: Vec<String>,
    /// Of none of these categories
    #[arg(long, value_name = "CATEGORIES", value_delimiter = ',')]
    exclude_categories: Vec<String>,
    /// Of none of these events
    #[arg(long, value_name = "SLUGS", value_delimiter = ',')]
    exclude_events: Vec<String>,
    /// With none of these slugs
    #[arg(long, value_name = "SLUGS", value_delimiter = ',')]
    exclude_slugs: Vec<String>,
    /// With none of these words
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    exclude_text: Vec<String>,
    /// With none of these condition ids
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    exclude_ids: Vec<String>,
    /// So many dollars traded
    #[arg(long, value_name = "DOLLARS")]
    min_volume: Option<String>,
    /// So many dollars traded within a day
    #[arg(long, value_name = "DOLLARS")]
    min_volume_day: Option<String>,
    /// So many dollars in the book
    #[arg(long, value_name = "DOLLARS")]
    min_liquidity: Option<String>,
    /// That end after a date, a moment, or a time from now: 2026-12-31, 2026-12-31T12:00:00Z, 7d
    #[arg(long, value_name = "BOUND")]
    ends_after: Option<String>,
    /// That end before
    #[arg(long, value_name = "BOUND")]
    ends_before: Option<String>,
    /// Of negative risk, or not: true or false
    #[arg(long, value_name = "BOOL")]
    neg_risk: Option<bool>,
    /// How far they are: open, resolved, closed or any [default: open]
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("no market is none to show: 1 is the least".to_owned()),
        Ok(count) => Ok(count),
        Err(_no_number) => Err("must be a whole number".to_owned()),
    }
}

impl Markets {
    /// What the server is asked.
    pub(crate) fn question(&self) -> Query {
        let its = &self.filters;
        let mut query = Query::default();
        let words = self.query.join(" ");
        if !words.is_empty() {
            query = query.text(&words);
        }
        let lists: [(_, &[String]); 11] = [
            ("tags", &its.tags),
            ("categories", &its.categories),
            ("events", &its.events),
            ("slugs", &its.slugs),
            ("ids", &its.ids),
            ("exclude_tags", &its.exclude_tags),
            ("exclude_categories", &its.exclude_categories),
            ("exclude_events", &its.exclude_events),
            ("exclude_slugs", &its.exclude_slugs),
            ("exclude_text", &its.exclude_text),
            ("exclude_ids", &its.exclude_ids),
        ];
        for (name, values) in lists {
            if !values.is_empty() {
                query = query.list(name, values.iter().map(String::as_str));
            }
        }
        let texts = [
            ("min_volume", &its.min_volume),
            ("min_volume_day", &its.min_volume_day),
            ("min_liquidity", &its.min_liquidity),
            ("ends_after", &its.ends_after),
            ("ends_before", &its.ends_before),
            ("status", &its.status),
            ("sort", &self.sort),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                query = query.set(name, value);
            }
        }
        if let Some(neg_risk) = its.neg_risk {
            query = query.neg_risk(neg_risk);
        }
        if self.all {
            query = query.followed(Followed::Any);
        }
        if self.unfollowed {
            query = query.followed(Followed::No);
        }
        let page = u16::try_from(self.limit.min(1_000)).unwrap_or(1_000);
        query.tops().page(page)
    }
}

/// What a parameter of the server is called here.
pub(crate) fn flag(parameter: &str) -> String {
    match parameter {
        "q" => "QUERY".to_owned(),
        other => format!("--{}", other.replace('_', "-")),
    }
}
