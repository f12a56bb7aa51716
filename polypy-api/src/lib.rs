//! What PolyPy serves beyond books at a moment: streams of every change, and the reads
//! that go with them.
