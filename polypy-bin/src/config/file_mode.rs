//! Who may use a file, as `chmod` takes it.

use super::value::Setting;

/// Permissions in octal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileMode(pub u32);

impl Setting for FileMode {
    const SHAPE: &'static str = "mode";
    const BARE: bool = false;

    fn parse(text: &str) -> Result<Self, String> {
        let digits = text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
        u32::from_str_radix(text, 8)
            .ok()
            .filter(|mode| digits && *mode <= 0o777)
            .map(Self)
            .ok_or_else(|| format!("must be a mode as chmod takes it, such as 600, not {text:?}"))
    }

    fn show(&self) -> String {
        format!("{:03o}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal() {
        assert_eq!(FileMode::parse("600"), Ok(FileMode(0o600)));
        assert_eq!(FileMode::parse("0660"), Ok(FileMode(0o660)));
        assert_eq!(FileMode(0o60).show(), "060");
        for odd in ["", "800", "1777", "+600", "rw", "00600"] {
            assert!(FileMode::parse(odd).is_err(), "{odd}");
        }
    }
}
