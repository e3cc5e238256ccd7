//! The standard health service: whether the broker serves, for load balancers and orchestrators.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use kourou_engine::Health;
use tokio::sync::mpsc;
use tonic::codegen::BoxStream;
use tonic::codegen::tokio_stream::Stream;
use tonic::{Request, Response, Status};

use crate::port::Port;
use crate::wire::health::health_check_response::ServingStatus;
use crate::wire::health::{HealthCheckRequest, HealthCheckResponse, health_server};

/// How often a watched answer is looked at again.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// What can be asked about, beside the server as a whole.
const SERVICES: [&str; 2] = ["apache.rocketmq.v2.MessagingService", "grpc.health.v1.Health"];

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct HealthService {
    pub(crate) port: Arc<Port>,
}

impl HealthService {
    /// With a full disk the broker serves: reads and offsets go on.
    fn status(&self, service: &str) -> ServingStatus {
        if !service.is_empty() && !SERVICES.contains(&service) {
            return ServingStatus::ServiceUnknown;
        }
        match self.port.broker.engine().health() {
            _ if self.port.shutdown.is_cancelled() => ServingStatus::NotServing,
            Health::Running | Health::Full => ServingStatus::Serving,
            _ => ServingStatus::NotServing,
        }
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

/// Answers whenever they change.
#[derive(Debug)]
pub(crate) struct Watched(mpsc::Receiver<ServingStatus>);

impl Stream for Watched {
    type Item = Result<HealthCheckResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0
            .poll_recv(context)
            .map(|status| status.map(|status| Ok(answer(status))))
    }
}

#[tonic::async_trait]
impl health_server::Health for HealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match self.status(&request.get_ref().service) {
            ServingStatus::ServiceUnknown => Err(Status::not_found("there is no such service")),
            status => Ok(Response::new(answer(status))),
        }
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<BoxStream<HealthCheckResponse>>, Status> {
        let (statuses, stream) = mpsc::channel(1);
        let watching = self.clone();
        tokio::spawn(async move {
            let service = &request.get_ref().service;
            let mut last = None;
            loop {
                let now = watching.status(service);
                if last != Some(now) && statuses.send(now).await.is_err() {
                    return;
                }
                last = Some(now);
                tokio::select! {
                    () = tokio::time::sleep(WATCH_INTERVAL) => {}
                    () = statuses.closed() => return,
                    () = watching.port.shutdown.cancelled() => {
                        let _ = statuses.send(ServingStatus::NotServing).await;
                        return;
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(Watched(stream))))
    }
}
