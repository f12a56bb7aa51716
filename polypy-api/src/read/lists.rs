//! Lists of the catalogue, a page at a time: which page is asked for, from which order, and
//! what is kept for others who ask the same.
//!
//! | the order | a page begins behind | what stays meanwhile |
//! |---|---|---|
//! | holds still (`listed`, `end`) | the key of the last one | comes once |
//! | moves (the others) | a place in the list as it was at a moment | comes once, while the moment is kept |

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use polypy_core::Timestamp;
use polypy_core::catalogue::CatalogueView;
use polypy_http::header::HeaderValue;
use polypy_http::{CachedBody, Call, Reply, StatusCode};

use super::cursor::{ListName, PageEnd, Place};
use super::kept::{Answer, KeptAnswers, Versions};
use super::moment::{Moment, Moments};
use super::order::{Key, Ranked, Sort};
use super::query::Listing;
use super::{Reads, has_it, not_modified};
use crate::cursor::Instance;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Of the memory for answers, the part that moments may hold, and kept answers.
const PART: usize = 8;
const MOST_KEPT: usize = 8 << 20;

/// What is listed: markets, or events.
pub(crate) trait Items: Send + Sync {
    /// What tells its lists from others.
    fn name(&self) -> &'static str;

    /// All that match, each with its place in the order and its number; and how many were
    /// left out because they are not followed.
    fn matching(&self, listing: &Listing, view: &CatalogueView) -> (Vec<(Key, u64)>, usize);

    /// The answer as JSON.
    fn write(&self, listing: &Listing, page: &Page<'_>) -> serde_json::Result<Vec<u8>>;
}

/// What all lists share.
pub(crate) struct Lists {
    pub(crate) reads: Arc<Reads>,
    moments: Moments,
    kept: KeptAnswers,
    /// Names moments by what they show: the same moment has the same name.
    hasher: RandomState,
    /// The catalogue's versions, and when they were first seen.
    seen: Mutex<(Versions, Timestamp)>,
}

/// The numbers of a page, and what is said of the list.
pub(crate) struct Page<'a> {
    pub(crate) view: &'a CatalogueView,
    pub(crate) numbers: Vec<u64>,
    pub(crate) matched: usize,
    pub(crate) unfollowed: usize,
    pub(crate) instance: Instance,
    pub(crate) next: Option<Place>,
    /// When the order was made, if it moves.
    pub(crate) moment: Option<Timestamp>,
}

impl Page<'_> {
    /// Asks for the next page.
    pub(crate) fn next_cursor(&self) -> Option<String> {
        let instance = self.instance;
        let next = self.next.map(|place| PageEnd { instance, place });
        next.map(|end| end.to_string())
    }
}

/// Why there is no such page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PageError {
    /// The order is not kept any more.
    Expired,
    /// The place was counted by another process.
    OtherProcess,
    /// The cursor is of another list.
    OtherList,
}

impl Lists {
    pub(crate) fn new(reads: &Arc<Reads>) -> Self {
        let part = reads.answer_memory / PART;
        Self {
            reads: Arc::clone(reads),
            moments: Moments::new(part),
            kept: KeptAnswers::new(part.min(MOST_KEPT)),
            hasher: RandomState::new(),
            seen: Mutex::new(((0, 0), reads.clock.now())),
        }
    }

    /// The answer, if there is one that is good enough: the catalogue is not even looked at.
    pub(crate) fn ready(&self, items: &dyn Items, call: &Call) -> Option<Reply> {
        let listing = match Listing::read(items.name(), call.query()) {
            Ok(listing) => listing,
            Err(error) => return Some(call.bad_parameter(error.name, &error.to_string())),
        };
        let answer = self.kept.fresh(&listing.key(), Instant::now())?;
        answer.is_ready(call).then(|| answer.reply(call))
    }

    /// The answer.
    pub(crate) fn compute(&self, items: &dyn Items, call: &Call) -> Reply {
        let listing = match Listing::read(items.name(), call.query()) {
            Ok(listing) => listing,
            Err(error) => return call.bad_parameter(error.name, &error.to_string()),
        };
        let now = Instant::now();
        let key = listing.key();
        if let Some(answer) = self.kept.fresh(&key, now) {
            return answer.reply(call);
        }
        let view = self.reads.listed.view();
        let versions = (view.version(), view.figures_version());
        if let Some(answer) = self.kept.right(&key, versions, now) {
            return answer.reply(call);
        }
        let etag = listing.is_lasting().then(|| {
            let (instance, (facts, figures)) = (self.reads.instance, versions);
            format!("W/\"{instance:x}-{facts}-{figures}\"")
        });
        if let Some(etag) = etag.as_ref().filter(|etag| has_it(call.headers(), etag)) {
            return not_modified(etag);
        }
        let page = match self.page(items, &listing, &view, now) {
            Ok(page) => page,
            Err(PageError::Expired) => {
                let text = "this order is not kept any more: begin again without cursor";
                return call.problem(StatusCode::GONE, "moment_expired", text);
            }
            // In `listed` and `end` as well: each process gives its own numbers.
            Err(PageError::OtherProcess) => {
                let text = "the cursor is of another process, which listed the markets in its own \
                            order (this one was restarted, or there are several): begin again \
                            without cursor";
                return call.problem(StatusCode::GONE, "moment_expired", text);
            }
            Err(PageError::OtherList) => {
                let text = "cursor: it is of another list: leave it out, or ask with the \
                            parameters with which it was given";
                return call.bad_parameter("cursor", text);
            }
        };
        let json = match items.write(&listing, &page) {
            Ok(json) => json,
            Err(error) => {
                tracing::error!(%error, "a list could not be written as json");
                let text = "the list could not be written as JSON";
                return call.error(StatusCode::INTERNAL_SERVER_ERROR, text);
            }
        };
        // Prices are old within a moment.
        if listing.tops {
            return Reply::bytes(StatusCode::OK, JSON, json);
        }
        let Some(share) = call.memory().take(json.len()) else {
            let text = "too many large answers are being sent";
            let reply = call.error(StatusCode::SERVICE_UNAVAILABLE, text);
            return reply.with_retry_after(1);
        };
        let answer = Arc::new(Answer {
            body: CachedBody::new(json, share, call.memory()),
            versions,
            etag,
        });
        let reply = answer.reply(call);
        self.kept.keep(&key, &answer, now);
        reply
    }

