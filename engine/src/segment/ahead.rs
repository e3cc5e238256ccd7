//! Zero-writing ahead of the tail.
//!
//! A durable write into space that was written before costs the disk one operation; into space that never was, the file
//! system journals the new extent as well, at twice the time. So a stretch ahead of the tail is written with zeros first, in
//! steps, by another thread. The same stretch is the reserve against a full disk: a group is only written where zeros have
//! been, so the write of a record never meets ENOSPC.
//!
//! ```text
//!        tail          zeroed end                  segment end
//!  records | zeros ........ | nothing yet ............. |
//!          |<-- ahead max ->|
//! ```
//!
//! A step that finds the disk full keeps what it got. Until there is room for another, which the disk is asked, no further step
//! is tried: a refused append then costs no write.
//!
//! Nobody writes the same bytes twice: this side writes only from the zeroed end on, the log writer only below it.

use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::Segment;
use crate::disk::{BLOCK_SIZE_BYTES, Disk};
use crate::limits::{AHEAD_FIRST_STEP_BYTES, AHEAD_STEP_BYTES};

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The zero-written part of the live segment.
#[derive(Debug)]
pub(crate) struct Ahead {
    state: Mutex<State>,
    /// The log writer needs more, or the segment changed.
    wanted: Condvar,
    /// There is more, or there was an error.
    grown: Condvar,
    ahead_size_bytes: u64,
    disk: Arc<dyn Disk>,
}

#[derive(Debug)]
struct State {
    segment: Arc<Segment>,
    segment_end: u64,
    /// Up to where the file holds written bytes: records, then zeros.
    zeroed_end: u64,
    /// The log's tail, as the writer last said.
    tail: u64,
    /// The writer waits for zeros up to here.
    needed: u64,
    /// What the last step said, until one succeeds.
    failed: Option<io::ErrorKind>,
    /// The disk was full when last tried.
    was_full: bool,
    closed: bool,
}

impl State {
    fn target(&self, ahead_size_bytes: u64) -> u64 {
        self.needed
            .max(self.tail.saturating_add(ahead_size_bytes))
            .min(self.segment_end)
    }
}

impl Ahead {
    /// `zeroed_end` is the size of the live segment's file, as a position.
    pub(crate) fn new(
        segment: Arc<Segment>,
        segment_end: u64,
        zeroed_end: u64,
        tail: u64,
        ahead_size_bytes: u64,
        disk: Arc<dyn Disk>,
    ) -> Self {
        Self {
            state: Mutex::new(State {
                segment,
                segment_end,
                zeroed_end: round_up(zeroed_end).min(segment_end),
                tail,
                needed: 0,
                failed: None,
                was_full: false,
                closed: false,
            }),
            wanted: Condvar::new(),
            grown: Condvar::new(),
            ahead_size_bytes,
            disk,
        }
    }

    /// The live segment is now this one.
    pub(crate) fn move_to(&self, segment: Arc<Segment>, segment_end: u64, zeroed_end: u64) {
        let mut state = self.state.lock();
        state.tail = segment.start;
        state.segment = segment;
        state.segment_end = segment_end;
        state.zeroed_end = round_up(zeroed_end).min(segment_end);
        state.needed = 0;
        self.wanted.notify_one();
    }

    /// Tells where the tail is; wakes the zero-writer when it is worth its while.
    pub(crate) fn advance(&self, tail: u64) {
        let mut state = self.state.lock();
        state.tail = tail;
        let behind = state
            .target(self.ahead_size_bytes)
            .saturating_sub(state.zeroed_end);
        if behind >= AHEAD_STEP_BYTES.min(self.ahead_size_bytes / 2) {
            self.wanted.notify_one();
        }
    }

    /// How far the written part reaches, if at least to `end`; without waiting.
    pub(crate) fn reaches(&self, end: u64) -> bool {
        self.state.lock().zeroed_end >= end
    }

    /// Whether the disk was full when it was last asked for space.
    pub(crate) fn was_full(&self) -> bool {
        self.state.lock().was_full
    }

