//! Which messages are renewed, for whom, and when.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use kourou_broker::Text;
use kourou_broker::delivery::Handle;

/// Where a message is, for a group: it is renewed for one client at a time.
type Place = (Text, Text, i32, i64);

fn place(handle: &Handle) -> Place {
    (
        handle.group.clone(),
        handle.topic.clone(),
        handle.queue_id,
        handle.offset,
    )
}

#[derive(Debug)]
struct Kept {
    client_id: Arc<str>,
    handle: Handle,
    attempt: u32,
    /// `None` while a renewal is on its way.
    due_ms: Option<i64>,
    renewals: u8,
    failures: u8,
}

/// A message to be renewed now.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) id: u64,
    pub(super) client_id: Arc<str>,
    pub(super) handle: Handle,
    /// How often it was.
    pub(super) renewals: u8,
    pub(super) attempt: u32,
}

#[derive(Debug)]
pub(super) struct Table {
    kept: HashMap<u64, Kept>,
    by_place: HashMap<Place, u64>,
    by_client: HashMap<Arc<str>, BTreeSet<u64>>,
    due: BTreeSet<(i64, u64)>,
    next_id: u64,
    per_client_max: usize,
}

impl Table {
    pub(super) fn new(per_client_max: usize) -> Self {
        Self {
            kept: HashMap::new(),
            by_place: HashMap::new(),
            by_client: HashMap::new(),
            due: BTreeSet::new(),
            next_id: 0,
            per_client_max,
        }
    }

    pub(super) fn is_full(&self, client_id: &str) -> bool {
        self.by_client
            .get(client_id)
            .is_some_and(|ids| ids.len() >= self.per_client_max)
    }

    /// Whether it is due earlier than everything before. Beyond the bound nothing is kept: its time ends.
    pub(super) fn keep(&mut self, client_id: &Arc<str>, handle: Handle, attempt: u32, due_ms: i64) -> bool {
        if self.is_full(client_id) {
            return false;
        }
        let place = place(&handle);
        if let Some(id) = self.by_place.get(&place) {
            // It was out before, and has been delivered again since.
            self.remove(*id);
        }
        let id = self.next_id;
        self.next_id += 1;
        let is_first = self.due.first().is_none_or(|(first_ms, _)| due_ms < *first_ms);
        self.by_place.insert(place, id);
        self.by_client
            .entry(Arc::clone(client_id))
            .or_default()
            .insert(id);
        self.due.insert((due_ms, id));
        self.kept.insert(
            id,
            Kept {
                client_id: Arc::clone(client_id),
                handle,
                attempt,
                due_ms: Some(due_ms),
                renewals: 0,
                failures: 0,
            },
        );
        is_first
    }

    pub(super) fn forget(&mut self, handle: &Handle) {
        if let Some(id) = self.by_place.get(&place(handle)).copied()
            && self
                .kept
                .get(&id)
                .is_some_and(|kept| kept.handle.pop_ms == handle.pop_ms)
        {
            self.remove(id);
        }
    }

