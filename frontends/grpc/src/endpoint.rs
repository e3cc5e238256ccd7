//! The services without a port: for requests that are in memory already.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use kourou_broker::Broker;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use crate::budget::{Budget, CountedBody};
use crate::caller::Peer;
use crate::limits::Limits;
use crate::port::Port;
use crate::services::Services;

/// What [`crate::serve`] serves, for one caller, without connections: whoever embeds it, measures it or tries to break it has requests.
pub struct Endpoint {
    services: Services,
    port: Arc<Port>,
    budget: Arc<Budget>,
    peer: SocketAddr,
}

impl Endpoint {
    /// The services of a broker, for the caller at `peer`. They end when this is dropped.
    #[must_use]
    pub fn new(broker: Arc<Broker>, limits: Limits, peer: SocketAddr) -> Self {
        let advertised = broker.store_host();
        let port = Arc::new(Port::new(broker, limits, advertised, CancellationToken::new()));
        Self {
            services: Services::new(&port),
            budget: Budget::new(limits.requests_size_bytes_max),
            port,
            peer,
        }
    }

    /// Answers a request whose body is whole: messages, each behind its prefix of five bytes. The path names service and
    /// method. Streams go on for as long as the answer's body is read. Must be called inside a runtime.
    pub async fn call(&self, request: Request<Bytes>) -> Response<Body> {
        let taken = self.budget.begin();
        let mut request = request.map(|body| CountedBody::whole(body, taken.clone()));
        request.extensions_mut().insert(Peer(self.peer));
        request.extensions_mut().insert(taken);
        match self.services.call(request).await {
            Ok(response) => response,
            Err(impossible) => match impossible {},
        }
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.port.shutdown.cancel();
    }
}
