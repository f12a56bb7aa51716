//! What is the matter with TLS, in words.

use std::error::Error;

use rustls::{CertificateError, Error as TlsError};

/// What `openssl req -x509` makes unless told otherwise is such a one.
pub(crate) const SIGNS_OTHERS: &str = "is one that signs others (CA:TRUE), which no server may show as \
                            its own; the server needs another, made with basicConstraints=CA:FALSE";

/// The words for an error of TLS; `None` for any other.
pub(super) fn words(error: &(dyn Error + 'static)) -> Option<String> {
    error.downcast_ref().map(of_tls)
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
            "CaUsedAsEndEntity" => format!("it {SIGNS_OTHERS}"),
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
    use std::io;
    use std::sync::Arc;

    use rustls::{AlertDescription, OtherError};

    use super::*;
    use crate::connection::OpenError;
    use crate::reason::chain;

    #[derive(Debug, thiserror::Error)]
    #[error("CaUsedAsEndEntity")]
    struct Webpki;

    #[test]
    fn tls_fails_in_words() {
        let other = CertificateError::Other(OtherError(Arc::new(Webpki)));
        for (error, said) in [
            (
                TlsError::InvalidCertificate(other),
                "certificate refused: it is one that signs others (CA:TRUE), which no server may \
                 show as its own; the server needs another, made with basicConstraints=CA:FALSE",
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
            let error = OpenError::Dial(io::Error::other(error));
            assert_eq!(chain(&error), format!("could not connect: {said}"));
        }
        assert_eq!(spaced("UnknownCA"), "unknown ca");
    }
}
