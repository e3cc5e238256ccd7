use std::time::Duration;

use kourou_broker::topic::{TopicConfig, perm};
use kourou_engine::record::RecordView;
use kourou_proto::body::{
    AckBits, BatchAck, BatchAckRequest, MessageRequestMode, MessageRequestModeTable, QueryAssignmentRequest,
    QueryAssignmentResponse, SetMessageRequestMode,
};
use kourou_proto::remoting::request::{
    AckMessageHeader, ChangeInvisibleTimeHeader, NotificationHeader, PeekMessageHeader, PollingInfoHeader,
    PopMessageHeader,
};
use kourou_proto::remoting::response::{
    ChangeInvisibleTimeResponse, NotificationResponse, PollingInfoResponse, PopMessageResponse,
};
use kourou_proto::{Command, HeaderFields, RequestCode, ResponseCode};
use kourou_remoting::client::Link;

use crate::support::{TIMEOUT, bodies, heartbeat, node, sent};

const CHANGE: RequestCode = RequestCode::CHANGE_MESSAGE_INVISIBLETIME;

fn pop_header(max: i32, invisible_ms: i64, poll_ms: i64) -> PopMessageHeader<'static> {
    PopMessageHeader {
        consumer_group: "cg",
        topic: "T",
        queue_id: -1,
        max_msg_nums: max,
        invisible_ms,
        poll_ms,
        born_timestamp_ms: 0,
        init_mode: 0,
        expression_type: Some("TAG"),
        expression: Some("*"),
        order: false,
        attempt_id: None,
    }
}

async fn pop(link: &Link, max: i32, invisible_ms: i64, poll_ms: i64) -> Command {
    let request =
        Command::request(RequestCode::POP_MESSAGE, 0).with_fields(&pop_header(max, invisible_ms, poll_ms));
    link.call(request, TIMEOUT).await.unwrap()
}

/// The handle that a client makes for a message of a normal topic.
fn handle(answer: &Command, queue_id: i32, offset: i64) -> String {
    let fields = PopMessageResponse::decode(answer).unwrap();
    let start = fields
        .start_offset_info
        .unwrap()
        .split(';')
        .find_map(|info| info.strip_prefix(&format!("0 {queue_id} ")))
        .unwrap();
    let (pop_ms, invisible_ms, revive) = (fields.pop_ms, fields.invisible_ms, fields.revive_qid);
    format!("{start} {pop_ms} {invisible_ms} {revive} 0 kourou {queue_id} {offset}")
}

