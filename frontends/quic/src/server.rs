//! The port: accepts connections and hands their streams on.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use kourou_tls::{Tls, TlsError};
use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{Connection, EndpointConfig, Incoming, ServerConfig, TokioRuntime, VarInt};
use thiserror::Error;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::hello::Hello;
use crate::limits::Limits;
use crate::protocol::Protocol;
use crate::stream::Stream;

/// Takes a stream of a connection with this peer; false if there is no room for it.
pub type HandOn = Arc<dyn Fn(Stream, SocketAddr) -> bool + Send + Sync>;

/// Why there is no port.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The address is in use or not ours.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The library for QUIC cannot use the one for TLS.
    #[error("TLS without the cipher suite that QUIC begins with")]
    CipherSuite(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
}

/// A bound UDP port.
#[derive(Debug)]
pub struct Endpoint {
    quic: quinn::Endpoint,
    limits: Limits,
}

impl Endpoint {
    /// Binds a UDP port that shows the certificate of `tls` and speaks `protocols`. Must be called inside a runtime.
    ///
    /// # Errors
    ///
    /// The address is in use or not ours, or the certificate cannot be used.
    pub fn listen(
        address: SocketAddr,
        tls: &Tls,
        protocols: &[Protocol],
        limits: Limits,
    ) -> Result<Self, ListenError> {
        let names: Vec<&[u8]> = protocols.iter().map(|protocol| protocol.alpn()).collect();
        let crypto = QuicServerConfig::try_from(tls.quic(&names)?)?;
        let mut config = ServerConfig::with_crypto(Arc::new(crypto));
        config.transport_config(limits.of_port());
        let socket = UdpSocket::bind(address)?;
        let runtime = Arc::new(TokioRuntime);
        let quic = quinn::Endpoint::new(EndpointConfig::default(), Some(config), socket, runtime)?;
        Ok(Self { quic, limits })
    }

    /// Where it is.
    ///
    /// # Errors
    ///
    /// The system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.quic.local_addr()
    }
}

/// What all connections of the port share.
struct Port {
    limits: Limits,
    hello: Hello,
    broker: Option<HandOn>,
    name_server: Option<HandOn>,
    streams: TaskTracker,
}

/// Accepts until `shutdown`, and hands the streams of each protocol to whoever speaks it. Then the streams that are there may end, for as
/// long as [`Limits::drain`] says, before all connections are closed.
pub async fn serve(
    endpoint: Endpoint,
    hello: Hello,
    broker: Option<HandOn>,
    name_server: Option<HandOn>,
    shutdown: CancellationToken,
) {
    let Endpoint { quic, limits } = endpoint;
    let port = Arc::new(Port {
        limits,
        hello,
        broker,
        name_server,
        streams: TaskTracker::new(),
    });
    let connections = TaskTracker::new();
    let handshakes = TaskTracker::new();
    loop {
        let incoming = tokio::select! {
            incoming = quic.accept() => incoming,
            () = shutdown.cancelled() => break,
        };
        let Some(incoming) = incoming else { break };
        if connections.len() >= limits.connections_max {
            tracing::debug!(peer = %incoming.remote_address(), connections_max = limits.connections_max, "too many QUIC connections");
            incoming.refuse();
            continue;
        }
        if !incoming.remote_address_validated() && handshakes.len() >= limits.handshakes_unproved_max {
            // Fails only if the address was proved.
            let _ = incoming.retry();
            continue;
        }
        let handshake = handshakes.token();
        let (port, shutdown) = (Arc::clone(&port), shutdown.clone());
        connections.spawn(async move {
            let peer = incoming.remote_address();
            let connection = port.greet(incoming).await;
            drop(handshake);
            match connection {
                Ok((connection, protocol)) => port.hand_on(&connection, protocol, &shutdown).await,
                Err(reason) => tracing::debug!(%peer, reason, "no QUIC connection"),
            }
        });
    }
    port.streams.close();
    let _ = timeout(limits.drain, port.streams.wait()).await;
    quic.close(VarInt::from_u32(0), b"the server stops");
    connections.close();
    let _ = timeout(limits.drain, async {
        connections.wait().await;
        quic.wait_idle().await;
    })
    .await;
}

impl Port {
    /// A connection of which both sides know what is spoken.
    async fn greet(&self, incoming: Incoming) -> Result<(Connection, Protocol), String> {
        let greeting = async {
            let connection = incoming
                .accept()
                .map_err(|error| error.to_string())?
                .await
                .map_err(|error| error.to_string())?;
            // The handshake fails without a common name.
            let protocol = spoken(&connection).ok_or("no protocol was agreed on")?;
            self.hello
                .say(&connection)
                .await
                .map_err(|error| error.to_string())?;
            Ok((connection, protocol))
        };
        timeout(self.limits.handshake, greeting)
            .await
            .unwrap_or_else(|_| Err("the handshake took too long".to_owned()))
    }

    /// Hands on the streams of a connection until it ends.
    async fn hand_on(&self, connection: &Connection, protocol: Protocol, shutdown: &CancellationToken) {
        let hand_on = match protocol {
            Protocol::Broker => &self.broker,
            Protocol::NameServer => &self.name_server,
        };
        let Some(hand_on) = hand_on else { return };
        loop {
            let stream = tokio::select! {
                stream = connection.accept_bi() => stream,
                // What is there is answered; the connection stays for that.
                () = shutdown.cancelled() => {
                    connection.closed().await;
                    return;
                }
            };
            let (send, receive) = match stream {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::debug!(peer = %connection.remote_address(), %error, "QUIC connection closed");
                    return;
                }
            };
            let stream = Stream::new(send, receive, Some(self.streams.token()));
            // Dropped, and so ended, if there is no room.
            if !hand_on(stream, connection.remote_address()) {
                tracing::debug!(peer = %connection.remote_address(), "no room for a QUIC stream");
            }
        }
    }
}

fn spoken(connection: &Connection) -> Option<Protocol> {
    let data = connection.handshake_data()?.downcast::<HandshakeData>().ok()?;
    Protocol::of(&data.protocol?)
}
