//! The QUIC port: its streams go to the very parts that serve TCP connections.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use kourou_quic::{Endpoint, HandOn, Hello, Limits, ListenError, Protocol};
use kourou_remoting::{Accepted, Listener};
use kourou_tls::Tls;
use tokio::sync::mpsc;

use super::Group;
use crate::config::Settings;

/// Streams that wait to be accepted by the part that they are for. Beyond the bound a new one is ended at once.
const BACKLOG: usize = 1_024;

/// Binds the port; none for port 0.
pub(super) fn bind(settings: &Settings, tls: &Tls, with_name_server: bool) -> Result<Option<Endpoint>> {
    if settings.quic_port == 0 {
        return Ok(None);
    }
    let protocols: &[Protocol] = match with_name_server {
        true => &Protocol::ALL,
        false => &[Protocol::Broker],
    };
    let address = SocketAddr::new(settings.bind, settings.quic_port);
    Endpoint::listen(address, tls, protocols, Limits::default())
        .map(Some)
        .map_err(|error| match error {
            ListenError::Io(error) => super::cannot_listen(settings, address, "quic-port", &error),
            error => anyhow!("cannot listen on {address} (UDP): {error}"),
        })
}

/// What a QUIC port brings to the parts that speak remoting.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) broker: Option<Listener>,
    pub(super) name_server: Option<Listener>,
}

/// Serves the port; `broker` is what routes call the broker of this process.
pub(super) fn serve(
    frontends: &Group,
    endpoint: Endpoint,
    broker: SocketAddr,
    with_name_server: bool,
) -> Streams {
    let (broker_listener, to_broker) = handed_on();
    let (names_listener, to_names) = with_name_server.then(handed_on).unzip();
    let hello = Hello {
        broker: broker.to_string(),
    };
    let shutdown = frontends.shutdown.clone();
    frontends.tasks.spawn(kourou_quic::serve(
        endpoint,
        hello,
        Some(to_broker),
        to_names,
        shutdown,
    ));
    Streams {
        broker: Some(broker_listener),
        name_server: names_listener,
    }
}

/// A listener of streams, and how they are handed to it.
fn handed_on() -> (Listener, HandOn) {
    let (sender, accepted) = mpsc::channel(BACKLOG);
    let hand_on: HandOn = Arc::new(move |stream, peer| sender.try_send(Accepted::new(stream, peer)).is_ok());
    (Listener::from(accepted), hand_on)
}

/// What a start says of it.
pub(super) fn line(endpoint: &Endpoint, tls: &Tls) -> Result<String> {
    Ok(format!(
        "{}, certificate SHA-256 {}",
        endpoint.local_addr()?,
        tls.fingerprint()
    ))
}
