//! The messages of PolyPy's streams, and a client that proves that it missed nothing.
