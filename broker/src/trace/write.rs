//! Writing traces: events become lines, lines become messages of the trace topic.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use kourou_engine::record::{KEYS, RecordDraft, RecordView, UNIQ_KEY};

use super::Traces;
use super::batch::Batch;
use super::event::{Decided, Delivered, Ended, Event, Outcome, Sent};
use super::follow::{Followed, Following};
use super::line::{Line, RequestId};
use crate::broker::Broker;
use crate::delivery::GroupQueueKey;
use crate::name::TRACE_TOPIC;
use crate::property::{self, REAL_TOPIC};
use crate::send::offset_msg_id;

const TAGS: &str = "TAGS";
/// Kinds of upstream's `MessageType`.
const HALF: u8 = 1;
const COMMIT: u8 = 2;

/// How much is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Much {
    /// As much as may be in flight.
    AsMayBe,
    /// All that waits: nobody will come again.
    All,
}

impl Broker {
    /// Writes traces, as many as may be on their way to the log at once. Whether some are left.
    pub(crate) fn write_traces(&self) -> bool {
        self.write_as(Much::AsMayBe)
    }

    /// Writes all traces, before the broker is closed.
    pub(crate) fn write_last_traces(&self) {
        self.write_as(Much::All);
    }

    fn write_as(&self, much: Much) -> bool {
        let Some(traces) = &self.traces else { return false };
        let mut following = traces.following.lock();
        let given_up = following.sweep(self.clock.now_ms());
        traces.unfollowed.fetch_add(given_up, Ordering::Relaxed);
        let mut writing = Writing {
            broker: self,
            traces,
            following: &mut following,
            batch: Batch::default(),
        };
        let in_flight_max = self.options.limits.traces_in_flight_size_bytes_max;
        let mut is_left = false;
        loop {
            if much == Much::AsMayBe && traces.in_flight_size_bytes.load(Ordering::Acquire) >= in_flight_max {
                is_left = true;
                break;
            }
            let event = traces.pending.lock().pop();
            let Some(event) = event else { break };
            writing.event(event);
        }
        let last = std::mem::take(&mut writing.batch);
        self.append_traces(traces, last);
        is_left
    }

    fn append_traces(&self, traces: &Arc<Traces>, batch: Batch) {
        let records = batch.records;
        if records == 0 {
            return;
        }
        let mut id = String::new();
        self.ids.push_next(self.clock.now_ms(), &mut id);
        let mut properties = Vec::with_capacity(batch.keys.len() + 128);
        property::push(&mut properties, KEYS, batch.keys.as_bytes());
        property::push(&mut properties, UNIQ_KEY, id.as_bytes());
        properties.extend_from_slice(&self.stamp);
        let queues = self
            .state
            .topics
            .get(TRACE_TOPIC)
            .map_or(1, |topic| topic.write_queues);
        let draft = RecordDraft {
            topic: TRACE_TOPIC,
            queue_id: self.choose_queue(queues),
            flag: 0,
            sys_flag: 0,
            born_ms: self.clock.now_ms(),
            born_host: self.options.store_host,
            store_host: self.options.store_host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: batch.body.as_bytes(),
            properties: &properties,
        };
        let record = match draft.encode_within(&self.record_limits()) {
            Ok(record) => record,
            Err(error) => {
                tracing::warn!(%error, records, "traces cannot be stored");
                traces.dropped.fetch_add(records, Ordering::Relaxed);
                return;
            }
        };
        let size_bytes = u64::from(record.size_bytes());
        traces
            .in_flight_size_bytes
            .fetch_add(size_bytes, Ordering::AcqRel);
        let traces = traces.clone();
        self.engine.append(record, move |appended| {
            traces
                .in_flight_size_bytes
                .fetch_sub(size_bytes, Ordering::AcqRel);
            match appended {
                Ok(_) => traces.written.fetch_add(records, Ordering::Relaxed),
                Err(error) => {
                    tracing::debug!(%error, records, "traces are dropped");
                    traces.dropped.fetch_add(records, Ordering::Relaxed)
                }
            };
        });
    }
}

/// Events that are being made lines.
struct Writing<'a> {
    broker: &'a Broker,
    traces: &'a Arc<Traces>,
    following: &'a mut Following,
    batch: Batch,
}

