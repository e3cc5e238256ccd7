//! What is out: the deliveries that wait for their acknowledgement, by group and queue.
//!
//! Everything durable in here changes in `apply_*` alone, in the log's order, so that a restart finds the same. What is on its
//! way to the log is only marked: a delivery that is being ended is not ended a second time, and a queue that is being popped is
//! not popped by anybody else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use hashbrown::{Equivalent, HashMap};
use parking_lot::Mutex;

use super::order::Block;
use crate::state::{Fields, Writer};

/// Stands for a queue's block in the list of what is due: no message has this offset.
const BLOCK: u64 = u64::MAX;

/// One queue as one group consumes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct GroupQueue {
    pub(crate) group: Arc<str>,
    pub(crate) topic: Arc<str>,
    pub(crate) queue_id: u32,
}

/// A borrowed [`GroupQueue`]; finds an owned one in a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct GroupQueueKey<'a> {
    pub(crate) group: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) queue_id: u32,
}

impl GroupQueue {
    pub(crate) fn key(&self) -> GroupQueueKey<'_> {
        GroupQueueKey {
            group: &self.group,
            topic: &self.topic,
            queue_id: self.queue_id,
        }
    }
}

impl GroupQueueKey<'_> {
    pub(crate) fn to_owned_name(self) -> GroupQueue {
        GroupQueue {
            group: self.group.into(),
            topic: self.topic.into(),
            queue_id: self.queue_id,
        }
    }
}

impl Equivalent<GroupQueue> for GroupQueueKey<'_> {
    fn equivalent(&self, name: &GroupQueue) -> bool {
        self.queue_id == name.queue_id && *self.topic == *name.topic && *self.group == *name.group
    }
}

/// Which delivery of a message is meant: acknowledging one says nothing of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) offset: u64,
    /// When it was handed out.
    pub(crate) pop_ms: i64,
    /// When it ends.
    pub(crate) due_ms: i64,
}

/// What became of the wish to pop a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Begun {
    /// It is the caller's, until [`DeliveryTable::release`].
    Ours {
        /// What is out at the offset that the caller named and behind it.
        out: Vec<u64>,
    },
    /// Somebody else is popping it, and is told to wake others when it has done.
    Busy,
    /// As much is out as may be.
    Full,
}

/// A delivery that was not acknowledged in its time.
#[derive(Debug, Clone)]
pub(super) struct Overdue {
    pub(super) queue: GroupQueue,
    pub(super) delivery: Delivery,
}

/// What is due.
#[derive(Debug, Default)]
pub(super) struct DueNow {
    /// Deliveries to be ended by delivering their messages again.
    pub(super) overdue: Vec<Overdue>,
    /// Queues whose block is over.
    pub(super) unblocked: Vec<GroupQueue>,
}

/// The deliveries of one broker.
#[derive(Default)]
pub(crate) struct DeliveryTable(Mutex<Deliveries>);

#[derive(Default)]
struct Deliveries {
    by_name: HashMap<GroupQueue, u32>,
    queues: Vec<Option<Queue>>,
    free: Vec<u32>,
    /// What waits for its time: not what is being ended already.
    due: BTreeSet<(i64, u32, u64)>,
    /// Deliveries of all queues.
    out: usize,
    /// After a refused redelivery, nothing is tried before this.
    paused_until_ms: i64,
    redelivering: usize,
}

struct Queue {
    name: GroupQueue,
    out: BTreeMap<u64, Out>,
    /// What is out in order.
    block: Option<Box<Block>>,
    /// Who is popping it.
    popped_by: Option<u64>,
    /// Somebody wanted to pop it meanwhile.
    wanted: bool,
}

#[derive(Debug, Clone, Copy)]
struct Out {
    pop_ms: i64,
    due_ms: i64,
    mark: Mark,
}

/// What is on its way to the log for a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Nothing,
    /// So many acknowledgements.
    Acks(u8),
    /// A new time.
    Change,
    /// The message, to be delivered again.
    Redelivery,
    /// Nothing: it cannot be delivered again. It stays in the checkpoint, and is tried once more after a restart.
    Parked,
}

impl Queue {
    fn new(name: GroupQueue) -> Self {
        Self {
            name,
            out: BTreeMap::new(),
            block: None,
            popped_by: None,
            wanted: false,
        }
    }

    fn is_idle(&self) -> bool {
        self.out.is_empty() && self.block.is_none() && self.popped_by.is_none()
    }
}

