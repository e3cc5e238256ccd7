//! Committing offsets.

use std::sync::Arc;

use kourou_engine::planted::{self, Bug};

use super::CommitError;
use super::table::Flushing;
use crate::broker::Broker;
use crate::state::OffsetsWriter;
use crate::text::Text;

impl Broker {
    /// Commits an offset for its sender's sake only: visible at once, durable with the next flush. A refusal is silent to the
    /// sender, but the caller is told. While a reset waits for the group's next pull it is ignored.
    ///
    /// # Errors
    /// The checks of [`CommitError`].
    pub fn commit_offset(
        &self,
        group: &Text,
        topic: &Text,
        queue_id: i32,
        offset: i64,
    ) -> Result<(), CommitError> {
        let queue_id = self.check_commit(group, topic, queue_id, offset)?;
        if self.state.resets.waits(group, topic, queue_id) {
            return Ok(());
        }
        self.state.offsets.commit(group, topic, queue_id, offset);
        self.trace_committed(group, topic, queue_id, offset);
        Ok(())
    }

    /// Commits an offset and answers once that is durable. It is visible at once. While a reset waits for the group's next pull
    /// it is ignored.
    pub fn commit_offset_durably(
        self: &Arc<Self>,
        group: &Text,
        topic: &Text,
        queue_id: i32,
        offset: i64,
        done: impl FnOnce(Result<(), CommitError>) + Send + 'static,
    ) {
        let queue_id = match self.check_commit(group, topic, queue_id, offset) {
            Ok(queue_id) => queue_id,
            Err(error) => return done(Err(error)),
        };
        if self.state.resets.waits(group, topic, queue_id) {
            return done(Ok(()));
        }
        let Some(flushing) = self.state.offsets.commit_now(group, topic, queue_id, offset) else {
            return done(Err(CommitError::GroupNotExist { group: group.clone() }));
        };
        self.trace_committed(group, topic, queue_id, offset);
        self.append_offsets(vec![flushing], |stored| done(stored.map_err(CommitError::Store)));
    }

    /// Makes it durable where a group begins in a queue; nobody waits for it. It is visible at once.
    pub(crate) fn begin_offset(&self, group: &str, topic: &str, queue_id: u32, offset: i64) {
        if let Some(flushing) = self.state.offsets.begin_now(group, topic, queue_id, offset) {
            self.append_offsets(vec![flushing], |_| {});
        }
    }

    fn check_commit(
        &self,
        group: &Text,
        topic: &Text,
        queue_id: i32,
        offset: i64,
    ) -> Result<u32, CommitError> {
        let Some(config) = self.state.topics.get(topic) else {
            return Err(CommitError::TopicNotExist { topic: topic.clone() });
        };
        if self.state.groups.get(group).is_none() {
            return Err(CommitError::GroupNotExist { group: group.clone() });
        }
        let queues = config.read_queues.max(config.write_queues);
        let Some(queue_id) = u32::try_from(queue_id).ok().filter(|queue_id| *queue_id < queues) else {
            return Err(CommitError::Invalid {
                what: "queueId",
                value: queue_id.into(),
            });
        };
        if offset < 0 {
            return Err(CommitError::Invalid {
                what: "commitOffset",
                value: offset,
            });
        }
        Ok(queue_id)
    }

    /// Logs the offsets that have changed since the last flush. What the log refuses stays dirty.
    pub(crate) fn flush_offsets(&self) {
        if planted::is(Bug::LosesOffsets) {
            return;
        }
        let mut dirty = self.state.offsets.take_dirty();
        while !dirty.is_empty() {
            let rest = dirty.split_off(dirty.len().min(self.options.limits.offsets_per_record_max));
            self.append_offsets(dirty, |_| {});
            dirty = rest;
        }
    }

    fn append_offsets(
        &self,
        flushing: Vec<Flushing>,
        done: impl FnOnce(Result<(), kourou_engine::AppendError>) + Send + 'static,
    ) {
        let mut out = OffsetsWriter::new();
        for Flushing { queue, offset } in &flushing {
            out.push(&queue.group, &queue.topic, queue.queue_id, *offset);
        }
        let state = self.state.clone();
        self.append_state(OffsetsWriter::KIND, &out.finish(), move |stored| {
            if stored.is_ok() {
                state.offsets.landed(&flushing);
            } else {
                state.offsets.failed(flushing);
            }
            done(stored);
        });
    }
}
