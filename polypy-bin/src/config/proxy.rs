//! The proxy through which the venue is reached.

use polypy_net::dial::Proxy;

use super::value::Setting;

/// A proxy's address, with user and password if it wants them; none when empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProxyUrl(pub Option<String>);

impl Setting for ProxyUrl {
    const SHAPE: &'static str = "url";
    const BARE: bool = false;

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        // As other programs take it from the environment.
        let url = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        Proxy::new(&url, &[])?;
        Ok(Self(Some(url)))
    }

    /// Without the password.
    fn show(&self) -> String {
        let url = self.0.as_deref().unwrap_or_default();
        let Some((before, place)) = url.rsplit_once('@') else {
            return url.to_owned();
        };
        let user = before.trim_start_matches("http://").split(':').next();
        format!("http://{}:***@{place}", user.unwrap_or_default())
    }
}

/// Hosts that are reached without the proxy. What stands in the environment for other
/// programs, such as networks, is taken and matches nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NoProxy(pub Vec<String>);

impl Setting for NoProxy {
    const SHAPE: &'static str = "names";
    const BARE: bool = false;

    fn parse(text: &str) -> Result<Self, String> {
        let names = text.split(',').map(str::trim);
        let names = names.filter(|name| !name.is_empty()).map(str::to_owned);
        Ok(Self(names.collect()))
    }

    fn show(&self) -> String {
        self.0.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let shown = |text| ProxyUrl::parse(text).unwrap().show();
        assert_eq!(shown(""), "");
        assert_eq!(shown("http://proxy:3128"), "http://proxy:3128");
        assert_eq!(shown("proxy:3128"), "http://proxy:3128");
        assert_eq!(
            shown("http://user:secret@proxy:3128"),
            "http://user:***@proxy:3128"
        );
        let error = ProxyUrl::parse("http://user:secret@proxy").unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }
}
