//! A route: a pattern, who answers it, and where that runs.
//!
//! A path is split at `/` first and percent-decoded afterwards, once: an
//! encoded slash stays inside its segment, and `..` means nothing. A trailing
//! slash is another path. A segment in braces matches any one segment; of two
//! routes that match, the first in the table answers.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use hyper::Method;
use polypy_core::BoxFuture;

use crate::call::Call;
use crate::change::{Change, Does};
use crate::describe::{Answer as Stated, Content, Deprecation, Description};
use crate::parameter::Parameter;
use crate::query::percent_decode;
use crate::reply::Reply;

/// What a resource that is only read accepts, as `Allow` lists it.
pub(crate) const READ: &str = "GET, HEAD, OPTIONS";
const READ_AND_POST: &str = "GET, HEAD, OPTIONS, POST";
const READ_AND_PUT: &str = "GET, HEAD, OPTIONS, PUT";
const POST: &str = "OPTIONS, POST";

type Answer = Arc<dyn Fn(&Call) -> Reply + Send + Sync>;
pub(crate) type Ready = Arc<dyn Fn(&Call) -> Option<Reply> + Send + Sync>;
type Waiting = Arc<dyn Fn(Call) -> BoxFuture<'static, Reply> + Send + Sync>;

/// Where a handler runs.
#[derive(Clone)]
pub(crate) enum Handler {
    /// On the event loop: microseconds, bounded by constants.
    Inline(Answer),
    /// On the blocking pool, by a few threads that are the route's own: grows with
    /// the number of markets or connections.
    Computed {
        /// Answers on the event loop if that takes no more than microseconds.
        ready: Option<Ready>,
        compute: Answer,
        /// Answers computed at once. More than the cores of a small machine gain nothing.
        threads: u32,
    },
    /// On the event loop, once something else has answered.
    Awaited(Waiting),
    /// Nothing is read here.
    Absent,
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inline(_) => "Inline",
            Self::Computed { .. } => "Computed",
            Self::Awaited(_) => "Awaited",
            Self::Absent => "Absent",
        })
    }
}

/// To whom a route is open where others need a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Open {
    Never,
    Everyone,
    /// To requests that are answered with a page, which holds no data.
    Pages,
}

/// A row of the table of routes.
#[derive(Debug, Clone)]
pub struct Route {
    pub(crate) path: &'static str,
    /// Whether a part of the path stands in braces.
    has_names: bool,
    /// `Allow`.
    pub(crate) allow: &'static str,
    /// Query parameters. A route that has none ignores the query: a health
    /// probe that adds one must not fail for it.
    pub(crate) parameters: &'static [Parameter],
    answers: &'static [Stated],
    body: Option<Content>,
    pub(crate) deprecation: Option<Deprecation>,
    pub(crate) handler: Handler,
    /// One line for people.
    pub(crate) summary: &'static str,
    /// Whether it is answered in the reserved places, too.
    pub(crate) probe: bool,
    /// Who is answered without a token.
    pub(crate) open: Open,
    /// Whether pages of other origins are refused, whatever they ask.
    pub(crate) own_pages_only: bool,
    pub(crate) change: Option<Change>,
    /// What to do where a target that is too long comes from.
    pub(crate) shorter: Option<&'static str>,
}

impl Route {
    /// A resource that is only read. `answer` runs on the event loop: it has to
    /// return within microseconds and must not block.
    pub fn get(
        path: &'static str,
        summary: &'static str,
        answer: impl Fn(&Call) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::new(path, summary, Handler::Inline(Arc::new(answer)))
    }

    /// The same for answers that take longer. They are computed by at most
    /// `threads` threads of the blocking pool; who waits for them waits for
    /// nothing else's sake.
    pub fn computed(
        path: &'static str,
        summary: &'static str,
        threads: u32,
        compute: impl Fn(&Call) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let handler = Handler::Computed {
            ready: None,
            compute: Arc::new(compute),
            threads: threads.max(1),
        };
        Self::new(path, summary, handler)
    }

