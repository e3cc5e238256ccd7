//! Noting what happens, where it happens. Without traces each of these is one look at an option.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use kourou_engine::record::{KEYS, RecordView, UNIQ_KEY};

use super::event::{Decided, Delivered, DeliveredMessage, Ended, Event, Outcome, Sent};
use super::{TraceCounts, Traces};
use crate::broker::Broker;
use crate::client::{MessageModel, Subscribed};
use crate::delivery::{GroupQueueKey, PoppedQueue};
use crate::name;
use crate::send::offset_msg_id;

/// The trace of a send that is under way.
pub(crate) struct SendTrace {
    traces: Arc<Traces>,
    /// When it began, by the clock of spans.
    begin_ms: i64,
    sent: Sent,
}

impl fmt::Debug for SendTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sent.fmt(f)
    }
}

impl SendTrace {
    /// The messages that it is about.
    pub(crate) fn sent(&mut self) -> &mut Sent {
        &mut self.sent
    }

    /// Notes how the send ended: stored at these positions, or refused.
    pub(crate) fn end(mut self, positions: Option<&mut dyn Iterator<Item = u64>>) {
        self.sent.stored = positions.is_some();
        for (message, position) in self.sent.messages.iter_mut().zip(positions.into_iter().flatten()) {
            message.position = position;
        }
        // Of a message that was refused before it had an id there is nothing to find.
        self.sent.messages.retain(|message| !message.id.is_empty());
        if self.sent.messages.is_empty() {
            return;
        }
        self.sent.cost_ms = self.traces.clock.elapsed_ms() - self.begin_ms;
        self.traces.note(Event::Sent(self.sent));
    }
}

impl Broker {
    /// What became of the broker's traces; `None` if it writes none.
    pub fn trace_counts(&self) -> Option<TraceCounts> {
        self.traces.as_ref().map(|traces| traces.counts())
    }

    /// Begins the trace of a send to `topic`, if that is traced.
    pub(crate) fn begin_send_trace(
        &self,
        topic: &str,
        sent: impl FnOnce(i64) -> Sent,
    ) -> Option<Box<SendTrace>> {
        let traces = self.traces.as_ref()?;
        // A consumer that sends to a retry topic is no producer.
        if !self.is_traced(topic) || name::is_retry_topic(topic) {
            return None;
        }
        Some(Box::new(SendTrace {
            traces: traces.clone(),
            begin_ms: self.clock.elapsed_ms(),
            sent: sent(self.clock.now_ms()),
        }))
    }

    /// Notes that a pull is answered with these records.
    pub(crate) fn trace_pulled(&self, group: &Arc<str>, topic: &Arc<str>, queue_id: u32, records: &[Bytes]) {
        let Some(traces) = self.traces.as_ref().filter(|_| self.is_traced(topic)) else {
            return;
        };
        let model = self.clients.subscribed(group, topic);
        let is_broadcast =
            model.is_some_and(|Subscribed { message_model, .. }| message_model == MessageModel::Broadcasting);
        let delivered = Delivered {
            at_ms: self.clock.now_ms(),
            group: group.clone(),
            topic: topic.clone(),
            queue_id,
            // Who broadcasts keeps its offsets to itself.
            is_followed: !is_broadcast,
            messages: records
                .iter()
                .filter_map(|record| delivered_message(record, None))
                .collect(),
        };
        traces.note(Event::Delivered(delivered));
    }

    /// What is to be noted once a pop is durable.
    pub(crate) fn trace_of_pop(&self, group: &Arc<str>, at_ms: i64, queues: &[PoppedQueue]) -> Vec<Event> {
        if self.traces.is_none() {
            return Vec::new();
        }
        let traced = queues.iter().filter(|queue| self.is_traced(&queue.topic));
        let of_queue = |queue: &PoppedQueue| {
            let messages = queue.messages.iter();
            Event::Delivered(Delivered {
                at_ms,
                group: group.clone(),
                topic: queue.topic.clone(),
                queue_id: queue.queue_id,
                is_followed: true,
                messages: messages
                    .filter_map(|message| {
                        let times = i32::try_from(message.times).unwrap_or(i32::MAX);
                        delivered_message(&message.record, Some(times).filter(|times| *times > 0))
                    })
                    .collect(),
            })
        };
        traced.map(of_queue).collect()
    }

    /// Notes what [`Broker::trace_of_pop`] has made.
    pub(crate) fn trace_popped(&self, events: Vec<Event>) {
        if let Some(traces) = &self.traces {
            for event in events {
                traces.note(event);
            }
        }
    }

    /// Notes that a group has consumed a queue up to `offset`.
    pub(crate) fn trace_committed(&self, group: &str, topic: &str, queue_id: u32, offset: i64) {
        if let (Some(traces), Ok(offset)) = (&self.traces, u64::try_from(offset))
            && self.is_traced(topic)
        {
            traces.note(Event::Committed {
                at_ms: self.clock.now_ms(),
                group: group.into(),
                topic: topic.into(),
                queue_id,
                offset,
            });
        }
    }

    /// Notes that deliveries have ended.
    pub(crate) fn trace_ended(
        &self,
        key: GroupQueueKey<'_>,
        offsets: impl IntoIterator<Item = u64>,
        outcome: Outcome,
    ) {
        if let Some(traces) = &self.traces
            && self.is_traced(key.topic)
        {
            traces.note(Event::Ended(Ended {
                at_ms: self.clock.now_ms(),
                group: key.group.into(),
                topic: key.topic.into(),
                queue_id: key.queue_id,
                offsets: offsets.into_iter().collect(),
                outcome,
            }));
        }
    }

    /// Notes that a transaction was decided.
    pub(crate) fn trace_decided(&self, decided: impl FnOnce(i64) -> Decided) {
        if let Some(traces) = &self.traces {
            traces.note(Event::Decided(decided(self.clock.now_ms())));
        }
    }

    /// Whether messages of a topic are traced: not those of the system, traces first of all.
    pub(super) fn is_traced(&self, topic: &str) -> bool {
        !name::is_system_topic(topic) && !self.state.topics.is_built_in(topic)
    }
}

fn delivered_message(record: &Bytes, times: Option<i32>) -> Option<DeliveredMessage> {
    let view = RecordView::parse(record).ok()?;
    let id = match view.property(UNIQ_KEY) {
        Some(id) => id.into(),
        // Messages of a batch need not have one.
        None => offset_msg_id(view.store_host(), view.position()).into(),
    };
    Some(DeliveredMessage {
        offset: view.queue_offset(),
        id,
        keys: view.property(KEYS).unwrap_or_default().into(),
        times: times.unwrap_or_else(|| view.reconsume_times()),
    })
}
