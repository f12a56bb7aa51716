//! `/v1/books`: many books in one answer, by tokens, markets and events.
//!
//! Books are looked at twice: first without their levels, which says whether the client has
//! this very answer and how large another one is, and then, once that memory is there, as
//! they are. Books of one market are read at one moment each time.

use std::fmt;
use std::io::{self, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use polypy_core::{AssetId, AssetKey, BookLookup, BookState, BookView, Level};
use polypy_http::{
    Answer, CachedBody, Call, Content, Kind, Memory, Parameter, Rendering, Reply, Route, Share,
    StatusCode,
};
use serde::Deserialize;
use serde_json::Number;

use super::book::{Book, MOST_DEPTH, NO_BOOK, NO_SNAPSHOT, NOT_MODIFIED, Named, RETRY_SECONDS};
use super::resolve::{MOST_TOKENS, Missing, Names, Resolved};
use super::tag::Tagging;
use super::{JSON, Reads, has_it, not_modified, with_etag};
use crate::filter::quoted;

const SUMMARY: &str = "many books, by tokens, markets and events, and an ETag";
const LIST: Kind = Kind::List { most: MOST_TOKENS };
/// As [`AssetId`] has them.
const TOKEN: &str = "^[0-9]{1,78}$";
const PARAMETERS: &[Parameter] = &[
    Parameter::new("tokens", LIST, "token ids").like(TOKEN),
    Parameter::new("markets", LIST, "condition ids or slugs of markets"),
    Parameter::new("events", LIST, "slugs of events"),
    Parameter::new(
        "depth",
        Kind::Whole {
            least: 1,
            most: MOST_DEPTH,
        },
        "levels a side at most",
    )
    .or("all"),
];
const SHORTER: &str = "POST the same as JSON, or name markets or events";
const NOTHING: &str = "name books by tokens, markets or events";
const NO_ROOM: &str = "these books do not fit into http.answer_memory beside what clients \
                       still read: name fewer, or give a depth";
/// Bytes of a body at most: as many ids as one answer shows are 41,000.
const MOST_BYTES: usize = 64 * 1024;
/// Answers written at once.
const THREADS: u32 = 2;
/// Names that are looked up on the event loop at most, and levels that are written there:
/// some tens of microseconds.
const QUICK_NAMES: usize = 16;
const QUICK_LEVELS: usize = 200;
/// What a book is in an answer, without levels and with the longest names that are usual;
/// and a level.
const BOOK_BYTES: usize = 1_400;
const LEVEL_BYTES: usize = 32;
const MISSING_BYTES: usize = 400;

/// The route.
pub(super) fn route(reads: &Arc<Reads>) -> Route {
    let (quick, whole, posted) = (Arc::clone(reads), Arc::clone(reads), Arc::clone(reads));
    Route::kept(
        "/v1/books",
        SUMMARY,
        THREADS,
        move |call| {
            let request = match Request::of_query(call) {
                Ok(request) => request,
                Err(refusal) => return Some(*refusal),
            };
            quick.books_at_once(call, &request)
        },
        move |call| match Request::of_query(call) {
            Ok(request) => whole.books_answer(call, &request, Method::Get),
            Err(refusal) => *refusal,
        },
    )
    .with_parameters(PARAMETERS)
    .with_shorter(SHORTER)
    .takes(Content::Json("books_request"))
    .answers(
        const {
            &[
                Answer::json(
                    "books",
                    "the books, and what is to be said of names without one",
                ),
                NOT_MODIFIED,
                NO_BOOK,
                NO_SNAPSHOT,
            ]
        },
    )
    .with_computed_post(MOST_BYTES, move |call, body| {
        match Request::of_body(call, body) {
            Ok(request) => posted.books_answer(call, &request, Method::Post),
            Err(refusal) => *refusal,
        }
    })
}

/// By what it was asked. A client can say of a GET alone that it has the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Get,
    Post,
}

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    names: Names,
    depth: Option<usize>,
}

/// The same as JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Posted {
    #[serde(default)]
    tokens: Vec<String>,
    #[serde(default)]
    markets: Vec<String>,
    #[serde(default)]
    events: Vec<String>,
    #[serde(default)]
    depth: Option<Number>,
}

impl Request {
    fn of_query(call: &Call) -> Result<Self, Box<Reply>> {
        let query = call.query();
        let list = |name| -> Vec<String> {
            let values = query.list(name).into_iter().flatten();
            values.map(str::to_owned).collect()
        };
        let posted = Posted {
            tokens: list("tokens"),
            markets: list("markets"),
            events: list("events"),
            depth: query.whole("depth").map(Number::from),
        };
        posted.judged().map_err(|wrong| wrong.reply(call))
    }

    fn of_body(call: &Call, body: &Bytes) -> Result<Self, Box<Reply>> {
        Posted::read(body)
            .and_then(Posted::judged)
            .map_err(|wrong| wrong.reply(call))
    }

