//! Filling a new store from another one: records keep their store times, and queues begin where they began there.
//!
//! ```text
//!  Options::importing --> DIR/importing is durable, then the store is made
//!    begin_queues, import, append ...                as ever: durable when they are told so
//!    end_imported                                    what is appended later was stored here first
//!  close --> checkpoint --> finish_import --> DIR/importing is gone: it is a store like any other
//! ```
//!
//! Until the last step nobody opens it, so that an import that was interrupted is no store with half of its messages.

use super::Engine;
use crate::error::{AppendError, CloseError};
use crate::log::pending::{Append, Appended, One, Shut};
use crate::record::{EncodedRecord, IMPORTED, QUEUES_BEGIN, QueueStart, state};
use crate::store;

impl Engine {
    /// Appends a record that was stored at `stored_ms` by another store, in milliseconds since the epoch, and says so for ever. Its queue
    /// offset is the queue's next one, as of any record, so they come in the order of their offsets, behind
    /// [`Engine::begin_queues`]; `done` hears which it got. Else as [`Engine::append`].
    ///
    /// Store times of a queue that go back make looks by time inexact, as they are in the store that they come from.
    pub fn import(
        &self,
        record: EncodedRecord,
        stored_ms: i64,
        done: impl FnOnce(Result<Appended, AppendError>) + Send + 'static,
    ) {
        self.inner.shared.pending.push(Append {
            records: record.into(),
            is_reserved: false,
            stored_ms: Some(stored_ms),
            done: Box::new(One(done)),
        });
    }

    /// Says where queues begin, by one record: what was before that is in no store any more. When `done` hears of success that is durable, and
    /// the queues are there, empty. A queue that has been appended to stays as it is.
    pub fn begin_queues(
        &self,
        starts: &[QueueStart<'_>],
        done: impl FnOnce(Result<Appended, AppendError>) + Send + 'static,
    ) {
        let now_ms = self.inner.shared.clock.now_ms();
        self.append(state(QUEUES_BEGIN, &QueueStart::encode(starts), now_ms), done);
    }

    /// Says that nothing more is imported.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn end_imported(&self) -> Result<Appended, AppendError> {
        let now_ms = self.inner.shared.clock.now_ms();
        self.append_blocking(state(IMPORTED, &[1], now_ms))
    }

    /// Closes a store that was opened with [`Options::importing`](crate::Options::importing), if that has not been done, and says, durably,
    /// that it is complete.
    ///
    /// # Errors
    /// See [`CloseError`]; it goes on refusing to open then.
    pub fn finish_import(&self) -> Result<(), CloseError> {
        self.close()?;
        let shared = &self.inner.shared;
        if let Some(Shut::Stopped(reason)) = shared.pending.why_shut() {
            return Err(CloseError::Stopped(reason));
        }
        store::end_import(shared.disk.as_ref(), &shared.layout).map_err(|source| CloseError::Import {
            path: shared.layout.importing(),
            source,
        })
    }
}
