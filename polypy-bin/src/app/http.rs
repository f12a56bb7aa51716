//! The HTTP server's start, which may fail without stopping the rest, and is then tried again.
//!
//! Another process may have the port for a while, such as the program that this one follows, and
//! an address may come later than a machine's start. Where the reason is one that may pass it is
//! told once, and [`keep_listening`](PolyPy::keep_listening) tries on; everything else waits for
//! a restart.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use polypy_core::probe::ProbeSource;
use polypy_core::{Component, ComponentError, HealthSource, StatsSource};
use polypy_http::{HttpError, HttpServer, HttpServerBuilder, Listener, Sources};
use polypy_net::registry::AssetRegistry;
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::socket_file::SocketFile;
use super::{PolyPy, published, selection, sequence};
use crate::config::conversion;

/// The first wait before it is tried again; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Whether it may pass by itself that a server could not listen.
pub(super) fn may_pass(error: &ComponentError) -> bool {
    let source = error.source();
    let cause = source.and_then(|source| source.downcast_ref::<HttpError>());
    cause.is_some_and(HttpError::is_retryable)
}

impl PolyPy {
    /// Starts the HTTP server if one is wanted; false if it failed.
    pub(super) async fn start_http(&self) -> bool {
        if !self.config.http.enabled {
            tracing::info!(
                enable = "--enable-http, or http.enabled = true",
                "http server is off"
            );
            return true;
        }
        let Err(error) = self.try_http().await else {
            return true;
        };
        let retries = may_pass(&error);
        self.http_awaited.store(retries, Ordering::SeqCst);
        // The error has the remedy, which depends on what is wrong.
        tracing::error!(%error, retries, "no http: the program runs without it");
        false
    }

    /// Tries again what could not listen, with longer and longer pauses. Never resolves.
    pub(super) async fn keep_listening(&self) {
        let mut wait = FIRST_WAIT;
        while self.http_awaited.load(Ordering::SeqCst) || self.admin.is_awaited() {
            sleep(wait).await;
            wait = LONGEST_WAIT.min(wait * 2);
            if self.http_awaited.load(Ordering::SeqCst) {
                match self.try_http().await {
                    Ok(()) => self.http_awaited.store(false, Ordering::SeqCst),
                    Err(error) => tracing::debug!(%error, "no http yet"),
                }
            }
            if self.admin.is_awaited() {
                self.start_admin().await;
            }
        }
        std::future::pending().await
    }

    async fn try_http(&self) -> Result<(), ComponentError> {
        let mut listeners = self.listeners.clone();
        listeners.extend(self.listen_at_file().await);
        let server = Arc::new(self.new_http_server(listeners));
        let component: Arc<dyn Component> = Arc::clone(&server) as Arc<dyn Component>;
        let runtime = self.clients.clone().unwrap_or_else(Handle::current);
        let started = sequence::start_on(&runtime, &component).await;
        let mut failure = self.http_failure.lock();
        if let Err(error) = started {
            let cause = error.source().map(ToString::to_string);
            *failure = Some(cause.unwrap_or_else(|| error.to_string()));
            drop(failure);
            // Nobody answers there.
            self.remove_socket_file();
            return Err(error);
        }
        *failure = None;
        drop(failure);
        *self.overview.http.lock() = Arc::downgrade(&server);
        *self.http_server.lock() = Some(server);
        Ok(())
    }

    /// The Unix socket, if there is to be one. Without it the server does with TCP.
    async fn listen_at_file(&self) -> Option<Listener> {
        let path = self.config.http.unix_socket.as_ref()?;
        let mode = self.config.http.unix_socket_mode.0;
        match SocketFile::open(path, mode).await {
            Ok((listener, file)) => {
                *self.socket_file.lock() = Some(file);
                Some(listener)
            }
            Err(error) => {
                let file = path.display();
                if self.http_awaited.load(Ordering::SeqCst) {
                    tracing::debug!(%error, %file, "no http.unix_socket yet");
                } else {
                    tracing::error!(%error, %file, "cannot listen at http.unix_socket, going on without");
                }
                None
            }
        }
    }

    /// To be called once nobody listens at it.
    pub(super) fn remove_socket_file(&self) {
        if let Some(file) = self.socket_file.lock().take() {
            file.remove();
        }
    }

    pub(super) async fn start_admin(&self) {
        let (parts, tls) = (self.parts(), self.tls.as_ref());
        let control = &self.selection;
        let started = self
            .admin
            .start(&self.config, parts, control, &self.clock, tls);
        started.await;
    }

    /// A server that serves from here and does not listen yet.
    pub(super) fn new_http_server(&self, listeners: Vec<Listener>) -> HttpServer {
        let registry: Arc<AssetRegistry> = Arc::clone(&self.parts().registry);
        let sources = Sources::new(
            Arc::clone(&self.overview) as Arc<dyn HealthSource>,
            Arc::clone(&self.overview) as Arc<dyn StatsSource>,
            Arc::clone(&self.clock),
        )
        .with_probes(Arc::clone(&self.overview) as Arc<dyn ProbeSource>)
        .with_markets(registry)
        .with_books(Arc::clone(&self.books));
        let mut config = conversion::http(&self.config.http, &self.config.metrics);
        config.tcp &= self.listeners.is_empty();
        let parts = self.parts();
        let catalogue = (&parts.registry, &*parts.lifecycle);
        let published =
            parts
                .published
                .routes(&config, &self.books, catalogue, &self.clock, self.instance);
        let server = HttpServer::builder(config, sources)
            .service("polypy", env!("CARGO_PKG_VERSION"))
            .detail("revision", env!("BUILD_REVISION"))
            .detail("rustc", env!("BUILD_RUSTC"))
            .detail("target", env!("BUILD_TARGET"))
            .routes(published)
            .routes([selection::public(&self.selection)])
            .routes(self.routes.iter().cloned());
        let server = published::described(server, "PolyPy");
        let server = listeners
            .into_iter()
            .fold(server, HttpServerBuilder::listen_on);
        let server = match &self.tls {
            Some(tls) => server.tls(Arc::clone(tls)),
            None => server,
        };
        let server = if self.config.http.page {
            published::with_page(server)
        } else {
            server
        };
        match &self.access {
            Some(access) => server.access(Arc::clone(access)).build(),
            None => server.build(),
        }
    }
}