    pub(super) fn remove(&mut self, id: u64) {
        let Some(kept) = self.kept.remove(&id) else { return };
        if let Some(due_ms) = kept.due_ms {
            self.due.remove(&(due_ms, id));
        }
        self.by_place.remove(&place(&kept.handle));
        if let Some(ids) = self.by_client.get_mut(&kept.client_id) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_client.remove(&kept.client_id);
            }
        }
    }

    /// Takes all that a client has.
    pub(super) fn take_of(&mut self, client_id: &str) -> Vec<Handle> {
        let ids = self.by_client.get(client_id).cloned().unwrap_or_default();
        let mut handles = Vec::with_capacity(ids.len());
        for id in ids {
            handles.extend(self.kept.get(&id).map(|kept| kept.handle.clone()));
            self.remove(id);
        }
        handles
    }

    pub(super) fn next_due_ms(&self) -> Option<i64> {
        self.due.first().map(|(due_ms, _)| *due_ms)
    }

    /// What is to be renewed; it is due no more until it is told how that went.
    pub(super) fn take_due(&mut self, now_ms: i64) -> Vec<Due> {
        let mut taken = Vec::new();
        while let Some((due_ms, id)) = self.due.first().copied()
            && due_ms <= now_ms
        {
            self.due.pop_first();
            let Some(kept) = self.kept.get_mut(&id) else {
                continue;
            };
            kept.due_ms = None;
            taken.push(Due {
                id,
                client_id: Arc::clone(&kept.client_id),
                handle: kept.handle.clone(),
                renewals: kept.renewals,
                attempt: kept.attempt,
            });
        }
        taken
    }

    pub(super) fn renewed(&mut self, id: u64, next_ms: i64) {
        if let Some(kept) = self.kept.get_mut(&id) {
            kept.renewals = kept.renewals.saturating_add(1);
            kept.failures = 0;
            self.list(id, next_ms);
        }
    }

    pub(super) fn failed(&mut self, id: u64, next_ms: i64, failures_max: u8) {
        let Some(kept) = self.kept.get_mut(&id) else {
            return;
        };
        kept.failures += 1;
        if kept.failures >= failures_max {
            return self.remove(id);
        }
        self.list(id, next_ms);
    }

    fn list(&mut self, id: u64, next_ms: i64) {
        if let Some(kept) = self.kept.get_mut(&id) {
            if let Some(before_ms) = kept.due_ms.replace(next_ms) {
                self.due.remove(&(before_ms, id));
            }
            self.due.insert((next_ms, id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(offset: i64, pop_ms: i64) -> Handle {
        Handle {
            group: "g".into(),
            topic: "t".into(),
            queue_id: 0,
            offset,
            pop_ms,
            invisible_ms: 60_000,
            ordered: false,
        }
    }

    fn is_empty(table: &Table) -> bool {
        table.kept.is_empty()
            && table.by_place.is_empty()
            && table.by_client.is_empty()
            && table.due.is_empty()
    }

    #[test]
    fn renewed_until_it_is_forgotten() {
        let mut table = Table::new(2);
        let client: Arc<str> = "c".into();
        assert!(table.keep(&client, handle(1, 5), 1, 50));
        assert!(!table.keep(&client, handle(2, 5), 1, 60));
        assert!(table.is_full("c") && !table.is_full("d"));
        assert!(!table.keep(&client, handle(3, 5), 1, 10), "beyond the bound");
        let due = table.take_due(55);
        assert_eq!((due.len(), due[0].handle.offset, due[0].renewals), (1, 1, 0));
        assert_eq!(table.next_due_ms(), Some(60));
        table.renewed(due[0].id, 110);
        assert_eq!(table.take_due(110).len(), 2);
        // Delivered again since, it is another delivery.
        table.forget(&handle(1, 6));
        assert!(table.is_full("c"));
        table.forget(&handle(1, 5));
        table.failed(due[0].id, 120, 3);
        table.renewed(due[0].id, 120);
        assert_eq!(table.next_due_ms(), None, "nobody asks for it any more");
        table.forget(&handle(2, 5));
        assert!(is_empty(&table));
    }

    #[test]
    fn given_again_or_gone_with_its_client() {
        let mut table = Table::new(9);
        let (one, other): (Arc<str>, Arc<str>) = ("one".into(), "other".into());
        table.keep(&one, handle(1, 5), 1, 50);
        table.keep(&other, handle(1, 9), 2, 90);
        assert!(table.take_of("one").is_empty());
        let id = table.take_due(90)[0].id;
        table.failed(id, 91, 3);
        table.failed(id, 92, 3);
        assert_eq!(table.take_due(92).len(), 1);
        assert_eq!(table.take_of("other"), [handle(1, 9)]);
        assert!(is_empty(&table));
        table.keep(&one, handle(2, 5), 1, 50);
        let id = table.take_due(50)[0].id;
        for _ in 0..3 {
            table.failed(id, 51, 3);
        }
        assert!(is_empty(&table));
    }
}
