//! Why a book is not to be trusted, in words.

/// What a reason of the server means; `None` of one that is not known here.
pub(super) fn words(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "disconnected" => "its connection was lost",
        "dropped" => "an event for it found a full queue",
        "worker_died" => "the thread that kept it died",
        "undecodable" => "an event for it could not be read",
        "hash" => "its levels do not give the venue's hash",
        "top" => "its best price is not the venue's",
        "mirror" => "it is not the mirror image of the other outcome",
        "audit" => "a book that was fetched has other levels",
        "crossed" => "its best bid is not below its best ask",
        "tick" => "the price grid became coarser",
        "resubscribing" => "it is being asked for again",
        "silent" => "its connection says nothing of it",
        "suspended" => "the server did not run for seconds",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use polypy_core::StaleReason;

    use super::*;

    #[test]
    fn every_reason_has_its_words() {
        for reason in StaleReason::ALL {
            assert!(words(reason.name()).is_some(), "{}", reason.name());
        }
        assert_eq!(words("new"), None);
    }
}
