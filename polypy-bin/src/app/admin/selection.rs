//! `GET` and `PUT /v1/selection`: which markets are followed, shown with all origins, and
//! changed.
//!
//! The body of a PUT is the whole overlay: what it leaves out falls back to the layers
//! below. `If-Match` makes it a change of what the client has seen.

use std::sync::Arc;

use polypy_http::header::{ETAG, HeaderMap, HeaderValue, IF_MATCH};
use polypy_http::{Answer, Call, Content, Reply, Route, StatusCode};
use serde_json::{Value, json};

use super::peer;
use crate::app::selection::{Detail, InForce, SelectionControl, SelectionError, etag, keys};
use crate::config::{MOST_OVERLAY_BYTES, Overlay};

/// As much of an overlay as a line of the log has.
const LOGGED: usize = 2_048;

/// The route.
pub(super) fn route(control: &Arc<SelectionControl>) -> Route {
    let (shown, changed) = (Arc::clone(control), Arc::clone(control));
    Route::get(
        "/v1/selection",
        "which markets are followed, and where that is set; PUT the overlay to change it",
        move |_call| show(&shown.in_force()),
    )
    .with_put_action(MOST_OVERLAY_BYTES, move |call, body| {
        change(Arc::clone(&changed), call, body)
    })
    .takes(Content::Json("overlay"))
    .answers(ANSWERS)
}

const ANSWERS: &[Answer] = &[
    Answer::json(
        "administered_selection",
        "what is followed, and all origins",
    )
    .to("GET"),
    Answer::json("selection_change", "it is changed").to("PUT"),
    Answer::error(400, "mistakes_in_selection: all of them").to("PUT"),
    Answer::error(409, "superseded, or too_many_sockets").to("PUT"),
    Answer::error(412, "selection_changed: If-Match names another one").to("PUT"),
    Answer::error(500, "overlay_not_kept: its file could not be written").to("PUT"),
    Answer::error(503, "not_running: not yet, or not any more").to("PUT"),
];

fn show(in_force: &InForce) -> Reply {
    let file = in_force.loaded.config.markets.overlay_file.as_ref();
    let body = json!({
        "instance": &*in_force.instance,
        "generation": in_force.generation,
        "listed": in_force.listed,
        "followed": in_force.followed,
        "complete": in_force.complete,
        "warnings": &*in_force.warnings,
        "overlay": in_force.overlay().to_json(),
        "overlay_file": file.map(|file| file.display().to_string()),
        "keys": keys(&in_force.loaded, Detail::Origin),
    });
    with_etag(Reply::json(StatusCode::OK, &body), &in_force.etag())
}

fn with_etag(reply: Reply, etag: &str) -> Reply {
    match HeaderValue::from_str(etag) {
        Ok(etag) => reply.with_header(ETAG, etag),
        Err(_) => reply,
    }
}

async fn change(control: Arc<SelectionControl>, call: Call, body: impl AsRef<[u8]>) -> Reply {
    let before = control.in_force();
    let seen = match seen(call.headers(), &before) {
        Ok(seen) => seen,
        Err(Unmet) => {
            let generation = before.generation;
            let error = SelectionError::Changed { generation };
            return refused(&call, &error, &control);
        }
    };
    let text = match std::str::from_utf8(body.as_ref()) {
        Ok(text) => text,
        Err(error) => return call.error(StatusCode::BAD_REQUEST, &format!("the body: {error}")),
    };
    let overlay = match Overlay::parse(text) {
        Ok(overlay) => overlay,
        Err(error) => return refused(&call, &error.into(), &control),
    };
    let (new, peer) = (overlay.to_string(), peer(&call));
    match control.select(overlay.clone(), seen).await {
        Ok(selected) => {
            tracing::warn!(
                peer,
                old = cut(&before.overlay().to_string()),
                new = cut(&new),
                generation = selected.generation,
                added = selected.added,
                released = selected.released,
                "selection changed by administration"
            );
            let tag = etag(&before.instance, selected.generation, &overlay);
            let body = json!({
                "instance": &*before.instance,
                "generation": selected.generation,
                "listed": selected.listed,
                "followed": selected.followed,
                "added": selected.added,
                "released": selected.released,
                "overlay": overlay.to_json(),
                "warnings": selected.warnings,
            });
            with_etag(Reply::json(StatusCode::OK, &body), &tag)
        }
        Err(error) => {
            tracing::warn!(peer, new = cut(&new), %error, "selection not changed");
            refused(&call, &error, &control)
        }
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LOGGED)]
}

