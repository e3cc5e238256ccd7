//! Messages that are taken under a mark, and handed out once that is durable.

use std::fmt;
use std::sync::Arc;

use kourou_engine::record::state;

use crate::broker::Broker;
use crate::delivery::hold::Concerning;
use crate::delivery::record::{self, PoppedFrom};
use crate::delivery::table::GroupQueueKey;
use crate::delivery::{PopError, Popped, PoppedQueue};
use crate::lite::is_lite_queue;
use crate::offset::QueueOfGroup;

/// Messages that are taken, and nobody else's while this lives. Dropped, they are there as before.
pub struct TakenPop {
    pub(super) broker: Arc<Broker>,
    pub(super) id: u64,
    pub(super) group: Arc<str>,
    pub(super) topic: Arc<str>,
    pub(super) attempt_id: crate::text::Text,
    pub(super) pop_ms: i64,
    pub(super) invisible_ms: i64,
    pub(super) ordered: bool,
    pub(super) rest: u64,
    /// Which queues are marked: those of `from`, until this is dropped.
    pub(super) from: Vec<PoppedFrom>,
    pub(super) queues: Vec<PoppedQueue>,
    pub(super) is_released: bool,
    /// It is durable that they are out.
    pub(super) is_out: bool,
}

impl fmt::Debug for TakenPop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TakenPop")
            .field("group", &self.group)
            .field("topic", &self.topic)
            .field("messages", &self.count())
            .finish_non_exhaustive()
    }
}

impl TakenPop {
    pub(super) fn count(&self) -> usize {
        self.queues.iter().map(|queue| queue.messages.len()).sum()
    }

    pub(super) fn size_bytes(&self) -> usize {
        let messages = self.queues.iter().flat_map(|queue| &queue.messages);
        messages.map(|message| message.record.len()).sum()
    }

    /// Hands the messages out. When `done` hears of them it is durable that they are out.
    ///
    /// `done` runs once, on the log's writer thread or before this returns; it must be short and must not block.
    pub fn store(mut self, done: impl FnOnce(Result<Popped, PopError>) + Send + 'static) {
        let due_ms = self.pop_ms.saturating_add(self.invisible_ms);
        let (kind, payload) = if self.ordered {
            let payload =
                record::popped_in_order(&self.group, self.pop_ms, due_ms, &self.attempt_id, &self.from);
            (record::POPPED_IN_ORDER, payload)
        } else {
            let payload = record::popped(&self.group, self.pop_ms, due_ms, &self.from);
            (record::POPPED, payload)
        };
        let broker = self.broker.clone();
        let record = state(kind, &payload, self.pop_ms);
        let group = self.group.clone();
        let found: Vec<_> = self
            .from
            .iter()
            .map(|queue| (queue.topic.clone(), queue.queue_id, queue.found))
            .collect();
        let popped = Popped {
            pop_ms: self.pop_ms,
            invisible_ms: self.invisible_ms,
            ordered: self.ordered,
            rest: self.rest,
            queues: std::mem::take(&mut self.queues),
        };
        let queues = found
            .iter()
            .map(|(topic, queue_id, found)| (&**topic, *queue_id, *found));
        let trace = broker.trace_of_pop(&group, popped.pop_ms, &popped.queues);
        let mut waiting = Some((self, popped, done, trace));
        broker.state.offsets.append_pop(&group, queues, || {
            let Some((mut taken, popped, done, trace)) = waiting.take() else {
                return;
            };
            broker.engine.append(record, move |appended| match appended {
                Ok(_) => {
                    taken.broker.trace_popped(trace);
                    taken.is_out = true;
                    taken.release();
                    done(Ok(popped));
                }
                Err(error) => {
                    taken.give_back();
                    taken.release();
                    done(Err(PopError::Store(error)));
                }
            });
        });
        if let Some((taken, mut popped, done, _)) = waiting {
            // Somebody else has set the group's offset meanwhile.
            drop(taken);
            popped.queues = Vec::new();
            done(Ok(popped));
        }
    }

    fn give_back(&self) {
        for queue in &self.from {
            self.broker.state.offsets.pop_failed(QueueOfGroup {
                group: self.group.clone(),
                topic: queue.topic.clone(),
                queue_id: queue.queue_id,
            });
        }
    }

    /// Lets others pop the queues, and tells one of them that waits if there is something for it.
    fn release(&mut self) {
        if std::mem::replace(&mut self.is_released, true) {
            return;
        }
        let deliveries = &self.broker.state.deliveries;
        let mut wake = self.rest > 0;
        for queue in &self.from {
            let key = GroupQueueKey {
                group: &self.group,
                topic: &queue.topic,
                queue_id: queue.queue_id,
            };
            let wanted = deliveries.release(key, self.id);
            if is_lite_queue(queue.queue_id) {
                if self.is_out {
                    // What it has next is told when these are acknowledged.
                    continue;
                }
                self.broker
                    .state
                    .lite
                    .may_have(key.topic, key.queue_id, key.group);
            } else {
                wake |= wanted;
            }
        }
        if wake {
            self.broker
                .state
                .pop_holds
                .wake(&self.topic, &self.group, Concerning::Any);
        }
    }
}

impl Drop for TakenPop {
    fn drop(&mut self) {
        self.release();
    }
}
