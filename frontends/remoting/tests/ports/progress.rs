//! How far groups and queues are, as administrators see it.

use kourou_proto::body::{
    ConsumeQueueEntries, ConsumeStatsList, ConsumeTimeSpans, CorrectionOffsets, ProducerTable,
    QuerySubscription,
};
use kourou_proto::remoting::request::{
    GetBrokerConsumeStatsHeader, QueryConsumeQueueHeader, QueryCorrectionOffsetHeader, TopicOfGroupHeader,
    UpdateConsumerOffsetHeader,
};
use kourou_proto::{Command, HeaderFields, RequestCode, ResponseCode};
use kourou_remoting::client::Link;

use crate::peer::Peer;
use crate::support::{Node, TIMEOUT, node, sent};

async fn commit(link: &Link, group: &str, commit_offset: i64) {
    let header = UpdateConsumerOffsetHeader {
        consumer_group: group,
        topic: "T",
        queue_id: 0,
        commit_offset,
    };
    let request = Command::request(RequestCode::UPDATE_CONSUMER_OFFSET, 0).with_fields(&header);
    let answer = link.call(request, TIMEOUT).await.unwrap();
    assert_eq!(
        answer.response_code(),
        ResponseCode::SUCCESS,
        "{}",
        answer.remark()
    );
}

/// Five messages, of which the connected member of `g1` has consumed two and `g2` four.
async fn begun() -> (Node, Link, [Peer; 2]) {
    let node = node().await;
    let link = node.link().await;
    for at in 0..5 {
        let tag = if at % 2 == 0 { "TAGS\u{1}even\u{2}" } else { "" };
        sent(&link, "T", 0, tag, b"x").await;
    }
    let members = [
        Peer::consumer(&node, "c1", "g1", "T").await,
        Peer::consumer(&node, "c2", "g2", "T").await,
    ];
    commit(&link, "g1", 2).await;
    commit(&link, "g2", 4).await;
    (node, link, members)
}

async fn asked<'a>(link: &Link, code: RequestCode, header: &impl HeaderFields<'a>) -> Command {
    let request = Command::request(code, 0).with_fields(header);
    link.call(request, TIMEOUT).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_times_of_a_group() {
    let (_node, link, _members) = begun().await;
    let of = |topic| TopicOfGroupHeader {
        topic: Some(topic),
        group: "g1",
    };
    let answer = asked(&link, RequestCode::QUERY_CONSUME_TIME_SPAN, &of("T")).await;
    let spans = ConsumeTimeSpans::decode(&answer.body)
        .unwrap()
        .consume_time_span_set;
    assert_eq!(spans.len(), 4);
    let first = &spans[0];
    assert!(
        first.min_timestamp_ms > 1_700_000_000_000 && first.min_timestamp_ms <= first.consume_timestamp_ms
    );
    assert!(first.consume_timestamp_ms <= first.max_timestamp_ms && first.delay_time_ms >= 0);
    assert_eq!((spans[1].min_timestamp_ms, spans[1].delay_time_ms), (-1, 0));
    let answer = asked(&link, RequestCode::QUERY_CONSUME_TIME_SPAN, &of("nothing")).await;
    assert_eq!(answer.response_code(), ResponseCode::TOPIC_NOT_EXIST);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_group_subscribes_to() {
    let (_node, link, _members) = begun().await;
    for (topic, subscribed) in [("T", true), ("U", false)] {
        let header = TopicOfGroupHeader {
            topic: Some(topic),
            group: "g1",
        };
        let answer = asked(&link, RequestCode::QUERY_SUBSCRIPTION_BY_CONSUMER, &header).await;
        assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
        let body = QuerySubscription::decode(&answer.body).unwrap();
        assert_eq!((&*body.group, body.topic.as_deref()), ("g1", Some(topic)));
        let found = body.subscription_data.map(|data| data.sub_string);
        assert_eq!(found, subscribed.then(|| "*".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_are_compared() {
    let (_node, link, _members) = begun().await;
    for (without, compared, offset) in [
        ("", "g2", 2),
        ("", "g1", 2),
        ("g1", "g1", i64::MAX),
        ("g1,g2", "g2", -1),
    ] {
        let header = QueryCorrectionOffsetHeader {
            filter_groups: Some(without),
            compare_group: compared,
            topic: "T",
        };
        let answer = asked(&link, RequestCode::QUERY_CORRECTION_OFFSET, &header).await;
        let offsets = CorrectionOffsets::decode(&answer.body)
            .unwrap()
            .correction_offsets;
        assert_eq!(
            offsets.get(&0).copied().unwrap_or(-1),
            offset,
            "{without} {compared}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_entries_of_a_queue() {
    let (_node, link, _members) = begun().await;
    let header = |queue_id, index, group| QueryConsumeQueueHeader {
        topic: "T",
        queue_id,
        index,
        count: 3,
        consumer_group: group,
    };
    let code = RequestCode::QUERY_CONSUME_QUEUE;
    let answer = asked(&link, code, &header(0, 1, Some("g1"))).await;
    let body = ConsumeQueueEntries::decode(&answer.body).unwrap();
    assert_eq!(
        (body.min_queue_index, body.max_queue_index, body.queue_data.len()),
        (0, 5, 3)
    );
    assert!(body.queue_data[0].physic_offset > 0 && body.queue_data[0].physic_size > 90);
    assert!(body.queue_data[0].eval && body.subscription_data.is_some());
    assert_eq!(
        (body.queue_data[0].tags_code, body.queue_data[1].tags_code),
        (0, 3_125_530)
    );
    let answer = asked(&link, code, &header(0, 9, Some("nobody"))).await;
    assert_eq!(answer.remark(), "Index 9 of 0@T is not exist!");
    let body = ConsumeQueueEntries::decode(&answer.body).unwrap();
    assert_eq!(body.filter_data.as_deref(), Some("nobody@T is not online!"));
    let answer = asked(&link, code, &header(7, 0, None)).await;
    assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_groups_and_all_producers() {
    let (node, link, _members) = begun().await;
    let _producer = Peer::producer(&node, "p1").await;
    let answer = link
        .call(Command::request(RequestCode::GET_ALL_PRODUCER_INFO, 0), TIMEOUT)
        .await
        .unwrap();
    let producers = ProducerTable::decode(&answer.body).unwrap().data;
    assert_eq!(producers["pg"].len(), 1);
    assert_eq!(producers["pg"][0].client_id, "p1");
    assert!(producers["pg"][0].remote_ip.starts_with("127.0.0.1:"));

    for (is_order, lag) in [(false, 3 + 1), (true, 0)] {
        let header = GetBrokerConsumeStatsHeader { is_order };
        let answer = asked(&link, RequestCode::GET_BROKER_CONSUME_STATS, &header).await;
        let list = ConsumeStatsList::decode(&answer.body).unwrap();
        assert_eq!(
            (list.total_diff, &*list.broker_addr),
            (lag, &*node.broker_address)
        );
        let of_group = list
            .consume_stats_list
            .iter()
            .find_map(|groups| groups.get("g1"))
            .unwrap();
        assert_eq!(of_group.len(), usize::from(!is_order));
    }
}
