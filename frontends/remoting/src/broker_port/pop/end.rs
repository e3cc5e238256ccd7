//! Acknowledgements, and new times.

use std::sync::Arc;

use kourou_broker::Text;
use kourou_broker::delivery::{AckOutcome, DeliveryError, Handle, RetryKind};
use kourou_proto::body::BatchAckRequest;
use kourou_proto::remoting::request::{AckMessageHeader, ChangeInvisibleTimeHeader};
use kourou_proto::remoting::response::ChangeInvisibleTimeResponse;
use kourou_proto::{Command, HeaderFields, ResponseCode};

use super::Port;
use super::handle::{HandleText, REVIVE_QUEUE_ORDERED, retry_kind, revive_queue};
use crate::connection::ReplyTo;
use crate::limits::ACKS_PER_REQUEST_MAX;
use crate::refusal::Refusal;

/// What is said to an acknowledgement that changes nothing. Its code is success, as upstream's is.
const NOT_OUT: &str = "the message is not out under this handle: it was acknowledged before, or its time ended and it is \
                       delivered again, or it has a newer handle";

pub(in super::super) fn ack(port: &Arc<Port>, request: &Command, reply: ReplyTo) {
    let handle = match ack_handle(request) {
        Ok(handle) => handle,
        Err(refusal) => return refusal.send(reply),
    };
    port.broker.ack(&handle, move |acked| match acked {
        Ok(outcome) => {
            let mut answer = reply.command(ResponseCode::SUCCESS);
            if outcome == AckOutcome::NotOut {
                answer = answer.with_remark(NOT_OUT);
            }
            reply.send(answer);
        }
        Err(error) => refuse(&error, reply),
    });
}

fn ack_handle(request: &Command) -> Result<Handle, Refusal> {
    let header = AckMessageHeader::decode(request)?;
    let text = HandleText::parse(header.extra_info)?;
    Ok(text.of(
        header.consumer_group,
        header.topic,
        header.queue_id,
        header.offset,
    ))
}

pub(in super::super) fn batch_ack(port: &Arc<Port>, request: &Command, reply: ReplyTo) {
    let handles = match batch_handles(&request.body) {
        Ok(handles) => handles,
        Err(refusal) => return refusal.send(reply),
    };
    port.broker.ack_all(&handles, move |acked| match acked {
        Ok(_) => {
            let answer = reply.command(ResponseCode::SUCCESS);
            reply.send(answer);
        }
        Err(error) => refuse(&error, reply),
    });
}

fn batch_handles(body: &[u8]) -> Result<Vec<Handle>, Refusal> {
    if body.is_empty() {
        return Err(Refusal::new(
            ResponseCode::NO_MESSAGE,
            "there is no acknowledgement in the request",
        ));
    }
    let batch = BatchAckRequest::decode(body)?;
    if batch.acks.is_empty() {
        return Err(Refusal::new(
            ResponseCode::NO_MESSAGE,
            "there is no acknowledgement in the request",
        ));
    }
    let count: usize = batch.acks.iter().map(|ack| ack.bits.count()).sum();
    if count > ACKS_PER_REQUEST_MAX {
        let what =
            format!("the request acknowledges {count} messages, at most {ACKS_PER_REQUEST_MAX} are allowed");
        return Err(Refusal::new(ResponseCode::MESSAGE_ILLEGAL, what));
    }
    let mut handles = Vec::with_capacity(count);
    for ack in batch.acks {
        let kind = retry_kind(&ack.retry).unwrap_or(RetryKind::Normal);
        let group = Text::from(ack.consumer_group.as_str());
        let topic = Text::from(kind.topic(&ack.consumer_group, &ack.topic).as_str());
        handles.extend(ack.bits.iter().map(|distance| Handle {
            group: group.clone(),
            topic: topic.clone(),
            queue_id: ack.queue_id,
            offset: ack.start_offset.saturating_add(distance.into()),
            pop_ms: ack.pop_ms,
            invisible_ms: ack.invisible_ms,
            ordered: ack.revive_queue_id == REVIVE_QUEUE_ORDERED,
        }));
    }
    Ok(handles)
}

pub(in super::super) fn change_invisible(port: &Arc<Port>, request: &Command, reply: ReplyTo) {
    let (handle, invisible_ms) = match change_handle(request) {
        Ok(parsed) => parsed,
        Err(refusal) => return refusal.send(reply),
    };
    let ordered = handle.ordered;
    port.broker
        .change_invisible(&handle, invisible_ms, move |changed| match changed {
            Ok(changed) => {
                let answer = reply
                    .command(ResponseCode::SUCCESS)
                    .with_fields(&ChangeInvisibleTimeResponse {
                        pop_ms: changed.pop_ms,
                        invisible_ms: changed.invisible_ms,
                        revive_qid: revive_queue(ordered),
                    });
                reply.send(answer);
            }
            Err(error) => refuse(&error, reply),
        });
}

fn change_handle(request: &Command) -> Result<(Handle, i64), Refusal> {
    let header = ChangeInvisibleTimeHeader::decode(request)?;
    let text = HandleText::parse(header.extra_info)?;
    let handle = text.of(
        header.consumer_group,
        header.topic,
        header.queue_id,
        header.offset,
    );
    Ok((handle, header.invisible_ms))
}

fn refuse(error: &DeliveryError, reply: ReplyTo) {
    Refusal::of(error.response_code(), error).send(reply);
}
