//! How deliveries are logged, and what their records do when they are applied.
//!
//! ```text
//! kind 20  popped           text group, i64 pop time, i64 due time, u32 count, then for each queue: text topic, u32 queue id,
//!                           i64 offset where the group goes on, offsets
//! kind 21  ended            u32 count, then for each queue: text group, text topic, u32 queue id, u32 count, then u64 offset, i64
//!                           pop time for each delivery that was acknowledged, or whose message is gone
//! kind 22  changed          text group, text topic, u32 queue id, u64 offset, i64 pop time, i64 new pop time, i64 new due time
//! kind 23  popped in order  text group, i64 pop time, i64 due time, text attempt, u32 count, then for each queue: text topic,
//!                           u32 queue id, u64 offset of the group, bool whether a new block, offsets
//! kind 24  acked in order   text group, text topic, u32 queue id, i64 pop time, offsets
//! kind 25  changed in order text group, text topic, u32 queue id, u64 offset, i64 pop time, i64 new due time, bool whether the
//!                           attempt does not count (not in older ones)
//!
//! offsets                   u32 count, u64 first, then u32 distance to the one before for each other
//! ```
//!
//! Each begins with the version of the encoding. A change whose pop times are the same renews a delivery: its handle is as before. A
//! delivery also ends by the record of a message that names it: the message, to be delivered again, or as a dead letter.

use std::sync::Arc;

use super::order::{Block, OrderedPop};
use super::table::{Delivery, DeliveryTable, GroupQueueKey};
use crate::offset::{OffsetTable, ResetTable};
use crate::queue::QueueKey;
use crate::state::{Fields, Writer};
use crate::topic::{Floors, TopicTable};

pub(crate) const POPPED: u16 = 20;
pub(crate) const ENDED: u16 = 21;
pub(crate) const CHANGED: u16 = 22;
pub(crate) const POPPED_IN_ORDER: u16 = 23;
pub(crate) const ACKED_IN_ORDER: u16 = 24;
pub(crate) const CHANGED_IN_ORDER: u16 = 25;

/// The version of the encoding.
const VERSION: u8 = 1;

/// What one pop takes from one queue.
#[derive(Debug, Clone)]
pub(super) struct PoppedFrom {
    pub(super) topic: Arc<str>,
    pub(super) queue_id: u32,
    /// Where the group was; `None` if nowhere yet.
    pub(super) found: Option<i64>,
    /// Where it goes on.
    pub(super) next: u64,
    pub(super) offsets: Vec<u64>,
    /// Whether they begin a new block, for a pop in order.
    pub(super) is_new: bool,
}

fn begin() -> Writer {
    let mut out = Writer::new();
    out.u8(VERSION);
    out
}

fn push_key(out: &mut Writer, key: GroupQueueKey<'_>) {
    out.text(key.group);
    out.text(key.topic);
    out.u32(key.queue_id);
}

fn push_offsets(out: &mut Writer, offsets: &[u64]) {
    out.count(offsets.len());
    let mut before = None;
    for offset in offsets {
        match before {
            None => out.u64(*offset),
            // One answer comes from one look through a bounded stretch.
            Some(before) => out.u32(u32::try_from(offset - before).unwrap_or(u32::MAX)),
        }
        before = Some(*offset);
    }
}

fn read_key<'a>(fields: &mut Fields<'a>) -> Option<GroupQueueKey<'a>> {
    Some(GroupQueueKey {
        group: fields.text()?,
        topic: fields.text()?,
        queue_id: fields.u32()?,
    })
}

fn read_offsets(fields: &mut Fields<'_>) -> Option<Vec<u64>> {
    let count = fields.count()?;
    let mut offsets = Vec::with_capacity(count);
    let mut at = 0u64;
    for number in 0..count {
        at = if number == 0 {
            fields.u64()?
        } else {
            at.checked_add(fields.u32()?.into())?
        };
        offsets.push(at);
    }
    Some(offsets)
}

pub(super) fn popped(group: &str, pop_ms: i64, due_ms: i64, queues: &[PoppedFrom]) -> Vec<u8> {
    let mut out = begin();
    out.text(group);
    out.i64(pop_ms);
    out.i64(due_ms);
    out.count(queues.len());
    for queue in queues {
        out.text(&queue.topic);
        out.u32(queue.queue_id);
        out.i64(signed(queue.next));
        push_offsets(&mut out, &queue.offsets);
    }
    out.finish()
}

