//! Queue locks: which consumer of a group may consume a queue in order. A lock is a lease, kept in memory; consumers renew it
//! well before it ends, also after a restart of the broker.
//!
//! Leases go by the time that passes: whoever sets the wall clock forward must not give a queue to a second consumer.

use std::sync::Arc;

use hashbrown::HashMap;
use kourou_engine::planted::{self, Bug};
use parking_lot::Mutex;

use crate::queue::{QueueKey, QueueName};

/// The locks of all groups.
#[derive(Debug, Default)]
pub(crate) struct QueueLocks {
    groups: Mutex<HashMap<String, HashMap<QueueName, Lease>>>,
}

#[derive(Debug)]
struct Lease {
    client_id: Arc<str>,
    renewed_ms: i64,
}

impl Lease {
    fn is_expired(&self, elapsed_ms: i64, lease_ms: i64) -> bool {
        let lease_ms = if planted::is(Bug::ShortLocks) {
            1_000
        } else {
            lease_ms
        };
        elapsed_ms - self.renewed_ms > lease_ms
    }
}

impl QueueLocks {
    /// Takes or renews the lock of one queue; whether `client_id` has it now.
    pub(crate) fn lock<'a>(
        &self,
        group: &str,
        client_id: &str,
        queues: impl Iterator<Item = QueueKey<'a>>,
        elapsed_ms: i64,
        lease_ms: i64,
    ) -> Vec<bool> {
        let mut groups = self.groups.lock();
        let leases = groups.entry_ref(group).or_default();
        let client_id: Arc<str> = client_id.into();
        queues
            .map(|queue| match leases.get_mut(&queue) {
                Some(lease) if *lease.client_id == *client_id || lease.is_expired(elapsed_ms, lease_ms) => {
                    *lease = Lease {
                        client_id: client_id.clone(),
                        renewed_ms: elapsed_ms,
                    };
                    true
                }
                Some(_) => false,
                None => {
                    leases.insert(
                        queue.to_name(),
                        Lease {
                            client_id: client_id.clone(),
                            renewed_ms: elapsed_ms,
                        },
                    );
                    true
                }
            })
            .collect()
    }

    /// Gives up the locks that `client_id` holds.
    pub(crate) fn unlock<'a>(
        &self,
        group: &str,
        client_id: &str,
        queues: impl Iterator<Item = QueueKey<'a>>,
    ) {
        let mut groups = self.groups.lock();
        let Some(leases) = groups.get_mut(group) else {
            return;
        };
        for queue in queues {
            if leases
                .get(&queue)
                .is_some_and(|lease| *lease.client_id == *client_id)
            {
                leases.remove(&queue);
            }
        }
        if leases.is_empty() {
            groups.remove(group);
        }
    }

    /// Whether any consumer of `group` holds a lock.
    pub(crate) fn any_held(&self, group: &str, elapsed_ms: i64, lease_ms: i64) -> bool {
        self.groups.lock().get(group).is_some_and(|leases| {
            leases
                .values()
                .any(|lease| !lease.is_expired(elapsed_ms, lease_ms))
        })
    }

    /// Forgets expired leases.
    pub(crate) fn expire(&self, elapsed_ms: i64, lease_ms: i64) {
        self.groups.lock().retain(|_, leases| {
            leases.retain(|_, lease| !lease.is_expired(elapsed_ms, lease_ms));
            !leases.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE_MS: i64 = 60_000;

    fn lock(locks: &QueueLocks, client: &str, elapsed_ms: i64) -> Vec<bool> {
        let queues = [
            QueueKey {
                topic: "t",
                queue_id: 0,
            },
            QueueKey {
                topic: "t",
                queue_id: 1,
            },
        ];
        locks.lock("g", client, queues.into_iter(), elapsed_ms, LEASE_MS)
    }

    #[test]
    fn a_lease_is_exclusive_until_it_ends_or_is_given_up() {
        let locks = QueueLocks::default();
        assert_eq!(lock(&locks, "a", 0), [true, true]);
        assert_eq!(lock(&locks, "b", 1), [false, false]);
        assert_eq!(lock(&locks, "a", 59_000), [true, true], "renewed");
        assert_eq!(
            lock(&locks, "b", 119_000),
            [false, false],
            "60 s after the renewal it still holds"
        );
        assert_eq!(lock(&locks, "b", 119_001), [true, true]);
        locks.unlock(
            "g",
            "a",
            [QueueKey {
                topic: "t",
                queue_id: 0,
            }]
            .into_iter(),
        );
        assert_eq!(
            lock(&locks, "a", 119_002),
            [false, false],
            "only the holder can give it up"
        );
        locks.unlock(
            "g",
            "b",
            [QueueKey {
                topic: "t",
                queue_id: 0,
            }]
            .into_iter(),
        );
        assert_eq!(lock(&locks, "a", 119_003), [true, false]);
        assert!(locks.any_held("g", 119_003, LEASE_MS));
        assert!(!locks.any_held("other", 119_003, LEASE_MS));
    }

    #[test]
    fn expired_leases_are_forgotten() {
        let locks = QueueLocks::default();
        lock(&locks, "a", 0);
        locks.expire(60_000, LEASE_MS);
        assert!(locks.any_held("g", 60_000, LEASE_MS));
        assert!(!locks.any_held("g", 60_001, LEASE_MS));
        locks.expire(60_001, LEASE_MS);
        assert!(locks.groups.lock().is_empty());
    }
}