    /// The page that is asked for.
    pub(crate) fn page<'a>(
        &self,
        items: &dyn Items,
        listing: &Listing,
        view: &'a CatalogueView,
        now: Instant,
    ) -> Result<Page<'a>, PageError> {
        let instance = Instance(self.reads.instance);
        let place = match listing.after {
            Some(PageEnd {
                instance: other, ..
            }) if other != instance => {
                return Err(PageError::OtherProcess);
            }
            after => after.map(|after| after.place),
        };
        match (place, listing.sort.holds_still()) {
            (None, false) => {
                let moment = self.moment(items, listing, view, self.name(listing, view));
                if moment.len() > listing.limit {
                    self.moments.keep(Arc::clone(&moment), now);
                }
                Ok(page_of(&moment, 0, listing.limit, view, instance))
            }
            (Some(Place::Moment { id, position }), false) => {
                let moment = match self.moments.get(id, now) {
                    Some(moment) => moment,
                    // It would be the same one again.
                    None if listing.has_lasting_order() && id == self.name(listing, view) => {
                        let moment = self.moment(items, listing, view, id);
                        self.moments.keep(Arc::clone(&moment), now);
                        moment
                    }
                    None => return Err(PageError::Expired),
                };
                if *moment.query != *listing.text {
                    return Err(PageError::OtherList);
                }
                Ok(page_of(&moment, position, listing.limit, view, instance))
            }
            (None | Some(Place::Listed { .. } | Place::End { .. }), true) => {
                let (mut list, unfollowed) = items.matching(listing, view);
                let matched = list.len();
                let name = ListName::of(&listing.text);
                if let Some(last) = last_of(listing.sort, name, place)? {
                    list.retain(|place| *place > last);
                }
                let mut rest = Ranked::new(list, listing.limit);
                let left = rest.len();
                let page = rest.page(0, listing.limit);
                let last = page.last().filter(|_| left > page.len());
                Ok(Page {
                    view,
                    instance,
                    next: last.and_then(|(key, number)| listing.sort.place(name, *key, *number)),
                    numbers: page.iter().map(|(_, number)| *number).collect(),
                    matched,
                    unfollowed,
                    moment: None,
                })
            }
            _ => Err(PageError::OtherList),
        }
    }

    /// What the list of a moment is called: where equal versions mean an equal list, by what
    /// it shows.
    fn name(&self, listing: &Listing, view: &CatalogueView) -> u64 {
        if !listing.has_lasting_order() {
            return fastrand::u64(..);
        }
        let versions = (view.version(), view.figures_version());
        self.hasher.hash_one((&listing.text, versions))
    }

    /// All that match, in the order of this moment.
    fn moment(
        &self,
        items: &dyn Items,
        listing: &Listing,
        view: &CatalogueView,
        id: u64,
    ) -> Arc<Moment> {
        let (list, unfollowed) = items.matching(listing, view);
        Arc::new(Moment {
            id,
            query: listing.text.as_str().into(),
            at: self.time_of(listing, view),
            unfollowed,
            ranked: Mutex::new(Ranked::new(list, listing.limit)),
        })
    }

    /// Since when the list is as it is, as far as that is known.
    fn time_of(&self, listing: &Listing, view: &CatalogueView) -> Timestamp {
        let now = self.reads.clock.now();
        if !listing.has_lasting_order() {
            return now;
        }
        let versions = (view.version(), view.figures_version());
        let mut seen = self.seen.lock();
        if seen.0 < versions {
            *seen = (versions, now);
        }
        // Another thread may have looked at a newer catalogue meanwhile.
        seen.1
    }
}

/// A page of a list at a moment.
fn page_of<'a>(
    moment: &Moment,
    position: usize,
    limit: usize,
    view: &'a CatalogueView,
    instance: Instance,
) -> Page<'a> {
    let page = moment.page(position, limit);
    let end = position.saturating_add(page.len());
    let matched = moment.len();
    Page {
        view,
        instance,
        numbers: page.into_iter().map(|(_, number)| number).collect(),
        matched,
        unfollowed: moment.unfollowed,
        next: (end < matched).then_some(Place::Moment {
            id: moment.id,
            position: end,
        }),
        moment: Some(moment.at),
    }
}

/// The last one of the page before, in a stable order.
fn last_of(
    sort: Sort,
    name: ListName,
    place: Option<Place>,
) -> Result<Option<(Key, u64)>, PageError> {
    let (list, last) = match (place, sort) {
        (None, _) => return Ok(None),
        (Some(Place::Listed { list, number }), Sort::Listed) => (list, (number, number)),
        (Some(Place::End { list, key, number }), Sort::End) => (list, (key, number)),
        _ => return Err(PageError::OtherList),
    };
    if list == name {
        Ok(Some(last))
    } else {
        Err(PageError::OtherList)
    }
}

#[cfg(test)]
#[path = "lists_tests.rs"]
mod tests;
