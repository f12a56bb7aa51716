//! Who may ask: a token, as `Authorization: Bearer`, or a session that began with it.
//!
//! Browsers cannot send a header with an `EventSource` or a WebSocket; so a login gives
//! them a cookie. It holds its own end and a code made with the token: nothing is kept
//! here, other instances with the same token accept it, and it ends with the token.
//!
//! What is compared are codes of the same length, in constant time: an answer's time
//! says nothing about the token.

use std::fmt;
use std::time::Duration;

use hyper::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderValue};
use parking_lot::RwLock;
use polypy_core::Timestamp;
use ring::hmac;

use crate::hex;

/// What a request without a token is told, and one with a wrong one.
pub(crate) const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"polypy\"");
pub(crate) const INVALID: HeaderValue =
    HeaderValue::from_static("Bearer realm=\"polypy\", error=\"invalid_token\"");

/// Name of the cookie.
const COOKIE_NAME: &str = "polypy_session";
/// A working day.
const SESSION: Duration = Duration::from_secs(12 * 60 * 60);
/// Shortest token. At a thousand tries a second even one of digits alone would take
/// three hundred thousand years.
const SHORTEST: usize = 16;

/// Why a token cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Too easy to guess.
    #[error("a token has {SHORTEST} characters at least, this one has {length}")]
    Short {
        /// Its characters.
        length: usize,
    },
    /// It could not stand in a header.
    #[error("a token is made of visible ASCII characters, without spaces")]
    Characters,
}

/// Guards a server's routes by a token that can be replaced while it runs.
pub struct Access {
    keys: RwLock<Keys>,
    /// Whether probes are answered to everyone.
    open_probes: bool,
    /// Whether a cookie may stand for the token.
    sessions: bool,
}

struct Keys {
    /// Makes the codes; from the token.
    key: hmac::Key,
    /// The token's own code.
    token: hmac::Tag,
}

impl Keys {
    fn new(token: &str) -> Result<Self, TokenError> {
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Characters);
        }
        if token.len() < SHORTEST {
            let length = token.len();
            return Err(TokenError::Short { length });
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
        let token = hmac::sign(&key, token.as_bytes());
        Ok(Self { key, token })
    }
}

/// What a request brought to prove that it may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    Valid,
    /// Nothing.
    Missing,
    /// Something that proves nothing.
    Invalid,
}

impl Access {
    /// A guard with this token.
    ///
    /// # Errors
    /// When it is too short or could not stand in a header.
    pub fn new(token: &str) -> Result<Self, TokenError> {
        Ok(Self {
            keys: RwLock::new(Keys::new(token)?),
            open_probes: true,
            sessions: true,
        })
    }

    /// Whether `/health`, `/livez` and their like are answered without a token, which
    /// is the default.
    #[must_use]
    pub fn with_open_probes(mut self, open: bool) -> Self {
        self.open_probes = open;
        self
    }

    /// Takes the token alone: there is no `/login`, and a cookie, which browsers send
    /// whichever page asks, proves nothing.
    #[must_use]
    pub fn without_sessions(mut self) -> Self {
        self.sessions = false;
        self
    }

    /// Takes another token from now on. Sessions that began with the old one end.
    ///
    /// # Errors
    /// When it cannot be one; the old one stays then.
    pub fn replace(&self, token: &str) -> Result<(), TokenError> {
        let keys = Keys::new(token)?;
        *self.keys.write() = keys;
        Ok(())
    }

    /// Takes the token of another guard from now on. Sessions that began with the old
    /// one end.
    pub fn take_token_of(&self, other: Self) {
        *self.keys.write() = other.keys.into_inner();
    }

    /// Whether both guards ask for the same token.
    pub fn has_token_of(&self, other: &Self) -> bool {
        // A code is made with its token: equal ones are of equal tokens.
        self.keys.read().token.as_ref() == other.keys.read().token.as_ref()
    }

    pub(crate) fn has_open_probes(&self) -> bool {
        self.open_probes
    }

    pub(crate) fn has_sessions(&self) -> bool {
        self.sessions
    }

    /// Whether this is the token.
    pub(crate) fn is_token(&self, presented: &str) -> bool {
        let keys = self.keys.read();
        hmac::verify(&keys.key, presented.as_bytes(), keys.token.as_ref()).is_ok()
    }

    /// Looks for a token, then for a session.
    pub(crate) fn proof(&self, headers: &HeaderMap, now: Timestamp) -> Proof {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        match (given.next(), given.next()) {
            (Some(value), None) => {
                let token = value.to_str().ok().and_then(bearer);
                return match token {
                    Some(token) if self.is_token(token) => Proof::Valid,
                    _ => Proof::Invalid,
                };
            }
            (Some(_), Some(_)) => return Proof::Invalid,
            (None, _) => {}
        }
        let mut proof = Proof::Missing;
        for session in sessions(headers).filter(|_| self.sessions) {
            if self.is_session(session, now) {
                return Proof::Valid;
            }
            proof = Proof::Invalid;
        }
        proof
    }

    /// The cookie of a session that begins now.
    pub(crate) fn begin_session(&self, now: Timestamp, secure: bool) -> String {
        let ends = now.millis() + u64::try_from(SESSION.as_millis()).unwrap_or(u64::MAX);
        let code = hmac::sign(&self.keys.read().key, message(ends).as_bytes());
        let value = format!("{ends}.{}", hex::encode(code.as_ref()));
        cookie(&value, SESSION, secure)
    }

