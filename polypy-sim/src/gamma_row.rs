//! One market or event as Gamma writes it, with the field types observed there:
//! lists of outcomes, prices and token ids are strings that hold JSON, ticks and
//! sizes are numbers, volumes both.

use polypy_core::{Side, Timestamp};
use serde_json::{Number, Value, json};

use crate::gamma_view::View;
use crate::subject::Tag;
use crate::venue::Phase;

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
                "negRiskAugmented": event.neg_risk_augmented,
            }]),
        );
        if let Some(tags) = view.tags(market) {
            row.insert("tags".to_owned(), tags_of(tags));
        }
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
        .filter(|market| view.is_listed(*market))
        .collect();
    let closed = siblings.iter().all(|market| view.is_closed(*market));
    let markets: Vec<Value> = siblings
        .iter()
        .map(|market| bare_market(view, *market))
        .collect();
    let figures = siblings.iter().map(|market| view.figures(*market));
    let (volume, volume_day, liquidity) = figures.fold((0, 0, 0), |sums, own| {
        let (volume, volume_day, liquidity) = sums;
        (
            volume + own.volume,
            volume_day + own.volume_day,
            liquidity + own.liquidity,
        )
    });
    json!({
        "id": event.id.to_string(),
        "ticker": event.slug,
        "slug": event.slug,
        "title": event.title,
        "description": "",
        "startDate": date(listing.created),
        "creationDate": date(listing.created),
        "endDate": date(view.end(first)),
        "active": true,
        "closed": closed,
        "archived": false,
        "new": false,
        "featured": false,
        "restricted": true,
        "liquidity": dollars(liquidity),
        "volume": dollars(volume),
        "volume24hr": dollars(volume_day),
        "enableOrderBook": true,
        "negRisk": event.neg_risk,
        "negRiskAugmented": event.neg_risk_augmented,
        "markets": markets,
        "tags": tags_of(&listing.tags),
    })
}

/// A market row without the event it belongs to and without tags, as events hold them.
fn bare_market(view: &View<'_>, market: usize) -> Value {
    let (closed, slug, end) = (view.is_closed(market), view.slug(market), view.end(market));
    let (figures, condition_id) = (view.figures(market), view.condition_id(market));
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
    let first = market.tokens.first();
    let changed = first.map_or(listing.created, |token| token.changed);
    let mut row = json!({
        "id": listing.id.to_string(),
        "question": listing.question,
        "conditionId": condition_id,
        "slug": slug,
        "resolutionSource": "",
        "endDate": date(end),
        "liquidity": dollars(figures.liquidity).to_string(),
        "startDate": date(listing.created),
        "description": "",
        "outcomes": json_in_string(&outcomes),
        "outcomePrices": json_in_string(&prices),
        "volume": dollars(figures.volume).to_string(),
        "active": true,
        "closed": closed,
        "createdAt": date(listing.created),
        "updatedAt": date(changed),
        "new": false,
        "featured": false,
        "archived": false,
        "restricted": true,
        "groupItemTitle": listing.group.as_ref().map(|group| &group.title),
        "groupItemThreshold": listing.group.as_ref().map_or(0, |group| group.order).to_string(),
        "enableOrderBook": true,
        "orderPriceMinTickSize": number(market.tick_size.as_str()),
        "orderMinSize": number(listing.min_order_size.as_str()),
        "volumeNum": dollars(figures.volume),
        "liquidityNum": dollars(figures.liquidity),
        "endDateIso": date(end).get(..10),
        "startDateIso": date(listing.created).get(..10),
        "volume24hr": dollars(figures.volume_day),
        "clobTokenIds": json_in_string(&token_ids),
        "umaResolutionStatuses": "[]",
        "acceptingOrders": trading,
        "acceptingOrdersTimestamp": date(listing.created),
        "negRisk": listing.neg_risk,
        "negRiskOther": listing.group.as_ref().is_some_and(|group| group.is_other),
        "makerBaseFee": 1000,
        "takerBaseFee": 1000,
        "bestBid": top(Side::Bid).unwrap_or_else(|| json!(0)),
        "bestAsk": top(Side::Ask).unwrap_or_else(|| json!(1)),
        "feesEnabled": true,
    });
    if closed {
        row["closedTime"] = closed_time(changed).into();
    }
    if let Value::Object(fields) = &mut row
        && !market.last_trade_price.is_empty()
    {
        let price = number(market.last_trade_price.as_str());
        fields.insert("lastTradePrice".to_owned(), price);
    }
    row
}

fn tags_of(tags: &[&Tag]) -> Value {
    let tag = |tag: &&Tag| {
        let id = tag.id.to_string();
        json!({ "id": id, "label": tag.label, "slug": tag.slug })
    };
    tags.iter().map(tag).collect()
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

/// When a market was settled, as the venue writes that date and no other.
fn closed_time(stamp: Timestamp) -> String {
    let date = stamp.to_string();
    let (day, time) = (date.get(..10), date.get(11..19));
    format!(
        "{} {}+00",
        day.unwrap_or_default(),
        time.unwrap_or_default()
    )
}

/// RFC 3339; whole seconds without their fraction.
fn date(stamp: Timestamp) -> String {
    stamp.to_string().replace(".000Z", "Z")
}
