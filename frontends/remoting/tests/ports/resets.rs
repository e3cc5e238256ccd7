//! Offsets that administrators set, as consumers and administrators see it.

use kourou_proto::body::ResetOffsetBody;
use kourou_proto::remoting::request::{
    AdminResetOffsetHeader, CloneGroupOffsetHeader, QueryConsumerOffsetHeader, UpdateConsumerOffsetHeader,
};
use kourou_proto::remoting::response::OffsetResponse;
use kourou_proto::{Command, HeaderFields, Language, RequestCode, ResponseCode};
use kourou_remoting::client::Link;

use crate::peer::Peer;
use crate::support::{TIMEOUT, node, node_of, place, pull, sent};

fn reset(timestamp_ms: i64, queue_id: i32, offset: Option<i64>) -> Command {
    let header = AdminResetOffsetHeader {
        topic: "T",
        group: "cg",
        queue_id,
        offset,
        timestamp_ms,
        force: true,
    };
    Command::request(RequestCode::INVOKE_BROKER_TO_RESET_OFFSET, 0).with_fields(&header)
}

fn commit(queue_id: i32, commit_offset: i64) -> Command {
    let header = UpdateConsumerOffsetHeader {
        consumer_group: "cg",
        topic: "T",
        queue_id,
        commit_offset,
    };
    Command::request(RequestCode::UPDATE_CONSUMER_OFFSET, 0).with_fields(&header)
}

async fn committed(link: &Link, group: &str) -> Option<i64> {
    let header = QueryConsumerOffsetHeader {
        consumer_group: group,
        topic: "T",
        queue_id: 0,
        set_zero_if_not_found: false,
    };
    let query = Command::request(RequestCode::QUERY_CONSUMER_OFFSET, 0).with_fields(&header);
    let answer = link.call(query, TIMEOUT).await.unwrap();
    let found = answer.response_code() == ResponseCode::SUCCESS;
    found.then(|| OffsetResponse::decode(&answer).unwrap().offset)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_answers_the_held_pull_and_outranks_commits() {
    let node = node().await;
    let (admin, consumer) = (node.link().await, node.link().await);
    for _ in 0..5 {
        sent(&admin, "T", 0, "", b"x").await;
    }
    let holding = tokio::spawn(async move {
        let answer = consumer
            .call(pull("T", 0, 5, "*", 60_000), TIMEOUT)
            .await
            .unwrap();
        (consumer, answer)
    });
    while node.broker.held_pulls() == 0 {
        tokio::task::yield_now().await;
    }
    let answer = admin.call(reset(0, 0, Some(2)), TIMEOUT).await.unwrap();
    assert_eq!(
        answer.response_code(),
        ResponseCode::SUCCESS,
        "{}",
        answer.remark()
    );
    assert_eq!(
        String::from_utf8_lossy(&answer.body),
        r#"{"offsetTable":{{"brokerName":"kourou","queueId":0,"topic":"T"}:2}}"#
    );
    let (consumer, pulled) = holding.await.unwrap();
    assert_eq!(pulled.response_code(), ResponseCode::PULL_OFFSET_MOVED);
    assert_eq!(pulled.remark(), "OFFSET_RESET");
    assert_eq!(
        (place(&pulled).next_begin_offset, place(&pulled).max_offset),
        (2, 5)
    );

    let answer = admin.call(reset(-1, -1, None), TIMEOUT).await.unwrap();
    let table = ResetOffsetBody::decode(&answer.body).unwrap().offset_table;
    assert_eq!(table.values().copied().collect::<Vec<_>>(), [5, 0, 0, 0]);
    let answer = consumer.call(commit(0, 1), TIMEOUT).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
    assert_eq!(answer.remark(), "Offset has been previously reset");
    assert_eq!(committed(&admin, "cg").await, Some(5));
    let pulled = consumer.call(pull("T", 0, 2, "*", 0), TIMEOUT).await.unwrap();
    assert_eq!(place(&pulled).next_begin_offset, 5);
    let answer = consumer.call(commit(0, 4), TIMEOUT).await.unwrap();
    assert_eq!(
        (answer.response_code(), answer.remark()),
        (ResponseCode::SUCCESS, "")
    );
    assert_eq!(committed(&admin, "cg").await, Some(4));

    for (request, code) in [
        (reset(0, 0, Some(99)), ResponseCode::SYSTEM_ERROR),
        (
            Command::request(RequestCode::INVOKE_BROKER_TO_RESET_OFFSET, 0),
            ResponseCode::SYSTEM_ERROR,
        ),
    ] {
        let answer = admin.call(request, TIMEOUT).await.unwrap();
        assert_eq!(answer.response_code(), code);
    }
    let clone = CloneGroupOffsetHeader {
        src_group: "cg",
        dest_group: "other",
        topic: Some("T"),
        offline: true,
    };
    let clone = Command::request(RequestCode::CLONE_GROUP_OFFSET, 0).with_fields(&clone);
    let answer = admin.call(clone, TIMEOUT).await.unwrap();
    assert_eq!(
        answer.response_code(),
        ResponseCode::SUCCESS,
        "{}",
        answer.remark()
    );
    assert_eq!(committed(&admin, "other").await, Some(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connected_consumers_are_told_to_reset() {
    let node = node_of(|options| options.reset_offsets_here = false).await;
    let admin = node.link().await;
    sent(&admin, "T", 0, "", b"x").await;
    let mut members = [
        Peer::consumer(&node, "c1", "cg", "T").await,
        Peer::consumer(&node, "c2", "cg", "T").await,
    ];
    for queue_id in 0..4 {
        let answer = admin.call(commit(queue_id, 0), TIMEOUT).await.unwrap();
        assert_eq!(
            answer.response_code(),
            ResponseCode::SUCCESS,
            "{}",
            answer.remark()
        );
    }
    for (language, body) in [
        (
            Language::Java,
            r#"{"offsetTable":{{"brokerName":"kourou","queueId":0,"topic":"T"}:1,"#,
        ),
        (
            Language::Cpp,
            r#"{"offsetTable":[{"brokerName":"kourou","offset":1,"queueId":0,"topic":"T"},"#,
        ),
    ] {
        let mut request = reset(-1, -1, None);
        request.header.language = language;
        let answer = admin.call(request, TIMEOUT).await.unwrap();
        assert_eq!(
            answer.response_code(),
            ResponseCode::SUCCESS,
            "{}",
            answer.remark()
        );
        assert_eq!(
            ResetOffsetBody::decode(&answer.body).unwrap().offset_table.len(),
            4
        );
        for member in &mut members {
            let told = member.asked().await;
            assert_eq!(told.code(), RequestCode::RESET_CONSUMER_CLIENT_OFFSET);
            assert!(told.is_oneway());
            assert_eq!(
                (told.field("topic"), told.field("group")),
                (Some("T"), Some("cg"))
            );
            assert_eq!(told.field("timestamp"), Some("-1"));
            let text = String::from_utf8_lossy(&told.body).into_owned();
            assert!(text.starts_with(body), "{text}");
        }
    }
    drop(members);
    while !node.broker.consumer_ids("cg").is_empty() {
        tokio::task::yield_now().await;
    }
    let answer = admin.call(reset(-1, -1, None), TIMEOUT).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::CONSUMER_NOT_ONLINE);
}
