//! Offsets: of groups, and of the queues themselves.

use kourou_broker::Text;
use kourou_engine::Boundary;
use tokio::sync::oneshot;

use crate::message::time_ms;
use crate::names;
use crate::port::Port;
use crate::refusal::{Refusal, ok};
use crate::wire::v2::{
    Code, GetOffsetRequest, GetOffsetResponse, MessageQueue, QueryOffsetPolicy, QueryOffsetRequest,
    QueryOffsetResponse, UpdateOffsetRequest, UpdateOffsetResponse,
};

/// A queue that is there, as a request names it.
pub(super) fn queue<'a>(port: &Port, queue: Option<&'a MessageQueue>) -> Result<(&'a str, u32), Refusal> {
    let topic = names::topic(queue.and_then(|queue| queue.topic.as_ref()))?;
    let config = port
        .broker
        .topic(topic)
        .ok_or_else(|| Refusal::topic_not_found(topic))?;
    let id = queue.map_or(-1, |queue| queue.id);
    let queues = config.read_queues.max(config.write_queues);
    let id = u32::try_from(id).ok().filter(|id| *id < queues).ok_or_else(|| {
        Refusal::new(
            Code::BadRequest,
            format!("the topic {topic} has {queues} queues, {id} is none of them"),
        )
    })?;
    Ok((topic, id))
}

fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

/// Commits an offset, and answers once it is durable.
pub(super) async fn update(
    port: &Port,
    request: &UpdateOffsetRequest,
) -> Result<UpdateOffsetResponse, Refusal> {
    let group = Text::from(names::group(request.group.as_ref())?);
    let (topic, queue_id) = queue(port, request.message_queue.as_ref())?;
    if request.offset < 0 {
        return Err(Refusal::new(
            Code::IllegalOffset,
            format!("{} is no offset", request.offset),
        ));
    }
    let queue_id = i32::try_from(queue_id).unwrap_or(i32::MAX);
    let (told, outcome) = oneshot::channel();
    port.broker.commit_offset_durably(
        &group,
        &Text::from(topic),
        queue_id,
        request.offset,
        move |stored| {
            // Nobody waits any more if the client has given up.
            let _ = told.send(stored);
        },
    );
    match outcome.await {
        Ok(Ok(())) => Ok(UpdateOffsetResponse { status: Some(ok()) }),
        Ok(Err(error)) => Err(Refusal::of(error.response_code(), &error)),
        Err(_) => Err(Refusal::new(Code::InternalServerError, "the broker has stopped")),
    }
}

pub(super) fn get(port: &Port, request: &GetOffsetRequest) -> Result<GetOffsetResponse, Refusal> {
    let group = names::group(request.group.as_ref())?;
    let (topic, queue_id) = queue(port, request.message_queue.as_ref())?;
    let offset = port.broker.committed_offset(group, topic, queue_id, false);
    let offset = offset.ok_or_else(|| {
        Refusal::new(
            Code::OffsetNotFound,
            format!("the group {group} has no offset in queue {queue_id} of {topic}"),
        )
    })?;
    Ok(GetOffsetResponse {
        status: Some(ok()),
        offset,
    })
}

pub(super) fn query(port: &Port, request: &QueryOffsetRequest) -> Result<QueryOffsetResponse, Refusal> {
    let (topic, queue_id) = queue(port, request.message_queue.as_ref())?;
    let broker = &port.broker;
    let offset = match request.query_offset_policy() {
        QueryOffsetPolicy::Beginning => broker.min_offset(topic, queue_id),
        QueryOffsetPolicy::End => broker.max_offset(topic, queue_id),
        QueryOffsetPolicy::Timestamp => {
            let time = request
                .timestamp
                .as_ref()
                .ok_or_else(|| Refusal::new(Code::BadRequest, "by which time? The timestamp is missing"))?;
            broker.offset_by_time(topic, queue_id, time_ms(time), Boundary::Lower)
        }
    };
    Ok(QueryOffsetResponse {
        status: Some(ok()),
        offset: signed(offset),
    })
}
