//! Where a server is, as typed, and what to do where nothing answers there.

use std::io;

use hyper::Uri;

const FORM: &str = "must be http://HOST:PORT, ws://HOST:PORT, https or wss, or unix:FILE";
/// Whose path is no part of the address: what stands before it is where a proxy has the server.
const ROUTES: [&str; 10] = [
    "/v1",
    "/health",
    "/livez",
    "/readyz",
    "/stats",
    "/metrics",
    "/markets",
    "/orderbook",
    "/ws",
    "/openapi.json",
];

/// The server's address in what was typed: its root, or where a proxy has it.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub(super) fn server(typed: &str) -> Result<String, String> {
    if let Some(path) = typed.strip_prefix("unix:") {
        let is_named = !path.is_empty();
        return is_named
            .then(|| typed.to_owned())
            .ok_or_else(|| FORM.to_owned());
    }
    let schemes = ["http", "https", "ws", "wss"];
    let scheme = typed.split_once("://").map(|(scheme, _)| scheme);
    if scheme.is_none() && is_server(&format!("http://{typed}")) {
        return Err(format!(
            "it names no scheme: http://{typed}, or https:// where the server speaks TLS"
        ));
    }
    if !is_server(typed) || !scheme.is_some_and(|scheme| schemes.contains(&scheme)) {
        return Err(FORM.to_owned());
    }
    if typed.contains('?') {
        return Err(
            "what is asked for is no part of the address: leave it out from ? on".to_owned(),
        );
    }
    let begin = scheme.map_or(0, str::len) + "://".len();
    let path = typed[begin..]
        .find('/')
        .map_or(typed.len(), |at| begin + at);
    let (base, path) = typed.split_at(path);
    let routed = format!("{path}/");
    let route = ROUTES
        .into_iter()
        .find_map(|route| routed.find(&format!("{route}/")));
    if let Some(at) = route {
        return Err(format!(
            "a route is no part of the address: {base}{} is the server",
            &path[..at]
        ));
    }
    Ok(typed.trim_end_matches('/').to_owned())
}

fn is_server(url: &str) -> bool {
    let uri: Option<Uri> = url.parse().ok();
    let authority = uri.as_ref().and_then(Uri::authority);
    authority.is_some_and(|authority| {
        let host = authority.host();
        // A port that is none is no part of what is read.
        let is_whole = authority.as_str().ends_with(host) || authority.port_u16().is_some();
        !host.is_empty() && is_whole
    })
}

/// What may be wrong with an address at which there is nobody.
pub(super) fn nobody(server: &str) -> String {
    let uri: Option<Uri> = server.parse().ok();
    let named = uri.as_ref().and_then(Uri::port_u16);
    match (&uri, named) {
        (Some(uri), None) if uri.host().is_some() && !server.starts_with("unix:") => format!(
            ": the address names no port, which means {}: the server's own is 8080 unless \
             http.port says otherwise",
            if matches!(uri.scheme_str(), Some("https" | "wss")) {
                443
            } else {
                80
            }
        ),
        _ => ": is a server running there, with its HTTP server on (--enable-http)? --url asks \
              elsewhere"
            .to_owned(),
    }
}

/// What may be wrong with an address whose server has no such route.
pub(super) fn no_route(server: &str) -> String {
    let uri: Option<Uri> = server.parse().ok();
    let path = uri.as_ref().map_or("", |uri| uri.path());
    match path.trim_matches('/') {
        "" => ": is it the right port? The administration listener has other routes".to_owned(),
        _ => format!(
            ": is it behind a proxy, at {path}? The address of one that is not ends with its port"
        ),
    }
}

/// What may be wrong where something answers and no HTTP comes of it.
pub(super) fn http(server: &str, error: &hyper::Error) -> &'static str {
    let is_plain = server.starts_with("http://") || server.starts_with("ws://");
    if (error.is_parse() || error.is_incomplete_message()) && is_plain {
        ": is it the right port, and does the server speak TLS? Then the address is https://"
    } else {
        ""
    }
}

/// The same where no connection came about, or an answer was not read.
pub(super) fn io(server: &str, error: &io::Error) -> String {
    let inner = error.get_ref();
    if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<hyper::Error>()) {
        return http(server, error).to_owned();
    }
    match error.kind() {
        io::ErrorKind::InvalidData if error.to_string().contains("certificate") => {
            crate::ask::remedy(error).to_owned()
        }
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            ": is it the right port? Without TLS the address is http://".to_owned()
        }
        _ => nobody(server),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_what_stands_before_the_routes() {
        for (typed, expected) in [
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://localhost:8080/", "http://localhost:8080"),
            ("https://a/polypy/", "https://a/polypy"),
            ("wss://a/feeds/polypy", "wss://a/feeds/polypy"),
            ("http://a/v12", "http://a/v12"),
            ("wss://[::1]:8443", "wss://[::1]:8443"),
            ("unix:/run/polypy.sock", "unix:/run/polypy.sock"),
        ] {
            assert_eq!(server(typed).as_deref(), Ok(expected), "{typed}");
        }
        for (typed, part) in [
            (
                "localhost:8080",
                "no scheme: http://localhost:8080, or https",
            ),
            ("localhost", "no scheme: http://localhost"),
            ("127.0.0.1:8080/v1", "no scheme: http://127.0.0.1:8080/v1"),
            ("ftp://a", "must be http://HOST:PORT"),
            ("http://", "must be http://HOST:PORT"),
            ("http://a:99999", "must be http://HOST:PORT"),
            ("", "must be http://HOST:PORT"),
            ("unix:", "must be http://HOST:PORT"),
            ("http://a/?q=1", "from ? on"),
            ("http://a:1/health", "http://a:1 is the server"),
            (
                "http://a/v1",
                "no part of the address: http://a is the server",
            ),
            ("ws://a/v1/ws", "ws://a is the server"),
            ("http://a/p/v1/markets/x", "http://a/p is the server"),
            ("http://a/p/orderbook/12", "http://a/p is the server"),
        ] {
            let error = server(typed).unwrap_err();
            assert!(error.contains(part), "{typed}: {error}");
        }
    }

    #[test]
    fn what_may_be_wrong_with_an_address_is_said() {
        assert!(
            nobody("http://a").contains("means 80"),
            "{}",
            nobody("http://a")
        );
        assert!(nobody("wss://a/x").contains("means 443"));
        for named in ["http://a:80", "unix:/run/x"] {
            assert!(nobody(named).contains("--enable-http"), "{named}");
        }
        assert!(no_route("http://a:1").contains("administration"));
        assert!(no_route("http://a:1/x").contains("at /x?"));
    }
}
