//! A page and its parts: files that never change, served under a name that changes with them.
//!
//! The name is the *build*: what the names and bytes of all files come to. An address with
//! it holds the same bytes for ever, so browsers keep them without asking; the page itself
//! is asked for each time, and names the parts of its own build. Files are open to everyone
//! where other routes need a token: they hold nothing but what the program was built from.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use flate2::Compression;
use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, ETAG, HeaderMap, HeaderName,
    HeaderValue, IF_NONE_MATCH, REFERRER_POLICY, VARY,
};
use ring::digest::{Context, SHA256};

use crate::call::Call;
use crate::describe::{Answer, Content};
use crate::encoding::{BY_ENCODING, GZIP, WORTH_COMPRESSING, pack, wants_gzip};
use crate::hex;
use crate::reply::Reply;
use crate::route::Route;

/// What stands for the build in the page.
const BUILD: &str = "{build}";
/// Bytes of the digest that name a build: 16 digits.
const BUILD_BYTES: usize = 8;
/// One after another: each is compressed once.
const THREADS: u32 = 1;

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
pub(crate) const BY_ACCEPT: HeaderValue = HeaderValue::from_static("accept");
/// The page's own files and reads, and nothing else: no script or style in the page, none
/// made of text.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'",
);
/// With `no-referrer` browsers send `Origin: null` with a form, which is refused.
const OWN_REFERRER: HeaderValue = HeaderValue::from_static("same-origin");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

const ANSWERS: &[Answer] = &[
    Answer::new(200, Content::Other("*/*"), "the file"),
    Answer::new(304, Content::Empty, "the client has it"),
    Answer::error(404, "no such file, or the page is of another build"),
];

/// A file of a page.
struct Asset {
    name: &'static str,
    content_type: HeaderValue,
    plain: Bytes,
    /// Compressed; `None` where that is not worth it.
    packed: OnceLock<Option<Bytes>>,
}

/// A page and its files.
///
/// In the page's text `{build}` stands for the name of its build: `page/{build}/main.js` is
/// the file `main.js`, `page/{build}/draw/chart.js` the file `draw/chart.js`.
///
/// ```
/// use polypy_http::Assets;
///
/// let script = ("main.js", "text/javascript; charset=utf-8", "alert(1)".into());
/// let page = "<!doctype html><script type=module src=\"page/{build}/main.js\"></script>";
/// let assets = Assets::new(page, [script]);
/// assert_eq!(assets.build().len(), 16);
/// ```
pub struct Assets {
    build: String,
    index: Bytes,
    etag: Option<HeaderValue>,
    files: Vec<Asset>,
}

impl Assets {
    /// A page with these files: name, content type, bytes. A name has one folder at most.
    pub fn new(
        index: &'static str,
        files: impl IntoIterator<Item = (&'static str, &'static str, Bytes)>,
    ) -> Self {
        let files: Vec<Asset> = files
            .into_iter()
            .map(|(name, content_type, plain)| Asset {
                name,
                content_type: HeaderValue::from_static(content_type),
                plain,
                packed: OnceLock::new(),
            })
            .collect();
        let build = build(index, &files);
        Self {
            index: index.replace(BUILD, &build).into(),
            etag: HeaderValue::from_str(&format!("\"{build}\"")).ok(),
            build,
            files,
        }
    }

    /// What its files come to: another one for other files.
    pub fn build(&self) -> &str {
        &self.build
    }

    /// The page, for a client that prefers it to JSON.
    pub(crate) fn page(&self, headers: &HeaderMap) -> Reply {
        let reply = if self.has(headers) {
            Reply::empty(StatusCode::NOT_MODIFIED)
        } else {
            Reply::bytes(StatusCode::OK, HTML, self.index.clone())
        };
        self.tagged(reply)
            .with_header(CACHE_CONTROL, ASK_AGAIN)
            .with_header(VARY, BY_ACCEPT)
            .with_header(CONTENT_SECURITY_POLICY, POLICY)
            .with_header(REFERRER_POLICY, OWN_REFERRER)
            .with_header(OPENER_POLICY, SAME_ORIGIN)
    }

