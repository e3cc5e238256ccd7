//! Offsets: of groups, and of the queues themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use kourou_broker::{Broker, Text};
use kourou_engine::Boundary;
use kourou_proto::body::{ConsumerOffsetTable, DataVersion};
use kourou_proto::remoting::request::{
    GetMaxOffsetHeader, QueryConsumerOffsetHeader, QueueHeader, SearchOffsetHeader,
    UpdateConsumerOffsetHeader,
};
use kourou_proto::remoting::response::{OffsetResponse, TimestampResponse};
use kourou_proto::{Command, HeaderFields, ResponseCode};

use crate::connection::ReplyTo;
use crate::refusal::Refusal;

type Made = Result<Command, Refusal>;

/// An offset as the wire has it.
fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

fn queue(queue_id: i32) -> Result<u32, Refusal> {
    u32::try_from(queue_id).map_err(|_| {
        Refusal::new(
            ResponseCode::INVALID_PARAMETER,
            format!("queueId {queue_id} is illegal"),
        )
    })
}

/// A commit that somebody waits for is durable when it is answered; any other is with the next flush.
pub(super) fn update(broker: &Arc<Broker>, request: &Command, reply: ReplyTo) {
    let header = match UpdateConsumerOffsetHeader::decode(request) {
        Ok(header) => header,
        Err(error) => return Refusal::from(error).send(reply),
    };
    let (group, topic) = (Text::from(header.consumer_group), Text::from(header.topic));
    if request.is_oneway() {
        if let Err(error) = broker.commit_offset(&group, &topic, header.queue_id, header.commit_offset) {
            tracing::debug!(%group, %topic, %error, "a commit was refused");
        }
        return;
    }
    let ignored =
        u32::try_from(header.queue_id).is_ok_and(|queue_id| broker.reset_waits(&group, &topic, queue_id));
    broker.commit_offset_durably(
        &group,
        &topic,
        header.queue_id,
        header.commit_offset,
        move |stored| match stored {
            Ok(()) => {
                let mut answer = reply.command(ResponseCode::SUCCESS);
                if ignored {
                    answer = answer.with_remark("Offset has been previously reset");
                }
                reply.send(answer);
            }
            Err(error) => Refusal::of(error.response_code(), &error).send(reply),
        },
    );
}

pub(super) fn query(broker: &Arc<Broker>, request: &Command, success: Command) -> Made {
    let header = QueryConsumerOffsetHeader::decode(request)?;
    let offset = u32::try_from(header.queue_id).ok().and_then(|queue_id| {
        broker.committed_offset(
            header.consumer_group,
            header.topic,
            queue_id,
            header.set_zero_if_not_found,
        )
    });
    match offset {
        Some(offset) => Ok(success.with_fields(&OffsetResponse { offset })),
        None => Err(Refusal::new(
            ResponseCode::QUERY_NOT_FOUND,
            "Not found, maybe this group consumer boot first",
        )),
    }
}

pub(super) fn max(broker: &Arc<Broker>, request: &Command, success: Command) -> Made {
    let header = GetMaxOffsetHeader::decode(request)?;
    let offset = signed(broker.max_offset(header.topic, queue(header.queue_id)?));
    Ok(success.with_fields(&OffsetResponse { offset }))
}

pub(super) fn min(broker: &Arc<Broker>, request: &Command, success: Command) -> Made {
    let header = QueueHeader::decode(request)?;
    let offset = signed(broker.min_offset(header.topic, queue(header.queue_id)?));
    Ok(success.with_fields(&OffsetResponse { offset }))
}

pub(super) fn by_time(broker: &Arc<Broker>, request: &Command, success: Command) -> Made {
    let header = SearchOffsetHeader::decode(request)?;
    let boundary = if header.upper() {
        Boundary::Upper
    } else {
        Boundary::Lower
    };
    let queue_id = queue(header.queue_id)?;
    let offset = signed(broker.offset_by_time(header.topic, queue_id, header.timestamp_ms, boundary));
    Ok(success.with_fields(&OffsetResponse { offset }))
}

/// -1 for a queue without messages, as upstream says it.
pub(super) fn earliest(broker: &Arc<Broker>, request: &Command, success: Command) -> Made {
    let header = QueueHeader::decode(request)?;
    let timestamp_ms = broker
        .earliest_store_ms(header.topic, queue(header.queue_id)?)
        .unwrap_or(-1);
    Ok(success.with_fields(&TimestampResponse { timestamp_ms }))
}

/// Every group's offsets. The table has no version of its own here: it is not what replicas follow.
pub(super) fn all(broker: &Arc<Broker>, success: Command) -> Command {
    let mut offset_table: BTreeMap<String, BTreeMap<i32, i64>> = BTreeMap::new();
    for group in broker.groups().0 {
        for topic in broker.topics_of_group(&group.name) {
            let Some(config) = broker.topic(&topic) else {
                continue;
            };
            let queues: BTreeMap<i32, i64> = (0..config.read_queues)
                .filter_map(|queue_id| {
                    let offset = broker.committed_offset(&group.name, &topic, queue_id, false)?;
                    Some((i32::try_from(queue_id).ok()?, offset))
                })
                .collect();
            offset_table.insert(format!("{topic}@{}", group.name), queues);
        }
    }
    success.with_body(
        ConsumerOffsetTable {
            data_version: DataVersion::default(),
            offset_table,
        }
        .encode(),
    )
}
