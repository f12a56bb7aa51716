//! One thing that is wrong in a history.

use serde_json::{Value, json};

use crate::server::{Mode, TOKENS};

/// Makes one thing wrong, and says what, if there is something of the kind.
pub(crate) fn mutate(
    sent: &mut Vec<Value>,
    mode: Mode,
    random: &mut fastrand::Rng,
) -> Option<String> {
    // What follows the last delta and trade of a token cannot be missed by anyone.
    let last = sent.len() - 2 * TOKENS.len();
    let at = random.usize(0..last);
    let is_delta = sent[at]["type"] == "delta";
    let what = match random.u8(0..16) {
        0 => {
            sent.remove(at);
            "removed"
        }
        1 => {
            sent.insert(at, sent[at].clone());
            "doubled"
        }
        2 => {
            sent.swap(at, at + 1);
            "swapped"
        }
        _ if !is_delta => return None,
        3 => add(&mut sent[at]["epoch"], 1),
        4 => add(&mut sent[at]["epoch"], -1),
        5 => add(&mut sent[at]["prev_sequence"], 1),
        6 => add(&mut sent[at]["prev_sequence"], -1),
        7 => add(&mut sent[at]["sequence"], 1),
        8 => add(&mut sent[at]["sequence"], -1),
        9 => {
            sent[at]["best_bid"] = json!("0.987");
            "best_bid"
        }
        10 => {
            sent[at]["best_ask"] = json!("0.012");
            "best_ask"
        }
        11 => {
            let is_null = sent[at]["conflated"].is_null();
            sent[at]["conflated"] = if is_null {
                json!("interval")
            } else {
                Value::Null
            };
            "conflated"
        }
        12 => {
            let is_null = sent[at]["depth"].is_null();
            sent[at]["depth"] = if is_null { json!(5) } else { Value::Null };
            "depth"
        }
        13 => {
            let other = TOKENS
                .into_iter()
                .find(|token| sent[at]["token_id"] != *token);
            sent[at]["token_id"] = json!(other);
            "token_id"
        }
        // Merged levels have no number that could be wrong.
        _ if mode != Mode::Every => return None,
        14 => {
            sent[at]["changes"].as_array_mut().expect("a list").pop();
            "a change less"
        }
        _ => {
            let changes = sent[at]["changes"].as_array_mut().expect("a list");
            changes.push(json!(["bid", "0.005", "1"]));
            "a change more"
        }
    };
    Some(format!("message {at}: {what}"))
}

fn add(field: &mut Value, amount: i64) -> &'static str {
    *field = json!(field.as_i64().expect("a number") + amount);
    "a number"
}