    fn names(&self) -> usize {
        let Names {
            tokens,
            markets,
            events,
        } = &self.names;
        tokens.len() + markets.len() + events.len()
    }
}

/// A number without a fraction: to JSON, 5.0 is the same as 5.
fn whole(number: &Number) -> Option<usize> {
    let text = number.to_string();
    text.strip_suffix(".0").unwrap_or(&text).parse().ok()
}

/// What is wrong with a request, and where.
#[derive(Debug, PartialEq, Eq)]
struct Wrong {
    parameter: &'static str,
    why: String,
}

impl Wrong {
    fn reply(&self, call: &Call) -> Box<Reply> {
        Box::new(call.bad_parameter(self.parameter, &self.why))
    }
}

impl Posted {
    fn read(body: &[u8]) -> Result<Self, Wrong> {
        let wrong = |why: &dyn fmt::Display| Wrong {
            parameter: "body",
            why: format!(
                "the body is no object such as {{\"tokens\":[\"...\"],\"markets\":[],\"events\":[],\
                 \"depth\":5}}: {why}"
            ),
        };
        // A list would be taken for the fields in their order.
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(wrong(&"it does not begin with {"));
        }
        serde_json::from_slice(body).map_err(|error| wrong(&error))
    }

    fn judged(self) -> Result<Request, Wrong> {
        let wrong = |parameter, why: String| Wrong { parameter, why };
        for (parameter, list) in [
            ("tokens", &self.tokens),
            ("markets", &self.markets),
            ("events", &self.events),
        ] {
            if list.len() > MOST_TOKENS {
                let why = format!("{parameter} names more than {MOST_TOKENS}");
                return Err(wrong(parameter, why));
            }
        }
        if self.tokens.is_empty() && self.markets.is_empty() && self.events.is_empty() {
            return Err(wrong("tokens", NOTHING.to_owned()));
        }
        let depth = self.depth.map(|depth| {
            let depth = whole(&depth).filter(|depth| (1..=MOST_DEPTH).contains(depth));
            depth.ok_or_else(|| {
                let why = format!("depth must be a whole number from 1 to {MOST_DEPTH}");
                wrong("depth", why)
            })
        });
        let depth = depth.transpose()?;
        let tokens = self.tokens.iter().map(|id| {
            AssetId::new(id).map_err(|error| {
                let why = format!("{}: {error}", quoted(id));
                wrong("tokens", why)
            })
        });
        Ok(Request {
            names: Names {
                tokens: tokens.collect::<Result<_, _>>()?,
                markets: self.markets,
                events: self.events,
            },
            depth,
        })
    }
}

/// Books as they were read, in the order in which they were named.
pub(super) struct Shelf {
    pub(super) found: Vec<(Box<BookView>, Named)>,
    missing: Vec<Missing>,
}

/// There is not enough memory for an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

impl Reads {
    /// The answer, if it takes no more than microseconds.
    fn books_at_once(&self, call: &Call, request: &Request) -> Option<Reply> {
        if request.names() > QUICK_NAMES {
            return None;
        }
        let resolved = match self.resolve(&request.names) {
            Ok(resolved) => resolved,
            Err(error) => return Some(call.bad_parameter("tokens", &error.to_string())),
        };
        if resolved.books.len() > QUICK_NAMES {
            return None;
        }
        let shelf = self.shelf(&resolved, 0);
        if let Some(nothing) = shelf.nothing(call) {
            return Some(nothing);
        }
        let etag = self.shelf_etag(&shelf);
        if has_it(call.headers(), &etag) {
            return Some(not_modified(&etag));
        }
        (shelf.levels(request.depth) <= QUICK_LEVELS)
            .then(|| self.books_answer(call, request, Method::Get))
    }

    fn books_answer(&self, call: &Call, request: &Request, method: Method) -> Reply {
        let resolved = match self.resolve(&request.names) {
            Ok(resolved) => resolved,
            Err(error) => return call.bad_parameter("tokens", &error.to_string()),
        };
        let is_get = method == Method::Get;
        let look = self.shelf(&resolved, 0);
        if is_get {
            let etag = self.shelf_etag(&look);
            if !look.found.is_empty() && has_it(call.headers(), &etag) {
                return not_modified(&etag);
            }
        }
        let Ok((rendering, share)) = look.room(request.depth, call.memory()) else {
            return no_room(call);
        };
        let shelf = self.shelf(&resolved, request.depth.unwrap_or(MOST_DEPTH));
        if let Some(nothing) = shelf.nothing(call) {
            return nothing;
        }
        let etag = self.shelf_etag(&shelf);
        let Ok(body) = self.write_shelf(&shelf, request.depth, rendering) else {
            return no_room(call);
        };
        drop(share);
        let reply = body.reply(JSON, call.headers());
        if is_get {
            with_etag(reply, &etag)
        } else {
            reply
        }
    }

