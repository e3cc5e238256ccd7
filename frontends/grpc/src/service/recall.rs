//! Recalls of messages that wait for their time.

use kourou_broker::{RecallError, RecallRequest};
use tokio::sync::oneshot;

use crate::message::check_type;
use crate::names;
use crate::port::Port;
use crate::refusal::{Refusal, ok};
use crate::wire::v2::{Code, MessageType, RecallMessageRequest, RecallMessageResponse};

/// Takes a message back, and answers once that is durable: it is never delivered.
pub(super) async fn recall(
    port: &Port,
    request: &RecallMessageRequest,
) -> Result<RecallMessageResponse, Refusal> {
    let topic = names::topic(request.topic.as_ref())?;
    let config = port
        .broker
        .topic(topic)
        .ok_or_else(|| Refusal::topic_not_found(topic))?;
    check_type(&config, MessageType::Delay)?;
    let recall = RecallRequest {
        topic: topic.to_owned(),
        handle: request.recall_handle.clone(),
    };
    let (told, outcome) = oneshot::channel();
    let done = move |recalled| {
        // Nobody waits any more if the client has given up; the message is taken back all the same.
        let _ = told.send(recalled);
    };
    if port.broker.recall_may_block(&recall) {
        let broker = port.broker.clone();
        port.blocking(move || broker.recall(&recall, done)).await?;
    } else {
        port.broker.recall(&recall, done);
    }
    let recalled = outcome
        .await
        .map_err(|_| Refusal::new(Code::InternalServerError, "the broker has stopped"))?;
    Ok(RecallMessageResponse {
        status: Some(ok()),
        message_id: recalled.map_err(refusal)?,
    })
}

fn refusal(error: RecallError) -> Refusal {
    let code = match &error {
        RecallError::BadHandle | RecallError::OtherTopic { .. } | RecallError::OtherBroker { .. } => {
            Code::BadRequest
        }
        RecallError::Due { .. } | RecallError::InFlight => Code::PreconditionFailed,
        RecallError::NotWaiting => Code::MessageNotFound,
        other => return Refusal::of(other.response_code(), other),
    };
    Refusal::new(code, error.to_string())
}
