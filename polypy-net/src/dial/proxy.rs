//! A way out through a proxy: HTTP's CONNECT, before TLS.

use std::fmt;
use std::io;

use hyper::Uri;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::reason::printable;

/// Longest answer of a proxy before the tunnel is open.
const MOST_BYTES: usize = 8 * 1024;

/// A proxy, and what is reached without it.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    host: String,
    port: u16,
    /// `Proxy-Authorization`.
    authorization: Option<String>,
    except: Vec<String>,
}

impl Proxy {
    /// From `http://[USER[:PASSWORD]@]HOST:PORT`. Hosts in `except` are reached without it:
    /// a name stands for itself and all below it, `*` for every host.
    ///
    /// # Errors
    /// The reason, worded to follow the setting's name.
    pub fn new(url: &str, except: &[String]) -> Result<Self, String> {
        let wrong = || "must be http://[USER[:PASSWORD]@]HOST:PORT".to_owned();
        let uri: Uri = url.parse().map_err(|_unread| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        if uri.scheme_str() != Some("http") || !matches!(uri.path(), "" | "/") {
            return Err(wrong());
        }
        let user = authority.as_str().rsplit_once('@').map(|(user, _)| user);
        let authorization = match user {
            Some(user) => {
                let user = decoded(user).ok_or_else(wrong)?;
                let user = if user.contains(&b':') {
                    user
                } else {
                    [&user, b":".as_slice()].concat()
                };
                Some(format!("Basic {}", base64(&user)))
            }
            None => None,
        };
        let host = authority.host().trim_matches(['[', ']']);
        let except = except
            .iter()
            .map(|name| name.trim_start_matches('.').to_ascii_lowercase());
        Ok(Self {
            host: Some(host)
                .filter(|host| !host.is_empty())
                .ok_or_else(wrong)?
                .to_owned(),
            port: authority.port_u16().ok_or_else(wrong)?,
            authorization,
            except: except.collect(),
        })
    }

    pub(super) fn place(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Whether it is the way to this host.
    pub(super) fn leads_to(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        !self.except.iter().any(|name| {
            let below = || {
                host.strip_suffix(name.as_str())
                    .is_some_and(|rest| rest.ends_with('.'))
            };
            name == "*" || *name == host || below()
        })
    }

    /// Asks for a tunnel over a socket that leads to the proxy.
    pub(super) async fn tunnel(
        &self,
        mut socket: TcpStream,
        host: &str,
        port: u16,
    ) -> io::Result<TcpStream> {
        let bracketed = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let mut request =
            format!("CONNECT {bracketed}:{port} HTTP/1.1\r\nHost: {bracketed}:{port}\r\n");
        if let Some(authorization) = &self.authorization {
            request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
        }
        request.push_str("\r\n");
        socket.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        // To the last byte and no further: what follows is the tunnel's.
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() >= MOST_BYTES {
                return Err(self.refused("its answer is too long"));
            }
            match socket.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(self.refused("closed without an answer"));
                }
                Err(error) => return Err(error),
            }
        }
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        if !line.starts_with("HTTP/") {
            return Err(self.refused("it does not speak HTTP"));
        }
        let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
        if status.is_some_and(|status| status.starts_with('2')) {
            return Ok(socket);
        }
        Err(self.refused(&printable(&line)))
    }

    fn refused(&self, why: &str) -> io::Error {
        let Self { host, port, .. } = self;
        io::Error::other(format!("the proxy {host}:{port} opened no tunnel: {why}"))
    }
}

impl fmt::Debug for Proxy {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("except", &self.except)
            .finish_non_exhaustive()
    }
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        decoded.push(match byte {
            b'%' => {
                let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    Some(decoded)
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let at = |place: usize| chunk.get(place).copied().map_or(0, usize::from);
        let group = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let digit = DIGITS[group >> (18 - 6 * place) & 63];
            text.push(if place <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_exceptions_heeded() {
        let except = ["example.org", ".internal", "10.0.0.7"].map(str::to_owned);
        let proxy = Proxy::new("http://us%65r:p%40ss@proxy:3128/", &except).unwrap();
        assert_eq!(proxy.place(), ("proxy", 3128));
        // user:p@ss
        assert_eq!(proxy.authorization.as_deref(), Some("Basic dXNlcjpwQHNz"));
        assert!(!format!("{proxy:?}").contains("dXNl"));
        for (host, leads) in [
            ("clob.polymarket.com", true),
            ("example.org", false),
            ("a.EXAMPLE.org", false),
            ("notexample.org", true),
            ("box.internal", false),
            ("10.0.0.7", false),
            ("110.0.0.7", true),
        ] {
            assert_eq!(proxy.leads_to(host), leads, "{host}");
        }
        assert!(
            !Proxy::new("http://p:1", &["*".to_owned()])
                .unwrap()
                .leads_to("a")
        );
        for odd in [
            "",
            "proxy:3128",
            "https://proxy:3128",
            "http://proxy",
            "http://p:1/a",
            "http://a%zz@p:1",
        ] {
            assert!(Proxy::new(odd, &[]).is_err(), "{odd}");
        }
    }

    #[test]
    fn base64_is_padded() {
        for (plain, coded) in [("", ""), ("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
