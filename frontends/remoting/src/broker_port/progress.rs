//! How far groups and queues are, for administrators.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use kourou_broker::Broker;
use kourou_broker::filter::Filter;
use kourou_proto::body::{
    ConsumeQueueEntries, ConsumeQueueEntry, ConsumeStats, ConsumeStatsList, ConsumeTimeSpans,
    CorrectionOffsets, ProducerInfo, ProducerTable, QuerySubscription, QueueTimeSpan,
};
use kourou_proto::remoting::request::{
    GetBrokerConsumeStatsHeader, QueryConsumeQueueHeader, QueryCorrectionOffsetHeader, TopicOfGroupHeader,
};
use kourou_proto::{Command, HeaderFields, Language, ResponseCode};

use super::clients::subscription_body;
use super::groups::offset_wrapper;
use super::topics::message_queue;
use crate::refusal::Refusal;

type Made = Result<Command, Refusal>;

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// QUERY_CONSUME_TIME_SPAN (303). -1 stands for times that are not known, as upstream has it.
pub(super) fn time_spans(broker: &Arc<Broker>, request: &Command, success: Command) -> Made {
    let header = TopicOfGroupHeader::decode(request)?;
    let topic = header.topic.unwrap_or_default();
    let spans = broker
        .time_spans(topic, header.group)
        .ok_or_else(|| Refusal::new(ResponseCode::TOPIC_NOT_EXIST, format!("topic[{topic}] not exist")))?;
    let span = |span: &kourou_broker::stats::TimeSpan| QueueTimeSpan {
        consume_timestamp_ms: span.consumed_ms.unwrap_or(-1),
        delay_time_ms: span.waits_ms,
        max_timestamp_ms: span.last_ms.unwrap_or(-1),
        message_queue: message_queue(broker, &span.queue.topic, span.queue.queue_id),
        min_timestamp_ms: span.first_ms.unwrap_or(-1),
    };
    let consume_time_span_set = spans.iter().map(span).collect();
    Ok(success.with_body(
        ConsumeTimeSpans {
            consume_time_span_set,
        }
        .encode(),
    ))
}

/// QUERY_SUBSCRIPTION_BY_CONSUMER (345).
pub(super) fn subscription(broker: &Arc<Broker>, request: &Command, success: Command) -> Made {
    let header = TopicOfGroupHeader::decode(request)?;
    let found = header
        .topic
        .and_then(|topic| broker.subscription(header.group, topic));
    let body = QuerySubscription {
        group: header.group.to_owned(),
        subscription_data: found.map(|data| subscription_body(&data)),
        topic: header.topic.map(str::to_owned),
    };
    Ok(success.with_body(body.encode()))
}

/// QUERY_CORRECTION_OFFSET (308).
pub(super) fn corrections(broker: &Arc<Broker>, request: &Command, success: Command) -> Made {
    let header = QueryCorrectionOffsetHeader::decode(request)?;
    let without: Vec<&str> = header.filter_groups.unwrap_or_default().split(',').collect();
    let correction_offsets = broker
        .correction_offsets(header.topic, &without, header.compare_group)
        .into_iter()
        .filter_map(|(queue_id, offset)| Some((i32::try_from(queue_id).ok()?, offset)))
        .collect();
    Ok(success.with_body(CorrectionOffsets { correction_offsets }.encode()))
}

/// QUERY_CONSUME_QUEUE (321).
pub(super) fn queue_entries(broker: &Arc<Broker>, request: &Command, success: Command) -> Made {
    let header = QueryConsumeQueueHeader::decode(request)?;
    let found = u32::try_from(header.queue_id)
        .ok()
        .zip(u64::try_from(header.index).ok())
        .and_then(|(queue_id, index)| {
            let count = usize::try_from(header.count).unwrap_or(0);
            broker.queue_entries(header.topic, queue_id, index, count)
        })
        .ok_or_else(|| {
            let remark = format!("{}@{} is not exist!", header.queue_id, header.topic);
            Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
        })?;
    let subscription = header
        .consumer_group
        .and_then(|group| broker.subscription(group, header.topic));
    let filter = subscription
        .as_ref()
        .and_then(|data| Filter::compile(&data.expression_type, &data.expression).ok());
    let filter_data = match (header.consumer_group, &subscription) {
        (Some(group), None) => Some(format!("{group}@{} is not online!", header.topic)),
        _ => None,
    };
    let entry = |entry: &kourou_engine::IndexEntry| ConsumeQueueEntry {
        eval: filter
            .as_ref()
            .is_some_and(|filter| filter.may_match(entry.tags_code)),
        physic_offset: signed(entry.position),
        physic_size: i32::try_from(entry.size_bytes).unwrap_or(i32::MAX),
        tags_code: entry.tags_code,
    };
    let body = ConsumeQueueEntries {
        filter_data,
        max_queue_index: signed(found.max_offset),
        min_queue_index: signed(found.min_offset),
        queue_data: found.entries.iter().map(entry).collect(),
        subscription_data: subscription.map(|data| subscription_body(&data)),
    };
    let mut answer = success.with_body(body.encode());
    if found.entries.is_empty() {
        answer = answer.with_remark(format!(
            "Index {} of {}@{} is not exist!",
            header.index, header.queue_id, header.topic
        ));
    }
    Ok(answer)
}

/// GET_ALL_PRODUCER_INFO (328).
pub(super) fn producers(broker: &Arc<Broker>, success: Command) -> Command {
    let info = |client: &kourou_broker::client::Client| ProducerInfo {
        client_id: client.client_id.to_string(),
        language: Language::from_code(client.language),
        last_update_timestamp_ms: client.last_heard_ms,
        remote_ip: client.channel.remote_addr().to_string(),
        version: client.version,
    };
    let groups = broker.producers();
    let data = groups
        .iter()
        .map(|(group, clients)| (group.to_string(), clients.iter().map(info).collect()))
        .collect();
    success.with_body(ProducerTable { data }.encode())
}

/// GET_BROKER_CONSUME_STATS (317): how far every group is, in all topics that it has offsets in.
pub(super) fn consume_stats(broker: &Arc<Broker>, request: &Command, success: Command) -> Made {
    let only_ordered = GetBrokerConsumeStatsHeader::decode(request)?.is_order;
    let mut body = ConsumeStatsList {
        broker_addr: broker.store_host().to_string(),
        ..ConsumeStatsList::default()
    };
    for group in broker.groups().0 {
        let progress = broker.consume_stats(&group.name, None);
        let topics: HashSet<&str> = progress.iter().map(|at| &*at.queue.topic).collect();
        let shown: HashSet<&str> = topics
            .into_iter()
            .filter(|topic| !only_ordered || broker.topic(topic).is_some_and(|config| config.order))
            .collect();
        let mut by_topic: BTreeMap<&str, ConsumeStats> = BTreeMap::new();
        for at in progress.iter().filter(|at| shown.contains(&*at.queue.topic)) {
            body.total_diff = body.total_diff.saturating_add(signed(at.lag()));
            let queue = message_queue(broker, &at.queue.topic, at.queue.queue_id);
            let stats = by_topic.entry(&at.queue.topic).or_default();
            stats.offset_table.insert(queue, offset_wrapper(at));
        }
        let stats = by_topic.into_values().collect();
        body.consume_stats_list
            .push(BTreeMap::from([(group.name.to_string(), stats)]));
    }
    Ok(success.with_body(body.encode()))
}
