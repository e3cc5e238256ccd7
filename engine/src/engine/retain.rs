//! Letting old segments go.

use super::Engine;
use crate::error::{AppendError, ExpireError};
use crate::expire::{Expire, Expiry, Retention};
use crate::log::pending::{Append, Appended, Several, Shut};
use crate::record::EncodedRecords;
use crate::shared::Job;

impl Engine {
    /// Looks which of the oldest segments are no longer to be kept at `now_ms`, in milliseconds since the epoch, and removes them
    /// with their index files: whole ones, oldest first, never the live one, a few at a time. To be called now and then; nothing
    /// expires by itself.
    ///
    /// `expiry` is asked first what it still needs, and is told what came of it; a closure needs nothing:
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use kourou_engine::{Engine, NoView, Options, Retention, Threads, clock::{Clock, SystemClock}, disk::sim::SimDisk};
    /// # let mut options = Options::new("/store");
    /// # options.threads = Threads::Manual;
    /// # let engine = Engine::open(options, Arc::new(SimDisk::new()), Arc::new(SystemClock), Arc::new(NoView)).unwrap();
    /// let three_days = Retention { age_ms_max: Some(72 * 3_600_000), ..Retention::default() };
    /// let (tell, told) = std::sync::mpsc::channel();
    /// engine.expire(three_days, SystemClock.now_ms(), move |expired| tell.send(expired).unwrap());
    /// # engine.pump();
    /// assert_eq!(told.recv().unwrap().unwrap().segments, 0); // nothing is so old yet
    /// ```
    ///
    /// The work is done by the thread that seals segments, or inside [`Engine::pump`]: this returns at once, and no append waits for
    /// it. What is removed is no longer found: queues begin behind it, and reads of it are [`crate::ReadError::Outside`]. Slices
    /// that readers have stay good. A queue whose every record has expired keeps its next offset.
    pub fn expire(&self, retention: Retention, now_ms: i64, expiry: impl Expiry) {
        let shared = &self.inner.shared;
        let refusal = match shared.pending.why_shut() {
            Some(Shut::Closed) => ExpireError::Closed,
            Some(Shut::Stopped(reason)) => ExpireError::Stopped(reason),
            None => {
                return shared.submit(Job::Expire(Box::new(Expire {
                    retention,
                    now_ms,
                    expiry: Box::new(expiry),
                })));
            }
        };
        Box::new(expiry).done(Err(refusal));
    }

    /// As [`Engine::append_batch`], but it may use the room that a full disk keeps for state records
    /// ([`STATE_RESERVE_BYTES`](crate::limits::STATE_RESERVE_BYTES)): for little that lets much go, see [`Expiry::may_go`].
    pub fn append_reserved(
        &self,
        records: EncodedRecords,
        done: impl FnOnce(Result<Vec<Appended>, AppendError>) + Send + 'static,
    ) {
        if records.is_empty() {
            return done(Ok(Vec::new()));
        }
        self.inner.shared.pending.push(Append {
            records,
            is_reserved: true,
            stored_ms: None,
            done: Box::new(Several(done)),
        });
    }

    /// The first offset of a queue whose record lies at or behind `position`; the queue's end if there is none. `None` if nothing was
    /// ever stored in the queue. May block on the disk for entries of older segments.
    pub fn offset_from(&self, topic: &str, queue_id: u32, position: u64) -> Option<u64> {
        let key = crate::index::QueueKey { topic, queue_id };
        self.with_whole_index(|| self.inner.shared.index.offset_from(key, position))
            .flatten()
    }
}
