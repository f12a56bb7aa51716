//! What a subscription asks for, in the words that all doors share.

use std::fmt;
use std::time::Duration;

use polypy_core::Selector;

/// A kind of messages that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Snapshots and deltas.
    Book,
    /// Best prices and sizes.
    Top,
    /// Trades.
    Trade,
    /// How far to trust each book.
    State,
    /// What happens to markets.
    Market,
    /// The server's counters, once a second.
    Stats,
    /// The server's verdict on itself, and its newest sample, once a second.
    Health,
}

impl Channel {
    /// All, in the order in which they are listed.
    pub const ALL: [Self; 7] = [
        Self::Book,
        Self::Top,
        Self::Trade,
        Self::State,
        Self::Market,
        Self::Stats,
        Self::Health,
    ];

    /// The names of all.
    pub const NAMES: [&'static str; Self::ALL.len()] = {
        let mut names = [""; Self::ALL.len()];
        let mut at = 0;
        while at < names.len() {
            names[at] = Self::ALL[at].name();
            at += 1;
        }
        names
    };

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Book => "book",
            Self::Top => "top",
            Self::Trade => "trade",
            Self::State => "state",
            Self::Market => "market",
            Self::Stats => "stats",
            Self::Health => "health",
        }
    }
}

/// A set of channels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Channels(u8);

impl Channels {
    /// None.
    pub const NONE: Self = Self(0);

    /// The set with this one, too.
    #[must_use]
    pub const fn with(self, channel: Channel) -> Self {
        Self(self.0 | 1 << channel as u8)
    }

    /// The set without this one.
    #[must_use]
    pub const fn without(self, channel: Channel) -> Self {
        Self(self.0 & !(1 << channel as u8))
    }

    /// The channels of either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether this one is in it.
    pub const fn has(self, channel: Channel) -> bool {
        self.0 & (1 << channel as u8) != 0
    }

    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    pub(crate) const fn of_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// Whether there is none in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The channels in it that bring something of tokens.
    #[must_use]
    pub const fn of_tokens(self) -> Self {
        self.without(Channel::Stats).without(Channel::Health)
    }

    /// Those in it, in the order in which they are listed.
    pub fn iter(self) -> impl Iterator<Item = Channel> {
        let all = Channel::ALL.into_iter();
        all.filter(move |channel| self.has(*channel))
    }
}

/// What is asked for by who names no channels.
impl Default for Channels {
    fn default() -> Self {
        [
            Channel::Book,
            Channel::Trade,
            Channel::State,
            Channel::Market,
        ]
        .into_iter()
        .collect()
    }
}

impl FromIterator<Channel> for Channels {
    fn from_iter<I: IntoIterator<Item = Channel>>(channels: I) -> Self {
        channels.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.iter().map(Channel::name);
        f.debug_set().entries(names).finish()
    }
}

/// How a book is shown to a subscriber. Subscriptions with equal modes share every
/// message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Mode {
    /// The latest state, at most this often; each change if `None`. One of
    /// [`INTERVALS`](Self::INTERVALS).
    pub interval: Option<Duration>,
    /// Levels a side at most; all if `None`. One of [`DEPTHS`](Self::DEPTHS).
    pub depth: Option<u16>,
}

impl Mode {
    /// The depths that can be asked for.
    pub const DEPTHS: [u16; 6] = [1, 5, 10, 20, 50, 100];
    /// The intervals that there are, in milliseconds: a screen's pace first. What lies
    /// between is rounded up.
    pub const INTERVALS: [u64; 11] = [
        16, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000,
    ];
    /// The interval of who names none, in milliseconds.
    pub const DEFAULT_INTERVAL: u64 = 500;

    /// The interval in milliseconds.
    pub fn interval_ms(self) -> Option<u64> {
        let interval = self.interval?;
        Some(u64::try_from(interval.as_millis()).unwrap_or(u64::MAX))
    }
}

/// What a subscription asks for.
///
/// ```
/// use polypy_api::{Channel, Filter};
/// let mut filter = Filter::builder();
/// filter.set("tokens", "123,456")?;
/// filter.set("channels", "book,top")?;
/// filter.set("mode", "conflated")?;
/// let filter = filter.build(5_000)?;
/// assert_eq!(filter.selectors.len(), 2);
/// assert!(filter.channels.has(Channel::Top));
/// assert_eq!(filter.mode.interval_ms(), Some(500));
/// # Ok::<(), polypy_api::BadParameter>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Whose messages: of all that any of them names. Never empty.
    pub selectors: Vec<Selector>,
    /// Which kinds.
    pub channels: Channels,
    /// How books are shown.
    pub mode: Mode,
}