    /// The routes of its files.
    pub(crate) fn routes(self: &Arc<Self>) -> [Route; 2] {
        [
            self.route("/page/{build}/{file}"),
            self.route("/page/{build}/{folder}/{file}"),
        ]
    }

    fn route(self: &Arc<Self>, path: &'static str) -> Route {
        let (kept, computed) = (Arc::clone(self), Arc::clone(self));
        let about = "a file of the page, which never changes";
        let ready = move |call: &Call| {
            let file = kept.file(call);
            let is_ready = file.is_none_or(|file| file.is_ready(call.headers()));
            is_ready.then(|| kept.answer(file, call))
        };
        let compute = move |call: &Call| computed.answer(computed.file(call), call);
        Route::kept(path, about, THREADS, ready, compute)
            .answers(ANSWERS)
            .open()
    }

    fn file(&self, call: &Call) -> Option<&Asset> {
        let folder = call.segment("folder");
        let file = call.segment("file");
        let is_it = |name: &str| match name.split_once('/') {
            Some(parts) => parts == (folder, file),
            None => folder.is_empty() && name == file,
        };
        let is_own = call.segment("build") == self.build;
        self.files.iter().find(|one| is_own && is_it(one.name))
    }

    fn answer(&self, file: Option<&Asset>, call: &Call) -> Reply {
        let Some(file) = file else {
            let text = if call.segment("build") == self.build {
                "the page has no such file"
            } else {
                "this page is of another build: load it again"
            };
            return call.error(StatusCode::NOT_FOUND, text);
        };
        let reply = if self.has(call.headers()) {
            Reply::empty(StatusCode::NOT_MODIFIED).with_header(VARY, BY_ENCODING)
        } else {
            file.reply(call.headers())
        };
        self.tagged(reply).with_header(CACHE_CONTROL, FOR_EVER)
    }

    fn tagged(&self, reply: Reply) -> Reply {
        match &self.etag {
            Some(etag) => reply.with_header(ETAG, etag.clone()),
            // It is made of digits.
            None => reply,
        }
    }

    /// Whether the client has this build already; what a proxy compressed counts, too.
    fn has(&self, headers: &HeaderMap) -> bool {
        let values = headers.get_all(IF_NONE_MATCH).iter();
        let mut tags = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim);
        tags.any(|tag| {
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            tag == "*" || tag.trim_matches('"') == self.build
        })
    }
}

impl Asset {
    /// Whether an answer takes nothing but a look.
    fn is_ready(&self, headers: &HeaderMap) -> bool {
        !self.is_to_be_packed(headers) || self.packed.get().is_some()
    }

    fn is_to_be_packed(&self, headers: &HeaderMap) -> bool {
        self.plain.len() >= WORTH_COMPRESSING && wants_gzip(headers)
    }

    fn reply(&self, headers: &HeaderMap) -> Reply {
        let packed = if self.is_to_be_packed(headers) {
            self.packed
                .get_or_init(|| pack(&self.plain, Compression::best()))
                .clone()
        } else {
            None
        };
        let is_packed = packed.is_some();
        let body = packed.unwrap_or_else(|| self.plain.clone());
        let reply = Reply::bytes(StatusCode::OK, self.content_type.clone(), body)
            .with_header(VARY, BY_ENCODING);
        if is_packed {
            return reply.with_header(CONTENT_ENCODING, GZIP);
        }
        reply
    }
}

/// Names and bytes, each behind its length, so that no two sets of files say the same.
fn build(index: &str, files: &[Asset]) -> String {
    let mut context = Context::new(&SHA256);
    let mut add = |bytes: &[u8]| {
        context.update(&(bytes.len() as u64).to_be_bytes());
        context.update(bytes);
    };
    add(index.as_bytes());
    for file in files {
        add(file.name.as_bytes());
        add(file.content_type.as_bytes());
        add(&file.plain);
    }
    let digest = context.finish();
    let first = digest.as_ref().get(..BUILD_BYTES);
    hex::encode(first.unwrap_or_default())
}

impl fmt::Debug for Assets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.files.iter().map(|file| file.name).collect();
        f.debug_struct("Assets")
            .field("build", &self.build)
            .field("files", &names)
            .finish_non_exhaustive()
    }
}
