use std::time::{Duration, Instant};

use kourou_proto::remoting::request::{PullMessageHeader, UpdateConsumerOffsetHeader};
use kourou_proto::remoting::response::OffsetResponse;
use kourou_proto::{Command, HeaderFields, RequestCode, ResponseCode};
use kourou_remoting::Limits;

use crate::support::{TIMEOUT, bodies, node, node_with, place, pull, sent};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_pull_is_answered_within_milliseconds_of_the_send() {
    let node = node().await;
    let (consumer, producer) = (node.link().await, node.link().await);
    sent(&producer, "T", 0, "", b"first").await;
    let mut best = Duration::MAX;
    for offset in 1..20 {
        let held = tokio::spawn({
            let consumer = consumer.clone();
            async move {
                let answer = consumer
                    .call(pull("T", 0, offset, "*", 10_000), TIMEOUT)
                    .await
                    .unwrap();
                (answer, Instant::now())
            }
        });
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(!held.is_finished());
        sent(&producer, "T", 0, "", b"next").await;
        let acknowledged = Instant::now();
        let (answer, arrived) = held.await.unwrap();
        assert_eq!(bodies(&answer), [b"next".to_vec()]);
        best = best.min(arrived.saturating_duration_since(acknowledged));
    }
    assert!(best < Duration::from_millis(5), "{best:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_pull_is_woken_by_its_own_tag_only() {
    let node = node().await;
    let (consumer, producer) = (node.link().await, node.link().await);
    sent(&producer, "T", 0, "TAGS\u{1}a\u{2}", b"a").await;
    let held = tokio::spawn(async move {
        consumer
            .call(pull("T", 0, 1, "b", 10_000), TIMEOUT)
            .await
            .unwrap()
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    sent(&producer, "T", 0, "TAGS\u{1}a\u{2}", b"a").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!held.is_finished());
    sent(&producer, "T", 0, "TAGS\u{1}b\u{2}", b"b").await;
    assert_eq!(bodies(&held.await.unwrap()), [b"b".to_vec()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_pull_is_answered_when_its_time_is_up() {
    let node = node().await;
    let link = node.link().await;
    sent(&link, "T", 0, "", b"x").await;
    let began = Instant::now();
    let answer = link.call(pull("T", 0, 1, "*", 200), TIMEOUT).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::PULL_NOT_FOUND);
    assert!((200..1_000).contains(&began.elapsed().as_millis()));
    assert_eq!(
        (
            place(&answer).next_begin_offset,
            place(&answer).min_offset,
            place(&answer).max_offset
        ),
        (1, 0, 1)
    );
    assert_eq!(node.broker.held_pulls(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_pull_ends_with_its_connection() {
    let node = node().await;
    let link = node.link().await;
    sent(&link, "T", 0, "", b"x").await;
    link.start(pull("T", 0, 1, "*", 60_000), |_| ()).unwrap();
    while node.broker.held_pulls() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(link);
    let began = Instant::now();
    while node.broker.held_pulls() > 0 {
        assert!(began.elapsed() < TIMEOUT);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_held_pulls_are_answered_at_once() {
    let mut limits = Limits::default();
    limits.held_max = 1;
    let node = node_with(limits).await;
    let link = node.link().await;
    sent(&link, "T", 0, "", b"x").await;
    link.start(pull("T", 0, 1, "*", 60_000), |_| ()).unwrap();
    let answer = link.call(pull("T", 0, 1, "*", 60_000), TIMEOUT).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::PULL_NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_outside_are_told_where_to_go() {
    let node = node().await;
    let link = node.link().await;
    sent(&link, "T", 0, "", b"x").await;
    let answer = link.call(pull("T", 0, 9, "*", 5_000), TIMEOUT).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::PULL_OFFSET_MOVED);
    assert_eq!(place(&answer).next_begin_offset, 1);
    let answer = link.call(pull("T", 1, 0, "*", 0), TIMEOUT).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::PULL_NOT_FOUND);
    assert_eq!(place(&answer).max_offset, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_are_committed_by_pulls_and_by_updates() {
    let node = node().await;
    let link = node.link().await;
    sent(&link, "T", 0, "", b"x").await;
    let plain = pull("T", 0, 0, "*", 0);
    let mut header = PullMessageHeader::decode(&plain).unwrap();
    header.sys_flag |= 1;
    header.commit_offset = 1;
    let committing = Command::request(RequestCode::PULL_MESSAGE, 0).with_fields(&header);
    assert_eq!(
        link.call(committing, TIMEOUT).await.unwrap().response_code(),
        ResponseCode::SUCCESS
    );
    assert_eq!(committed(&link, 0).await, Some(1));
    assert_eq!(committed(&link, 1).await, None);
    let update = UpdateConsumerOffsetHeader {
        consumer_group: "cg",
        topic: "T",
        queue_id: 1,
        commit_offset: 7,
    };
    let update = Command::request(RequestCode::UPDATE_CONSUMER_OFFSET, 0).with_fields(&update);
    assert_eq!(
        link.call(update, TIMEOUT).await.unwrap().response_code(),
        ResponseCode::SUCCESS
    );
    assert_eq!(committed(&link, 1).await, Some(7));
}

async fn committed(link: &kourou_remoting::client::Link, queue_id: i32) -> Option<i64> {
    let header = kourou_proto::remoting::request::QueryConsumerOffsetHeader {
        consumer_group: "cg",
        topic: "T",
        queue_id,
        set_zero_if_not_found: false,
    };
    let query = Command::request(RequestCode::QUERY_CONSUMER_OFFSET, 0).with_fields(&header);
    let answer = link.call(query, TIMEOUT).await.unwrap();
    match answer.response_code() {
        ResponseCode::SUCCESS => Some(OffsetResponse::decode(&answer).unwrap().offset),
        ResponseCode::QUERY_NOT_FOUND => None,
        code => panic!("{code}"),
    }
}
