//! Appends to an engine by one thread, with so many in flight, in memory that comes back: as the broker appends.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};

use kourou_engine::record::{EncodedRecords, Limits, RecordDraft};
use kourou_engine::{AppendDone, AppendError, Appended, Engine};

/// What one append travels in.
struct Slot {
    records: EncodedRecords,
    home: Arc<Home>,
}

/// Where slots come back to.
struct Home {
    #[expect(clippy::vec_box, reason = "the engine wants the box, and gives it back")]
    back: Mutex<Vec<Box<Slot>>>,
    appender: Thread,
}

impl AppendDone for Slot {
    fn done(mut self: Box<Self>, outcome: Result<&[Appended], AppendError>, records: EncodedRecords) {
        if let Err(error) = outcome {
            panic!("an append failed: {error}");
        }
        self.records = records;
        let home = Arc::clone(&self.home);
        let mut back = home.back.lock().unwrap_or_else(PoisonError::into_inner);
        back.push(self);
        let first = back.len() == 1;
        drop(back);
        if first {
            home.appender.unpark();
        }
    }
}

/// The appends of the thread that made this.
pub struct Appends {
    in_flight_max: usize,
    #[expect(clippy::vec_box, reason = "the engine wants the box, and gives it back")]
    free: Vec<Box<Slot>>,
    home: Arc<Home>,
}

impl std::fmt::Debug for Appends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Appends")
            .field("free", &self.free.len())
            .finish_non_exhaustive()
    }
}

impl Appends {
    /// At most so many are in flight.
    pub fn new(in_flight_max: usize) -> Self {
        let home = Arc::new(Home {
            back: Mutex::default(),
            appender: thread::current(),
        });
        let slot = |home| {
            Box::new(Slot {
                records: EncodedRecords::new(),
                home,
            })
        };
        Self {
            in_flight_max,
            free: (0..in_flight_max).map(|_| slot(Arc::clone(&home))).collect(),
            home,
        }
    }

    /// Encodes a record and appends it, once fewer than the most are in flight.
    ///
    /// # Panics
    /// The record cannot be encoded.
    pub fn append(&mut self, engine: &Engine, draft: &RecordDraft<'_>) {
        let mut slot = loop {
            match self.free.pop() {
                Some(slot) => break slot,
                None => self.wait(),
            }
        };
        let mut records = std::mem::take(&mut slot.records);
        let pushed = records.push(draft, &Limits::default());
        pushed.expect("a record within all limits");
        engine.append_with(records, slot);
    }

    /// Waits for all that are in flight.
    pub fn finish(&mut self) {
        while self.free.len() < self.in_flight_max {
            self.wait();
        }
    }

    /// Takes back what has come back, and waits if nothing has.
    fn wait(&mut self) {
        loop {
            let mut back = self.home.back.lock().unwrap_or_else(PoisonError::into_inner);
            if !back.is_empty() {
                self.free.append(&mut back);
                return;
            }
            drop(back);
            thread::park();
        }
    }
}
