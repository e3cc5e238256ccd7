//! Which service a request is for.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;

use crate::budget::CountedBody;
use crate::health::HealthService;
use crate::port::Port;
use crate::service::Messaging;
use crate::wire::DESCRIPTORS;
use crate::wire::health::health_server::HealthServer;
use crate::wire::v2::messaging_service_server::MessagingServiceServer;

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;
type Call = Box<dyn Fn(Request<CountedBody>) -> Answering + Send + Sync>;

/// Everything that the port serves.
pub(crate) struct Services {
    by_name: Vec<(&'static str, Call)>,
}

impl Services {
    pub(crate) fn new(port: &Arc<Port>) -> Self {
        let messaging = MessagingServiceServer::new(Messaging {
            port: Arc::clone(port),
        })
        .max_decoding_message_size(port.limits.request_size_bytes_max)
        .max_encoding_message_size(usize::MAX);
        let mut by_name = vec![
            named(messaging),
            named(HealthServer::new(HealthService {
                port: Arc::clone(port),
            })),
        ];
        let reflection = || {
            tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(DESCRIPTORS)
        };
        match (reflection().build_v1(), reflection().build_v1alpha()) {
            (Ok(new), Ok(old)) => by_name.extend([named(new), named(old)]),
            (Err(error), _) | (_, Err(error)) => tracing::error!(%error, "there is no reflection"),
        }
        Self { by_name }
    }

    /// Answers a request.
    pub(crate) async fn call(&self, request: Request<CountedBody>) -> Result<Response<Body>, Infallible> {
        let service = request.uri().path().trim_start_matches('/');
        let service = service.split('/').next().unwrap_or_default();
        match self.by_name.iter().find(|(name, _)| *name == service) {
            Some((_, call)) => call(request).await,
            None => Ok(Status::unimplemented("there is no such service").into_http()),
        }
    }
}

fn named<S>(service: S) -> (&'static str, Call)
where
    S: Service<Request<CountedBody>, Response = Response<Body>, Error = Infallible> + NamedService,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let call = move |request| -> Answering {
        let mut service = service.clone();
        // These are always ready.
        Box::pin(async move { service.call(request).await })
    };
    (S::NAME, Box::new(call))
}
