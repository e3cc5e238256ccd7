//! What a client is, by its settings: a producer of topics, or a consumer of a group.

use std::collections::BTreeSet;

use kourou_broker::client::{
    ConsumeFromWhere, ConsumeType, ConsumerData, HeartbeatData, MessageModel, SubscriptionData,
};
use kourou_broker::filter::Filter;
use kourou_engine::record::tags_code;
use kourou_proto::remoting::version;

use crate::caller::Caller;
use crate::limits::Limits;
use crate::names;
use crate::refusal::Refusal;
use crate::wire::v2::{
    ClientType, Code, FilterExpression, FilterType, Publishing, Settings, Subscription, settings::PubSub,
};

/// What a client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Role {
    /// What it says of itself.
    pub(crate) client_type: ClientType,
    /// The consumer group; none for a producer.
    pub(crate) group: Option<String>,
    /// What it heartbeats as.
    pub(super) heartbeat: HeartbeatData,
}

impl Role {
    /// Reads what `settings` say.
    pub(super) fn of(
        settings: &Settings,
        caller: &Caller,
        limits: &Limits,
        now_ms: i64,
    ) -> Result<Self, Refusal> {
        let heartbeat = HeartbeatData {
            client_id: caller.client_id.clone(),
            language: caller.language.code(),
            version: version::CURRENT,
            ..HeartbeatData::default()
        };
        match &settings.pub_sub {
            Some(PubSub::Publishing(publishing)) => Self::producer(publishing, heartbeat, limits),
            Some(PubSub::Subscription(subscription)) => {
                Self::consumer(settings.client_type(), subscription, heartbeat, limits, now_ms)
            }
            None => Err(Refusal::new(
                Code::BadRequest,
                "the settings say neither what is published nor what is subscribed to",
            )),
        }
    }

    fn producer(publishing: &Publishing, heartbeat: HeartbeatData, limits: &Limits) -> Result<Self, Refusal> {
        check_count(publishing.topics.len(), limits)?;
        let topics: Result<BTreeSet<&str>, Refusal> = publishing
            .topics
            .iter()
            .map(|topic| names::topic(Some(topic)))
            .collect();
        Ok(Self {
            client_type: ClientType::Producer,
            group: None,
            heartbeat: HeartbeatData {
                // Producers have no groups in this protocol; those of one topic answer for each other's transactions.
                producer_groups: topics?.into_iter().map(str::to_owned).collect(),
                ..heartbeat
            },
        })
    }

    fn consumer(
        client_type: ClientType,
        subscription: &Subscription,
        heartbeat: HeartbeatData,
        limits: &Limits,
        now_ms: i64,
    ) -> Result<Self, Refusal> {
        let consume_type = match client_type {
            ClientType::PushConsumer | ClientType::LitePushConsumer => ConsumeType::Passively,
            ClientType::SimpleConsumer | ClientType::LiteSimpleConsumer | ClientType::PullConsumer => {
                ConsumeType::Actively
            }
            other => {
                return Err(Refusal::new(
                    Code::UnrecognizedClientType,
                    format!("{} is no kind of consumer that is served", other.as_str_name()),
                ));
            }
        };
        let group = names::group(subscription.group.as_ref())?.to_owned();
        check_count(subscription.subscriptions.len(), limits)?;
        let subscriptions: Result<Vec<SubscriptionData>, Refusal> = subscription
            .subscriptions
            .iter()
            .map(|entry| {
                let topic = names::topic(entry.topic.as_ref())?;
                subscribed(topic, entry.expression.as_ref(), now_ms)
            })
            .collect();
        let data = ConsumerData {
            group: group.clone(),
            consume_type,
            message_model: MessageModel::Clustering,
            consume_from_where: ConsumeFromWhere::LastOffset,
            subscriptions: subscriptions?,
            unit_mode: false,
        };
        Ok(Self {
            client_type,
            group: Some(group),
            heartbeat: HeartbeatData {
                consumers: vec![data],
                ..heartbeat
            },
        })
    }
}

fn check_count(topics: usize, limits: &Limits) -> Result<(), Refusal> {
    if topics > limits.topics_per_client_max {
        return Err(Refusal::new(
            Code::BadRequest,
            format!(
                "the settings name {topics} topics, at most {} are taken",
                limits.topics_per_client_max
            ),
        ));
    }
    Ok(())
}

