//! Zero-writing ahead of the tail.
//!
//! A durable write into space that was written before costs the disk one operation; into space that never was, the file
//! system journals the new extent as well, at twice the time. So a stretch ahead of the tail is written with zeros first, in
//! steps, by another thread. The same stretch is the reserve against a full disk: a group is only written where zeros have
//! been, so the write of a record never meets ENOSPC.
//!
//! ```text
//!              tail              zeroed end
//!  | records ... | zeros ... | zeros ... |
//!  | live segment            | next segment
//!                |<----- ahead max ----->|
//! ```
//!
//! The stretch goes on into the next segment's file, which is thus there, with its name on the disk, before the log writer comes to it.
//!
//! A step that finds the disk full keeps what it got. Until there is room for another, which the disk is asked, no further step
//! is tried: a refused append then costs no write.
//!
//! Nobody writes the same bytes twice: this side writes only from the zeroed end on, the log writer only below it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};

use super::Segment;
use crate::disk::{BLOCK_SIZE_BYTES, Disk};
use crate::limits::{AHEAD_FIRST_STEP_BYTES, AHEAD_STEP_BYTES, AHEAD_WRITE_BYTES};

/// The zero-written part of the log.
#[derive(Debug)]
pub(crate) struct Ahead {
    state: Mutex<State>,
    /// The log writer needs more, or has come further.
    wanted: Condvar,
    /// There is more, or there was an error.
    grown: Condvar,
    /// Up to where the log's files hold written bytes: records, then zeros. Raised under the lock.
    zeroed_end: AtomicU64,
    /// The log's tail, as the writer last said.
    tail: AtomicU64,
    /// The zero-writer waits for `wanted`.
    sleeps: AtomicBool,
    ahead_size_bytes: u64,
    segment_size_bytes: u64,
    log_dir: PathBuf,
    disk: Arc<dyn Disk>,
}

#[derive(Debug)]
struct State {
    /// Where the zeroed end lies: the live segment or the next.
    segment: Arc<Segment>,
    /// The next segment, if it is there and the log writer has not come to it.
    next: Option<Arc<Segment>>,
    /// The writer waits for zeros up to here.
    needed: u64,
    /// What the last step said, until one succeeds.
    failed: Option<io::ErrorKind>,
    /// The disk was full when last tried.
    was_full: bool,
    closed: bool,
}

/// Zeros to be written.
struct Step {
    /// `None`: to the segment that begins at `from` and is not there yet.
    segment: Option<Arc<Segment>>,
    from: u64,
    to: u64,
    was_full: bool,
}

impl Ahead {
    /// `zeroed_end` is the size of the live segment's file, as a position.
    pub(crate) fn new(
        live: Arc<Segment>,
        segment_size_bytes: u64,
        zeroed_end: u64,
        tail: u64,
        ahead_size_bytes: u64,
        log_dir: PathBuf,
        disk: Arc<dyn Disk>,
    ) -> Self {
        let zeroed_end = round_up(zeroed_end).min(live.start + segment_size_bytes);
        Self {
            state: Mutex::new(State {
                segment: live,
                next: None,
                needed: 0,
                failed: None,
                was_full: false,
                closed: false,
            }),
            wanted: Condvar::new(),
            grown: Condvar::new(),
            zeroed_end: AtomicU64::new(zeroed_end),
            tail: AtomicU64::new(tail),
            sleeps: AtomicBool::new(false),
            ahead_size_bytes,
            segment_size_bytes,
            log_dir,
            disk,
        }
    }

    /// Up to where the log can be written without waiting.
    pub(crate) fn zeroed_end(&self) -> u64 {
        self.zeroed_end.load(Ordering::Acquire)
    }

    /// Tells where the tail is; wakes the zero-writer when it is worth its while.
    pub(crate) fn advance(&self, tail: u64) {
        // Either this side sees that the other sleeps, or the other sees the tail before it does: both orders are total.
        self.tail.store(tail, Ordering::SeqCst);
        if self.is_behind() && self.sleeps.load(Ordering::SeqCst) {
            let _asleep = self.state.lock();
            self.wanted.notify_one();
        }
    }

    /// Whether the disk was full when it was last asked for space.
    pub(crate) fn was_full(&self) -> bool {
        self.state.lock().was_full
    }

