//! The connections one by one, for those who show them.

use polypy_core::{ConnectionReport, ConnectionSource};
use tokio::time::Instant;

use super::ConnectionPool;

impl ConnectionSource for ConnectionPool {
    fn connections(&self) -> Vec<ConnectionReport> {
        let now = Instant::now();
        let registry = &self.shared.registry;
        let views = Self::connections(self);
        let reports = views.iter();
        reports
            .map(|view| view.report_of(registry.load(view.id()), now))
            .collect()
    }
}
