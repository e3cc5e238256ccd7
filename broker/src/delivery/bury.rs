//! Giving a message up before its time is over: its consumer has tried it often enough. It becomes a dead letter, and that ends its
//! delivery, by one append: what a crash leaves is out or dead, never both and never neither.

use std::sync::Arc;

use bytes::Bytes;
use kourou_engine::record::{EncodedRecord, RecordView};

use super::end::{key, not_out};
use super::table::{Delivery, GroupQueue, Overdue};
use super::{DeliveryError, Handle, inner};
use crate::broker::Broker;
use crate::name;
use crate::topic::TopicConfig;
use crate::trace::Outcome;

/// Queues of a dead-letter topic.
const QUEUES: u32 = 1;

type Done = Box<dyn FnOnce(Result<(), DeliveryError>) + Send>;

impl Broker {
    /// Moves a message that is out to the dead-letter topic of its group. What `done` hears of is durable.
    ///
    /// `record` is the message, if the caller has it; else this may block on the disk, and must not run on the log's writer thread.
    pub fn bury(
        self: &Arc<Self>,
        handle: &Handle,
        record: Option<Bytes>,
        done: impl FnOnce(Result<(), DeliveryError>) + Send + 'static,
    ) {
        let overdue = match self.overdue(handle) {
            Ok(overdue) => overdue,
            Err(error) => return done(Err(error)),
        };
        let record = match record.map_or_else(|| self.given_record(handle, &overdue), Ok) {
            Ok(record) => record,
            Err(error) => return done(Err(error)),
        };
        let topic = name::dlq_topic(&handle.group);
        if self.state.topics.contains(&topic) {
            return self.bury_in(handle, overdue, &record, &topic, Box::new(done));
        }
        let (broker, handle) = (self.clone(), handle.clone());
        self.ensure_topic(TopicConfig::new(topic.clone(), QUEUES), move |made| match made {
            Ok(()) => broker.bury_in(&handle, overdue, &record, &topic, Box::new(done)),
            Err(source) => done(Err(DeliveryError::NoDeadLetterTopic { topic, source })),
        });
    }

    /// The delivery that a handle names, as one whose time is over.
    fn overdue(&self, handle: &Handle) -> Result<Overdue, DeliveryError> {
        let (queue_id, offset) = self.check_handle(handle, false)?;
        Ok(Overdue {
            queue: GroupQueue {
                group: handle.group.as_str().into(),
                topic: handle.topic.as_str().into(),
                queue_id,
            },
            delivery: Delivery {
                offset,
                pop_ms: handle.pop_ms,
                due_ms: handle.due_ms(),
            },
        })
    }

    fn given_record(&self, handle: &Handle, overdue: &Overdue) -> Result<Bytes, DeliveryError> {
        let Overdue { queue, delivery } = overdue;
        let entry = self.entry(&queue.topic, queue.queue_id, delivery.offset);
        let entry = entry.ok_or_else(|| not_out(handle))?;
        let record = self.engine.read(entry.position, entry.size_bytes)?;
        // Of a batch it is one message that is given up.
        Ok(inner::at(record, delivery.offset))
    }

    fn bury_in(self: &Arc<Self>, handle: &Handle, overdue: Overdue, record: &[u8], topic: &str, done: Done) {
        let dead = match self.dead_letter(&overdue, record, topic) {
            Ok(dead) => dead,
            Err(error) => return done(Err(error)),
        };
        // From here on nothing else becomes of it.
        let is_out = if handle.ordered {
            self.speak_in_order(
                handle,
                key(handle, overdue.queue.queue_id),
                &[overdue.delivery.offset],
            )
        } else {
            let deliveries = &self.state.deliveries;
            Ok(deliveries.mark_change(overdue.queue.key(), overdue.delivery))
        };
        match is_out {
            Ok(true) => {}
            Ok(false) => return done(Err(not_out(handle))),
            Err(error) => return done(Err(error)),
        }
        let (broker, ordered) = (self.clone(), handle.ordered);
        self.engine.append(dead, move |appended| {
            let (key, delivery) = (overdue.queue.key(), overdue.delivery);
            match (&appended, ordered) {
                (Err(_), false) => broker.state.deliveries.unmark(key, delivery),
                (Err(_), true) => broker.spoken_in_vain(key, delivery.pop_ms, &[delivery.offset]),
                (Ok(_), _) => broker.trace_ended(key, [delivery.offset], Outcome::Failed),
            }
            if ordered {
                broker.wake_in_order(key);
            }
            done(appended.map(|_| ()).map_err(DeliveryError::Store));
        });
    }

    fn dead_letter(
        &self,
        overdue: &Overdue,
        record: &[u8],
        topic: &str,
    ) -> Result<EncodedRecord, DeliveryError> {
        let illegal = |error: &dyn std::fmt::Display| DeliveryError::Illegal {
            why: error.to_string(),
        };
        let message = RecordView::parse(record).map_err(|error| illegal(&error))?;
        self.again_record(overdue, &message, topic, true)
            .map_err(|error| illegal(&error))
    }
}
