//! The table behind its lock: queues, what is out of each, and what is due when.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;

use super::name::{GroupQueue, GroupQueueKey};
use super::{BLOCK, Delivery};
use crate::delivery::order::Block;

#[derive(Default)]
pub(super) struct Deliveries {
    pub(super) by_name: HashMap<GroupQueue, u32>,
    pub(super) queues: Vec<Option<Queue>>,
    pub(super) free: Vec<u32>,
    /// What waits for its time: not what is being ended already.
    pub(super) due: BTreeSet<(i64, u32, u64)>,
    /// Deliveries of all queues.
    pub(super) out: usize,
    /// After a refused redelivery, nothing is tried before this.
    pub(super) paused_until_ms: i64,
    pub(super) redelivering: usize,
}

pub(super) struct Queue {
    pub(super) name: GroupQueue,
    pub(super) out: BTreeMap<u64, Out>,
    /// What is out in order.
    pub(super) block: Option<Box<Block>>,
    /// Who is popping it.
    pub(super) popped_by: Option<u64>,
    /// Somebody wanted to pop it meanwhile.
    pub(super) wanted: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Out {
    pub(super) pop_ms: i64,
    pub(super) due_ms: i64,
    pub(super) mark: Mark,
}

/// What is on its way to the log for a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Nothing,
    /// So many acknowledgements.
    Acks(u8),
    /// A new time, or the message's end as a dead letter.
    Change,
    /// A new time under the handle that it has: whatever else becomes of it meanwhile takes its place.
    Renewal,
    /// The message, to be delivered again.
    Redelivery,
    /// Nothing: it cannot be delivered again. It stays in the checkpoint, and is tried once more after a restart.
    Parked,
}

impl Queue {
    pub(super) fn new(name: GroupQueue) -> Self {
        Self {
            name,
            out: BTreeMap::new(),
            block: None,
            popped_by: None,
            wanted: false,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.out.is_empty() && self.block.is_none() && self.popped_by.is_none()
    }
}

impl Deliveries {
    pub(super) fn find(&mut self, key: GroupQueueKey<'_>) -> Option<(u32, &mut Queue)> {
        let at = *self.by_name.get(&key)?;
        Some((at, self.queues.get_mut(at as usize)?.as_mut()?))
    }

    pub(super) fn make(&mut self, key: GroupQueueKey<'_>) -> u32 {
        if let Some(at) = self.by_name.get(&key) {
            return *at;
        }
        let name = key.to_owned_name();
        let queue = Some(Queue::new(name.clone()));
        let at = match self.free.pop() {
            Some(at) => {
                if let Some(place) = self.queues.get_mut(at as usize) {
                    *place = queue;
                }
                at
            }
            None => {
                self.queues.push(queue);
                // There are never 2^32 queues.
                (self.queues.len() - 1) as u32
            }
        };
        self.by_name.insert(name, at);
        at
    }

    pub(super) fn queue(&mut self, at: u32) -> Option<&mut Queue> {
        self.queues.get_mut(at as usize)?.as_mut()
    }

    /// Forgets a queue of which nothing is left.
    pub(super) fn tidy(&mut self, at: u32) {
        if self.queue(at).is_some_and(|queue| queue.is_idle())
            && let Some(queue) = self.queues.get_mut(at as usize).and_then(Option::take)
        {
            self.by_name.remove(&queue.name);
            self.free.push(at);
        }
    }

    pub(super) fn insert(&mut self, at: u32, delivery: Delivery) {
        let Delivery {
            offset,
            pop_ms,
            due_ms,
        } = delivery;
        let Some(queue) = self.queue(at) else { return };
        let before = queue.out.insert(
            offset,
            Out {
                pop_ms,
                due_ms,
                mark: Mark::Nothing,
            },
        );
        match before {
            Some(before) => {
                self.due.remove(&(before.due_ms, at, offset));
            }
            None => self.out += 1,
        }
        self.due.insert((due_ms, at, offset));
    }

    /// Gives a delivery another time, if it is that one and waits for its time.
    pub(super) fn renew(&mut self, at: u32, to: Delivery) -> bool {
        let Some(queue) = self.queue(at) else { return false };
        let Some(out) = queue.out.get_mut(&to.offset) else {
            return false;
        };
        if out.pop_ms != to.pop_ms {
            return false;
        }
        let before_ms = std::mem::replace(&mut out.due_ms, to.due_ms);
        if out.mark == Mark::Renewal {
            out.mark = Mark::Nothing;
        }
        let waits = out.mark == Mark::Nothing;
        self.due.remove(&(before_ms, at, to.offset));
        if waits {
            self.due.insert((to.due_ms, at, to.offset));
        }
        waits
    }

    /// Removes a delivery, if it is that one.
    pub(super) fn end(&mut self, at: u32, offset: u64, pop_ms: i64) -> bool {
        let Some(queue) = self.queue(at) else { return false };
        if queue.out.get(&offset).is_none_or(|out| out.pop_ms != pop_ms) {
            return false;
        }
        let Some(out) = queue.out.remove(&offset) else {
            return false;
        };
        self.out -= 1;
        self.due.remove(&(out.due_ms, at, offset));
        if out.mark == Mark::Redelivery {
            self.redelivering = self.redelivering.saturating_sub(1);
        }
        true
    }

    /// Lists when the block of a queue is over, in place of when it was until now.
    pub(super) fn list_block(&mut self, at: u32, before_ms: Option<i64>) {
        if let Some(before_ms) = before_ms {
            self.due.remove(&(before_ms, at, BLOCK));
        }
        let now = self
            .queue(at)
            .and_then(|queue| queue.block.as_ref())
            .and_then(|block| block.over_ms());
        if let Some(over_ms) = now {
            self.due.insert((over_ms, at, BLOCK));
        }
    }

    pub(super) fn remove_where(&mut self, gone: impl Fn(&GroupQueue) -> bool) {
        for at in 0..self.queues.len() {
            let is_gone = self.queues[at].as_ref().is_some_and(|queue| gone(&queue.name));
            if is_gone && let Some(queue) = self.queues[at].take() {
                let number = at as u32;
                self.forget(number, &queue.out, queue.block.as_deref());
                self.by_name.remove(&queue.name);
                self.free.push(number);
            }
        }
    }

    /// Forgets what is out of one queue. Whoever is popping it goes on.
    pub(super) fn remove_queue(&mut self, key: GroupQueueKey<'_>) {
        let Some((at, queue)) = self.find(key) else { return };
        let (out, block) = (std::mem::take(&mut queue.out), queue.block.take());
        self.forget(at, &out, block.as_deref());
        self.tidy(at);
    }

    /// What was out of a queue is not counted, and not due, any more.
    fn forget(&mut self, at: u32, out: &BTreeMap<u64, Out>, block: Option<&Block>) {
        for (offset, one) in out {
            self.due.remove(&(one.due_ms, at, *offset));
            if one.mark == Mark::Redelivery {
                self.redelivering = self.redelivering.saturating_sub(1);
            }
        }
        if let Some(over_ms) = block.and_then(Block::over_ms) {
            self.due.remove(&(over_ms, at, BLOCK));
        }
        self.out -= out.len();
    }
}