fn subscribed(
    topic: &str,
    filter: Option<&FilterExpression>,
    now_ms: i64,
) -> Result<SubscriptionData, Refusal> {
    let (language, expression) = language_and_expression(filter);
    Filter::compile(language, expression)
        .map_err(|error| Refusal::new(Code::IllegalFilterExpression, error.to_string()))?;
    let tags: Vec<String> = if language == "TAG" && expression != "*" {
        let tags = expression
            .split("||")
            .map(str::trim)
            .filter(|tag| !tag.is_empty());
        tags.map(str::to_owned).collect()
    } else {
        Vec::new()
    };
    Ok(SubscriptionData {
        topic: topic.to_owned(),
        expression: expression.to_owned(),
        expression_type: language.to_owned(),
        // The hash has 32 bits, extended; nothing is lost.
        codes: tags.iter().map(|tag| tags_code(tag) as i32).collect(),
        tags,
        class_filter_mode: false,
        version: now_ms,
    })
}

/// A filter as the broker names it; without one, or with an empty one of tags, all messages are wanted.
pub(crate) fn language_and_expression(filter: Option<&FilterExpression>) -> (&'static str, &str) {
    match filter {
        Some(filter) if filter.r#type() == FilterType::Sql => ("SQL92", &filter.expression),
        Some(filter) if !filter.expression.is_empty() => ("TAG", &filter.expression),
        _ => ("TAG", "*"),
    }
}

#[cfg(test)]
mod tests {
    use kourou_proto::Language;

    use super::*;
    use crate::wire::v2::{Resource, SubscriptionEntry};

    fn caller() -> Caller {
        Caller {
            client_id: "c".to_owned(),
            language: Language::Go,
            peer: ([127, 0, 0, 1], 1).into(),
        }
    }

    fn named(name: &str) -> Resource {
        Resource {
            resource_namespace: String::new(),
            name: name.to_owned(),
        }
    }

    fn role(client_type: ClientType, pub_sub: PubSub) -> Result<Role, Code> {
        let settings = Settings {
            client_type: Some(client_type.into()),
            pub_sub: Some(pub_sub),
            ..Settings::default()
        };
        Role::of(&settings, &caller(), &Limits::default(), 7).map_err(|refusal| refusal.code)
    }

    #[test]
    fn a_producer_stands_in_the_groups_of_its_topics() {
        let publishing = |topics: &[&str]| {
            PubSub::Publishing(Publishing {
                topics: topics.iter().map(|name| named(name)).collect(),
                ..Publishing::default()
            })
        };
        let producer = role(ClientType::Producer, publishing(&["b", "a", "b"])).unwrap();
        assert_eq!(producer.heartbeat.producer_groups, ["a", "b"]);
        assert_eq!(
            role(ClientType::Producer, publishing(&["a b"])),
            Err(Code::IllegalTopic)
        );
        let many = vec!["t"; Limits::default().topics_per_client_max + 1];
        assert_eq!(
            role(ClientType::Producer, publishing(&many)),
            Err(Code::BadRequest)
        );
    }

    #[test]
    fn a_consumer_stands_in_its_group() {
        let subscribing = |kind: FilterType, expression: &str| {
            PubSub::Subscription(Subscription {
                group: Some(named("g")),
                subscriptions: vec![SubscriptionEntry {
                    topic: Some(named("t")),
                    expression: Some(FilterExpression {
                        r#type: kind.into(),
                        expression: expression.to_owned(),
                    }),
                }],
                ..Subscription::default()
            })
        };
        let consumer = role(ClientType::PushConsumer, subscribing(FilterType::Tag, "a||b")).unwrap();
        let data = &consumer.heartbeat.consumers[0];
        assert_eq!(
            (data.group.as_str(), data.consume_type),
            ("g", ConsumeType::Passively)
        );
        assert_eq!(data.subscriptions[0].codes, [97, 98]);
        assert_eq!(data.subscriptions[0].tags, ["a", "b"]);
        assert_eq!(
            role(ClientType::SimpleConsumer, subscribing(FilterType::Sql, "a >")),
            Err(Code::IllegalFilterExpression)
        );
        assert_eq!(
            role(ClientType::Producer, subscribing(FilterType::Tag, "*")),
            Err(Code::UnrecognizedClientType)
        );
    }
}
