use kourou_proto::body::{
    ConsumerConnection, ConsumerList, LockBatchRequest, LockBatchResponse, MessageQueue,
};
use kourou_proto::remoting::request::{
    ConsumerGroupHeader, ConsumerSendMsgBackHeader, UnregisterClientHeader,
};
use kourou_proto::{Command, RequestCode, ResponseCode};
use kourou_remoting::client::Link;

use crate::support::{TIMEOUT, heartbeat, node, place, pull, sent};

async fn members(link: &Link, group: &str) -> Vec<String> {
    let request =
        Command::request(RequestCode::GET_CONSUMER_LIST_BY_GROUP, 0).with_fields(&ConsumerGroupHeader {
            consumer_group: group,
        });
    let answer = link.call(request, TIMEOUT).await.unwrap();
    match answer.response_code() {
        ResponseCode::SUCCESS => ConsumerList::decode(&answer.body).unwrap().consumer_id_list,
        ResponseCode::SYSTEM_ERROR => Vec::new(),
        code => panic!("{code}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_told_of_each_other() {
    let node = node().await;
    sent(&node.link().await, "T", 0, "", b"x").await;
    let (first, pushes) = node.listening_client();
    let (second, _) = node.listening_client();
    let answer = first
        .call(&node.broker_address, heartbeat("one", "cg", "T"), TIMEOUT)
        .await
        .unwrap();
    assert_eq!(answer.field("IS_SUPPORT_HEART_BEAT_V2"), Some("true"));
    assert_eq!(answer.field("IS_SUB_CHANGE"), Some("true"));
    while pushes.try_recv().is_ok() {}
    second
        .call(&node.broker_address, heartbeat("two", "cg", "T"), TIMEOUT)
        .await
        .unwrap();
    let told = pushes.recv_timeout(TIMEOUT).unwrap();
    assert_eq!(told.code(), RequestCode::NOTIFY_CONSUMER_IDS_CHANGED);
    assert!(told.is_oneway());
    assert_eq!(told.field("consumerGroup"), Some("cg"));
    let link = node.link().await;
    assert_eq!(members(&link, "cg").await, ["one", "two"]);

    // A client that is gone leaves the group with its connection.
    drop(second);
    let told = pushes.recv_timeout(TIMEOUT).unwrap();
    assert_eq!(told.field("consumerGroup"), Some("cg"));
    assert_eq!(members(&link, "cg").await, ["one"]);

    let leave = UnregisterClientHeader {
        client_id: "one",
        producer_group: None,
        consumer_group: Some("cg"),
    };
    let leave = Command::request(RequestCode::UNREGISTER_CLIENT, 0).with_fields(&leave);
    first.call(&node.broker_address, leave, TIMEOUT).await.unwrap();
    assert!(members(&link, "cg").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_listed() {
    let node = node().await;
    let link = node.link().await;
    let request = Command::request(RequestCode::GET_CONSUMER_CONNECTION_LIST, 0)
        .with_fields(&ConsumerGroupHeader { consumer_group: "cg" });
    let answer = link.call(request.clone(), TIMEOUT).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::CONSUMER_NOT_ONLINE);
    link.call(heartbeat("one", "cg", "T"), TIMEOUT).await.unwrap();
    let answer = link.call(request, TIMEOUT).await.unwrap();
    let body = ConsumerConnection::decode(&answer.body).unwrap();
    assert_eq!(body.connection_set[0].client_id, "one");
    assert_eq!(body.connection_set[0].language.name(), "RUST");
    assert_eq!(body.subscription_table["T"].sub_string, "*");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_is_locked_by_one_member() {
    let node = node().await;
    let link = node.link().await;
    sent(&link, "T", 0, "", b"x").await;
    let queue = |queue_id| MessageQueue {
        broker_name: "kourou".to_owned(),
        queue_id,
        topic: "T".to_owned(),
    };
    let request = |code, client: &str| {
        let body = LockBatchRequest {
            client_id: client.to_owned(),
            consumer_group: "cg".to_owned(),
            mq_set: vec![queue(0), queue(1), queue(-1), queue(99)],
            only_this_broker: false,
        };
        Command::request(code, 0).with_body(body.encode())
    };
    let locked = |answer: &Command| LockBatchResponse::decode(&answer.body).unwrap().lock_ok_mq_set;
    let lock = |client| link.call(request(RequestCode::LOCK_BATCH_MQ, client), TIMEOUT);
    assert_eq!(locked(&lock("one").await.unwrap()), [queue(0), queue(1)]);
    assert_eq!(locked(&lock("two").await.unwrap()), []);
    link.oneway(request(RequestCode::UNLOCK_BATCH_MQ, "one")).unwrap();
    assert_eq!(locked(&lock("two").await.unwrap()), [queue(0), queue(1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_sent_back_comes_again_after_its_delay() {
    let node = node().await;
    let link = node.link().await;
    sent(&link, "T", 0, "", b"again").await;
    link.call(heartbeat("one", "cg", "T"), TIMEOUT).await.unwrap();
    let answer = link.call(pull("T", 0, 0, "*", 0), TIMEOUT).await.unwrap();
    let position = kourou_engine::record::RecordView::parse(&answer.body)
        .unwrap()
        .position();
    let back = |position, group| {
        let header = ConsumerSendMsgBackHeader {
            position,
            group,
            delay_level: 1,
            origin_msg_id: None,
            origin_topic: Some("T"),
            unit_mode: false,
            max_reconsume_times: None,
        };
        Command::request(RequestCode::CONSUMER_SEND_MSG_BACK, 0).with_fields(&header)
    };
    let position = i64::try_from(position).unwrap();
    let answer = link.call(back(position, "cg"), TIMEOUT).await.unwrap();
    assert_eq!(
        answer.response_code(),
        ResponseCode::SUCCESS,
        "{}",
        answer.remark()
    );
    let answer = link
        .call(pull("%RETRY%cg", 0, 0, "*", 5_000), TIMEOUT)
        .await
        .unwrap();
    assert_eq!(
        answer.response_code(),
        ResponseCode::SUCCESS,
        "{}",
        answer.remark()
    );
    assert_eq!(place(&answer).next_begin_offset, 1);
    let record = kourou_engine::record::RecordView::parse(&answer.body).unwrap();
    assert_eq!((record.body(), record.reconsume_times()), (&b"again"[..], 1));
    assert_eq!(record.property("RETRY_TOPIC"), Some("T"));

    let answer = link.call(back(position + 1, "cg"), TIMEOUT).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_one_member_by_its_last_name() {
    let node = node().await;
    let link = node.link().await;
    for at in 0..200 {
        let beat = heartbeat(&format!("c{at}"), "cg", &format!("T{at}"));
        link.call(beat, TIMEOUT).await.unwrap();
    }
    assert_eq!(members(&link, "cg").await, ["c199"]);
}
