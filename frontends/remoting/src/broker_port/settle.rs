//! Sends that are read together are written together, and on an idle log by the very thread that has read them.
//!
//! ```text
//!  io thread: [ connection | connection | settle ] wait for sockets [ connection | settle ] ...
//!                enqueue ---^ enqueue ---^   `-- few sends and nobody writes: write them here; else wake the log's writer
//! ```
//!
//! To wake the writer and be woken by it costs more than the disk does. A send therefore only queues, and has a task of its thread run
//! behind those connections that have something to read now.

use std::sync::Arc;
use std::time::Instant;

use kourou_broker::Broker;
use kourou_broker::send::DiskPatience;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::io_threads::IoThreads;

/// One task for each of the threads. They end when this is dropped.
pub(super) struct Settling {
    of_threads: Vec<Arc<Notify>>,
    _end: DropGuard,
}

impl Settling {
    pub(super) fn start(threads: &IoThreads, broker: &Arc<Broker>) -> Self {
        let end = CancellationToken::new();
        let of_threads = (0..threads.count())
            .map(|at| {
                let due = Arc::new(Notify::new());
                let task = settle(Arc::clone(broker), Arc::clone(&due));
                let end = end.clone();
                threads.spawn_on(at, async move {
                    end.run_until_cancelled(task).await;
                });
                due
            })
            .collect();
        Self {
            of_threads,
            _end: end.drop_guard(),
        }
    }

    /// What a connection on this thread tells of its sends.
    pub(super) fn of_thread(&self, at: usize) -> Option<Arc<Notify>> {
        self.of_threads.get(at).cloned()
    }
}

async fn settle(broker: Arc<Broker>, due: Arc<Notify>) {
    let mut patience = DiskPatience::default();
    loop {
        due.notified().await;
        patience.settle(&broker, Instant::now);
    }
}
