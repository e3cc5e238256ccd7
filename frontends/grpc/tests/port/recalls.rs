//! Messages for a time, taken back before it.

use kourou_grpc::wire::v2::{Code, RecallMessageRequest, SendMessageRequest};

use crate::support::{Client, code, message, named, node};

async fn recall(client: &mut Client, topic: &str, handle: &str) -> (Code, String) {
    let request = RecallMessageRequest {
        topic: named(topic),
        recall_handle: handle.to_owned(),
    };
    let answer = client.recall_message(request).await.unwrap().into_inner();
    (code(&answer.status), answer.message_id)
}

#[tokio::test]
async fn a_message_is_taken_back_by_the_handle_that_its_send_gave_out() {
    let node = node().await;
    node.topic("t", 1, "DELAY").await;
    node.topic("u", 1, "DELAY").await;
    node.topic("plain", 1, "NORMAL").await;
    let mut client = node.client("c").await;
    let due_ms = node.broker.now_ms() + 600_000;
    let mut delayed = message("t", "id-1", "later");
    delayed.system_properties.as_mut().unwrap().delivery_timestamp = Some(prost_types::Timestamp {
        seconds: due_ms / 1_000,
        nanos: 0,
    });
    let request = |message| SendMessageRequest {
        messages: vec![message],
    };
    let sent = client.send_message(request(delayed)).await.unwrap().into_inner();
    let handle = sent.entries[0].recall_handle.clone();
    assert_eq!(node.broker.timers_pending(), 1);
    let plain = request(message("plain", "id-2", "now"));
    let sent = client.send_message(plain).await.unwrap().into_inner();
    assert_eq!(sent.entries[0].recall_handle, "");

    for (topic, handle, expected) in [
        ("a b", handle.as_str(), Code::IllegalTopic),
        ("nowhere", &handle, Code::TopicNotFound),
        ("plain", &handle, Code::MessagePropertyConflictWithType),
        ("u", &handle, Code::BadRequest),
        ("t", "", Code::BadRequest),
        ("t", &handle[1..], Code::BadRequest),
    ] {
        assert_eq!(recall(&mut client, topic, handle).await.0, expected, "{topic}");
    }
    let recalled = recall(&mut client, "t", &handle).await;
    assert_eq!(recalled, (Code::Ok, "id-1".to_owned()));
    assert_eq!(node.broker.timers_pending(), 0);
    assert_eq!(recall(&mut client, "t", &handle).await.0, Code::MessageNotFound);
}
