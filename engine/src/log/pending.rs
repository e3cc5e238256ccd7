//! Appends that wait for the writer. While one group is on its way to the disk, the next gathers here.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::mark::MARK_SIZE_BYTES;
use super::pressure::{Meter, Pressure};
use crate::clock::Clock;
use crate::error::{AppendError, StopReason};
use crate::record::EncodedRecords;

/// Where a record landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Its position in the log.
    pub position: u64,
    /// Its size.
    pub size_bytes: u32,
    /// Its offset in its queue; 0 for a record that has no place in one.
    pub queue_offset: u64,
    /// When it was stored, in milliseconds since the epoch.
    pub store_ms: i64,
}

/// Who is told of an append. The box travels with it and comes back, and so does the records' memory, so that a caller that
/// keeps both for its next append allocates nothing.
pub trait AppendDone: Send + 'static {
    /// What became of the append: the records are durable, applied to the view and readable, and here is where, one item for each;
    /// or why not. `records` is empty and keeps its memory.
    ///
    /// Runs on the log's writer thread, or at once on the caller's if the append is refused without waiting. It must not
    /// block: everybody else's appends wait for it. It may append.
    fn done(self: Box<Self>, outcome: Result<&[Appended], AppendError>, records: EncodedRecords);
}

/// A callback that is told of an append of one record.
pub(crate) struct One<F>(pub(crate) F);

impl<F: FnOnce(Result<Appended, AppendError>) + Send + 'static> AppendDone for One<F> {
    fn done(self: Box<Self>, outcome: Result<&[Appended], AppendError>, _records: EncodedRecords) {
        match outcome {
            Ok([appended, ..]) => (self.0)(Ok(*appended)),
            // Whoever makes one of these appends a record.
            Ok([]) => {}
            Err(error) => (self.0)(Err(error)),
        }
    }
}

/// A callback that is told of an append of several.
pub(crate) struct Several<F>(pub(crate) F);

impl<F: FnOnce(Result<Vec<Appended>, AppendError>) + Send + 'static> AppendDone for Several<F> {
    fn done(self: Box<Self>, outcome: Result<&[Appended], AppendError>, _records: EncodedRecords) {
        (self.0)(outcome.map(<[Appended]>::to_vec));
    }
}

/// One append: records that stand or fall together, and who is told.
pub(crate) struct Append {
    pub(crate) records: EncodedRecords,
    /// Whether it may use the room that a full disk keeps for state records.
    pub(crate) is_reserved: bool,
    /// When the records were stored first, in another store; else they are stored now.
    pub(crate) stored_ms: Option<i64>,
    pub(crate) done: Box<dyn AppendDone>,
}

impl std::fmt::Debug for Append {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Append")
            .field("records", &self.records.len())
            .finish_non_exhaustive()
    }
}

impl Append {
    /// Whether it is several records, which a mark holds together in the log.
    pub(crate) fn is_batch(&self) -> bool {
        self.records.len() > 1
    }

    /// What it takes in the log: its records and, if they are several, their mark.
    pub(crate) fn size_bytes(&self) -> u64 {
        let mark = if self.is_batch() { MARK_SIZE_BYTES } else { 0 };
        mark + self.records.size_bytes()
    }

    /// Tells the caller. `appended` has one item for each record.
    pub(crate) fn complete(self, appended: &[Appended]) {
        self.tell(Ok(appended));
    }

    pub(crate) fn fail(self, error: AppendError) {
        self.tell(Err(error));
    }

    fn tell(mut self, outcome: Result<&[Appended], AppendError>) {
        self.records.clear();
        self.done.done(outcome, self.records);
    }
}

/// Why nothing more is taken.
#[derive(Debug, Clone)]
pub(crate) enum Shut {
    Closed,
    Stopped(Arc<StopReason>),
}

impl From<Shut> for AppendError {
    fn from(shut: Shut) -> Self {
        match shut {
            Shut::Closed => Self::Closed,
            Shut::Stopped(reason) => Self::Stopped(reason),
        }
    }
}

/// What a caller may write on its own thread: not more than it waits for gladly.
const CLAIMED_APPENDS_MAX: usize = 4;
const CLAIMED_SIZE_BYTES_MAX: u64 = 64 << 10;

/// The queue in front of the writer, bounded in bytes.
#[derive(Debug)]
pub(crate) struct Pending {
    state: Mutex<State>,
    arrived: Condvar,
    meter: Meter,
    size_bytes_max: u64,
}

