//! Work that may have to wait for the disk: on threads that may block, a bounded number at a time.

use std::sync::Arc;

use bytes::Bytes;
use kourou_broker::receive::ColdPull;
use kourou_proto::ResponseCode;
use tokio::sync::Semaphore;

use super::{Port, pull};
use crate::connection::ReplyTo;
use crate::refusal::Refusal;

/// The right to block a thread.
#[derive(Debug)]
pub(super) struct ColdReads {
    permits: Arc<Semaphore>,
}

impl ColdReads {
    pub(super) fn new(max: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(max.max(1))),
        }
    }

    /// Reads what a pull wants from the disk and answers it.
    pub(super) fn pull(&self, port: &Arc<Port>, cold: ColdPull, reply: ReplyTo) {
        let port = Arc::clone(port);
        self.run(reply, move |reply| {
            let outcome = cold.load();
            pull::finish(&port, outcome, reply);
        });
    }

    /// Answers with one record, or with an error of the system's.
    pub(super) fn record<E: std::fmt::Display>(
        &self,
        read: impl FnOnce() -> Result<Bytes, E> + Send + 'static,
        reply: ReplyTo,
    ) {
        self.run(reply, move |reply| match read() {
            Ok(record) => {
                let head = reply.command(ResponseCode::SUCCESS);
                reply.send_records(head, vec![record]);
            }
            Err(error) => Refusal::new(ResponseCode::SYSTEM_ERROR, error.to_string()).send(reply),
        });
    }

    /// Runs `work` when it is its turn, unless the client is gone by then. How many wait is bounded by what every
    /// connection may have in flight.
    pub(super) fn run(&self, reply: ReplyTo, work: impl FnOnce(ReplyTo) + Send + 'static) {
        let permits = Arc::clone(&self.permits);
        tokio::spawn(async move {
            // The semaphore is never closed.
            let Ok(permit) = permits.acquire_owned().await else {
                return;
            };
            if reply.connection().is_closed() {
                return;
            }
            let blocked = tokio::task::spawn_blocking(move || {
                work(reply);
                drop(permit);
            });
            if let Err(error) = blocked.await {
                tracing::error!(%error, "work that waits for the disk failed");
            }
        });
    }
}