/// What the client has seen is not what is there.
#[derive(Debug, PartialEq, Eq)]
struct Unmet;

/// What the change is for; none if it is for whatever there is.
fn seen<'a>(headers: &HeaderMap, now: &'a InForce) -> Result<Option<&'a InForce>, Unmet> {
    let mut is_asked = false;
    let tags = headers.get_all(IF_MATCH).iter();
    for tag in tags
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
    {
        is_asked = true;
        match tag.trim() {
            "*" => return Ok(None),
            tag if tag == now.etag() => return Ok(Some(now)),
            _ => {}
        }
    }
    // A header that is no text matches nothing.
    if is_asked || headers.contains_key(IF_MATCH) {
        return Err(Unmet);
    }
    Ok(None)
}

fn refused(call: &Call, error: &SelectionError, control: &SelectionControl) -> Reply {
    let (status, kind, members) = match error {
        SelectionError::Mistakes(error) => {
            let mistakes = error.mistakes().iter();
            let mistakes = mistakes.map(|one| json!({ "key": one.key, "reason": one.reason }));
            let mistakes: Value = mistakes.collect();
            let members = json!({ "mistakes": mistakes });
            (StatusCode::BAD_REQUEST, "mistakes_in_selection", members)
        }
        SelectionError::Changed { generation } => {
            let members = json!({ "generation": generation });
            (
                StatusCode::PRECONDITION_FAILED,
                "selection_changed",
                members,
            )
        }
        SelectionError::Superseded => (StatusCode::CONFLICT, "superseded", json!({})),
        SelectionError::TooManySockets { needed, allowed } => {
            let members = json!({ "sockets_needed": needed, "sockets_allowed": allowed });
            (StatusCode::CONFLICT, "too_many_sockets", members)
        }
        SelectionError::NotKept { .. } => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "overlay_not_kept",
            json!({}),
        ),
        SelectionError::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "not_running", json!({})),
    };
    let reply = call.problem(status, kind, &error.to_string());
    let reply = match members {
        Value::Object(members) => reply.with_members(members),
        _ => reply,
    };
    if status == StatusCode::PRECONDITION_FAILED {
        return with_etag(reply, &control.in_force().etag());
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Loaded};

    #[test]
    fn a_change_is_for_the_choice_that_is_named_or_for_any() {
        let of = |generation, overlay| {
            let loaded = Loaded::of_program(Config::default());
            let overlay = Overlay::parse(overlay).unwrap();
            InForce {
                instance: "00ff".into(),
                generation,
                listed: 0,
                followed: 0,
                complete: true,
                warnings: Arc::default(),
                loaded: Arc::new(loaded.with_overlay(overlay).unwrap()),
            }
        };
        let now = of(3, r#"{"max_markets": 5}"#);
        let (tag, older) = (now.etag(), of(2, r#"{"max_markets": 5}"#).etag());
        // It follows the same markets, and is not what is there.
        let other = of(3, r#"{"max_markets": 5, "tags": ""}"#).etag();
        let is_met = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IF_MATCH, HeaderValue::from_bytes(value).unwrap());
            }
            let seen = seen(&headers, &now)?;
            Ok(seen.map(|seen| seen.generation))
        };
        assert_eq!(is_met(&[]), Ok(None));
        assert_eq!(is_met(&[b"*"]), Ok(None));
        assert_eq!(is_met(&[tag.as_bytes()]), Ok(Some(3)));
        let both = format!("{older}, {tag}");
        assert_eq!(is_met(&[both.as_bytes()]), Ok(Some(3)));
        assert_eq!(is_met(&[older.as_bytes(), tag.as_bytes()]), Ok(Some(3)));
        // A weak one promises too little.
        let (weak, bare) = (format!("W/{tag}"), tag.trim_matches('"'));
        let others = [&*older, &other, "\"00ff-3\"", &weak, bare, "", "3"];
        let others = others.into_iter().map(str::as_bytes);
        for other in others.chain([b"\xff".as_slice()]) {
            assert_eq!(is_met(&[other]), Err(Unmet), "{other:?}");
        }
    }
}
