//! The blocks of queues that are consumed in order.

use super::DeliveryTable;
use super::name::GroupQueueKey;
use crate::delivery::order::Block;

impl DeliveryTable {
    /// Looks at, or changes marks of, the block of a queue.
    pub(in crate::delivery) fn with_block<T>(
        &self,
        key: GroupQueueKey<'_>,
        work: impl FnOnce(Option<&mut Block>) -> T,
    ) -> T {
        let mut table = self.0.lock();
        work(table.find(key).and_then(|(_, queue)| queue.block.as_deref_mut()))
    }

    /// Changes the block of a queue, as a record says that has been applied. Whether it is over earlier than everything before.
    pub(crate) fn apply_block<T>(
        &self,
        key: GroupQueueKey<'_>,
        change: impl FnOnce(&mut Option<Box<Block>>) -> T,
    ) -> (T, bool) {
        let mut table = self.0.lock();
        let first = table.due.first().copied();
        let at = table.make(key);
        let mut before_ms = None;
        let mut result = None;
        if let Some(queue) = table.queue(at) {
            before_ms = queue.block.as_ref().and_then(|block| block.over_ms());
            result = Some(change(&mut queue.block));
        }
        table.list_block(at, before_ms);
        table.tidy(at);
        let is_earlier = match (first, table.due.first()) {
            (Some(before), Some(now)) => now.0 < before.0,
            (None, now) => now.is_some(),
            (Some(_), None) => false,
        };
        // A queue that was made is there.
        let Some(result) = result else { unreachable!() };
        (result, is_earlier)
    }
}
