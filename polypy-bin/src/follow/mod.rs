//! `polypy tail`, `book`, `markets`, `events` and `trades`: a running server at a terminal.

mod address;
mod book;
mod dry_run;
mod events;
mod ladder;
mod line;
mod markets;
mod reason;
mod short;
mod shown;
mod table;
mod tail;
mod trades;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use hyper::Uri;
use polypy::config::{Layer, Overlay, Sources};
use polypy::exit::Exit;
use polypy::secrets;
use polypy_client::{Client, Dial, Dialing, Error, Lost, Socket};
use polypy_net::dial::{Dial as _, SystemDialer};
use tokio::signal::unix::{SignalKind, signal};

use crate::ask;
use crate::cli;
use crate::terminal;

pub(crate) use book::book;
pub(crate) use events::events;
pub(crate) use markets::markets;
pub(crate) use tail::tail;
pub(crate) use trades::trades;
#[cfg(feature = "tui")]
pub(crate) use {
    book::ask,
    line::plain,
    shown::{cut, padded, width},
};

/// A server that is to be asked.
pub(crate) struct Target {
    /// As people know it.
    url: String,
    token: Option<String>,
    /// What vouches for its certificate, beside those who do for everybody's.
    ca_file: Option<PathBuf>,
}

/// Opens connections with TLS.
struct Dialer(Arc<SystemDialer>);

impl Dial for Dialer {
    fn dial(&self, server: Uri) -> Dialing {
        let dialer = Arc::clone(&self.0);
        Box::pin(async move {
            let stream = dialer.dial(&server).await?;
            Ok(Box::new(stream) as Box<dyn Socket>)
        })
    }
}

impl Target {
    /// The server that was named, or the one of the configuration.
    pub(crate) fn find(typed: cli::Server, variables: Vec<(String, String)>) -> Result<Self, Exit> {
        let mut token_file = typed.token_file;
        let url = match typed.url {
            Some(url) => address::server(&url).map_err(|reason| {
                terminal::say(&format_args!("--url {}: {reason}", url.escape_debug()));
                Exit::Usage
            })?,
            None => {
                let sources = Sources {
                    named_file: typed.file.config,
                    variables,
                    demo: Layer::default(),
                    flags: Layer::default(),
                };
                let loaded = sources
                    .load_with(Overlay::default())
                    .map_err(|error| terminal::refuse(&error))?;
                let http = loaded.config.http;
                let url = ask::own_url(&http);
                token_file = token_file.or(http.token_file);
                url
            }
        };
        let token = token_file.as_deref().map(secrets::token).transpose();
        let token = token.map_err(|error| {
            terminal::say(&error);
            Exit::Config
        })?;
        Ok(Self {
            url,
            token,
            ca_file: typed.ca_file,
        })
    }

    pub(crate) fn client(&self) -> Result<Client, Exit> {
        let dialer = ask::dialer(self.ca_file.as_deref()).map_err(|error| {
            terminal::say(&format_args!("--ca-file {error}"));
            Exit::Failure
        })?;
        let dialer = Arc::new(Dialer(Arc::new(dialer)));
        let client = Client::with_tls(&self.url, dialer).map_err(|error| {
            terminal::say(&format_args!("--url {error}"));
            Exit::Usage
        })?;
        Ok(match &self.token {
            Some(token) => client.with_token(token),
            None => client,
        })
    }

    /// Says why there is no subscription, and what to do.
    pub(crate) fn refused(&self, error: &Error) -> Exit {
        let remedy = match error {
            Error::Status { status, .. } if status.as_u16() == 401 => {
                ": --token-file names the file with the token"
            }
            _ => "",
        };
        self.say(&format!("{error}{remedy}"));
        Exit::Failure
    }

    /// Says why there is no connection.
    pub(crate) fn lost(&self, cause: &Lost) -> Exit {
        let remedy = match cause {
            Lost::Dial(error) => address::io(&self.url, error),
            Lost::DialTimeout(_) => address::nobody(&self.url),
            Lost::Http(error) => address::http(&self.url, error).to_owned(),
            _ => String::new(),
        };
        self.say(&format!("{cause}{remedy}"));
        Exit::Failure
    }

    /// What another program sent must not steer the terminal.
    pub(crate) fn say(&self, text: &str) {
        let text = text
            .escape_debug()
            .to_string()
            .replace("\\\"", "\"")
            .replace("\\'", "'");
        terminal::say(&format_args!("{}: {text}", self.url));
    }
}

/// Runs until it is done, or until it is told to end.
pub(crate) fn run(work: impl Future<Output = Exit>) -> Exit {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = runtime.and_then(|runtime| {
        runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            Ok(tokio::select! {
                exit = work => exit,
                _ = interrupt.recv() => Exit::Clean,
                _ = terminate.recv() => Exit::Clean,
            })
        })
    });
    ended.unwrap_or_else(|error| {
        terminal::say(&format_args!("the system gives no runtime: {error}"));
        Exit::Failure
    })
}
