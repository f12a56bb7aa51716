//! `polypy markets` and `polypy events`, as typed.

use clap::Args;
use polypy_client::reads::{Followed, Query};

use super::Server;
use super::flags::MarketKeys;

/// Markets that are shown unless others are asked for.
const USUAL: usize = 50;

#[derive(Debug, Args)]
pub(crate) struct Markets {
    #[command(flatten)]
    pub(crate) listing: Listing,
    /// Order: relevance, volume_day, volume, liquidity, end, listed, spread or change [default: relevance with words, else volume_day]
    #[arg(long, value_name = "ORDER")]
    pub(crate) sort: Option<String>,
    /// Ask no server: list what the venue has, and show what the configuration would follow
    #[arg(long, conflicts_with_all = ["query", "Filters", "sort", "state", "all", "unfollowed", "url"])]
    pub(crate) dry_run: bool,
    /// Only markets of which a book stands so: pending, live, stale or settled
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<String>,
    /// Print the markets as the server has them, one JSON object a line: docs/http-api.md. With --dry-run
    /// one object: listed, followed, tokens, order, not_followed, warnings, complete, markets
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
#[derive(Debug, Default, PartialEq, Args)]
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

impl Filters {
    /// The flags.
    fn names() -> impl Iterator<Item = String> {
        let command = Self::augment_args(clap::Command::new("filters"));
        let names: Vec<_> = command
            .get_arguments()
            .filter_map(|flag| Some(format!("--{}", flag.get_long()?)))
            .collect();
        names.into_iter()
    }

    /// What the server is asked.
    fn question(&self) -> Query {
        let mut query = Query::default();
        let lists: [(_, &[String]); 11] = [
            ("tags", &self.tags),
            ("categories", &self.categories),
            ("events", &self.events),
            ("slugs", &self.slugs),
            ("ids", &self.ids),
            ("exclude_tags", &self.exclude_tags),
            ("exclude_categories", &self.exclude_categories),
            ("exclude_events", &self.exclude_events),
            ("exclude_slugs", &self.exclude_slugs),
            ("exclude_text", &self.exclude_text),
            ("exclude_ids", &self.exclude_ids),
        ];
        for (name, values) in lists {
            if !values.is_empty() {
                query = query.list(name, values.iter().map(String::as_str));
            }
        }
        let texts = [
            ("min_volume", &self.min_volume),
            ("min_volume_day", &self.min_volume_day),
            ("min_liquidity", &self.min_liquidity),
            ("ends_after", &self.ends_after),
            ("ends_before", &self.ends_before),
            ("status", &self.status),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                query = query.set(name, value);
            }
        }
        match self.neg_risk {
            Some(neg_risk) => query.neg_risk(neg_risk),
            None => query,
        }
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("none is none to show: 1 is the least".to_owned()),
        Ok(count) => Ok(count),
        Err(_no_number) => Err("must be a whole number".to_owned()),
    }
}

/// Which of them, and how many.
#[derive(Debug, Args)]
pub(crate) struct Listing {
    /// Words of question, event or slug; the beginning of each is enough [default: all]
    #[arg(value_name = "QUERY")]
    pub(crate) query: Vec<String>,
    /// Also those that match and are not followed
    #[arg(long)]
    pub(crate) all: bool,
    /// Only those that match and are not followed
    #[arg(long, conflicts_with = "all")]
    pub(crate) unfollowed: bool,
    /// So many at most
    #[arg(long, value_name = "COUNT", default_value_t = USUAL, value_parser = at_least_one)]
    pub(crate) limit: usize,
}

impl Listing {
    /// What the server is asked.
    fn question(&self, filters: &Filters, sort: Option<&str>) -> Query {
        let words = self.query.join(" ");
        let mut query = filters.question();
        // An empty word as well: the server says what is wrong with it.
        if !self.query.is_empty() {
            query = query.text(&words);
        }
        if let Some(sort) = sort {
            query = query.set("sort", sort);
        }
        if self.all {
            query = query.followed(Followed::Any);
        }
        if self.unfollowed {
            query = query.followed(Followed::No);
        }
        query.page(u16::try_from(self.limit.min(1_000)).unwrap_or(1_000))
    }
}

impl Markets {
    /// What the server is asked.
    pub(crate) fn question(&self) -> Query {
        let query = self.listing.question(&self.filters, self.sort.as_deref());
        let query = match &self.state {
            Some(state) => query.set("state", state),
            None => query,
        };
        query.tops()
    }

    /// What is said where keys of the configuration are typed and a server is asked: they
    /// would change nothing.
    pub(crate) fn misplaced_keys(&self) -> Option<String> {
        let flags: Vec<_> = self.keys.0.flags().collect();
        let first = flags.first().filter(|_| !self.dry_run)?;
        let own = first.strip_prefix("--markets-").unwrap_or_default();
        let own = format!("--{own}");
        let remedy = if Filters::names().any(|name| name == own) {
            format!("use {own} to find markets of a server, or add --dry-run")
        } else {
            "leave it out, or add --dry-run".to_owned()
        };
        Some(format!(
            "{} is of the configuration, which --dry-run tries without a server: {remedy}",
            flags.join(", ")
        ))
    }
}

/// `polypy events`.
#[derive(Debug, Args)]
pub(crate) struct Events {
    #[command(flatten)]
    pub(crate) listing: Listing,
    /// Order: relevance, volume_day, volume, liquidity, end or listed [default: relevance with words, else volume_day]
    #[arg(long, value_name = "ORDER")]
    pub(crate) sort: Option<String>,
    /// Print the events as the server has them, one JSON object a line: docs/http-api.md
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: Server,
    #[command(flatten)]
    pub(crate) filters: Filters,
}

impl Events {
    /// What the server is asked.
    pub(crate) fn question(&self) -> Query {
        self.listing.question(&self.filters, self.sort.as_deref())
    }

    /// What may be the slug of one event: a word that stands alone.
    pub(crate) fn slug(&self) -> Option<&str> {
        let is_plain = self.filters == Filters::default() && self.sort.is_none();
        match &self.listing.query[..] {
            [word] if is_plain && !word.is_empty() && !word.contains(' ') => Some(word),
            _ => None,
        }
    }
}

/// What a parameter of the server is called here.
pub(crate) fn flag(parameter: &str) -> String {
    match parameter {
        "q" => "QUERY".to_owned(),
        other => format!("--{}", other.replace('_', "-")),
    }
}
