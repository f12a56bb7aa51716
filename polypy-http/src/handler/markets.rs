//! `GET /markets`: the markets of which at least one token is subscribed.
//!
//! All of them by default. `limit` and `offset` cut a page out of the list in
//! the source's order, which may change between two requests.

use hyper::StatusCode;

use crate::encoding::wants_gzip;
use crate::handler;
use crate::market_list::{MarketList, NoList, Page};
use crate::reply::Reply;
use crate::route::Call;

/// Largest accepted `limit` and `offset`: the venue lists some 46,500 active
/// markets, so this is "all" with room for growth.
const MOST: usize = 1_000_000;
/// When a list that found no room is worth asking for again.
const RETRY_SECONDS: u32 = 5;

pub(super) const PARAMETERS: &[&str] = &["limit", "offset"];

/// The answer, unless a list has to be made for it.
pub(super) fn ready(markets: Option<&MarketList>, call: &Call) -> Option<Reply> {
    let page = match page(call) {
        Ok(page) => page,
        Err(refusal) => return Some(*refusal),
    };
    let Some(markets) = markets else {
        return Some(handler::absent("markets", &call.request_id));
    };
    let packed = wants_gzip(&call.headers);
    let listing = markets.ready()?;
    listing
        .is_ready(page, packed)
        .then(|| markets.reply(&listing, page, packed))
}

/// The answer, with a list made for it and for those who come next.
pub(super) fn compute(markets: Option<&MarketList>, call: &Call) -> Reply {
    let page = match page(call) {
        Ok(page) => page,
        Err(refusal) => return *refusal,
    };
    let Some(markets) = markets else {
        return handler::absent("markets", &call.request_id);
    };
    let packed = wants_gzip(&call.headers);
    match markets.list() {
        Ok(listing) => {
            markets.prepare(&listing, page, packed);
            markets.reply(&listing, page, packed)
        }
        Err(NoList::NoRoom) => Reply::error(
            StatusCode::SERVICE_UNAVAILABLE,
            &call.request_id,
            "the list does not fit into http.answer_memory beside what clients still read",
        )
        .with_retry_after(RETRY_SECONDS),
        Err(NoList::Unwritable) => Reply::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            &call.request_id,
            "the list could not be written as JSON",
        ),
    }
}

fn page(call: &Call) -> Result<Page, Box<Reply>> {
    let number = |name, least| call.query.number(name, least..=MOST);
    let page = number("limit", 1).and_then(|limit| Ok((limit, number("offset", 0)?)));
    match page {
        Ok((limit, offset)) => Ok(Page {
            offset: offset.unwrap_or(0),
            limit: limit.unwrap_or(MOST),
        }),
        Err(error) => Err(Box::new(handler::bad_query(&error, &call.request_id))),
    }
}
