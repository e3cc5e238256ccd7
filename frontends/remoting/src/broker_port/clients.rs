//! Clients: heartbeats, who is in a group, leaving.

use std::sync::Arc;

use kourou_broker::Broker;
use kourou_broker::client::{self, Client, ClientChannel};
use kourou_broker::filter::Filter;
use kourou_proto::body::{
    CheckClientConfig, Connection, ConsumeFromWhere, ConsumeType, ConsumerConnection, ConsumerData,
    ConsumerList, HeartbeatData, MessageModel, ProducerConnection, SubscriptionData,
};
use kourou_proto::remoting::request::{ConsumerGroupHeader, ProducerGroupHeader, UnregisterClientHeader};
use kourou_proto::remoting::response::HeartbeatResponse;
use kourou_proto::{Command, HeaderFields, Language, ResponseCode};

use crate::refusal::Refusal;

type Made = Result<Command, Refusal>;

pub(super) fn heartbeat(
    broker: &Arc<Broker>,
    channel: &Arc<dyn ClientChannel>,
    request: &Command,
    success: Command,
) -> Made {
    let body = HeartbeatData::decode(&request.body)?;
    let data = client::HeartbeatData {
        client_id: body.client_id,
        language: request.header.language.code(),
        version: request.version(),
        producer_groups: body
            .producer_data_set
            .into_iter()
            .map(|producer| producer.group_name)
            .collect(),
        consumers: body.consumer_data_set.into_iter().map(consumer).collect(),
        fingerprint: body.heartbeat_fingerprint,
        without_subscriptions: body.without_sub,
    };
    let receipt = broker.heartbeat(&data, channel);
    Ok(success.with_fields(&HeartbeatResponse {
        support_v2: true,
        sub_change: receipt.subscriptions_changed,
    }))
}

fn consumer(data: ConsumerData) -> client::ConsumerData {
    client::ConsumerData {
        group: data.group_name,
        consume_type: match data.consume_type {
            ConsumeType::Actively => client::ConsumeType::Actively,
            ConsumeType::Passively => client::ConsumeType::Passively,
            ConsumeType::Pop => client::ConsumeType::Pop,
        },
        message_model: match data.message_model {
            MessageModel::Clustering => client::MessageModel::Clustering,
            MessageModel::Broadcasting => client::MessageModel::Broadcasting,
        },
        consume_from_where: match data.consume_from_where {
            ConsumeFromWhere::LastOffset => client::ConsumeFromWhere::LastOffset,
            ConsumeFromWhere::FirstOffset => client::ConsumeFromWhere::FirstOffset,
            ConsumeFromWhere::Timestamp => client::ConsumeFromWhere::Timestamp,
            ConsumeFromWhere::LastOffsetAndFromMinWhenBootFirst => {
                client::ConsumeFromWhere::LastOffsetAndFromMinWhenBootFirst
            }
            ConsumeFromWhere::MinOffset => client::ConsumeFromWhere::MinOffset,
            ConsumeFromWhere::MaxOffset => client::ConsumeFromWhere::MaxOffset,
        },
        subscriptions: data.subscription_data_set.into_iter().map(subscription).collect(),
        unit_mode: data.unit_mode,
    }
}

fn subscription(data: SubscriptionData) -> client::SubscriptionData {
    client::SubscriptionData {
        topic: data.topic,
        expression: data.sub_string,
        expression_type: data.expression_type,
        tags: data.tags_set.into_iter().collect(),
        codes: data.code_set.into_iter().collect(),
        class_filter_mode: data.class_filter_mode,
        version: data.sub_version,
    }
}

pub(super) fn unregister(
    broker: &Arc<Broker>,
    channel: &Arc<dyn ClientChannel>,
    request: &Command,
    success: Command,
) -> Made {
    let header = UnregisterClientHeader::decode(request)?;
    let given = |group: Option<&'_ str>| group.filter(|group| !group.is_empty()).map(str::to_owned);
    let (producer, consumer) = (given(header.producer_group), given(header.consumer_group));
    broker.unregister(channel.id(), producer.as_deref(), consumer.as_deref());
    Ok(success)
}

