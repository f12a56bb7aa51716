//! What stands in for the recorders in a build without them: types of which there is no value.

use std::sync::Arc;
use std::time::Instant;

use polypy_core::catalogue::MarketChange;
use polypy_core::metrics::Sheet;
use polypy_core::recording::Mark;
use polypy_core::{
    Answer, BoxFuture, CatalogueSink, CheckpointSource, Clock, Component, ComponentError,
    ComponentState, FrameSink, Opened, SocketSink, StatsSource,
};
use polypy_net::registry::AssetRegistry;

use crate::config::{Config, RecordSection};

/// How well a recorder does; here there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(dead_code, reason = "the verdict is the same text in every build")]
pub(super) enum RecorderState {
    Off,
    Recording,
    Behind,
    Failed,
}

macro_rules! nobody {
    ($($part:ident)+) => {$(
        #[derive(Debug)]
        pub(super) enum $part {}

        impl $part {
            pub(super) fn copy_books(&self, _books: Arc<dyn CheckpointSource>) {
                match *self {}
            }

            pub(super) fn ending(&self) {
                match *self {}
            }
        }

        impl Component for $part {
            fn name(&self) -> &'static str {
                match *self {}
            }

            fn start(&self) -> BoxFuture<'_, Result<(), ComponentError>> {
                match *self {}
            }

            fn stop(&self) -> BoxFuture<'_, ()> {
                match *self {}
            }

            fn state(&self) -> ComponentState {
                match *self {}
            }
        }

        impl StatsSource for $part {
            fn show(&self, _sheet: &mut dyn Sheet) {
                match *self {}
            }
        }
    )+};
}

nobody!(RecorderPart FlightPart);

impl RecorderPart {
    pub(super) fn of(_section: &RecordSection, _clock: &Arc<dyn Clock>) -> Option<Self> {
        None
    }

    pub(super) fn inlet(&self) -> Inlet {
        match *self {}
    }

    pub(super) fn is_cut(&self) -> bool {
        match *self {}
    }

    pub(super) fn condition(&self) -> RecorderState {
        match *self {}
    }

    pub(super) fn log(&self) {
        match *self {}
    }
}

impl FlightPart {
    pub(super) fn of(
        _config: &Config,
        _clock: &Arc<dyn Clock>,
        _registry: &Arc<AssetRegistry>,
    ) -> Option<Self> {
        None
    }

    pub(super) fn inlet(&self) -> FlightInlet {
        match *self {}
    }
}

macro_rules! silence {
    ($($inlet:ident)+) => {$(
        #[derive(Debug, Clone)]
        pub(super) enum $inlet {}

        impl FrameSink for $inlet {
            fn opened(&self, _opened: &Opened<'_>) -> Box<dyn SocketSink> {
                match *self {}
            }

            fn answered(&self, _answer: &Answer<'_>) {
                match *self {}
            }
        }

        impl CatalogueSink for $inlet {
            fn changed(&self, _change: MarketChange) {
                match *self {}
            }
        }
    )+};
}

silence!(Inlet FlightInlet);

impl Inlet {
    pub(super) fn mark(&self, _mark: Mark, _at: Instant) {
        match *self {}
    }
}

impl FlightInlet {
    pub(super) fn incident(&self, _mark: Mark, _at: Instant) {
        match *self {}
    }
}

/// The rows that there would be: none.
#[derive(Debug, Default)]
pub(super) struct Numbers;

impl Numbers {
    pub(super) fn show(&self, _sheet: &mut dyn Sheet, _now: Instant) {}
}

/// The same of the flight recorder.
#[derive(Debug, Default)]
pub(super) struct FlightNumbers;

impl FlightNumbers {
    pub(super) fn show(&self, _sheet: &mut dyn Sheet) {}
}

/// There are no files.
pub(super) fn folder_of_recordings(_section: &RecordSection) -> Result<(), String> {
    Ok(())
}

/// There are no files.
pub(super) fn folder_of_incidents(_config: &Config) -> Result<(), String> {
    Ok(())
}
