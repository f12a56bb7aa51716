//! Errors of libraries in words for people: what a line of the log says of a cause.

#[cfg(feature = "tls")]
mod tls;

use std::error::Error;
use std::io;

#[cfg(feature = "tls")]
pub(crate) use tls::SIGNS_OTHERS;

use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::error::CapacityError;

/// An error with all its causes, for a line of the log.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut parts = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        // What is put in words here has its own causes in it.
        let known = words(error);
        next = error.source().filter(|_| known.is_none());
        parts.push(known.unwrap_or_else(|| error.to_string()));
    }
    printable(&parts.join(": "))
}

/// The text without what cannot be printed; a gap stands as one space.
pub(crate) fn printable(text: &str) -> String {
    let is_odd = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
    let parts = text.split(is_odd).map(str::trim);
    let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
    parts.join(" ")
}

/// The usual errors whose own text is no sentence.
fn words(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return of_io(error);
    }
    #[cfg(feature = "tls")]
    if let Some(words) = tls::words(error) {
        return Some(words);
    }
    match error.downcast_ref::<WsError>()? {
        WsError::Io(error) => Some(of_io(error).unwrap_or_else(|| error.to_string())),
        WsError::Capacity(CapacityError::MessageTooLong { size, max_size }) => Some(format!(
            "a message of {size} bytes, of which {max_size} are allowed"
        )),
        WsError::Capacity(error) => Some(format!("more than is allowed: {error}")),
        WsError::Protocol(error) => Some(format!("not as WebSocket asks for: {error}")),
        WsError::WriteBufferFull(_) => Some("the other side does not read".to_owned()),
        WsError::Utf8(_) => Some("text that is not UTF-8".to_owned()),
        _ => None,
    }
}

fn of_io(error: &io::Error) -> Option<String> {
    #[cfg(feature = "tls")]
    if let Some(words) = error.get_ref().and_then(|inner| tls::words(inner)) {
        return Some(words);
    }
    let is_cut = error.kind() == io::ErrorKind::UnexpectedEof;
    is_cut.then(|| "the other side closed in the middle".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::OpenError;

    fn of_dial(error: impl Into<Box<dyn Error + Send + Sync>>) -> String {
        chain(&OpenError::Dial(io::Error::other(error)))
    }

    #[test]
    fn a_socket_breaks_in_words() {
        let too_long = CapacityError::MessageTooLong {
            size: 20,
            max_size: 10,
        };
        let eof = || io::Error::new(io::ErrorKind::UnexpectedEof, "no close_notify: see x.html");
        for (error, said) in [
            (
                WsError::Capacity(too_long),
                "a message of 20 bytes, of which 10 are allowed",
            ),
            (WsError::Io(eof()), "the other side closed in the middle"),
            (WsError::Io(io::Error::other("reset")), "reset"),
            (WsError::AttackAttempt, "Attack attempt detected"),
        ] {
            assert_eq!(chain(&error), said);
        }
    }

    #[test]
    fn causes_follow_and_what_cannot_be_printed_goes() {
        assert_eq!(
            of_dial("no\0\u{1}\u{fffd} way\r\n"),
            "could not connect: no way"
        );
        assert_eq!(printable("\u{15}\u{3}\u{1}"), "");
    }
}
