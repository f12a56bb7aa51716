//! What is asked of the lists of markets and events.

use crate::filter::{encoded, push};

/// Which markets are wanted: all that are followed and open, unless it is narrowed. Within
/// a kind one has to hold, and of all kinds each.
///
/// ```
/// use polypy_client::reads::{Query, Sort};
/// let query = Query::default()
///     .text("bitcoin price")
///     .exclude_slugs(["btc-updown-*"])
///     .min_volume_day("10000")
///     .sort(Sort::VolumeDay);
/// assert_eq!(
///     query.to_string(),
///     "q=bitcoin%20price&exclude_slugs=btc-updown-%2A&min_volume_day=10000&sort=volume_day"
/// );
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Names and values as they stand in an address.
    parameters: Vec<(&'static str, String)>,
}

/// Whether the books of a market are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// They are.
    Yes,
    /// They are not.
    No,
    /// Either way.
    Any,
}

/// How far a market is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It trades.
    Open,
    /// It is decided.
    Resolved,
    /// It is over, and nobody has said who won.
    Closed,
    /// Any of them.
    Any,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Best match of the words first.
    Relevance,
    /// Most traded on a day first.
    VolumeDay,
    /// Most traded first.
    Volume,
    /// Most liquid first.
    Liquidity,
    /// First to end first.
    End,
    /// First listed first.
    Listed,
    /// Tightest spread first.
    Spread,
    /// Latest change first.
    Change,
}

impl Query {
    /// Words of question, event or slug; the beginning of each is enough.
    #[must_use]
    pub fn text(self, words: &str) -> Self {
        self.set("q", words)
    }

