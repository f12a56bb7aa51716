//! Errors of libraries in words for people: what a line of the log says of a cause.

use std::error::Error;
use std::io;

use rustls::{CertificateError, Error as TlsError};
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
    if let Some(error) = error.downcast_ref::<TlsError>() {
        return Some(of_tls(error));
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
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    match (tls, error.kind()) {
        (Some(tls), _) => Some(of_tls(tls)),
        (None, io::ErrorKind::UnexpectedEof) => {
            Some("the other side closed in the middle".to_owned())
        }
        (None, _) => None,
    }
}

fn of_tls(error: &TlsError) -> String {
    match error {
        TlsError::InvalidCertificate(error) => of_certificate(error),
        TlsError::InvalidMessage(_) => "what answers does not speak TLS".to_owned(),
        TlsError::AlertReceived(alert) => {
            format!(
                "the other side refused TLS: {}",
                spaced(&format!("{alert:?}"))
            )
        }
        TlsError::PeerIncompatible(why) => {
            format!("no way of TLS in common: {}", spaced(&format!("{why:?}")))
        }
        TlsError::PeerMisbehaved(why) => {
            format!("the other side broke TLS: {}", spaced(&format!("{why:?}")))
        }
        other => format!("TLS failed: {other}"),
    }
}

fn of_certificate(error: &CertificateError) -> String {
    use CertificateError as C;
    let why = match error {
        C::Expired | C::ExpiredContext { .. } => "it has expired".to_owned(),
        C::NotValidYet | C::NotValidYetContext { .. } => {
            "it is not valid yet; is the clock right?".to_owned()
        }
        C::NotValidForName => "it is for another name".to_owned(),
        C::NotValidForNameContext { expected, .. } => {
            format!("it is not for {}", expected.to_str())
        }
        C::UnknownIssuer => "who signed it is not trusted here".to_owned(),
        C::Revoked => "it is revoked".to_owned(),
        C::BadEncoding => "it cannot be read".to_owned(),
        C::Other(other) => match other.to_string().as_str() {
            "CaUsedAsEndEntity" => "it is one for signing others, not a server's".to_owned(),
            name => spaced(name),
        },
        other => spaced(&other.to_string()),
    };
    format!("certificate refused: {why}")
}

/// The name of a variant as words.
fn spaced(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 8);
    let mut after_small = false;
    for letter in name.chars() {
        if after_small && letter.is_ascii_uppercase() {
            text.push(' ');
        }
        after_small = letter.is_ascii_lowercase();
        text.push(letter.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::AlertDescription;
    use rustls::OtherError;

    use super::*;
    use crate::connection::OpenError;

    #[derive(Debug, thiserror::Error)]
    #[error("CaUsedAsEndEntity")]
    struct Webpki;

    fn of_dial(error: impl Into<Box<dyn Error + Send + Sync>>) -> String {
        chain(&OpenError::Dial(io::Error::other(error)))
    }

    #[test]
    fn tls_fails_in_words() {
        let other = CertificateError::Other(OtherError(Arc::new(Webpki)));
        for (error, said) in [
            (
                TlsError::InvalidCertificate(other),
                "certificate refused: it is one for signing others, not a server's",
            ),
            (
                TlsError::InvalidCertificate(CertificateError::UnknownIssuer),
                "certificate refused: who signed it is not trusted here",
            ),
            (
                TlsError::AlertReceived(AlertDescription::HandshakeFailure),
                "the other side refused TLS: handshake failure",
            ),
            (
                TlsError::InvalidMessage(rustls::InvalidMessage::InvalidContentType),
                "what answers does not speak TLS",
            ),
        ] {
            assert_eq!(of_dial(error), format!("could not connect: {said}"));
        }
        assert_eq!(spaced("UnknownCA"), "unknown ca");
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
