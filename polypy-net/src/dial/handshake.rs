//! Why a TLS handshake failed, in words for people.

use std::io;

use rustls::CertificateError as Certificate;
use rustls::{Error, InvalidMessage};

use crate::reason::SIGNS_OTHERS;

/// The same error with words for what is most often the matter: rustls names its own
/// variants.
pub(super) fn explained(error: io::Error) -> io::Error {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause.and_then(words) {
        Some(words) => io::Error::new(error.kind(), words),
        None => error,
    }
}

fn words(error: &Error) -> Option<String> {
    Some(match error {
        Error::InvalidCertificate(certificate) => {
            format!("the certificate {}", fault(certificate)?)
        }
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "what answers there speaks no TLS".to_owned()
        }
        Error::AlertReceived(alert) => {
            format!(
                "the other side ended the TLS handshake (alert {})",
                u8::from(*alert)
            )
        }
        Error::PeerIncompatible(_) => {
            "the other side speaks no TLS 1.2 or 1.3, or nothing of it in common".to_owned()
        }
        _ => return None,
    })
}

/// What is the matter with a certificate.
fn fault(certificate: &Certificate) -> Option<String> {
    let fault = match certificate {
        Certificate::UnknownIssuer => "is vouched for by nobody who is trusted here",
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
            "is for another name"
        }
        Certificate::Expired | Certificate::ExpiredContext { .. } => "has expired",
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => "is not valid yet",
        Certificate::Revoked => "was revoked",
        Certificate::BadEncoding => "cannot be read",
        Certificate::BadSignature => "has a signature that does not fit",
        Certificate::InvalidPurpose | Certificate::InvalidPurposeContext { .. } => {
            "is not for servers"
        }
        Certificate::Other(other) if other.to_string() == "CaUsedAsEndEntity" => SIGNS_OTHERS,
        _ => return None,
    };
    Some(fault.to_owned())
}