pub(super) fn popped_in_order(
    group: &str,
    pop_ms: i64,
    due_ms: i64,
    attempt_id: &str,
    queues: &[PoppedFrom],
) -> Vec<u8> {
    let mut out = begin();
    out.text(group);
    out.i64(pop_ms);
    out.i64(due_ms);
    out.text(attempt_id);
    out.count(queues.len());
    for queue in queues {
        out.text(&queue.topic);
        out.u32(queue.queue_id);
        out.u64(queue.next);
        out.bool(queue.is_new);
        push_offsets(&mut out, &queue.offsets);
    }
    out.finish()
}

/// Deliveries that end, by queue.
pub(super) fn ended<'a>(queues: impl Iterator<Item = (GroupQueueKey<'a>, &'a [Delivery])>) -> Vec<u8> {
    let mut out = begin();
    let count_at = out.count_later();
    let mut count = 0;
    for (key, deliveries) in queues {
        count += 1;
        push_key(&mut out, key);
        out.count(deliveries.len());
        for delivery in deliveries {
            out.u64(delivery.offset);
            out.i64(delivery.pop_ms);
        }
    }
    out.set_count(count_at, count);
    out.finish()
}

pub(super) fn changed(key: GroupQueueKey<'_>, pop_ms: i64, to: Delivery) -> Vec<u8> {
    let mut out = begin();
    push_key(&mut out, key);
    out.u64(to.offset);
    out.i64(pop_ms);
    out.i64(to.pop_ms);
    out.i64(to.due_ms);
    out.finish()
}

pub(super) fn acked_in_order(key: GroupQueueKey<'_>, pop_ms: i64, offsets: &[u64]) -> Vec<u8> {
    let mut out = begin();
    push_key(&mut out, key);
    out.i64(pop_ms);
    push_offsets(&mut out, offsets);
    out.finish()
}

pub(super) fn changed_in_order(
    key: GroupQueueKey<'_>,
    offset: u64,
    pop_ms: i64,
    due_ms: i64,
    is_suspended: bool,
) -> Vec<u8> {
    let mut out = begin();
    push_key(&mut out, key);
    out.u64(offset);
    out.i64(pop_ms);
    out.i64(due_ms);
    out.bool(is_suspended);
    out.finish()
}

/// The views that records of deliveries change.
#[derive(Debug)]
pub(crate) struct Applied<'a> {
    pub(crate) deliveries: &'a DeliveryTable,
    pub(crate) offsets: &'a OffsetTable,
    pub(crate) resets: &'a ResetTable,
    pub(crate) topics: &'a TopicTable,
    pub(crate) floors: &'a Floors,
}

