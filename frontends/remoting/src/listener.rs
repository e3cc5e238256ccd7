//! A port: accepts connections and gives each a task.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::{Closed, Connection, Driver, Handler};
use crate::limits::{BACKLOG, Limits};

/// Binds a TCP port for [`crate::serve_broker`] or [`crate::serve_name_server`]. Must be called inside a runtime.
///
/// # Errors
///
/// The address is in use or not ours.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

static NEXT_CONNECTION_ID: AtomicU64 = AtomicU64::new(1);

/// A number that no other connection of this process has.
pub(crate) fn next_connection_id() -> u64 {
    NEXT_CONNECTION_ID.fetch_add(1, Ordering::Relaxed)
}

/// How long to wait after the system refused a connection for want of descriptors or memory.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Accepts until `shutdown`, then lets every connection answer what it has read, for as long as the limits say.
pub(crate) async fn accept<H, F>(
    listener: TcpListener,
    port: &'static str,
    limits: Limits,
    new_handler: F,
    shutdown: CancellationToken,
) where
    H: Handler + 'static,
    F: Fn(&Arc<Connection>) -> H,
{
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, port, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        if tasks.len() >= limits.connections_max {
            tracing::warn!(%peer, port, connections_max = limits.connections_max, "too many connections: refused");
            continue;
        }
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, port, %error, "a connection was lost before it began");
            continue;
        }
        let connection = Connection::new(next_connection_id(), peer, limits);
        let handler = new_handler(&connection);
        let driver = Driver::new(stream, connection, handler);
        tasks.spawn(drive(driver, port, limits.drain, shutdown.clone()));
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

async fn drive<H: Handler>(
    mut driver: Driver<TcpStream, H>,
    port: &'static str,
    drain: Duration,
    shutdown: CancellationToken,
) {
    let connection = Arc::clone(driver.connection());
    let closed = tokio::select! {
        biased;
        closed = &mut driver => closed,
        () = shutdown.cancelled() => {
            connection.drain();
            finish(&mut driver, drain).await
        }
    };
    let peer = connection.peer();
    match closed {
        Closed::Tls => tracing::info!(%peer, port, "connection closed: {closed}"),
        closed => tracing::debug!(%peer, port, "connection closed: {closed}"),
    }
}

async fn finish(driver: &mut (impl Future<Output = Closed> + Unpin), drain: Duration) -> Closed {
    tokio::time::timeout(drain, driver).await.unwrap_or(Closed::ByUs)
}
