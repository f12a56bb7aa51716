//! `/v1/tokens`.

use polypy_core::Component as _;
use serde_json::{Value, json};

use super::markets::Server;
use crate::read::testing::row;

fn ids(list: &Value) -> Vec<&str> {
    let tokens = list.as_array().unwrap().iter();
    tokens
        .map(|one| one["token_id"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn tokens_are_found_by_the_beginning_of_their_ids() {
    let server = Server::start().await;
    // Of the tokens 12341 and 12342, 12351 and 12352, and so on.
    server.listed.take([1_239, 1_234, 1_235, 777].map(row));
    for number in [1, 2, 3] {
        server.listed.follow(number);
    }
    let found = server.get("/v1/tokens?begins=123").await;
    assert_eq!(ids(&found["tokens"]), ["12341", "12342", "12351", "12352"]);
    assert_eq!(
        (&found["matched"], &found["nearest"]),
        (&json!(4), &json!([]))
    );
    assert_eq!(
        found["tokens"][0],
        json!({
            "token_id": "12341", "outcome": "Yes",
            "condition_id": format!("0x{:064x}", 1_234), "slug": "does-1234-hold",
            "question": "Does 1234 hold?", "followed": true,
        })
    );
    let first = server.get("/v1/tokens?begins=123&limit=1").await;
    assert_eq!(
        (ids(&first["tokens"]), &first["matched"]),
        (vec!["12341"], &json!(4))
    );
    let all = server.get("/v1/tokens?begins=1239&followed=any").await;
    assert_eq!(ids(&all["tokens"]), ["12391", "12392"]);
    assert_eq!(all["tokens"][0]["followed"], false);
    // What is longer than an id begins none.
    let longer = server.get("/v1/tokens?begins=123419").await;
    assert_eq!(longer["matched"], 0);
    assert_eq!(
        ids(&longer["nearest"]),
        ["12341", "12342", "12351", "12352"]
    );
    let near = server.get("/v1/tokens?begins=12359&limit=3").await;
    assert_eq!(ids(&near["nearest"]), ["12351", "12352", "12341"]);
    // Two digits are the same by chance.
    let none = server.get("/v1/tokens?begins=1299").await;
    assert_eq!(none, json!({ "tokens": [], "matched": 0, "nearest": [] }));
    for target in [
        "/v1/tokens",
        "/v1/tokens?begins=",
        "/v1/tokens?begins=0x1",
        "/v1/tokens?begins=1&limit=101",
    ] {
        let (status, body) = server.refused(target).await;
        assert_eq!(status, 400, "{target}: {body}");
    }
    server.http.stop().await;
}
