//! Sends, and what lies in the log after them.

use kourou_broker::receive::{InlineSubscription, PullOutcome, PullRequest};
use kourou_grpc::wire::v2::{
    Code, Message, PullMessageRequest, SendMessageRequest, pull_message_response::Content,
};
use kourou_proto::message::stored::StoredMessage;

use crate::support::{Node, code, message, named, node};

fn pull_request(topic: &str, offset: i64) -> PullRequest {
    PullRequest {
        group: "g".into(),
        topic: topic.into(),
        queue_id: 0,
        offset,
        messages_max: 32,
        commit_offset: None,
        subscription: Some(InlineSubscription::default()),
        sub_version: 0,
    }
}

fn bodies(node: &Node, topic: &str) -> Vec<String> {
    match node.broker.pull(&pull_request(topic, 0)).unwrap() {
        PullOutcome::Found(found) => found
            .records
            .iter()
            .map(|record| {
                let (stored, _) = StoredMessage::parse(record).unwrap();
                String::from_utf8(stored.body.to_vec()).unwrap()
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

async fn send(node: &Node, messages: Vec<Message>) -> Vec<Code> {
    let mut client = node.client("c").await;
    let answer = client
        .send_message(SendMessageRequest { messages })
        .await
        .unwrap()
        .into_inner();
    let mut codes = vec![code(&answer.status)];
    codes.extend(answer.entries.iter().map(|entry| code(&entry.status)));
    codes
}

#[tokio::test]
async fn each_message_of_a_request_has_an_entry() {
    let node = node().await;
    node.topic("t", 1, "NORMAL").await;
    let messages = ["a", "b", "c"].map(|body| message("t", body, body)).to_vec();
    assert_eq!(send(&node, messages).await, [Code::Ok; 4]);
    assert_eq!(bodies(&node, "t"), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_request_is_refused_as_a_whole() {
    let node = node().await;
    node.topic("t", 1, "NORMAL").await;
    node.topic("fifo", 1, "FIFO").await;
    let mut ordered = message("t", "1", "x");
    ordered.system_properties.as_mut().unwrap().message_group = Some("g".to_owned());
    let good = || message("t", "1", "x");
    for (messages, expected) in [
        (vec![], Code::MessageCorrupted),
        (vec![message("nowhere", "1", "x")], Code::TopicNotFound),
        (vec![good(), message("fifo", "2", "x")], Code::MessageCorrupted),
        (vec![good(), message("t", "2", "")], Code::MessageBodyEmpty),
        (vec![good(), ordered], Code::MessagePropertyConflictWithType),
        (
            vec![message("fifo", "1", "x")],
            Code::MessagePropertyConflictWithType,
        ),
    ] {
        assert_eq!(send(&node, messages).await, [expected]);
    }
    assert_eq!(node.broker.max_offset("t", 0), 0);
}

#[tokio::test]
async fn what_was_sent_is_pulled() {
    let node = node().await;
    node.topic("t", 1, "NORMAL").await;
    let mut sent = message("t", "id-1", "hello");
    sent.user_properties.insert("colour".to_owned(), "red".to_owned());
    let system = sent.system_properties.as_mut().unwrap();
    system.tag = Some("tag".to_owned());
    system.keys = vec!["k1".to_owned(), "k2".to_owned()];
    let pull = PullMessageRequest {
        group: named("g"),
        message_queue: Some(kourou_grpc::wire::v2::MessageQueue {
            topic: named("t"),
            ..Default::default()
        }),
        offset: 0,
        batch_size: 10,
        filter_expression: None,
        long_polling_timeout: Some(prost_types::Duration {
            seconds: 10,
            nanos: 0,
        }),
    };
    // Asked for before it is there: the pull waits for it.
    let mut client = node.client("c").await;
    let pulling = tokio::spawn(async move { client.pull_message(pull).await.unwrap().into_inner() });
    tokio::task::yield_now().await;
    assert_eq!(send(&node, vec![sent.clone()]).await, [Code::Ok; 2]);

    let mut parts = pulling.await.unwrap();
    let mut contents = Vec::new();
    while let Some(part) = parts.message().await.unwrap() {
        contents.push(part.content.unwrap());
    }
    let [
        Content::Status(status),
        Content::Message(found),
        Content::NextOffset(1),
    ] = contents.as_slice()
    else {
        panic!("{contents:?}");
    };
    assert_eq!(status.code(), Code::Ok);
    assert_eq!((&found.body, &found.topic), (&sent.body, &sent.topic));
    assert_eq!(found.user_properties, sent.user_properties);
    let (found, sent) = (
        found.system_properties.as_ref().unwrap(),
        sent.system_properties.as_ref().unwrap(),
    );
    assert_eq!((&found.tag, &found.keys), (&sent.tag, &sent.keys));
    assert_eq!(found.message_id, "id-1");
    assert_eq!(
        found.body_digest.as_ref().unwrap().checksum,
        "5D41402ABC4B2A76B9719D911017C592"
    );
    assert_eq!(found.queue_offset, Some(0));
}