impl Filter {
    /// A filter to be made of the words of a request.
    pub fn builder() -> FilterBuilder {
        FilterBuilder::default()
    }

    /// Everything that is in the catalogue, on these channels.
    pub fn everything(channels: Channels) -> Self {
        Self {
            selectors: vec![Selector::Everything],
            channels,
            mode: Mode::default(),
        }
    }

    /// These tokens, on these channels.
    pub fn tokens<'a>(ids: impl IntoIterator<Item = &'a str>, channels: Channels) -> Self {
        let selectors = ids.into_iter().map(|id| Selector::Token(id.into()));
        Self {
            selectors: selectors.collect(),
            channels,
            mode: Mode::default(),
        }
    }
}

/// A parameter that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct BadParameter {
    /// The parameter.
    pub name: &'static str,
    /// What is wrong with it, and what would be right.
    pub reason: String,
    /// More tokens than one subscription may name.
    pub is_too_many: bool,
}

impl BadParameter {
    /// A parameter that is wrong for this reason.
    pub fn new(name: &'static str, reason: impl Into<String>) -> Self {
        Self {
            name,
            reason: reason.into(),
            is_too_many: false,
        }
    }

    /// The code under which it is reported to clients.
    pub fn code(&self) -> &'static str {
        if self.is_too_many {
            "too_many_tokens"
        } else {
            "bad_parameter"
        }
    }
}

/// Collects the words of a request, and judges them together.
#[derive(Debug, Clone, Default)]
pub struct FilterBuilder {
    selectors: Vec<Selector>,
    /// The parameter by which something was to be selected last, be it an empty list.
    selecting: Option<&'static str>,
    channels: Option<Channels>,
    is_conflated: Option<bool>,
    interval_ms: Option<u64>,
    depth: Option<u64>,
}

/// Longest piece of a request that is repeated in an error.
const SHOWN: usize = 80;

impl FilterBuilder {
    /// The names of the parameters, as [`set`](Self::set) takes them.
    pub const NAMES: [&'static str; 7] = [
        "tokens",
        "markets",
        "events",
        "channels",
        "mode",
        "interval_ms",
        "depth",
    ];

    /// Takes a parameter as it stands in a query: lists with commas. `Ok(false)`: there
    /// is no such parameter.
    ///
    /// # Errors
    /// When the value is none of the parameter's.
    pub fn set(&mut self, name: &str, value: &str) -> Result<bool, BadParameter> {
        let list = || value.split(',').filter(|text| !text.is_empty());
        match name {
            "tokens" => self.tokens(list()),
            "markets" => self.markets(list()),
            "events" => self.events(list()),
            "channels" => self.channels(list())?,
            "mode" => self.mode(value)?,
            "interval_ms" => self.interval_ms(number("interval_ms", value)?),
            "depth" => self.depth(number("depth", value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Adds tokens by their ids.
    pub fn tokens<'a>(&mut self, ids: impl IntoIterator<Item = &'a str>) {
        self.select("tokens", ids, Selector::Token);
    }

    /// Adds markets by condition id or slug.
    pub fn markets<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        self.select("markets", names, Selector::Market);
    }

    /// Adds events by slug.
    pub fn events<'a>(&mut self, slugs: impl IntoIterator<Item = &'a str>) {
        self.select("events", slugs, Selector::Event);
    }

    fn select<'a>(
        &mut self,
        parameter: &'static str,
        names: impl IntoIterator<Item = &'a str>,
        selector: fn(Box<str>) -> Selector,
    ) {
        self.selecting = Some(parameter);
        let names = names.into_iter().map(|name| selector(name.into()));
        self.selectors.extend(names);
    }

