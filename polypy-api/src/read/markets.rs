//! `/v1/markets`: the markets of the catalogue that are asked for, a page at a time.

use std::sync::Arc;

use polypy_core::catalogue::CatalogueView;
use polypy_core::{MarketEntry, MarketNumber, Timestamp};
use polypy_http::{Answer as Stated, Route};
use serde::Serialize;

use super::Reads;
use super::book::NOT_MODIFIED;
use super::lists::{Items, Lists, Page};
use super::order::Key;
use super::query::{self, Listing};
use super::render::{MarketObject, Text, Tops, is_followed};

const PATH: &str = "/v1/markets";
const SUMMARY: &str = "the markets that are asked for, followed or not, a page at a time";
const ANSWERS: &[Stated] = &[
    Stated::json("markets", "a page of markets"),
    NOT_MODIFIED,
    Stated::error(410, "moment_expired: the order is not kept any more"),
];
/// Lists computed at once.
const THREADS: u32 = 2;

/// The route.
pub(crate) fn route(lists: &Arc<Lists>) -> Route {
    let markets = Arc::new(Markets(Arc::clone(&lists.reads)));
    let (lists, ready) = (Arc::clone(lists), Arc::clone(lists));
    let first = Arc::clone(&markets);
    Route::kept(
        PATH,
        SUMMARY,
        THREADS,
        move |call| ready.ready(&*first, call),
        move |call| lists.compute(&*markets, call),
    )
    .with_parameters(&query::MARKETS)
    .answers(ANSWERS)
}

/// Lists of markets.
pub(crate) struct Markets(pub(crate) Arc<Reads>);

#[derive(Serialize)]
struct Body<'a> {
    markets: Vec<MarketObject<'a>>,
    next_cursor: Option<String>,
    matched: usize,
    unfollowed: usize,
    unknown_tags: Vec<String>,
    listed: usize,
    complete: bool,
    sort: &'static str,
    instance: String,
    version: u64,
    figures_version: u64,
    moment_ms: Option<Timestamp>,
    moment: Option<Text<Timestamp>>,
}

impl Items for Markets {
    fn name(&self) -> &'static str {
        "markets"
    }

    fn matching(&self, listing: &Listing, view: &CatalogueView) -> (Vec<(Key, u64)>, usize) {
        let (mut list, mut unfollowed) = (Vec::new(), 0);
        let mut with_books = Vec::new();
        listing.wanted.each(view, self.0.clock.now(), |found, fit| {
            let followed = is_followed(found.entry);
            if listing.followed.is_some_and(|wanted| wanted != followed) {
                unfollowed += usize::from(!followed);
                return;
            }
            if listing.is_of_books() {
                with_books.push((found.entry, fit));
            } else {
                list.push((listing.sort.key(found.entry, fit), found.entry.number.get()));
            }
        });
        if listing.is_of_books() {
            let entries: Vec<_> = with_books.iter().map(|(entry, _)| *entry).collect();
            let standing = self.0.standing(view, &entries);
            let rows = with_books.into_iter().filter_map(|(entry, fit)| {
                let number = entry.number.get();
                let stands_so = |state| standing.has(state, number);
                if !listing.state.is_none_or(stands_so) {
                    return None;
                }
                let key = if listing.sort.is_of_books() {
                    standing.key(listing.sort, number)
                } else {
                    listing.sort.key(entry, fit)
                };
                Some((key, number))
            });
            list.extend(rows);
        }
        (list, unfollowed)
    }

    fn write(&self, listing: &Listing, page: &Page<'_>) -> serde_json::Result<Vec<u8>> {
        let view = page.view;
        let numbers = page.numbers.iter().map(|number| MarketNumber::new(*number));
        // Those that were forgotten meanwhile are left out.
        let entries: Vec<&MarketEntry> = numbers.filter_map(|number| view.get(number)).collect();
        let tops = listing
            .tops
            .then(|| Tops::read(&*self.0.books, entries.iter().copied()));
        let objects = entries.into_iter().enumerate();
        let body = Body {
            markets: objects
                .map(|(at, entry)| MarketObject {
                    entry,
                    tags: view.tags(),
                    tops: tops.as_ref().map(|tops| tops.of(at)),
                    fields: listing.fields,
                })
                .collect(),
            next_cursor: page.next_cursor(),
            matched: page.matched,
            unfollowed: page.unfollowed,
            unknown_tags: listing.wanted.unknown_tags(page.view),
            listed: view.len(),
            complete: view.is_complete(),
            sort: listing.sort.name(),
            instance: page.instance.to_string(),
            version: view.version(),
            figures_version: view.figures_version(),
            moment_ms: page.moment,
            moment: page.moment.map(Text),
        };
        let mut json = serde_json::to_vec(&body)?;
        json.push(b'\n');
        Ok(json)
    }
}