    /// The same for answers that wait for another part of the program: on the event loop,
    /// for the server's answer timeout at most, when the future is dropped. A client that
    /// only leaves does not end it: half of its connection may still be open.
    pub fn awaited<F>(
        path: &'static str,
        summary: &'static str,
        answer: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        let waiting: Waiting = Arc::new(move |call| Box::pin(answer(call)));
        Self::new(path, summary, Handler::Awaited(waiting))
    }

    /// The same for answers that may be had without waiting, within microseconds and on the
    /// event loop: `ready` returns one then.
    pub fn kept(
        path: &'static str,
        summary: &'static str,
        threads: u32,
        ready: impl Fn(&Call) -> Option<Reply> + Send + Sync + 'static,
        compute: impl Fn(&Call) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let handler = Handler::Computed {
            ready: Some(Arc::new(ready)),
            compute: Arc::new(compute),
            threads: threads.max(1),
        };
        Self::new(path, summary, handler)
    }

    fn new(path: &'static str, summary: &'static str, handler: Handler) -> Self {
        Self {
            path,
            has_names: path.contains('{'),
            allow: READ,
            parameters: &[],
            answers: &[],
            body: None,
            deprecation: None,
            handler,
            summary,
            probe: false,
            open: Open::Never,
            own_pages_only: false,
            change: None,
            shorter: None,
        }
    }

    /// Something that is only done, with a body of at most so many bytes. `answer` runs
    /// on the event loop. A page of another site in a browser is refused.
    pub fn post(
        path: &'static str,
        summary: &'static str,
        most_bytes: usize,
        answer: impl Fn(&Call, &Bytes) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let route = Self::new(path, summary, Handler::Absent);
        Self {
            allow: POST,
            ..route.with_post(most_bytes, answer)
        }
    }

    /// Does something as well, when it is sent a body of at most so many bytes. `answer`
    /// runs on the event loop. A page of another site in a browser is refused.
    #[must_use]
    pub fn with_post(
        mut self,
        most_bytes: usize,
        answer: impl Fn(&Call, &Bytes) -> Reply + Send + Sync + 'static,
    ) -> Self {
        self.allow = READ_AND_POST;
        self.change = Some(Change {
            method: Method::POST,
            most_bytes,
            does: Does::at_once(answer),
        });
        self
    }

    /// Answers a POST as well, which asks by a body of at most so many bytes what does not
    /// fit into a target. Computed by the route's threads, of which it has some already:
    /// see [`computed`](Self::computed). A page of another site in a browser is refused.
    #[must_use]
    pub fn with_computed_post(
        mut self,
        most_bytes: usize,
        compute: impl Fn(&Call, &Bytes) -> Reply + Send + Sync + 'static,
    ) -> Self {
        self.allow = READ_AND_POST;
        self.change = Some(Change {
            method: Method::POST,
            most_bytes,
            does: Does::Compute(Arc::new(compute)),
        });
        self
    }

    /// Is set as well, by a PUT with a body of at most so many bytes. `answer` runs on the
    /// event loop. A page of another site in a browser is refused.
    #[must_use]
    pub fn with_put(
        mut self,
        most_bytes: usize,
        answer: impl Fn(&Call, &Bytes) -> Reply + Send + Sync + 'static,
    ) -> Self {
        self.allow = READ_AND_PUT;
        self.change = Some(Change {
            method: Method::PUT,
            most_bytes,
            does: Does::at_once(answer),
        });
        self
    }

    /// Is set as well, by a PUT whose answer takes a while: its client waits as with
    /// [`action`](Self::action).
    #[must_use]
    pub fn with_put_action<F>(
        mut self,
        most_bytes: usize,
        answer: impl Fn(Call, Bytes) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        self.allow = READ_AND_PUT;
        self.change = Some(Change {
            method: Method::PUT,
            most_bytes,
            does: Does::action(answer),
        });
        self
    }

    /// Something that is only done, by a POST, and takes a while: its client waits, for the
    /// server's answer timeout at most, when the future is dropped. A client that only
    /// leaves does not end it: half of its connection may still be open. A page of another
    /// site in a browser is refused.
    pub fn action<F>(
        path: &'static str,
        summary: &'static str,
        most_bytes: usize,
        answer: impl Fn(Call, Bytes) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        let route = Self::new(path, summary, Handler::Absent);
        let change = Change {
            method: Method::POST,
            most_bytes,
            does: Does::action(answer),
        };
        Self {
            allow: POST,
            change: Some(change),
            ..route
        }
    }

