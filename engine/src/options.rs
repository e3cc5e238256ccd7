//! How an engine is opened.

use std::path::PathBuf;

/// When an append counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flush {
    /// Once it is on the disk: it survives a loss of power.
    #[default]
    Durable,
    /// Once the page cache has it: it survives the process, not the power. A sync follows within
    /// [`crate::limits::RELAXED_SYNC_INTERVAL_MS`].
    Relaxed,
}

/// Who runs the engine's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Threads {
    /// Three threads of the engine's own: the log writer, the one that zero-writes ahead of it, and the one that seals.
    #[default]
    Background,
    /// Nobody: the caller calls [`crate::Engine::pump`]. For deterministic tests and simulation.
    Manual,
}

/// How an engine is opened. [`Options::new`] has defaults for all but the folder.
#[derive(Debug, Clone)]
pub struct Options {
    /// The store's folder; created if absent.
    pub dir: PathBuf,
    /// When an append counts as done.
    pub flush: Flush,
    /// Size of one commit-log segment, a multiple of the block size. Fixed when the store is created; an existing store keeps its own.
    pub segment_size_bytes: u64,
    /// Appends that wait for the writer may hold this many bytes in all; more are refused with
    /// [`crate::AppendError::Busy`].
    pub pending_size_bytes_max: u64,
    /// Recently written bytes kept in memory for readers at the tail.
    pub tail_cache_size_bytes: u64,
    /// A group takes no further append once it is this long.
    pub group_size_bytes_max: u64,
    /// How far ahead of the tail the log is zero-written.
    pub ahead_size_bytes: u64,
    /// Who runs the engine's work.
    pub threads: Threads,
    /// Whether this makes a new store that is filled from another one: until [`crate::Engine::finish_import`] it opens with this
    /// alone, so that nobody takes half of it for all.
    pub importing: bool,
}

impl Options {
    /// Defaults for a store in `dir`: durable, 256 MiB segments, 64 MiB pending, 32 MiB tail cache.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            flush: Flush::Durable,
            segment_size_bytes: 256 << 20,
            pending_size_bytes_max: 64 << 20,
            tail_cache_size_bytes: 32 << 20,
            group_size_bytes_max: 2 << 20,
            ahead_size_bytes: 8 << 20,
            threads: Threads::Background,
            importing: false,
        }
    }
}
