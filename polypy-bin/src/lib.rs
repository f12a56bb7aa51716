//! polypy