    /// Is answered to everyone, where others need a token.
    #[must_use]
    pub fn open(mut self) -> Self {
        self.open = Open::Everyone;
        self
    }

    /// Is answered to no page of another origin, whatever it asks, nor to one of this host
    /// from another port, whichever origins the server lists.
    #[must_use]
    pub fn own_pages_only(mut self) -> Self {
        self.own_pages_only = true;
        self
    }

    /// Is answered to everyone who wants the page, and else to those with a token.
    #[must_use]
    pub(crate) fn open_to_pages(mut self) -> Self {
        self.open = Open::Pages;
        self
    }

    /// Takes these query parameters and refuses all others.
    #[must_use]
    pub fn with_parameters(mut self, parameters: &'static [Parameter]) -> Self {
        self.parameters = parameters;
        self
    }

    /// States what it answers, beside the errors that every route may answer with.
    #[must_use]
    pub fn answers(mut self, answers: &'static [Stated]) -> Self {
        self.answers = answers;
        self
    }

    /// States what is sent to it.
    #[must_use]
    pub fn takes(mut self, body: Content) -> Self {
        self.body = Some(body);
        self
    }

    /// Says with each answer that it is going to go (`Deprecation` and `Sunset`): since
    /// when that is said, in seconds since 1970, and the last day, as HTTP writes dates
    /// (`Sun, 06 Nov 2027 08:49:37 GMT`).
    #[must_use]
    pub fn deprecated(mut self, since: u64, sunset: &'static str) -> Self {
        self.deprecation = Some(Deprecation { since, sunset });
        self
    }

    /// What it says of itself.
    pub fn description(&self) -> Description {
        Description {
            path: self.path,
            methods: self.allow,
            summary: self.summary,
            parameters: self.parameters,
            answers: self.answers,
            body: self.body,
            deprecation: self.deprecation,
            is_open: self.open == Open::Everyone || self.probe,
            takes_any_query: self.probe || self.parameters.is_empty(),
        }
    }

    /// What a client whose target is too long is told beside that.
    #[must_use]
    pub fn with_shorter(mut self, remedy: &'static str) -> Self {
        self.shorter = Some(remedy);
        self
    }

    /// Answers also while all places are taken. For probes alone: what is asked
    /// for there is small and made on the event loop. Query parameters that it does not
    /// take are ignored: a probe that adds one must not fail for it.
    #[must_use]
    pub fn for_probes(mut self) -> Self {
        self.probe = matches!(self.handler, Handler::Inline(_));
        self
    }

    /// Its pattern.
    pub fn path(&self) -> &'static str {
        self.path
    }
}

/// Two routes with one pattern, or a pattern that matches nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// The path has a route already.
    #[error("the route {path} is there already; give the second one another path")]
    Taken {
        /// The pattern.
        path: &'static str,
    },
    /// A pattern begins with a slash.
    #[error("the route {path:?} does not begin with a slash, so nothing would match it")]
    Relative {
        /// The pattern.
        path: &'static str,
    },
}

/// The routes of a server, in the order in which they are looked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routes(Vec<Route>);

