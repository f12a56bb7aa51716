//! REST books, and the same shape on the wire.

use super::*;

fn rest_book(asset: &str) -> String {
    format!(
        r#"{{"market":"{MARKET}","asset_id":"{asset}","timestamp":"1791199970000","hash":"{HASH}","bids":[{{"price":"0.47","size":"250"}}],"asks":[],"min_order_size":"5","tick_size":"0.01","neg_risk":true,"last_trade_price":"0.500"}}"#
    )
}

#[test]
fn a_book_says_more_by_rest() {
    let book = decode_book(rest_book(YES).as_bytes(), &interner()).unwrap();
    assert_eq!(book.info.asset_id.as_str(), YES);
    assert_eq!(book.min_order_size.unwrap().as_str(), "5");
    assert_eq!(book.neg_risk, Some(true));
    assert_eq!(book.bids.len(), 1);
}

#[test]
fn an_object_without_event_type_is_a_book_if_it_looks_like_one() {
    let run1 = run(rest_book(YES));
    assert_eq!(run1.stats.events["book"], 1);
    assert_eq!(
        run1.only_book(),
        decode_book(rest_book(YES).as_bytes(), &interner()).unwrap()
    );
    let run2 = run(format!(r#"{{"asset_id":"{YES}","bids":[]}}"#));
    assert_eq!(run2.causes(), BTreeMap::from([("missing_field", 1)]));
    // What it was is unknown, so both tokens of the market are in doubt.
    assert_eq!(run2.lost(), [YES, NO]);
}

#[test]
fn one_bad_book_costs_none_of_the_others() {
    let bad = rest_book(YES).replace("0.47", "4.7");
    let body = format!(
        "[{},{bad},null,{},{},{{]}},{}]\n",
        rest_book(YES),
        rest_book(STRANGER),
        rest_book(NO),
        rest_book(UP)
    );
    let books = decode_books(body.as_bytes(), &interner()).unwrap();
    let ids: Vec<_> = books
        .books
        .iter()
        .map(|book| book.info.asset_id.as_str())
        .collect();
    assert_eq!(ids, [YES, NO, UP]);
    let causes: Vec<_> = books.refused.iter().map(WireError::name).collect();
    assert_eq!(
        causes,
        [
            "decimal_out_of_range",
            "not_an_object",
            "unknown_asset",
            "json"
        ]
    );
}

#[test]
fn bodies_that_are_no_books_are_errors() {
    let error = |body: &[u8]| decode_book(body, &interner()).unwrap_err().name();
    assert_eq!(
        error(br#"{"error":"No orderbook exists"}"#),
        "missing_field"
    );
    assert_eq!(error(b"<html>"), "json");
    assert_eq!(error(b"\xff"), "utf8");
    assert_eq!(error(b"[]"), "not_an_object");
    assert_eq!(error(rest_book(STRANGER).as_bytes()), "unknown_asset");
    let books = |body: &[u8]| decode_books(body, &interner());
    assert!(books(br#"{"error":"Invalid payload"}"#).is_err());
    assert!(books(b"bad gateway").is_err());
    assert_eq!(books(b"[]").unwrap().books, []);
    let cut = format!("[{},{}", rest_book(YES), &rest_book(NO)[..90]);
    let cut = books(cut.as_bytes()).unwrap();
    assert_eq!((cut.books.len(), cut.refused.len()), (1, 1));
    assert_eq!(books(rest_book(YES).as_bytes()).unwrap().books.len(), 1);
}
