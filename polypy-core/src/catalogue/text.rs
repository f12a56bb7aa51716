//! Text in the form in which it is compared: words without accents, in lower case.
//!
//! A folded text is its words, with one space before each: ` will spain win`. A word
//! that is looked for matches the beginning of one that is there, so that looking for
//! ` spa` in the text is the whole comparison.
//!
//! | text | folded |
//! |---|---|
//! | `Łódź`, `São Paulo`, `Straße` | ` lodz`, ` sao paulo`, ` strasse` |
//! | `Trump's`, `$100,000`, `up-or-down` | ` trumps`, ` 100000`, ` up or down` |
//! | `東京` | ` 東京`: found by its beginning; such text has no spaces to find more by |

use std::fmt;

use memchr::memmem;
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Characters of a phrase at most: longer than any question of the venue.
const MAX_PHRASE: usize = 256;
/// Words of a phrase at most: each is looked for.
const MAX_WORDS: usize = 8;

/// Why a text is no phrase to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PhraseError {
    /// Nothing but spaces and signs.
    #[error("there is no letter or digit in it")]
    NoWord,
    /// Too many characters.
    #[error("more than {MAX_PHRASE} characters")]
    TooLong,
    /// Too many words.
    #[error("more than {MAX_WORDS} words")]
    TooManyWords,
}

/// Appends the words of `text` to `into`, each with one space before it.
pub fn fold(text: &str, into: &mut String) {
    let mut is_inside = false;
    let mut chars = text.nfkd().filter(|c| !is_combining_mark(*c)).peekable();
    let mut before = ' ';
    while let Some(c) = chars.next() {
        let is_part = c.is_alphanumeric();
        if is_part {
            if !is_inside {
                into.push(' ');
            }
            push_lower(c, into);
        }
        // "Trump's" and "100,000" are one word each, also where the sign is left out.
        is_inside = is_part
            || is_inside
                && match c {
                    '\'' | '’' => true,
                    ',' => {
                        before.is_ascii_digit() && chars.peek().is_some_and(char::is_ascii_digit)
                    }
                    _ => false,
                };
        before = c;
    }
}

/// Letters that have an accent and do not come apart, and two that people write as two.
fn push_lower(c: char, into: &mut String) {
    for c in c.to_lowercase() {
        match c {
            'ł' => into.push('l'),
            'ø' => into.push('o'),
            'đ' | 'ð' => into.push('d'),
            'þ' => into.push_str("th"),
            'ß' => into.push_str("ss"),
            'æ' => into.push_str("ae"),
            'œ' => into.push_str("oe"),
            'ı' => into.push('i'),
            'ħ' => into.push('h'),
            'ŧ' => into.push('t'),
            'ŋ' => into.push_str("ng"),
            c if is_combining_mark(c) => {}
            c => into.push(c),
        }
    }
}

/// The words of a folded text.
pub fn words(folded: &str) -> impl Iterator<Item = &str> {
    folded.split(' ').skip(1)
}

/// A name that is compared by its words: `Middle East` and `middle-east` are one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Folded(Box<str>);

impl Folded {
    /// The name in its folded form; `None` if there is no word in it.
    pub fn new(text: &str) -> Option<Self> {
        let mut folded = String::with_capacity(text.len() + 1);
        fold(text, &mut folded);
        (!folded.is_empty()).then(|| Self(folded.into()))
    }

    /// The words, with one space between them.
    pub fn as_str(&self) -> &str {
        self.0.trim_start_matches(' ')
    }
}

impl fmt::Display for Folded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A tag's or a category's name as somebody wrote it; two that are compared as one are equal.
#[derive(Debug, Clone)]
pub struct Label {
    written: Box<str>,
    folded: Folded,
}

impl Label {
    /// The name; `None` if there is no word in it.
    pub fn new(text: &str) -> Option<Self> {
        Some(Self {
            folded: Folded::new(text)?,
            written: text.trim().into(),
        })
    }

    /// What was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// As it is compared.
    pub fn folded(&self) -> &Folded {
        &self.folded
    }
}

impl PartialEq for Label {
    fn eq(&self, other: &Self) -> bool {
        self.folded == other.folded
    }
}

