//! Offsets of groups and queues.

use kourou_grpc::wire::v2::{
    Code, GetOffsetRequest, MessageQueue, QueryOffsetPolicy, QueryOffsetRequest, SendMessageRequest,
    UpdateOffsetRequest,
};

use crate::support::{code, message, named, node};

fn queue(id: i32) -> Option<MessageQueue> {
    Some(MessageQueue {
        topic: named("t"),
        id,
        ..MessageQueue::default()
    })
}

#[tokio::test]
async fn offsets_are_the_brokers() {
    let node = node().await;
    node.topic("t", 1, "NORMAL").await;
    let mut client = node.client("c").await;
    let messages = vec![message("t", "1", "x"), message("t", "2", "x")];
    client
        .send_message(SendMessageRequest { messages })
        .await
        .unwrap();

    let query = |policy: QueryOffsetPolicy| QueryOffsetRequest {
        message_queue: queue(0),
        query_offset_policy: policy.into(),
        timestamp: None,
    };
    let end = client
        .query_offset(query(QueryOffsetPolicy::End))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((code(&end.status), end.offset), (Code::Ok, 2));
    let by_time = client
        .query_offset(query(QueryOffsetPolicy::Timestamp))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(code(&by_time.status), Code::BadRequest);

    let get = GetOffsetRequest {
        group: named("g"),
        message_queue: queue(0),
    };
    let none = client.get_offset(get.clone()).await.unwrap().into_inner();
    assert_eq!(code(&none.status), Code::OffsetNotFound);
    let update = |offset| UpdateOffsetRequest {
        group: named("g"),
        message_queue: queue(0),
        offset,
    };
    // A group that nobody has used does not exist.
    let unknown = client.update_offset(update(1)).await.unwrap().into_inner();
    assert_eq!(code(&unknown.status), Code::ConsumerGroupNotFound);
    let (told, made) = tokio::sync::oneshot::channel();
    let group = kourou_broker::group::GroupConfig::new("g");
    node.broker
        .put_group(&group, move |stored| told.send(stored.is_ok()).unwrap());
    assert!(made.await.unwrap());
    let updated = client.update_offset(update(1)).await.unwrap().into_inner();
    assert_eq!(code(&updated.status), Code::Ok);
    assert_eq!(client.get_offset(get).await.unwrap().into_inner().offset, 1);
    assert_eq!(node.broker.committed_offset("g", "t", 0, false), Some(1));
    let negative = client.update_offset(update(-1)).await.unwrap().into_inner();
    assert_eq!(code(&negative.status), Code::IllegalOffset);
    let elsewhere = GetOffsetRequest {
        group: named("g"),
        message_queue: queue(1),
    };
    let elsewhere = client.get_offset(elsewhere).await.unwrap().into_inner();
    assert_eq!(code(&elsewhere.status), Code::BadRequest);
}
