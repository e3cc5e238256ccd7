//! Routes and assignments.

use std::sync::Arc;

use kourou_broker::lite::LiteSettings;
use kourou_broker::topic::{TopicConfig, perm};

use crate::message::accepted_types;
use crate::names;
use crate::port::Port;
use crate::refusal::{Refusal, ok};
use crate::wire::v2::{
    Address, AddressScheme, Assignment, Broker, Code, Endpoints, MessageQueue, Permission,
    QueryAssignmentRequest, QueryAssignmentResponse, QueryRouteRequest, QueryRouteResponse, Resource,
};

/// Any queue of a broker.
const ANY_QUEUE: i32 = -1;

/// The queues of a topic. A topic is not made by asking for it.
pub(super) fn route(port: &Port, request: &QueryRouteRequest) -> Result<QueryRouteResponse, Refusal> {
    let topic = find(port, request.topic.as_ref())?;
    let broker = broker(port, request.endpoints.as_ref());
    let accept_message_types: Vec<i32> = accepted_types(&topic).into_iter().map(i32::from).collect();
    let message_queues = permissions(&topic)
        .into_iter()
        .zip(0..)
        .map(|(permission, id)| MessageQueue {
            topic: request.topic.clone(),
            id,
            permission: permission.into(),
            broker: Some(broker.clone()),
            accept_message_types: accept_message_types.clone(),
        })
        .collect();
    Ok(QueryRouteResponse {
        status: Some(ok()),
        message_queues,
    })
}

/// A group's members share a broker's messages, whatever queue they are in; only what is consumed in order is told queue by queue.
pub(super) fn assignment(
    port: &Port,
    request: &QueryAssignmentRequest,
) -> Result<QueryAssignmentResponse, Refusal> {
    let topic = find(port, request.topic.as_ref())?;
    let group = names::group(request.group.as_ref())?;
    let queues = readable(&topic);
    if queues == 0 {
        return Err(Refusal::new(
            Code::Forbidden,
            format!("the topic {} has no queue that can be read", topic.name),
        ));
    }
    let is_ordered = port
        .broker
        .group(group)
        // Lite topics are asked for by client, all at once.
        .is_some_and(|config| config.consume_message_orderly && LiteSettings::of(&config).is_none());
    let ids = if is_ordered {
        (0..queues)
            .map(|id| i32::try_from(id).unwrap_or(i32::MAX))
            .collect()
    } else {
        vec![ANY_QUEUE]
    };
    let broker = broker(port, request.endpoints.as_ref());
    let assigned = |id| Assignment {
        message_queue: Some(MessageQueue {
            topic: request.topic.clone(),
            id,
            permission: Permission::Read.into(),
            broker: Some(broker.clone()),
            accept_message_types: Vec::new(),
        }),
    };
    Ok(QueryAssignmentResponse {
        status: Some(ok()),
        assignments: ids.into_iter().map(assigned).collect(),
    })
}

fn find(port: &Port, resource: Option<&Resource>) -> Result<Arc<TopicConfig>, Refusal> {
    let topic = names::topic(resource)?;
    port.broker
        .topic(topic)
        .ok_or_else(|| Refusal::topic_not_found(topic))
}

/// This broker, at the address by which the client has reached it: through port mappings and names that may be another than the one
/// that it listens on.
fn broker(port: &Port, endpoints: Option<&Endpoints>) -> Broker {
    let endpoints = endpoints
        .filter(|endpoints| !endpoints.addresses.is_empty())
        .cloned()
        .unwrap_or_else(|| {
            let scheme = if port.advertised.is_ipv4() {
                AddressScheme::IPv4
            } else {
                AddressScheme::IPv6
            };
            Endpoints {
                scheme: scheme.into(),
                addresses: vec![Address {
                    host: port.advertised.ip().to_string(),
                    port: port.advertised.port().into(),
                }],
            }
        });
    Broker {
        name: port.broker.options().broker_name.clone(),
        id: 0,
        endpoints: Some(endpoints),
    }
}

fn readable(topic: &TopicConfig) -> u32 {
    if perm::is_readable(topic.perm) {
        topic.read_queues
    } else {
        0
    }
}

/// What may be done with each queue, by its number.
fn permissions(topic: &TopicConfig) -> Vec<Permission> {
    let write = if perm::is_writable(topic.perm) {
        topic.write_queues
    } else {
        0
    };
    let read = readable(topic);
    let permission = |id| match (id < read, id < write) {
        (true, true) => Permission::ReadWrite,
        (true, false) => Permission::Read,
        (false, true) => Permission::Write,
        (false, false) => Permission::None,
    };
    let queues = topic.read_queues.max(topic.write_queues).max(1);
    (0..queues).map(permission).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_queue_may_do_what_its_number_says() {
        let topic = |read_queues, write_queues, perm| TopicConfig {
            read_queues,
            write_queues,
            perm,
            ..TopicConfig::new("t", 1)
        };
        let both = perm::READ | perm::WRITE;
        assert_eq!(
            permissions(&topic(2, 3, both)),
            [Permission::ReadWrite, Permission::ReadWrite, Permission::Write]
        );
        assert_eq!(
            permissions(&topic(2, 1, both)),
            [Permission::ReadWrite, Permission::Read]
        );
        assert_eq!(permissions(&topic(1, 1, perm::READ)), [Permission::Read]);
        assert_eq!(permissions(&topic(1, 2, 0)), [Permission::None, Permission::None]);
        assert_eq!(permissions(&topic(0, 0, both)), [Permission::None]);
    }
}
