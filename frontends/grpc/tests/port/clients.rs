//! Clients in the broker's registry: there as soon as their settings are, gone when their stream is.

use std::time::Instant;

use kourou_broker::client::ConsumeType;
use kourou_grpc::wire::v2::{
    ClientType, Code, FilterExpression, FilterType, HeartbeatRequest, NotifyClientTerminationRequest,
    Settings, Subscription, SubscriptionEntry, TelemetryCommand, settings::PubSub,
    telemetry_command::Command,
};

use crate::support::{TIMEOUT, Telemetry, code, named, node, publishing};

pub(crate) fn subscribing(expression: &str, kind: FilterType) -> Settings {
    Settings {
        client_type: Some(ClientType::PushConsumer.into()),
        pub_sub: Some(PubSub::Subscription(Subscription {
            group: named("g"),
            subscriptions: vec![SubscriptionEntry {
                topic: named("t"),
                expression: Some(FilterExpression {
                    r#type: kind.into(),
                    expression: expression.to_owned(),
                }),
            }],
            ..Subscription::default()
        })),
        ..Settings::default()
    }
}

async fn until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < TIMEOUT);
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_producer_is_there_while_its_stream_is() {
    let node = node().await;
    let mut client = node.client("producer-1").await;
    let beat = HeartbeatRequest {
        group: None,
        client_type: ClientType::Producer.into(),
    };
    let answer = client.heartbeat(beat.clone()).await.unwrap().into_inner();
    assert_eq!(code(&answer.status), Code::UnrecognizedClientType);

    let mut telemetry = Telemetry::open(&mut client).await;
    let settings = telemetry.settle(publishing(&["t"])).await.unwrap();
    assert!(matches!(
        settings.pub_sub,
        Some(PubSub::Publishing(publishing)) if publishing.max_body_size == 4 << 20 && publishing.topics.len() == 1
    ));
    let members = node.broker.producer_connections("t");
    assert_eq!(&*members[0].client_id, "producer-1");

    // A second stream takes the place of the first; either one's end is not the client's.
    let mut second = Telemetry::open(&mut client).await;
    second.settle(publishing(&["t"])).await.unwrap();
    drop(telemetry);
    let answer = client.heartbeat(beat.clone()).await.unwrap().into_inner();
    assert_eq!(code(&answer.status), Code::Ok);
    assert_eq!(node.broker.producer_connections("t").len(), 1);
    drop(second);
    until(|| node.broker.producer_connections("t").is_empty()).await;
    // It may be on its way back.
    let answer = client.heartbeat(beat).await.unwrap().into_inner();
    assert_eq!(code(&answer.status), Code::Ok);
    assert_eq!(node.broker.producer_connections("t").len(), 1);
}

#[tokio::test]
async fn a_consumer_is_in_its_group_until_it_says_that_it_ends() {
    let node = node().await;
    let mut client = node.client("consumer-1").await;
    let mut telemetry = Telemetry::open(&mut client).await;
    let settings = telemetry
        .settle(subscribing("a || b", FilterType::Tag))
        .await
        .unwrap();
    let policy = settings.backoff_policy.unwrap();
    assert!(policy.strategy.is_some() && policy.max_attempts == 17);
    let members = node.broker.consumer_connections("g").unwrap();
    assert_eq!(
        (members.clients.len(), members.consume_type),
        (1, ConsumeType::Passively)
    );
    assert_eq!(members.subscriptions[0].tags, ["a", "b"]);
    assert_eq!(node.broker.consumer_ids("g").len(), 1);

    let ends = NotifyClientTerminationRequest { group: named("g") };
    let answer = client.notify_client_termination(ends).await.unwrap().into_inner();
    assert_eq!(code(&answer.status), Code::Ok);
    assert!(node.broker.consumer_ids("g").is_empty());
}

/// A client for Java that is closed while it comes back from a lost connection opens a stream when it has ended, and waits for its end.
#[tokio::test]
async fn a_stream_of_a_client_that_has_ended_is_ended() {
    let node = node().await;
    let ends = NotifyClientTerminationRequest { group: named("g") };
    let mut known = node.client("known").await;
    let mut before = Telemetry::open(&mut known).await;
    before.settle(subscribing("*", FilterType::Tag)).await.unwrap();
    known.notify_client_termination(ends.clone()).await.unwrap();
    // This life of the server has heard nothing else of the second.
    let mut unknown = node.client("unknown").await;
    unknown.notify_client_termination(ends).await.unwrap();

    for client in [&mut known, &mut unknown] {
        let mut after = Telemetry::open(client).await;
        let settings = TelemetryCommand {
            status: None,
            command: Some(Command::Settings(subscribing("*", FilterType::Tag))),
        };
        after.say.send(settings).await.unwrap();
        let heard = tokio::time::timeout(TIMEOUT, after.heard.message()).await;
        assert_eq!(heard.unwrap().unwrap(), None);
    }
    assert!(node.broker.consumer_ids("g").is_empty());
    let mut other = node.client("other").await;
    let mut stays = Telemetry::open(&mut other).await;
    stays.settle(subscribing("*", FilterType::Tag)).await.unwrap();
}

#[tokio::test]
async fn settings_that_cannot_be_taken_end_the_stream() {
    let node = node().await;
    let mut client = node.client("c").await;
    for settings in [
        Settings::default(),
        publishing(&["a b"]),
        subscribing("a >", FilterType::Sql),
    ] {
        let mut telemetry = Telemetry::open(&mut client).await;
        let status = telemetry.settle(settings).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
    }
    let mut nobody = node.client("").await;
    let mut telemetry = Telemetry::open(&mut nobody).await;
    let command = telemetry.hear().await.unwrap();
    assert_eq!(code(&command.status), Code::ClientIdRequired);
}
