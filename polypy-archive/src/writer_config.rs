//! How files are written: what a person may choose.

use std::time::Duration;

use crate::chunk::LIVE_LEVEL;
use crate::folder::Retention;

/// How files are written.
#[derive(Debug, Clone, PartialEq)]
pub struct WriterConfig {
    /// A file ends once it has so many bytes.
    pub rotate_size: u64,
    /// Or once it is so old.
    pub rotate_after: Duration,
    /// A chunk ends once it has so many bytes.
    pub chunk: usize,
    /// Or once its first entry is so old.
    pub chunk_after: Duration,
    /// How hard chunks are compressed: the level of zstd, from 1 to 19. Each takes longer.
    pub zstd_level: i32,
    /// Between two syncs.
    pub sync: Duration,
    /// Which files are kept.
    pub retention: Retention,
    /// Bytes of the disk that are left to others.
    pub disk_reserve: u64,
}

impl Default for WriterConfig {
    fn default() -> Self {
        Self {
            rotate_size: 512 << 20,
            rotate_after: Duration::from_secs(600),
            chunk: 8 << 20,
            chunk_after: Duration::from_secs(2),
            zstd_level: LIVE_LEVEL,
            sync: Duration::from_secs(1),
            retention: Retention::default(),
            disk_reserve: 1 << 30,
        }
    }
}