pub(super) fn consumer_ids(broker: &Arc<Broker>, request: &Command, success: Command) -> Made {
    let group = ConsumerGroupHeader::decode(request)?.consumer_group;
    let ids = broker.consumer_ids(group);
    if ids.is_empty() {
        return Err(Refusal::new(
            ResponseCode::SYSTEM_ERROR,
            format!("no consumer for this group, {group}"),
        ));
    }
    let consumer_id_list = ids.iter().map(|id| id.to_string()).collect();
    Ok(success.with_body(ConsumerList { consumer_id_list }.encode()))
}

/// Clients ask this before they subscribe by anything but tags.
pub(super) fn check_config(request: &Command, success: Command) -> Made {
    let subscription = CheckClientConfig::decode(&request.body)?.subscription_data;
    match Filter::compile(&subscription.expression_type, &subscription.sub_string) {
        Ok(_) => Ok(success),
        Err(error) => Err(Refusal::new(
            ResponseCode::new(error.response_code()),
            error.to_string(),
        )),
    }
}

pub(super) fn consumer_connections(broker: &Arc<Broker>, request: &Command, success: Command) -> Made {
    let group = ConsumerGroupHeader::decode(request)?.consumer_group;
    let Some(members) = broker.consumer_connections(group) else {
        return Err(Refusal::new(
            ResponseCode::CONSUMER_NOT_ONLINE,
            format!("the consumer group[{group}] not online"),
        ));
    };
    let body = ConsumerConnection {
        connection_set: members.clients.iter().map(connection).collect(),
        consume_from_where: match members.consume_from_where {
            client::ConsumeFromWhere::LastOffset => ConsumeFromWhere::LastOffset,
            client::ConsumeFromWhere::FirstOffset => ConsumeFromWhere::FirstOffset,
            client::ConsumeFromWhere::Timestamp => ConsumeFromWhere::Timestamp,
            client::ConsumeFromWhere::LastOffsetAndFromMinWhenBootFirst => {
                ConsumeFromWhere::LastOffsetAndFromMinWhenBootFirst
            }
            client::ConsumeFromWhere::MinOffset => ConsumeFromWhere::MinOffset,
            client::ConsumeFromWhere::MaxOffset => ConsumeFromWhere::MaxOffset,
        },
        consume_type: match members.consume_type {
            client::ConsumeType::Actively => ConsumeType::Actively,
            client::ConsumeType::Passively => ConsumeType::Passively,
            client::ConsumeType::Pop => ConsumeType::Pop,
        },
        message_model: match members.message_model {
            client::MessageModel::Broadcasting => MessageModel::Broadcasting,
            client::MessageModel::Clustering => MessageModel::Clustering,
        },
        subscription_table: members
            .subscriptions
            .iter()
            .map(|data| (data.topic.clone(), subscription_body(data)))
            .collect(),
    };
    Ok(success.with_body(body.encode()))
}

pub(super) fn subscription_body(data: &client::SubscriptionData) -> SubscriptionData {
    SubscriptionData {
        class_filter_mode: data.class_filter_mode,
        code_set: data.codes.iter().copied().collect(),
        expression_type: data.expression_type.clone(),
        sub_string: data.expression.clone(),
        sub_version: data.version,
        tags_set: data.tags.iter().cloned().collect(),
        topic: data.topic.clone(),
    }
}

pub(super) fn producer_connections(broker: &Arc<Broker>, request: &Command, success: Command) -> Made {
    let group = ProducerGroupHeader::decode(request)?.producer_group;
    let members = broker.producer_connections(group);
    if members.is_empty() {
        return Err(Refusal::new(
            ResponseCode::SYSTEM_ERROR,
            format!("the producer group[{group}] not exist"),
        ));
    }
    let body = ProducerConnection {
        connection_set: members.iter().map(connection).collect(),
    };
    Ok(success.with_body(body.encode()))
}

fn connection(client: &Client) -> Connection {
    Connection {
        client_addr: client.channel.remote_addr().to_string(),
        client_id: client.client_id.to_string(),
        language: Language::from_code(client.language),
        version: client.version,
    }
}
