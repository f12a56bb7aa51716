//! The venue as this crate's parts work with it: where to connect, and who takes
//! what comes of it.

use std::fmt;
use std::sync::Arc;

use hyper::Uri;
use polypy_core::{AssetKey, Clock, EventSink, FrameSink, LifecycleEvent, SuspensionWatch};

use crate::clob::BookFetch;
use crate::dial::Dial;
use crate::early_audit::EarlyAudits;
use crate::resync::ResyncQueue;
use crate::wire::WireStats;

/// Who is told what the feed says about markets, as opposed to books.
/// No call waits; what cannot be taken in is dropped and counted by the listener.
pub trait LifecycleListener: Send + Sync {
    /// A market appeared or ended.
    fn offer(&self, event: LifecycleEvent);

    /// These assets look as if their market had ended: the venue has no book of
    /// them, or closed because all of them are resolved. Worth asking discovery.
    fn confirm_gone(&self, assets: &[AssetKey]);
}

/// What connections work with: handed in once, shared by all.
#[derive(Clone)]
pub struct Venue {
    /// Address of the market channel.
    pub url: Uri,
    /// Opens byte streams.
    pub dialer: Arc<dyn Dial>,
    /// Fetches whole books.
    pub books: Arc<dyn BookFetch>,
    /// Takes the events.
    pub sink: Arc<dyn EventSink>,
    /// Takes what sockets say, before it is decoded, if that is recorded.
    pub frames: Option<Arc<dyn FrameSink>>,
    /// Takes what the feed says about markets.
    pub lifecycle: Arc<dyn LifecycleListener>,
    /// Takes requests for fresh snapshots.
    pub resync: Arc<ResyncQueue>,
    /// Takes requests to compare books before their turn.
    pub early_audits: Arc<EarlyAudits>,
    /// Knows when the process stood still. The pool beats.
    pub suspension: Arc<SuspensionWatch>,
    /// Counts what was decoded.
    pub wire: Arc<WireStats>,
    /// The wall clock, to say how far behind the exchange a read is.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for Venue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Venue")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}
