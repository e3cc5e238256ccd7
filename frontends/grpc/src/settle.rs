//! Sends that are read together are written together, and on an idle log by the very thread that has read them: a send only queues, and
//! has a task of its thread run behind the connections that have something to read.

use std::sync::Arc;
use std::time::Instant;

use kourou_broker::Broker;
use kourou_broker::send::DiskPatience;
use tokio::sync::Notify;

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
        let mut patience = DiskPatience::default();
        loop {
            self.0.notified().await;
            patience.settle(&broker, Instant::now);
        }
    }
}
