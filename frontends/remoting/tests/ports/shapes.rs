//! Flow control, message types and batches that stay one record, as they look on the wire.

use kourou_proto::message::batch::BatchMessage;
use kourou_proto::remoting::request::{CreateTopicHeader, SendMessageHeader};
use kourou_proto::remoting::response::SendMessageResponse;
use kourou_proto::{Command, HeaderFields, RequestCode, ResponseCode};
use kourou_remoting::client::Link;

use crate::support::{TIMEOUT, bodies, node, place, pull, send, sent};

async fn make(link: &Link, topic: &str, attributes: &str) {
    let header = CreateTopicHeader {
        topic,
        default_topic: "TBW102",
        read_queue_nums: 4,
        write_queue_nums: 4,
        perm: 6,
        topic_filter_type: "SINGLE_TAG",
        topic_sys_flag: None,
        order: false,
        attributes: Some(attributes),
        force: None,
    };
    let request = Command::request(RequestCode::UPDATE_AND_CREATE_TOPIC, 0).with_fields(&header);
    let answer = link.call(request, TIMEOUT).await.unwrap();
    assert_eq!(
        answer.response_code(),
        ResponseCode::SUCCESS,
        "{}",
        answer.remark()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_is_refused_with_its_limit_and_when_to_retry() {
    let node = node().await;
    let link = node.link().await;
    // So slow that no test machine is slower.
    make(&link, "T", "+quota.send.messages=1,+quota.pull.messages=1").await;
    sent(&link, "T", 0, "", b"taken").await;
    let refused = link.call(send("T", 0, "", b"refused"), TIMEOUT).await.unwrap();
    assert_eq!(refused.response_code().value(), 215);
    let remark = refused.remark();
    assert!(
        remark.starts_with(
            "[QUOTA]flow control: topic[T] was asked for 2 messages in a second, its quota is 1 messages"
        ) && remark.contains("retry after"),
        "{remark}"
    );
    let found = link.call(pull("T", 0, 0, "*", 0), TIMEOUT).await.unwrap();
    assert_eq!(bodies(&found), [b"taken".to_vec()]);
    let refused = link.call(pull("T", 0, 0, "*", 0), TIMEOUT).await.unwrap();
    assert_eq!(refused.response_code().value(), 215, "{}", refused.remark());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_another_type_is_illegal_and_a_priority_chooses_the_queue() {
    let node = node().await;
    let link = node.link().await;
    make(&link, "delayed", "+message.type=DELAY").await;
    let refused = link.call(send("delayed", 0, "", b"now"), TIMEOUT).await.unwrap();
    assert_eq!(refused.response_code().value(), 13);
    assert!(
        refused.remark().starts_with(
            "TopicMessageType validate failed, the expected type is DELAY, but actual type is NORMAL"
        ),
        "{}",
        refused.remark()
    );
    make(&link, "urgent", "+message.type=PRIORITY").await;
    let request = send("urgent", 0, "_SYS_MSG_PRIORITY_\u{1}3\u{2}", b"x");
    let answer = link.call(request, TIMEOUT).await.unwrap();
    assert_eq!(SendMessageResponse::decode(&answer).unwrap().queue_id, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_stays_one_record_is_answered_with_its_id() {
    let node = node().await;
    let link = node.link().await;
    make(&link, "B", "+queue.type=BatchCQ").await;
    let mut body = Vec::new();
    for text in ["a", "b", "c"] {
        let message = BatchMessage {
            flag: 0,
            body: text.as_bytes(),
            properties: "",
        };
        message.encode(&mut body).unwrap();
    }
    let single = send("B", 0, "UNIQ_KEY\u{1}BATCH\u{2}", b"");
    let mut header = SendMessageHeader::decode(&single).unwrap();
    header.batch = true;
    let request = Command::request(RequestCode::SEND_BATCH_MESSAGE, 0)
        .with_fields(&header)
        .with_body(body.clone());
    let answer = link.call(request, TIMEOUT).await.unwrap();
    let fields = SendMessageResponse::decode(&answer).unwrap();
    assert_eq!((fields.batch_uniq_id, fields.queue_offset), (Some("BATCH"), 0));
    assert_eq!(sent(&link, "B", 0, "", b"behind").await, 3);
    let answer = link.call(pull("B", 0, 1, "*", 0), TIMEOUT).await.unwrap();
    assert_eq!(bodies(&answer), [body, b"behind".to_vec()]);
    assert_eq!(place(&answer).next_begin_offset, 4);
}
