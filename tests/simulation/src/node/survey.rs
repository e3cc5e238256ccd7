//! What administrators and consoles ask: nothing of it changes what others see, but for how a group is given its messages, which
//! is asked back.

use std::sync::Arc;

use kourou_broker::Broker;
use kourou_broker::assign::{AssignmentRequest, RequestMode, RequestModeConfig, ShareStrategy};
use kourou_broker::client::MessageModel;
use kourou_broker::delivery::PeekRequest;

use super::saying::{Answering, Refusal};
use crate::wire::Reply;

/// Asks one thing.
pub(super) fn survey(broker: &Arc<Broker>, number: u64, answering: &Answering) {
    let topic = ["orders", "timers", "payments", "scratch"][(number >> 32) as usize % 4];
    match number % 8 {
        0 => drop((
            broker.topic_stats(topic),
            broker.consume_stats("pull-shared", None),
        )),
        1 => drop((
            broker.groups_of_topic(topic),
            broker.topics_of_group("pop-orders"),
        )),
        2 => drop((
            broker.time_spans(topic, "pull-shared"),
            broker.queue_entries(topic, 0, 0, 10),
            broker.correction_offsets(topic, &["pull-tagged"], "pull-shared"),
        )),
        3 => {
            let request = AssignmentRequest {
                topic,
                group: "pull-shared",
                client_id: "pull-shared-0",
                model: MessageModel::Clustering,
                strategy: Some(ShareStrategy::Average),
            };
            drop((
                broker.assign(&request, broker.queues_here(topic)),
                broker.consumer_ids("pull-shared"),
            ));
        }
        4 => {
            let peek = PeekRequest {
                group: "pop-orders".into(),
                topic: "orders".into(),
                queue_id: -1,
                messages_max: 8,
            };
            return answering.say(match broker.peek(&peek) {
                Ok(peeked) => Reply::Found(peeked.records),
                Err(error) => error.refused(),
            });
        }
        5 => drop((
            broker.flow_stats(),
            broker.consumer_connections("pull-shared"),
            broker.producers(),
        )),
        6 => drop((broker.topics(), broker.groups(), broker.online_consumer_groups())),
        _ => {
            let config = RequestModeConfig {
                mode: RequestMode::Pull,
                ..RequestModeConfig::default()
            };
            return broker.set_request_mode(
                "orders",
                "pull-shared",
                config,
                answering.with(|()| Reply::Done),
            );
        }
    }
    answering.say(Reply::Done);
}