    /// Waits until the zero-writer has reached `end`, which lies in the live segment or at the beginning of the next.
    ///
    /// # Errors
    /// What the disk said when it did not get there.
    pub(crate) fn wait_for(&self, end: u64) -> Result<(), io::ErrorKind> {
        let mut state = self.state.lock();
        if self.zeroed_end() >= end {
            return Ok(());
        }
        state.needed = end;
        state.failed = None;
        self.wanted.notify_one();
        loop {
            if self.zeroed_end() >= end {
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
        while self.zeroed_end() < end {
            self.state.lock().needed = end;
            self.step()?;
        }
        self.state.lock().needed = 0;
        Ok(())
    }

    /// Goes on at the beginning of the next segment: what is not zero-written of the live one, which ends at `segment_end`,
    /// will not be needed.
    pub(crate) fn leave(&self, segment_end: u64) {
        let _no_step_ends = self.state.lock();
        self.zeroed_end.fetch_max(segment_end, Ordering::Release);
    }

    /// The next segment, if zeros have been written to it. It is the live one from now on.
    pub(crate) fn take_next(&self) -> Option<Arc<Segment>> {
        let mut state = self.state.lock();
        let next = state.next.take();
        // There may be a segment after it now.
        self.wanted.notify_one();
        next
    }

    /// Writes all the zeros that are wanted, on the caller's thread, for an engine without threads of its own.
    pub(crate) fn run_now(&self) {
        while self.is_wanted(&self.state.lock()) {
            if let Err(error) = self.step() {
                tracing::debug!(%error, "cannot make space ahead of the log's tail");
            }
        }
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
                    self.sleeps.store(true, Ordering::SeqCst);
                    if self.is_wanted(&state) {
                        break;
                    }
                    self.wanted.wait(&mut state);
                }
                self.sleeps.store(false, Ordering::SeqCst);
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

    /// Where the stretch should end.
    fn target(&self) -> u64 {
        let tail = self.tail.load(Ordering::SeqCst);
        tail.saturating_add(self.ahead_size_bytes)
    }

    /// Whether it ends a whole step before that: less is not worth the sync.
    fn is_behind(&self) -> bool {
        let behind = self.target().saturating_sub(self.zeroed_end());
        behind >= AHEAD_STEP_BYTES.min(self.ahead_size_bytes / 2)
    }

    /// Whether there is a step to do now. After an error only somebody who waits is a reason to try again: appends come and ask.
    fn is_wanted(&self, state: &State) -> bool {
        let is_needed = state.needed > self.zeroed_end();
        (is_needed || state.failed.is_none() && self.is_behind()) && self.next_step(state).is_some()
    }

    fn next_step(&self, state: &State) -> Option<Step> {
        let from = self.zeroed_end();
        let target = self.target().max(state.needed);
        let segment_end = state.segment.start + self.segment_size_bytes;
        let (segment, end) = if from < segment_end {
            (Some(Arc::clone(&state.segment)), segment_end)
        } else if state.next.is_none() {
            (None, segment_end + self.segment_size_bytes)
        } else {
            // One segment is ahead enough.
            return None;
        };
        let is_first = from + self.segment_size_bytes == end;
        let step = if is_first && state.needed > from {
            AHEAD_FIRST_STEP_BYTES
        } else {
            AHEAD_STEP_BYTES
        };
        (from < target).then(|| Step {
            segment,
            from,
            to: round_up(target.min(from + step).max(state.needed)).min(end),
            was_full: state.was_full,
        })
    }

    /// Zero-writes one step if there is one to do. For one thread only.
    ///
    /// # Errors
    /// What the disk said. The step is tried again when it is wanted again.
    fn step(&self) -> io::Result<()> {
        let Some(step) = self.next_step(&self.state.lock()) else {
            return Ok(());
        };
        let outcome = self.write_step(&step);
        let mut state = self.state.lock();
        state.failed = outcome.as_ref().err().map(io::Error::kind);
        state.was_full = state.failed == Some(io::ErrorKind::StorageFull);
        if outcome.is_err() {
            state.needed = 0;
        }
        self.grown.notify_all();
        outcome
    }

    fn write_step(&self, step: &Step) -> io::Result<()> {
        if step.was_full && !self.has_room(step.to - step.from) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let segment = match &step.segment {
            Some(segment) => Arc::clone(segment),
            None => {
                let next = super::create(self.disk.as_ref(), &self.log_dir, step.from)?;
                let mut state = self.state.lock();
                state.segment = Arc::clone(&next);
                state.next = Some(Arc::clone(&next));
                next
            }
        };
        let (reached, outcome) = write_zeros(&segment, step.from, step.to);
        let _nobody_leaves = self.state.lock();
        // The segment may have been left meanwhile; then these zeros are of no use and do no harm.
        self.zeroed_end.fetch_max(reached, Ordering::Release);
        outcome
    }

    fn has_room(&self, size_bytes: u64) -> bool {
        // A disk that does not say is tried.
        self.disk
            .free_bytes(&self.log_dir)
            .map_or(true, |free_bytes| free_bytes >= size_bytes)
    }
}

/// Writes zeros from `from` on and makes them durable. Returns how far they reach, which is `to` unless there was an error.
fn write_zeros(segment: &Segment, from: u64, to: u64) -> (u64, io::Result<()>) {
    let mut reached = from;
    let mut outcome = Ok(());
    while reached < to {
        // Not more at once: the file system lets no group be written to the file meanwhile.
        let count = (to - reached).min(AHEAD_WRITE_BYTES);
        if let Err(error) = segment.file.write_zeros(segment.offset(reached), count) {
            outcome = Err(error);
            break;
        }
        reached += count;
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
