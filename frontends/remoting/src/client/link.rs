//! One connection to one peer.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use kourou_broker::client::next_channel_id;
use kourou_proto::Command;
use kourou_proto::remoting::header::FLAG_ONEWAY;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::OnPush;
use super::call::Cancel;
use super::error::ClientError;
use super::pending::Pending;
use crate::connection::{Connection, Driver, Handler};
use crate::limits::Limits;
use crate::refusal::not_supported;

/// A connection to a broker or a name server. Clones share it; it is closed when the last one is dropped.
#[derive(Clone)]
pub struct Link {
    inner: Arc<Inner>,
}

struct Inner {
    address: String,
    connection: Arc<Connection>,
    pending: Arc<Pending>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.connection.kill();
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("address", &self.inner.address)
            .finish_non_exhaustive()
    }
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    ///
    /// [`ClientError::Connect`].
    pub async fn connect(address: &str) -> Result<Self, ClientError> {
        Self::connect_with(address, None).await
    }

    pub(super) async fn connect_with(address: &str, on_push: Option<OnPush>) -> Result<Self, ClientError> {
        let failed = |source: io::Error| ClientError::Connect {
            address: address.to_owned(),
            source,
        };
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let peer = stream.peer_addr().map_err(failed)?;
        let connection = Connection::new(next_channel_id(), peer, Limits::default());
        let pending = Arc::new(Pending::default());
        let handler = Answers {
            address: address.to_owned(),
            pending: Arc::clone(&pending),
            on_push,
        };
        let driver = Driver::new(stream, Arc::clone(&connection), handler);
        tokio::spawn(async move {
            let peer = driver.connection().peer();
            let closed = driver.await;
            tracing::debug!(%peer, "connection closed: {closed}");
        });
        Ok(Self {
            inner: Arc::new(Inner {
                address: address.to_owned(),
                connection,
                pending,
            }),
        })
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.connection.is_closed()
    }

    /// Returns once the connection has ended.
    pub async fn closed(&self) {
        self.inner.connection.closed().await;
    }

    /// As [`super::Client::call`], on this connection.
    ///
    /// # Errors
    ///
    /// [`ClientError`], except that the connection could not be made.
    pub async fn call(&self, request: Command, timeout: Duration) -> Result<Command, ClientError> {
        self.call_until(request, Instant::now() + timeout, timeout).await
    }

    pub(super) async fn call_until(
        &self,
        request: Command,
        deadline: Instant,
        timeout: Duration,
    ) -> Result<Command, ClientError> {
        let timed_out = || ClientError::Timeout {
            address: self.inner.address.clone(),
            timeout,
        };
        let (opaque, answer) = loop {
            timeout_at(deadline, self.inner.connection.room())
                .await
                .map_err(|_| timed_out())?;
            let (sender, answer) = oneshot::channel();
            let started = self.start(request.clone(), move |answer| {
                // A caller that no longer waits does not mind.
                let _ = sender.send(answer);
            });
            match started {
                Ok(opaque) => break (opaque, answer),
                // Whoever waited beside this one was quicker, and took the room.
                Err(ClientError::Congested { .. }) => {}
                Err(error) => return Err(error),
            }
        };
        let _cancel = Cancel::new(&self.inner.pending, opaque);
        match timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(self.lost()),
            Err(_) => Err(timed_out()),
        }
    }

    /// Asks, and has `on_answer` called with the answer on the connection's task: it must not block. It is dropped
    /// uncalled if the connection ends first. For many calls at once this costs less than [`Link::call`]; it knows no
    /// time limit. Gives the number of the request.
    ///
    /// # Errors
    ///
    /// The request was not sent.
    pub fn start(
        &self,
        mut request: Command,
        on_answer: impl FnOnce(Command) + Send + 'static,
    ) -> Result<i32, ClientError> {
        let opaque = self.inner.pending.next_opaque();
        request.header.opaque = opaque;
        if !self.inner.pending.add(opaque, Box::new(on_answer)) {
            return Err(self.lost());
        }
        self.push(request)
            .inspect_err(|_| self.inner.pending.remove(opaque))?;
        Ok(opaque)
    }

    /// As [`super::Client::oneway`], on this connection.
    ///
    /// # Errors
    ///
    /// The request was not sent.
    pub fn oneway(&self, mut request: Command) -> Result<(), ClientError> {
        request.header.opaque = self.inner.pending.next_opaque();
        request.header.flag |= FLAG_ONEWAY;
        self.push(request)
    }

    fn push(&self, request: Command) -> Result<(), ClientError> {
        let connection = &self.inner.connection;
        if connection.push(request) {
            Ok(())
        } else if connection.is_closed() {
            Err(self.lost())
        } else {
            Err(ClientError::Congested {
                address: self.inner.address.clone(),
            })
        }
    }

    fn lost(&self) -> ClientError {
        ClientError::Lost {
            address: self.inner.address.clone(),
        }
    }
}

/// Gives answers to their callers, and requests of the peer to whoever wants them.
struct Answers {
    address: String,
    pending: Arc<Pending>,
    on_push: Option<OnPush>,
}

impl Handler for Answers {
    fn on_command(&mut self, connection: &Arc<Connection>, command: &Command) {
        if command.is_response() {
            return self.pending.complete(command.clone());
        }
        match &self.on_push {
            Some(on_push) => on_push(&self.address, command.clone()),
            None => not_supported(command.header.code).send(connection.ticket(command)),
        }
    }

    fn on_close(&mut self, _: &Arc<Connection>) {
        self.pending.close();
    }
}