    /// Reads the books with at most so many levels a side.
    pub(super) fn shelf(&self, resolved: &Resolved, depth: usize) -> Shelf {
        let order = self.by_market(&resolved.books);
        let keys: Vec<AssetKey> = order.iter().map(|at| resolved.books[*at].0).collect();
        let mut found: Vec<_> = order.iter().zip(self.books.books(&keys, depth)).collect();
        found.sort_unstable_by_key(|(at, _)| **at);
        let mut shelf = Shelf {
            found: Vec::with_capacity(found.len()),
            missing: resolved.missing.clone(),
        };
        for ((_, lookup), (key, id)) in found.into_iter().zip(&resolved.books) {
            let missing = match lookup {
                BookLookup::Found(view) if view.state != BookState::Pending => {
                    shelf.found.push((view, self.named(*key)));
                    continue;
                }
                BookLookup::Found(_) | BookLookup::Pending | BookLookup::Requested => {
                    Missing::no_snapshot(id.as_str())
                }
                BookLookup::Ended => Missing::ended(id.as_str()),
                // Forgotten a moment ago.
                BookLookup::Unknown => self.without_token(id.as_str()),
            };
            shelf.missing.push(missing);
        }
        shelf
    }

    pub(super) fn shelf_etag(&self, shelf: &Shelf) -> String {
        let mut tag = Tagging::new(self.instance);
        tag.add(shelf.found.len());
        for (view, named) in &shelf.found {
            tag.add(&view.asset_id);
            tag.add_view(view);
            tag.add_market(named.market.as_deref(), named.winner());
        }
        for missing in &shelf.missing {
            tag.add((&missing.name, missing.code, &missing.message));
        }
        tag.finish()
    }

    pub(super) fn write_shelf(
        &self,
        shelf: &Shelf,
        depth: Option<usize>,
        mut into: Rendering,
    ) -> Result<CachedBody, NoRoom> {
        let anchor = self.anchor();
        let mut write = || -> io::Result<()> {
            into.write_all(b"{\"consistent\":\"market\",\"depth\":")?;
            serde_json::to_writer(&mut into, &depth)?;
            into.write_all(b",\"books\":[")?;
            for (at, (view, named)) in shelf.found.iter().enumerate() {
                if at > 0 {
                    into.write_all(b",")?;
                }
                serde_json::to_writer(&mut into, &Book::new(view, named, anchor, depth))?;
            }
            into.write_all(b"],\"missing\":")?;
            serde_json::to_writer(&mut into, &shelf.missing)?;
            into.write_all(b"}\n")
        };
        write().map_err(|_no_memory| NoRoom)?;
        Ok(into.finish())
    }
}

impl Shelf {
    /// Levels of all books together, of so many a side at most.
    fn levels(&self, depth: Option<usize>) -> usize {
        let most = depth.unwrap_or(MOST_DEPTH);
        let of = |view: &BookView| view.bid_levels.min(most) + view.ask_levels.min(most);
        self.found.iter().map(|(view, _)| of(view)).sum()
    }

    /// Takes the memory that an answer needs: to be written, and for the copies that it is
    /// written from.
    pub(super) fn room(
        &self,
        depth: Option<usize>,
        memory: &Memory,
    ) -> Result<(Rendering, Share), NoRoom> {
        let (books, levels) = (self.found.len(), self.levels(depth));
        let copies = books * size_of::<BookView>() + levels * size_of::<Level>();
        let text =
            books * BOOK_BYTES + levels * LEVEL_BYTES + (self.missing.len() + 1) * MISSING_BYTES;
        let share = memory.take(copies).ok_or(NoRoom)?;
        Ok((Rendering::new(memory, text).ok_or(NoRoom)?, share))
    }

    /// What is answered if there is no book.
    fn nothing(&self, call: &Call) -> Option<Reply> {
        if !self.found.is_empty() {
            return None;
        }
        let is_early = |missing: &Missing| missing.code == Missing::NO_SNAPSHOT;
        let first = self.missing.first();
        if first.is_some() && self.missing.iter().all(is_early) {
            let text = "no snapshot of these books has arrived yet";
            let reply = call.problem(StatusCode::SERVICE_UNAVAILABLE, Missing::NO_SNAPSHOT, text);
            return Some(reply.with_retry_after(RETRY_SECONDS));
        }
        let first = self
            .missing
            .iter()
            .find(|missing| !is_early(missing))
            .or(first);
        Some(match first {
            Some(missing) => missing.reply(call),
            // A market without tokens.
            None => call.error(StatusCode::NOT_FOUND, "what is named has no books"),
        })
    }
}

fn no_room(call: &Call) -> Reply {
    call.error(StatusCode::SERVICE_UNAVAILABLE, NO_ROOM)
        .with_retry_after(RETRY_SECONDS)
}