impl Eq for Label {}

/// How well a phrase fits, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fit {
    /// The text begins with it.
    Beginning,
    /// Its words follow each other in the text.
    Phrase,
    /// All its words are there.
    Words,
}

/// Words to look for: all of them are the beginning of a word of the text.
///
/// ```
/// use polypy_core::catalogue::{Phrase, fold};
///
/// let mut text = String::new();
/// fold("Will Łódź win?", &mut text);
/// assert!(Phrase::parse("lodz wi")?.fit(&text).is_some());
/// assert!(Phrase::parse("odz")?.fit(&text).is_none());
/// # Ok::<(), polypy_core::catalogue::PhraseError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Phrase {
    written: Box<str>,
    folded: Box<str>,
    /// Looks for the word that is likely to be the rarest: the longest.
    rarest: memmem::Finder<'static>,
    /// Look for the others, each with its space. Made once: a common word is looked for in
    /// tens of thousands of texts, each shorter than what making it ready takes.
    others: Vec<memmem::Finder<'static>>,
    /// Looks for all words side by side.
    whole: memmem::Finder<'static>,
}

impl PartialEq for Phrase {
    fn eq(&self, other: &Self) -> bool {
        self.folded == other.folded
    }
}

impl Eq for Phrase {}

impl Phrase {
    /// Reads what somebody typed.
    ///
    /// # Errors
    /// [`PhraseError`] if there is no word in it, or too much.
    pub fn parse(text: &str) -> Result<Self, PhraseError> {
        if text.chars().nth(MAX_PHRASE).is_some() {
            return Err(PhraseError::TooLong);
        }
        let mut folded = String::with_capacity(text.len() + 1);
        fold(text, &mut folded);
        let mut sought: Vec<Box<str>> = words(&folded)
            .map(|word| format!(" {word}").into())
            .collect();
        sought.dedup();
        if sought.len() > MAX_WORDS {
            return Err(PhraseError::TooManyWords);
        }
        // Of equals the last: questions begin alike.
        let longest = (0..sought.len()).max_by_key(|at| sought[*at].len());
        let rarest = sought.remove(longest.ok_or(PhraseError::NoWord)?);
        let finder = |text: &str| memmem::Finder::new(text.as_bytes()).into_owned();
        Ok(Self {
            written: text.trim().into(),
            rarest: finder(&rarest),
            others: sought.iter().map(|word| finder(word)).collect(),
            whole: finder(&folded),
            folded: folded.into(),
        })
    }

    /// What was typed.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// How well it fits a folded text; `None` if a word is missing.
    pub fn fit(&self, folded: &str) -> Option<Fit> {
        self.rarest.find(folded.as_bytes())?;
        self.fit_of_others(folded)
    }

    /// How well it fits a folded text in which its rarest word is.
    fn fit_of_others(&self, folded: &str) -> Option<Fit> {
        let text = folded.as_bytes();
        if !self.others.iter().all(|word| word.find(text).is_some()) {
            return None;
        }
        Some(if folded.starts_with(&*self.folded) {
            Fit::Beginning
        } else if self.others.is_empty() || self.whole.find(text).is_some() {
            Fit::Phrase
        } else {
            Fit::Words
        })
    }