    fn is_session(&self, value: &str, now: Timestamp) -> bool {
        let Some((ends, code)) = value.split_once('.') else {
            return false;
        };
        let (Ok(ends), Some(code)) = (ends.parse::<u64>(), hex::decode(code)) else {
            return false;
        };
        let known = hmac::verify(&self.keys.read().key, message(ends).as_bytes(), &code);
        known.is_ok() && now.millis() < ends
    }
}

impl fmt::Debug for Access {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("open_probes", &self.open_probes)
            .finish_non_exhaustive()
    }
}

/// What a session's code is made of. It cannot be taken for the token's: that has no space.
fn message(ends: u64) -> String {
    format!("session until {ends}")
}

/// The cookie that ends a session in its browser.
pub(crate) fn end_session(secure: bool) -> String {
    cookie("", Duration::ZERO, secure)
}

/// Without a path: the browser's default is the folder of `/login`, so that below the path of
/// a proxy it goes to nobody else on that host.
fn cookie(value: &str, lasts: Duration, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!(
        "{COOKIE_NAME}={value}; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
        lasts.as_secs()
    )
}

/// The token behind the scheme, which is written in any case.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn sessions(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(COOKIE).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE_NAME)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "correct-horse-battery";

    fn now() -> Timestamp {
        Timestamp::from_millis(1_765_189_800_000)
    }

    fn proof(access: &Access, headers: &[(hyper::header::HeaderName, &str)]) -> Proof {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        access.proof(&map, now())
    }

    #[test]
    fn one_token_in_one_header_proves_it() {
        let access = Access::new(TOKEN).unwrap();
        for (value, expected) in [
            ("Bearer correct-horse-battery", Proof::Valid),
            ("bEARER  correct-horse-battery ", Proof::Valid),
            ("Bearer correct-horse-batterx", Proof::Invalid),
            ("Bearer correct-horse-batter", Proof::Invalid),
            ("Bearer correct-horse-batteryy", Proof::Invalid),
            ("Bearer ", Proof::Invalid),
            ("Bearer", Proof::Invalid),
            ("correct-horse-battery", Proof::Invalid),
            ("Basic correct-horse-battery", Proof::Invalid),
        ] {
            assert_eq!(
                proof(&access, &[(AUTHORIZATION, value)]),
                expected,
                "{value}"
            );
        }
        assert_eq!(proof(&access, &[]), Proof::Missing);
        let right = (AUTHORIZATION, "Bearer correct-horse-battery");
        assert_eq!(proof(&access, &[right.clone(), right]), Proof::Invalid);
    }

    #[test]
    fn a_session_lasts_until_its_end_and_with_its_token() {
        let access = Access::new(TOKEN).unwrap();
        let cookie = access.begin_session(now(), false);
        let pair = cookie.split(';').next().unwrap().to_owned();
        let given = |access: &Access, text: &str| proof(access, &[(COOKIE, text)]);
        assert_eq!(given(&access, &pair), Proof::Valid);
        assert_eq!(given(&access, &format!("a=b; {pair}; c=d")), Proof::Valid);
        assert_eq!(given(&access, "a=b"), Proof::Missing);
        // A bad token is not made good by a session.
        let both = [(AUTHORIZATION, "Bearer no"), (COOKIE, pair.as_str())];
        assert_eq!(proof(&access, &both), Proof::Invalid);

        let token_alone = Access::new(TOKEN).unwrap().without_sessions();
        assert_eq!(given(&token_alone, &pair), Proof::Missing);

        let (name, value) = pair.split_once('=').unwrap();
        let (ends, code) = value.split_once('.').unwrap();
        let later = format!("{name}={}.{code}", ends.parse::<u64>().unwrap() + 1);
        for forged in [
            later.as_str(),
            &format!("{name}={ends}"),
            &format!("{name}={ends}."),
            &format!("{name}={ends}.{}", "00".repeat(32)),
            &format!("{name}={ends}.{code}é"),
        ] {
            assert_ne!(given(&access, forged), Proof::Valid, "{forged}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_str(&pair).unwrap());
        let end = Timestamp::from_millis(ends.parse().unwrap());
        assert_eq!(access.proof(&headers, end), Proof::Invalid);

        access.replace("another-token-of-length").unwrap();
        assert_eq!(given(&access, &pair), Proof::Invalid);
        assert!(access.is_token("another-token-of-length"));
        assert!(!access.has_token_of(&token_alone));
        token_alone.take_token_of(Access::new("another-token-of-length").unwrap());
        assert!(access.has_token_of(&token_alone));
        assert!(access.replace("short").is_err());
        assert!(access.is_token("another-token-of-length"));
    }

    #[test]
    fn tokens_that_are_easy_to_guess_or_no_header_are_refused() {
        for (token, expected) in [
            ("", TokenError::Short { length: 0 }),
            ("fifteen-letters", TokenError::Short { length: 15 }),
            ("sixteen letters!", TokenError::Characters),
            ("sixteen-lettérs!", TokenError::Characters),
        ] {
            assert_eq!(Access::new(token).err(), Some(expected), "{token}");
        }
        assert!(Access::new("sixteen-letters!").is_ok());
        assert!(!format!("{:?}", Access::new(TOKEN)).contains("correct"));
    }

    #[test]
    fn cookies_are_for_this_site_and_no_script() {
        let access = Access::new(TOKEN).unwrap();
        let open = access.begin_session(now(), false);
        assert!(
            open.ends_with("; Max-Age=43200; HttpOnly; SameSite=Strict") && !open.contains("Path")
        );
        assert!(
            access
                .begin_session(now(), true)
                .ends_with("SameSite=Strict; Secure")
        );
        assert!(end_session(false).starts_with("polypy_session=; Max-Age=0;"));
    }
}
