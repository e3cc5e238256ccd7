//! A local TCP port of a link.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, copy, copy_bidirectional, split};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::dial::Dialer;
use super::route::{Rename, carry_renamed};
use crate::stream::Stream;

/// TCP connections of one port. Beyond the bound a new one is closed at once.
const CONNECTIONS_MAX: usize = 4_096;

/// How long to wait after the system refused a connection for want of descriptors or memory.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Accepts until `shutdown`; what is open then is closed. With `broker_here`, what a name server says of the broker is replaced by that.
pub(super) async fn serve(
    listener: TcpListener,
    dialer: Arc<Dialer>,
    broker_here: Option<SocketAddr>,
    shutdown: CancellationToken,
) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        let tcp = match accepted {
            Ok((tcp, _)) if connections.len() < CONNECTIONS_MAX => tcp,
            Ok(_) => continue,
            Err(error) => {
                tracing::warn!(%error, "connections cannot be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let (dialer, shutdown) = (Arc::clone(&dialer), shutdown.clone());
        connections.spawn(async move { shutdown.run_until_cancelled(one(tcp, &dialer, broker_here)).await });
    }
    connections.close();
    connections.wait().await;
}

async fn one(tcp: TcpStream, dialer: &Dialer, broker_here: Option<SocketAddr>) {
    let (stream, peer) = match dialer.stream().await {
        Ok(opened) => opened,
        Err(error) => {
            tracing::warn!(%error, "a connection is closed, as it leads nowhere");
            return;
        }
    };
    let rename = broker_here
        .filter(|_| !peer.hello.broker.is_empty())
        .map(|here| Rename::new(&peer.hello.broker, &here.to_string()));
    let carried = match tcp.set_nodelay(true) {
        Ok(()) => carry(tcp, stream, rename).await,
        Err(error) => Err(error),
    };
    if let Err(error) = carried {
        tracing::debug!(%error, to = dialer.to(), "a connection has ended");
    }
}

/// Both ways, until both have ended or one has failed.
async fn carry(mut tcp: TcpStream, mut stream: Stream, rename: Option<Rename>) -> io::Result<()> {
    let Some(rename) = rename else {
        return copy_bidirectional(&mut tcp, &mut stream).await.map(drop);
    };
    let (mut from_client, mut to_client) = split(tcp);
    let (mut from_server, mut to_server) = split(stream);
    let asked = async {
        copy(&mut from_client, &mut to_server).await?;
        to_server.shutdown().await
    };
    let answered = async {
        carry_renamed(&mut from_server, &mut to_client, &rename).await?;
        to_client.shutdown().await
    };
    tokio::try_join!(asked, answered).map(drop)
}
