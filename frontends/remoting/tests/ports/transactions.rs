use kourou_engine::record::RecordView;
use kourou_proto::body::{HeartbeatData, ProducerData};
use kourou_proto::remoting::request::{
    CheckTransactionStateHeader, EndTransactionHeader, ResumeCheckHalfMessageHeader, SendMessageHeader,
    transaction_end,
};
use kourou_proto::remoting::response::SendMessageResponse;
use kourou_proto::{Command, HeaderFields, RequestCode, ResponseCode};
use kourou_remoting::client::Link;

use crate::support::{Node, TIMEOUT, bodies, node, node_of, pull, send};

/// Sends a half message; its position and its queue offset.
async fn half(link: &Link, more: &str, body: &[u8]) -> (i64, i64) {
    let properties = format!("UNIQ_KEY\u{1}U1\u{2}TRAN_MSG\u{1}true\u{2}PGROUP\u{1}pg\u{2}{more}");
    let plain = send("T", 0, &properties, body);
    let header = SendMessageHeader {
        sys_flag: 4,
        ..SendMessageHeader::decode(&plain).unwrap()
    };
    let request = Command::request(RequestCode::SEND_MESSAGE_V2, 0)
        .with_fields(&header)
        .with_body(body.to_vec());
    let answer = link.call(request, TIMEOUT).await.unwrap();
    assert_eq!(
        answer.response_code(),
        ResponseCode::SUCCESS,
        "{}",
        answer.remark()
    );
    let fields = SendMessageResponse::decode(&answer).unwrap();
    assert_eq!((fields.queue_id, fields.transaction_id), (0, Some("U1")));
    let position = i64::from_str_radix(&fields.msg_id[16..], 16).unwrap();
    (position, fields.queue_offset)
}

fn end((position, queue_offset): (i64, i64), commit_or_rollback: i32) -> Command {
    let header = EndTransactionHeader {
        topic: Some("T"),
        producer_group: "pg",
        queue_offset,
        position,
        commit_or_rollback,
        from_transaction_check: false,
        msg_id: Some("U1"),
        transaction_id: Some("U1"),
    };
    Command::request(RequestCode::END_TRANSACTION, 0).with_fields(&header)
}

