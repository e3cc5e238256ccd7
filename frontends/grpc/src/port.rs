//! What all connections of the port share.

use std::net::SocketAddr;
use std::sync::Arc;

use kourou_broker::Broker;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::clients::Clients;
use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::renewal::Renewals;
use crate::wire::v2::Code;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) broker: Arc<Broker>,
    pub(crate) clients: Clients,
    pub(crate) renewals: Renewals,
    pub(crate) limits: Limits,
    /// Where clients reach the port that do not say how they did.
    pub(crate) advertised: SocketAddr,
    /// When no more requests are taken, and streams end.
    pub(crate) shutdown: CancellationToken,
    blocking: Semaphore,
}

impl Port {
    pub(crate) fn new(
        broker: Arc<Broker>,
        limits: Limits,
        advertised: SocketAddr,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            broker,
            clients: Clients::new(limits),
            renewals: Renewals::new(limits.renewals_per_client_max),
            limits,
            advertised,
            shutdown,
            blocking: Semaphore::new(limits.cold_reads_max.max(1)),
        }
    }

    /// Runs what may wait for the disk, a bounded number at a time.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let stopped = |_| Refusal::new(Code::InternalServerError, "work that waits for the disk failed");
        // The semaphore is never closed.
        let Ok(_permit) = self.blocking.acquire().await else {
            return Err(Refusal::new(Code::InternalServerError, "the server stops"));
        };
        tokio::task::spawn_blocking(work).await.map_err(stopped)
    }
}
