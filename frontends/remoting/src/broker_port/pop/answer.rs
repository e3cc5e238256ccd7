//! Answers to pops.

use std::sync::Arc;

use bytes::Bytes;
use kourou_broker::delivery::{PopError, PopRequest, Popped, PoppedMessage, PoppedQueue, RetryKind};
use kourou_proto::ResponseCode;
use kourou_proto::message::stored::StoredMessage;
use kourou_proto::remoting::response::PopMessageResponse;

use super::Port;
use super::handle::{Infos, POP_CK, revive_queue, text_of};
use crate::connection::ReplyTo;
use crate::refusal::Refusal;

/// Properties of a message that is delivered again which are not the consumer's affair: which delivery it ends, and the checksum of
/// the record as it is stored.
const NOT_FOR_CONSUMERS: [&str; 3] = ["POP_RETRY_OF", "__CRC32#", POP_CK];

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Messages.
pub(super) fn found(port: &Arc<Port>, request: &PopRequest, popped: &Popped, reply: ReplyTo) {
    let infos = Infos::of(popped);
    let fields = PopMessageResponse {
        pop_ms: popped.pop_ms,
        invisible_ms: popped.invisible_ms,
        revive_qid: revive_queue(popped.ordered),
        rest_num: signed(popped.rest),
        start_offset_info: Some(&infos.start_offsets),
        msg_offset_info: Some(&infos.offsets),
        order_count_info: Some(infos.order_counts.as_str()).filter(|_| popped.ordered),
    };
    let head = reply
        .command(ResponseCode::SUCCESS)
        .with_fields(&fields)
        .with_remark("FOUND");
    let broker_name = &port.broker.options().broker_name;
    let mut records = Vec::new();
    for queue in &popped.queues {
        for message in &queue.messages {
            let is_stored_elsewhere = *queue.topic != *request.topic.as_str();
            records.push(if queue.retry != RetryKind::Normal && is_stored_elsewhere {
                in_topic(popped, queue, message, &request.topic, broker_name)
            } else {
                message.record.clone()
            });
        }
    }
    reply.send_records(head, records);
}

/// A message out of a retry topic as one of the topic that was popped, with its handle in it: its client could not make that.
fn in_topic(
    popped: &Popped,
    queue: &PoppedQueue,
    message: &PoppedMessage,
    topic: &str,
    broker_name: &str,
) -> Bytes {
    // What cannot be read is the consumer's to see, under the name that it is stored by.
    let stored = || message.record.clone();
    let Ok((parsed, _)) = StoredMessage::parse(&message.record) else {
        return stored();
    };
    let mut properties = String::with_capacity(parsed.properties.len() + 80);
    for entry in parsed.properties.split_terminator('\u{2}') {
        let name = entry.split('\u{1}').next().unwrap_or_default();
        if !NOT_FOR_CONSUMERS.contains(&name) {
            properties.push_str(entry);
            properties.push('\u{2}');
        }
    }
    properties.push_str(POP_CK);
    properties.push('\u{1}');
    properties.push_str(&text_of(popped, queue, message.offset, broker_name));
    properties.push('\u{2}');
    let shown = StoredMessage {
        topic,
        properties: &properties,
        ..parsed
    };
    let mut out = Vec::with_capacity(message.record.len() + 80);
    match shown.encode(&mut out) {
        Ok(()) => out.into(),
        Err(_) => stored(),
    }
}

/// Nothing: as many wait as may, or nothing came.
pub(super) fn nothing(
    port: &Arc<Port>,
    request: &PopRequest,
    rest: u64,
    code: ResponseCode,
    remark: &str,
    reply: ReplyTo,
) {
    let fields = PopMessageResponse {
        pop_ms: port.broker.now_ms(),
        invisible_ms: request.invisible_ms,
        revive_qid: revive_queue(request.ordered),
        rest_num: signed(rest),
        start_offset_info: Some(""),
        msg_offset_info: Some(""),
        order_count_info: None,
    };
    let answer = reply
        .command(code)
        .with_fields(&fields)
        .with_remark(remark.to_owned());
    reply.send(answer);
}

/// The client has given up on the request by now.
pub(super) fn too_late(port: &Arc<Port>, request: &PopRequest, reply: ReplyTo) {
    let ip = port.broker.store_host().ip();
    let remark = format!("the broker[{ip}] pop message is timeout too much");
    nothing(port, request, 0, ResponseCode::POLLING_TIMEOUT, &remark, reply);
}

pub(super) fn refuse(error: &PopError, reply: ReplyTo) {
    Refusal::of(error.response_code(), error).send(reply);
}