async fn visible(link: &Link) -> Vec<Vec<u8>> {
    bodies(&link.call(pull("T", 0, 0, "*", 0), TIMEOUT).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_are_answered_as_the_protocol_says() {
    let node = node().await;
    let link = node.link().await;
    let (first, second) = (half(&link, "", b"first").await, half(&link, "", b"second").await);
    let code = async |request: Command| link.call(request, TIMEOUT).await.unwrap().response_code();
    assert!(visible(&link).await.is_empty());
    for times in 0..2 {
        assert_eq!(
            code(end(first, transaction_end::COMMIT)).await,
            ResponseCode::SUCCESS,
            "{times}"
        );
        assert_eq!(
            code(end(second, transaction_end::ROLLBACK)).await,
            ResponseCode::SUCCESS,
            "{times}"
        );
    }
    assert_eq!(
        code(end(first, transaction_end::ROLLBACK)).await,
        ResponseCode::SYSTEM_ERROR
    );
    assert_eq!(
        code(end((7, 0), transaction_end::COMMIT)).await,
        ResponseCode::SYSTEM_ERROR
    );
    assert_eq!(
        code(Command::request(RequestCode::END_TRANSACTION, 0)).await,
        ResponseCode::SYSTEM_ERROR
    );
    assert_eq!(visible(&link).await, [b"first".to_vec()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_that_does_not_know_yet_hears_nothing() {
    let node = node().await;
    let link = node.link().await;
    let place = half(&link, "", b"x").await;
    let unknown = link.call(
        end(place, transaction_end::UNKNOWN),
        std::time::Duration::from_millis(200),
    );
    assert!(unknown.await.is_err(), "nobody answers");
    assert_eq!(node.broker.transactions_pending(), 1);
    link.oneway(end(place, transaction_end::COMMIT)).unwrap();
    while node.broker.transactions_pending() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(visible(&link).await, [b"x".to_vec()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_is_asked_on_its_own_connection() {
    let node: Node = node().await;
    let (producer, pushes) = node.listening_client();
    let body = HeartbeatData {
        client_id: "p".to_owned(),
        producer_data_set: vec![ProducerData {
            group_name: "pg".to_owned(),
        }],
        ..HeartbeatData::default()
    };
    let beat = Command::request(RequestCode::HEART_BEAT, 0).with_body(body.encode());
    producer.call(&node.broker_address, beat, TIMEOUT).await.unwrap();
    let link = node.link().await;
    let place = half(&link, "CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}0\u{2}", b"x").await;

    let question = pushes.recv_timeout(TIMEOUT).unwrap();
    assert_eq!(question.code(), RequestCode::CHECK_TRANSACTION_STATE);
    assert!(question.is_oneway());
    let header = CheckTransactionStateHeader::decode(&question).unwrap();
    assert_eq!((header.position, header.queue_offset), place);
    assert_eq!((header.msg_id, header.transaction_id), (Some("U1"), Some("U1")));
    assert_eq!((header.topic, header.broker_name), (Some("T"), Some("kourou")));
    assert_eq!(header.offset_msg_id.map(str::len), Some(32));
    let message = RecordView::parse(&question.body).unwrap();
    assert_eq!(
        (message.topic(), message.queue_id(), message.body()),
        ("T", 0, b"x".as_slice())
    );
    assert_eq!(message.position(), u64::try_from(place.0).unwrap());

    let mut answer = end(place, transaction_end::COMMIT);
    let header = EndTransactionHeader {
        from_transaction_check: true,
        ..EndTransactionHeader::decode(&answer).unwrap()
    };
    answer = Command::request(RequestCode::END_TRANSACTION, 0).with_fields(&header);
    let answered = link.call(answer, TIMEOUT).await.unwrap();
    assert_eq!(
        answered.response_code(),
        ResponseCode::SUCCESS,
        "{}",
        answered.remark()
    );
    assert_eq!(visible(&link).await, [b"x".to_vec()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_decided_is_resumed_once() {
    let node = node_of(|options| options.transaction_checks_max = 0).await;
    let link = node.link().await;
    let place = half(&link, "CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}0\u{2}", b"x").await;
    while node.broker.transactions_pending() > 0 {
        tokio::task::yield_now().await;
    }
    let pulled = link
        .call(pull("TRANS_CHECK_MAX_TIME_TOPIC", 0, 0, "*", 0), TIMEOUT)
        .await
        .unwrap();
    let given_up = RecordView::parse(&pulled.body).unwrap();
    assert_eq!(given_up.prepared_transaction_offset(), place.0);
    let resume = async |msg_id: String| {
        let header = ResumeCheckHalfMessageHeader {
            topic: Some("TRANS_CHECK_MAX_TIME_TOPIC"),
            msg_id: Some(&msg_id),
        };
        let request = Command::request(RequestCode::RESUME_CHECK_HALF_MESSAGE, 0).with_fields(&header);
        link.call(request, TIMEOUT).await.unwrap()
    };
    let id_of = |position: u64| format!("7F00000100002A9F{position:016X}");
    for bad in [
        String::new(),
        "x".repeat(32),
        "1".repeat(31),
        id_of(u64::MAX),
        id_of(place.0 as u64),
    ] {
        assert_eq!(resume(bad).await.response_code(), ResponseCode::SYSTEM_ERROR);
    }
    let answer = resume(id_of(given_up.position())).await;
    assert_eq!(
        answer.response_code(),
        ResponseCode::SUCCESS,
        "{}",
        answer.remark()
    );
    assert_eq!(answer.remark(), "");
    let answer = resume(id_of(given_up.position())).await;
    assert_eq!(
        (answer.response_code(), answer.remark()),
        (ResponseCode::SUCCESS, "it was resumed before")
    );
}
