//! The offsets, in memory and as the log has them.
//!
//! Each queue of a group has two: `live` is what queries see, `logged` is what the log says so far and what a checkpoint
//! holds. Between them are commits that wait for the next flush (`dirty`) and flushes whose record is not applied yet
//! (`in_flight`). While there are any of those, `live` is ahead of the log and an applied record does not touch it.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_map::EntryRef;
use parking_lot::Mutex;

use crate::state::{Fields, Writer};

/// Groups are spread over so many locks.
const SHARDS: usize = 16;
/// No offset.
const NONE: i64 = -1;

/// The offset table.
pub(crate) struct OffsetTable {
    shards: [Mutex<Shard>; SHARDS],
    hasher: FixedState,
    /// Queues of pops that the log refused. It may refuse them while a shard is locked, so they are seen to with the next flush.
    failed_pops: Mutex<Vec<QueueOfGroup>>,
}

/// The offsets of one group: by topic, by queue.
type Topics = HashMap<Arc<str>, HashMap<u32, Slot>>;

#[derive(Default)]
struct Shard {
    groups: HashMap<Arc<str>, Topics>,
    dirty: Vec<QueueOfGroup>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    live: i64,
    logged: i64,
    in_flight: u32,
    dirty: bool,
}

impl Slot {
    const EMPTY: Self = Self {
        live: NONE,
        logged: NONE,
        in_flight: 0,
        dirty: false,
    };
}

/// One queue of one group.
#[derive(Debug, Clone)]
pub(crate) struct QueueOfGroup {
    pub(crate) group: Arc<str>,
    pub(crate) topic: Arc<str>,
    pub(crate) queue_id: u32,
}

/// An offset that is on its way into the log.
#[derive(Debug, Clone)]
pub(crate) struct Flushing {
    pub(crate) queue: QueueOfGroup,
    pub(crate) offset: i64,
}

impl fmt::Debug for OffsetTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: usize = self.shards.iter().map(|shard| shard.lock().groups.len()).sum();
        write!(f, "offsets of {groups} groups")
    }
}

impl Shard {
    fn slot(&mut self, group: &str, topic: &str, queue_id: u32) -> &mut Slot {
        let topics = entry(&mut self.groups, group);
        entry(topics, topic).entry(queue_id).or_insert(Slot::EMPTY)
    }

    fn find(&mut self, queue: &QueueOfGroup) -> Option<&mut Slot> {
        self.groups
            .get_mut(&*queue.group)?
            .get_mut(&*queue.topic)?
            .get_mut(&queue.queue_id)
    }

    /// The names as the table has them, so that a dirty entry copies none.
    fn names(&self, group: &str, topic: &str, queue_id: u32) -> Option<QueueOfGroup> {
        let (group, topics) = self.groups.get_key_value(group)?;
        let (topic, _) = topics.get_key_value(topic)?;
        Some(QueueOfGroup {
            group: group.clone(),
            topic: topic.clone(),
            queue_id,
        })
    }
}

/// The value under `name`, made if it is not there; the name is copied only then.
fn entry<'a, V: Default>(map: &'a mut HashMap<Arc<str>, V>, name: &str) -> &'a mut V {
    match map.entry_ref(name) {
        EntryRef::Occupied(entry) => entry.into_mut(),
        EntryRef::Vacant(entry) => entry.insert_with_key(name.into(), V::default()),
    }
}

impl OffsetTable {
    pub(crate) fn new() -> Self {
        Self {
            shards: Default::default(),
            hasher: FixedState::default(),
            failed_pops: Mutex::default(),
        }
    }

    fn shard(&self, group: &str) -> &Mutex<Shard> {
        // The index is below the length by construction.
        &self.shards[self.hasher.hash_one(group) as usize % SHARDS]
    }

