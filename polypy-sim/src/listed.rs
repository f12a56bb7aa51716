//! How Gamma lists the markets of a recording.

use std::sync::Arc;

use polypy_core::{DecimalText, OrderBook, Timestamp, Token, recording};
use tokio::time::Instant;

use crate::catalogue::Listing;
use crate::exchange::Exchange;
use crate::inference::{self, Terms};
use crate::recording::{RecordedMarket, Recording};
use crate::subject::{EventListing, Group, RECORDED};

impl Exchange {
    /// Opens the recording's markets.
    pub(crate) fn list(&mut self, recording: &Recording) {
        let now = Instant::now();
        for (number, market) in recording.markets.iter().enumerate() {
            let listing = listing(number, market, recording.start);
            let place = self
                .venue
                .add(listing, &OrderBook::default(), recording.start, now);
            self.subscribers.push(Vec::new());
            if let Some((outcome, book)) = &market.first_book {
                let state = &mut self.venue.markets[place];
                let listed = Terms {
                    tick_size: state.listing.tick_size,
                    min_order_size: state.listing.min_order_size,
                    neg_risk: state.listing.neg_risk,
                };
                let Terms {
                    tick_size,
                    min_order_size,
                    neg_risk,
                } = inference::terms(&state.tokens[*outcome].info, book, listed);
                state.listing.tick_size = tick_size;
                state.listing.min_order_size = min_order_size;
                state.listing.neg_risk = neg_risk;
                state.set_tick(tick_size);
            }
        }
        tracing::info!(
            frames = recording.frames,
            markets = recording.markets.len(),
            "recording loaded"
        );
    }
}

/// How Gamma lists a recorded market: as it was followed, or, where the recording does not
/// say how that was, with texts that are made up.
fn listing(number: usize, market: &RecordedMarket, start: Timestamp) -> Listing {
    let id = u64::try_from(number).unwrap_or(u64::MAX) + 1;
    let question = format!("Recorded market {id}");
    let slug = format!("recorded-market-{id}");
    let end = Timestamp::from_millis(start.millis() + 30 * 86_400_000);
    let mut listing = Listing {
        id,
        condition_id: market.condition_id.clone(),
        tokens: market
            .tokens
            .iter()
            .enumerate()
            .map(|(outcome, id)| Token {
                token_id: id.clone(),
                outcome: name(outcome).into(),
            })
            .collect(),
        event: Arc::new(EventListing {
            id,
            slug: slug.clone(),
            title: question.clone(),
            neg_risk: false,
            neg_risk_augmented: false,
        }),
        question,
        slug,
        group: None,
        tags: vec![&RECORDED],
        tick_size: DecimalText::new("0.01").unwrap_or_default(),
        min_order_size: DecimalText::new("5").unwrap_or_default(),
        neg_risk: false,
        created: start,
        end,
        volume: 0,
        opening_price: 500_000,
    };
    if let Some(described) = &market.described {
        describe(&mut listing, described);
    }
    listing
}

fn name(outcome: usize) -> String {
    match outcome {
        0 => "Yes".to_owned(),
        1 => "No".to_owned(),
        more => format!("Outcome {}", more + 1),
    }
}

fn describe(listing: &mut Listing, described: &recording::RecordedMarket) {
    listing.question = described.question.to_string();
    if let Some(slug) = &described.slug {
        listing.slug = slug.to_string();
    }
    for token in &mut listing.tokens {
        let known = &mut described.tokens.iter();
        if let Some(known) = known.find(|known| known.token_id == token.token_id) {
            token.outcome = (*known.outcome).into();
        }
    }
    let decimal = |text: &Option<Box<str>>| DecimalText::new(text.as_deref()?).ok();
    listing.tick_size = decimal(&described.tick_size).unwrap_or(listing.tick_size);
    listing.min_order_size = decimal(&described.min_order_size).unwrap_or(listing.min_order_size);
    listing.neg_risk = described.neg_risk;
    listing.created = described
        .start_ts
        .map_or(listing.created, Timestamp::from_millis);
    listing.end = described.end_ts.map_or(listing.end, Timestamp::from_millis);
    listing.group = described.group.as_ref().map(|title| Group {
        title: title.to_string(),
        order: 0,
        is_other: false,
    });
    if let Some(event) = &described.event {
        let id = event.id.as_ref().and_then(|id| id.parse().ok());
        listing.event = Arc::new(EventListing {
            id: id.unwrap_or(listing.id),
            slug: event.slug.to_string(),
            title: event.title.to_string(),
            neg_risk: event.neg_risk,
            neg_risk_augmented: event.neg_risk_augmented,
        });
    }
}
