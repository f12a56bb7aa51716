//! Answers that a client has already (RFC 9110, section 13).

use polypy_http::header::{CACHE_CONTROL, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use polypy_http::{Reply, StatusCode};

/// A cache may keep the answer, and has to ask whether it is the newest.
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// Whether the client says that it has this one.
pub(crate) fn has_it(headers: &HeaderMap, etag: &str) -> bool {
    let given = headers.get_all(IF_NONE_MATCH).iter();
    let mut tags = given
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let strong = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    tags.any(|tag| tag.trim() == "*" || strong(tag.trim()) == strong(etag))
}

/// 304 for a client that has it.
pub(crate) fn not_modified(etag: &str) -> Reply {
    with_etag(Reply::empty(StatusCode::NOT_MODIFIED), etag)
}

/// An answer that can be asked for again by this tag.
pub(crate) fn with_etag(reply: Reply, etag: &str) -> Reply {
    let reply = reply.with_header(CACHE_CONTROL, NO_CACHE);
    match HeaderValue::from_str(etag) {
        Ok(etag) => reply.with_header(ETAG, etag),
        // It is made of digits, letters and dashes.
        Err(_) => reply,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly_and_by_any_of_a_list() {
        let has = |given: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in given {
                headers.append(IF_NONE_MATCH, HeaderValue::from_str(value).unwrap());
            }
            has_it(&headers, "W/\"a-1\"")
        };
        for given in [
            vec!["W/\"a-1\""],
            vec!["\"a-1\""],
            vec!["\"b\", W/\"a-1\""],
            vec!["\"b\"", "\"a-1\""],
            vec!["*"],
        ] {
            assert!(has(&given), "{given:?}");
        }
        for given in [vec![], vec![""], vec!["a-1"], vec!["\"a-11\""], vec!["W/"]] {
            assert!(!has(&given), "{given:?}");
        }
    }
}
