//! The local side: TCP ports whose connections go on as streams of a QUIC connection.
//!
//! A name server's answers name brokers by addresses. What they say of the broker behind the QUIC port is replaced by the link's own port
//! for it, so that clients come this way for both. Other brokers are left as they are: how to reach them by QUIC is not known here.

mod dial;
mod error;
mod local;
mod route;

use std::net::SocketAddr;
use std::sync::Arc;

use kourou_tls::Trust;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use error::LinkError;

use crate::limits::Limits;
use crate::protocol::Protocol;
use dial::Dialer;

/// Where a link leads, and whom it believes.
#[derive(Debug, Clone)]
pub struct LinkOptions {
    /// Name or address of the server.
    pub host: String,
    /// Its UDP port.
    pub port: u16,
    /// What the server's certificate has to be good for; `host`, if none is given.
    pub server_name: Option<String>,
    /// Which servers are believed.
    pub trust: Trust,
    /// Bounds.
    pub limits: Limits,
}

/// A link whose server has answered.
#[derive(Debug)]
pub struct Link {
    names: Arc<Dialer>,
    broker: Arc<Dialer>,
}

impl Link {
    /// Connects, so that what is wrong is told at once. Must be called inside a runtime.
    ///
    /// # Errors
    ///
    /// The server cannot be reached, is not believed, or is no port of this kind.
    pub async fn open(options: LinkOptions) -> Result<Self, LinkError> {
        let options = Arc::new(options);
        let link = Self {
            names: Arc::new(Dialer::new(&options, Protocol::NameServer)?),
            broker: Arc::new(Dialer::new(&options, Protocol::Broker)?),
        };
        link.names.connection().await?;
        Ok(link)
    }

    /// What routes call the broker behind the link; empty without one.
    ///
    /// # Errors
    ///
    /// The server cannot be reached any more.
    pub async fn broker(&self) -> Result<String, LinkError> {
        Ok(self.names.connection().await?.hello.broker.clone())
    }

    /// Carries the connections of two local ports until `shutdown`: one that is like the name server's, one that is like the broker's.
    /// When the server is lost all of them are closed, as if it had been restarted; clients come back by themselves.
    ///
    /// # Errors
    ///
    /// The system does not say where `broker` listens.
    pub async fn serve(
        self,
        names: TcpListener,
        broker: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<(), LinkError> {
        let here: SocketAddr = broker.local_addr()?;
        tokio::join!(
            local::serve(names, self.names, Some(here), shutdown.clone()),
            local::serve(broker, self.broker, None, shutdown),
        );
        Ok(())
    }
}
