//! `polypy health`: asks a running program, for images without a client for HTTP.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use polypy::config::{HttpSection, Layer, Overlay, Setting, Sources};
use polypy::exit::Exit;
use polypy::file;
use polypy::secrets;
use polypy_net::dial::{Dial, DialConfig, Stream, SystemDialer, certificates};
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::cli::Health;
use crate::terminal;

/// Longest answer that is read. That of `/health` has some hundred bytes.
const MOST_BYTES: usize = 1 << 20;

/// Asks once, says the answer in a line, and ends with it.
pub(crate) fn ask(typed: Health, variables: Vec<(String, String)>) -> Exit {
    let mut token_file = typed.token_file;
    let uri = match &typed.url {
        Some(url) => url.clone(),
        None => {
            let sources = Sources {
                named_file: typed.file.config,
                variables,
                demo: Layer::default(),
                flags: Layer::default(),
            };
            match sources.load_with(Overlay::default()) {
                Ok(loaded) => {
                    let http = &loaded.config.http;
                    // Probes are answered without it, unless they are not.
                    let own = http.token_file.clone().filter(|_| !http.open_probes);
                    token_file = token_file.or(own);
                    own_url(http)
                }
                Err(error) => return terminal::refuse(&error),
            }
        }
    };
    let (socket, uri) = match uri.strip_prefix("unix:") {
        Some(path) => (Some(PathBuf::from(path)), "http://localhost".to_owned()),
        None => (None, uri),
    };
    let uri = match with_path(&uri) {
        Ok(uri) => uri,
        Err(reason) => {
            terminal::say(&format_args!("--url {uri}: {reason}"));
            return Exit::Usage;
        }
    };
    let token = match token_file.as_deref().map(secrets::token).transpose() {
        Ok(token) => token,
        Err(error) => {
            terminal::say(&error);
            return Exit::Config;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let answer = runtime.and_then(|runtime| {
        runtime.block_on(async {
            let server = Place {
                uri: &uri,
                socket: socket.as_deref(),
                ca_file: typed.ca_file.as_deref(),
            };
            let answer = get(server, token.as_deref(), MOST_BYTES);
            let answer = tokio::time::timeout(typed.timeout, answer).await;
            answer.unwrap_or_else(|_elapsed| {
                let text = format!("{uri}: no answer within {}", typed.timeout.show());
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            })
        })
    });
    let Answer { healthy, body } = answer.unwrap_or_else(|error| Answer {
        healthy: false,
        body: json!({ "error": format!("{error}{}", remedy(&error)) }),
    });
    let text = if typed.json {
        body.to_string()
    } else {
        line(healthy, &body)
    };
    match terminal::print(&format!("{text}\n")) {
        Exit::Clean if healthy => Exit::Clean,
        Exit::Clean => Exit::Failure,
        exit => exit,
    }
}

/// A duration as `--timeout` takes it.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration = Duration::parse(text)?;
    if duration.is_zero() {
        return Err("no answer comes in no time: give it a second or two".to_owned());
    }
    Ok(duration)
}

/// Where a server with these settings can be asked from this machine.
pub(crate) fn own_url(http: &HttpSection) -> String {
    // A certificate is seldom made out to an address, and the socket needs none.
    let is_tls = http.tls_cert.is_some();
    if let Some(path) = http.unix_socket.as_ref().filter(|_| is_tls || !http.tcp) {
        return format!("unix:{}", path.display());
    }
    let host = match http.host {
        IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        IpAddr::V4(host) => host.to_string(),
        IpAddr::V6(host) if host.is_unspecified() => format!("[{}]", Ipv6Addr::LOCALHOST),
        IpAddr::V6(host) => format!("[{host}]"),
    };
    let scheme = if is_tls { "https" } else { "http" };
    format!("{scheme}://{host}:{}", http.port)
}

/// The same with `/health` if it has no path.
fn with_path(url: &str) -> Result<Uri, String> {
    let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
        return Err(
            "must be http://HOST:PORT or https://HOST:PORT, a path may follow, or unix:FILE"
                .to_owned(),
        );
    }
    let mut parts = uri.into_parts();
    if parts.path_and_query.as_ref().is_none_or(|path| path == "/") {
        parts.path_and_query = Some("/health".parse().map_err(|error| format!("{error}"))?);
    }
    Uri::from_parts(parts).map_err(|error| error.to_string())
}

/// Where to ask.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) uri: &'a Uri,
    /// A Unix socket to reach it by.
    pub(crate) socket: Option<&'a Path>,
    /// What vouches for its certificate, beside those who do for everybody's.
    pub(crate) ca_file: Option<&'a Path>,
}

