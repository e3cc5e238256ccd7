//! Appends that are on their way, so that the log always has some to write and never more than fits memory.

use std::sync::Arc;

use kourou_engine::record::EncodedRecord;
use kourou_engine::{AppendError, Appended, Engine};
use parking_lot::{Condvar, Mutex};

use crate::error::MigrationError;

/// Less than the log lets wait.
const IN_FLIGHT_SIZE_BYTES_MAX: u64 = 32 << 20;

#[derive(Debug, Default)]
struct State {
    in_flight_bytes: u64,
    failed: Option<MigrationError>,
}

#[derive(Debug, Default)]
pub(super) struct Window(Arc<(Mutex<State>, Condvar)>);

impl Window {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Imports a record, which is to get this offset if it is to get one; waits while too much is on its way.
    pub(super) fn import(
        &self,
        engine: &Engine,
        record: EncodedRecord,
        stored_ms: i64,
        offset: Option<u64>,
    ) -> Result<(), MigrationError> {
        let size_bytes = u64::from(record.size_bytes());
        let place = offset.map(|offset| (record.topic().to_owned(), record.queue_id(), offset));
        {
            let (state, landed) = &*self.0;
            let mut state = state.lock();
            while state.in_flight_bytes > 0 && state.in_flight_bytes + size_bytes > IN_FLIGHT_SIZE_BYTES_MAX {
                landed.wait(&mut state);
            }
            if let Some(error) = state.failed.take() {
                return Err(error);
            }
            state.in_flight_bytes += size_bytes;
        }
        let window = Arc::clone(&self.0);
        engine.import(record, stored_ms, move |appended| {
            let (state, landed) = &*window;
            let mut state = state.lock();
            state.in_flight_bytes -= size_bytes;
            if let Some(error) = failure(appended, place) {
                state.failed.get_or_insert(error);
            }
            landed.notify_one();
        });
        Ok(())
    }

    /// Waits until all have landed.
    pub(super) fn wait(&self) -> Result<(), MigrationError> {
        let (state, landed) = &*self.0;
        let mut state = state.lock();
        while state.in_flight_bytes > 0 {
            landed.wait(&mut state);
        }
        state.failed.take().map_or(Ok(()), Err)
    }
}

fn failure(
    appended: Result<Appended, AppendError>,
    place: Option<(String, u32, u64)>,
) -> Option<MigrationError> {
    match (appended, place) {
        (Err(error), _) => Some(error.into()),
        (Ok(appended), Some((topic, queue_id, expected))) if appended.queue_offset != expected => {
            Some(MigrationError::Misplaced {
                topic,
                queue_id,
                expected,
                found: appended.queue_offset,
            })
        }
        _ => None,
    }
}
