//! The selection of a program, for those who embed it.

use std::sync::Arc;

use polypy_core::catalogue::SelectionSource;

use super::{InForce, Reloaded, Selected, SelectionError};
use crate::app::PolyPy;
use crate::config::{Loaded, Overlay};

impl PolyPy {
    /// Puts an overlay above all other layers of `[markets]`, in the place of the one that
    /// is there. Resolves when every market that is listed is as the selection says: those
    /// that it adds have been handed to the pool, and those that it releases are
    /// forgotten. Dropping the future does not undo it.
    ///
    /// An overlay that comes to the same rules changes no market, and is no other generation.
    /// If `markets.overlay_file` names a file, it is written before anything is done.
    ///
    /// ```no_run
    /// # async fn example(app: &polypy::PolyPy) -> Result<(), Box<dyn std::error::Error>> {
    /// use polypy::config::Overlay;
    ///
    /// let overlay = Overlay::parse(r#"{"tags": ["crypto"], "max_markets": 500}"#)?;
    /// let selected = app.select(overlay).await?;
    /// println!("{} added, {} released", selected.added, selected.released);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SelectionError`]; but for [`SelectionError::Superseded`] nothing has changed.
    pub async fn select(&self, overlay: Overlay) -> Result<Selected, SelectionError> {
        self.selection.select(overlay, None).await
    }

    /// The same, if the selection that was seen is in force still, its overlay included.
    ///
    /// # Errors
    /// [`SelectionError::Changed`] if it is not; else as [`Self::select`].
    pub async fn select_if(
        &self,
        overlay: Overlay,
        seen: &InForce,
    ) -> Result<Selected, SelectionError> {
        self.selection.select(overlay, Some(seen)).await
    }

    /// The selection that is in force.
    pub fn selection(&self) -> InForce {
        self.selection.in_force()
    }

    /// Every market that the venue lists, followed or not, and why.
    pub fn catalogue(&self) -> Arc<dyn SelectionSource> {
        self.selection.source()
    }

    /// Puts these layers in the place of those below the overlay, and follows what they
    /// say. Other keys, `markets.shard` and `markets.overlay_file` stay as they are: those
    /// that differ are named in the log and in the answer.
    ///
    /// # Errors
    /// As [`Self::select`].
    pub async fn reload_configuration(&self, loaded: Loaded) -> Result<Reloaded, SelectionError> {
        self.selection.reload(loaded).await
    }
}
