//! The QUIC connection of a link for one protocol: made when it is needed, and made again when it is lost.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint};
use tokio::net::lookup_host;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::{LinkError, LinkOptions};
use crate::hello::Hello;
use crate::protocol::Protocol;
use crate::stream::Stream;

/// How long one address, and one stream, is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection, and what its server has said of itself.
#[derive(Debug)]
pub(super) struct Peer {
    connection: Connection,
    pub(super) hello: Hello,
}

#[derive(Debug)]
pub(super) struct Dialer {
    options: Arc<LinkOptions>,
    config: ClientConfig,
    /// One for each family of addresses, made with the first connection that needs it.
    endpoints: Mutex<[Option<Endpoint>; 2]>,
    current: Mutex<Option<Arc<Peer>>>,
}

impl Dialer {
    pub(super) fn new(options: &Arc<LinkOptions>, protocol: Protocol) -> Result<Self, LinkError> {
        let tls = options.trust.client(protocol.alpn())?;
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(Arc::new(tls))?));
        config.transport_config(options.limits.of_link());
        Ok(Self {
            options: Arc::clone(options),
            config,
            endpoints: Mutex::default(),
            current: Mutex::default(),
        })
    }

    /// The connection, made if there is none.
    pub(super) async fn connection(&self) -> Result<Arc<Peer>, LinkError> {
        let mut current = self.current.lock().await;
        if let Some(peer) = current.as_ref()
            && peer.connection.close_reason().is_none()
        {
            return Ok(Arc::clone(peer));
        }
        let peer = Arc::new(self.connect().await?);
        *current = Some(Arc::clone(&peer));
        Ok(peer)
    }

    /// A new stream, and what the server of its connection has said of itself.
    pub(super) async fn stream(&self) -> Result<(Stream, Arc<Peer>), LinkError> {
        let peer = self.connection().await?;
        let opened = timeout(PATIENCE, peer.connection.open_bi()).await;
        let (send, receive) = opened
            .map_err(|_| LinkError::Streams { to: self.to() })?
            .map_err(|source| self.lost(source))?;
        Ok((Stream::new(send, receive, None), peer))
    }

    /// Tries one address after the other.
    async fn connect(&self) -> Result<Peer, LinkError> {
        let LinkOptions { host, port, .. } = self.options.as_ref();
        let addresses = lookup_host((host.as_str(), *port))
            .await
            .map_err(|source| LinkError::Name {
                host: host.clone(),
                source,
            })?;
        let mut failure = LinkError::NoAddress { host: host.clone() };
        for address in addresses {
            match self.connect_to(address).await {
                Ok(peer) => return Ok(peer),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn connect_to(&self, address: SocketAddr) -> Result<Peer, LinkError> {
        let endpoint = self.endpoint(address.is_ipv6()).await?;
        let name = self.options.server_name.as_ref().unwrap_or(&self.options.host);
        let connecting = endpoint
            .connect_with(self.config.clone(), address, name)
            .map_err(|source| LinkError::Connect {
                to: self.to(),
                source,
            })?;
        let silent = || LinkError::Silent {
            to: self.to(),
            seconds: PATIENCE.as_secs(),
        };
        let connection = timeout(PATIENCE, connecting)
            .await
            .map_err(|_| silent())?
            .map_err(|source| self.lost(source))?;
        let hello = timeout(PATIENCE, Hello::hear(&connection))
            .await
            .map_err(|_| silent())?
            .ok_or_else(|| LinkError::NoHello { to: self.to() })?;
        Ok(Peer { connection, hello })
    }

    async fn endpoint(&self, ipv6: bool) -> Result<Endpoint, LinkError> {
        let slot = &mut self.endpoints.lock().await[usize::from(ipv6)];
        if let Some(endpoint) = slot {
            return Ok(endpoint.clone());
        }
        let any = match ipv6 {
            true => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
            false => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        };
        Ok(slot.insert(Endpoint::client(any)?).clone())
    }

    fn lost(&self, source: quinn::ConnectionError) -> LinkError {
        LinkError::Connection {
            to: self.to(),
            source,
        }
    }

    pub(super) fn to(&self) -> String {
        format!("{}:{}", self.options.host, self.options.port)
    }
}
