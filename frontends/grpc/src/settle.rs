//! Sends that are read together are written together, and on an idle log by the very thread that has read them: a send only queues, and
//! has a task of its thread run behind the connections that have something to read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kourou_broker::Broker;
use tokio::sync::Notify;

/// A disk that takes longer than this is left to the log's writer for [`LEFT_ALONE`]: while this thread waits for the disk, its
/// connections wait for the thread.
const PATIENCE: Duration = Duration::from_millis(2);
/// See [`PATIENCE`].
const LEFT_ALONE: Duration = Duration::from_secs(1);

/// Tells the task of a thread that sends were queued.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settle(Arc<Notify>);

impl Settle {
    /// Sends were queued.
    pub(crate) fn soon(&self) {
        self.0.notify_one();
    }

    /// Writes what is queued, for as long as it is polled.
    pub(crate) async fn run(self, broker: Arc<Broker>) {
        let mut alone_until = None;
        loop {
            self.0.notified().await;
            let begin = Instant::now();
            if alone_until.is_some_and(|until| begin < until) {
                broker.hand_over();
                continue;
            }
            broker.settle();
            let end = Instant::now();
            alone_until = (end - begin > PATIENCE).then(|| end + LEFT_ALONE);
        }
    }
}