async fn ack(link: &Link, topic: &str, queue_id: i32, offset: i64, extra_info: &str) -> Command {
    let header = AckMessageHeader {
        consumer_group: "cg",
        topic,
        queue_id,
        extra_info,
        offset,
    };
    let request = Command::request(RequestCode::ACK_MESSAGE, 0).with_fields(&header);
    link.call(request, TIMEOUT).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_popped_acknowledged_and_comes_again_if_not() {
    let node = node().await;
    let link = node.link().await;
    for body in [b"a", b"b", b"c", b"d"] {
        sent(&link, "T", 0, "UNIQ_KEY\u{1}U\u{2}TAGS\u{1}t\u{2}", body).await;
    }
    let popped = pop(&link, 32, 200, 0).await;
    assert_eq!(
        popped.response_code(),
        ResponseCode::SUCCESS,
        "{}",
        popped.remark()
    );
    assert_eq!(bodies(&popped), [b"a", b"b", b"c", b"d"]);
    let fields = PopMessageResponse::decode(&popped).unwrap();
    assert_eq!(
        (fields.invisible_ms, fields.revive_qid, fields.rest_num),
        (200, 0, 0)
    );
    assert_eq!(fields.start_offset_info, Some("0 0 0"));
    assert_eq!(fields.msg_offset_info, Some("0 0 0,1,2,3"));
    let acked = ack(&link, "T", 0, 0, &handle(&popped, 0, 0)).await;
    assert_eq!(
        (acked.response_code(), acked.remark()),
        (ResponseCode::SUCCESS, "")
    );
    let twice = ack(&link, "T", 0, 0, &handle(&popped, 0, 0)).await;
    assert_eq!(twice.response_code(), ResponseCode::SUCCESS);
    assert!(twice.remark().contains("not out"), "{}", twice.remark());
    let batch = BatchAckRequest {
        acks: vec![BatchAck {
            consumer_group: "cg".to_owned(),
            topic: "T".to_owned(),
            retry: "0".to_owned(),
            start_offset: 0,
            queue_id: 0,
            revive_queue_id: 0,
            pop_ms: fields.pop_ms,
            invisible_ms: 200,
            bits: AckBits::of(&[1, 3]),
        }],
        broker_name: Some("kourou".to_owned()),
    };
    let request = Command::request(RequestCode::BATCH_ACK_MESSAGE, 0).with_body(batch.encode());
    assert_eq!(
        link.call(request, TIMEOUT).await.unwrap().response_code(),
        ResponseCode::SUCCESS
    );
    let empty = Command::request(RequestCode::BATCH_ACK_MESSAGE, 0);
    assert_eq!(
        link.call(empty, TIMEOUT).await.unwrap().response_code(),
        ResponseCode::NO_MESSAGE
    );

    let again = pop(&link, 32, 60_000, 5_000).await;
    assert_eq!(again.response_code(), ResponseCode::SUCCESS, "{}", again.remark());
    let after = PopMessageResponse::decode(&again).unwrap();
    assert!(after.pop_ms >= fields.pop_ms + 200, "never early");
    assert_eq!(after.start_offset_info, Some("1 0 0"));
    let message = RecordView::parse(&again.body).unwrap();
    assert_eq!(
        (message.topic(), message.body(), message.reconsume_times()),
        ("T", b"c".as_slice(), 1)
    );
    let text = format!("0 {} 60000 0 1 kourou 0 0", after.pop_ms);
    assert_eq!(message.property("POP_CK"), Some(text.as_str()));
    assert_eq!(message.property("TAGS"), Some("t"));
    assert_eq!(
        message.property("1ST_POP_TIME"),
        Some(fields.pop_ms.to_string().as_str())
    );
    assert_eq!(message.property("POP_RETRY_OF"), None);
    let acked = ack(&link, "%RETRY%cg_T", 0, 0, &text).await;
    assert_eq!(
        (acked.response_code(), acked.remark()),
        (ResponseCode::SUCCESS, "")
    );
    assert_eq!(node.broker.deliveries(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_time_makes_a_new_handle() {
    let node = node().await;
    let link = node.link().await;
    sent(&link, "T", 0, "", b"a").await;
    let popped = pop(&link, 1, 60_000, 0).await;
    let text = handle(&popped, 0, 0);
    let change = |extra_info: &str, invisible_ms| {
        let header = ChangeInvisibleTimeHeader {
            consumer_group: "cg",
            topic: "T",
            queue_id: 0,
            extra_info,
            offset: 0,
            invisible_ms,
        };
        Command::request(CHANGE, 0).with_fields(&header)
    };
    let changed = link.call(change(&text, 0), TIMEOUT).await.unwrap();
    assert_eq!(
        changed.response_code(),
        ResponseCode::SUCCESS,
        "{}",
        changed.remark()
    );
    let fields = ChangeInvisibleTimeResponse::decode(&changed).unwrap();
    assert!(fields.pop_ms > PopMessageResponse::decode(&popped).unwrap().pop_ms);
    assert_eq!((fields.invisible_ms, fields.revive_qid), (0, 0));
    let old = link.call(change(&text, 5), TIMEOUT).await.unwrap();
    assert_eq!(old.response_code(), ResponseCode::NO_MESSAGE);
    let nonsense = link.call(change("what", 5), TIMEOUT).await.unwrap();
    assert_eq!(nonsense.response_code(), ResponseCode::SYSTEM_ERROR);
    let again = pop(&link, 1, 60_000, 5_000).await;
    assert_eq!(bodies(&again), [b"a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_pop_is_answered_by_the_message_that_it_waits_for() {
    let node = node().await;
    let (link, other) = (node.link().await, node.link().await);
    let third = node.link().await;
    sent(&other, "T", 0, "", b"first").await;
    pop(&other, 1, 60_000, 0).await;
    let started = std::time::Instant::now();
    let empty = pop(&link, 1, 60_000, 100).await;
    assert_eq!(empty.response_code(), ResponseCode::POLLING_TIMEOUT);
    assert!(started.elapsed() >= Duration::from_millis(90));
    assert!(
        PopMessageResponse::decode(&empty).is_ok(),
        "clients take its fields for granted"
    );
    let late = PopMessageHeader {
        born_timestamp_ms: 1,
        ..pop_header(1, 60_000, 100)
    };
    assert_eq!(
        call_pop(&link, &late).await.response_code(),
        ResponseCode::POLLING_TIMEOUT
    );

    let waits = async {
        let two = tokio::join!(pop(&link, 1, 60_000, 9_000), pop(&third, 1, 60_000, 9_000));
        [bodies(&two.0), bodies(&two.1)].concat()
    };
    let sends = async {
        while node.broker.held_pops() < 2 {
            tokio::task::yield_now().await;
        }
        let asked = PollingInfoHeader {
            consumer_group: "cg",
            topic: "T",
            queue_id: -1,
        };
        let request = Command::request(RequestCode::POLLING_INFO, 0).with_fields(&asked);
        let answer = other.call(request, TIMEOUT).await.unwrap();
        assert_eq!(PollingInfoResponse::decode(&answer).unwrap().polling_num, 2);
        sent(&other, "T", 2, "", b"x").await;
        sent(&other, "T", 1, "", b"y").await;
    };
    let (mut found, ()) = tokio::join!(waits, sends);
    found.sort();
    assert_eq!(found, [b"x", b"y"], "each gets one");
    let codes = [
        (
            PopMessageHeader {
                max_msg_nums: 33,
                ..pop_header(1, 1, 0)
            },
            ResponseCode::INVALID_PARAMETER,
        ),
        (
            PopMessageHeader {
                queue_id: 9,
                ..pop_header(1, 1, 0)
            },
            ResponseCode::INVALID_PARAMETER,
        ),
        (
            PopMessageHeader {
                topic: "none",
                ..pop_header(1, 1, 0)
            },
            ResponseCode::TOPIC_NOT_EXIST,
        ),
        (
            PopMessageHeader {
                expression: Some("a >"),
                expression_type: Some("SQL92"),
                ..pop_header(1, 1, 0)
            },
            ResponseCode::SUBSCRIPTION_PARSE_FAILED,
        ),
    ];
    for (header, code) in codes {
        let answer = call_pop(&link, &header).await;
        assert_eq!(answer.response_code(), code, "{}", answer.remark());
    }
}

async fn call_pop(link: &Link, header: &PopMessageHeader<'_>) -> Command {
    let request = Command::request(RequestCode::POP_MESSAGE, 0).with_fields(header);
    link.call(request, TIMEOUT).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_takes_nothing() {
    let node = node().await;
    let link = node.link().await;
    sent(&link, "T", 0, "", b"a").await;
    let peek = PeekMessageHeader {
        consumer_group: "cg",
        topic: "T",
        queue_id: -1,
        max_msg_nums: 8,
    };
    let notify = |poll_ms| NotificationHeader {
        consumer_group: "cg",
        topic: "T",
        queue_id: -1,
        poll_ms,
        born_timestamp_ms: 0,
        order: false,
        attempt_id: None,
    };
    let ask = async |header: NotificationHeader<'_>| {
        let request = Command::request(RequestCode::NOTIFICATION, 0).with_fields(&header);
        let answer = link.call(request, TIMEOUT).await.unwrap();
        assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
        NotificationResponse::decode(&answer).unwrap().has_msg
    };
    for _ in 0..2 {
        let request = Command::request(RequestCode::PEEK_MESSAGE, 0).with_fields(&peek);
        let peeked = link.call(request, TIMEOUT).await.unwrap();
        assert_eq!(bodies(&peeked), [b"a"]);
        assert_eq!(PopMessageResponse::decode(&peeked).unwrap().rest_num, 1);
        assert!(ask(notify(0)).await);
    }
    pop(&link, 1, 60_000, 0).await;
    let request = Command::request(RequestCode::PEEK_MESSAGE, 0).with_fields(&peek);
    assert_eq!(
        link.call(request, TIMEOUT).await.unwrap().response_code(),
        ResponseCode::PULL_NOT_FOUND
    );
    assert!(!ask(notify(50)).await);
    let other = node.link().await;
    let (told, _) = tokio::join!(ask(notify(9_000)), async {
        while node.broker.held_pops() == 0 {
            tokio::task::yield_now().await;
        }
        sent(&other, "T", 1, "", b"b").await
    });
    assert!(told);
    assert_eq!(bodies(&pop(&link, 9, 60_000, 0).await), [b"b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_are_shared_out_by_pull_or_by_pop() {
    let node = node().await;
    let link = node.link().await;
    sent(&link, "T", 0, "", b"a").await;
    let ask = async |topic: &str, client: &str| {
        let body = QueryAssignmentRequest {
            client_id: client.to_owned(),
            consumer_group: "cg".to_owned(),
            strategy_name: "AVG".to_owned(),
            topic: topic.to_owned(),
            ..QueryAssignmentRequest::default()
        };
        let request = Command::request(RequestCode::QUERY_ASSIGNMENT, 0).with_body(body.encode());
        let answer = link.call(request, TIMEOUT).await.unwrap();
        assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
        let response = QueryAssignmentResponse::decode(&answer.body).unwrap();
        response.message_queue_assignments.map(|assigned| {
            let queues = assigned.iter().map(|one| (one.message_queue.queue_id, one.mode));
            queues.collect::<Vec<_>>()
        })
    };
    assert_eq!(ask("T", "c1").await, None, "the group has no members");
    for client in ["c1", "c2"] {
        // A connection each, as clients have.
        let member = node.link().await;
        member.call(heartbeat(client, "cg", "T"), TIMEOUT).await.unwrap();
        std::mem::forget(member);
    }
    let pull = MessageRequestMode::Pull;
    assert_eq!(ask("T", "c1").await, Some(vec![(0, pull), (1, pull)]));
    assert_eq!(ask("T", "c2").await, Some(vec![(2, pull), (3, pull)]));
    assert_eq!(ask("T", "stranger").await, Some(vec![]));
    assert_eq!(ask("none", "c1").await, None);
    let set = |topic: &str| {
        let body = SetMessageRequestMode {
            consumer_group: "cg".to_owned(),
            mode: MessageRequestMode::Pop,
            pop_share_queue_num: 0,
            topic: topic.to_owned(),
        };
        Command::request(RequestCode::SET_MESSAGE_REQUEST_MODE, 0).with_body(body.encode())
    };
    for (topic, code) in [
        ("T", ResponseCode::SUCCESS),
        ("none", ResponseCode::TOPIC_NOT_EXIST),
        ("%RETRY%cg", ResponseCode::NO_PERMISSION),
    ] {
        let answer = link.call(set(topic), TIMEOUT).await.unwrap();
        assert_eq!(answer.response_code(), code, "{topic}");
    }
    assert_eq!(ask("T", "c2").await, Some(vec![(-1, MessageRequestMode::Pop)]));
    // One that is back before it has told that it is a member: nothing would stop it from popping.
    assert_eq!(
        ask("T", "stranger").await,
        Some(vec![(-1, MessageRequestMode::Pop)])
    );
    let mut config = TopicConfig::new("T", 4);
    config.perm = perm::WRITE;
    let (told, made) = tokio::sync::oneshot::channel();
    node.broker
        .put_topic(config, move |stored| told.send(stored).unwrap());
    made.await.unwrap().unwrap();
    assert_eq!(ask("T", "c2").await, None, "the topic is not to be read");
    let all = link
        .call(
            Command::request(RequestCode::GET_ALL_MESSAGE_REQUEST_MODE, 0),
            TIMEOUT,
        )
        .await
        .unwrap();
    let table = MessageRequestModeTable::decode(&all.body).unwrap();
    assert_eq!(
        table.message_request_mode_map["T"]["cg"].mode,
        MessageRequestMode::Pop
    );
}
