//! Lite topics by the protocol: who subscribes, what is received, and what is refused by which code.

use kourou_broker::group::GroupConfig;
use kourou_grpc::wire::v2::offset_option::{OffsetType, Policy};
use kourou_grpc::wire::v2::{
    ChangeInvisibleDurationRequest, ClientType, Code, ForwardMessageToDeadLetterQueueRequest,
    LiteSubscriptionAction, Message, MessageType, NotifyClientTerminationRequest, OffsetOption,
    QueryAssignmentRequest, QueryRouteRequest, ReceiveMessageRequest, SendMessageRequest, Settings,
    Subscription, SyncLiteSubscriptionRequest, settings::PubSub, telemetry_command::Command,
};

use crate::receives::{ack, ask, attempt, bodies, handle, receive};
use crate::support::{Client, Node, TIMEOUT, Telemetry, code, message, named, node, node_with};

async fn bound(node: &Node, group: &str, attributes: &[(&str, &str)]) {
    let mut config = GroupConfig::new(group);
    for (name, value) in [("lite.bind.topic", "t")].iter().chain(attributes) {
        config.attributes.insert((*name).to_owned(), (*value).to_owned());
    }
    node.group(config).await;
}

async fn lite_node() -> Node {
    let node = node().await;
    node.topic("t", 2, "LITE").await;
    bound(&node, "g", &[]).await;
    node
}

fn settings(client_type: ClientType, group: &str) -> Settings {
    Settings {
        client_type: Some(client_type.into()),
        pub_sub: Some(PubSub::Subscription(Subscription {
            group: named(group),
            ..Subscription::default()
        })),
        ..Settings::default()
    }
}

async fn put(client: &mut Client, topic: &str, lite_topic: &str, body: &str) -> Code {
    let mut message = message(topic, &format!("id of {body}"), body);
    message.system_properties.get_or_insert_default().lite_topic = Some(lite_topic.to_owned());
    let request = SendMessageRequest {
        messages: vec![message],
    };
    code(&client.send_message(request).await.unwrap().into_inner().status)
}

fn said(action: LiteSubscriptionAction, lite_topics: &[&str]) -> SyncLiteSubscriptionRequest {
    SyncLiteSubscriptionRequest {
        action: action.into(),
        topic: named("t"),
        group: named("g"),
        lite_topic_set: lite_topics.iter().map(|name| (*name).to_owned()).collect(),
        ..SyncLiteSubscriptionRequest::default()
    }
}

async fn sync(client: &mut Client, request: SyncLiteSubscriptionRequest) -> Code {
    let answer = client.sync_lite_subscription(request).await.unwrap().into_inner();
    code(&answer.status)
}

async fn subscribe(client: &mut Client, lite_topics: &[&str]) {
    let request = said(LiteSubscriptionAction::PartialAdd, lite_topics);
    assert_eq!(sync(client, request).await, Code::Ok);
}

/// What there is, which is some.
async fn found(client: &mut Client) -> Vec<Message> {
    let (code, messages) = receive(client, ask("t")).await;
    assert_eq!(code, Code::Ok);
    messages
}

/// There is nothing, as far as one waits for it.
async fn nothing(client: &mut Client) {
    let request = ReceiveMessageRequest {
        long_polling_timeout: None,
        ..ask("t")
    };
    let mut request = tonic::Request::new(request);
    request
        .metadata_mut()
        .insert("grpc-timeout", "5500m".parse().unwrap());
    assert_eq!(receive(client, request).await.0, Code::MessageNotFound);
}

