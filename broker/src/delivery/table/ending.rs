//! Ending deliveries: by an acknowledgement, by a new time, by delivering their messages again.

use super::deliveries::Mark;
use super::name::{GroupQueue, GroupQueueKey};
use super::{BLOCK, Delivery, DeliveryTable};

/// A delivery that was not acknowledged in its time.
#[derive(Debug, Clone)]
pub(in crate::delivery) struct Overdue {
    pub(in crate::delivery) queue: GroupQueue,
    pub(in crate::delivery) delivery: Delivery,
}

/// What is due.
#[derive(Debug, Default)]
pub(in crate::delivery) struct DueNow {
    /// Deliveries to be ended by delivering their messages again.
    pub(in crate::delivery) overdue: Vec<Overdue>,
    /// Queues whose block is over.
    pub(in crate::delivery) unblocked: Vec<GroupQueue>,
}

impl DeliveryTable {
    /// Marks a delivery as being acknowledged; false if it is not out, or is about to be something else.
    pub(in crate::delivery) fn mark_ack(&self, key: GroupQueueKey<'_>, delivery: Delivery) -> bool {
        self.mark(key, delivery, |mark| match mark {
            Mark::Nothing | Mark::Renewal => Some(Mark::Acks(1)),
            Mark::Acks(count) => count.checked_add(1).map(Mark::Acks),
            Mark::Change | Mark::Redelivery | Mark::Parked => None,
        })
    }

    /// Marks a delivery as being given a new time, under another handle, or as becoming a dead letter.
    pub(in crate::delivery) fn mark_change(&self, key: GroupQueueKey<'_>, delivery: Delivery) -> bool {
        self.mark(key, delivery, |mark| {
            matches!(mark, Mark::Nothing | Mark::Renewal).then_some(Mark::Change)
        })
    }

    /// Marks a delivery as being given a new time under the handle that it has.
    pub(in crate::delivery) fn mark_renewal(&self, key: GroupQueueKey<'_>, delivery: Delivery) -> bool {
        self.mark(key, delivery, |mark| {
            (mark == Mark::Nothing).then_some(Mark::Renewal)
        })
    }

    fn mark(&self, key: GroupQueueKey<'_>, delivery: Delivery, next: impl Fn(Mark) -> Option<Mark>) -> bool {
        let mut table = self.0.lock();
        let Some((at, queue)) = table.find(key) else {
            return false;
        };
        let Some(out) = queue.out.get_mut(&delivery.offset) else {
            return false;
        };
        // When it was handed out is what tells it from any other; its time may have been renewed.
        if out.pop_ms != delivery.pop_ms {
            return false;
        }
        let Some(mark) = next(out.mark) else { return false };
        out.mark = mark;
        let due_ms = out.due_ms;
        table.due.remove(&(due_ms, at, delivery.offset));
        true
    }

    /// A renewal is not in the log. What has taken its place is.
    pub(in crate::delivery) fn unmark_renewal(&self, key: GroupQueueKey<'_>, delivery: Delivery) {
        let mut table = self.0.lock();
        if let Some((at, queue)) = table.find(key)
            && let Some(out) = queue.out.get_mut(&delivery.offset)
            && (out.pop_ms, out.mark) == (delivery.pop_ms, Mark::Renewal)
        {
            out.mark = Mark::Nothing;
            let due_ms = out.due_ms;
            table.due.insert((due_ms, at, delivery.offset));
        }
    }

    /// What a delivery was marked for is not in the log: it waits for its time as before.
    pub(in crate::delivery) fn unmark(&self, key: GroupQueueKey<'_>, delivery: Delivery) {
        let mut table = self.0.lock();
        let Some((at, queue)) = table.find(key) else {
            return;
        };
        let Some(out) = queue.out.get_mut(&delivery.offset) else {
            return;
        };
        if out.pop_ms != delivery.pop_ms {
            return;
        }
        let was = out.mark;
        out.mark = match was {
            Mark::Acks(count @ 2..) => Mark::Acks(count - 1),
            _ => Mark::Nothing,
        };
        if out.mark == Mark::Nothing {
            let due_ms = out.due_ms;
            table.due.insert((due_ms, at, delivery.offset));
        }
        if was == Mark::Redelivery {
            table.redelivering = table.redelivering.saturating_sub(1);
        }
    }

    /// A delivery whose message was to be delivered again, and cannot be.
    pub(in crate::delivery) fn park(&self, key: GroupQueueKey<'_>, delivery: Delivery) {
        let mut table = self.0.lock();
        if let Some((_, queue)) = table.find(key)
            && let Some(out) = queue.out.get_mut(&delivery.offset)
            && out.mark == Mark::Redelivery
        {
            out.mark = Mark::Parked;
            table.redelivering = table.redelivering.saturating_sub(1);
        }
    }

