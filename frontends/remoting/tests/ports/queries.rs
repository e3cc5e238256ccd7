use kourou_proto::remoting::request::QueryMessageHeader;
use kourou_proto::remoting::response::{QueryMessageResponse, SendMessageResponse};
use kourou_proto::{Command, HeaderFields, RequestCode, ResponseCode};
use kourou_remoting::client::Link;

use crate::support::{TIMEOUT, bodies, node, send, sent};

fn query<'a>(topic: &'a str, key: &'a str) -> QueryMessageHeader<'a> {
    QueryMessageHeader {
        topic,
        key,
        max_num: 32,
        begin_timestamp_ms: 0,
        end_timestamp_ms: i64::MAX,
        unique_key: false,
        index_type: None,
    }
}

async fn ask(link: &Link, header: &QueryMessageHeader<'_>) -> Command {
    let request = Command::request(RequestCode::QUERY_MESSAGE, 0).with_fields(header);
    link.call(request, TIMEOUT).await.unwrap()
}

async fn found(link: &Link, header: &QueryMessageHeader<'_>) -> Vec<Vec<u8>> {
    let answer = ask(link, header).await;
    assert_eq!(
        answer.response_code(),
        ResponseCode::SUCCESS,
        "{}",
        answer.remark()
    );
    bodies(&answer)
}

async fn is_empty(link: &Link, header: &QueryMessageHeader<'_>) {
    let answer = ask(link, header).await;
    assert_eq!(answer.response_code(), ResponseCode::QUERY_NOT_FOUND);
    QueryMessageResponse::decode(&answer).unwrap();
    assert!(answer.body.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_found_by_each_of_their_keys() {
    let node = node().await;
    let link = node.link().await;
    for (at, body) in [b"a", b"b", b"c"].into_iter().enumerate() {
        let properties = format!("KEYS\u{1}order-{at} customer\u{2}UNIQ_KEY\u{1}id-{at}\u{2}");
        sent(&link, "T", 0, &properties, body).await;
    }
    assert_eq!(found(&link, &query("T", "order-1")).await, [b"b"]);
    // The oldest first, as upstream; of many the newest.
    assert_eq!(found(&link, &query("T", "customer")).await, [b"a", b"b", b"c"]);
    let two = QueryMessageHeader {
        max_num: 2,
        ..query("T", "customer")
    };
    assert_eq!(found(&link, &two).await, [b"b", b"c"]);
    assert_eq!(found(&link, &query("T", "id-2")).await, [b"c"]);
    is_empty(&link, &query("U", "customer")).await;
    is_empty(&link, &query("T", "order")).await;
    for max_num in [0, -1] {
        let none = QueryMessageHeader {
            max_num,
            ..two.clone()
        };
        is_empty(&link, &none).await;
    }
}

/// Clients flag a query by unique key with a field, and leave the number to the broker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unique_key_is_no_other_key() {
    let node = node().await;
    let link = node.link().await;
    sent(&link, "T", 0, "UNIQ_KEY\u{1}id\u{2}", b"by id").await;
    sent(&link, "T", 0, "KEYS\u{1}id\u{2}", b"by key").await;
    let unique = QueryMessageHeader {
        unique_key: true,
        max_num: 0,
        ..query("T", "id")
    };
    assert_eq!(found(&link, &unique).await, [b"by id"]);
    assert_eq!(
        found(&link, &query("T", "id")).await,
        [b"by id".to_vec(), b"by key".to_vec()]
    );
    let tags = QueryMessageHeader {
        index_type: Some("T"),
        ..query("T", "id")
    };
    is_empty(&link, &tags).await;
    // A message without one gets one, and is found by what its sender was told.
    let answer = link.call(send("T", 0, "", b"unnamed"), TIMEOUT).await.unwrap();
    let id = SendMessageResponse::decode(&answer)
        .unwrap()
        .transaction_id
        .unwrap()
        .to_owned();
    let unnamed = QueryMessageHeader { key: &id, ..unique };
    assert_eq!(found(&link, &unnamed).await, [b"unnamed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_says_how_far_the_index_is() {
    let node = node().await;
    let link = node.link().await;
    let before_ms = node.broker.now_ms();
    sent(&link, "T", 0, "KEYS\u{1}k\u{2}", b"x").await;
    let answer = ask(&link, &query("T", "k")).await;
    let fields = QueryMessageResponse::decode(&answer).unwrap();
    assert!(fields.index_last_update_timestamp_ms >= before_ms);
    let record = node
        .broker
        .record_at(u64::try_from(fields.index_last_update_position).unwrap());
    assert_eq!(&record.unwrap()[..], &answer.body[..]);
    let range = |begin_timestamp_ms, end_timestamp_ms| QueryMessageHeader {
        begin_timestamp_ms,
        end_timestamp_ms,
        ..query("T", "k")
    };
    let stored_ms = fields.index_last_update_timestamp_ms;
    assert_eq!(found(&link, &range(stored_ms, stored_ms)).await, [b"x"]);
    is_empty(&link, &range(stored_ms + 1, i64::MAX)).await;
    is_empty(&link, &range(0, stored_ms - 1)).await;
}
