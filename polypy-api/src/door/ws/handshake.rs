//! The change of protocol from HTTP to WebSocket (RFC 6455, section 4.2).

use polypy_core::BoxFuture;
use polypy_http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use polypy_http::{Call, Reply, StatusCode, Upgraded};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const VERSION: HeaderValue = HeaderValue::from_static("13");

/// Answers a handshake, after which the connection is `task`'s; or says what is wrong
/// with it. Whether the page that asks may is to be looked at before.
pub fn upgrade<F>(call: &Call, task: F) -> Reply
where
    F: FnOnce(Upgraded) -> BoxFuture<'static, ()> + Send + 'static,
{
    let headers = call.headers();
    if !has_token(headers, &UPGRADE, "websocket") || !has_token(headers, &CONNECTION, "upgrade") {
        let text = "this route speaks WebSocket: connect with ws://, or wss:// where it is \
                    reached over TLS; a proxy in between has to pass on Upgrade and Connection";
        return wrong(call, StatusCode::UPGRADE_REQUIRED, text);
    }
    if !has_token(headers, &SEC_WEBSOCKET_VERSION, "13") {
        let text = "Sec-WebSocket-Version has to be 13";
        return wrong(call, StatusCode::UPGRADE_REQUIRED, text);
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let accept = match (keys.next(), keys.next()) {
        (Some(key), None) if is_key(key.as_bytes()) => derive_accept_key(key.as_bytes()),
        _ => {
            let text = "Sec-WebSocket-Key has to be there once, 16 bytes in Base64";
            return call.error(StatusCode::BAD_REQUEST, text);
        }
    };
    match HeaderValue::try_from(accept) {
        Ok(accept) => Reply::upgrade(WEBSOCKET, task).with_header(SEC_WEBSOCKET_ACCEPT, accept),
        // Base64 is made of letters, digits and three signs.
        Err(_) => call.error(StatusCode::INTERNAL_SERVER_ERROR, "no answer to the key"),
    }
}

/// 426, with what would be right.
fn wrong(call: &Call, status: StatusCode, text: &str) -> Reply {
    call.error(status, text)
        .with_header(UPGRADE, WEBSOCKET)
        .with_header(SEC_WEBSOCKET_VERSION, VERSION)
}

/// Whether a header that is a list has this word, in any case.
fn has_token(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter();
    let mut words = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    words.any(|given| given.trim().eq_ignore_ascii_case(word))
}

/// Whether this is the Base64 of 16 bytes.
fn is_key(key: &[u8]) -> bool {
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    matches!(key, [letters @ .., b'=', b'='] if letters.len() == 22 && letters.iter().all(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_sixteen_bytes_in_base64() {
        assert!(is_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        for bad in [
            "",
            "==",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQAA",
            "dGhlIHNhbXBsZSBub25jZ===",
            "dGhlIHNhbXBsZSBub25jZ Q==",
        ] {
            assert!(!is_key(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn a_word_is_found_in_any_of_the_lists() {
        let mut headers = HeaderMap::new();
        headers.append(CONNECTION, HeaderValue::from_static("keep-alive, UPGRADE"));
        headers.append(UPGRADE, HeaderValue::from_static("h2c"));
        headers.append(UPGRADE, HeaderValue::from_static("WebSocket"));
        assert!(has_token(&headers, &CONNECTION, "upgrade"));
        assert!(has_token(&headers, &UPGRADE, "websocket"));
        assert!(!has_token(&headers, &UPGRADE, "web"));
        assert!(!has_token(&headers, &SEC_WEBSOCKET_VERSION, "13"));
    }
}
