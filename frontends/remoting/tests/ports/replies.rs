//! Request and reply: the reply is pushed to the client that waits for it.

use kourou_proto::remoting::request::SendMessageHeader;
use kourou_proto::remoting::response::SendMessageResponse;
use kourou_proto::{Command, HeaderFields, RequestCode, ResponseCode};

use crate::peer::Peer;
use crate::support::{TIMEOUT, bodies, node, pull, send};

const TOPIC: &str = "DefaultCluster_REPLY_TOPIC";

fn reply(code: RequestCode, properties: &str, body: &[u8]) -> Command {
    let mut request = send(TOPIC, -1, properties, body);
    request.header.code = code.value();
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_is_pushed_to_its_requester_and_stored() {
    let node = node().await;
    let mut requester = Peer::producer(&node, "r1").await;
    let _other = Peer::producer(&node, "r2").await;
    let properties = "REPLY_TO_CLIENT\u{1}r1\u{2}CORRELATION_ID\u{1}c\u{2}MSG_TYPE\u{1}reply";
    for (at, code) in [
        RequestCode::SEND_REPLY_MESSAGE_V2,
        RequestCode::SEND_REPLY_MESSAGE,
    ]
    .into_iter()
    .enumerate()
    {
        let responder = node.link().await;
        let body = format!("reply {at}");
        let request = reply(code, properties, body.as_bytes());
        let sending = tokio::spawn(async move { responder.call(request, TIMEOUT).await.unwrap() });
        let pushed = requester.asked().await;
        assert_eq!(pushed.code(), RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT);
        assert!(!pushed.is_oneway());
        assert_eq!(pushed.body, body);
        for (field, value) in [
            ("producerGroup", "pg"),
            ("topic", TOPIC),
            ("defaultTopic", "TBW102"),
            ("defaultTopicQueueNums", "4"),
            ("queueId", "0"),
            ("sysFlag", "0"),
            ("bornTimestamp", "1700000000000"),
            ("flag", "0"),
            ("reconsumeTimes", "0"),
            ("unitMode", "false"),
            ("storeHost", &node.broker_address),
        ] {
            assert_eq!(pushed.field(field), Some(value), "{field}");
        }
        assert!(pushed.field("bornHost").unwrap().starts_with("127.0.0.1:"));
        assert!(pushed.field("storeTimestamp").unwrap().parse::<i64>().unwrap() > 1_700_000_000_000);
        let told = pushed.field("properties").unwrap();
        assert!(
            told.starts_with(properties) && told.contains("\u{2}PUSH_REPLY_TIME\u{1}"),
            "{told}"
        );
        requester
            .answer(&pushed, pushed.reply(ResponseCode::SUCCESS))
            .await;

        let answer = sending.await.unwrap();
        assert_eq!(
            answer.response_code(),
            ResponseCode::SUCCESS,
            "{}",
            answer.remark()
        );
        let fields = SendMessageResponse::decode(&answer).unwrap();
        assert_eq!(
            (fields.queue_id, fields.queue_offset),
            (0, i64::try_from(at).unwrap())
        );
        assert_eq!(fields.msg_id.len(), 32);
        assert_eq!(
            (fields.region_id, fields.trace_on),
            (Some("DefaultRegion"), Some(true))
        );
    }
    let stored = node
        .link()
        .await
        .call(pull(TOPIC, 0, 0, "*", 0), TIMEOUT)
        .await
        .unwrap();
    assert_eq!(bodies(&stored), [b"reply 0".to_vec(), b"reply 1".to_vec()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_replies_hears_that_nobody_takes_it() {
    let node = node().await;
    let responder = node.link().await;
    for (properties, remark) in [
        ("", "reply message properties[REPLY_TO_CLIENT] is null"),
        (
            "REPLY_TO_CLIENT\u{1}r1\u{2}",
            "push reply message fail, channel of <r1> not found.",
        ),
    ] {
        let request = reply(RequestCode::SEND_REPLY_MESSAGE_V2, properties, b"x");
        let answer = responder.call(request, TIMEOUT).await.unwrap();
        assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
        assert_eq!(answer.remark(), remark);
        // Stored all the same, and clients read these fields whatever the code.
        assert_eq!(SendMessageResponse::decode(&answer).unwrap().msg_id.len(), 32);
        assert_eq!(answer.field("TRACE_ON"), Some("true"));
    }
    let mut requester = Peer::producer(&node, "r1").await;
    let request = reply(
        RequestCode::SEND_REPLY_MESSAGE_V2,
        "REPLY_TO_CLIENT\u{1}r1\u{2}",
        b"x",
    );
    let sending = tokio::spawn(async move { responder.call(request, TIMEOUT).await.unwrap() });
    let pushed = requester.asked().await;
    let refusal = pushed
        .reply(ResponseCode::SYSTEM_ERROR)
        .with_remark("process reply message fail");
    requester.answer(&pushed, refusal).await;
    let answer = sending.await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
    assert!(
        answer.remark().contains("process reply message fail"),
        "{}",
        answer.remark()
    );

    let link = node.link().await;
    let plain = send(TOPIC, 7, "", b"x");
    let header = SendMessageHeader::decode(&plain).unwrap();
    let request = Command::request(RequestCode::SEND_REPLY_MESSAGE_V2, 0).with_fields(&header);
    let answer = link.call(request, TIMEOUT).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::INVALID_PARAMETER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_requester_is_found_until_its_last_group_is_gone() {
    let node = node().await;
    let mut requester = Peer::producer(&node, "r1").await;
    assert!(node.broker.producer("r1").is_some());
    // It comes back on another connection before the old one is seen to end.
    let again = Peer::producer(&node, "r1").await;
    let newer = node.broker.producer("r1").unwrap().channel.id();
    requester
        .call(
            Command::request(RequestCode::UNREGISTER_CLIENT, 0)
                .with_field("clientID", "r1")
                .with_field("producerGroup", "pg"),
        )
        .await;
    assert_eq!(node.broker.producer("r1").unwrap().channel.id(), newer);
    drop(again);
    while node.broker.producer("r1").is_some() {
        tokio::task::yield_now().await;
    }
}
