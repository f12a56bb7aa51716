//! The origins whose pages may read the answers.

use super::value::{Setting, items};

/// Origins as browsers write them, separated by commas.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origins(pub Vec<String>);

impl Setting for Origins {
    const SHAPE: &'static str = "origins";
    const BARE: bool = false;

    fn parse(text: &str) -> Result<Self, String> {
        let origins = items(text)?.into_iter();
        let origins: Vec<String> = origins.map(str::to_ascii_lowercase).collect();
        match origins.iter().find(|origin| !is_origin(origin)) {
            None => Ok(Self(origins)),
            Some(odd) => Err(format!(
                "must be origins without a path, such as https://app.example.org or \
                 http://localhost:3000, separated by commas, or *, not {odd:?}"
            )),
        }
    }

    fn show(&self) -> String {
        self.0.join(", ")
    }
}

fn is_origin(text: &str) -> bool {
    if text == "*" {
        return true;
    }
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    rest.is_some_and(|rest| {
        let first = rest.bytes().next();
        first.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'[')
            && rest.bytes().all(plain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_have_a_scheme_and_no_path() {
        let origins = Origins::parse("https://A.example.org, http://[::1]:3000,*").unwrap();
        assert_eq!(
            origins.show(),
            "https://a.example.org, http://[::1]:3000, *"
        );
        assert_eq!(Origins::parse("").unwrap(), Origins::default());
        for odd in [
            "a.example.org",
            "https://a/",
            "https://",
            "ftp://a",
            "null",
            "https://*.a",
        ] {
            let error = Origins::parse(odd).unwrap_err();
            assert!(error.contains(&format!("{odd:?}")), "{error}");
        }
    }
}