    /// The offset of a queue, if there is one.
    pub(crate) fn get(&self, group: &str, topic: &str, queue_id: u32) -> Option<i64> {
        let shard = self.shard(group).lock();
        let slot = shard.groups.get(group)?.get(topic)?.get(&queue_id)?;
        (slot.live != NONE).then_some(slot.live)
    }

    /// Commits an offset; the next flush makes it durable.
    pub(crate) fn commit(&self, group: &str, topic: &str, queue_id: u32, offset: i64) {
        let mut shard = self.shard(group).lock();
        let slot = shard.slot(group, topic, queue_id);
        if slot.live == offset {
            return;
        }
        slot.live = offset;
        if !std::mem::replace(&mut slot.dirty, true)
            && let Some(names) = shard.names(group, topic, queue_id)
        {
            shard.dirty.push(names);
        }
    }

    /// The same, unless somebody has moved it away from `before`.
    pub(crate) fn commit_from(&self, group: &str, topic: &str, queue_id: u32, before: i64, offset: i64) {
        let mut shard = self.shard(group).lock();
        let slot = shard.slot(group, topic, queue_id);
        if slot.live != before || offset == before {
            return;
        }
        slot.live = offset;
        if !std::mem::replace(&mut slot.dirty, true)
            && let Some(names) = shard.names(group, topic, queue_id)
        {
            shard.dirty.push(names);
        }
    }

    /// Commits the first offset of a queue, unless it has one by now. The caller does as after [`OffsetTable::commit_now`].
    pub(crate) fn begin_now(&self, group: &str, topic: &str, queue_id: u32, offset: i64) -> Option<Flushing> {
        let mut shard = self.shard(group).lock();
        let slot = shard.slot(group, topic, queue_id);
        if slot.live != NONE {
            return None;
        }
        slot.live = offset;
        slot.in_flight += 1;
        let queue = shard.names(group, topic, queue_id)?;
        Some(Flushing { queue, offset })
    }

    /// Commits an offset whose record the caller appends right away, and reports with [`OffsetTable::failed`] if that fails.
    pub(crate) fn commit_now(
        &self,
        group: &str,
        topic: &str,
        queue_id: u32,
        offset: i64,
    ) -> Option<Flushing> {
        let mut shard = self.shard(group).lock();
        let slot = shard.slot(group, topic, queue_id);
        slot.live = offset;
        slot.in_flight += 1;
        let queue = shard.names(group, topic, queue_id)?;
        Some(Flushing { queue, offset })
    }

    /// Appends the record of a pop, which says where the group goes on in these queues, unless one of them is not where the pop
    /// found it: whether it did. The record's apply moves them.
    ///
    /// The log must not have the pop behind a commit that came after it, nor the other way round. A commit is visible before its
    /// record is appended, so nothing visible may come between this look and the pop's append.
    pub(crate) fn append_pop<'a>(
        &self,
        group: &str,
        found: impl Iterator<Item = (&'a str, u32, Option<i64>)> + Clone,
        append: impl FnOnce(),
    ) -> bool {
        let mut shard = self.shard(group).lock();
        for (topic, queue_id, offset) in found.clone() {
            let slot = shard
                .groups
                .get(group)
                .and_then(|topics| topics.get(topic)?.get(&queue_id));
            let now = slot.copied().unwrap_or(Slot::EMPTY);
            if now.live != offset.unwrap_or(NONE) || now.in_flight > 0 {
                return false;
            }
        }
        for (topic, queue_id, _) in found {
            // What waited for the next flush goes with the pop.
            shard.slot(group, topic, queue_id).dirty = false;
        }
        append();
        true
    }

    /// The pop's record was not logged: what had waited for the next flush waits again.
    pub(crate) fn pop_failed(&self, queue: QueueOfGroup) {
        self.failed_pops.lock().push(queue);
    }