impl Writing<'_> {
    fn event(&mut self, event: Event) {
        match event {
            Event::Sent(sent) => self.sent(&sent),
            Event::Delivered(delivered) => self.delivered(delivered),
            Event::Committed {
                at_ms,
                group,
                topic,
                queue_id,
                offset,
            } => {
                let key = GroupQueueKey {
                    group: &group,
                    topic: &topic,
                    queue_id,
                };
                for (offset, followed) in self.following.end_before(key, offset) {
                    self.ended_one(key, offset, &followed, Outcome::Success, at_ms);
                }
            }
            Event::Ended(ended) => self.ended(&ended),
            Event::Decided(decided) => self.decided(&decided),
        }
    }

    fn add(&mut self, id: &str, keys: &str, line: impl FnOnce(&mut String)) {
        if let Some(full) = self.batch.add(id, keys, line) {
            self.broker.append_traces(self.traces, full);
        }
    }

    fn sent(&mut self, sent: &Sent) {
        let options = &self.broker.options;
        for message in &sent.messages {
            self.add(&message.id, &message.keys, |out| {
                let offset_id = if sent.stored {
                    offset_msg_id(options.store_host, message.position)
                } else {
                    String::new()
                };
                Line::begin(out, "Pub")
                    .value(sent.at_ms)
                    .text(&options.region)
                    .text(&sent.group)
                    .text(&sent.topic)
                    .text(&message.id)
                    .text(&message.tags)
                    .text(&message.keys)
                    .value(options.store_host)
                    .value(message.body_size_bytes)
                    .cost(sent.cost_ms)
                    .value(sent.kind)
                    .text(&offset_id)
                    .value(sent.stored)
                    .value(sent.client)
                    .end();
            });
        }
    }

    fn delivered(&mut self, delivered: Delivered) {
        let region = &self.broker.options.region;
        for message in &delivered.messages {
            let request_id = RequestId {
                group: &delivered.group,
                topic: &delivered.topic,
                queue_id: delivered.queue_id,
                offset: message.offset,
                at_ms: delivered.at_ms,
            };
            self.add(&message.id, &message.keys, |out| {
                Line::begin(out, "SubBefore")
                    .value(delivered.at_ms)
                    .text(region)
                    .text(&delivered.group)
                    .value(request_id)
                    .text(&message.id)
                    .value(message.times)
                    .text(&message.keys)
                    .end();
            });
        }
        if delivered.is_followed {
            let given_up = self.following.begin(delivered);
            self.traces.unfollowed.fetch_add(given_up, Ordering::Relaxed);
        }
    }

    fn ended(&mut self, ended: &Ended) {
        let key = GroupQueueKey {
            group: &ended.group,
            topic: &ended.topic,
            queue_id: ended.queue_id,
        };
        for offset in &ended.offsets {
            match self.following.end(key, *offset) {
                Some(followed) => self.ended_one(key, *offset, &followed, ended.outcome, ended.at_ms),
                None => {
                    self.traces.unfollowed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    fn ended_one(
        &mut self,
        key: GroupQueueKey<'_>,
        offset: u64,
        followed: &Followed,
        outcome: Outcome,
        at_ms: i64,
    ) {
        let request_id = RequestId {
            group: key.group,
            topic: key.topic,
            queue_id: key.queue_id,
            offset,
            at_ms: followed.at_ms,
        };
        self.add(&followed.id, &followed.keys, |out| {
            Line::begin(out, "SubAfter")
                .value(request_id)
                .text(&followed.id)
                .cost(at_ms.saturating_sub(followed.at_ms))
                .value(outcome == Outcome::Success)
                .text(&followed.keys)
                .value(outcome.number())
                .value(at_ms)
                .text(key.group)
                .end();
        });
    }

    /// What the half message says of itself, if it is still in memory.
    fn decided(&mut self, decided: &Decided) {
        let broker = self.broker;
        let half = broker.engine.read_hot(decided.position, decided.size_bytes);
        let half = half.as_ref().and_then(|half| RecordView::parse(half).ok());
        let Some(half) = half else {
            self.traces.unfollowed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let property = |name| half.property(name).unwrap_or_default();
        let topic = property(REAL_TOPIC);
        if !broker.is_traced(topic) {
            return;
        }
        let options = &broker.options;
        let (kind, state) = if decided.committed {
            (COMMIT, "COMMIT_MESSAGE")
        } else {
            (HALF, "ROLLBACK_MESSAGE")
        };
        let (id, keys): (&str, Cow<'_, str>) = (property(UNIQ_KEY), property(KEYS).into());
        self.add(id, &keys, |out| {
            Line::begin(out, "EndTransaction")
                .value(decided.at_ms)
                .text(&options.region)
                .text(&decided.group)
                .text(topic)
                .text(id)
                .text(property(TAGS))
                .text(&keys)
                .value(options.store_host)
                .value(kind)
                .text(id)
                .value(state)
                .value(decided.from_check)
                .end();
        });
    }
}