    /// Names the channels.
    ///
    /// # Errors
    /// When there is no such channel.
    pub fn channels<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), BadParameter> {
        let mut channels = self.channels.unwrap_or(Channels::NONE);
        for name in names {
            let channel = Channel::ALL
                .into_iter()
                .find(|channel| channel.name() == name);
            let channel = channel.ok_or_else(|| {
                let known = Channel::NAMES.join(", ");
                let reason = format!("no channel {}: there are {known}", quoted(name));
                BadParameter::new("channels", reason)
            })?;
            channels = channels.with(channel);
        }
        self.channels = Some(channels);
        Ok(())
    }

    /// `every` or `conflated`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn mode(&mut self, name: &str) -> Result<(), BadParameter> {
        self.is_conflated = Some(match name {
            "every" => false,
            "conflated" => true,
            _ => {
                let reason = format!("must be every or conflated, not {}", quoted(name));
                return Err(BadParameter::new("mode", reason));
            }
        });
        Ok(())
    }

    /// The shortest time between two messages of a token.
    pub fn interval_ms(&mut self, interval: u64) {
        self.interval_ms = Some(interval);
    }

    /// Levels a side.
    pub fn depth(&mut self, depth: u64) {
        self.depth = Some(depth);
    }

    /// The filter, if it names at most so many tokens, markets and events.
    ///
    /// # Errors
    /// When a value is out of its range, or two contradict each other.
    pub fn build(mut self, most: usize) -> Result<Filter, BadParameter> {
        let named = self.selectors.len();
        if named > most {
            let mut error = BadParameter::new(
                self.selecting.unwrap_or("tokens"),
                format!(
                    "{named} tokens, markets and events are named, {most} may be: use several \
                     subscriptions, or none of the three for everything"
                ),
            );
            error.is_too_many = true;
            return Err(error);
        }
        if self.selectors.is_empty() {
            if let Some(parameter) = self.selecting {
                let reason = "names nothing: leave it out for everything";
                return Err(BadParameter::new(parameter, reason));
            }
            self.selectors.push(Selector::Everything);
        }
        let channels = self.channels.unwrap_or_default();
        if channels.is_empty() {
            let reason = "names nothing: leave it out for the usual ones";
            return Err(BadParameter::new("channels", reason));
        }
        if channels.of_tokens().is_empty()
            && let Some(parameter) = self.selecting
        {
            let names: Vec<_> = channels.iter().map(Channel::name).collect();
            let reason = format!(
                "channels={} is about no token: leave one of the two out, or add a channel that \
                 brings something of tokens",
                names.join(",")
            );
            return Err(BadParameter::new(parameter, reason));
        }
        Ok(Filter {
            mode: Mode {
                interval: self.interval()?,
                depth: self.allowed_depth()?,
            },
            selectors: self.selectors,
            channels,
        })
    }

    fn interval(&self) -> Result<Option<Duration>, BadParameter> {
        let bad = |reason| Err(BadParameter::new("interval_ms", reason));
        if !self.is_conflated.unwrap_or(false) {
            return match self.interval_ms {
                None => Ok(None),
                Some(_) => bad("is for mode=conflated alone: add that, or leave it out".to_owned()),
            };
        }
        let wanted = self.interval_ms.unwrap_or(Mode::DEFAULT_INTERVAL);
        let [least, .., most] = Mode::INTERVALS;
        let mut allowed = Mode::INTERVALS.into_iter();
        match allowed.find(|interval| *interval >= wanted) {
            Some(interval) if wanted >= least => Ok(Some(Duration::from_millis(interval))),
            _ => bad(format!("must be {least} to {most}, not {wanted}")),
        }
    }

    fn allowed_depth(&self) -> Result<Option<u16>, BadParameter> {
        let Some(wanted) = self.depth else {
            return Ok(None);
        };
        let mut allowed = Mode::DEPTHS.into_iter();
        match allowed.find(|depth| u64::from(*depth) == wanted) {
            Some(depth) => Ok(Some(depth)),
            None => {
                let known = Mode::DEPTHS.map(|depth| depth.to_string()).join(", ");
                let reason =
                    format!("must be one of {known}, not {wanted}; without it all levels come");
                Err(BadParameter::new("depth", reason))
            }
        }
    }
}

fn number(name: &'static str, text: &str) -> Result<u64, BadParameter> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_number);
    number.ok_or_else(|| {
        let reason = format!("must be a whole number, not {}", quoted(text));
        BadParameter::new(name, reason)
    })
}