impl Applied<'_> {
    /// A pop says where its group goes on. One that was under way does not undo a reset.
    fn moved(&self, key: GroupQueueKey<'_>, offset: i64) {
        let (group, topic, queue_id) = (key.group, key.topic, key.queue_id);
        if !self.resets.is_logged(group, topic, queue_id) {
            self.offsets.apply(group, topic, queue_id, offset);
        }
    }

    /// Whether a pop was overtaken by the end of its queue: the topic is deleted, or the queue is another lite topic by now.
    fn is_over(&self, topic: &str, queue_id: u32, offsets: &[u64]) -> bool {
        let floor = self.floors.get(QueueKey { topic, queue_id });
        !self.topics.contains(topic) || offsets.first().is_some_and(|first| *first < floor)
    }

    /// A message has been stored that ends a delivery: the message itself, to be delivered again or dead.
    pub(crate) fn ended_by_message(&self, key: GroupQueueKey<'_>, offset: u64, pop_ms: i64) {
        let is_in_order = self
            .deliveries
            .with_block(key, |block| block.is_some_and(|block| block.has(offset, pop_ms)));
        if is_in_order {
            self.acked_in_order(key, pop_ms, &[offset]);
        } else {
            self.deliveries.apply_ended(key, offset, pop_ms);
        }
    }

    fn acked_in_order(&self, key: GroupQueueKey<'_>, pop_ms: i64, offsets: &[u64]) {
        // The offset first: as long as the acknowledgement counts as being on its way, nobody pops the queue. In between it must not
        // look as if nothing was out and the group still where it was: what is acknowledged would be handed out again.
        let moved = self
            .deliveries
            .with_block(key, |block| block.and_then(|block| block.moves(pop_ms, offsets)));
        if let Some((before, now)) = moved
            && !self.resets.is_logged(key.group, key.topic, key.queue_id)
        {
            // Whoever set the offset meanwhile knows better.
            let (before, now) = (signed(before), signed(now));
            self.offsets
                .apply_if(key.group, key.topic, key.queue_id, before, now);
        }
        self.deliveries
            .apply_block(key, |block| Block::acked(block, pop_ms, offsets));
    }

    /// Applies a record. `None` if it means nothing; else when something is due earlier than everything before, if so.
    pub(crate) fn apply(&self, kind: u16, mut fields: Fields<'_>) -> Option<Option<i64>> {
        if fields.u8()? != VERSION {
            return None;
        }
        let mut earliest_ms = None;
        match kind {
            POPPED => {
                let group = fields.text()?;
                let (pop_ms, due_ms) = (fields.i64()?, fields.i64()?);
                for _ in 0..fields.count()? {
                    let (topic, queue_id, next) = (fields.text()?, fields.u32()?, fields.i64()?);
                    let offsets = read_offsets(&mut fields)?;
                    if self.is_over(topic, queue_id, &offsets) {
                        continue;
                    }
                    let key = GroupQueueKey {
                        group,
                        topic,
                        queue_id,
                    };
                    if self
                        .deliveries
                        .apply_popped(key, pop_ms, due_ms, offsets.into_iter())
                    {
                        earliest_ms = Some(due_ms);
                    }
                    self.moved(key, next);
                }
            }
            ENDED => {
                for _ in 0..fields.count()? {
                    let key = read_key(&mut fields)?;
                    for _ in 0..fields.count()? {
                        let (offset, pop_ms) = (fields.u64()?, fields.i64()?);
                        self.deliveries.apply_ended(key, offset, pop_ms);
                    }
                }
            }
            CHANGED => {
                let key = read_key(&mut fields)?;
                let (offset, before_ms) = (fields.u64()?, fields.i64()?);
                let to = Delivery {
                    offset,
                    pop_ms: fields.i64()?,
                    due_ms: fields.i64()?,
                };
                if self.deliveries.apply_changed(key, before_ms, to) {
                    earliest_ms = Some(to.due_ms);
                }
            }
            POPPED_IN_ORDER => {
                let group = fields.text()?;
                let (pop_ms, due_ms) = (fields.i64()?, fields.i64()?);
                let attempt_id = fields.text()?;
                for _ in 0..fields.count()? {
                    let (topic, queue_id) = (fields.text()?, fields.u32()?);
                    let (committed, is_new) = (fields.u64()?, fields.bool()?);
                    let offsets = read_offsets(&mut fields)?;
                    if self.is_over(topic, queue_id, &offsets) {
                        continue;
                    }
                    let key = GroupQueueKey {
                        group,
                        topic,
                        queue_id,
                    };
                    let popped = OrderedPop {
                        attempt_id,
                        pop_ms,
                        due_ms,
                        committed,
                        is_new,
                        offsets: &offsets,
                    };
                    let ((), is_earlier) = self
                        .deliveries
                        .apply_block(key, |block| Block::popped(block, &popped));
                    if is_earlier {
                        earliest_ms = Some(due_ms);
                    }
                    self.moved(key, signed(committed));
                }
            }
            ACKED_IN_ORDER => {
                let key = read_key(&mut fields)?;
                let pop_ms = fields.i64()?;
                let offsets = read_offsets(&mut fields)?;
                self.acked_in_order(key, pop_ms, &offsets);
            }
            CHANGED_IN_ORDER => {
                let key = read_key(&mut fields)?;
                let (offset, pop_ms, due_ms) = (fields.u64()?, fields.i64()?, fields.i64()?);
                let is_suspended = !fields.is_empty() && fields.bool()?;
                let ((), is_earlier) = self.deliveries.apply_block(key, |block| {
                    if let Some(block) = block {
                        block.changed(offset, pop_ms, due_ms, is_suspended);
                    }
                });
                if is_earlier {
                    earliest_ms = Some(due_ms);
                }
            }
            _ => return None,
        }
        Some(earliest_ms)
    }
}

/// An offset as the offset table has it.
pub(super) fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}
