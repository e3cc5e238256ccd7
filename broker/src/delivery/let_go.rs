//! Deliveries whose messages are about to expire.
//!
//! While a message is out its consumer works on it, and nobody else may get it: so the segment that it lies in waits for a while. What is still
//! out then, or is in the way of a full disk, is delivered again before its time: that is the one append which ends a delivery
//! without losing its message. Of what is out in order nothing may be overtaken, so it becomes a dead letter of its group instead.
//!
//! A pop that is on its way while its message expires may hand out what is gone by then. It was about to expire unread; if it is not
//! acknowledged it does not come again, as nothing comes that has expired.

use std::sync::Arc;

use kourou_engine::record::RecordView;

use super::inner;
use super::table::{Delivery, GroupQueue, Overdue};
use crate::broker::Broker;
use crate::name;
use crate::retention::Carry;
use crate::topic::TopicConfig;

/// Queues of a dead-letter topic.
const QUEUES: u32 = 1;

impl Broker {
    /// Waits for deliveries whose messages lie before a position, or ends them. Where the first of those messages lies, as long as
    /// there is one.
    pub(crate) fn let_deliveries_go(self: &Arc<Self>, carry: &mut Carry) -> Option<u64> {
        let deliveries = &self.state.deliveries;
        let mut first: Option<u64> = None;
        for queue in deliveries.queues() {
            let (topic, queue_id) = (&*queue.topic, queue.queue_id);
            let Some(end) = self.engine.offset_from(topic, queue_id, carry.going.below) else {
                continue;
            };
            // What has expired by now is in the way of nothing.
            let min = self.min_offset(topic, queue_id);
            let lowest = deliveries.lowest(queue.key(), min).filter(|lowest| *lowest < end);
            let entry = lowest.and_then(|lowest| self.entry(topic, queue_id, lowest));
            first = first.into_iter().chain(entry.map(|entry| entry.position)).min();
            if lowest.is_some() && !carry.is_patient && !carry.is_spent() {
                self.end_before(&queue, end, carry);
            }
        }
        first
    }

    fn end_before(self: &Arc<Self>, queue: &GroupQueue, end: u64, carry: &mut Carry) {
        let in_flight_max = self.options.limits.redeliveries_in_flight_max;
        let taken =
            self.state
                .deliveries
                .take_before(queue.key(), end, in_flight_max.min(carry.left_messages()));
        let sizes: Vec<u32> = taken
            .iter()
            .filter_map(|overdue| self.entry(&queue.topic, queue.queue_id, overdue.delivery.offset))
            .map(|entry| entry.size_bytes)
            .collect();
        if !carry.may_use_reserve(sizes.into_iter()) {
            for overdue in &taken {
                self.state.deliveries.unmark(queue.key(), overdue.delivery);
            }
            return;
        }
        carry.spend(taken.len(), 0);
        let (readable, unreadable) = taken.into_iter().partition(|overdue| self.is_readable(overdue));
        self.deliver_again(readable, carry.going.is_full);
        let unreadable: Vec<Overdue> = unreadable;
        for overdue in unreadable {
            let Overdue { queue, delivery } = &overdue;
            tracing::error!(
                group = %queue.group, topic = %queue.topic, queue_id = queue.queue_id, offset = delivery.offset,
                "a message that is out cannot be read and goes with its segment"
            );
            self.append_gone(overdue);
        }
        let in_order = self.state.deliveries.with_block(queue.key(), |block| {
            block.map(|block| block.before(end)).unwrap_or_default()
        });
        for (offset, pop_ms) in in_order {
            if carry.is_spent() {
                return;
            }
            carry.spend(1, 0);
            let delivery = Delivery {
                offset,
                pop_ms,
                due_ms: pop_ms,
            };
            let overdue = Overdue {
                queue: queue.clone(),
                delivery,
            };
            self.bury_in_order(overdue, carry);
        }
    }

    fn is_readable(&self, overdue: &Overdue) -> bool {
        let Overdue { queue, delivery } = overdue;
        let entry = self.entry(&queue.topic, queue.queue_id, delivery.offset);
        // What is gone is not damaged.
        entry.is_none_or(|entry| self.engine.read(entry.position, entry.size_bytes).is_ok())
    }

    fn bury_in_order(self: &Arc<Self>, overdue: Overdue, carry: &mut Carry) {
        let Overdue { queue, delivery } = &overdue;
        let offset = delivery.offset;
        let topic = name::dlq_topic(&queue.group);
        if !self.state.topics.contains(&topic) {
            return self.make_for_redelivery(TopicConfig::new(topic, QUEUES));
        }
        let Some(entry) = self.entry(&queue.topic, queue.queue_id, offset) else {
            return;
        };
        if !carry.may_use_reserve(std::iter::once(entry.size_bytes)) {
            return;
        }
        let dead = self
            .engine
            .read(entry.position, entry.size_bytes)
            .map_err(super::redeliver::Unreadable::from)
            .and_then(|bytes| {
                let bytes = inner::at(bytes, offset);
                self.again_record(&overdue, &RecordView::parse(&bytes)?, &topic, true)
            });
        let dead = match dead {
            Ok(dead) => dead,
            Err(why) => {
                tracing::error!(
                    group = %queue.group, topic = %queue.topic, queue_id = queue.queue_id, offset, %why,
                    "a message that is out in order cannot be read and goes with its segment"
                );
                return self.end_in_order(overdue);
            }
        };
        tracing::warn!(
            group = %queue.group, topic = %queue.topic, queue_id = queue.queue_id, offset,
            "a message that is out in order is about to expire; it becomes a dead letter"
        );
        self.count_in_order(&overdue, 1);
        let broker = self.clone();
        self.append_in_place(carry, dead.into(), move |appended| {
            if appended.is_err() {
                broker.count_in_order(&overdue, -1);
            }
            broker.wake_in_order(overdue.queue.key());
        });
    }

    fn end_in_order(self: &Arc<Self>, overdue: Overdue) {
        let Delivery { offset, pop_ms, .. } = overdue.delivery;
        let payload = super::record::acked_in_order(overdue.queue.key(), pop_ms, &[offset]);
        self.count_in_order(&overdue, 1);
        let broker = self.clone();
        self.append_state(super::ACKED_IN_ORDER, &payload, move |stored| {
            if stored.is_err() {
                broker.count_in_order(&overdue, -1);
            }
            broker.wake_in_order(overdue.queue.key());
        });
    }

    fn count_in_order(&self, overdue: &Overdue, change: i16) {
        let Delivery { offset, pop_ms, .. } = overdue.delivery;
        self.state.deliveries.with_block(overdue.queue.key(), |block| {
            if let Some(block) = block {
                block.count_in_flight(offset, pop_ms, change);
            }
        });
    }
}
