//! Who writes the sends that a thread has queued.

use std::time::{Duration, Instant};

use crate::broker::Broker;

/// A disk that takes longer than this is left to the log's writer for [`LEFT_ALONE`]: while a thread waits for the disk, its
/// connections wait for the thread.
const PATIENCE: Duration = Duration::from_millis(2);
/// See [`PATIENCE`].
const LEFT_ALONE: Duration = Duration::from_secs(1);

/// One thread's patience with the disk.
#[derive(Debug, Default)]
pub struct DiskPatience {
    alone_until: Option<Instant>,
}

impl DiskPatience {
    /// Sees to it that queued sends get written: by [`Broker::settle`], which may take as long as a durable write, or, if the disk was
    /// slow lately, by [`Broker::hand_over`].
    pub fn settle(&mut self, broker: &Broker, now: impl Fn() -> Instant) {
        let begin = now();
        if self.alone_until.is_some_and(|until| begin < until) {
            return broker.hand_over();
        }
        broker.settle();
        let end = now();
        self.alone_until = (end - begin > PATIENCE).then(|| end + LEFT_ALONE);
    }
}
