//! The port: accepts connections, spreads them over threads, and drives each until it ends, is idle for too long, or the port shuts down.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kourou_broker::Broker;
use kourou_tls::{PortTls, Stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::budget::{Budget, CountedBody};
use crate::caller::Peer;
use crate::limits::{
    CONNECTION_WINDOW_SIZE_BYTES, HEADERS_SIZE_BYTES_MAX, LOOK_INTERVAL, Limits, PING_INTERVAL, PING_TIMEOUT,
    STREAM_WINDOW_SIZE_BYTES,
};
use crate::port::Port;
use crate::renewal::Renewals;
use crate::services::Services;
use crate::settle::Settle;

/// How long to wait after the system refused a connection for want of descriptors or memory.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// At most one log line in this time about connections that cannot be taken.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// How the port is served.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The bounds.
    pub limits: Limits,
    /// Runtimes of one thread each that connections are spread over; with none they run where the port is served. Sends of one
    /// thread are written together, see [`Broker::settle`].
    pub threads: Vec<Handle>,
    /// Whether connections may be, or have to be, encrypted.
    pub tls: PortTls,
}

/// Serves the v2 protocol, health and reflection on `listener` until `shutdown`. Then no more connections and requests are taken,
/// streams end, and what was asked is answered, for as long as [`Limits::drain`] says; when this returns, no connection is left.
pub async fn serve(
    listener: TcpListener,
    broker: Arc<Broker>,
    options: Options,
    shutdown: CancellationToken,
) {
    let Options { limits, threads, tls } = options;
    let number = listener.local_addr().map_or(0, |address| address.port());
    let advertised = SocketAddr::new(broker.store_host().ip(), number);
    let port = Arc::new(Port::new(broker, limits, advertised, shutdown.clone()));
    let services = Arc::new(Services::new(&port));
    let ended = CancellationToken::new();
    let _end = ended.clone().drop_guard();
    let places: Vec<Place> = threads
        .into_iter()
        .map(|thread| Place::start(thread, &port.broker, &ended))
        .collect();
    let expiring = port.clone();
    tokio::spawn(ended.clone().run_until_cancelled_owned(async move {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            expiring.clients.expire(&expiring.broker);
        }
    }));

    tokio::spawn(ended.run_until_cancelled_owned(Renewals::run(port.clone())));

    let tasks = TaskTracker::new();
    let mut complained: Option<Instant> = None;
    let mut turn = 0;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        let refused = match accepted {
            Ok((stream, peer)) if tasks.len() < limits.connections_max => {
                let place = places.get(turn % places.len().max(1));
                turn = turn.wrapping_add(1);
                if let Err(error) = begin(stream, peer, &tls, &port, &services, place, &tasks) {
                    tracing::debug!(%peer, %error, "a connection was lost before it began");
                }
                continue;
            }
            Ok(_) => "too many connections: new ones are closed".to_owned(),
            Err(error) => {
                tokio::time::sleep(ACCEPT_RETRY).await;
                format!("connections cannot be accepted: {error}")
            }
        };
        if complained.is_none_or(|last| last.elapsed() >= COMPLAINT_INTERVAL) {
            complained = Some(Instant::now());
            tracing::warn!(port = "grpc", connections = tasks.len(), "{refused}");
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// A thread that connections run on.
struct Place {
    thread: Handle,
    settle: Settle,
}

impl Place {
    fn start(thread: Handle, broker: &Arc<Broker>, ended: &CancellationToken) -> Self {
        let settle = Settle::default();
        let task = settle.clone().run(Arc::clone(broker));
        thread.spawn(ended.clone().run_until_cancelled_owned(task));
        Self { thread, settle }
    }
}

fn begin(
    stream: TcpStream,
    peer: SocketAddr,
    tls: &PortTls,
    port: &Arc<Port>,
    services: &Arc<Services>,
    place: Option<&Place>,
    tasks: &TaskTracker,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let connection = Connection {
        // A port on all of IPv6 sees IPv4 peers as mapped addresses; messages shall carry what the peer calls itself.
        peer: SocketAddr::new(peer.ip().to_canonical(), peer.port()),
        port: Arc::clone(port),
        services: Arc::clone(services),
        settle: place.map(|place| place.settle.clone()),
    };
    match place {
        None => drop(tasks.spawn(connection.drive(tls.stream(stream)))),
        Some(place) => {
            let stream = stream.into_std()?;
            let tls = tls.clone();
            let task = tasks.track_future(async move {
                // Registered anew, with the thread that runs this.
                match TcpStream::from_std(stream) {
                    Ok(stream) => connection.drive(tls.stream(stream)).await,
                    Err(error) => tracing::warn!(%peer, %error, "a connection cannot be served"),
                }
            });
            place.thread.spawn(task);
        }
    }
    Ok(())
}

/// One connection.
struct Connection {
    peer: SocketAddr,
    port: Arc<Port>,
    services: Arc<Services>,
    settle: Option<Settle>,
}

impl Connection {
    async fn drive(self, stream: Stream) {
        let Self {
            peer,
            port,
            services,
            settle,
        } = self;
        let limits = port.limits;
        let budget = Budget::new(limits.requests_size_bytes_max);
        let counted = Arc::clone(&budget);
        let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
            let taken = counted.begin();
            let extensions = request.extensions_mut();
            extensions.insert(Peer(peer));
            extensions.insert(taken.clone());
            if let Some(settle) = &settle {
                extensions.insert(settle.clone());
            }
            let services = Arc::clone(&services);
            async move {
                let request = request.map(|body| CountedBody::new(body, taken));
                services.call(request).await
            }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .max_concurrent_streams(limits.requests_max)
            .max_header_list_size(HEADERS_SIZE_BYTES_MAX)
            .initial_stream_window_size(STREAM_WINDOW_SIZE_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_SIZE_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let mut look = tokio::time::interval(LOOK_INTERVAL.min(limits.idle));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut busy = Instant::now();
        let ended = loop {
            tokio::select! {
                ended = connection.as_mut() => break ended,
                () = port.shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    let drained = tokio::time::timeout(limits.drain, connection.as_mut()).await;
                    break drained.unwrap_or(Ok(()));
                }
                _ = look.tick() => {
                    if !budget.is_idle() {
                        busy = Instant::now();
                    } else if busy.elapsed() >= limits.idle {
                        connection.as_mut().graceful_shutdown();
                        let drained = tokio::time::timeout(limits.drain, connection.as_mut()).await;
                        break drained.unwrap_or(Ok(()));
                    }
                }
            }
        };
        match ended {
            Ok(()) => tracing::debug!(%peer, port = "grpc", "connection closed"),
            Err(error) => tracing::debug!(%peer, port = "grpc", %error, "connection closed"),
        }
    }
}
