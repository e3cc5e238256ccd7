//! Who has which queue to itself.

use std::collections::BTreeMap;

use super::Ledger;
use crate::promise::Promise;

/// Locks, by group, topic and queue: who has it, and until when by the time that passes.
#[derive(Debug, Default)]
pub struct LockLedger {
    held: BTreeMap<(String, String, u32), (String, i64)>,
}

impl LockLedger {
    /// The broker has started anew, and knows of no lock.
    pub fn broker_started(&mut self) {
        self.held.clear();
    }

    /// Somebody gives a lock up.
    pub fn released(&mut self, group: &str, topic: &str, queue_id: u32, client_id: &str) {
        let key = (group.to_owned(), topic.to_owned(), queue_id);
        if self.held.get(&key).is_some_and(|(holder, _)| holder == client_id) {
            self.held.remove(&key);
        }
    }
}

impl Ledger {
    /// The broker says that a client has a queue to itself for `lease_ms`.
    pub fn locked(&mut self, group: &str, topic: &str, queue_id: u32, client_id: &str, lease_ms: i64) {
        let now_ms = self.now_ms;
        let key = (group.to_owned(), topic.to_owned(), queue_id);
        let before = self
            .locks
            .held
            .insert(key, (client_id.to_owned(), now_ms + lease_ms));
        if let Some((holder, until_ms)) = before
            && holder != client_id
            && until_ms > now_ms
        {
            self.broken(
                Promise::Locks,
                format!(
                    "{client_id} of {group} has {topic}@{queue_id}, which {holder} has for {} ms more",
                    until_ms - now_ms
                ),
            );
        }
    }
}