#[derive(Debug, Default)]
struct State {
    appends: Vec<Append>,
    size_bytes: u64,
    /// The writer sleeps and must be woken.
    writer_sleeps: bool,
    shut: Option<Shut>,
}

impl Pending {
    pub(crate) fn new(size_bytes_max: u64, clock: Arc<dyn Clock>) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Condvar::new(),
            meter: Meter::new(clock),
            size_bytes_max,
        }
    }

    /// Takes an append in and wakes the writer, or tells the append's caller at once why not.
    pub(crate) fn push(&self, append: Append) {
        self.take_in(append, true);
    }

    /// Takes an append in and wakes nobody; [`Pending::claim`] is to follow.
    pub(crate) fn push_quietly(&self, append: Append) {
        self.take_in(append, false);
    }

    fn take_in(&self, append: Append, wake: bool) {
        let size_bytes = append.size_bytes();
        let refused = {
            let mut state = self.state.lock();
            if let Some(shut) = &state.shut {
                Some(shut.clone().into())
            } else if state.size_bytes + size_bytes > self.size_bytes_max && !state.appends.is_empty() {
                Some(AppendError::Busy {
                    pending_bytes: state.size_bytes,
                    max_bytes: self.size_bytes_max,
                })
            } else {
                state.size_bytes += size_bytes;
                self.meter.waits(state.appends.is_empty(), state.size_bytes);
                state.appends.push(append);
                if wake {
                    self.wake_writer(&mut state);
                }
                return;
            }
        };
        if let Some(error) = refused {
            append.fail(error);
        }
    }

    /// The bytes that wait, if the caller may write them: few, and the writer sleeps. If more waits, the writer is woken.
    pub(crate) fn claim(&self) -> Option<u64> {
        let mut state = self.state.lock();
        if state.appends.is_empty() || !state.writer_sleeps {
            return None;
        }
        let is_little =
            state.appends.len() <= CLAIMED_APPENDS_MAX && state.size_bytes <= CLAIMED_SIZE_BYTES_MAX;
        if is_little {
            return Some(state.size_bytes);
        }
        self.wake_writer(&mut state);
        None
    }

    /// Wakes the writer if something waits.
    pub(crate) fn wake(&self) {
        let mut state = self.state.lock();
        if !state.appends.is_empty() {
            self.wake_writer(&mut state);
        }
    }

    fn wake_writer(&self, state: &mut State) {
        if std::mem::take(&mut state.writer_sleeps) {
            self.arrived.notify_one();
        }
    }

    /// Sleeps until something waits. `false` once it is shut and empty. For the writer's thread.
    pub(crate) fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while state.appends.is_empty() {
            if state.shut.is_some() {
                return false;
            }
            state.writer_sleeps = true;
            self.arrived.wait(&mut state);
        }
        state.writer_sleeps = false;
        true
    }

    /// Everything that waits, into `into`, which is empty. [`Pending::committed`] and [`Pending::rests`] are to say what becomes of
    /// it.
    pub(crate) fn take(&self, into: &mut Vec<Append>) {
        let mut state = self.state.lock();
        std::mem::swap(&mut state.appends, into);
        state.size_bytes = 0;
        self.meter.taken();
    }

    /// So many bytes of what was taken are durable.
    pub(crate) fn committed(&self, size_bytes: u64) {
        self.meter.committed(size_bytes);
    }

    /// Nothing is left of what was taken.
    pub(crate) fn rests(&self) {
        self.meter.rests();
    }

    /// Bytes that wait or are being written.
    pub(crate) fn in_flight_bytes(&self) -> u64 {
        self.meter.in_flight_bytes()
    }

    pub(crate) fn pressure(&self) -> Pressure {
        self.meter.pressure()
    }

    /// From now on nothing is taken; what waits is still the writer's. The first reason stays.
    pub(crate) fn shut(&self, why: Shut) {
        let mut state = self.state.lock();
        // A write can fail while what waited is written because of a close: that is what there is to tell then.
        if state.shut.is_none() || matches!((&state.shut, &why), (Some(Shut::Closed), Shut::Stopped(_))) {
            state.shut = Some(why);
        }
        self.arrived.notify_one();
    }

    pub(crate) fn why_shut(&self) -> Option<Shut> {
        self.state.lock().shut.clone()
    }
}