impl Routes {
    pub(crate) fn add(&mut self, route: Route) -> Result<(), RouteError> {
        let path = route.path;
        if !path.starts_with('/') {
            return Err(RouteError::Relative { path });
        }
        if self.0.iter().any(|known| known.path == path) {
            return Err(RouteError::Taken { path });
        }
        self.0.push(route);
        Ok(())
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Route> {
        self.0.iter()
    }

    pub(crate) fn get(&self, index: RouteIndex) -> Option<&Route> {
        self.0.get(index.0)
    }

    /// Finds the route of a raw path.
    pub(crate) fn find(&self, path: &str) -> Result<Matched, NoMatch> {
        if !path.contains('%') {
            return self.first(|route| {
                if route.has_names {
                    matches(route.path, path.split('/'))
                } else {
                    (route.path == path).then(Vec::new)
                }
            });
        }
        let given: Vec<String> = path
            .split('/')
            .map(percent_decode)
            .collect::<Option<_>>()
            .ok_or(NoMatch::Encoding)?;
        self.first(|route| matches(route.path, given.iter().map(String::as_str)))
    }

    fn first(
        &self,
        matches: impl Fn(&Route) -> Option<Vec<(&'static str, String)>>,
    ) -> Result<Matched, NoMatch> {
        let found = self.0.iter().enumerate().find_map(|(at, route)| {
            Some(Matched {
                index: RouteIndex(at),
                segments: matches(route)?,
            })
        });
        found.ok_or(NoMatch::Unknown)
    }
}

/// A row's place in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RouteIndex(usize);

impl RouteIndex {
    pub(crate) fn get(self) -> usize {
        self.0
    }
}

/// A path that matched.
#[derive(Debug)]
pub(crate) struct Matched {
    pub(crate) index: RouteIndex,
    pub(crate) segments: Vec<(&'static str, String)>,
}

/// Why a path matched nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoMatch {
    /// A `%` without two hexadecimal digits, or bytes that are not UTF-8.
    Encoding,
    /// No such route.
    Unknown,
}

/// The segments in braces by name, or `None`.
fn matches<'a>(
    pattern: &'static str,
    mut given: impl Iterator<Item = &'a str>,
) -> Option<Vec<(&'static str, String)>> {
    let mut captured = Vec::new();
    for expected in pattern.split('/') {
        let segment = given.next()?;
        let name = expected
            .strip_prefix('{')
            .and_then(|name| name.strip_suffix('}'));
        match name {
            Some(name) => captured.push((name, segment.to_owned())),
            None if expected == segment => {}
            None => return None,
        }
    }
    given.next().is_none().then_some(captured)
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;

    fn route(path: &'static str) -> Route {
        Route::get(path, "", |_| Reply::empty(StatusCode::OK))
    }

    fn routes() -> Routes {
        let mut routes = Routes::default();
        for path in ["/", "/health", "/orderbook/{asset_id}", "/a/{b}/c/{d}"] {
            routes.add(route(path)).unwrap();
        }
        routes
    }

    #[test]
    fn paths_are_matched_segment_by_segment() {
        let routes = routes();
        for (path, expected) in [
            ("/", Ok(("/", ""))),
            ("/health", Ok(("/health", ""))),
            ("/%68ealth", Ok(("/health", ""))),
            ("/orderbook/123", Ok(("/orderbook/{asset_id}", "123"))),
            ("/orderbook/..%2fx", Ok(("/orderbook/{asset_id}", "../x"))),
            ("/orderbook/", Ok(("/orderbook/{asset_id}", ""))),
            ("/a/1/c/2", Ok(("/a/{b}/c/{d}", "12"))),
            ("/a/1/x/2", Err(NoMatch::Unknown)),
            ("/orderbook", Err(NoMatch::Unknown)),
            ("/orderbook/1/2", Err(NoMatch::Unknown)),
            ("/orderbook/../health", Err(NoMatch::Unknown)),
            ("/health/", Err(NoMatch::Unknown)),
            ("//health", Err(NoMatch::Unknown)),
            ("/health%2f", Err(NoMatch::Unknown)),
            ("/Health", Err(NoMatch::Unknown)),
            ("", Err(NoMatch::Unknown)),
            ("*", Err(NoMatch::Unknown)),
            ("/orderbook/%zz", Err(NoMatch::Encoding)),
            ("/orderbook/%ff", Err(NoMatch::Encoding)),
        ] {
            let found = routes.find(path).map(|matched| {
                let values: String = matched.segments.iter().map(|(_, value)| &**value).collect();
                (routes.get(matched.index).unwrap().path, values)
            });
            let expected = expected.map(|(path, values)| (path, values.to_owned()));
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn a_pattern_stands_once_and_begins_with_a_slash() {
        let mut routes = routes();
        let again = routes.add(route("/health")).unwrap_err();
        assert_eq!(again, RouteError::Taken { path: "/health" });
        let relative = routes.add(route("health")).unwrap_err();
        assert_eq!(relative, RouteError::Relative { path: "health" });
    }
}
