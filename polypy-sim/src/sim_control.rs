//! Faults, flow and truth of a running exchange, for a part of the same program.

use std::sync::Arc;

use polypy_core::AssetId;
use serde_json::Value;
use tokio::time::Instant;

use crate::config;
use crate::error::SimError;
use crate::fault::{Fault, FaultError};
use crate::venue::TrueBook;
use crate::world::World;

/// Reaches a running exchange; clones reach the same one. After its stop nothing
/// happens there any more, and what it knew can still be read.
#[derive(Debug, Clone)]
pub struct SimControl {
    world: Arc<World>,
}

/// How the flow runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlowState {
    /// Nothing happens until it is resumed.
    pub is_paused: bool,
    /// Order events and trades a second, over all markets.
    pub events_per_second: f64,
}

impl SimControl {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        let world = Arc::clone(world);
        Self { world }
    }

    /// An asset's true book at this moment; `None` for an unknown asset.
    pub fn true_book(&self, asset_id: &AssetId) -> Option<TrueBook> {
        self.world.exchange.lock().venue.true_book(asset_id)
    }

    /// The faults that are on, oldest first, as `GET /sim/faults` lists them.
    pub fn faults(&self) -> Vec<Value> {
        let mut exchange = self.world.exchange.lock();
        let now = Instant::now();
        // The driver ends what is over with its next step.
        exchange.faults.prune(now);
        let exchange = &*exchange;
        exchange
            .faults
            .list(&exchange.venue, exchange.sessions.keys(), now)
    }

    /// Switches a fault on, unless so many are on, and returns its id.
    ///
    /// # Errors
    /// [`FaultError`] names `assets` that the exchange does not have, or `name` when
    /// there are too many.
    pub fn add_fault(&self, fault: Fault, most: usize) -> Result<u64, FaultError> {
        let mut exchange = self.world.exchange.lock();
        exchange.faults.prune(Instant::now());
        if let Some(error) = fault.unknown_assets(&exchange.venue) {
            return Err(error);
        }
        if exchange.faults.all().count() >= most {
            return Err(FaultError::too_many(most));
        }
        Ok(exchange.add_fault(fault, None))
    }

    /// Switches a fault off; false if it was not on.
    pub fn remove_fault(&self, id: u64) -> bool {
        self.world.exchange.lock().faults.remove(id)
    }

    /// Switches every fault off and says how many there were.
    pub fn clear_faults(&self) -> usize {
        self.world.exchange.lock().faults.clear()
    }

    /// How the flow runs now.
    pub fn flow(&self) -> FlowState {
        let exchange = self.world.exchange.lock();
        FlowState {
            is_paused: exchange.paused,
            events_per_second: exchange.rate,
        }
    }

    /// Has the flow run so from now on.
    ///
    /// # Errors
    /// [`SimError::Config`] when the rate is not 0 to 10,000,000; nothing changes then.
    pub fn set_flow(&self, flow: FlowState) -> Result<(), SimError> {
        config::check_rate(flow.events_per_second)?;
        let mut exchange = self.world.exchange.lock();
        exchange.paused = flow.is_paused;
        exchange.set_rate(flow.events_per_second);
        Ok(())
    }
}
