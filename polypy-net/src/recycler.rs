//! recycler
