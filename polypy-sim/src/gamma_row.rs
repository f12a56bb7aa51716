//! One market or event as Gamma writes it, with the field types observed there:
//! lists of outcomes, prices and token ids are strings that hold JSON, ticks and
//! sizes are numbers, volumes both.

use polypy_core::{Side, Timestamp};
use serde_json::{Map, Number, Value, json};

use crate::gamma::View;
use crate::venue::{MarketState, Phase};

/// A market row.
pub(crate) fn market(view: &View<'_>, market: usize) -> Value {
    let mut row = bare_market(view, market);
    if let Value::Object(row) = &mut row {
        let event = &view.venue.markets[market].listing.event;
        row.insert(
            "events".to_owned(),
            json!([{
                "id": event.id.to_string(),
                "ticker": event.slug,
                "slug": event.slug,
                "title": event.title,
                "active": true,
                "closed": view.is_closed(market),
                "negRisk": event.neg_risk,
            }]),
        );
    }
    row
}

/// The event a market belongs to, with all of its markets that are listed.
pub(crate) fn event(view: &View<'_>, first: usize) -> Value {
    let states = &view.venue.markets;
    let listing = &states[first].listing;
    let event = &listing.event;
    // The markets of an event are announced together, so they are neighbours.
    let siblings: Vec<usize> = (first..states.len())
        .take_while(|market| states[*market].listing.event.id == event.id)
        .filter(|market| view.now >= states[*market].listed_at)
        .collect();
    let closed = siblings.iter().all(|market| view.is_closed(*market));
    let markets: Vec<Value> = siblings
        .iter()
        .map(|market| bare_market(view, *market))
        .collect();
    let siblings: Vec<&MarketState> = siblings.iter().map(|market| &states[*market]).collect();
    json!({
        "id": event.id.to_string(),
        "ticker": event.slug,
        "slug": event.slug,
        "title": event.title,
        "description": "",
        "startDate": date(listing.created),
        "creationDate": date(listing.created),
        "endDate": date(listing.end),
        "active": true,
        "closed": closed,
        "archived": false,
        "new": false,
        "featured": false,
        "restricted": true,
        "liquidity": dollars(siblings.iter().map(|market| market.listing.liquidity).sum()),
        "volume": dollars(siblings.iter().map(|market| market.listing.volume).sum()),
        "enableOrderBook": true,
        "negRisk": event.neg_risk,
        "markets": markets,
        "tags": [{ "id": "1", "label": listing.tag, "slug": listing.tag.to_ascii_lowercase() }],
    })
}

/// A market row without the event it belongs to, as events hold them.
fn bare_market(view: &View<'_>, market: usize) -> Value {
    let closed = view.is_closed(market);
    let market = &view.venue.markets[market];
    let listing = &market.listing;
    let trading = market.is_live();
    let token_ids: Vec<&str> = listing
        .tokens
        .iter()
        .map(|token| token.token_id.as_str())
        .collect();
    let outcomes: Vec<&str> = listing.tokens.iter().map(|token| &*token.outcome).collect();
    let prices: Vec<String> = match market.phase {
        Phase::Trading => market
            .tokens
            .iter()
            .map(|token| {
                token
                    .book
                    .mid()
                    .map_or("0.5".to_owned(), |mid| mid.to_string())
            })
            .collect(),
        Phase::Settled { winner, .. } => (0..market.tokens.len())
            .map(|outcome| if outcome == winner { "1" } else { "0" }.to_owned())
            .collect(),
    };
    let top = |side| {
        let levels = market.tokens.first().map(|token| &token.book)?;
        match side {
            Side::Bid => levels.best_bid(),
            Side::Ask => levels.best_ask(),
        }
        .map(|level| number(&level.price.to_string()))
    };
    let mut row = json!({
        "id": listing.id.to_string(),
        "question": listing.question,
        "conditionId": listing.condition_id.as_str(),
        "slug": listing.slug,
        "resolutionSource": "",
        "endDate": date(listing.end),
        "liquidity": dollars(listing.liquidity).to_string(),
        "startDate": date(listing.created),
        "description": "",
        "outcomes": json_in_string(&outcomes),
        "outcomePrices": json_in_string(&prices),
        "volume": dollars(listing.volume).to_string(),
        "active": true,
        "closed": closed,
        "createdAt": date(listing.created),
        "updatedAt": date(market.tokens.first().map_or(listing.created, |token| token.changed)),
        "new": false,
        "featured": false,
        "archived": false,
        "restricted": true,
        "groupItemTitle": listing.group_title,
        "enableOrderBook": true,
        "orderPriceMinTickSize": number(market.tick_size.as_str()),
        "orderMinSize": number(listing.min_order_size.as_str()),
        "volumeNum": dollars(listing.volume),
        "liquidityNum": dollars(listing.liquidity),
        "endDateIso": date(listing.end).get(..10),
        "startDateIso": date(listing.created).get(..10),
        "volume24hr": dollars(listing.volume / 10),
        "clobTokenIds": json_in_string(&token_ids),
        "umaResolutionStatuses": "[]",
        "acceptingOrders": trading,
        "acceptingOrdersTimestamp": date(listing.created),
        "negRisk": listing.neg_risk,
        "makerBaseFee": 1000,
        "takerBaseFee": 1000,
        "bestBid": top(Side::Bid).unwrap_or_else(|| json!(0)),
        "bestAsk": top(Side::Ask).unwrap_or_else(|| json!(1)),
        "feesEnabled": true,
    });
    if let Value::Object(fields) = &mut row {
        if !market.last_trade_price.is_empty() {
            let price = number(market.last_trade_price.as_str());
            fields.insert("lastTradePrice".to_owned(), price);
        }
        tag(fields, listing.tag);
    }
    row
}

fn tag(fields: &mut Map<String, Value>, tag: &str) {
    let slug = tag.to_ascii_lowercase();
    fields.insert(
        "tags".to_owned(),
        json!([{ "id": "1", "label": tag, "slug": slug }]),
    );
}

/// A list as Gamma writes it: a string that holds a JSON array, spaced.
fn json_in_string<T: serde::Serialize>(items: &[T]) -> String {
    let texts: Vec<String> = items.iter().map(|item| json!(item).to_string()).collect();
    format!("[{}]", texts.join(", "))
}

/// A decimal text as a JSON number.
fn number(text: &str) -> Value {
    let value = text.parse::<f64>().ok();
    match text.parse::<u64>() {
        Ok(whole) => whole.into(),
        Err(_) => value
            .and_then(Number::from_f64)
            .map_or(Value::Null, Value::Number),
    }
}

/// Cents as dollars.
fn dollars(cents: u64) -> Value {
    number(&format!("{}.{:02}", cents / 100, cents % 100))
}

/// RFC 3339; whole seconds without their fraction.
fn date(stamp: Timestamp) -> String {
    stamp.to_string().replace(".000Z", "Z")
}
