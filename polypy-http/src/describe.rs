//! What a route says of itself: what it answers, what it reads, and whether it is to go.
//! Programs make the document of their API from that.

use crate::parameter::Parameter;

/// What the body of an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// There is none.
    Empty,
    /// JSON of a form that the program knows by this name.
    Json(&'static str),
    /// The object that every error is.
    Error,
    /// Anything else, of this media type.
    Other(&'static str),
}

/// One of the answers that a route may give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub content: Content,
    /// When it is given, in a line.
    pub about: &'static str,
    /// The method to which it is one, if it is none to the others.
    pub method: Option<&'static str>,
}

impl Answer {
    /// An answer.
    pub const fn new(status: u16, content: Content, about: &'static str) -> Self {
        Self {
            status,
            content,
            about,
            method: None,
        }
    }

    /// To this method alone.
    #[must_use]
    pub const fn to(self, method: &'static str) -> Self {
        Self {
            method: Some(method),
            ..self
        }
    }

    /// 200 with JSON of this form.
    pub const fn json(form: &'static str, about: &'static str) -> Self {
        Self::new(200, Content::Json(form), about)
    }

    /// An error.
    pub const fn error(status: u16, about: &'static str) -> Self {
        Self::new(status, Content::Error, about)
    }
}

/// A route is going to go, or to change so that clients break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deprecation {
    /// Since when that is said, in seconds since 1970.
    pub since: u64,
    /// The last day on which it is answered as it was, as HTTP writes dates.
    pub sunset: &'static str,
}

/// A route as others see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// The pattern of its path.
    pub path: &'static str,
    /// The methods it has, with commas.
    pub methods: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// Its query parameters.
    pub parameters: &'static [Parameter],
    /// What it answers, beside what every route may.
    pub answers: &'static [Answer],
    /// The body that is sent to it.
    pub body: Option<Content>,
    /// Whether it is going to go.
    pub deprecation: Option<Deprecation>,
    /// Whether it is answered without a token where others need one.
    pub is_open: bool,
    /// Whether it never fails for its query: what cannot be read counts as left out.
    pub takes_any_query: bool,
}
