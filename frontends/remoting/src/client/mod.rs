//! The other end of the protocol: calls to brokers and name servers, ours or Apache's.

mod call;
mod error;
mod link;
mod pending;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kourou_proto::Command;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

pub use error::ClientError;
pub use link::Link;

/// What a peer asks of us on a connection that we made, by its address: e.g. that a group has changed.
type OnPush = Arc<dyn Fn(&str, Command) + Send + Sync>;

/// Calls by address. Keeps one connection per address and makes a new one when that is gone. Clones share them.
#[derive(Clone, Default)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    links: Mutex<HashMap<String, Slot>>,
    on_push: Option<OnPush>,
}

/// Locked while connecting, so that many callers make one connection.
type Slot = Arc<tokio::sync::Mutex<Option<Link>>>;

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<String> = self.shared.links.lock().keys().cloned().collect();
        f.debug_struct("Client").field("addresses", &addresses).finish()
    }
}

impl Client {
    /// A client that answers whatever its peers ask with "not supported".
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A client that hears what its peers ask. `on_push` runs on the connection's task: it must not block.
    #[must_use]
    pub fn with_push(on_push: impl Fn(&str, Command) + Send + Sync + 'static) -> Self {
        let shared = Shared {
            links: Mutex::default(),
            on_push: Some(Arc::new(on_push)),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Asks and waits for the answer, whatever its code. The number of `request` is set here. `timeout` covers
    /// connecting as well.
    ///
    /// # Errors
    ///
    /// [`ClientError`]: nobody there, connection lost, or no answer in time. The request may have been done
    /// nevertheless, unless the connection could not be made.
    pub async fn call(
        &self,
        address: &str,
        request: Command,
        timeout: Duration,
    ) -> Result<Command, ClientError> {
        let deadline = Instant::now() + timeout;
        let link = self.link_until(address, deadline, timeout).await?;
        link.call_until(request, deadline, timeout).await
    }

    /// Sends what nobody answers. The number and the oneway bit of `request` are set here.
    ///
    /// # Errors
    ///
    /// As [`Client::call`]; success says only that it is on its way.
    pub async fn oneway(
        &self,
        address: &str,
        request: Command,
        timeout: Duration,
    ) -> Result<(), ClientError> {
        let link = self
            .link_until(address, Instant::now() + timeout, timeout)
            .await?;
        link.oneway(request)
    }

    /// The connection to an address, made if there is none.
    ///
    /// # Errors
    ///
    /// It cannot be made in time.
    pub async fn link(&self, address: &str, timeout: Duration) -> Result<Link, ClientError> {
        self.link_until(address, Instant::now() + timeout, timeout).await
    }

    async fn link_until(
        &self,
        address: &str,
        deadline: Instant,
        timeout: Duration,
    ) -> Result<Link, ClientError> {
        let slot = Arc::clone(self.shared.links.lock().entry(address.to_owned()).or_default());
        let connecting = async {
            let mut slot = slot.lock().await;
            if let Some(link) = slot.as_ref().filter(|link| !link.is_closed()) {
                return Ok(link.clone());
            }
            let link = Link::connect_with(address, self.shared.on_push.clone()).await?;
            *slot = Some(link.clone());
            Ok(link)
        };
        timeout_at(deadline, connecting).await.unwrap_or_else(|_| {
            Err(ClientError::Timeout {
                address: address.to_owned(),
                timeout,
            })
        })
    }
}