/// A piece of a request as an error repeats it: escaped, and cut if it is long.
pub(crate) fn quoted(text: &str) -> String {
    let cut = text.char_indices().nth(SHOWN).map(|(at, _)| at);
    match cut {
        Some(at) => format!("\"{}...\"", text[..at].escape_debug()),
        None => format!("\"{}\"", text.escape_debug()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(query: &[(&str, &str)]) -> Result<Filter, BadParameter> {
        let mut filter = Filter::builder();
        for (name, value) in query {
            assert!(filter.set(name, value)?, "{name} is a parameter");
        }
        filter.build(3)
    }

    #[test]
    fn no_word_means_everything_on_the_usual_channels() {
        let filter = filter(&[]).unwrap();
        assert_eq!(filter.selectors, [Selector::Everything]);
        let names: Vec<_> = filter.channels.iter().map(Channel::name).collect();
        assert_eq!(names, ["book", "trade", "state", "market"]);
        assert_eq!(filter.mode, Mode::default());
        assert_eq!(Filter::builder().set("cursor", "1"), Ok(false));
    }

    #[test]
    fn the_three_ways_to_name_tokens_add_up() {
        let named = [("tokens", "1,2"), ("markets", "0xa1")];
        let filter = filter(&named).unwrap();
        let expected = [
            Selector::Token("1".into()),
            Selector::Token("2".into()),
            Selector::Market("0xa1".into()),
        ];
        assert_eq!(filter.selectors, expected);
    }

    #[test]
    fn intervals_between_classes_are_rounded_up_and_never_down() {
        for (asked, given) in [
            ("16", 16),
            ("17", 50),
            ("51", 100),
            ("60000", 60_000),
            ("2500", 5_000),
        ] {
            let filter = filter(&[("mode", "conflated"), ("interval_ms", asked)]).unwrap();
            assert_eq!(filter.mode.interval_ms(), Some(given), "{asked}");
        }
    }

    #[test]
    fn a_bad_word_is_named_with_what_would_be_right() {
        for (query, error) in [
            (
                &[("depth", "7")][..],
                "depth: must be one of 1, 5, 10, 20, 50, 100, not 7; without it all levels come",
            ),
            (
                &[("depth", "+5")],
                "depth: must be a whole number, not \"+5\"",
            ),
            (
                &[("mode", "fast")],
                "mode: must be every or conflated, not \"fast\"",
            ),
            (
                &[("interval_ms", "500")],
                "interval_ms: is for mode=conflated alone: add that, or leave it out",
            ),
            (
                &[("mode", "conflated"), ("interval_ms", "15")],
                "interval_ms: must be 16 to 60000, not 15",
            ),
            (
                &[("mode", "conflated"), ("interval_ms", "60001")],
                "interval_ms: must be 16 to 60000, not 60001",
            ),
            (
                &[("channels", "book,boo\nk")],
                "channels: no channel \"boo\\nk\": there are book, top, trade, state, market, stats, health",
            ),
            (
                &[("channels", "")],
                "channels: names nothing: leave it out for the usual ones",
            ),
            (
                &[("tokens", "")],
                "tokens: names nothing: leave it out for everything",
            ),
            (
                &[("events", ",")],
                "events: names nothing: leave it out for everything",
            ),
            (
                &[("channels", "stats"), ("markets", "0xa")],
                "markets: channels=stats is about no token: leave one of the two out, or add a \
                 channel that brings something of tokens",
            ),
        ] {
            assert_eq!(filter(query).unwrap_err().to_string(), error);
        }
        let neither = [("channels", "health,stats"), ("events", "a")];
        let error = filter(&neither).unwrap_err().to_string();
        assert!(error.contains("channels=stats,health is about"), "{error}");
        let too_many = filter(&[("tokens", "1,2"), ("events", "a,b")]).unwrap_err();
        assert_eq!(too_many.code(), "too_many_tokens");
        assert_eq!(too_many.name, "events");
        assert!(filter(&[("tokens", "1,2,3")]).is_ok(), "as many as may be");
        let both = [("tokens", "1"), ("channels", "stats,top")];
        assert!(filter(&both).is_ok(), "top is about the token");
    }

    #[test]
    fn what_is_long_is_cut_where_a_character_ends() {
        let text = "\u{e9}".repeat(SHOWN + 1);
        assert_eq!(quoted(&text), format!("\"{}...\"", "\u{e9}".repeat(SHOWN)));
        assert_eq!(quoted("a\"b"), "\"a\\\"b\"");
    }
}
