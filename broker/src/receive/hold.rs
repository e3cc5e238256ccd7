//! Held pulls: consumers that wait for a message, woken by the arrival of one that they want.
//!
//! No wake-up is lost between a pull that finds nothing and its hold: a hold first registers, then looks at the queue; an
//! arrival is first readable, then looks at the registered holds. With a fence between the two steps on either side, one of
//! them sees the other.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use kourou_engine::Arrival;
use parking_lot::Mutex;

use super::PullRequest;
use crate::broker::Broker;
use crate::filter::Filter;
use crate::queue::{QueueKey, QueueName};

/// Queues are spread over so many locks.
const SHARDS: usize = 64;

type Wake = Box<dyn FnOnce() + Send>;

/// Some of the queues, each with its holds.
type Shard = Mutex<HashMap<QueueName, Vec<Hold>>>;

/// What became of a hold.
#[derive(Debug)]
pub enum HoldResult {
    /// It waits. Dropping the guard ends it; its `wake` runs at most once, and may still run while the guard is dropped.
    Held(HoldGuard),
    /// A message that matches is there already, or the group's offset is reset: pull again at once.
    AlreadyArrived,
    /// As many are held as may be: answer that nothing was found.
    Full,
}

/// A hold that waits. Dropping it ends the hold.
pub struct HoldGuard {
    broker: Arc<Broker>,
    queue: QueueName,
    id: u64,
}

impl fmt::Debug for HoldGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HoldGuard")
            .field("queue", &self.queue)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Drop for HoldGuard {
    fn drop(&mut self) {
        self.broker.state.holds.remove(&self.queue, self.id);
    }
}

/// The holds of one broker.
pub(crate) struct Holds {
    shards: Box<[Shard]>,
    hasher: FixedState,
    count: AtomicUsize,
    count_max: usize,
    next_id: AtomicU64,
}

struct Hold {
    id: u64,
    offset: u64,
    filter: Filter,
    wake: Wake,
}

impl Holds {
    pub(crate) fn new(count_max: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: FixedState::default(),
            count: AtomicUsize::new(0),
            count_max,
            next_id: AtomicU64::new(0),
        }
    }

    fn shard(&self, queue: QueueKey<'_>) -> &Shard {
        // The index is below the length by construction.
        &self.shards[self.hasher.hash_one(queue) as usize % SHARDS]
    }

    /// Registers a hold; `None` if there are too many.
    fn add(&self, queue: &QueueName, offset: u64, filter: Filter, wake: Wake) -> Option<u64> {
        if self.count.fetch_add(1, Ordering::SeqCst) >= self.count_max {
            self.count.fetch_sub(1, Ordering::SeqCst);
            return None;
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut shard = self.shard(queue.key()).lock();
        shard.entry(queue.clone()).or_default().push(Hold {
            id,
            offset,
            filter,
            wake,
        });
        Some(id)
    }

    fn remove(&self, queue: &QueueName, id: u64) {
        let mut shard = self.shard(queue.key()).lock();
        let Some(holds) = shard.get_mut(queue) else { return };
        let Some(at) = holds.iter().position(|hold| hold.id == id) else {
            return;
        };
        let removed = holds.swap_remove(at);
        if holds.is_empty() {
            shard.remove(queue);
        }
        drop(shard);
        self.count.fetch_sub(1, Ordering::SeqCst);
        // What a wake-up owns may end other holds when it is dropped; not under the lock.
        drop(removed);
    }

    /// How many are held.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Wakes all holds of a queue: something other than a message concerns one of their groups.
    pub(crate) fn wake_all(&self, queue: QueueKey<'_>) {
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let woken = self.shard(queue).lock().remove(&queue).unwrap_or_default();
        self.count.fetch_sub(woken.len(), Ordering::SeqCst);
        for hold in woken {
            (hold.wake)();
        }
    }

    /// Wakes the holds that want one of these. Without holds this is one load.
    pub(crate) fn arrived(&self, arrivals: &[Arrival<'_>]) {
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut woken: Vec<Wake> = Vec::new();
        for arrival in arrivals {
            let queue = QueueKey {
                topic: arrival.topic,
                queue_id: arrival.queue_id,
            };
            let mut shard = self.shard(queue).lock();
            let Some(holds) = shard.get_mut(&queue) else {
                continue;
            };
            let wanted = |hold: &mut Hold| {
                hold.offset <= arrival.queue_offset
                    && hold.filter.matches(arrival.tags_code, arrival.properties)
            };
            woken.extend(holds.extract_if(.., wanted).map(|hold| hold.wake));
            if holds.is_empty() {
                shard.remove(&queue);
            }
        }
        self.count.fetch_sub(woken.len(), Ordering::SeqCst);
        for wake in woken {
            wake();
        }
    }
}

impl Broker {
    /// Holds a pull that found nothing at `offset`, until a message arrives that its subscription wants; `wake` then runs once,
    /// on the engine's writer thread: it must be short and must not block. The caller keeps time and drops the guard when it
    /// has waited long enough; then, as after a wake-up, it pulls again.
    ///
    /// With [`HoldResult::AlreadyArrived`] `wake` may have run as well; with [`HoldResult::Full`] it never does.
    pub fn hold(
        self: &Arc<Self>,
        request: &PullRequest,
        offset: u64,
        wake: impl FnOnce() + Send + 'static,
    ) -> HoldResult {
        let Ok(admitted) = self.admit_pull(request) else {
            // The next pull says why.
            return HoldResult::AlreadyArrived;
        };
        let queue = QueueName {
            topic: admitted.topic.name.clone(),
            queue_id: admitted.queue_id,
        };
        let holds = &self.state.holds;
        let Some(id) = holds.add(&queue, offset, admitted.filter.clone(), Box::new(wake)) else {
            return HoldResult::Full;
        };
        let guard = HoldGuard {
            broker: self.clone(),
            queue,
            id,
        };
        fence(Ordering::SeqCst);
        let queue = &guard.queue;
        if self.has_match(queue, offset, &admitted.filter)
            || self.reset_waits(&request.group, &queue.topic, queue.queue_id)
        {
            drop(guard);
            return HoldResult::AlreadyArrived;
        }
        HoldResult::Held(guard)
    }

    /// Pulls held now.
    pub fn held_pulls(&self) -> usize {
        self.state.holds.count()
    }

    /// Whether a queue has a message from `offset` on that the filter wants; also if there are too many to look at.
    fn has_match(&self, queue: &QueueName, offset: u64, filter: &Filter) -> bool {
        let Some(range) = self.queue_range(&queue.topic, queue.queue_id) else {
            return false;
        };
        if range.max <= offset {
            return false;
        }
        let scan_max = self.options.limits.pull_scan_entries_max;
        if matches!(filter, Filter::All) || range.min > offset || range.max - offset > scan_max as u64 {
            return true;
        }
        let mut entries = Vec::new();
        self.engine
            .entries(&queue.topic, queue.queue_id, offset, scan_max, &mut entries);
        entries.iter().any(|entry| {
            filter.may_match(entry.tags_code)
                && (!filter.reads_records()
                    // What is on the disk is for the next pull to look at.
                    || self
                        .engine
                        .read_hot(entry.position, entry.size_bytes)
                        .is_none_or(|record| filter.matches_record(&record)))
        })
    }
}