    /// With one of these tags.
    #[must_use]
    pub fn tags<'a>(self, tags: impl IntoIterator<Item = &'a str>) -> Self {
        self.list("tags", tags)
    }

    /// Of one of these categories.
    #[must_use]
    pub fn categories<'a>(self, categories: impl IntoIterator<Item = &'a str>) -> Self {
        self.list("categories", categories)
    }

    /// Of one of these events, by slug; `*` stands for anything.
    #[must_use]
    pub fn events<'a>(self, slugs: impl IntoIterator<Item = &'a str>) -> Self {
        self.list("events", slugs)
    }

    /// With one of these slugs; `*` stands for anything.
    #[must_use]
    pub fn slugs<'a>(self, slugs: impl IntoIterator<Item = &'a str>) -> Self {
        self.list("slugs", slugs)
    }

    /// With one of these condition ids.
    #[must_use]
    pub fn ids<'a>(self, ids: impl IntoIterator<Item = &'a str>) -> Self {
        self.list("ids", ids)
    }

    /// With none of these tags.
    #[must_use]
    pub fn exclude_tags<'a>(self, tags: impl IntoIterator<Item = &'a str>) -> Self {
        self.list("exclude_tags", tags)
    }

    /// Of none of these events, by slug.
    #[must_use]
    pub fn exclude_events<'a>(self, slugs: impl IntoIterator<Item = &'a str>) -> Self {
        self.list("exclude_events", slugs)
    }

    /// With none of these slugs.
    #[must_use]
    pub fn exclude_slugs<'a>(self, slugs: impl IntoIterator<Item = &'a str>) -> Self {
        self.list("exclude_slugs", slugs)
    }

    /// With none of these words.
    #[must_use]
    pub fn exclude_text<'a>(self, words: impl IntoIterator<Item = &'a str>) -> Self {
        self.list("exclude_text", words)
    }

    /// So many dollars traded, such as `10000` or `0.5`.
    #[must_use]
    pub fn min_volume(self, dollars: &str) -> Self {
        self.set("min_volume", dollars)
    }

    /// So many dollars traded within a day.
    #[must_use]
    pub fn min_volume_day(self, dollars: &str) -> Self {
        self.set("min_volume_day", dollars)
    }

    /// So many dollars in the book.
    #[must_use]
    pub fn min_liquidity(self, dollars: &str) -> Self {
        self.set("min_liquidity", dollars)
    }

    /// That end after a date (`2026-12-31`), a moment (`2026-12-31T12:00:00Z`), or a time
    /// from now (`12h`, `7d`).
    #[must_use]
    pub fn ends_after(self, bound: &str) -> Self {
        self.set("ends_after", bound)
    }

    /// That end before.
    #[must_use]
    pub fn ends_before(self, bound: &str) -> Self {
        self.set("ends_before", bound)
    }

    /// Of negative risk, or not.
    #[must_use]
    pub fn neg_risk(self, is_so: bool) -> Self {
        self.set("neg_risk", if is_so { "true" } else { "false" })
    }

    /// Whose books are kept, or not.
    #[must_use]
    pub fn followed(self, followed: Followed) -> Self {
        let name = match followed {
            Followed::Yes => "true",
            Followed::No => "false",
            Followed::Any => "any",
        };
        self.set("followed", name)
    }

    /// That are so far.
    #[must_use]
    pub fn status(self, status: Status) -> Self {
        let name = match status {
            Status::Open => "open",
            Status::Resolved => "resolved",
            Status::Closed => "closed",
            Status::Any => "any",
        };
        self.set("status", name)
    }

    /// In this order.
    #[must_use]
    pub fn sort(self, sort: Sort) -> Self {
        let name = match sort {
            Sort::Relevance => "relevance",
            Sort::VolumeDay => "volume_day",
            Sort::Volume => "volume",
            Sort::Liquidity => "liquidity",
            Sort::End => "end",
            Sort::Listed => "listed",
            Sort::Spread => "spread",
            Sort::Change => "change",
        };
        self.set("sort", name)
    }

    /// So many in a page: 1 to 1,000.
    #[must_use]
    pub fn page(self, size: u16) -> Self {
        self.set("limit", &size.to_string())
    }

    /// With the best prices of each token.
    #[must_use]
    pub fn tops(self) -> Self {
        self.set("tops", "true")
    }

    /// A parameter of the server's by its name, for what has no method here. It replaces
    /// what the parameter was before.
    #[must_use]
    pub fn set(mut self, name: &'static str, value: &str) -> Self {
        self.put(name, encoded(value));
        self
    }

    /// The same of a list.
    #[must_use]
    pub fn list<'a>(
        mut self,
        name: &'static str,
        values: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let values: Vec<_> = values.into_iter().map(encoded).collect();
        self.put(name, values.join(","));
        self
    }

    fn put(&mut self, name: &'static str, value: String) {
        self.parameters.retain(|(known, _)| *known != name);
        self.parameters.push((name, value));
    }

    /// The query of an address, with the place where a page begins.
    pub(crate) fn at(&self, cursor: Option<&str>) -> String {
        let mut query = String::new();
        for (name, value) in &self.parameters {
            push(&mut query, name, value);
        }
        if let Some(cursor) = cursor {
            push(&mut query, "cursor", &encoded(cursor));
        }
        query
    }
}

/// As it stands in an address.
impl std::fmt::Display for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.at(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_keep_their_commas_and_names_their_own() {
        let query = Query::default()
            .text("what's up, doc?")
            .tags(["crypto", "Middle East", "a,b"])
            .neg_risk(true)
            .followed(Followed::Any)
            .status(Status::Any)
            .tops();
        assert_eq!(
            query.at(Some("x+y")),
            "q=what%27s%20up%2C%20doc%3F&tags=crypto,Middle%20East,a%2Cb&neg_risk=true\
             &followed=any&status=any&tops=true&cursor=x%2By"
        );
    }

    #[test]
    fn what_is_said_last_counts() {
        let query = Query::default().page(5).sort(Sort::End).page(7);
        assert_eq!(query.to_string(), "sort=end&limit=7");
    }
}