impl Place<'_> {
    async fn connect(self) -> io::Result<Box<dyn Stream>> {
        if let Some(path) = self.socket {
            let stream = UnixStream::connect(path).await;
            return Ok(Box::new(stream.map_err(|error| about(path, &error))?));
        }
        dialer(self.ca_file)?.dial(self.uri).await
    }
}

/// Opens connections, and trusts what the file vouches for as well.
pub(crate) fn dialer(ca_file: Option<&Path>) -> io::Result<SystemDialer> {
    let roots = match ca_file {
        Some(path) => {
            let text = file::read(path, file::CERTIFICATES);
            let text = text.map_err(|error| about(path, &error))?;
            certificates(&text).map_err(|error| about(path, &error))?
        }
        None => Vec::new(),
    };
    let dialer = SystemDialer::with_roots(DialConfig::default(), &roots);
    dialer.map_err(io::Error::other)
}

/// What to do about a server that is there and whose certificate is not believed.
pub(crate) fn remedy(error: &io::Error) -> &'static str {
    let text = error.to_string();
    let is_certificate = error.kind() == io::ErrorKind::InvalidData && text.contains("certificate");
    // Of one that no server may show, nobody can vouch.
    if is_certificate && !text.contains("CA:TRUE") {
        ": --ca-file names who vouches for it"
    } else {
        ""
    }
}

fn about(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}

/// What a server answered.
pub(crate) struct Answer {
    pub(crate) healthy: bool,
    pub(crate) body: Value,
}

/// Asks once, and reads at most so many bytes of the answer.
pub(crate) async fn get(
    server: Place<'_>,
    token: Option<&str>,
    most_bytes: usize,
) -> io::Result<Answer> {
    let uri = server.uri;
    let stream = server.connect().await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let mut request = Request::get(path)
        .header(HOST, host)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("polypy/", env!("CARGO_PKG_VERSION")));
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let healthy = answer.status().is_success();
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), most_bytes).collect().await;
        Ok::<_, hyper::Error>((healthy, status, body))
    };
    // The connection is driven beside its only exchange. A server that closes ends it
    // before the answer is read; what it has to say of its end, the exchange says, too.
    let driven = async {
        drop(connection.await);
        std::future::pending::<Infallible>().await
    };
    let (healthy, status, body) = tokio::select! {
        answer = exchange => answer.map_err(io::Error::other)?,
        never = driven => match never {},
    };
    let body = body.map_err(io::Error::other)?.to_bytes();
    let body = serde_json::from_slice(&body)
        .unwrap_or_else(|_| json!({ "error": format!("status {status}, and no JSON") }));
    Ok(Answer { healthy, body })
}

/// `healthy`, or not, and the reasons.
fn line(healthy: bool, body: &Value) -> String {
    let verdict = if healthy { "healthy" } else { "not healthy" };
    let reasons = body["reasons"].as_array().into_iter().flatten();
    let reasons = reasons.filter_map(|reason| reason["text"].as_str());
    let texts: Vec<&str> = body["error"].as_str().into_iter().chain(reasons).collect();
    if texts.is_empty() {
        return verdict.to_owned();
    }
    // What another program sent must not steer the terminal.
    format!("{verdict}: {}", texts.join("; ").escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_path_asks_for_health() {
        for (given, asked) in [
            (
                "http://127.0.0.1:8080",
                Some("http://127.0.0.1:8080/health"),
            ),
            ("https://[::1]/", Some("https://[::1]/health")),
            ("http://a/livez?verbose", Some("http://a/livez?verbose")),
            ("127.0.0.1:8080", None),
            ("ftp://a", None),
            ("http://", None),
        ] {
            let found = with_path(given).ok().map(|uri| uri.to_string());
            assert_eq!(found.as_deref(), asked, "{given}");
        }
    }

    #[test]
    fn the_servers_own_address_can_be_asked() {
        for (host, expected) in [
            ("0.0.0.0", "http://127.0.0.1:8080"),
            ("::", "http://[::1]:8080"),
            ("10.0.0.7", "http://10.0.0.7:8080"),
        ] {
            let section = HttpSection {
                host: host.parse().unwrap(),
                ..HttpSection::default()
            };
            assert_eq!(own_url(&section), expected);
        }
    }

    #[test]
    fn the_line_has_the_reasons_and_nothing_that_steers_a_terminal() {
        assert_eq!(line(true, &json!({ "healthy": true })), "healthy");
        let body = json!({ "reasons": [{ "text": "one" }, { "text": "two\u{1b}[2J" }] });
        assert_eq!(line(false, &body), "not healthy: one; two\\u{1b}[2J");
        let body = json!({ "error": "connection refused" });
        assert_eq!(line(false, &body), "not healthy: connection refused");
    }
}