    /// A record has been applied that ends a delivery: its message was acknowledged, delivered again, or is gone.
    pub(crate) fn apply_ended(&self, key: GroupQueueKey<'_>, offset: u64, pop_ms: i64) {
        let mut table = self.0.lock();
        if let Some((at, _)) = table.find(key) {
            table.end(at, offset, pop_ms);
            table.tidy(at);
        }
    }

    /// A record has been applied that gives a delivery a new time. Whether it is due earlier than everything before.
    pub(crate) fn apply_changed(&self, key: GroupQueueKey<'_>, pop_ms: i64, to: Delivery) -> bool {
        let mut table = self.0.lock();
        let Some((at, _)) = table.find(key) else {
            return false;
        };
        let first = table.due.first().copied();
        if to.pop_ms == pop_ms {
            if !table.renew(at, to) {
                return false;
            }
        } else if table.end(at, to.offset, pop_ms) {
            table.insert(at, to);
        } else {
            return false;
        }
        first.is_none_or(|(first_ms, ..)| to.due_ms < first_ms)
    }

    /// Takes what is due, earliest first, as long as no more than `in_flight_max` redeliveries are on their way.
    pub(in crate::delivery) fn take_due(&self, now_ms: i64, in_flight_max: usize) -> DueNow {
        let mut table = self.0.lock();
        let mut taken = DueNow::default();
        if table.paused_until_ms > now_ms {
            return taken;
        }
        while table.redelivering < in_flight_max
            && let Some(&(due_ms, at, offset)) = table.due.first()
            && due_ms <= now_ms
        {
            table.due.pop_first();
            let Some(queue) = table.queue(at) else { continue };
            if offset == BLOCK {
                taken.unblocked.push(queue.name.clone());
                continue;
            }
            let name = queue.name.clone();
            let Some(out) = queue.out.get_mut(&offset) else {
                continue;
            };
            out.mark = Mark::Redelivery;
            let pop_ms = out.pop_ms;
            taken.overdue.push(Overdue {
                queue: name,
                delivery: Delivery {
                    offset,
                    pop_ms,
                    due_ms,
                },
            });
            table.redelivering += 1;
        }
        taken
    }

    /// Takes deliveries of one queue whose messages lie before `offset`, whatever their time, and marks them as being delivered again: as long
    /// as no more than `in_flight_max` redeliveries are on their way. Those that could not be read before are marked, too.
    pub(in crate::delivery) fn take_before(
        &self,
        key: GroupQueueKey<'_>,
        offset: u64,
        in_flight_max: usize,
    ) -> Vec<Overdue> {
        let mut table = self.0.lock();
        let mut room = in_flight_max.saturating_sub(table.redelivering);
        let mut taken = Vec::new();
        let Some((at, queue)) = table.find(key) else {
            return taken;
        };
        for (offset, out) in queue.out.range_mut(..offset) {
            if room == 0 {
                break;
            }
            if !matches!(out.mark, Mark::Nothing | Mark::Parked) {
                continue;
            }
            room -= 1;
            out.mark = Mark::Redelivery;
            taken.push(Overdue {
                queue: queue.name.clone(),
                delivery: Delivery {
                    offset: *offset,
                    pop_ms: out.pop_ms,
                    due_ms: out.due_ms,
                },
            });
        }
        for overdue in &taken {
            let Delivery { offset, due_ms, .. } = overdue.delivery;
            table.due.remove(&(due_ms, at, offset));
        }
        table.redelivering += taken.len();
        taken
    }

    /// The queues of which something is out.
    pub(in crate::delivery) fn queues(&self) -> Vec<GroupQueue> {
        let table = self.0.lock();
        let queues = table.queues.iter().flatten();
        let out = queues.filter(|queue| !queue.out.is_empty() || queue.block.is_some());
        out.map(|queue| queue.name.clone()).collect()
    }

    /// The lowest offset of a queue, from `from` on, that is out.
    pub(in crate::delivery) fn lowest(&self, key: GroupQueueKey<'_>, from: u64) -> Option<u64> {
        let mut table = self.0.lock();
        let (_, queue) = table.find(key)?;
        let out = queue.out.range(from..).next().map(|(offset, _)| *offset);
        let in_order = queue.block.as_ref().and_then(|block| block.lowest(from));
        out.into_iter().chain(in_order).min()
    }

    /// Nothing is tried before this.
    pub(in crate::delivery) fn pause(&self, until_ms: i64) {
        self.0.lock().paused_until_ms = until_ms;
    }

    /// When something is due next.
    pub(crate) fn next_due_ms(&self) -> Option<i64> {
        let table = self.0.lock();
        table
            .due
            .first()
            .map(|(due_ms, ..)| table.paused_until_ms.max(*due_ms))
    }

    /// Deliveries that wait for their acknowledgement: of one queue, or of all.
    pub(crate) fn out(&self, key: Option<GroupQueueKey<'_>>) -> usize {
        let mut table = self.0.lock();
        match key {
            None => table.out,
            Some(key) => table.find(key).map_or(0, |(_, queue)| queue.out.len()),
        }
    }
}