    /// Which of the folded texts that stand in `all` one after the other it fits, and how
    /// well; `ends` says where each ends.
    pub fn fits<'a>(
        &'a self,
        all: &'a str,
        ends: &'a [u32],
    ) -> impl Iterator<Item = (usize, Fit)> + 'a {
        let end_of = |at: usize| ends.get(at).map_or(all.len(), |end| *end as usize);
        let mut from = 0;
        let mut at = 0;
        std::iter::from_fn(move || {
            loop {
                let hit = from + self.rarest.find(all.as_bytes().get(from..)?)?;
                // Rare words leave many texts out, common ones few.
                while end_of(at) <= hit {
                    at += 1;
                    if at >= ends.len() {
                        return None;
                    }
                }
                let found = at;
                let begin = found.checked_sub(1).map_or(0, end_of);
                from = end_of(found);
                if let Some(fit) = all
                    .get(begin..from)
                    .and_then(|text| self.fit_of_others(text))
                {
                    return Some((found, fit));
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded(text: &str) -> String {
        let mut folded = String::new();
        fold(text, &mut folded);
        folded
    }

    #[test]
    fn accents_case_and_signs_make_no_difference() {
        for (text, expected) in [
            ("Łódź", " lodz"),
            ("São Paulo", " sao paulo"),
            ("Straße STRASSE", " strasse strasse"),
            ("İstanbul ılık", " istanbul ilik"),
            ("Þór Ærø Œuvre Ħal", " thor aero oeuvre hal"),
            ("ﬁnal Ｂ２", " final b2"),
            ("Trump's Trump’s", " trumps trumps"),
            ("rock 'n' roll", " rock n roll"),
            ("$100,000 or 1, 2", " 100000 or 1 2"),
            ("will-btc-hit-100k", " will btc hit 100k"),
            ("東京 オリンピック", " 東京 オリンヒック"),
            ("\u{301}\u{308} … ?", ""),
            ("bitcoin\u{0}🚀\u{1b}[31mmoon", " bitcoin 31mmoon"),
            ("", ""),
        ] {
            assert_eq!(folded(text), expected, "{text}");
        }
    }

    #[test]
    fn a_word_is_found_by_its_beginning_alone() {
        let text = folded("Will Łódź beat FC Bayern in São Paulo? 東京");
        for (phrase, fit) in [
            ("will", Some(Fit::Beginning)),
            ("WILL LOD", Some(Fit::Beginning)),
            ("bayern in", Some(Fit::Phrase)),
            ("pau", Some(Fit::Phrase)),
            ("sao bayern", Some(Fit::Words)),
            ("東", Some(Fit::Phrase)),
            ("ayern", None),
            ("京", None),
            ("lodz madrid", None),
            ("madrid lodz", None),
            ("wills", None),
        ] {
            assert_eq!(Phrase::parse(phrase).unwrap().fit(&text), fit, "{phrase}");
        }
    }

    #[test]
    fn what_is_no_phrase_says_why() {
        let error = |text: &str| Phrase::parse(text).unwrap_err();
        for text in [" ?! \u{301}", "", "🚀🚀", "\u{0}\u{1b}", "-_*"] {
            assert_eq!(error(text), PhraseError::NoWord, "{text:?}");
        }
        assert_eq!(error(&"x".repeat(257)), PhraseError::TooLong);
        assert_eq!(error("a b c d e f g h i"), PhraseError::TooManyWords);
        assert_eq!(Phrase::parse(" a  b ").unwrap().as_str(), "a  b");
    }

    #[test]
    fn slugs_and_labels_of_a_tag_are_one_name() {
        assert_eq!(Folded::new("Middle East"), Folded::new("middle-east"));
        assert_eq!(Folded::new("Middle East").unwrap().as_str(), "middle east");
        assert_eq!(Folded::new("--"), None);
        let label = Label::new(" Middle East ").unwrap();
        assert_eq!(label.as_str(), "Middle East");
        assert_eq!(Some(label), Label::new("middle-east"));
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(text in ".{0,40}") {
            let once = folded(&text);
            prop_assert_eq!(folded(&once), once);
        }

        #[test]
        fn texts_in_a_row_are_found_as_one_by_one(
            texts in prop::collection::vec("[abc ]{0,8}", 0..20),
            phrase in "[abc]{1,2}( [abc]{1,2})?",
        ) {
            let phrase = Phrase::parse(&phrase).unwrap();
            let (mut all, mut ends) = (String::new(), Vec::new());
            let mut expected = Vec::new();
            for (at, text) in texts.iter().enumerate() {
                let text = folded(text);
                all.push_str(&text);
                ends.push(u32::try_from(all.len()).unwrap());
                // By the definition: each word is the beginning of one.
                let is_in = |word: &str| words(&text).any(|other| other.starts_with(word));
                let fit = phrase.fit(&text);
                prop_assert_eq!(words(&phrase.folded).all(is_in), fit.is_some());
                expected.extend(fit.map(|fit| (at, fit)));
            }
            prop_assert_eq!(phrase.fits(&all, &ends).collect::<Vec<_>>(), expected);
        }
    }
}
