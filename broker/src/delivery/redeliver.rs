//! Delivering again what was not acknowledged in its time.

use std::sync::Arc;

use hashbrown::HashSet;
use kourou_engine::planted::{self, Bug};
use kourou_engine::record::{EncodedRecord, NAME_END, RecordView, VALUE_END, state};
use kourou_engine::{AppendError, ReadError};

use super::inner;
use super::record;
use super::retry::{RETRY_OF, RetryKind, RetryOf, first_topic};
use super::table::Overdue;
use crate::again::AGAIN_LIMITS;
use crate::broker::Broker;
use crate::group::GroupConfig;
use crate::name;
use crate::property::{self, ORIGIN_MESSAGE_ID, RETRY_TOPIC};
use crate::send::offset_msg_id;
use crate::topic::TopicConfig;
use crate::trace::Outcome;

/// When a group was given a message for the first time.
const FIRST_POP_TIME: &str = "1ST_POP_TIME";
/// Where a dead letter came from.
const DLQ_ORIGIN_TOPIC: &str = "DLQ_ORIGIN_TOPIC";
const DLQ_ORIGIN_MESSAGE_ID: &str = "DLQ_ORIGIN_MESSAGE_ID";
/// The handle that a client put into a message; it is of another delivery.
const POP_CK: &str = "POP_CK";
/// Queues of a retry topic of pop, and of a dead-letter topic.
const QUEUES: u32 = 1;

/// What becomes of a delivery whose time is over.
enum Fate {
    /// The message is appended so.
    Again(EncodedRecord),
    /// This topic must be made first.
    Make(TopicConfig),
    /// There is nothing to deliver: its message is gone from the log, or its group is.
    Gone,
}

impl Broker {
    /// Starts delivering again what is due. Returns when it should be called next; `None` if nothing is out. What is due earlier
    /// than anything before is told to [`crate::topic::Listener::timer_due`].
    ///
    /// May block on the disk, for messages that are no longer in memory; must not run on the engine's writer thread.
    pub fn redeliver_due(self: &Arc<Self>) -> Option<i64> {
        let _one_at_a_time = self.redeliveries.lock();
        let now_ms = self.clock.now_ms();
        let deliveries = &self.state.deliveries;
        let due = deliveries.take_due(now_ms, self.options.limits.redeliveries_in_flight_max);
        for queue in &due.unblocked {
            self.wake_in_order(queue.key());
        }
        self.deliver_again(due.overdue, false);
        deliveries.next_due_ms().map(|next_ms| next_ms.max(now_ms + 1))
    }

    /// Appends anew the messages of deliveries that were taken to be delivered again; `is_reserved` says whether they may use the room
    /// that a full disk keeps for state.
    pub(super) fn deliver_again(self: &Arc<Self>, overdue: Vec<Overdue>, is_reserved: bool) {
        let deliveries = &self.state.deliveries;
        let mut being_made = HashSet::new();
        for overdue in overdue {
            match self.fate(&overdue) {
                Ok(Fate::Again(record)) => self.append_again(record, overdue, is_reserved),
                Ok(Fate::Gone) => self.append_gone(overdue),
                Ok(Fate::Make(topic)) => {
                    if being_made.insert(topic.name.clone()) {
                        self.make_for_redelivery(topic);
                    }
                    deliveries.unmark(overdue.queue.key(), overdue.delivery);
                }
                Err(why) => {
                    let Overdue { queue, delivery } = &overdue;
                    tracing::error!(
                        group = %queue.group, topic = %queue.topic, queue_id = queue.queue_id, offset = delivery.offset, %why,
                        "a message cannot be delivered again; it stays in the log, and is tried once more after a restart"
                    );
                    deliveries.park(queue.key(), *delivery);
                }
            }
        }
        if !being_made.is_empty() {
            // Until the topics are there.
            deliveries.pause(self.clock.now_ms() + 1);
        }
    }

    /// When something is due to be delivered again.
    pub fn next_redelivery_ms(&self) -> Option<i64> {
        self.state.deliveries.next_due_ms()
    }

    pub(super) fn make_for_redelivery(self: &Arc<Self>, topic: TopicConfig) {
        let broker = self.clone();
        let name = topic.name.clone();
        self.ensure_topic(topic, move |made| {
            if let Err(error) = made {
                tracing::warn!(topic = %name, %error, "messages cannot be delivered again without this topic; it is tried again");
                broker.pause_redelivery();
            }
        });
    }

    fn pause_redelivery(&self) {
        let limits = &self.options.limits;
        let until_ms = self.clock.now_ms().saturating_add(limits.timer_retry_ms);
        self.state.deliveries.pause(until_ms);
    }

    fn append_again(self: &Arc<Self>, record: EncodedRecord, overdue: Overdue, is_reserved: bool) {
        let broker = self.clone();
        let done = move |appended: Result<(), AppendError>| match appended {
            Ok(()) => broker.trace_ended(overdue.queue.key(), [overdue.delivery.offset], Outcome::TimedOut),
            Err(error) => broker.not_redelivered(&overdue, &error),
        };
        if is_reserved {
            self.engine
                .append_reserved(record.into(), move |appended| done(appended.map(|_| ())));
        } else {
            self.engine
                .append(record, move |appended| done(appended.map(|_| ())));
        }
    }

