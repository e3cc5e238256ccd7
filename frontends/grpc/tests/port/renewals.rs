//! Messages that push consumers have: renewed while their client is there, given to others when it is not, dead when it says so.

use std::time::Duration;

use kourou_broker::group::GroupConfig;
use kourou_grpc::Limits;
use kourou_grpc::wire::v2::{
    Code, FilterType, ForwardMessageToDeadLetterQueueRequest, NotifyClientTerminationRequest,
    ReceiveMessageRequest,
};

use crate::clients::subscribing;
use crate::receives::{Redelivering, ack, ask, attempt, bodies, found, found_again, handle, receive, send};
use crate::support::{Client, Node, Telemetry, code, named, node, node_with};

/// As a push consumer asks.
fn push() -> ReceiveMessageRequest {
    ReceiveMessageRequest {
        auto_renew: true,
        invisible_duration: None,
        ..ask("t")
    }
}

async fn renewing() -> Node {
    let mut limits = Limits::default();
    limits.renewed = Duration::from_millis(300);
    limits.return_grace = Duration::from_millis(20);
    limits.renewals_per_client_max = 2;
    let node = node_with(limits, |_| {}).await;
    node.topic("t", 1, "NORMAL").await;
    node
}

async fn connected(client: &mut Client) -> Telemetry {
    let mut telemetry = Telemetry::open(client).await;
    telemetry.settle(subscribing("*", FilterType::Tag)).await.unwrap();
    telemetry
}

async fn bury(client: &mut Client, topic: &str, handle: &str) -> Code {
    let request = ForwardMessageToDeadLetterQueueRequest {
        group: named("g"),
        topic: named(topic),
        receipt_handle: handle.to_owned(),
        message_id: "id".to_owned(),
        delivery_attempt: 16,
        max_delivery_attempts: 16,
        lite_topic: None,
    };
    let answer = client
        .forward_message_to_dead_letter_queue(request)
        .await
        .unwrap()
        .into_inner();
    code(&answer.status)
}

#[tokio::test]
async fn it_is_renewed_while_its_client_is_there() {
    let node = renewing().await;
    let mut client = node.client("c").await;
    let _telemetry = connected(&mut client).await;
    send(&node, "t", &["a", "b"]).await;
    let (_, messages) = receive(&mut client, push()).await;
    assert_eq!(bodies(&messages), ["a", "b"]);
    assert_eq!(
        receive(&mut client, push()).await.0,
        Code::TooManyRequests,
        "it has as many as may be renewed"
    );
    let start_ms = node.broker.now_ms();
    let _redelivering = Redelivering::on(&node);
    while node.broker.now_ms() < start_ms + 600 {
        assert_eq!(node.broker.deliveries(), 2);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // It was renewed for a minute.
    let next_ms = node.broker.next_redelivery_ms();
    assert!(next_ms.is_some_and(|next_ms| (start_ms + 60_000..start_ms + 61_000).contains(&next_ms)));
    // By the handle that it has been given.
    let handles = [handle(&messages[0]), handle(&messages[1])];
    assert_eq!(
        ack(&mut client, "t", &[&handles[0], &handles[1]]).await,
        [Code::Ok; 3]
    );
    assert_eq!(node.broker.deliveries(), 0);
}

#[tokio::test]
async fn it_goes_to_others_when_its_client_is_gone() {
    let node = renewing().await;
    let mut other = node.client("other").await;
    // A client that has ended does not come back: the next one has another id.
    for (id, body, says_so) in [("ends", "a", true), ("is lost", "bb", false)] {
        let mut client = node.client(id).await;
        let telemetry = connected(&mut client).await;
        send(&node, "t", &[body]).await;
        let (status, messages) = receive(&mut client, push()).await;
        assert_eq!((status, bodies(&messages)), (Code::Ok, vec![body.to_owned()]));
        // Not renewed but cut short, or nothing would come within a minute.
        let far_ms = node.broker.now_ms() + 50_000;
        while node
            .broker
            .next_redelivery_ms()
            .is_none_or(|next_ms| next_ms < far_ms)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if says_so {
            let ends = NotifyClientTerminationRequest { group: named("g") };
            client.notify_client_termination(ends).await.unwrap();
        } else {
            drop(telemetry);
        }
        let again = found_again(&node, &mut other, "t").await;
        assert_eq!((attempt(&again[0]), bodies(&again)), (2, vec![body.to_owned()]));
        assert_eq!(
            ack(&mut other, "t", &[&handle(&again[0])]).await,
            [Code::Ok; 2],
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_client_without_a_stream_keeps_it_for_its_time() {
    let node = renewing().await;
    let mut client = node.client("c").await;
    send(&node, "t", &["a"]).await;
    let (_, messages) = receive(&mut client, push()).await;
    assert_eq!(bodies(&messages), ["a"]);
    let mut other = node.client("other").await;
    let again = found_again(&node, &mut other, "t").await;
    assert_eq!(attempt(&again[0]), 2);
}

#[tokio::test]
async fn given_up_it_is_a_dead_letter() {
    let node = node().await;
    node.topic("t", 1, "NORMAL").await;
    let mut client = node.client("c").await;
    send(&node, "t", &["a"]).await;
    let messages = found(&mut client, "t").await;
    let handle = handle(&messages[0]);
    assert_eq!(
        bury(&mut client, "t", "nothing").await,
        Code::InvalidReceiptHandle
    );
    assert_eq!(bury(&mut client, "a b", &handle).await, Code::IllegalTopic);
    assert_eq!(bury(&mut client, "t", &handle).await, Code::Ok);
    assert_eq!(bury(&mut client, "t", &handle).await, Code::InvalidReceiptHandle);
    assert_eq!(node.broker.deliveries(), 0);
    assert_eq!(node.broker.max_offset("%DLQ%g", 0), 1);
}

#[tokio::test]
async fn in_order_tried_too_often_it_is_a_dead_letter_too() {
    let node = node().await;
    node.topic("t", 1, "FIFO").await;
    node.group(GroupConfig {
        consume_message_orderly: true,
        retry_times_max: 1,
        ..GroupConfig::new("g")
    })
    .await;
    let mut client = node.client("c").await;
    for body in ["a", "b"] {
        let mut message = crate::support::message("t", body, body);
        message.system_properties.as_mut().unwrap().message_group = Some("same".to_owned());
        let messages = vec![message];
        let request = kourou_grpc::wire::v2::SendMessageRequest { messages };
        client.send_message(request).await.unwrap();
    }
    let one = || ReceiveMessageRequest {
        batch_size: 1,
        ..ask("t")
    };
    let _redelivering = Redelivering::on(&node);
    for times in 1..=2 {
        let (_, messages) = receive(&mut client, one()).await;
        assert_eq!(
            (bodies(&messages), attempt(&messages[0])),
            (vec!["a".to_owned()], times)
        );
        let request = kourou_grpc::wire::v2::ChangeInvisibleDurationRequest {
            group: named("g"),
            topic: named("t"),
            receipt_handle: handle(&messages[0]),
            invisible_duration: Some(prost_types::Duration::default()),
            ..Default::default()
        };
        let changed = client.change_invisible_duration(request).await.unwrap();
        assert_eq!(code(&changed.into_inner().status), Code::Ok);
    }
    let (_, messages) = receive(&mut client, one()).await;
    assert_eq!(
        (bodies(&messages), attempt(&messages[0])),
        (vec!["b".to_owned()], 1)
    );
    assert_eq!(node.broker.max_offset("%DLQ%g", 0), 1);
}
