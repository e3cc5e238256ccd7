//! The lite topics of one topic: their names, their queues, who subscribes to them.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;

use super::QUEUE_FIRST;
use super::clients::ClientNo;

/// The lite topics of one topic.
#[derive(Debug, Default)]
pub(super) struct Parent {
    pub(super) entries: HashMap<Arc<str>, Entry>,
    /// Names by number, counted from [`QUEUE_FIRST`].
    names: Vec<Option<Arc<str>>>,
    /// Numbers below those that are in use.
    free: BTreeSet<u32>,
    /// When each was last sent to, as far as that has been looked at: never later than it was.
    idle: BTreeSet<(i64, u32)>,
    /// Groups that have ever subscribed to one: those that may have offsets.
    pub(super) groups: Vec<Arc<str>>,
}

/// A lite topic, or the name of one that somebody waits for.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Its queue; none while nothing was sent to it.
    pub(super) queue_id: Option<u32>,
    /// What its messages say; none while none is durable.
    pub(super) stored: Option<Stored>,
    /// Messages on their way to the log: as long as there are any the number is nobody else's.
    pub(super) in_flight: u32,
    pub(super) subscribers: Vec<ClientNo>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored {
    /// The offset after its last message.
    pub(super) end: u64,
    /// When that was stored.
    pub(super) last_ms: i64,
    /// Where it is in the order of idleness.
    filed_ms: i64,
}

impl Entry {
    fn is_used(&self) -> bool {
        self.queue_id.is_some() || !self.subscribers.is_empty()
    }
}

/// A lite topic that nobody has sent to for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Idle {
    pub(crate) queue_id: u32,
    pub(crate) name: Arc<str>,
    /// Its end, as long as nothing more is stored.
    pub(crate) end: u64,
}

fn at(queue_id: u32) -> usize {
    queue_id.wrapping_sub(QUEUE_FIRST) as usize
}

impl Parent {
    pub(super) fn name_of(&self, queue_id: u32) -> Option<&Arc<str>> {
        self.names.get(at(queue_id))?.as_ref()
    }

    /// The entry of a name, made if it is not there.
    pub(super) fn entry(&mut self, name: &str) -> (Arc<str>, &mut Entry) {
        let known = self.entries.get_key_value(name).map(|(name, _)| name.clone());
        let name = known.unwrap_or_else(|| name.into());
        let entry = self.entries.entry(name.clone()).or_default();
        (name, entry)
    }

    /// Counts a message that goes to the log, and says to which queue. Whether the lite topic is new, too.
    pub(super) fn begin_send(&mut self, name: &str) -> (u32, bool) {
        if let Some(entry) = self.entries.get_mut(name)
            && let Some(queue_id) = entry.queue_id
        {
            entry.in_flight += 1;
            return (queue_id, false);
        }
        let queue_id = match self.free.pop_first() {
            Some(free) => free,
            // There are never 2^31 of them.
            None => QUEUE_FIRST + self.names.len() as u32,
        };
        let (name, entry) = self.entry(name);
        entry.queue_id = Some(queue_id);
        entry.in_flight = 1;
        self.use_number(queue_id, name);
        (queue_id, true)
    }

    /// A message is in the log, or will not be. Whether the lite topic is gone with that.
    pub(super) fn end_send(&mut self, queue_id: u32) -> bool {
        let Some(name) = self.name_of(queue_id).cloned() else {
            return false;
        };
        let Some(entry) = self.entries.get_mut(&name) else {
            return false;
        };
        entry.in_flight = entry.in_flight.saturating_sub(1);
        self.free_number(&name)
    }

    /// A message is durable.
    pub(super) fn stored(&mut self, queue_id: u32, name: &str, end: u64, store_ms: i64) -> Option<Arc<str>> {
        if self.name_of(queue_id).is_some_and(|owner| **owner != *name) {
            // Its topic was deleted and made anew while it was on its way.
            return None;
        }
        let (name, entry) = self.entry(name);
        if entry.queue_id.is_some_and(|other| other != queue_id) {
            return None;
        }
        entry.queue_id = Some(queue_id);
        let filed_ms = entry.stored.map(|stored| stored.filed_ms);
        entry.stored = Some(Stored {
            end,
            last_ms: store_ms,
            filed_ms: filed_ms.unwrap_or(store_ms),
        });
        if filed_ms.is_none() {
            self.idle.insert((store_ms, queue_id));
            self.use_number(queue_id, name.clone());
        }
        Some(name)
    }

    /// Those that have not been sent to since `before_ms`, at most `max` of them.
    pub(super) fn idle(&mut self, before_ms: i64, max: usize) -> Vec<Idle> {
        let mut found = Vec::new();
        let mut later = Vec::new();
        for &(filed_ms, queue_id) in &self.idle {
            if filed_ms >= before_ms || found.len() >= max {
                break;
            }
            let Some(name) = self.names.get(at(queue_id)).and_then(Option::as_ref) else {
                continue;
            };
            let Some(stored) = self.entries.get(name).and_then(|entry| entry.stored) else {
                continue;
            };
            if stored.last_ms >= before_ms {
                later.push((filed_ms, queue_id, stored.last_ms));
            } else {
                found.push(Idle {
                    queue_id,
                    name: name.clone(),
                    end: stored.end,
                });
            }
        }
        for (filed_ms, queue_id, last_ms) in later {
            self.idle.remove(&(filed_ms, queue_id));
            self.idle.insert((last_ms, queue_id));
            let name = self.name_of(queue_id).cloned();
            let entry = name.and_then(|name| self.entries.get_mut(&name));
            if let Some(stored) = entry.and_then(|entry| entry.stored.as_mut()) {
                stored.filed_ms = last_ms;
            }
        }
        found
    }