    /// Takes what is dirty, to be logged.
    pub(crate) fn take_dirty(&self) -> Vec<Flushing> {
        for queue in std::mem::take(&mut *self.failed_pops.lock()) {
            let mut shard = self.shard(&queue.group).lock();
            if let Some(slot) = shard.find(&queue)
                && slot.live != slot.logged
                && !std::mem::replace(&mut slot.dirty, true)
            {
                shard.dirty.push(queue);
            }
        }
        let mut flushing = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock();
            for queue in std::mem::take(&mut shard.dirty) {
                // Gone with its topic or group.
                let Some(slot) = shard.find(&queue) else { continue };
                // A pop has taken it on.
                if !slot.dirty {
                    continue;
                }
                slot.dirty = false;
                slot.in_flight += 1;
                let offset = slot.live;
                flushing.push(Flushing { queue, offset });
            }
        }
        flushing
    }

    /// The record of these was not logged: they are dirty again.
    pub(crate) fn failed(&self, flushing: Vec<Flushing>) {
        for Flushing { queue, .. } in flushing {
            let mut shard = self.shard(&queue.group).lock();
            let Some(slot) = shard.find(&queue) else { continue };
            slot.in_flight = slot.in_flight.saturating_sub(1);
            if !std::mem::replace(&mut slot.dirty, true) {
                shard.dirty.push(queue);
            }
        }
    }

    /// The record of these has been applied.
    pub(crate) fn landed(&self, flushing: &[Flushing]) {
        for Flushing { queue, .. } in flushing {
            let mut shard = self.shard(&queue.group).lock();
            let Some(slot) = shard.find(queue) else { continue };
            slot.in_flight = slot.in_flight.saturating_sub(1);
            // Two commits at once may reach the log in the other order than memory; memory is what was answered to queries.
            if slot.in_flight == 0 && !slot.dirty && slot.live != slot.logged {
                slot.dirty = true;
                shard.dirty.push(queue.clone());
            }
        }
    }

    /// Takes in what the log says.
    pub(crate) fn apply(&self, group: &str, topic: &str, queue_id: u32, offset: i64) {
        let mut shard = self.shard(group).lock();
        let slot = shard.slot(group, topic, queue_id);
        slot.logged = offset;
        if slot.in_flight == 0 && !slot.dirty {
            slot.live = offset;
        }
    }

    /// Takes in an offset that the log says was set from outside: it counts whatever is being committed.
    pub(crate) fn set(&self, group: &str, topic: &str, queue_id: u32, offset: i64) {
        let mut shard = self.shard(group).lock();
        let slot = shard.slot(group, topic, queue_id);
        slot.logged = offset;
        slot.live = offset;
    }

    /// The offsets of a group in a topic, by queue.
    pub(crate) fn queues_of(&self, group: &str, topic: &str) -> Vec<(u32, u64)> {
        let shard = self.shard(group).lock();
        let Some(queues) = shard.groups.get(group).and_then(|topics| topics.get(topic)) else {
            return vec![];
        };
        let mut found: Vec<(u32, u64)> = queues
            .iter()
            .filter_map(|(queue_id, slot)| Some((*queue_id, u64::try_from(slot.live).ok()?)))
            .collect();
        found.sort_unstable();
        found
    }

    /// Takes in what the log says, if until now it said `before`.
    pub(crate) fn apply_if(&self, group: &str, topic: &str, queue_id: u32, before: i64, offset: i64) {
        let is_as_before = {
            let mut shard = self.shard(group).lock();
            shard.slot(group, topic, queue_id).logged == before
        };
        if is_as_before {
            self.apply(group, topic, queue_id, offset);
        }
    }

    pub(crate) fn remove_topic(&self, topic: &str) {
        for shard in &self.shards {
            shard.lock().groups.retain(|_, topics| {
                topics.remove(topic);
                !topics.is_empty()
            });
        }
    }

    pub(crate) fn remove_queue(&self, group: &str, topic: &str, queue_id: u32) {
        let mut shard = self.shard(group).lock();
        if let Some(queues) = shard
            .groups
            .get_mut(group)
            .and_then(|topics| topics.get_mut(topic))
        {
            queues.remove(&queue_id);
        }
    }

    pub(crate) fn remove_group(&self, group: &str) {
        self.shard(group).lock().groups.remove(group);
    }

    /// The topics in which `group` has offsets.
    pub(crate) fn topics_of(&self, group: &str) -> Vec<Arc<str>> {
        let shard = self.shard(group).lock();
        let topics = shard.groups.get(group);
        let mut found: Vec<Arc<str>> =
            topics.map_or_else(Vec::new, |topics| topics.keys().cloned().collect());
        found.sort_unstable();
        found
    }

    /// The groups that have offsets in `topic`.
    pub(crate) fn groups_of(&self, topic: &str) -> Vec<Arc<str>> {
        let mut found = BTreeSet::new();
        for shard in &self.shards {
            let shard = shard.lock();
            let groups = shard
                .groups
                .iter()
                .filter(|(_, topics)| topics.contains_key(topic));
            found.extend(groups.map(|(group, _)| group.clone()));
        }
        found.into_iter().collect()
    }

    /// Shows all offsets that are in the log: group, topic, queue and offset.
    pub(crate) fn for_each(&self, mut see: impl FnMut(&str, &str, u32, i64)) {
        for shard in &self.shards {
            let shard = shard.lock();
            for (group, topics) in &shard.groups {
                for (topic, queues) in topics {
                    for (queue_id, slot) in queues.iter().filter(|(_, slot)| slot.logged != NONE) {
                        see(group, topic, *queue_id, slot.logged);
                    }
                }
            }
        }
    }

    pub(crate) fn encode(&self) -> Writer {
        let mut out = Writer::new();
        let count_at = out.count_later();
        let mut count = 0;
        for shard in &self.shards {
            let shard = shard.lock();
            for (group, topics) in &shard.groups {
                for (topic, queues) in topics {
                    let logged = || queues.iter().filter(|(_, slot)| slot.logged != NONE);
                    let queues_count = logged().count();
                    if queues_count == 0 {
                        continue;
                    }
                    count += 1;
                    out.text(group);
                    out.text(topic);
                    out.count(queues_count);
                    for (queue_id, slot) in logged() {
                        out.u32(*queue_id);
                        out.i64(slot.logged);
                    }
                }
            }
        }
        out.set_count(count_at, count);
        out
    }

    pub(crate) fn restore(&self, fields: &mut Fields<'_>) -> Option<()> {
        for shard in &self.shards {
            *shard.lock() = Shard::default();
        }
        for _ in 0..fields.count()? {
            let (group, topic) = (fields.text()?, fields.text()?);
            for _ in 0..fields.count()? {
                let (queue_id, offset) = (fields.u32()?, fields.i64()?);
                self.apply(group, topic, queue_id, offset);
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the engine does with a flush that succeeds: apply, then the callback.
    fn land(table: &OffsetTable, flushing: &[Flushing]) {
        for Flushing { queue, offset } in flushing {
            table.apply(&queue.group, &queue.topic, queue.queue_id, *offset);
        }
        table.landed(flushing);
    }

    fn logged(table: &OffsetTable) -> Option<i64> {
        let copy = OffsetTable::new();
        copy.restore(&mut Fields::new(&table.encode().finish()))?;
        copy.get("g", "t", 0)
    }

    #[test]
    fn a_commit_is_seen_at_once_and_flushed_once() {
        let table = OffsetTable::new();
        table.commit("g", "t", 0, 5);
        table.commit("g", "t", 0, 6);
        assert_eq!(table.get("g", "t", 0), Some(6));
        assert_eq!(logged(&table), None);
        let flushing = table.take_dirty();
        assert_eq!(flushing.len(), 1);
        assert!(table.take_dirty().is_empty());
        land(&table, &flushing);
        assert_eq!(logged(&table), Some(6));
        table.commit("g", "t", 0, 6);
        assert!(table.take_dirty().is_empty(), "nothing has changed");
    }

    #[test]
    fn a_record_that_lands_late_does_not_undo_a_newer_commit() {
        let table = OffsetTable::new();
        table.commit("g", "t", 0, 50);
        land(&table, &table.take_dirty());
        table.commit("g", "t", 0, 60);
        let first = table.take_dirty();
        table.commit("g", "t", 0, 50);
        land(&table, &first);
        assert_eq!((table.get("g", "t", 0), logged(&table)), (Some(50), Some(60)));
        land(&table, &table.take_dirty());
        assert_eq!((table.get("g", "t", 0), logged(&table)), (Some(50), Some(50)));
    }

    #[test]
    fn a_failed_flush_is_tried_again_with_the_newest_value() {
        let table = OffsetTable::new();
        table.commit("g", "t", 0, 1);
        let first = table.take_dirty();
        table.commit("g", "t", 0, 2);
        table.failed(first);
        let second = table.take_dirty();
        assert_eq!(second.iter().map(|one| one.offset).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_pop_takes_on_what_waits_for_a_flush_and_gives_way_to_any_other_commit() {
        let table = OffsetTable::new();
        let pop = |found: Option<i64>| {
            let mut appended = false;
            let queues = [("t", 0, found)];
            assert_eq!(
                table.append_pop("g", queues.into_iter(), || appended = true),
                appended
            );
            appended
        };
        assert!(pop(None) && !pop(Some(0)));
        table.apply("g", "t", 0, 5);
        assert!(!pop(None) && pop(Some(5)));
        table.commit("g", "t", 0, 6);
        assert!(!pop(Some(5)) && pop(Some(6)));
        assert!(table.take_dirty().is_empty(), "it is in the pop's record");
        table.apply("g", "t", 0, 9);
        assert_eq!(table.get("g", "t", 0), Some(9));

        table.commit("g", "t", 0, 7);
        assert!(pop(Some(7)));
        table.pop_failed(QueueOfGroup {
            group: "g".into(),
            topic: "t".into(),
            queue_id: 0,
        });
        let flushing = table.take_dirty();
        assert_eq!(flushing.iter().map(|one| one.offset).collect::<Vec<_>>(), [7]);
        assert!(!pop(Some(7)), "the flush is on its way, before or behind");
        land(&table, &flushing);
        assert!(pop(Some(7)));
        // A commit after the pop's append is behind it in the log.
        table.commit("g", "t", 0, 3);
        table.apply("g", "t", 0, 8);
        assert_eq!(table.get("g", "t", 0), Some(3));
    }

    #[test]
    fn what_is_passed_over_or_begun_gives_way_to_an_offset_that_was_set() {
        let table = OffsetTable::new();
        assert!(table.begin_now("g", "t", 0, 4).is_some());
        assert!(table.begin_now("g", "t", 0, 5).is_none());
        table.set("g", "t", 0, 2);
        table.commit_from("g", "t", 0, 4, 9);
        assert_eq!(table.get("g", "t", 0), Some(2));
        table.commit_from("g", "t", 0, 2, 9);
        assert_eq!((table.get("g", "t", 0), table.take_dirty().len()), (Some(9), 1));
        table.set("g", "t", 1, 7);
        assert!(table.begin_now("g", "t", 1, 0).is_none());
    }

    #[test]
    fn offsets_go_with_their_topic() {
        let table = OffsetTable::new();
        table.commit("g", "t", 0, 1);
        table.commit("g", "u", 0, 1);
        table.remove_topic("t");
        assert_eq!(table.get("g", "t", 0), None);
        assert_eq!(table.take_dirty().len(), 1);
        assert_eq!(table.topics_of("g").len(), 1);
        assert_eq!(table.groups_of("u").len(), 1);
        table.remove_group("g");
        assert!(table.groups_of("u").is_empty());
    }
}
