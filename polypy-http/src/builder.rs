//! Puts a server together: its sources, and what a program adds to them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use polypy_core::Clock;

use crate::access::Access;
use crate::assets::Assets;
use crate::body::Body;
use crate::budget::Memory;
use crate::config::HttpConfig;
use crate::cors::Origins;
use crate::counters::Counters;
use crate::describe::{Answer, Content, Description};
use crate::handler;
use crate::host::Names;
use crate::places::Places;
use crate::queue::Queue;
use crate::reply::{Reply, Service};
use crate::request_id::RequestIds;
use crate::responder::{Guard, Shared};
use crate::route::{Handler, Route, RouteError, Routes};
use crate::server::{HttpServer, NAME};
use crate::socket::Listener;
use crate::sources::Sources;
use crate::tls::Tls;

/// A page may load what this server has, and run in no frame.
const OWN_PARTS: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
);

/// Makes a route of what all others say of themselves.
type Describe = Box<dyn FnOnce(&[Description]) -> Route + Send>;

/// A [`HttpServer`] that is to be built.
///
/// ```
/// # use std::sync::Arc;
/// # use polypy_core::metrics::Sheet;
/// # use polypy_core::{Clock, Health, HealthSource, StatsSource, Timestamp};
/// # struct Mill;
/// # impl HealthSource for Mill { fn health(&self) -> Health { Health::of(true) } }
/// # impl StatsSource for Mill { fn show(&self, _: &mut dyn Sheet) {} }
/// # impl Clock for Mill { fn now(&self) -> Timestamp { Timestamp::from_millis(0) } }
/// use polypy_http::{HttpConfig, HttpServer, Reply, Route, Sources, StatusCode};
///
/// # fn main() -> Result<(), polypy_http::RouteError> {
/// let mill = Arc::new(Mill);
/// let sources = Sources::new(mill.clone(), mill.clone(), mill);
/// let server = HttpServer::builder(HttpConfig::default(), sources)
///     .service("mill", "2.1")
///     .route(Route::get("/sacks/{number}", "one sack", |call| {
///         let sack = serde_json::json!({ "number": call.segment("number") });
///         Reply::json(StatusCode::OK, &sack)
///     }))?
///     .asset("/ui", "text/html; charset=utf-8", "<!doctype html>…")?
///     .build();
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct HttpServerBuilder {
    config: HttpConfig,
    service: Service,
    memory: Memory,
    access: Option<Guard>,
    listeners: Vec<Listener>,
    tls: Option<Arc<Tls>>,
    clock: Arc<dyn Clock>,
    /// The component.
    name: &'static str,
    own_pages_only: bool,
    describe: Option<Describe>,
    page: Option<Arc<Assets>>,
    /// All but the landing page and `/version`.
    routes: Routes,
}

impl HttpServerBuilder {
    pub(crate) fn new(config: HttpConfig, sources: Sources) -> Self {
        let clock = Arc::clone(&sources.clock);
        let builder = Self::bare(NAME, config, clock);
        let details = builder.config.metric_details;
        let routes = handler::routes(&sources, &builder.memory, details);
        builder.routes(routes)
    }

    pub(crate) fn bare(name: &'static str, config: HttpConfig, clock: Arc<dyn Clock>) -> Self {
        let memory = Memory::new(config.answer_memory);
        Self {
            config,
            service: Service::new("polypy", env!("CARGO_PKG_VERSION")),
            memory,
            access: None,
            listeners: Vec::new(),
            tls: None,
            clock,
            name,
            own_pages_only: false,
            describe: None,
            page: None,
            routes: Routes::default(),
        }
    }

    /// Who answers: shown on the landing page and in the header `Server`.
    pub fn service(mut self, name: &str, version: &str) -> Self {
        self.service = Service::new(name, version);
        self
    }

    /// Something else that `/version` says of the build, such as its revision. To be
    /// called after [`Self::service`].
    pub fn detail(mut self, name: &'static str, value: &str) -> Self {
        self.service.details.push((name, value.to_owned()));
        self
    }

    /// Serves this socket, too.
    pub fn listen_on(mut self, listener: impl Into<Listener>) -> Self {
        self.listeners.push(listener.into());
        self
    }

    /// Speaks TLS over TCP, and nothing else there. Unix sockets stay plain.
    pub fn tls(mut self, tls: Arc<Tls>) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Answers no page of another origin, whatever it asks, nor one of this host from
    /// another port. For servers at which things are changed.
    pub fn own_pages_only(mut self) -> Self {
        self.own_pages_only = true;
        self
    }

