//! Text to typed values and back: one [`Setting`] for every type a key can have.
//!
//! Every layer hands over text, whatever it was written in, so that a duration
//! means the same in a file, a variable and a flag. `parse` after `show` gives
//! the value back. What a value means for the program is not judged here.

use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};
use std::num::{IntErrorKind, NonZeroU32, NonZeroUsize, ParseIntError};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tracing_subscriber::filter::Targets;

use super::log_targets::LOG_TARGETS;
use super::suggest::nearest;

/// A type that a key can have.
pub trait Setting: Sized {
    /// What to write, as `--help` and the documents show it.
    const SHAPE: &'static str;
    /// Whether TOML writes it without quotes.
    const BARE: bool;
    /// Whether it holds several values, separated by commas.
    const LIST: bool = false;

    /// Reads what a person wrote.
    ///
    /// # Errors
    /// The reason, worded to follow the key's name.
    fn parse(text: &str) -> Result<Self, String>;

    /// The same of a value that has to lie within `low ..= high`, in the key's own notation.
    ///
    /// # Errors
    /// As for [`parse`](Self::parse), and where it lies outside.
    fn parse_within(text: &str, low: &str, high: &str) -> Result<Self, String>
    where
        Self: PartialOrd,
    {
        let value = Self::parse(text)?;
        within(&value, low, high)?;
        Ok(value)
    }

    /// Writes it in the form in which a person would.
    fn show(&self) -> String;
}

/// Values that are separated by commas, without the blanks around them. Nothing at all is
/// none; blanks and commas alone are a mistake, for who wrote them has meant something.
pub(super) fn items(text: &str) -> Result<Vec<&str>, String> {
    let items = text.split(',').map(str::trim).filter(|it| !it.is_empty());
    let items: Vec<_> = items.collect();
    if items.is_empty() && !text.is_empty() {
        return Err(format!(
            "has nothing but blanks and commas, {text:?}: name something, or leave it empty"
        ));
    }
    Ok(items)
}

/// Refuses a value outside `low ..= high`, both in the key's own notation.
pub(super) fn within<T: Setting + PartialOrd>(
    value: &T,
    low: &str,
    high: &str,
) -> Result<(), String> {
    let above = T::parse(low).is_ok_and(|low| *value >= low);
    let below = T::parse(high).is_ok_and(|high| *value <= high);
    if above && below {
        Ok(())
    } else {
        Err(format!("must be {low} to {high}, not {}", value.show()))
    }
}

