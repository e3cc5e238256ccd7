//! Topics: making them, and what is known of them.

use std::sync::Arc;

use kourou_broker::Broker;
use kourou_broker::topic::{AttributeChanges, DataVersion, TopicConfig, TopicFilterType};
use kourou_proto::body::{self, MessageQueue, TopicConfigTable, TopicList, TopicOffset, TopicStatsTable};
use kourou_proto::remoting::request::{
    CreateTopicHeader, GetAllTopicConfigHeader, GetTopicConfigHeader, TopicHeader,
};
use kourou_proto::remoting::response::GetAllTopicConfigResponse;
use kourou_proto::{Command, HeaderFields, ResponseCode};

use crate::connection::ReplyTo;
use crate::refusal::Refusal;

type Made = Result<Command, Refusal>;

pub(super) fn put(broker: &Arc<Broker>, request: &Command, reply: ReplyTo) {
    let (config, changes) = match parse(request) {
        Ok(parsed) => parsed,
        Err(refusal) => return refusal.send(reply),
    };
    broker.put_topic_with(config, &changes, move |made| match made {
        Ok(()) => {
            let answer = reply.command(ResponseCode::SUCCESS);
            reply.send(answer);
        }
        Err(error) => Refusal::of(error.response_code(), &error).send(reply),
    });
}

fn parse(request: &Command) -> Result<(TopicConfig, AttributeChanges), Refusal> {
    let header = CreateTopicHeader::decode(request)?;
    let illegal = |what: &str, value: i32| {
        Refusal::new(
            ResponseCode::INVALID_PARAMETER,
            format!("{what} {value} of a topic is illegal"),
        )
    };
    let count = |what: &str, value: i32| u32::try_from(value).map_err(|_| illegal(what, value));
    let changes = AttributeChanges::parse(header.attributes.unwrap_or(""))
        .map_err(|error| Refusal::new(ResponseCode::INVALID_PARAMETER, error.to_string()))?;
    let mut config = TopicConfig::new(header.topic, 0);
    config.read_queues = count("readQueueNums", header.read_queue_nums)?;
    config.write_queues = count("writeQueueNums", header.write_queue_nums)?;
    config.perm = count("perm", header.perm)?;
    config.sys_flag = header.topic_sys_flag.unwrap_or(0);
    config.order = header.order;
    config.filter_type = match header.topic_filter_type {
        "SINGLE_TAG" => TopicFilterType::SingleTag,
        "MULTI_TAG" => TopicFilterType::MultiTag,
        other => {
            return Err(Refusal::new(
                ResponseCode::SYSTEM_ERROR,
                format!("topicFilterType = [{other}] value invalid"),
            ));
        }
    };
    Ok((config, changes))
}

pub(super) fn delete(broker: &Arc<Broker>, request: &Command, reply: ReplyTo) {
    let topic = match TopicHeader::decode(request) {
        Ok(header) if header.topic.trim().is_empty() => {
            return Refusal::new(ResponseCode::INVALID_PARAMETER, "The specified topic is blank.")
                .send(reply);
        }
        Ok(header) => header.topic,
        Err(error) => return Refusal::from(error).send(reply),
    };
    broker.delete_topic(topic, move |deleted| match deleted {
        Ok(()) => {
            let answer = reply.command(ResponseCode::SUCCESS);
            reply.send(answer);
        }
        // Whoever deletes on every broker does not mind that one has no such topic.
        Err(error) if error.response_code() == ResponseCode::TOPIC_NOT_EXIST.value() => {
            let answer = reply.command(ResponseCode::SUCCESS);
            reply.send(answer);
        }
        Err(error) => Refusal::of(error.response_code(), &error).send(reply),
    });
}

/// All topics, or one page of them.
pub(super) fn all(broker: &Arc<Broker>, request: &Command, success: Command) -> Made {
    let header = GetAllTopicConfigHeader::decode(request)?;
    let (topics, version) = broker.topics();
    let total_topic_num = i32::try_from(topics.len()).unwrap_or(i32::MAX);
    let skip = usize::try_from(header.topic_seq.unwrap_or(0)).unwrap_or(0);
    let take = header
        .max_topic_num
        .map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(0));
    let page: Vec<_> = topics
        .iter()
        .skip(skip)
        .take(take)
        .map(|topic| config_body(topic))
        .collect();
    let body = table_body(page, version);
    Ok(success
        .with_fields(&GetAllTopicConfigResponse { total_topic_num })
        .with_body(body.encode()))
}

