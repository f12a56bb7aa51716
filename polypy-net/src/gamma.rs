//! Gamma: discovery of markets.