#[tokio::test]
async fn what_is_sent_to_a_lite_topic_comes_to_who_subscribes_in_order() {
    let node = lite_node().await;
    let mut client = node.client("c").await;
    for body in ["0", "1", "2"] {
        assert_eq!(put(&mut client, "t", "a", body).await, Code::Ok);
    }
    assert_eq!(put(&mut client, "t", "other", "x").await, Code::Ok);
    // It waits from before it subscribes on.
    let mut waiting = client.clone();
    let receiving = tokio::spawn(async move { found(&mut waiting).await });
    let held = async {
        while node.broker.held_lite() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT, held).await.unwrap();
    subscribe(&mut client, &["a"]).await;
    let messages = receiving.await.unwrap();
    assert_eq!(bodies(&messages), ["0", "1", "2"]);
    for message in &messages {
        let system = message.system_properties.as_ref().unwrap();
        assert_eq!(system.lite_topic.as_deref(), Some("a"));
        assert_eq!(system.message_type(), MessageType::Lite);
        assert_eq!(attempt(message), 1);
    }
    let handles: Vec<String> = messages.iter().map(handle).collect();
    assert_eq!(
        ack(&mut client, "t", &[&handles[0], &handles[2]]).await,
        [Code::Ok; 3]
    );

    // Not tried, it is as it was; given up, it is a dead letter.
    let change = ChangeInvisibleDurationRequest {
        group: named("g"),
        topic: named("t"),
        receipt_handle: handles[1].clone(),
        invisible_duration: Some(prost_types::Duration::default()),
        suspend: Some(true),
        lite_topic: Some("a".to_owned()),
        ..ChangeInvisibleDurationRequest::default()
    };
    let answer = client
        .change_invisible_duration(change)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(code(&answer.status), Code::Ok);
    node.broker.redeliver_due();
    let again = found(&mut client).await;
    assert_eq!((bodies(&again), attempt(&again[0])), (vec!["1".to_owned()], 1));
    let bury = ForwardMessageToDeadLetterQueueRequest {
        group: named("g"),
        topic: named("t"),
        receipt_handle: handle(&again[0]),
        lite_topic: Some("a".to_owned()),
        ..ForwardMessageToDeadLetterQueueRequest::default()
    };
    let answer = client
        .forward_message_to_dead_letter_queue(bury)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(code(&answer.status), Code::Ok);
    assert_eq!(node.broker.max_offset("%DLQ%g", 0), 1);
    assert_eq!(put(&mut client, "t", "a", "3").await, Code::Ok);
    assert_eq!(bodies(&found(&mut client).await), ["3"]);
}

#[tokio::test]
async fn a_simple_consumer_says_for_how_long_and_where_to_begin() {
    let node = lite_node().await;
    let mut client = node.client("c").await;
    let mut telemetry = Telemetry::open(&mut client).await;
    telemetry
        .settle(settings(ClientType::LiteSimpleConsumer, "g"))
        .await
        .unwrap();
    for body in ["0", "1", "2"] {
        put(&mut client, "t", "a", body).await;
    }
    let from = |offset_type| SyncLiteSubscriptionRequest {
        offset_option: Some(OffsetOption {
            offset_type: Some(offset_type),
        }),
        ..said(LiteSubscriptionAction::PartialAdd, &["a"])
    };
    for (offset_type, first) in [
        (OffsetType::TailN(1), "2"),
        (OffsetType::Offset(1), "1"),
        (OffsetType::Timestamp(0), "0"),
        (OffsetType::Policy(Policy::Min.into()), "0"),
    ] {
        assert_eq!(sync(&mut client, from(offset_type)).await, Code::Ok);
        assert_eq!(bodies(&found(&mut client).await)[0], first, "{offset_type:?}");
    }
    assert_eq!(
        sync(&mut client, from(OffsetType::Policy(Policy::Max.into()))).await,
        Code::Ok
    );
    nothing(&mut client).await;
}

#[tokio::test]
async fn clients_are_told_what_they_may_and_that_it_is_in_order() {
    let node = lite_node().await;
    bound(&node, "few", &[("lite.sub.client.quota", "2")]).await;
    let mut client = node.client("c").await;
    let mut telemetry = Telemetry::open(&mut client).await;
    for (group, quota) in [("few", 2), ("g", 2_000)] {
        let settled = telemetry
            .settle(settings(ClientType::LitePushConsumer, group))
            .await;
        let Some(PubSub::Subscription(subscription)) = settled.unwrap().pub_sub else {
            panic!("it is a consumer's")
        };
        assert_eq!(subscription.lite_subscription_quota, Some(quota));
        assert_eq!(
            (subscription.max_lite_topic_size, subscription.fifo),
            (Some(64), Some(true))
        );
    }
    let route = QueryRouteRequest {
        topic: named("t"),
        ..QueryRouteRequest::default()
    };
    let route = client.query_route(route).await.unwrap().into_inner();
    assert_eq!(
        route.message_queues[0].accept_message_types,
        [MessageType::Lite as i32]
    );
    // One receive is for all of them, also in a group that is in order anyway.
    let mut ordered = GroupConfig::new("g");
    ordered.consume_message_orderly = true;
    ordered
        .attributes
        .insert("lite.bind.topic".to_owned(), "t".to_owned());
    node.group(ordered).await;
    let assigned = QueryAssignmentRequest {
        topic: named("t"),
        group: named("g"),
        ..QueryAssignmentRequest::default()
    };
    let assigned = client.query_assignment(assigned).await.unwrap().into_inner();
    let ids = assigned
        .assignments
        .iter()
        .map(|one| one.message_queue.as_ref().unwrap().id);
    assert_eq!(ids.collect::<Vec<_>>(), [-1]);
}

