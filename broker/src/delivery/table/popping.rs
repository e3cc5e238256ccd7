//! Taking a queue for popping, and what a pop's record does.

use super::name::GroupQueueKey;
use super::{Delivery, DeliveryTable};

/// What became of the wish to pop a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::delivery) enum Begun {
    /// It is the caller's, until [`DeliveryTable::release`].
    Ours {
        /// What is out at the offset that the caller named and behind it.
        out: Vec<u64>,
    },
    /// Somebody else is popping it, and is told to wake others when it has done.
    Busy,
    /// As much is out as may be.
    Full,
}

/// How much may be out.
#[derive(Debug, Clone, Copy)]
pub(in crate::delivery) struct OutLimits {
    pub(in crate::delivery) of_queue: usize,
    pub(in crate::delivery) of_all: usize,
}

impl DeliveryTable {
    /// Takes a queue for popping. `from` is the offset that will be read first.
    pub(in crate::delivery) fn begin(
        &self,
        key: GroupQueueKey<'_>,
        who: u64,
        from: u64,
        limits: OutLimits,
    ) -> Begun {
        let mut table = self.0.lock();
        let all_out = table.out;
        let at = table.make(key);
        let Some(queue) = table.queue(at) else {
            return Begun::Full;
        };
        if queue.popped_by.is_some() {
            queue.wanted = true;
            return Begun::Busy;
        }
        if queue.out.len() >= limits.of_queue || all_out >= limits.of_all {
            table.tidy(at);
            return Begun::Full;
        }
        queue.popped_by = Some(who);
        Begun::Ours {
            out: queue.out.range(from..).map(|(offset, _)| *offset).collect(),
        }
    }

    /// Gives a queue back; whether somebody else wanted it meanwhile.
    pub(in crate::delivery) fn release(&self, key: GroupQueueKey<'_>, who: u64) -> bool {
        let mut table = self.0.lock();
        let Some((at, queue)) = table.find(key) else {
            return false;
        };
        if queue.popped_by != Some(who) {
            return false;
        }
        queue.popped_by = None;
        if let Some(block) = &mut queue.block {
            block.is_repopped = false;
        }
        let wanted = std::mem::take(&mut queue.wanted);
        table.tidy(at);
        wanted
    }

    /// The record of a pop has been applied. Whether something is due earlier than everything before.
    pub(crate) fn apply_popped(
        &self,
        key: GroupQueueKey<'_>,
        pop_ms: i64,
        due_ms: i64,
        offsets: impl Iterator<Item = u64>,
    ) -> bool {
        let mut table = self.0.lock();
        let first = table.due.first().copied();
        let at = table.make(key);
        for offset in offsets {
            table.insert(
                at,
                Delivery {
                    offset,
                    pop_ms,
                    due_ms,
                },
            );
        }
        table.tidy(at);
        first.is_none_or(|(first_ms, ..)| due_ms < first_ms)
    }
}
