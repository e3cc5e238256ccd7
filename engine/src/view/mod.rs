//! State derived from the log. The queue index is the engine's own view; everything else (topics, groups, offsets, timers) is
//! the embedder's, behind [`View`].

pub(crate) mod checkpoint;

use std::fmt;

use crate::record::RecordView;

/// What an embedder derives from the log, in the log's order.
///
/// The engine calls [`View::apply`] for each durable record exactly once in a life of the view: after a start that is
/// everything since the checkpoint whose state [`View::restore`] was given, then what is appended. Calls never overlap.
/// Readers on other threads see the state through whatever the implementation shares; the record whose append completes has
/// been applied.
pub trait View: Send + Sync + 'static {
    /// Takes in one durable record. Must not block, and must not call back into the engine.
    fn apply(&self, record: &RecordView<'_>);

    /// Tells which queues have new readable entries. Live only, once a group, before its appends complete. Must not block.
    fn arrived(&self, arrivals: &[Arrival<'_>]);

    /// The state after the last apply, in whatever encoding [`View::restore`] understands.
    fn checkpoint(&self) -> Vec<u8>;

    /// The same, for a checkpoint that is taken while the log is being written: what can be done later need not be done now.
    fn checkpoint_later(&self) -> LaterState {
        let state = self.checkpoint();
        LaterState::new(move || state)
    }

    /// Takes the state of a checkpoint, before any apply.
    ///
    /// # Errors
    /// A reason, for people, when the bytes are not a state.
    fn restore(&self, state: &[u8]) -> Result<(), String>;

    /// State that a checkpoint keeps beside [`View::checkpoint`], and that may be newer than it: it is told by another thread, when
    /// the checkpoint is written, so that nobody waits for it however much it is. It speaks of durable records alone; but in a
    /// relaxed log, after a loss of power, those may be gone, and others may be in their places.
    fn recent(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes what [`View::recent`] told, after [`View::restore`] and before any apply; nothing from a checkpoint without it. What it
    /// does not understand it leaves.
    fn restore_recent(&self, state: &[u8]) {
        let _not_used = state;
    }
}

/// A view's state of one moment, which is encoded later, on a thread that nobody waits for.
pub struct LaterState(Box<dyn FnOnce() -> Vec<u8> + Send>);

impl LaterState {
    /// A state that `encode` encodes. It must be that of now, whatever is applied meanwhile.
    pub fn new(encode: impl FnOnce() -> Vec<u8> + Send + 'static) -> Self {
        Self(Box::new(encode))
    }

    /// Encodes it.
    pub fn encode(self) -> Vec<u8> {
        (self.0)()
    }
}

impl fmt::Debug for LaterState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a state that is encoded later")
    }
}

/// One new entry of a queue.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The queue's topic.
    pub topic: &'a str,
    /// The queue's number in the topic.
    pub queue_id: u32,
    /// Offset of the entry.
    pub queue_offset: u64,
    /// Tag hash of the record.
    pub tags_code: i64,
    /// The record's properties, in the stored encoding.
    pub properties: &'a [u8],
}

/// A view of nothing, for an embedder that wants just the log.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoView;

impl View for NoView {
    fn apply(&self, _record: &RecordView<'_>) {}

    fn arrived(&self, _arrivals: &[Arrival<'_>]) {}

    fn checkpoint(&self) -> Vec<u8> {
        Vec::new()
    }

    fn restore(&self, _state: &[u8]) -> Result<(), String> {
        Ok(())
    }
}
