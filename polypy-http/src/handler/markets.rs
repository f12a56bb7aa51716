//! `GET /markets`: the markets of which at least one token is subscribed.
//!
//! All of them by default. `limit` and `offset` cut a page out of the list in
//! the source's order, which may change between two requests.

use hyper::StatusCode;

use crate::call::Call;
use crate::encoding::wants_gzip;
use crate::handler;
use crate::market_list::{MarketList, NoList, Page};
use crate::parameter::{Kind, Parameter};
use crate::reply::Reply;

/// Largest accepted `limit` and `offset`: the venue lists some 46,500 active
/// markets, so this is "all" with room for growth.
const MOST: usize = 1_000_000;
/// When a list that found no room is worth asking for again.
const RETRY_SECONDS: u32 = 5;

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "limit",
        Kind::Whole {
            least: 1,
            most: MOST,
        },
        "markets in the answer at most",
    )
    .or("all"),
    Parameter::new(
        "offset",
        Kind::Whole {
            least: 0,
            most: MOST,
        },
        "markets to leave out before",
    )
    .or("0"),
];

/// The answer, unless a list has to be made for it.
pub(super) fn ready(markets: Option<&MarketList>, call: &Call) -> Option<Reply> {
    let page = page(call);
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
    let page = page(call);
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

fn page(call: &Call) -> Page {
    Page {
        offset: call.query.whole("offset").unwrap_or(0),
        limit: call.query.whole("limit").unwrap_or(MOST),
    }
}
