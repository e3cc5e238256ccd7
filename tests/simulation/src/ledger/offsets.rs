//! Offsets that pulling groups commit.

use std::collections::{BTreeMap, VecDeque};

/// A queue of a group: group, topic, queue.
pub(super) type QueueOfGroup = (String, String, u32);

/// A commit is in the log so long after it came, at the latest: the broker looks once a second, and tells the log once a second.
const TOLD_MS_MAX: i64 = 3_500;

/// No offset.
const NONE: i64 = -1;

/// What was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The highest ever.
    pub highest: i64,
    /// The newest that is certainly durable.
    pub durable: i64,
    /// Those since: when, and what.
    recent: VecDeque<(i64, i64)>,
}

impl Default for Committed {
    fn default() -> Self {
        Self {
            highest: NONE,
            durable: NONE,
            recent: VecDeque::new(),
        }
    }
}

/// Committed offsets, of groups that nobody resets.
#[derive(Debug, Default)]
pub struct OffsetLedger {
    queues: BTreeMap<QueueOfGroup, Committed>,
    /// What groups were to have of others', by group and queue.
    clones: BTreeMap<String, Vec<(u32, i64)>>,
}

impl OffsetLedger {
    /// The broker has taken a commit.
    pub fn committed(&mut self, group: &str, topic: &str, queue_id: u32, offset: i64, now_ms: i64) {
        let key = (group.to_owned(), topic.to_owned(), queue_id);
        let committed = self.queues.entry(key).or_default();
        committed.highest = committed.highest.max(offset);
        // A member that was slow may commit less than the one that came after it.
        committed.durable = committed.durable.min(offset);
        committed.recent.push_back((now_ms, offset));
    }

    /// The log has been written, and nothing failed.
    pub fn written(&mut self, now_ms: i64) {
        for committed in self.queues.values_mut() {
            while let Some((at_ms, offset)) = committed.recent.front().copied() {
                if now_ms - at_ms < TOLD_MS_MAX {
                    break;
                }
                committed.recent.pop_front();
                // Not more than what was committed since: that may be in the log by now.
                let since = committed.recent.iter().map(|(_, offset)| *offset).min();
                committed.durable = offset.min(since.unwrap_or(offset));
            }
        }
    }

    /// The log refused what it was told for a while: it must be told again.
    pub fn refused(&mut self, now_ms: i64) {
        for (at_ms, _) in self
            .queues
            .values_mut()
            .flat_map(|committed| &mut committed.recent)
        {
            *at_ms = now_ms;
        }
    }

    /// The broker was closed in good order: everything is in the log.
    pub fn closed(&mut self) {
        for committed in self.queues.values_mut() {
            if let Some((_, offset)) = committed.recent.drain(..).next_back() {
                committed.durable = offset;
            }
        }
    }

    /// Somebody asks for an offset, which may become durable or not.
    pub fn perhaps(&mut self, group: &str, topic: &str, queue_id: u32, offset: i64) {
        let key = (group.to_owned(), topic.to_owned(), queue_id);
        let committed = self.queues.entry(key).or_default();
        committed.highest = committed.highest.max(offset);
        committed.durable = committed.durable.min(offset);
    }

    /// The broker says that an offset is durable, or that none is any more.
    pub fn set(&mut self, group: &str, topic: &str, queue_id: u32, offset: i64) {
        let key = (group.to_owned(), topic.to_owned(), queue_id);
        let committed = self.queues.entry(key).or_default();
        committed.highest = offset;
        committed.durable = offset;
        committed.recent.clear();
    }

    /// The queues of a group that are known.
    pub fn queues_of(&self, group: &str) -> Vec<u32> {
        let queues = self.queues.keys().filter(|(name, _, _)| name == group);
        queues.map(|(_, _, queue_id)| *queue_id).collect()
    }

    /// What a group was to have of another's, by queue.
    pub fn cloned(&self, group: &str) -> Vec<(u32, i64)> {
        self.clones.get(group).cloned().unwrap_or_default()
    }

    /// A group is to have these offsets.
    pub fn clone_arrives(&mut self, group: &str, topic: &str, offsets: Vec<(u32, i64)>) {
        for (queue_id, offset) in &offsets {
            self.perhaps(group, topic, *queue_id, *offset);
        }
        self.clones.insert(group.to_owned(), offsets);
    }

    /// All queues.
    pub fn all(&self) -> impl Iterator<Item = (&QueueOfGroup, &Committed)> {
        self.queues.iter()
    }

    /// The broker has started anew, and goes on from here.
    pub fn starts_at(&mut self, key: &QueueOfGroup, offset: i64) {
        if let Some(committed) = self.queues.get_mut(key) {
            committed.recent.clear();
            committed.durable = offset;
        }
    }
}