impl Deliveries {
    fn find(&mut self, key: GroupQueueKey<'_>) -> Option<(u32, &mut Queue)> {
        let at = *self.by_name.get(&key)?;
        Some((at, self.queues.get_mut(at as usize)?.as_mut()?))
    }

    fn make(&mut self, key: GroupQueueKey<'_>) -> u32 {
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

    fn queue(&mut self, at: u32) -> Option<&mut Queue> {
        self.queues.get_mut(at as usize)?.as_mut()
    }

    /// Forgets a queue of which nothing is left.
    fn tidy(&mut self, at: u32) {
        if self.queue(at).is_some_and(|queue| queue.is_idle())
            && let Some(queue) = self.queues.get_mut(at as usize).and_then(Option::take)
        {
            self.by_name.remove(&queue.name);
            self.free.push(at);
        }
    }

    fn insert(&mut self, at: u32, delivery: Delivery) {
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

    /// Removes a delivery, if it is that one.
    fn end(&mut self, at: u32, offset: u64, pop_ms: i64) -> bool {
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
    fn list_block(&mut self, at: u32, before_ms: Option<i64>) {
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

    fn remove_where(&mut self, gone: impl Fn(&GroupQueue) -> bool) {
        for at in 0..self.queues.len() {
            let is_gone = self.queues[at].as_ref().is_some_and(|queue| gone(&queue.name));
            if is_gone && let Some(queue) = self.queues[at].take() {
                let number = at as u32;
                for (offset, out) in &queue.out {
                    self.due.remove(&(out.due_ms, number, *offset));
                    if out.mark == Mark::Redelivery {
                        self.redelivering = self.redelivering.saturating_sub(1);
                    }
                }
                if let Some(over_ms) = queue.block.as_ref().and_then(|block| block.over_ms()) {
                    self.due.remove(&(over_ms, number, BLOCK));
                }
                self.out -= queue.out.len();
                self.by_name.remove(&queue.name);
                self.free.push(number);
            }
        }
    }
}

impl fmt::Debug for DeliveryTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} deliveries", self.0.lock().out)
    }
}

/// How much may be out.
#[derive(Debug, Clone, Copy)]
pub(super) struct OutLimits {
    pub(super) of_queue: usize,
    pub(super) of_all: usize,
}

/// Popping.
impl DeliveryTable {
    /// Takes a queue for popping. `from` is the offset that will be read first.
    pub(super) fn begin(&self, key: GroupQueueKey<'_>, who: u64, from: u64, limits: OutLimits) -> Begun {
        let mut table = self.0.lock();
        let all_out = table.out;
        let at = table.make(key);
        let Some(queue) = table.queue(at) else {
            return Begun::Full;
        };
        if queue.popped_by.is_some() {
            queue.wanted = true;
            return Begun::Busy;
        }
        if queue.out.len() >= limits.of_queue || all_out >= limits.of_all {
            table.tidy(at);
            return Begun::Full;
        }
        queue.popped_by = Some(who);
        Begun::Ours {
            out: queue.out.range(from..).map(|(offset, _)| *offset).collect(),
        }
    }

    /// Gives a queue back; whether somebody else wanted it meanwhile.
    pub(super) fn release(&self, key: GroupQueueKey<'_>, who: u64) -> bool {
        let mut table = self.0.lock();
        let Some((at, queue)) = table.find(key) else {
            return false;
        };
        if queue.popped_by != Some(who) {
            return false;
        }
        queue.popped_by = None;
        if let Some(block) = &mut queue.block {
            block.is_repopped = false;
        }
        let wanted = std::mem::take(&mut queue.wanted);
        table.tidy(at);
        wanted
    }

    /// The record of a pop has been applied. Whether something is due earlier than everything before.
    pub(crate) fn apply_popped(
        &self,
        key: GroupQueueKey<'_>,
        pop_ms: i64,
        due_ms: i64,
        offsets: impl Iterator<Item = u64>,
    ) -> bool {
        let mut table = self.0.lock();
        let first = table.due.first().copied();
        let at = table.make(key);
        for offset in offsets {
            table.insert(
                at,
                Delivery {
                    offset,
                    pop_ms,
                    due_ms,
                },
            );
        }
        table.tidy(at);
        first.is_none_or(|(first_ms, ..)| due_ms < first_ms)
    }
}

/// Ending deliveries.
impl DeliveryTable {
    /// Marks a delivery as being acknowledged; false if it is not out, or is about to be something else.
    pub(super) fn mark_ack(&self, key: GroupQueueKey<'_>, delivery: Delivery) -> bool {
        self.mark(key, delivery, |mark| match mark {
            Mark::Nothing => Some(Mark::Acks(1)),
            Mark::Acks(count) => count.checked_add(1).map(Mark::Acks),
            Mark::Change | Mark::Redelivery | Mark::Parked => None,
        })
    }

