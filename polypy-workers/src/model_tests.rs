//! Random interleavings against a plain model.
