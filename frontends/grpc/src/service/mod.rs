//! The messaging service: each call, turned into calls of the broker. What is refused is told inside a successful answer, as clients
//! expect it.

mod ack;
mod clients;
mod lite;
mod offsets;
mod pull;
mod recall;
mod receive;
mod route;
mod send;
mod transaction;

use std::sync::Arc;

use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use crate::caller::Caller;
use crate::clients::telemetry;
use crate::port::Port;
use crate::refusal::Refusal;
use crate::wire::v2;
use crate::wire::v2::messaging_service_server::MessagingService;
use crate::wire::v2::{
    AckMessageRequest, AckMessageResponse, ChangeInvisibleDurationRequest, ChangeInvisibleDurationResponse,
    Code, EndTransactionRequest, EndTransactionResponse, ForwardMessageToDeadLetterQueueRequest,
    ForwardMessageToDeadLetterQueueResponse, GetOffsetRequest, GetOffsetResponse, HeartbeatRequest,
    HeartbeatResponse, NotifyClientTerminationRequest, NotifyClientTerminationResponse, PullMessageRequest,
    PullMessageResponse, QueryAssignmentRequest, QueryAssignmentResponse, QueryOffsetRequest,
    QueryOffsetResponse, QueryRouteRequest, QueryRouteResponse, RecallMessageRequest, RecallMessageResponse,
    ReceiveMessageRequest, ReceiveMessageResponse, SendMessageRequest, SendMessageResponse,
    SyncLiteSubscriptionRequest, SyncLiteSubscriptionResponse, TelemetryCommand, UpdateOffsetRequest,
    UpdateOffsetResponse,
};

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct Messaging {
    pub(crate) port: Arc<Port>,
}

fn refused<A: Default>(say: impl FnOnce(&mut A)) -> A {
    let mut answer = A::default();
    say(&mut answer);
    answer
}

/// Answers with what the call says, or with its refusal as the answer's status.
macro_rules! answer {
    ($answer:ident, $request:ident, $caller:ident => $call:expr) => {{
        let made = match Caller::of(&$request) {
            Ok($caller) => $call,
            Err(refusal) => Err(refusal),
        };
        Ok(Response::new(made.unwrap_or_else(|refusal| {
            refused(|answer: &mut $answer| answer.status = Some(refusal.into()))
        })))
    }};
}

/// What all entries of an answer say, or that they say different things.
fn common<'a>(mut statuses: impl Iterator<Item = Option<&'a v2::Status>>) -> v2::Status {
    let first = statuses.next().flatten().cloned().unwrap_or_default();
    if statuses.all(|status| status.is_some_and(|status| status.code == first.code)) {
        return first;
    }
    Refusal::new(Code::MultipleResults, "the messages had different outcomes").into()
}

#[tonic::async_trait]
impl MessagingService for Messaging {
    async fn telemetry(
        &self,
        request: Request<Streaming<TelemetryCommand>>,
    ) -> Result<Response<BoxStream<TelemetryCommand>>, Status> {
        Ok(Response::new(Box::pin(telemetry(&self.port, request))))
    }

    async fn heartbeat(
        &self,
        request: Request<HeartbeatRequest>,
    ) -> Result<Response<HeartbeatResponse>, Status> {
        answer!(HeartbeatResponse, request, caller => clients::heartbeat(&self.port, &caller, request.get_ref()))
    }

    async fn notify_client_termination(
        &self,
        request: Request<NotifyClientTerminationRequest>,
    ) -> Result<Response<NotifyClientTerminationResponse>, Status> {
        answer!(NotifyClientTerminationResponse, request, caller => clients::terminate(&self.port, &caller))
    }

    async fn query_route(
        &self,
        request: Request<QueryRouteRequest>,
    ) -> Result<Response<QueryRouteResponse>, Status> {
        answer!(QueryRouteResponse, request, _caller => route::route(&self.port, request.get_ref()))
    }

