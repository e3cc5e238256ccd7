//! Lists of topics, and changes of single ones.

use kourou_nameserver::{DisabledError, NameServer, QueueData, UnitTopics};
use kourou_proto::body::{TopicList, TopicRouteData};
use kourou_proto::remoting::request::{DeleteTopicFromNamesrvHeader, GetTopicsByClusterHeader, TopicHeader};
use kourou_proto::{Command, HeaderFields, RequestCode, ResponseCode};

use super::Made;
use crate::refusal::Refusal;

impl From<DisabledError> for Refusal {
    fn from(error: DisabledError) -> Self {
        Self::new(ResponseCode::SYSTEM_ERROR, error.to_string())
    }
}

fn list(topic_list: Vec<String>, success: Command) -> Command {
    success.with_body(
        TopicList {
            broker_addr: None,
            topic_list,
        }
        .encode(),
    )
}

pub(super) fn all(names: &NameServer, success: Command) -> Made {
    Ok(list(names.all_topics()?, success))
}

pub(super) fn of_cluster(names: &NameServer, request: &Command, success: Command) -> Made {
    let cluster = GetTopicsByClusterHeader::decode(request)?.cluster;
    Ok(list(names.topics_of_cluster(cluster)?, success))
}

pub(super) fn unit(names: &NameServer, request: &Command, success: Command) -> Made {
    let which = match request.code() {
        RequestCode::GET_UNIT_TOPIC_LIST => UnitTopics::Unit,
        RequestCode::GET_HAS_UNIT_SUB_TOPIC_LIST => UnitTopics::UnitSubscribed,
        _ => UnitTopics::UnitSubscribedNotUnit,
    };
    Ok(list(names.unit_topics(which)?, success))
}

pub(super) fn system(names: &NameServer, success: Command) -> Command {
    let system = names.system_topics();
    success.with_body(
        TopicList {
            broker_addr: system.broker_address,
            topic_list: system.topics,
        }
        .encode(),
    )
}

pub(super) fn delete(names: &NameServer, request: &Command, success: Command) -> Made {
    let header = DeleteTopicFromNamesrvHeader::decode(request)?;
    names.delete_topic(header.topic, header.cluster_name.filter(|name| !name.is_empty()));
    Ok(success)
}

pub(super) fn register(names: &NameServer, request: &Command, success: Command) -> Made {
    let topic = TopicHeader::decode(request)?.topic;
    let route = TopicRouteData::decode(&request.body)?;
    let count = |queues: i32| u32::try_from(queues).unwrap_or(0);
    let queues = route.queue_datas.into_iter().map(|queue| QueueData {
        read_queues: count(queue.read_queue_nums),
        write_queues: count(queue.write_queue_nums),
        perm: queue.perm,
        sys_flag: queue.topic_sys_flag,
        broker_name: queue.broker_name,
    });
    names.register_topic(topic, queues.collect());
    Ok(success)
}
