//! A port: accepts connections and gives each a task.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kourou_broker::client::next_channel_id;
use kourou_tls::{PortTls, Stream};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::{Closed, Connection, Driver, Handler};
use crate::io_threads::IoThreads;
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

/// What a connection reads and writes.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// A connection that somebody else has accepted, over whatever it came.
pub struct Accepted {
    stream: Box<dyn Transport>,
    peer: SocketAddr,
}

impl Accepted {
    /// `peer` is whom it is with, for messages and for whoever looks at the broker's clients.
    pub fn new(stream: impl Transport + 'static, peer: SocketAddr) -> Self {
        Self {
            stream: Box::new(stream),
            peer,
        }
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// Where connections come from.
#[derive(Debug)]
enum Arrivals {
    Tcp(TcpListener),
    Accepted(mpsc::Receiver<Accepted>),
}

/// A port, and where its connections run.
#[derive(Debug)]
pub struct Listener {
    arrivals: Arrivals,
    threads: Option<Arc<IoThreads>>,
    tls: PortTls,
}

impl Listener {
    /// What its connections run on, if not on the runtime that accepts them.
    pub(crate) fn threads(&self) -> Option<&IoThreads> {
        self.threads.as_deref()
    }

    /// Lets its connections run on `threads`, and not on the runtime that accepts them.
    #[must_use]
    pub fn spread_over(mut self, threads: &Arc<IoThreads>) -> Self {
        self.threads = Some(Arc::clone(threads));
        self
    }

    /// Says whether its connections may be, or have to be, encrypted. Without it they are plain.
    #[must_use]
    pub fn with_tls(mut self, tls: PortTls) -> Self {
        self.tls = tls;
        self
    }
}

impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self {
            arrivals: Arrivals::Tcp(tcp),
            threads: None,
            tls: PortTls::default(),
        }
    }
}

/// A port to which others bring the connections. They are taken as they are, whatever is said of TLS.
impl From<mpsc::Receiver<Accepted>> for Listener {
    fn from(accepted: mpsc::Receiver<Accepted>) -> Self {
        Self {
            arrivals: Arrivals::Accepted(accepted),
            threads: None,
            tls: PortTls::default(),
        }
    }
}

/// A connection that has just come.
enum Arrival {
    Tcp(TcpStream),
    Accepted(Box<dyn Transport>),
}

impl Arrivals {
    /// The next one; none when there will be no more.
    async fn next(&mut self) -> io::Result<Option<(Arrival, SocketAddr)>> {
        match self {
            Self::Tcp(tcp) => {
                let (stream, peer) = tcp.accept().await?;
                Ok(Some((Arrival::Tcp(stream), peer)))
            }
            Self::Accepted(accepted) => {
                let next = accepted.recv().await;
                Ok(next.map(|Accepted { stream, peer }| (Arrival::Accepted(stream), peer)))
            }
        }
    }
}

/// How long to wait after the system refused a connection for want of descriptors or memory.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// At most one log line in this time about connections that cannot be taken.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// Keeps a log readable when the same thing goes wrong thousands of times.
#[derive(Debug, Default)]
struct Complaints {
    last: Option<Instant>,
}

impl Complaints {
    /// Whether this one should be said.
    fn due(&mut self) -> bool {
        let now = Instant::now();
        let due = self
            .last
            .is_none_or(|last| now.duration_since(last) >= COMPLAINT_INTERVAL);
        if due {
            self.last = Some(now);
        }
        due
    }
}

