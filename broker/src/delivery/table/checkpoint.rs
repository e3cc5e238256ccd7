//! Deletion and checkpoints.

use std::sync::Arc;

use super::deliveries::Deliveries;
use super::name::GroupQueueKey;
use super::{Delivery, DeliveryTable};
use crate::delivery::order::Block;
use crate::pending::OutMessage;
use crate::state::{Fields, Writer};

impl DeliveryTable {
    pub(crate) fn remove_topic(&self, topic: &str) {
        self.0.lock().remove_where(|name| *name.topic == *topic);
    }

    pub(crate) fn remove_group(&self, group: &str) {
        self.0.lock().remove_where(|name| *name.group == *group);
    }

    /// Forgets what is out of one queue.
    pub(crate) fn remove_queue(&self, key: GroupQueueKey<'_>) {
        self.0.lock().remove_queue(key);
    }

    /// What is out.
    pub(crate) fn out_messages(&self) -> Vec<OutMessage> {
        let table = self.0.lock();
        let queues = table.queues.iter().flatten();
        let messages = queues.flat_map(|queue| {
            queue.out.keys().map(|offset| OutMessage {
                group: Arc::clone(&queue.name.group),
                topic: Arc::clone(&queue.name.topic),
                queue_id: queue.name.queue_id,
                offset: *offset,
            })
        });
        messages.collect()
    }

    pub(crate) fn encode(&self) -> Writer {
        let table = self.0.lock();
        let mut out = Writer::new();
        let count_at = out.count_later();
        let mut count = 0;
        for queue in table.queues.iter().flatten() {
            if queue.out.is_empty() && queue.block.is_none() {
                continue;
            }
            count += 1;
            out.text(&queue.name.group);
            out.text(&queue.name.topic);
            out.u32(queue.name.queue_id);
            out.count(queue.out.len());
            for (offset, one) in &queue.out {
                out.u64(*offset);
                out.i64(one.pop_ms);
                out.i64(one.due_ms);
            }
            out.bool(queue.block.is_some());
            if let Some(block) = &queue.block {
                block.encode(&mut out);
            }
        }
        out.set_count(count_at, count);
        out
    }

    pub(crate) fn restore(&self, fields: &mut Fields<'_>) -> Option<()> {
        let mut table = Deliveries::default();
        for _ in 0..fields.count()? {
            let key = GroupQueueKey {
                group: fields.text()?,
                topic: fields.text()?,
                queue_id: fields.u32()?,
            };
            let at = table.make(key);
            for _ in 0..fields.count()? {
                let delivery = Delivery {
                    offset: fields.u64()?,
                    pop_ms: fields.i64()?,
                    due_ms: fields.i64()?,
                };
                table.insert(at, delivery);
            }
            if fields.bool()? {
                let block = Box::new(Block::decode(fields)?);
                if let Some(queue) = table.queue(at) {
                    queue.block = Some(block);
                }
                table.list_block(at, None);
            }
        }
        *self.0.lock() = table;
        Some(())
    }
}
