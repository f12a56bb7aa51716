//! Names in the venue's addresses. The venue writes them in lower case; people do not
//! always, and mean the same.

use std::borrow::Cow;

/// A slug as it is compared: capitals make no difference.
pub fn folded(slug: &str) -> Cow<'_, str> {
    if slug.bytes().any(|byte| byte.is_ascii_uppercase()) {
        slug.to_ascii_lowercase().into()
    } else {
        slug.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capitals_make_no_difference() {
        assert_eq!(folded("Will-X-Win"), "will-x-win");
        assert!(matches!(folded("will-x-win"), Cow::Borrowed(_)));
    }
}
