//! Lists, a page at a time.

use std::collections::{HashSet, VecDeque};
use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::ReadError;
use super::get::with_query;
use super::query::Query;
use crate::client::Client;

/// How often a list is begun again before it is given up.
const MOST_BEGUN: u32 = 10;

/// Something that comes in lists.
pub trait Listed: DeserializeOwned {
    /// The route of the list.
    const ROUTE: &'static str;
    /// Its name in the answer.
    const KEY: &'static str;

    /// What tells it from others.
    fn name(&self) -> &str;
}

/// What a page says of the whole list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Head {
    /// How many match.
    pub matched: u64,
    /// How many match but are left out, since their books are not kept.
    pub unfollowed: u64,
    /// The tags that were asked for and that nothing has.
    #[serde(default)]
    pub unknown_tags: Vec<String>,
    /// How many are listed; not of events.
    #[serde(default)]
    pub listed: Option<u64>,
    /// Whether the server has read the venue's listing to its end: while it has not, there
    /// may be more that the venue lists.
    #[serde(default)]
    pub complete: Option<bool>,
    /// The order.
    pub sort: String,
}

/// A list, of which the next page is asked for when it is needed.
///
/// Most orders move, and the server keeps the order of a moment for about a minute. Where
/// that is over before the list is read to its end, it is begun again in the order of
/// another moment: what came before does not come again, and
/// [`begun_again`](Self::begun_again) says so.
pub struct Pages<T> {
    client: Client,
    query: Query,
    waiting: VecDeque<T>,
    /// Where the next page begins; `None` of the first one.
    cursor: Option<String>,
    is_over: bool,
    given: HashSet<String>,
    begun_again: u32,
    head: Option<Head>,
}

#[derive(Deserialize)]
struct Page {
    next_cursor: Option<String>,
    #[serde(flatten)]
    head: Head,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

impl<T: Listed> Pages<T> {
    pub(super) fn new(client: Client, query: Query) -> Self {
        Self {
            client,
            query,
            waiting: VecDeque::new(),
            cursor: None,
            is_over: false,
            given: HashSet::new(),
            begun_again: 0,
            head: None,
        }
    }

    /// The next one; `None` after the last. May be dropped and called again, also after an
    /// error: nothing is lost.
    ///
    /// # Errors
    /// [`ReadError`] says why there is no answer.
    pub async fn next(&mut self) -> Result<Option<T>, ReadError> {
        loop {
            while let Some(found) = self.waiting.pop_front() {
                if self.given.insert(found.name().to_owned()) {
                    return Ok(Some(found));
                }
            }
            if self.is_over {
                return Ok(None);
            }
            self.turn().await?;
        }
    }

    /// All that are left.
    ///
    /// # Errors
    /// [`ReadError`] says why there is no answer.
    pub async fn all(mut self) -> Result<Vec<T>, ReadError> {
        let mut all = Vec::new();
        while let Some(found) = self.next().await? {
            all.push(found);
        }
        Ok(all)
    }

    /// What the last page said of the whole list; `None` before the first.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// How often the list was begun again, in the order of another moment.
    pub fn begun_again(&self) -> u32 {
        self.begun_again
    }

    /// Asks for the next page.
    async fn turn(&mut self) -> Result<(), ReadError> {
        let query = self.query.at(self.cursor.as_deref());
        let path = with_query(T::ROUTE, &query);
        let mut page: Page = match self.client.get(T::ROUTE, &path).await {
            Ok(page) => page,
            Err(ReadError::Refused(problem)) if problem.is("moment_expired") => {
                self.begun_again += 1;
                if self.begun_again >= MOST_BEGUN {
                    return Err(ReadError::Restless(self.begun_again));
                }
                self.cursor = None;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let list = page.rest.remove(T::KEY).unwrap_or_default();
        let list: Vec<T> =
            serde_json::from_value(list).map_err(|source| ReadError::Unreadable {
                route: T::ROUTE,
                source,
            })?;
        self.waiting.extend(list);
        self.is_over = page.next_cursor.is_none();
        self.cursor = page.next_cursor;
        self.head = Some(page.head);
        Ok(())
    }
}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("query", &self.query)
            .field("begun_again", &self.begun_again)
            .finish_non_exhaustive()
    }
}