#[tokio::test]
async fn who_loses_a_lite_topic_hears_of_it_and_who_ends_has_none() {
    let node = node().await;
    node.topic("t", 1, "LITE").await;
    bound(&node, "g", &[("lite.sub.model", "Exclusive")]).await;
    let (mut old, mut new) = (node.client("old").await, node.client("new").await);
    let mut telemetry = Telemetry::open(&mut old).await;
    telemetry
        .settle(settings(ClientType::LitePushConsumer, "g"))
        .await
        .unwrap();
    let mut other = Telemetry::open(&mut new).await;
    other
        .settle(settings(ClientType::LitePushConsumer, "g"))
        .await
        .unwrap();
    subscribe(&mut old, &["a", "b"]).await;
    subscribe(&mut new, &["a"]).await;
    let lost = |command| match command {
        Some(Command::NotifyUnsubscribeLiteCommand(lost)) => lost.lite_topic,
        other => panic!("{other:?}"),
    };
    assert_eq!(lost(telemetry.hear().await.unwrap().command), "a");
    // It has not listened.
    let all = said(LiteSubscriptionAction::CompleteAdd, &["a", "b"]);
    assert_eq!(sync(&mut old, all.clone()).await, Code::Ok);
    assert_eq!(lost(telemetry.hear().await.unwrap().command), "a");
    put(&mut old, "t", "a", "x").await;
    assert_eq!(bodies(&found(&mut new).await), ["x"]);
    assert_eq!(node.broker.lite_subscriptions(), 2);
    let ends = NotifyClientTerminationRequest { group: named("g") };
    let answer = new.notify_client_termination(ends).await.unwrap().into_inner();
    assert_eq!(code(&answer.status), Code::Ok);
    let gone = async {
        while node.broker.lite_subscriptions() != 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT, gone).await.unwrap();
    assert_eq!(sync(&mut old, all).await, Code::Ok);
    assert_eq!(node.broker.lite_subscriptions(), 2);
}

#[tokio::test]
async fn each_refusal_has_its_code() {
    let node = node_with(kourou_grpc::Limits::default(), |options| {
        options.limits.lite_topics_max = 1;
        options.limits.lite_subscriptions_max = 2;
    })
    .await;
    node.topic("t", 1, "LITE").await;
    node.topic("plain", 1, "NORMAL").await;
    bound(&node, "g", &[("lite.sub.client.quota", "2")]).await;
    node.group(GroupConfig::new("unbound")).await;
    let mut client = node.client("c").await;
    assert_eq!(put(&mut client, "t", "a b", "x").await, Code::IllegalLiteTopic);
    assert_eq!(
        put(&mut client, "t", &"l".repeat(65), "x").await,
        Code::IllegalLiteTopic
    );
    assert_eq!(
        put(&mut client, "plain", "a", "x").await,
        Code::MessagePropertyConflictWithType
    );
    assert_eq!(put(&mut client, "t", "a", "x").await, Code::Ok);
    assert_eq!(
        put(&mut client, "t", "b", "x").await,
        Code::LiteTopicQuotaExceeded
    );
    let normal = SendMessageRequest {
        messages: vec![message("t", "id", "x")],
    };
    let answer = client.send_message(normal).await.unwrap().into_inner();
    assert_eq!(code(&answer.status), Code::MessagePropertyConflictWithType);

    let add = |lite_topics: &[&str]| said(LiteSubscriptionAction::PartialAdd, lite_topics);
    assert_eq!(sync(&mut client, add(&["*"])).await, Code::IllegalLiteTopic);
    assert_eq!(
        sync(&mut client, add(&["a", "b", "c"])).await,
        Code::LiteSubscriptionQuotaExceeded
    );
    assert_eq!(sync(&mut client, add(&["a", "b"])).await, Code::Ok);
    let mut another = node.client("d").await;
    assert_eq!(
        sync(&mut another, add(&["a"])).await,
        Code::LiteSubscriptionQuotaExceeded
    );
    for (group, topic, expected) in [
        ("unbound", "t", Code::IllegalConsumerGroup),
        ("g", "plain", Code::IllegalTopic),
        ("g", "none", Code::TopicNotFound),
        ("g", "", Code::IllegalTopic),
        ("", "t", Code::IllegalConsumerGroup),
    ] {
        let request = SyncLiteSubscriptionRequest {
            group: named(group),
            topic: named(topic),
            ..add(&["a"])
        };
        assert_eq!(sync(&mut client, request).await, expected, "{group} {topic}");
    }
    let unbound = ReceiveMessageRequest {
        group: named("unbound"),
        ..ask("t")
    };
    assert_eq!(receive(&mut client, unbound).await.0, Code::BadRequest);
}