/// Accepts until `shutdown`; a handler is made with the number of the thread that its connection runs on, if it has one. Then lets every connection answer what it has read, for as long as the limits say.
pub(crate) async fn accept<H, F>(
    mut listener: Listener,
    port: &'static str,
    limits: Limits,
    new_handler: F,
    shutdown: CancellationToken,
) where
    H: Handler + 'static,
    F: Fn(&Arc<Connection>, Option<usize>) -> H,
{
    let tasks = TaskTracker::new();
    let mut complaints = Complaints::default();
    let of_each = Arc::new(limits);
    loop {
        let accepted = tokio::select! {
            accepted = listener.arrivals.next() => accepted,
            () = shutdown.cancelled() => break,
        };
        let (arrival, peer) = match accepted {
            Ok(Some(accepted)) => accepted,
            // Whoever accepts has ended. Those that are there go on.
            Ok(None) => {
                shutdown.cancelled().await;
                break;
            }
            Err(error) => {
                if complaints.due() {
                    tracing::warn!(%error, port, "connections cannot be accepted");
                }
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        if tasks.len() >= limits.connections_max {
            if complaints.due() {
                tracing::warn!(
                    port,
                    connections_max = limits.connections_max,
                    "too many connections: new ones are closed"
                );
            }
            continue;
        }
        // A port on all of IPv6 sees IPv4 peers as mapped addresses; messages shall carry what the peer calls itself.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let connection = Connection::new(next_channel_id(), peer, Arc::clone(&of_each));
        let thread = listener.threads.as_ref().map(|threads| threads.next());
        let handler = new_handler(&connection, thread);
        let shutdown = shutdown.clone();
        let elsewhere = listener.threads.as_ref().zip(thread);
        let stream = match arrival {
            Arrival::Tcp(stream) => stream,
            Arrival::Accepted(stream) => {
                let task = drive(
                    Box::new(Driver::new(stream, connection, handler)),
                    port,
                    limits.drain,
                    shutdown,
                );
                match elsewhere {
                    None => drop(tasks.spawn(task)),
                    Some((threads, at)) => threads.spawn_on(at, tasks.track_future(task)),
                }
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, port, %error, "a connection was lost before it began");
            continue;
        }
        match elsewhere {
            None => {
                let driver = Box::new(Driver::new(listener.tls.stream(stream), connection, handler));
                tasks.spawn(drive(driver, port, limits.drain, shutdown));
            }
            Some((threads, at)) => {
                let stream = match stream.into_std() {
                    Ok(stream) => stream,
                    Err(error) => {
                        tracing::debug!(%peer, port, %error, "a connection was lost before it began");
                        continue;
                    }
                };
                let arrived = Box::new(Arrived {
                    stream,
                    tls: listener.tls.clone(),
                    connection,
                    handler,
                });
                let task = serve_elsewhere(arrived, port, limits.drain, shutdown);
                threads.spawn_on(at, tasks.track_future(task));
            }
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// A connection on its way to the thread that serves it.
struct Arrived<H> {
    stream: std::net::TcpStream,
    tls: PortTls,
    connection: Arc<Connection>,
    handler: H,
}

/// A connection from its arrival on its thread to its end. Thousands of these wait at a time, so what it holds while it waits is kept
/// small: a future keeps what is moved through it in each place, and a box is moved for less.
async fn serve_elsewhere<H: Handler>(
    arrived: Box<Arrived<H>>,
    port: &'static str,
    drain: Duration,
    shutdown: CancellationToken,
) {
    // Registered anew, with the thread that runs this.
    match arrived.driver() {
        Ok(driver) => drive(driver, port, drain, shutdown).await,
        Err(error) => tracing::warn!(port, %error, "a connection cannot be served"),
    }
}

impl<H: Handler> Arrived<H> {
    fn driver(self) -> io::Result<Box<Driver<Stream, H>>> {
        let Self {
            stream,
            tls,
            connection,
            handler,
        } = self;
        let stream = tls.stream(TcpStream::from_std(stream)?);
        Ok(Box::new(Driver::new(stream, connection, handler)))
    }
}

async fn drive<S: Transport, H: Handler>(
    mut driver: Box<Driver<S, H>>,
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

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Handler for Nobody {
        fn on_command(&mut self, _: &Arc<Connection>, _: &kourou_proto::Command) {}
        fn on_close(&mut self, _: &Arc<Connection>) {}
    }

    #[tokio::test]
    async fn an_idle_connection_is_small() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let arrived = Box::new(Arrived {
            stream,
            tls: PortTls::default(),
            connection: Connection::new(1, "127.0.0.1:1".parse().unwrap(), Limits::default()),
            handler: Nobody,
        });
        let task = serve_elsewhere(arrived, "test", Duration::ZERO, CancellationToken::new());
        let task_size_bytes = size_of_val(&TaskTracker::new().track_future(task));
        let (driver, connection) = (size_of::<Driver<Stream, Nobody>>(), size_of::<Connection>());
        // Ten thousand idle consumers have ten thousand of each: what is added here is paid by all of them. See `benches/README.md`.
        assert!(task_size_bytes <= 392, "the task takes {task_size_bytes} bytes");
        assert!(driver <= 272, "the driver takes {driver} bytes");
        assert!(connection <= 240, "what is shared takes {connection} bytes");
    }
}
