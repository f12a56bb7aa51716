//! Where one asset can be, and what is counted of all of them.

use std::collections::BTreeSet;

use polypy_core::AssetKey;

use super::{AssetStatus, ConnectionId};

/// An asset's status together with its connection: no other pair exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Pending,
    Subscribed(ConnectionId),
    Expired(Option<ConnectionId>),
}

#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) subscribed: BTreeSet<AssetKey>,
    pub(super) expired: BTreeSet<AssetKey>,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) pending: usize,
    pub(super) subscribed: usize,
    pub(super) expired: usize,
}

impl Place {
    pub(super) fn status(self) -> AssetStatus {
        match self {
            Self::Pending => AssetStatus::Pending,
            Self::Subscribed(_) => AssetStatus::Subscribed,
            Self::Expired(_) => AssetStatus::Expired,
        }
    }

    pub(super) fn connection(self) -> Option<ConnectionId> {
        match self {
            Self::Pending => None,
            Self::Subscribed(connection) => Some(connection),
            Self::Expired(connection) => connection,
        }
    }
}

impl Counts {
    pub(super) fn of(&mut self, status: AssetStatus) -> &mut usize {
        match status {
            AssetStatus::Pending => &mut self.pending,
            AssetStatus::Subscribed => &mut self.subscribed,
            AssetStatus::Expired => &mut self.expired,
        }
    }
}
