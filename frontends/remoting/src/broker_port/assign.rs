//! Consumers that let the broker share queues out, and how they are to get their messages.

use std::sync::Arc;

use kourou_broker::Broker;
use kourou_broker::assign::{AssignmentRequest, RequestMode, RequestModeConfig, ShareStrategy};
use kourou_broker::client;
use kourou_proto::body::{
    MessageModel, MessageQueue, MessageQueueAssignment, MessageRequestMode, MessageRequestModeTable,
    QueryAssignmentRequest, QueryAssignmentResponse, SetMessageRequestMode,
};
use kourou_proto::{Command, ResponseCode};

use crate::connection::ReplyTo;
use crate::refusal::Refusal;

fn shown(mode: RequestMode) -> MessageRequestMode {
    match mode {
        RequestMode::Pull => MessageRequestMode::Pull,
        RequestMode::Pop => MessageRequestMode::Pop,
    }
}

/// Where nothing can be said, the answer says nothing: then the client goes on as it does.
pub(super) fn query(broker: &Arc<Broker>, request: &Command, success: Command) -> Result<Command, Refusal> {
    let body = QueryAssignmentRequest::decode(&request.body)?;
    let asked = AssignmentRequest {
        topic: &body.topic,
        group: &body.consumer_group,
        client_id: &body.client_id,
        model: match body.message_model {
            MessageModel::Clustering => client::MessageModel::Clustering,
            MessageModel::Broadcasting => client::MessageModel::Broadcasting,
        },
        strategy: ShareStrategy::by_name(&body.strategy_name),
    };
    let assigned = match broker.assign(&asked, broker.queues_here(&body.topic)) {
        Ok(assigned) => Some(assigned),
        Err(error) => {
            tracing::debug!(group = %body.consumer_group, topic = %body.topic, %error, "no assignment");
            None
        }
    };
    let assignments = assigned.map(|assigned| {
        let mode = shown(assigned.mode);
        let queues = assigned.queues.into_iter().map(|queue| MessageQueueAssignment {
            message_queue: MessageQueue {
                broker_name: queue.broker_name.to_string(),
                queue_id: queue
                    .queue_id
                    .map_or(-1, |id| i32::try_from(id).unwrap_or(i32::MAX)),
                topic: body.topic.clone(),
            },
            mode,
        });
        queues.collect()
    });
    let answer = QueryAssignmentResponse {
        message_queue_assignments: assignments,
    };
    Ok(success.with_body(answer.encode()))
}

pub(super) fn set_mode(broker: &Arc<Broker>, request: &Command, reply: ReplyTo) {
    let body = match SetMessageRequestMode::decode(&request.body) {
        Ok(body) => body,
        Err(error) => return Refusal::from(error).send(reply),
    };
    let config = RequestModeConfig {
        mode: match body.mode {
            MessageRequestMode::Pull => RequestMode::Pull,
            MessageRequestMode::Pop => RequestMode::Pop,
        },
        pop_share_queues: body.pop_share_queue_num,
    };
    broker.set_request_mode(
        &body.topic,
        &body.consumer_group,
        config,
        move |stored| match stored {
            Ok(()) => {
                let answer = reply.command(ResponseCode::SUCCESS);
                reply.send(answer);
            }
            Err(error) => Refusal::of(error.response_code(), &error).send(reply),
        },
    );
}

pub(super) fn modes(broker: &Arc<Broker>, success: Command) -> Command {
    let mut table = MessageRequestModeTable::default();
    for (topic, group, config) in broker.request_modes() {
        let entry = SetMessageRequestMode {
            consumer_group: group.to_string(),
            mode: shown(config.mode),
            pop_share_queue_num: config.pop_share_queues,
            topic: topic.to_string(),
        };
        table
            .message_request_mode_map
            .entry(topic.to_string())
            .or_default()
            .insert(group.to_string(), entry);
    }
    success.with_body(table.encode())
}