    async fn query_assignment(
        &self,
        request: Request<QueryAssignmentRequest>,
    ) -> Result<Response<QueryAssignmentResponse>, Status> {
        answer!(QueryAssignmentResponse, request, _caller => route::assignment(&self.port, request.get_ref()))
    }

    async fn send_message(
        &self,
        request: Request<SendMessageRequest>,
    ) -> Result<Response<SendMessageResponse>, Status> {
        answer!(SendMessageResponse, request, caller => send::send(&self.port, &caller, request).await)
    }

    async fn end_transaction(
        &self,
        request: Request<EndTransactionRequest>,
    ) -> Result<Response<EndTransactionResponse>, Status> {
        answer!(EndTransactionResponse, request, _caller => transaction::end(&self.port, request.get_ref()).await)
    }

    async fn pull_message(
        &self,
        request: Request<PullMessageRequest>,
    ) -> Result<Response<BoxStream<PullMessageResponse>>, Status> {
        Ok(Response::new(pull::pull(&self.port, request)))
    }

    async fn receive_message(
        &self,
        request: Request<ReceiveMessageRequest>,
    ) -> Result<Response<BoxStream<ReceiveMessageResponse>>, Status> {
        Ok(Response::new(receive::receive(&self.port, request)))
    }

    async fn ack_message(
        &self,
        request: Request<AckMessageRequest>,
    ) -> Result<Response<AckMessageResponse>, Status> {
        answer!(AckMessageResponse, request, _caller => ack::ack(&self.port, request.get_ref()).await)
    }

    async fn change_invisible_duration(
        &self,
        request: Request<ChangeInvisibleDurationRequest>,
    ) -> Result<Response<ChangeInvisibleDurationResponse>, Status> {
        answer!(ChangeInvisibleDurationResponse, request, _caller => ack::change(&self.port, request.get_ref()).await)
    }

    async fn forward_message_to_dead_letter_queue(
        &self,
        request: Request<ForwardMessageToDeadLetterQueueRequest>,
    ) -> Result<Response<ForwardMessageToDeadLetterQueueResponse>, Status> {
        answer!(ForwardMessageToDeadLetterQueueResponse, request, _caller => ack::bury(&self.port, request.get_ref()).await)
    }

    async fn recall_message(
        &self,
        request: Request<RecallMessageRequest>,
    ) -> Result<Response<RecallMessageResponse>, Status> {
        answer!(RecallMessageResponse, request, _caller => recall::recall(&self.port, request.get_ref()).await)
    }

    async fn sync_lite_subscription(
        &self,
        request: Request<SyncLiteSubscriptionRequest>,
    ) -> Result<Response<SyncLiteSubscriptionResponse>, Status> {
        answer!(SyncLiteSubscriptionResponse, request, caller => lite::sync(&self.port, &caller, request.into_inner()).await)
    }

    async fn update_offset(
        &self,
        request: Request<UpdateOffsetRequest>,
    ) -> Result<Response<UpdateOffsetResponse>, Status> {
        answer!(UpdateOffsetResponse, request, _caller => offsets::update(&self.port, request.get_ref()).await)
    }

    async fn get_offset(
        &self,
        request: Request<GetOffsetRequest>,
    ) -> Result<Response<GetOffsetResponse>, Status> {
        answer!(GetOffsetResponse, request, _caller => offsets::get(&self.port, request.get_ref()))
    }

    async fn query_offset(
        &self,
        request: Request<QueryOffsetRequest>,
    ) -> Result<Response<QueryOffsetResponse>, Status> {
        answer!(QueryOffsetResponse, request, _caller => offsets::query(&self.port, request.get_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_status_for_all() {
        let status = |code: Code| v2::Status::from(Refusal::new(code, ""));
        let (ok, busy) = (status(Code::Ok), status(Code::TooManyRequests));
        assert_eq!(common([Some(&ok), Some(&ok)].into_iter()).code(), Code::Ok);
        assert_eq!(
            common([Some(&ok), Some(&busy)].into_iter()).code(),
            Code::MultipleResults
        );
        assert_eq!(common([Some(&busy)].into_iter()).code(), Code::TooManyRequests);
    }
}