pub(super) fn one(broker: &Arc<Broker>, request: &Command, success: Command) -> Made {
    let topic = GetTopicConfigHeader::decode(request)?.topic;
    let config = broker.topic(topic).ok_or_else(|| not_exist(topic))?;
    Ok(success.with_body(config_body(&config).encode()))
}

pub(super) fn stats(broker: &Arc<Broker>, request: &Command, success: Command) -> Made {
    let topic = TopicHeader::decode(request)?.topic;
    let stats = broker.topic_stats(topic).ok_or_else(|| not_exist(topic))?;
    let offset = |offset: u64| i64::try_from(offset).unwrap_or(i64::MAX);
    let offset_table = stats
        .into_iter()
        .map(|queue| {
            let at = TopicOffset {
                last_update_timestamp_ms: queue.last_store_ms,
                max_offset: offset(queue.max_offset),
                min_offset: offset(queue.min_offset),
            };
            (
                message_queue(broker, &queue.queue.topic, queue.queue.queue_id),
                at,
            )
        })
        .collect();
    Ok(success.with_body(
        TopicStatsTable {
            offset_table,
            topic_put_tps: 0.0,
        }
        .encode(),
    ))
}

pub(super) fn groups(broker: &Arc<Broker>, request: &Command, success: Command) -> Made {
    let topic = TopicHeader::decode(request)?.topic;
    let group_list = broker
        .groups_of_topic(topic)
        .iter()
        .map(|group| group.to_string())
        .collect();
    Ok(success.with_body(body::GroupList { group_list }.encode()))
}

pub(super) fn system(broker: &Arc<Broker>, success: Command) -> Command {
    let topic_list = broker
        .system_topics()
        .iter()
        .map(|topic| topic.name.to_string())
        .collect();
    success.with_body(
        TopicList {
            broker_addr: None,
            topic_list,
        }
        .encode(),
    )
}

fn not_exist(topic: &str) -> Refusal {
    Refusal::new(
        ResponseCode::TOPIC_NOT_EXIST,
        format!("No topic in this broker. topic: {topic}"),
    )
}

/// A queue of this broker, by the name that clients know it by.
pub(super) fn message_queue(broker: &Broker, topic: &str, queue_id: u32) -> MessageQueue {
    MessageQueue {
        broker_name: broker.options().broker_name.clone(),
        queue_id: i32::try_from(queue_id).unwrap_or(i32::MAX),
        topic: topic.to_owned(),
    }
}

/// The topics of a broker as tools ask for them and as it registers them.
pub(crate) fn table_body(topics: Vec<body::TopicConfig>, version: DataVersion) -> TopicConfigTable {
    TopicConfigTable {
        data_version: version_body(version),
        topic_config_table: topics
            .into_iter()
            .map(|topic| (topic.topic_name.clone(), topic))
            .collect(),
        ..TopicConfigTable::default()
    }
}

pub(crate) fn config_body(topic: &TopicConfig) -> body::TopicConfig {
    let narrow = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    body::TopicConfig {
        attributes: topic.attributes.clone(),
        order: topic.order,
        perm: narrow(topic.perm),
        read_queue_nums: narrow(topic.read_queues),
        topic_filter_type: match topic.filter_type {
            TopicFilterType::SingleTag => "SINGLE_TAG",
            TopicFilterType::MultiTag => "MULTI_TAG",
        }
        .to_owned(),
        topic_name: topic.name.to_string(),
        topic_sys_flag: topic.sys_flag,
        write_queue_nums: narrow(topic.write_queues),
    }
}

pub(crate) fn version_body(version: DataVersion) -> body::DataVersion {
    body::DataVersion {
        counter: version.counter,
        state_version: version.state_version,
        timestamp_ms: version.timestamp_ms,
    }
}
