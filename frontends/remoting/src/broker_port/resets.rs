//! Offsets that administrators set.

use std::sync::Arc;

use kourou_broker::offset::ResetRequest;
use kourou_broker::{Broker, Text};
use kourou_proto::body::ResetOffsetBody;
use kourou_proto::remoting::request::{AdminResetOffsetHeader, CloneGroupOffsetHeader};
use kourou_proto::{Command, HeaderFields, Language, ResponseCode};

use super::topics::message_queue;
use crate::connection::ReplyTo;
use crate::refusal::Refusal;

/// INVOKE_BROKER_TO_RESET_OFFSET (222).
pub(super) fn reset(broker: &Arc<Broker>, request: &Command, reply: ReplyTo) {
    let header = match AdminResetOffsetHeader::decode(request) {
        Ok(header) => header,
        Err(error) => return Refusal::from(error).send(reply),
    };
    let reset = ResetRequest {
        group: Text::from(header.group),
        topic: Text::from(header.topic),
        queue_id: u32::try_from(header.queue_id).ok(),
        offset: header.offset.filter(|offset| *offset != -1),
        timestamp_ms: header.timestamp_ms,
        force: header.force,
        as_list: request.header.language == Language::Cpp,
    };
    tracing::info!(
        group = header.group,
        topic = header.topic,
        queue_id = header.queue_id,
        offset = header.offset,
        timestamp_ms = header.timestamp_ms,
        peer = %reply.connection().peer(),
        "a group's offsets are to be reset"
    );
    let named = Arc::clone(broker);
    let topic = reset.topic.clone();
    broker.reset_offsets(&reset, move |done| match done {
        Ok(offsets) => {
            let queues = offsets.iter().map(|(queue_id, offset)| {
                let offset = i64::try_from(*offset).unwrap_or(i64::MAX);
                (message_queue(&named, &topic, *queue_id), offset)
            });
            let offset_table = queues.collect();
            let answer = reply
                .command(ResponseCode::SUCCESS)
                .with_body(ResetOffsetBody { offset_table }.encode());
            reply.send(answer);
        }
        Err(error) => Refusal::of(error.response_code(), &error).send(reply),
    });
}

/// CLONE_GROUP_OFFSET (314).
pub(super) fn clone(broker: &Arc<Broker>, request: &Command, reply: ReplyTo) {
    let header = match CloneGroupOffsetHeader::decode(request) {
        Ok(header) => header,
        Err(error) => return Refusal::from(error).send(reply),
    };
    let topic = header.topic.filter(|topic| !topic.trim().is_empty());
    broker.clone_offsets(
        header.src_group,
        header.dest_group,
        topic,
        header.offline,
        move |done| match done {
            Ok(()) => {
                let answer = reply.command(ResponseCode::SUCCESS);
                reply.send(answer);
            }
            Err(error) => Refusal::of(error.response_code(), &error).send(reply),
        },
    );
}
