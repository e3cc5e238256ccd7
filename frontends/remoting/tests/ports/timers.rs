use std::time::{Duration, Instant};

use kourou_engine::record::RecordView;
use kourou_proto::remoting::request::RecallMessageHeader;
use kourou_proto::remoting::response::{RecallMessageResponse, SendMessageResponse};
use kourou_proto::{Command, HeaderFields, RequestCode, ResponseCode};
use kourou_remoting::client::Link;

use crate::support::{TIMEOUT, bodies, node, pull, send};

fn recall(topic: &str, handle: &str) -> Command {
    let header = RecallMessageHeader {
        producer_group: Some("pg"),
        topic,
        recall_handle: handle,
    };
    Command::request(RequestCode::RECALL_MESSAGE, 0).with_fields(&header)
}

async fn handle_of(link: &Link, properties: &str, body: &[u8]) -> Option<String> {
    let answer = link.call(send("T", 0, properties, body), TIMEOUT).await.unwrap();
    assert_eq!(
        answer.response_code(),
        ResponseCode::SUCCESS,
        "{}",
        answer.remark()
    );
    let fields = SendMessageResponse::decode(&answer).unwrap();
    fields.recall_handle.map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_comes_at_its_time_and_wakes_who_waits_for_it() {
    let node = node().await;
    let link = node.link().await;
    // Makes the topic.
    assert_eq!(handle_of(&link, "", b"now").await, None);
    let due_ms = node.broker.now_ms() + 300;
    handle_of(
        &link,
        &format!("UNIQ_KEY\u{1}U1\u{2}TIMER_DELIVER_MS\u{1}{due_ms}"),
        b"later",
    )
    .await;
    let began = Instant::now();
    let answer = link.call(pull("T", 0, 1, "*", 10_000), TIMEOUT).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(8), "held until it came");
    assert_eq!(bodies(&answer), [b"later"]);
    let record = RecordView::parse(&answer.body).unwrap();
    assert!(
        record.store_ms() >= due_ms,
        "{} ms early",
        due_ms - record.store_ms()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recalled_message_does_not_come() {
    let node = node().await;
    let link = node.link().await;
    let due_ms = node.broker.now_ms() + 1_500;
    let timer = |key: &str| format!("UNIQ_KEY\u{1}{key}\u{2}TIMER_DELIVER_MS\u{1}{due_ms}");
    let handle = handle_of(&link, &timer("U1"), b"recalled").await.unwrap();
    handle_of(&link, &timer("U2"), b"delivered").await.unwrap();

    let answer = link.call(recall("T", &handle), TIMEOUT).await.unwrap();
    assert_eq!(
        answer.response_code(),
        ResponseCode::SUCCESS,
        "{}",
        answer.remark()
    );
    let fields = RecallMessageResponse::decode(&answer).unwrap();
    assert_eq!((fields.msg_id, fields.region_id), ("U1", Some("DefaultRegion")));
    let answer = link.call(pull("T", 0, 0, "*", 8_000), TIMEOUT).await.unwrap();
    assert_eq!(bodies(&answer), [b"delivered"]);
    assert_eq!(node.broker.timers_pending(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recalls_are_refused_as_the_protocol_says() {
    let node = node().await;
    let link = node.link().await;
    let properties = "UNIQ_KEY\u{1}U1\u{2}TIMER_DELAY_SEC\u{1}1000";
    let handle = handle_of(&link, properties, b"later").await.unwrap();
    let code = async |topic: &str, handle: &str| {
        let answer = link.call(recall(topic, handle), TIMEOUT).await.unwrap();
        (answer.response_code(), answer.remark().to_owned())
    };
    let cases = [
        (
            "Nowhere",
            handle.as_str(),
            ResponseCode::TOPIC_NOT_EXIST,
            "not exist",
        ),
        (
            "T",
            "",
            ResponseCode::ILLEGAL_OPERATION,
            "recall handle is invalid",
        ),
        (
            "T",
            "%%%",
            ResponseCode::ILLEGAL_OPERATION,
            "recall handle is invalid",
        ),
        (
            "TBW102",
            handle.as_str(),
            ResponseCode::ILLEGAL_OPERATION,
            "topic not match",
        ),
        // v1 T elsewhere 99999999999999 U1
        (
            "T",
            "djEgVCBlbHNld2hlcmUgOTk5OTk5OTk5OTk5OTkgVTE=",
            ResponseCode::ILLEGAL_OPERATION,
            "elsewhere",
        ),
        // v1 T kourou 5 U1
        (
            "T",
            "djEgVCBrb3Vyb3UgNSBVMQ==",
            ResponseCode::ILLEGAL_OPERATION,
            "timestamp invalid",
        ),
        // v1 T kourou 99999999999999 U1
        (
            "T",
            "djEgVCBrb3Vyb3UgOTk5OTk5OTk5OTk5OTkgVTE=",
            ResponseCode::ILLEGAL_OPERATION,
            "no such message",
        ),
    ];
    for (topic, handle, wanted, why) in cases {
        let (found, remark) = code(topic, handle).await;
        assert_eq!(found, wanted, "{topic} {handle}: {remark}");
        assert!(remark.contains(why), "{remark}");
    }
    assert_eq!(code("T", &handle).await.0, ResponseCode::SUCCESS);
    assert_eq!(
        code("T", &handle).await.0,
        ResponseCode::ILLEGAL_OPERATION,
        "once"
    );
}