    /// Answers only those who have the token, and adds `/login` and `/logout` for
    /// browsers if it has sessions. Without this everyone is answered.
    pub fn access(mut self, access: Arc<Access>) -> Self {
        let clock = Arc::clone(&self.clock);
        self.access = Some(Guard { access, clock });
        self
    }

    /// Adds a route behind those that are there.
    ///
    /// # Errors
    /// When its path has a route already, or is no path.
    pub fn route(mut self, route: Route) -> Result<Self, RouteError> {
        // Made when the others and the service are known.
        if matches!(route.path, "/" | handler::VERSION_PATH) {
            return Err(RouteError::Taken { path: route.path });
        }
        self.routes.add(route)?;
        Ok(self)
    }

    /// Adds routes that are known to differ from each other and from those that are there,
    /// such as those of a crate. One that does not is left out, which is logged as an error.
    pub fn routes(mut self, routes: impl IntoIterator<Item = Route>) -> Self {
        for route in routes {
            if let Err(error) = self.routes.add(route) {
                tracing::error!(%error, "a route is not served");
            }
        }
        self
    }

    /// Adds a route that is made of what all routes say of themselves, the landing page
    /// first; of itself it is told nothing.
    pub fn describe(
        mut self,
        describe: impl FnOnce(&[Description]) -> Route + Send + 'static,
    ) -> Self {
        self.describe = Some(Box::new(describe));
        self
    }

    /// Answers `/` with this page to those who prefer HTML, and serves its files. Both are
    /// open to everyone: they hold no data.
    pub fn page(mut self, page: Assets) -> Self {
        let page = Arc::new(page);
        self = self.routes(page.routes());
        self.page = Some(page);
        self
    }

    /// Adds something that never changes: a page, a script, a picture.
    ///
    /// # Errors
    /// When its path has a route already, or is no path.
    pub fn asset(
        self,
        path: &'static str,
        content_type: &'static str,
        bytes: impl Into<Bytes>,
    ) -> Result<Self, RouteError> {
        let bytes = bytes.into();
        let content_type = HeaderValue::from_static(content_type);
        self.route(
            Route::get(path, "an asset", move |_call| {
                let body = Body::from(bytes.clone());
                let reply = Reply::bytes(StatusCode::OK, content_type.clone(), body);
                reply.with_header(CONTENT_SECURITY_POLICY, OWN_PARTS)
            })
            .answers(const { &[Answer::new(200, Content::Other("*/*"), "the asset")] }),
        )
    }

    /// The server. It does not listen yet.
    pub fn build(self) -> HttpServer {
        let mut routes = Routes::default();
        let version = handler::version(self.service.clone());
        let login = self
            .access
            .iter()
            .filter(|guard| guard.access.has_sessions())
            .flat_map(|guard| handler::login(&guard.access, &guard.clock))
            .collect::<Vec<_>>();
        let described = self.describe.map(|describe| {
            let own = [
                &handler::landing(self.service.clone(), None, [].iter()),
                &version,
            ];
            let all = own.into_iter().chain(self.routes.iter()).chain(&login);
            describe(&all.map(Route::description).collect::<Vec<_>>())
        });
        let others = || {
            let own = std::iter::once(&version).chain(self.routes.iter());
            own.chain(&described).chain(&login)
        };
        let landing = handler::landing(self.service.clone(), self.page.clone(), others());
        for route in std::iter::once(&landing).chain(others()) {
            if let Err(error) = routes.add(route.clone()) {
                tracing::error!(%error, "a route is not served");
            }
        }
        let queue = |route: &Route| match &route.handler {
            Handler::Inline(_) | Handler::Awaited(_) | Handler::Absent => None,
            Handler::Computed { threads, .. } => Some(Queue::new(*threads)),
        };
        let shared = Shared {
            service: self.service,
            queues: routes.iter().map(queue).collect(),
            counters: Counters::new(&routes, self.access.is_some()),
            routes,
            names: Names::new(&self.config.allowed_hosts),
            memory: self.memory,
            places: Arc::new(Places::new(&self.config)),
            request_ids: RequestIds::new(),
            answer_timeout: self.config.answer_timeout,
            leaving: AtomicBool::new(false),
            origins: if self.own_pages_only {
                Origins::own_only()
            } else {
                Origins::new(&self.config.cors_origins)
            },
            access: self.access,
            tls: self.tls,
        };
        HttpServer::of(self.name, self.config, shared, self.listeners)
    }
}

impl fmt::Debug for HttpServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpServerBuilder")
            .field("name", &self.name)
            .field("config", &self.config)
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}
