//! Where the queues of topics begin that were deleted once. The log keeps a deleted topic's messages until they expire; a new
//! topic of that name must not show them, so its queues begin where the old ones ended.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashMap;
use parking_lot::RwLock;

use crate::queue::{QueueKey, QueueName};
use crate::state::{Fields, Writer};

/// The floors of all queues that have one.
#[derive(Default)]
pub(crate) struct Floors {
    /// Whether there are any: hardly ever, and every pull asks.
    any: AtomicBool,
    by_queue: RwLock<HashMap<QueueName, u64>>,
}

impl fmt::Debug for Floors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "floors of {} queues", self.by_queue.read().len())
    }
}

impl Floors {
    /// The first offset that a queue may show.
    pub(crate) fn get(&self, queue: QueueKey<'_>) -> u64 {
        if !self.any.load(Ordering::Acquire) {
            return 0;
        }
        self.by_queue.read().get(&queue).copied().unwrap_or(0)
    }

    pub(crate) fn set(&self, queue: QueueKey<'_>, floor: u64) {
        self.by_queue.write().insert(queue.to_name(), floor);
        self.any.store(true, Ordering::Release);
    }

    pub(crate) fn encode(&self) -> Writer {
        let by_queue = self.by_queue.read();
        let mut out = Writer::new();
        out.count(by_queue.len());
        for (queue, floor) in by_queue.iter() {
            out.text(&queue.topic);
            out.u32(queue.queue_id);
            out.u64(*floor);
        }
        out
    }

    pub(crate) fn restore(&self, fields: &mut Fields<'_>) -> Option<()> {
        self.by_queue.write().clear();
        for _ in 0..fields.count()? {
            let queue = QueueKey {
                topic: fields.text()?,
                queue_id: fields.u32()?,
            };
            self.set(queue, fields.u64()?);
        }
        Some(())
    }
}
