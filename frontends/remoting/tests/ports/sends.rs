use std::sync::mpsc;

use kourou_proto::message::batch::BatchMessage;
use kourou_proto::remoting::request::{SendMessageHeader, SendNames};
use kourou_proto::remoting::response::SendMessageResponse;
use kourou_proto::{Command, HeaderCodec, HeaderFields, RequestCode, ResponseCode};

use crate::support::{TIMEOUT, bodies, node, place, pull, send, sent};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_send_creates_its_topic_and_is_read_back() {
    let node = node().await;
    let link = node.link().await;
    assert_eq!(sent(&link, "T", 0, "", b"one").await, 0);
    assert_eq!(sent(&link, "T", 0, "", b"two").await, 1);
    let answer = link.call(pull("T", 0, 0, "*", 0), TIMEOUT).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
    assert_eq!(bodies(&answer), [b"one".to_vec(), b"two".to_vec()]);
    assert_eq!(
        (place(&answer).next_begin_offset, place(&answer).max_offset),
        (2, 2)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_is_answered_in_the_codec_it_came_in_with_all_that_clients_read() {
    let node = node().await;
    let link = node.link().await;
    for codec in [HeaderCodec::Json, HeaderCodec::Rocketmq] {
        let answer = link
            .call(
                send("T", 1, "UNIQ_KEY\u{1}U1\u{2}", b"x").with_codec(codec),
                TIMEOUT,
            )
            .await
            .unwrap();
        assert_eq!(answer.codec, codec);
        assert!(answer.version() >= 413, "clients gate features by it");
        assert_eq!(answer.header.language.name(), "JAVA");
        let fields = SendMessageResponse::decode(&answer).unwrap();
        assert_eq!(fields.msg_id.len(), 32);
        assert_eq!((fields.queue_id, fields.transaction_id), (1, Some("U1")));
        assert_eq!(fields.region_id, Some("DefaultRegion"));
        assert!(fields.trace_on.is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_names_say_the_same() {
    let node = node().await;
    let link = node.link().await;
    let short = send("T", 0, "", b"old client");
    let mut header = SendMessageHeader::decode(&short).unwrap();
    header.names = SendNames::Long;
    let long = Command::request(RequestCode::SEND_MESSAGE, 0)
        .with_fields(&header)
        .with_body("old client");
    let answer = link.call(long, TIMEOUT).await.unwrap();
    assert_eq!(
        answer.response_code(),
        ResponseCode::SUCCESS,
        "{}",
        answer.remark()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_sends_are_all_answered() {
    let node = node().await;
    let link = node.link().await;
    sent(&link, "T", 0, "", b"first").await;
    let (sender, answers) = mpsc::channel();
    for _ in 0..2_000 {
        let sender = sender.clone();
        link.start(send("T", 0, "", b"m"), move |answer| {
            let offset = SendMessageResponse::decode(&answer).unwrap().queue_offset;
            let _ = sender.send(offset);
        })
        .unwrap();
    }
    drop(sender);
    let mut offsets = tokio::task::spawn_blocking(move || answers.iter().collect::<Vec<_>>())
        .await
        .unwrap();
    offsets.sort_unstable();
    assert_eq!(offsets, (1..=2_000).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_oneway_send_is_stored_and_not_answered() {
    let node = node().await;
    let link = node.link().await;
    sent(&link, "T", 0, "", b"first").await;
    link.oneway(send("T", 0, "", b"second")).unwrap();
    // Behind it on the same connection; an answer to the oneway would be an unknown number's.
    let answer = link.call(pull("T", 0, 1, "*", 5_000), TIMEOUT).await.unwrap();
    assert_eq!(bodies(&answer), [b"second".to_vec()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_split_into_its_messages() {
    let node = node().await;
    let link = node.link().await;
    let mut body = Vec::new();
    for text in ["a", "b", "c"] {
        let message = BatchMessage {
            flag: 0,
            body: text.as_bytes(),
            properties: "TAGS\u{1}t\u{2}",
        };
        message.encode(&mut body).unwrap();
    }
    let single = send("T", 0, "", b"");
    let mut header = SendMessageHeader::decode(&single).unwrap();
    header.batch = true;
    let request = Command::request(RequestCode::SEND_BATCH_MESSAGE, 0)
        .with_fields(&header)
        .with_body(body);
    let answer = link.call(request, TIMEOUT).await.unwrap();
    assert_eq!(
        answer.response_code(),
        ResponseCode::SUCCESS,
        "{}",
        answer.remark()
    );
    let fields = SendMessageResponse::decode(&answer).unwrap();
    assert_eq!(fields.msg_id.split(',').count(), 3);
    assert_eq!(fields.queue_offset, 0);
    let answer = link.call(pull("T", 0, 0, "t", 0), TIMEOUT).await.unwrap();
    assert_eq!(bodies(&answer), [b"a".to_vec(), b"b".to_vec(), b"c".to_vec()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_carry_the_protocols_codes() {
    let node = node().await;
    let link = node.link().await;
    let cases = [
        (
            send("no such/topic", 0, "", b"x"),
            ResponseCode::INVALID_PARAMETER,
        ),
        (
            send("SCHEDULE_TOPIC_XXXX", 0, "", b"x"),
            ResponseCode::NO_PERMISSION,
        ),
        (send("T", 77, "", b"x"), ResponseCode::INVALID_PARAMETER),
        (
            send("T", 0, "", &vec![b'x'; (4 << 20) + 1]),
            ResponseCode::MESSAGE_ILLEGAL,
        ),
        (
            Command::request(RequestCode::SEND_MESSAGE_V2, 0),
            ResponseCode::SYSTEM_ERROR,
        ),
        (pull("unknown", 0, 0, "*", 0), ResponseCode::TOPIC_NOT_EXIST),
    ];
    for (request, code) in cases {
        let answer = link.call(request, TIMEOUT).await.unwrap();
        assert_eq!(answer.response_code(), code, "{}", answer.remark());
        assert!(!answer.remark().is_empty());
    }
    assert_eq!(sent(&link, "T", 0, "", b"the connection goes on").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_message_comes_back_whole() {
    let node = node().await;
    let link = node.link().await;
    let body: Vec<u8> = (0..3_900_000u32).map(|at| (at % 251) as u8).collect();
    sent(&link, "T", 0, "", &body).await;
    let answer = link.call(pull("T", 0, 0, "*", 0), TIMEOUT).await.unwrap();
    assert!(bodies(&answer) == [body], "the body differs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_wait_for_room_rather_than_fail() {
    let node = node().await;
    let link = node.link().await;
    // Three times what may be on its way, at once.
    let body = vec![b'x'; 3 << 20];
    let calls: Vec<_> = (0..16)
        .map(|_| {
            let (link, request) = (link.clone(), send("T", 0, "", &body));
            tokio::spawn(async move { link.call(request, TIMEOUT).await })
        })
        .collect();
    for call in calls {
        let answer = call.await.unwrap().unwrap();
        let busy = answer.response_code() == ResponseCode::SYSTEM_BUSY;
        assert!(
            busy || answer.response_code() == ResponseCode::SUCCESS,
            "{}",
            answer.remark()
        );
    }
}
