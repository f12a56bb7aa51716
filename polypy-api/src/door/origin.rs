//! Which pages may follow a stream.
//!
//! A browser asks for a WebSocket whatever page it shows, with the visitor's cookies and
//! from the visitor's network: what keeps other sites out is that it names the page's
//! origin. A client that is no browser names none.
//!
//! | `Origin` | |
//! |---|---|
//! | none | answered |
//! | the host and port that the request itself names | answered: our own page |
//! | one that the configuration lists (`http.cors_origins`), or any if it lists `*` | answered |
//! | any other, `null` too | 403 |

use polypy_http::header::{HOST, HeaderMap, HeaderValue, ORIGIN};
use polypy_http::{Call, Reply, StatusCode};

/// The pages that may follow a stream.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    any: bool,
    listed: Vec<String>,
}

impl Origins {
    /// Those of this server itself, and of the origins listed, such as
    /// `https://app.example.org`; `*` stands for every page.
    pub fn new(listed: &[String]) -> Self {
        Self {
            any: listed.iter().any(|origin| origin == "*"),
            listed: listed.to_vec(),
        }
    }

    /// 403 for a page that may not.
    pub(crate) fn refusal(&self, call: &Call) -> Option<Reply> {
        if self.allows(call.headers()) {
            return None;
        }
        let text = "a page of another origin may not follow a stream here; \
                    http.cors_origins lists those that may";
        Some(call.error(StatusCode::FORBIDDEN, text))
    }

    fn allows(&self, headers: &HeaderMap) -> bool {
        let host = headers.get(HOST).map_or("", text);
        let mut origins = headers.get_all(ORIGIN).iter();
        self.any || origins.all(|origin| self.allows_origin(text(origin), host))
    }

    fn allows_origin(&self, origin: &str, host: &str) -> bool {
        let is_listed = |known: &String| known.eq_ignore_ascii_case(origin);
        self.listed.iter().any(is_listed) || is_own(origin, host)
    }
}

/// Text that a header cannot be is no origin and no host.
fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or_default()
}

/// Whether a page of this origin is ours. A port that the scheme implies is as good as none.
fn is_own(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let implied = match scheme.to_ascii_lowercase().as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.strip_suffix(implied)
            .map(str::to_owned)
            .unwrap_or(name)
    };
    !authority.is_empty() && bare(authority) == bare(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(listed: &[&str], origin: Option<&str>, host: &str) -> bool {
        let listed: Vec<String> = listed.iter().map(|&origin| origin.to_owned()).collect();
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        Origins::new(&listed).allows(&headers)
    }

    #[test]
    fn no_page_and_our_own_pages_may() {
        assert!(allows(&[], None, "polypy:8080"));
        for (origin, host) in [
            ("http://polypy:8080", "polypy:8080"),
            ("HTTP://PolyPy:8080", "polypy:8080"),
            ("http://polypy", "polypy:80"),
            ("http://polypy:80", "polypy"),
            ("https://polypy.example.org", "polypy.example.org"),
            ("https://polypy.example.org", "polypy.example.org:443"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert!(allows(&[], Some(origin), host), "{origin} at {host}");
        }
    }

    #[test]
    fn pages_of_others_may_where_they_are_listed() {
        for (origin, host) in [
            ("http://evil.example", "polypy:8080"),
            ("http://polypy:8081", "polypy:8080"),
            ("http://polypy", "polypy:8080"),
            ("https://polypy", "polypy:80"),
            ("ftp://polypy:8080", "polypy:8080"),
            ("null", "polypy:8080"),
            ("", "polypy:8080"),
            ("http://", ""),
            ("polypy:8080", "polypy:8080"),
        ] {
            assert!(!allows(&[], Some(origin), host), "{origin} at {host}");
            assert!(allows(&["*"], Some(origin), host), "{origin} at {host}");
        }
        let listed = ["https://app.example.org"];
        assert!(allows(&listed, Some("https://APP.example.org"), "polypy"));
        assert!(!allows(&listed, Some("http://app.example.org"), "polypy"));
        assert!(!allows(
            &listed,
            Some("https://app.example.org.evil"),
            "polypy"
        ));
    }

    #[test]
    fn each_origin_of_a_request_has_to_be_allowed() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("polypy"));
        headers.append(ORIGIN, HeaderValue::from_static("http://polypy"));
        assert!(Origins::default().allows(&headers));
        headers.append(ORIGIN, HeaderValue::from_static("http://evil.example"));
        assert!(!Origins::default().allows(&headers));
    }
}