    pub(super) fn append_gone(self: &Arc<Self>, overdue: Overdue) {
        let payload = record::ended(std::iter::once((
            overdue.queue.key(),
            std::slice::from_ref(&overdue.delivery),
        )));
        let record = state(record::ENDED, &payload, self.clock.now_ms());
        let broker = self.clone();
        self.engine.append(record, move |appended| {
            if let Err(error) = appended {
                broker.not_redelivered(&overdue, &error);
            }
        });
    }

    fn not_redelivered(&self, overdue: &Overdue, error: &AppendError) {
        let Overdue { queue, delivery } = overdue;
        tracing::debug!(group = %queue.group, topic = %queue.topic, offset = delivery.offset, %error, "a redelivery waits longer");
        self.pause_redelivery();
        self.state.deliveries.unmark(queue.key(), *delivery);
    }

    fn fate(&self, overdue: &Overdue) -> Result<Fate, Unreadable> {
        let queue = &overdue.queue;
        let Some(group) = self.state.groups.get(&queue.group) else {
            return Ok(Fate::Gone);
        };
        let Some(entry) = self.entry(&queue.topic, queue.queue_id, overdue.delivery.offset) else {
            return Ok(Fate::Gone);
        };
        let bytes = match self.engine.read(entry.position, entry.size_bytes) {
            Ok(bytes) => bytes,
            // Its segment expired.
            Err(ReadError::Outside { .. }) => return Ok(Fate::Gone),
            // It can never be delivered, which the engine has told.
            Err(ReadError::Corrupt { .. }) if self.options.pass_over_damage => return Ok(Fate::Gone),
            Err(error) => return Err(error.into()),
        };
        let bytes = inner::at(bytes, overdue.delivery.offset);
        let message = RecordView::parse(&bytes)?;
        let is_dead = message.reconsume_times() >= group.retry_times_max;
        let topic = self.retry_place(overdue, &group, is_dead);
        if !self.state.topics.contains(&topic) {
            return Ok(Fate::Make(TopicConfig::new(topic, QUEUES)));
        }
        Ok(Fate::Again(
            self.again_record(overdue, &message, &topic, is_dead)?,
        ))
    }

    fn retry_place(&self, overdue: &Overdue, group: &GroupConfig, is_dead: bool) -> String {
        let topic = &overdue.queue.topic;
        if is_dead {
            name::dlq_topic(&group.name)
        } else if name::is_retry_topic(topic) {
            topic.to_string()
        } else if self.options.retry_topic_v2 {
            RetryKind::V2.topic(&group.name, topic)
        } else {
            RetryKind::V1.topic(&group.name, topic)
        }
    }

    /// The message once more, with one attempt more counted; it names the delivery that it ends.
    pub(super) fn again_record(
        &self,
        overdue: &Overdue,
        message: &RecordView<'_>,
        topic: &str,
        is_dead: bool,
    ) -> Result<EncodedRecord, Unreadable> {
        let (queue, delivery) = (&overdue.queue, &overdue.delivery);
        let mut text = Vec::new();
        for entry in message.properties().split_inclusive(|byte| *byte == VALUE_END) {
            let name = entry.split(|byte| *byte == NAME_END).next().unwrap_or_default();
            if name != RETRY_OF.as_bytes() && name != POP_CK.as_bytes() {
                text.extend_from_slice(entry);
            }
        }
        if text.last().is_some_and(|last| *last != VALUE_END) {
            text.push(VALUE_END);
        }
        let mut push_if_absent = |name: &str, value: &str| {
            if message.property(name).is_none() {
                property::push(&mut text, name, value.as_bytes());
            }
        };
        push_if_absent(FIRST_POP_TIME, &delivery.pop_ms.to_string());
        if is_dead {
            let first = first_topic(&queue.group, &queue.topic);
            let id = offset_msg_id(message.store_host(), message.position());
            push_if_absent(RETRY_TOPIC, first);
            push_if_absent(ORIGIN_MESSAGE_ID, &id);
            push_if_absent(DLQ_ORIGIN_TOPIC, first);
            push_if_absent(
                DLQ_ORIGIN_MESSAGE_ID,
                message.property(property::UNIQ_KEY).unwrap_or(&id),
            );
        }
        let of = RetryOf {
            group: &queue.group,
            topic: &queue.topic,
            queue_id: queue.queue_id,
            offset: delivery.offset,
            pop_ms: delivery.pop_ms,
        };
        property::push(&mut text, RETRY_OF, of.write().as_bytes());
        // That it names a record tells those who apply it to look for the property.
        let mut record = self.stored_again(message, topic, 0, &text);
        record.reconsume_times = record.reconsume_times.saturating_add(1);
        if planted::is(Bug::CountsTwice) {
            record.reconsume_times += 1;
        }
        Ok(record.encode_within(&AGAIN_LIMITS)?)
    }
}

/// Why a message cannot be delivered again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Record(#[from] kourou_engine::record::RecordError),
    #[error(transparent)]
    Encode(#[from] kourou_engine::record::EncodeError),
}
