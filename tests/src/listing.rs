//! What the exchange lists, as a plain model of a selection reads it, and what a program
//! follows of it.

use std::collections::BTreeSet;

use polypy::PolyPy;
use polypy_core::{AssetId, BookLookup, BookState, ConditionId, Timestamp};
use polypy_sim::SimHandle;
use serde_json::Value;

use crate::http;

/// Every level that a side can have.
const WHOLE: usize = 10_000;

/// An open market of the exchange.
#[derive(Debug, Clone)]
pub struct Row {
    /// What all spellings of its condition id have in common.
    pub id: String,
    /// Its question.
    pub question: String,
    /// Its slug.
    pub slug: String,
    /// The slug of its event.
    pub event: String,
    /// Slugs and labels of its tags.
    pub tags: Vec<String>,
    /// Dollars traded.
    pub volume: f64,
    /// When it ends.
    pub end: Timestamp,
    /// Whether it is part of a negative-risk event.
    pub neg_risk: bool,
    /// Its tokens.
    pub tokens: Vec<AssetId>,
}

impl Row {
    fn read(row: &Value) -> Self {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let tokens: Vec<String> =
            serde_json::from_str(&text(&row["clobTokenIds"])).expect("a list in a text");
        let tags = row["tags"].as_array().expect("tags, as asked for").iter();
        let end = Timestamp::from_rfc3339(&text(&row["endDate"]));
        let tokens = tokens.iter().map(|id| AssetId::new(id).expect("an id"));
        Self {
            id: canonical(&text(&row["conditionId"])),
            question: text(&row["question"]),
            slug: text(&row["slug"]),
            event: text(&row["events"][0]["slug"]),
            tags: tags
                .flat_map(|tag| [text(&tag["slug"]), text(&tag["label"])])
                .collect(),
            volume: row["volumeNum"].as_f64().expect("a number"),
            end: end.expect("a moment"),
            neg_risk: row["negRisk"].as_bool().expect("a flag"),
            tokens: tokens.collect(),
        }
    }
}

fn canonical(id: &str) -> String {
    let id = ConditionId::new(id).expect("a condition id");
    id.canonical().into_owned()
}

/// The open markets of an exchange under no fault, in the order in which it lists them.
///
/// # Panics
/// When it does not answer as it should.
pub async fn listing(sim: &SimHandle) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/markets/keyset?limit=100&include_tag=true&after_cursor={cursor}");
        let page = http::get(sim.local_addr(), &path).await;
        let page = page.expect("an answer").json();
        rows.extend(
            page["markets"]
                .as_array()
                .expect("rows")
                .iter()
                .map(Row::read),
        );
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return rows,
        }
    }
}

/// The markets that a program follows.
pub fn followed(polypy: &PolyPy) -> BTreeSet<String> {
    let conditions = polypy.registry().live_conditions();
    let ids = conditions.iter().map(|id| id.canonical().into_owned());
    ids.collect()
}

/// Of these tokens those that the program does not show as live, with the levels of the
/// exchange; what it shows instead.
///
/// # Panics
/// When the exchange does not know one of them.
pub fn unlike<'a>(
    sim: &SimHandle,
    polypy: &PolyPy,
    tokens: impl Iterator<Item = &'a AssetId>,
) -> Vec<String> {
    let books = polypy.books();
    let difference = |token: &AssetId| {
        let truth = sim.true_book(token).expect("a token of the exchange");
        match books.book(token.as_str(), WHOLE) {
            BookLookup::Found(book) if book.state == BookState::Live => {
                let is_equal = book.bids == truth.bids && book.asks == truth.asks;
                (!is_equal).then(|| format!("{token}: other levels"))
            }
            BookLookup::Found(book) => Some(format!("{token}: {:?}", book.state)),
            _ => Some(format!("{token}: no book")),
        }
    };
    tokens.filter_map(difference).collect()
}
