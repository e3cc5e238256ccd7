//! Queues that do not begin at 0, because they were in another store before.

use super::QueueIndex;
use crate::index::QueueKey;
use crate::record::{QUEUES_BEGIN, QueueStart, RecordView, STATE_TOPIC};

impl QueueIndex {
    /// Begins the queues that a record says begin somewhere, if it is such a record. A queue that has entries, or that began before, stays as
    /// it is.
    pub(crate) fn begin_queues(&self, record: &RecordView<'_>) {
        if record.indexed() || record.queue_id() != u32::from(QUEUES_BEGIN) || record.topic() != STATE_TOPIC {
            return;
        }
        for start in QueueStart::decode(record.body()) {
            let expected = self.expect(QueueKey {
                topic: start.topic,
                queue_id: start.queue_id,
            });
            if expected.next_offset == 0 {
                self.begin_at(expected.queue, start.offset);
            }
        }
    }
}