    /// Waits until the zero-writer has reached `end`, which lies in the live segment.
    ///
    /// # Errors
    /// What the disk said when it did not get there.
    pub(crate) fn wait_for(&self, end: u64) -> Result<(), io::ErrorKind> {
        let mut state = self.state.lock();
        if state.zeroed_end >= end {
            return Ok(());
        }
        state.needed = end;
        state.failed = None;
        self.wanted.notify_one();
        loop {
            if state.zeroed_end >= end {
                state.needed = 0;
                return Ok(());
            }
            if let Some(kind) = state.failed {
                state.needed = 0;
                return Err(kind);
            }
            self.grown.wait(&mut state);
        }
    }

    /// Zero-writes up to `end` on the caller's thread, for an engine without threads of its own.
    ///
    /// # Errors
    /// What the disk said.
    pub(crate) fn fill_to(&self, end: u64) -> io::Result<()> {
        self.state.lock().needed = end;
        while !self.reaches(end) {
            self.step()?;
        }
        Ok(())
    }

    /// Zero-writes one step if there is one to do; `Ok(false)` when there is none. For one thread only.
    ///
    /// # Errors
    /// What the disk said. The step is tried again when it is wanted again.
    pub(crate) fn step(&self) -> io::Result<bool> {
        let (segment, from, to, was_full) = {
            let state = self.state.lock();
            let target = state.target(self.ahead_size_bytes);
            if state.zeroed_end >= target {
                return Ok(false);
            }
            let first = state.zeroed_end == state.segment.start;
            let step = if first {
                AHEAD_FIRST_STEP_BYTES
            } else {
                AHEAD_STEP_BYTES
            };
            let to = round_up(target.min(state.zeroed_end + step).max(state.needed)).min(state.segment_end);
            (Arc::clone(&state.segment), state.zeroed_end, to, state.was_full)
        };
        let (reached, outcome) = match was_full && !self.has_room(&segment, to - from) {
            true => (from, Err(io::ErrorKind::StorageFull.into())),
            false => write_zeros(&segment, from, to),
        };
        let mut state = self.state.lock();
        // The segment may have been left meanwhile, full or not; then these zeros are of no use and do no harm.
        if state.segment.start == segment.start {
            state.zeroed_end = reached;
            state.failed = outcome.as_ref().err().map(io::Error::kind);
            state.was_full = state.failed == Some(io::ErrorKind::StorageFull);
        }
        self.grown.notify_all();
        outcome.map(|()| true)
    }

    fn has_room(&self, segment: &Segment, size_bytes: u64) -> bool {
        let dir = segment.path.parent().unwrap_or(&segment.path);
        // A disk that does not say is tried.
        self.disk
            .free_bytes(dir)
            .map_or(true, |free_bytes| free_bytes >= size_bytes)
    }

    /// Runs steps until [`Ahead::close`].
    pub(crate) fn run(&self) {
        loop {
            {
                let mut state = self.state.lock();
                loop {
                    if state.closed {
                        return;
                    }
                    let behind = state.zeroed_end < state.target(self.ahead_size_bytes);
                    // After an error only somebody who waits is a reason to try again: appends come and ask.
                    if behind && (state.failed.is_none() || state.needed > state.zeroed_end) {
                        break;
                    }
                    self.wanted.wait(&mut state);
                }
            }
            // Whoever waits is told, and tells people; this thread has nobody to tell.
            if let Err(error) = self.step() {
                tracing::debug!(%error, "cannot make space ahead of the log's tail");
            }
        }
    }

    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.failed.get_or_insert(io::ErrorKind::Interrupted);
        self.wanted.notify_all();
        self.grown.notify_all();
    }
}

/// Writes zeros from `from` on and makes them durable. Returns how far they reach, which is `to` unless there was an error.
fn write_zeros(segment: &Segment, from: u64, to: u64) -> (u64, io::Result<()>) {
    let mut reached = from;
    let mut outcome = Ok(());
    while reached < to {
        let count = usize::try_from(to - reached)
            .unwrap_or(usize::MAX)
            .min(ZEROS.len());
        if let Err(error) = segment.file.write_at(&ZEROS[..count], segment.offset(reached)) {
            outcome = Err(error);
            break;
        }
        reached += count as u64;
    }
    if reached > from
        && let Err(error) = segment.file.sync()
    {
        return (from, Err(error));
    }
    (reached, outcome)
}

fn round_up(position: u64) -> u64 {
    position.next_multiple_of(BLOCK_SIZE_BYTES as u64)
}