impl Setting for bool {
    const SHAPE: &'static str = "true|false";
    const BARE: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(format!(
                "must be true, false, 1, 0, yes or no, not {text:?}"
            )),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! whole_number {
    ($($number:ty),+) => {$(
        impl Setting for $number {
            const SHAPE: &'static str = "number";
            const BARE: bool = true;

            fn parse(text: &str) -> Result<Self, String> {
                // A plain `1_000` is TOML's own notation; elsewhere it reads as well.
                text.replace('_', "").parse().map_err(|error: ParseIntError| {
                    let wanted = if Self::BITS <= u32::BITS {
                        format!("from {} to {}", Self::MIN, Self::MAX)
                    } else if *error.kind() == IntErrorKind::PosOverflow {
                        "of at most 19 digits".to_owned()
                    } else {
                        format!("from {} on", Self::MIN)
                    };
                    format!("must be a whole number {wanted}, not {text:?}")
                })
            }

            fn parse_within(text: &str, low: &str, high: &str) -> Result<Self, String> {
                // Also of what is no number, or larger than any.
                let value = Self::parse(text).map_err(|_reason| {
                    format!("must be a whole number from {low} to {high}, not {text:?}")
                })?;
                within(&value, low, high)?;
                Ok(value)
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

whole_number!(u16, u32, u64, usize, NonZeroU32);

impl Setting for f64 {
    const SHAPE: &'static str = "number";
    const BARE: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .ok()
            .filter(|number: &Self| number.is_finite())
            .ok_or_else(|| format!("must be a number, not {text:?}"))
    }

    fn show(&self) -> String {
        // `{:?}` keeps the point, so that TOML reads a float back.
        format!("{self:?}")
    }
}

impl Setting for IpAddr {
    const SHAPE: &'static str = "address";
    const BARE: bool = false;

    fn parse(text: &str) -> Result<Self, String> {
        from_str(text, "an IP address such as 0.0.0.0 or ::1")
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for SocketAddr {
    const SHAPE: &'static str = "address:port";
    const BARE: bool = false;

    fn parse(text: &str) -> Result<Self, String> {
        from_str(text, "an address and a port such as 127.0.0.1:9000")
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// An address, or nothing when empty.
impl Setting for Option<SocketAddr> {
    const SHAPE: &'static str = SocketAddr::SHAPE;
    const BARE: bool = false;

    fn parse(text: &str) -> Result<Self, String> {
        let text = Some(text).filter(|text| !text.is_empty());
        text.map(SocketAddr::parse).transpose()
    }

    fn show(&self) -> String {
        self.as_ref().map(Setting::show).unwrap_or_default()
    }
}

fn from_str<T: FromStr>(text: &str, wanted: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_error| format!("must be {wanted}, not {text:?}"))
}

/// Units of time, greatest first: the order in which [`Duration::show`] tries them.
const TIME_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Setting for Duration {
    const SHAPE: &'static str = "duration";
    const BARE: bool = false;

    fn parse(text: &str) -> Result<Self, String> {
        let reason = || format!("must be a duration such as 250ms, 30s, 5m or 24h, not {text:?}");
        let (number, unit) = split_unit(text, "ms");
        let (_, millis) = TIME_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(reason)?;
        let number: f64 = number.parse().map_err(|_error| reason())?;
        let unit = Self::from_millis(*millis);
        Self::try_from_secs_f64(unit.as_secs_f64() * number).map_err(|_error| reason())
    }

    fn show(&self) -> String {
        let millis = self.as_millis();
        TIME_UNITS
            .iter()
            .map(|(name, unit)| (name, u128::from(*unit)))
            .find(|(_, unit)| millis != 0 && millis.is_multiple_of(*unit))
            .map_or_else(
                || format!("{millis}ms"),
                |(name, unit)| format!("{}{name}", millis / unit),
            )
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub usize);

/// Units of memory, greatest binary one first; the decimal ones are read only.
const BYTE_UNITS: [(&str, usize); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
];

impl Setting for ByteSize {
    const SHAPE: &'static str = "size";
    const BARE: bool = false;

    fn parse(text: &str) -> Result<Self, String> {
        let reason = || format!("must be a size such as 64KiB or 16MiB, not {text:?}");
        let (number, unit) = split_unit(text, "B");
        let (_, bytes) = BYTE_UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .ok_or_else(reason)?;
        let number: usize = number.parse().map_err(|_error| reason())?;
        number.checked_mul(*bytes).map(Self).ok_or_else(reason)
    }

    fn show(&self) -> String {
        BYTE_UNITS[..4]
            .iter()
            .find(|(_, unit)| self.0 != 0 && self.0.is_multiple_of(*unit))
            .map_or_else(
                || format!("{}B", self.0),
                |(name, unit)| format!("{}{name}", self.0 / unit),
            )
    }
}

/// A number and its unit. Zero is the same in all of them, and needs none.
fn split_unit<'a>(text: &'a str, least: &'a str) -> (&'a str, &'a str) {
    if text.trim() == "0" {
        return ("0", least);
    }
    let end = text
        .find(|letter: char| letter.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number.trim(), unit.trim())
}

/// Names of hosts, `*.example.org` for all below one, `*` for any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostNames(pub Vec<String>);

impl Setting for HostNames {
    const SHAPE: &'static str = "names";
    const BARE: bool = false;

    fn parse(text: &str) -> Result<Self, String> {
        let names = items(text)?.into_iter();
        let names: Vec<String> = names.map(str::to_ascii_lowercase).collect();
        match names.iter().find(|name| !is_host_name(name)) {
            None => Ok(Self(names)),
            Some(odd) => Err(format!(
                "must be names of hosts without a port, such as polypy.example.org or \
                 *.example.org, separated by commas, not {odd:?}"
            )),
        }
    }

    fn show(&self) -> String {
        self.0.join(", ")
    }
}

fn is_host_name(name: &str) -> bool {
    let rest = match name.strip_prefix("*.") {
        Some(rest) => rest,
        None if name == "*" => return true,
        None => name,
    };
    let label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.bytes().all(plain)
    };
    rest.split('.').all(label)
}

/// How many worker threads keep the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WorkerCount {
    /// One fewer than the machine has cores, one to four.
    #[default]
    Auto,
    /// This many.
    Fixed(NonZeroUsize),
}

impl WorkerCount {
    /// More threads than this only cost memory: one keeps up with several times
    /// the busiest traffic of the whole venue.
    pub const MAX: usize = 64;

    /// The number of threads on a machine of `cores`.
    pub fn resolve(self, cores: NonZeroUsize) -> NonZeroUsize {
        match self {
            Self::Auto => NonZeroUsize::new((cores.get() - 1).clamp(1, 4)).unwrap_or(cores),
            Self::Fixed(count) => count,
        }
    }
}

impl Setting for WorkerCount {
    const SHAPE: &'static str = "auto|number";
    const BARE: bool = false;

    fn parse(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Self::Auto);
        }
        text.parse()
            .ok()
            .filter(|count: &NonZeroUsize| count.get() <= Self::MAX)
            .map(Self::Fixed)
            .ok_or_else(|| format!("must be auto or 1 to {}, not {text:?}", Self::MAX))
    }

    fn show(&self) -> String {
        match self {
            Self::Auto => "auto".to_owned(),
            Self::Fixed(count) => count.to_string(),
        }
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

impl Setting for LogFormat {
    const SHAPE: &'static str = "auto|text|json";
    const BARE: bool = false;

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("must be auto, text or json, not {text:?}")),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
        }
        .to_owned()
    }
}

/// What is logged: a level, or directives such as `info,polypy_net=debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

/// Levels, with the names that other ecosystems give them.
const LEVELS: [(&str, &str); 8] = [
    ("off", "off"),
    ("error", "error"),
    ("critical", "error"),
    ("warn", "warn"),
    ("warning", "warn"),
    ("info", "info"),
    ("debug", "debug"),
    ("trace", "trace"),
];

impl LogFilter {
    /// The directives in the notation of `tracing-subscriber`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Setting for LogFilter {
    const SHAPE: &'static str = "level";
    const BARE: bool = false;

    fn parse(text: &str) -> Result<Self, String> {
        let directives: Result<Vec<String>, String> = text.split(',').map(directive).collect();
        let directives = directives?.join(",");
        let filter: Result<Targets, _> = directives.parse();
        filter
            .map(|_filter| Self(directives))
            .map_err(|error| format!("{error}"))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// One directive with its level spelt the usual way. A bare word must be a
/// level: taken as a target, a misspelt level would silence everything. What is no
/// module's path is refused: it would never match.
fn directive(text: &str) -> Result<String, String> {
    let text = text.trim();
    let (target, level) = text
        .rsplit_once('=')
        .map_or((None, text), |(target, level)| (Some(target), level));
    let level = LEVELS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(level))
        .map(|(_, level)| *level);
    let usage = || {
        format!(
            "must be off, error, warn, info, debug or trace, \
             or directives such as info,polypy_net=debug, not {text:?}"
        )
    };
    let level = level.ok_or_else(usage)?;
    let Some(target) = target else {
        return Ok(level.to_owned());
    };
    check_target(target)?;
    let of_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    if target.is_empty() || !target.chars().all(of_path) {
        return Err(usage());
    }
    Ok(format!("{target}={level}"))
}

/// Refuses a target that was meant to be one of ours. Those of other crates are
/// not known here: what is far from every name of ours is let through.
fn check_target(target: &str) -> Result<(), String> {
    let name = target.split(':').next().unwrap_or(target);
    // A crate's name has underscores where its package has dashes.
    let name = name.replace('-', "_");
    let crates = LOG_TARGETS.iter().map(|(name, _)| *name);
    let ours = LOG_TARGETS.iter().find(|(ours, _)| *ours == name);
    match (ours, nearest(&name, crates)) {
        (Some((ours, modules)), _) if target.starts_with(ours) => {
            check_module(target, ours, modules)
        }
        (_, Some(meant)) => Err(format!("has no module {target:?}, did you mean {meant}?")),
        (_, None) => Ok(()),
    }
}

/// The same of the module named behind one of our crates.
fn check_module(target: &str, ours: &str, modules: &[&str]) -> Result<(), String> {
    let module = target.split("::").nth(1);
    if target == ours || module.is_some_and(|module| modules.contains(&module)) {
        return Ok(());
    }
    let meant = nearest(module.unwrap_or_default(), modules.iter().copied());
    Err(match meant {
        Some(meant) => format!("has no module {target:?} that logs, did you mean {ours}::{meant}?"),
        None => format!(
            "has no module {target:?} that logs; {ours} has {}",
            modules.join(", ")
        ),
    })
}

/// An absolute URL without a trailing slash, whose scheme the key demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url<const WEBSOCKET: bool>(String);

/// A URL of scheme `http` or `https`.
pub type HttpUrl = Url<false>;
/// A URL of scheme `ws` or `wss`.
pub type WsUrl = Url<true>;

impl<const WEBSOCKET: bool> Url<WEBSOCKET> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const WEBSOCKET: bool> Display for Url<WEBSOCKET> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<const WEBSOCKET: bool> Setting for Url<WEBSOCKET> {
    const SHAPE: &'static str = if WEBSOCKET { "ws-url" } else { "http-url" };
    const BARE: bool = false;

    fn parse(text: &str) -> Result<Self, String> {
        let schemes = if WEBSOCKET {
            ["ws://", "wss://"]
        } else {
            ["http://", "https://"]
        };
        let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        let host = rest.and_then(|rest| rest.split('/').next());
        if plain && host.is_some_and(|host| !host.is_empty() && !host.starts_with(':')) {
            Ok(Self(text.trim_end_matches('/').to_owned()))
        } else {
            Err(format!(
                "must be a URL that begins with {} or {}, not {text:?}",
                schemes[0], schemes[1]
            ))
        }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// A path, or nothing when empty.
impl Setting for Option<PathBuf> {
    const SHAPE: &'static str = "path";
    const BARE: bool = false;

    fn parse(text: &str) -> Result<Self, String> {
        Ok(Some(text)
            .filter(|text| !text.is_empty())
            .map(PathBuf::from))
    }

    fn show(&self) -> String {
        self.as_ref()
            .map(|path| path.display().to_string())
            .unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
