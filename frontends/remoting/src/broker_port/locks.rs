//! Queue locks for ordered consumption.

use std::sync::Arc;

use kourou_broker::{Broker, QueueKey};
use kourou_proto::Command;
use kourou_proto::body::{LockBatchRequest, LockBatchResponse, MessageQueue};

use crate::refusal::Refusal;

/// A queue with a number that no queue has is never locked.
fn keys(queues: &[MessageQueue]) -> Vec<QueueKey<'_>> {
    let queue_id = |queue: &MessageQueue| u32::try_from(queue.queue_id).unwrap_or(u32::MAX);
    queues
        .iter()
        .map(|queue| QueueKey {
            topic: &queue.topic,
            queue_id: queue_id(queue),
        })
        .collect()
}

pub(super) fn lock(broker: &Arc<Broker>, request: &Command, success: Command) -> Result<Command, Refusal> {
    let wanted = LockBatchRequest::decode(&request.body)?;
    let locked = broker.lock_queues(&wanted.consumer_group, &wanted.client_id, &keys(&wanted.mq_set));
    let lock_ok_mq_set = wanted
        .mq_set
        .into_iter()
        .zip(locked)
        .filter_map(|(queue, locked)| locked.then_some(queue))
        .collect();
    Ok(success.with_body(LockBatchResponse { lock_ok_mq_set }.encode()))
}

pub(super) fn unlock(broker: &Arc<Broker>, request: &Command, success: Command) -> Result<Command, Refusal> {
    let given_up = LockBatchRequest::decode(&request.body)?;
    broker.unlock_queues(
        &given_up.consumer_group,
        &given_up.client_id,
        &keys(&given_up.mq_set),
    );
    Ok(success)
}
