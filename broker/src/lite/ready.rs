//! What one client looks at next.

use std::collections::VecDeque;
use std::sync::Arc;

use super::LiteTable;
use super::clients::ClientKey;

/// A lite topic that may have something.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    pub(crate) name: Arc<str>,
    pub(crate) queue_id: u32,
}

/// Lite topics that a client is about to look at, and that nobody else is told of for it meanwhile. Those that are left when it is
/// dropped are the next ones again, in their order.
pub(crate) struct Turn<'a> {
    table: &'a LiteTable,
    key: ClientKey<'a>,
    left: VecDeque<Ready>,
    put_back: Vec<Ready>,
}

impl Turn<'_> {
    /// How many are left.
    pub(crate) fn len(&self) -> usize {
        self.left.len()
    }

    pub(crate) fn next(&mut self) -> Option<Ready> {
        self.left.pop_front()
    }

    /// It was not possible to look at this one now.
    pub(crate) fn put_back(&mut self, ready: Ready) {
        self.put_back.push(ready);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.left.is_empty() && self.put_back.is_empty() {
            return;
        }
        let mut lites = self.table.lock();
        if let Some((_, client)) = lites.find(self.key) {
            let in_order = self.put_back.iter().chain(&self.left);
            for ready in in_order.rev() {
                client.put_back(&ready.name);
            }
        }
    }
}

impl LiteTable {
    /// The lite topics of `topic` that a client looks at next, at most `max`. It is heard with that.
    pub(crate) fn take_turn<'a>(
        &'a self,
        topic: &str,
        group: &'a str,
        client_id: &'a str,
        max: usize,
        now_ms: i64,
    ) -> Turn<'a> {
        let key = ClientKey { group, client_id };
        let mut left = VecDeque::new();
        let mut lites = self.lock();
        let taken = match lites.find(key) {
            Some((_, client)) => {
                client.heard_ms = now_ms;
                if *client.parent == *topic {
                    client.take_ready(max)
                } else {
                    Vec::new()
                }
            }
            None => Vec::new(),
        };
        if let Some(parent) = lites.parents.get(topic) {
            left.extend(taken.into_iter().filter_map(|name| {
                let queue_id = parent.entries.get(&name)?.queue_id?;
                Some(Ready { name, queue_id })
            }));
        }
        drop(lites);
        Turn {
            table: self,
            key,
            left,
            put_back: Vec::new(),
        }
    }
}