    /// A lite topic is ended, if it is as it was when that was decided. Returns who subscribed to it.
    pub(super) fn end(&mut self, idle: &Idle) -> Option<Vec<ClientNo>> {
        let entry = self.entries.get_mut(&*idle.name)?;
        let stored = entry.stored?;
        if (entry.queue_id, stored.end) != (Some(idle.queue_id), idle.end) {
            return None;
        }
        entry.stored = None;
        let subscribers = std::mem::take(&mut entry.subscribers);
        self.idle.remove(&(stored.filed_ms, idle.queue_id));
        self.free_number(&idle.name);
        Some(subscribers)
    }

    /// All lite topics are gone, as their topic is. Numbers of messages that are on their way stay theirs.
    pub(super) fn clear(&mut self) {
        self.idle.clear();
        let names: Vec<Arc<str>> = self.entries.keys().cloned().collect();
        for name in names {
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.stored = None;
                entry.subscribers.clear();
            }
            self.free_number(&name);
        }
        self.groups.clear();
    }

    /// Numbers that are in use.
    pub(super) fn numbers(&self) -> usize {
        self.names.len() - self.free.len()
    }

    pub(super) fn is_unused(&self) -> bool {
        self.entries.is_empty()
    }

    /// Durable lite topics.
    pub(super) fn all_stored(&self) -> impl Iterator<Item = (&Arc<str>, u32, Stored)> {
        let entries = self.entries.iter();
        entries.filter_map(|(name, entry)| Some((name, entry.queue_id?, entry.stored?)))
    }

    /// Gives the number back and forgets the name, as far as nobody needs them. Whether the number was given back.
    pub(super) fn free_number(&mut self, name: &str) -> bool {
        let Some(entry) = self.entries.get_mut(name) else {
            return false;
        };
        let mut freed = None;
        if entry.in_flight == 0 && entry.stored.is_none() {
            freed = entry.queue_id.take();
        }
        if !entry.is_used() {
            self.entries.remove(name);
        }
        let Some(queue_id) = freed else { return false };
        if let Some(owner) = self.names.get_mut(at(queue_id)) {
            *owner = None;
            self.free.insert(queue_id);
        }
        true
    }

    fn use_number(&mut self, queue_id: u32, name: Arc<str>) {
        let place = at(queue_id);
        while self.names.len() <= place {
            self.free.insert(QUEUE_FIRST + self.names.len() as u32);
            self.names.push(None);
        }
        self.free.remove(&queue_id);
        if let Some(owner) = self.names.get_mut(place) {
            *owner = Some(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_somebody_elses_only_when_nothing_is_on_its_way() {
        let mut parent = Parent::default();
        assert_eq!(parent.begin_send("a"), (QUEUE_FIRST, true));
        assert_eq!(parent.begin_send("a"), (QUEUE_FIRST, false));
        assert_eq!(parent.begin_send("b"), (QUEUE_FIRST + 1, true));
        assert!(parent.stored(QUEUE_FIRST, "a", 1, 10).is_some());
        assert!(!parent.end_send(QUEUE_FIRST));
        let idle = parent.idle(11, 8);
        assert_eq!(idle.len(), 1);
        assert!(parent.end(&idle[0]).is_some());
        assert_eq!(parent.begin_send("c"), (QUEUE_FIRST + 2, true), "a is on its way");
        // It has come, behind its end: it lives on where it was.
        assert!(parent.stored(QUEUE_FIRST, "a", 2, 12).is_some());
        assert!(!parent.end_send(QUEUE_FIRST));
        assert!(parent.end_send(QUEUE_FIRST + 1), "the log did not take b");
        assert_eq!(parent.begin_send("d"), (QUEUE_FIRST + 1, true));
    }

    #[test]
    fn an_end_counts_only_if_nothing_came_before_it() {
        let mut parent = Parent::default();
        parent.stored(QUEUE_FIRST, "a", 1, 10);
        let idle = parent.idle(11, 8);
        parent.stored(QUEUE_FIRST, "a", 2, 11);
        assert_eq!(parent.end(&idle[0]), None);
        assert!(parent.idle(11, 8).is_empty());
        assert_eq!(parent.idle(12, 8)[0].end, 2);
        assert!(parent.idle(12, 0).is_empty());
    }

    #[test]
    fn numbers_from_a_log_leave_gaps_to_be_used() {
        let mut parent = Parent::default();
        parent.stored(QUEUE_FIRST + 2, "c", 1, 10);
        let used: Vec<u32> = ["x", "y", "z"].map(|name| parent.begin_send(name).0).into();
        assert_eq!(used, [QUEUE_FIRST, QUEUE_FIRST + 1, QUEUE_FIRST + 3]);
        assert_eq!(parent.stored(QUEUE_FIRST, "other", 1, 10), None, "it is x's");
        parent.clear();
        assert!(!parent.is_unused(), "three are on their way");
        for queue_id in used {
            parent.end_send(queue_id);
        }
        assert!(parent.is_unused());
    }
}