    /// Marks a delivery as being given a new time.
    pub(super) fn mark_change(&self, key: GroupQueueKey<'_>, delivery: Delivery) -> bool {
        self.mark(key, delivery, |mark| {
            (mark == Mark::Nothing).then_some(Mark::Change)
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
        if (out.pop_ms, out.due_ms) != (delivery.pop_ms, delivery.due_ms) {
            return false;
        }
        let Some(mark) = next(out.mark) else { return false };
        out.mark = mark;
        table.due.remove(&(delivery.due_ms, at, delivery.offset));
        true
    }

    /// What a delivery was marked for is not in the log: it waits for its time as before.
    pub(super) fn unmark(&self, key: GroupQueueKey<'_>, delivery: Delivery) {
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
    pub(super) fn park(&self, key: GroupQueueKey<'_>, delivery: Delivery) {
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
        if !table.end(at, to.offset, pop_ms) {
            return false;
        }
        let first = table.due.first().copied();
        table.insert(at, to);
        first.is_none_or(|(first_ms, ..)| to.due_ms < first_ms)
    }

    /// Takes what is due, earliest first, as long as no more than `in_flight_max` redeliveries are on their way.
    pub(super) fn take_due(&self, now_ms: i64, in_flight_max: usize) -> DueNow {
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

    /// Nothing is tried before this.
    pub(super) fn pause(&self, until_ms: i64) {
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

/// Consuming in order.
impl DeliveryTable {
    /// Looks at, or changes marks of, the block of a queue.
    pub(super) fn with_block<T>(
        &self,
        key: GroupQueueKey<'_>,
        work: impl FnOnce(Option<&mut Block>) -> T,
    ) -> T {
        let mut table = self.0.lock();
        work(table.find(key).and_then(|(_, queue)| queue.block.as_deref_mut()))
    }

    /// Changes the block of a queue, as a record says that has been applied. Whether it is over earlier than everything before.
    pub(crate) fn apply_block<T>(
        &self,
        key: GroupQueueKey<'_>,
        change: impl FnOnce(&mut Option<Box<Block>>) -> T,
    ) -> (T, bool) {
        let mut table = self.0.lock();
        let first = table.due.first().copied();
        let at = table.make(key);
        let mut before_ms = None;
        let mut result = None;
        if let Some(queue) = table.queue(at) {
            before_ms = queue.block.as_ref().and_then(|block| block.over_ms());
            result = Some(change(&mut queue.block));
        }
        table.list_block(at, before_ms);
        table.tidy(at);
        let is_earlier = match (first, table.due.first()) {
            (Some(before), Some(now)) => now.0 < before.0,
            (None, now) => now.is_some(),
            (Some(_), None) => false,
        };
        // A queue that was made is there.
        let Some(result) = result else { unreachable!() };
        (result, is_earlier)
    }
}

/// Deletion and checkpoints.
impl DeliveryTable {
    pub(crate) fn remove_topic(&self, topic: &str) {
        self.0.lock().remove_where(|name| *name.topic == *topic);
    }

    pub(crate) fn remove_group(&self, group: &str) {
        self.0.lock().remove_where(|name| *name.group == *group);
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

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: GroupQueueKey<'_> = GroupQueueKey {
        group: "g",
        topic: "t",
        queue_id: 0,
    };
    const LIMITS: OutLimits = OutLimits {
        of_queue: 4,
        of_all: 6,
    };

    fn delivery(offset: u64, pop_ms: i64, due_ms: i64) -> Delivery {
        Delivery {
            offset,
            pop_ms,
            due_ms,
        }
    }

    fn overdue(table: &DeliveryTable, now_ms: i64) -> Vec<u64> {
        let due = table.take_due(now_ms, 8);
        due.overdue.iter().map(|one| one.delivery.offset).collect()
    }

    #[test]
    fn one_pops_a_queue_at_a_time_and_so_much_is_out() {
        let table = DeliveryTable::default();
        assert_eq!(table.begin(KEY, 1, 0, LIMITS), Begun::Ours { out: vec![] });
        assert_eq!(table.begin(KEY, 2, 0, LIMITS), Begun::Busy);
        assert!(!table.release(KEY, 2), "not its to give back");
        assert!(table.apply_popped(KEY, 5, 15, 0..3));
        assert!(table.release(KEY, 1), "the other is told");
        assert_eq!(table.begin(KEY, 2, 1, LIMITS), Begun::Ours { out: vec![1, 2] });
        assert!(!table.apply_popped(KEY, 6, 16, 3..4));
        table.release(KEY, 2);
        assert_eq!(table.begin(KEY, 3, 0, LIMITS), Begun::Full);
        let other = GroupQueueKey { queue_id: 1, ..KEY };
        table.apply_popped(other, 6, 16, 0..2);
        let third = GroupQueueKey { queue_id: 2, ..KEY };
        assert_eq!(table.begin(third, 3, 0, LIMITS), Begun::Full);
        assert_eq!(
            (table.out(None), table.out(Some(KEY)), table.out(Some(third))),
            (6, 4, 0)
        );
    }

    #[test]
    fn an_acknowledgement_on_its_way_keeps_the_message_from_being_delivered_again() {
        let table = DeliveryTable::default();
        table.apply_popped(KEY, 5, 15, 0..2);
        let (first, second) = (delivery(0, 5, 15), delivery(1, 5, 15));
        assert!(!table.mark_ack(KEY, delivery(0, 4, 15)) && !table.mark_ack(KEY, delivery(2, 5, 15)));
        assert!(table.mark_ack(KEY, first) && table.mark_ack(KEY, first));
        assert!(!table.mark_change(KEY, first));
        assert_eq!(overdue(&table, 15), [1]);
        assert!(!table.mark_ack(KEY, second), "too late");
        table.unmark(KEY, first);
        assert!(overdue(&table, 20).is_empty(), "another one is on its way");
        table.unmark(KEY, first);
        assert_eq!(overdue(&table, 20), [0]);
        table.unmark(KEY, second);
        assert!(table.mark_ack(KEY, second));
        table.apply_ended(KEY, 1, 5);
        table.unmark(KEY, second);
        table.apply_ended(KEY, 0, 5);
        assert_eq!((table.out(None), table.next_due_ms()), (0, None));
        assert!(table.0.lock().by_name.is_empty(), "nothing is left of it");
        assert_eq!(table.0.lock().redelivering, 0);
    }

    #[test]
    fn a_new_time_makes_it_another_delivery() {
        let table = DeliveryTable::default();
        table.apply_popped(KEY, 5, 15, 0..1);
        assert!(table.mark_change(KEY, delivery(0, 5, 15)));
        assert!(!table.mark_ack(KEY, delivery(0, 5, 15)));
        assert!(overdue(&table, 100).is_empty());
        table.apply_changed(KEY, 5, delivery(0, 7, 57));
        assert!(!table.mark_ack(KEY, delivery(0, 5, 15)));
        assert_eq!(table.next_due_ms(), Some(57));
        assert!(table.mark_ack(KEY, delivery(0, 7, 57)));
    }

    #[test]
    fn what_goes_with_its_topic_or_group_is_never_due() {
        let table = DeliveryTable::default();
        table.apply_popped(KEY, 5, 15, 0..3);
        table.apply_popped(GroupQueueKey { topic: "u", ..KEY }, 5, 15, 0..2);
        table.apply_popped(GroupQueueKey { group: "h", ..KEY }, 5, 15, 0..1);
        table.take_due(15, 1);
        table.remove_topic("t");
        assert_eq!(table.out(None), 2);
        table.remove_group("g");
        assert_eq!((table.out(None), overdue(&table, 100).len()), (0, 0));
    }

    #[test]
    fn a_checkpoint_keeps_what_is_out_and_nothing_that_is_on_its_way() {
        let table = DeliveryTable::default();
        table.apply_popped(KEY, 5, 15, 0..3);
        table.mark_ack(KEY, delivery(1, 5, 15));
        table.take_due(15, 1);
        let restored = DeliveryTable::default();
        let bytes = table.encode().finish();
        assert_eq!(restored.restore(&mut Fields::new(&bytes)), Some(()));
        assert_eq!(overdue(&restored, 15), [0, 1, 2]);
    }
}
