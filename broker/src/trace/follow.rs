//! Deliveries whose outcome is to come.
//!
//! They are kept by group and queue. A delivery ends by itself, when it is acknowledged, sent back or over, or with all before the
//! offset that its group commits.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::event::{Delivered, DeliveredMessage};
use crate::delivery::{GroupQueue, GroupQueueKey};

/// Deliveries of one queue that are followed; consumers hold fewer.
const PER_QUEUE_MAX: usize = 4_096;
/// Whoever says nothing for so long is not waited for any more.
const PATIENCE_MS: i64 = 3_600_000;

/// A delivery whose outcome is to come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Followed {
    pub(super) at_ms: i64,
    pub(super) id: Box<str>,
    pub(super) keys: Box<str>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Following {
    queues: HashMap<GroupQueue, BTreeMap<u64, Followed>>,
    count: usize,
    count_max: usize,
    /// When those that nobody ends are looked for.
    sweep_ms: i64,
}

impl Following {
    pub(super) fn new(count_max: usize) -> Self {
        Self {
            queues: HashMap::new(),
            count: 0,
            count_max,
            sweep_ms: 0,
        }
    }

    /// Follows these deliveries. How many others are given up for them, or are not followed.
    pub(super) fn begin(&mut self, delivered: Delivered) -> u64 {
        let key = GroupQueueKey {
            group: &delivered.group,
            topic: &delivered.topic,
            queue_id: delivered.queue_id,
        };
        if !self.queues.contains_key(&key) {
            self.queues.insert(key.to_owned_name(), BTreeMap::new());
        }
        let Some(queue) = self.queues.get_mut(&key) else {
            return delivered.messages.len() as u64;
        };
        let mut given_up = 0;
        for DeliveredMessage { offset, id, keys, .. } in delivered.messages {
            if queue.len() >= PER_QUEUE_MAX && !queue.contains_key(&offset) {
                queue.pop_first();
                self.count -= 1;
                given_up += 1;
            }
            if self.count >= self.count_max {
                given_up += 1;
                continue;
            }
            let at_ms = delivered.at_ms;
            if queue.insert(offset, Followed { at_ms, id, keys }).is_none() {
                self.count += 1;
            }
        }
        if queue.is_empty() {
            self.queues.remove(&key);
        }
        given_up
    }

    /// Ends one delivery.
    pub(super) fn end(&mut self, key: GroupQueueKey<'_>, offset: u64) -> Option<Followed> {
        let queue = self.queues.get_mut(&key)?;
        let ended = queue.remove(&offset)?;
        self.count -= 1;
        if queue.is_empty() {
            self.queues.remove(&key);
        }
        Some(ended)
    }

    /// Ends all before `offset`, by offset.
    pub(super) fn end_before(&mut self, key: GroupQueueKey<'_>, offset: u64) -> BTreeMap<u64, Followed> {
        let Some(queue) = self.queues.get_mut(&key) else {
            return BTreeMap::new();
        };
        let rest = queue.split_off(&offset);
        let ended = std::mem::replace(queue, rest);
        self.count -= ended.len();
        if queue.is_empty() {
            self.queues.remove(&key);
        }
        ended
    }

    /// Gives up those that nobody ends, now and then. How many.
    pub(super) fn sweep(&mut self, now_ms: i64) -> u64 {
        if now_ms < self.sweep_ms && now_ms > self.sweep_ms - PATIENCE_MS {
            return 0;
        }
        self.sweep_ms = now_ms + PATIENCE_MS / 60;
        let before = self.count;
        let mut count = 0;
        self.queues.retain(|_, queue| {
            queue.retain(|_, followed| followed.at_ms + PATIENCE_MS > now_ms);
            count += queue.len();
            !queue.is_empty()
        });
        self.count = count;
        (before - count) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(queue_id: u32, at_ms: i64, offsets: std::ops::Range<u64>) -> Delivered {
        let message = |offset: u64| DeliveredMessage {
            offset,
            id: offset.to_string().into(),
            keys: "".into(),
            times: 0,
        };
        Delivered {
            at_ms,
            group: "g".into(),
            topic: "t".into(),
            queue_id,
            is_followed: true,
            messages: offsets.map(message).collect(),
        }
    }

    fn key(queue_id: u32) -> GroupQueueKey<'static> {
        GroupQueueKey {
            group: "g",
            topic: "t",
            queue_id,
        }
    }

    #[test]
    fn a_commit_ends_what_is_before_it_and_an_end_ends_one() {
        let mut following = Following::new(100);
        assert_eq!(following.begin(delivered(0, 5, 10..20)), 0);
        assert_eq!(following.begin(delivered(1, 6, 10..12)), 0);
        assert_eq!(following.end(key(0), 12).unwrap().at_ms, 5);
        assert_eq!(following.end(key(0), 12), None);
        let ended: Vec<u64> = following.end_before(key(0), 14).into_keys().collect();
        assert_eq!(ended, [10, 11, 13]);
        assert!(following.end_before(key(0), 14).is_empty());
        assert_eq!(following.count, 8);
        assert_eq!(following.end_before(key(0), u64::MAX).len(), 6);
        assert_eq!(following.end_before(key(1), 12).len(), 2);
        assert!(following.queues.is_empty() && following.count == 0);
    }

    #[test]
    fn delivered_again_is_followed_once() {
        let mut following = Following::new(100);
        following.begin(delivered(0, 5, 0..3));
        following.begin(delivered(0, 9, 1..4));
        assert_eq!(following.count, 4);
        assert_eq!(following.end(key(0), 2).unwrap().at_ms, 9);
    }

    #[test]
    fn memory_is_bounded_and_comes_back() {
        let mut following = Following::new(5_000);
        assert_eq!(following.begin(delivered(0, 0, 0..5_000)), 904, "of one queue");
        assert_eq!(following.count, PER_QUEUE_MAX);
        assert_eq!(following.begin(delivered(1, 0, 0..1_000)), 96, "of all");
        assert_eq!(following.begin(delivered(2, 0, 0..1)), 1);
        assert_eq!((following.count, following.queues.len()), (5_000, 2));
        assert_eq!(following.sweep(PATIENCE_MS - 1), 0);
        assert_eq!(following.sweep(PATIENCE_MS), 0, "looked a moment ago");
        assert_eq!(following.sweep(2 * PATIENCE_MS), 5_000);
        assert!(following.queues.is_empty() && following.count == 0);
    }
}
