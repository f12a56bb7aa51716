//! What keeps the words of sockets: the recorder and the flight recorder, from `polypy-archive`.

pub(super) use polypy_archive::{FlightInlet, FlightNumbers, Inlet, Numbers, RecorderState};

pub(super) use super::flight::FlightPart;
pub(super) use super::recorder::RecorderPart;
use crate::config::{Config, RecordSection, conversion};
use crate::file;

/// Whether the recorder can write its files, as far as its folder tells.
pub(super) fn folder_of_recordings(section: &RecordSection) -> Result<(), String> {
    let Some(folder) = &section.dir else {
        return Ok(());
    };
    file::may_be_created(folder).map_err(|error| {
        let folder = folder.display();
        format!("{folder} cannot be written to: {error}; name a folder that can")
    })
}

/// Whether the flight recorder can write its files, as far as its folder tells.
pub(super) fn folder_of_incidents(config: &Config) -> Result<(), String> {
    let Some(flight) = conversion::flight_recorder(config) else {
        return Ok(());
    };
    file::may_be_created(&flight.folder).map_err(|error| {
        let folder = flight.folder.display();
        format!(
            "{folder} cannot be written to: {error}; name a folder that can, or turn the flight \
             recorder off with flight_recorder.memory = \"0B\""
        )
    })
}
