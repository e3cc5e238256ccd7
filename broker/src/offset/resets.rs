//! Resets that wait for a consumer: the next pull of the queue by the group is sent to the new offset, and until then what the
//! group commits there does not count.
//!
//! ```text
//!              reset is logged          a pull takes it            that is logged
//!   -----------------|--------------------------|------------------------|------------>
//!    commits count        commits are ignored          commits count
//! ```
//!
//! In memory a reset ends when a pull takes it, in the log with the record that says so. That record is appended before the pull
//! is answered, so whatever the consumer then commits stands behind it in the log. A crash that loses it loses those commits too,
//! and the next pull is sent to the new offset once more; so it is if the log refuses the record.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::state::{Fields, Writer};

/// The resets of one group: by topic, by queue.
type Topics = BTreeMap<String, BTreeMap<u32, Pending>>;

/// The resets that wait.
#[derive(Default)]
pub(crate) struct ResetTable {
    groups: Mutex<BTreeMap<String, Topics>>,
    /// How many there are, for pulls to see without the lock that there are none.
    count: AtomicUsize,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    offset: u64,
    /// Position of the record that says so.
    position: u64,
    /// A pull has taken it; the record of that is on its way.
    taken: bool,
}

/// A reset that a pull has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) offset: u64,
    /// Position of the reset's record.
    pub(crate) position: u64,
}

impl fmt::Debug for ResetTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} resets", self.count.load(Ordering::Relaxed))
    }
}

impl ResetTable {
    /// Does something to the entries and counts them anew.
    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<String, Topics>) -> T) -> T {
        let mut groups = self.groups.lock();
        let result = change(&mut groups);
        groups.retain(|_, topics| {
            topics.retain(|_, queues| !queues.is_empty());
            !topics.is_empty()
        });
        let queues = groups.values().flat_map(BTreeMap::values).map(BTreeMap::len);
        self.count.store(queues.sum(), Ordering::SeqCst);
        result
    }

    fn with<T>(
        &self,
        group: &str,
        topic: &str,
        queue_id: u32,
        with: impl FnOnce(&mut Pending) -> Option<T>,
    ) -> Option<T> {
        if self.count.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let mut groups = self.groups.lock();
        with(groups.get_mut(group)?.get_mut(topic)?.get_mut(&queue_id)?)
    }

    /// Whether a reset waits for a pull: commits do not count.
    pub(crate) fn waits(&self, group: &str, topic: &str, queue_id: u32) -> bool {
        let waits = |pending: &mut Pending| (!pending.taken).then_some(());
        self.with(group, topic, queue_id, waits).is_some()
    }

    /// Whether a reset has not ended as far as the log says.
    pub(crate) fn is_logged(&self, group: &str, topic: &str, queue_id: u32) -> bool {
        self.with(group, topic, queue_id, |_| Some(())).is_some()
    }

    /// Takes the reset of a queue, if one waits. The caller appends the record that says so, or gives it back.
    pub(crate) fn take(&self, group: &str, topic: &str, queue_id: u32) -> Option<Taken> {
        self.with(group, topic, queue_id, |pending| {
            let taken = Taken {
                offset: pending.offset,
                position: pending.position,
            };
            (!std::mem::replace(&mut pending.taken, true)).then_some(taken)
        })
    }

    /// The record that says that it was taken is not in the log.
    pub(crate) fn give_back(&self, group: &str, topic: &str, queue_id: u32, position: u64) {
        self.with(group, topic, queue_id, |pending| {
            if pending.position == position {
                pending.taken = false;
            }
            Some(())
        });
    }

    /// A reset is logged.
    pub(crate) fn add(&self, group: &str, topic: &str, queue_id: u32, offset: u64, position: u64) {
        let pending = Pending {
            offset,
            position,
            taken: false,
        };
        self.change(|groups| {
            let topics = groups.entry(group.to_owned()).or_default();
            let queues = topics.entry(topic.to_owned()).or_default();
            queues.insert(queue_id, pending);
        });
    }

    /// The reset of that record has been taken, or no longer counts if no record is named.
    pub(crate) fn end(&self, group: &str, topic: &str, queue_id: u32, position: Option<u64>) {
        self.change(|groups| {
            let queues = groups.get_mut(group)?.get_mut(topic)?;
            let found = queues.get(&queue_id)?.position;
            if position.is_none_or(|position| position == found) {
                queues.remove(&queue_id);
            }
            Some(())
        });
    }

    pub(crate) fn remove_topic(&self, topic: &str) {
        self.change(|groups| groups.values_mut().for_each(|topics| drop(topics.remove(topic))));
    }

    pub(crate) fn remove_group(&self, group: &str) {
        self.change(|groups| groups.remove(group));
    }

    pub(crate) fn encode(&self) -> Writer {
        let mut out = Writer::new();
        let count_at = out.count_later();
        let mut count = 0;
        for (group, topics) in &*self.groups.lock() {
            for (topic, queues) in topics {
                for (queue_id, pending) in queues {
                    out.text(group);
                    out.text(topic);
                    out.u32(*queue_id);
                    out.u64(pending.offset);
                    out.u64(pending.position);
                    count += 1;
                }
            }
        }
        out.set_count(count_at, count);
        out
    }

    pub(crate) fn restore(&self, fields: &mut Fields<'_>) -> Option<()> {
        self.change(BTreeMap::clear);
        for _ in 0..fields.count()? {
            let (group, topic, queue_id) = (fields.text()?, fields.text()?, fields.u32()?);
            let (offset, position) = (fields.u64()?, fields.u64()?);
            self.add(group, topic, queue_id, offset, position);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_is_taken_once_and_a_later_one_is_not_ended_by_the_first() {
        let table = ResetTable::default();
        assert_eq!(table.take("g", "t", 0), None);
        table.add("g", "t", 0, 5, 100);
        assert!(table.waits("g", "t", 0) && !table.waits("g", "t", 1) && !table.waits("h", "t", 0));
        assert_eq!(table.take("g", "t", 0).map(|taken| taken.offset), Some(5));
        assert_eq!(table.take("g", "t", 0), None);
        assert!(!table.waits("g", "t", 0) && table.is_logged("g", "t", 0));

        table.add("g", "t", 0, 7, 200);
        table.end("g", "t", 0, Some(100));
        assert!(table.waits("g", "t", 0));
        table.give_back("g", "t", 0, 100);
        assert_eq!(table.take("g", "t", 0).map(|taken| taken.offset), Some(7));
        table.give_back("g", "t", 0, 200);
        assert!(table.waits("g", "t", 0));
        table.end("g", "t", 0, Some(200));
        assert!(!table.is_logged("g", "t", 0));
    }

    #[test]
    fn a_checkpoint_knows_those_that_are_taken_and_not_logged_so() {
        let table = ResetTable::default();
        table.add("g", "t", 3, 5, 100);
        table.add("g", "u", 0, 6, 100);
        table.take("g", "t", 3);
        let encoded = table.encode().finish();
        let copy = ResetTable::default();
        copy.add("x", "y", 0, 1, 1);
        assert_eq!(copy.restore(&mut Fields::new(&encoded)), Some(()));
        assert!(copy.waits("g", "t", 3) && copy.waits("g", "u", 0) && !copy.is_logged("x", "y", 0));
        copy.remove_topic("t");
        assert!(!copy.is_logged("g", "t", 3) && copy.is_logged("g", "u", 0));
        copy.remove_group("g");
        assert_eq!(format!("{copy:?}"), "0 resets");
    }
}
