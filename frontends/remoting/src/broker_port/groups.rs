//! Consumer groups: making them, and what is known of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use kourou_broker::Broker;
use kourou_broker::group::GroupConfig;
use kourou_broker::stats::QueueProgress;
use kourou_proto::body::{
    ConsumeStats, OffsetWrapper, SubscriptionGroupConfig, SubscriptionGroupTable, TopicList,
};
use kourou_proto::remoting::request::{
    DeleteGroupHeader, GetAllGroupConfigHeader, GetConsumeStatsHeader, GroupHeader,
};
use kourou_proto::remoting::response::GetAllGroupConfigResponse;
use kourou_proto::{Command, HeaderFields, ResponseCode};

use super::topics::{message_queue, version_body};
use crate::connection::ReplyTo;
use crate::refusal::Refusal;

type Made = Result<Command, Refusal>;

pub(super) fn put(broker: &Arc<Broker>, request: &Command, reply: ReplyTo) {
    let body = match SubscriptionGroupConfig::decode(&request.body) {
        Ok(body) => body,
        Err(error) => return Refusal::from(error).send(reply),
    };
    let config = GroupConfig {
        consume_enable: body.consume_enable,
        consume_from_min_enable: body.consume_from_min_enable,
        consume_broadcast_enable: body.consume_broadcast_enable,
        consume_message_orderly: body.consume_message_orderly,
        retry_queues: body.retry_queue_nums,
        retry_times_max: body.retry_max_times,
        broker_id: body.broker_id,
        which_broker_when_consume_slowly: body.which_broker_when_consume_slowly,
        notify_consumer_ids_changed_enable: body.notify_consumer_ids_changed_enable,
        sys_flag: body.group_sys_flag,
        consume_timeout_minutes: body.consume_timeout_minute,
        attributes: attributes_after(broker, &body),
        ..GroupConfig::new(body.group_name.as_str())
    };
    broker.put_group(&config, move |made| match made {
        Ok(()) => {
            let answer = reply.command(ResponseCode::SUCCESS);
            reply.send(answer);
        }
        Err(error) => Refusal::of(error.response_code(), &error).send(reply),
    });
}

/// Tools send changes, `+name` or `-name`; a bare name sets as well.
fn attributes_after(broker: &Broker, body: &SubscriptionGroupConfig) -> BTreeMap<String, String> {
    let mut attributes = broker
        .group(&body.group_name)
        .map(|group| group.attributes.clone())
        .unwrap_or_default();
    for (name, value) in &body.attributes {
        match name.strip_prefix('-') {
            Some(name) => {
                attributes.remove(name);
            }
            None => {
                let name = name.strip_prefix('+').unwrap_or(name);
                attributes.insert(name.to_owned(), value.clone());
            }
        }
    }
    attributes
}

pub(super) fn delete(broker: &Arc<Broker>, request: &Command, reply: ReplyTo) {
    let header = match DeleteGroupHeader::decode(request) {
        Ok(header) => header,
        Err(error) => return Refusal::from(error).send(reply),
    };
    broker.delete_group(
        header.group_name,
        header.clean_offset,
        move |deleted| match deleted {
            Ok(()) => {
                let answer = reply.command(ResponseCode::SUCCESS);
                reply.send(answer);
            }
            // Whoever deletes on every broker does not mind that one has no such group.
            Err(error) if error.response_code() == ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST.value() => {
                let answer = reply.command(ResponseCode::SUCCESS);
                reply.send(answer);
            }
            Err(error) => Refusal::of(error.response_code(), &error).send(reply),
        },
    );
}

/// All groups, or one page of them.
pub(super) fn all(broker: &Arc<Broker>, request: &Command, success: Command) -> Made {
    let header = GetAllGroupConfigHeader::decode(request)?;
    let (groups, version) = broker.groups();
    let total_group_num = i32::try_from(groups.len()).unwrap_or(i32::MAX);
    let skip = usize::try_from(header.group_seq.unwrap_or(0)).unwrap_or(0);
    let take = header
        .max_group_num
        .map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(0));
    let page = groups.iter().skip(skip).take(take);
    let body = SubscriptionGroupTable {
        data_version: version_body(version),
        forbidden_table: BTreeMap::new(),
        subscription_group_table: page
            .map(|group| (group.name.to_string(), config_body(group)))
            .collect(),
    };
    Ok(success
        .with_fields(&GetAllGroupConfigResponse { total_group_num })
        .with_body(body.encode()))
}

pub(super) fn one(broker: &Arc<Broker>, request: &Command, success: Command) -> Made {
    let group = GroupHeader::decode(request)?.group;
    let config = broker.group(group).ok_or_else(|| {
        Refusal::new(
            ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST,
            format!("No group in this broker. group: {group}"),
        )
    })?;
    Ok(success.with_body(config_body(&config).encode()))
}

/// How far a group is: in one topic, in several, or in all that it consumes.
pub(super) fn stats(broker: &Arc<Broker>, request: &Command, success: Command) -> Made {
    let header = GetConsumeStatsHeader::decode(request)?;
    let named = header
        .topic
        .into_iter()
        .chain(header.topic_list.unwrap_or("").split(';'));
    let topics: Vec<&str> = named.filter(|topic| !topic.is_empty()).collect();
    let progress = if topics.is_empty() {
        broker.consume_stats(header.consumer_group, None)
    } else {
        let of = |topic: &&str| broker.consume_stats(header.consumer_group, Some(topic));
        topics.iter().flat_map(of).collect()
    };
    let offset_table = progress
        .iter()
        .map(|at| {
            let queue = message_queue(broker, &at.queue.topic, at.queue.queue_id);
            (queue, offset_wrapper(at))
        })
        .collect();
    Ok(success.with_body(
        ConsumeStats {
            consume_tps: 0.0,
            offset_table,
        }
        .encode(),
    ))
}

pub(super) fn offset_wrapper(at: &QueueProgress) -> OffsetWrapper {
    let offset = |offset: u64| i64::try_from(offset).unwrap_or(i64::MAX);
    OffsetWrapper {
        broker_offset: offset(at.broker_offset),
        consumer_offset: offset(at.consumer_offset),
        last_timestamp_ms: at.last_store_ms,
        pull_offset: offset(at.consumer_offset),
    }
}

pub(super) fn topics(broker: &Arc<Broker>, request: &Command, success: Command) -> Made {
    let group = GroupHeader::decode(request)?.group;
    let topic_list = broker
        .topics_of_group(group)
        .iter()
        .map(|topic| topic.to_string())
        .collect();
    let broker_addr = Some(broker.store_host().to_string());
    Ok(success.with_body(
        TopicList {
            broker_addr,
            topic_list,
        }
        .encode(),
    ))
}

fn config_body(group: &GroupConfig) -> SubscriptionGroupConfig {
    SubscriptionGroupConfig {
        attributes: group.attributes.clone(),
        broker_id: group.broker_id,
        consume_broadcast_enable: group.consume_broadcast_enable,
        consume_enable: group.consume_enable,
        consume_from_min_enable: group.consume_from_min_enable,
        consume_message_orderly: group.consume_message_orderly,
        consume_timeout_minute: group.consume_timeout_minutes,
        group_name: group.name.to_string(),
        group_sys_flag: group.sys_flag,
        notify_consumer_ids_changed_enable: group.notify_consumer_ids_changed_enable,
        retry_max_times: group.retry_times_max,
        retry_queue_nums: group.retry_queues,
        which_broker_when_consume_slowly: group.which_broker_when_consume_slowly,
        ..SubscriptionGroupConfig::default()
    }
}
