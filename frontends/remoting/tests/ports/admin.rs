use kourou_proto::body::{
    ConsumeStats, ConsumerOffsetTable, GroupList, KvTable, MessageQueue, SubscriptionGroupConfig,
    SubscriptionGroupTable, TopicConfig, TopicConfigTable, TopicList, TopicStatsTable,
};
use kourou_proto::message::id::OffsetMessageId;
use kourou_proto::remoting::request::{
    CreateTopicHeader, DeleteGroupHeader, GetAllTopicConfigHeader, GetConsumeStatsHeader, GroupHeader,
    QueueHeader, SearchOffsetHeader, TopicHeader, UpdateConsumerOffsetHeader, ViewMessageHeader,
};
use kourou_proto::remoting::response::{OffsetResponse, SendMessageResponse, TimestampResponse};
use kourou_proto::{Command, HeaderFields, RequestCode, ResponseCode};
use kourou_remoting::client::Link;

use crate::support::{TIMEOUT, bodies, node, send, sent};

async fn done(link: &Link, request: Command) -> Command {
    let answer = link.call(request, TIMEOUT).await.unwrap();
    assert_eq!(
        answer.response_code(),
        ResponseCode::SUCCESS,
        "{}",
        answer.remark()
    );
    answer
}

fn of_topic(code: RequestCode, topic: &str) -> Command {
    Command::request(code, 0).with_fields(&TopicHeader { topic })
}

fn create<'a>(topic: &'a str, attributes: Option<&'a str>) -> Command {
    let header = CreateTopicHeader {
        topic,
        default_topic: "TBW102",
        read_queue_nums: 5,
        write_queue_nums: 6,
        perm: 6,
        topic_filter_type: "SINGLE_TAG",
        topic_sys_flag: None,
        order: true,
        attributes,
        force: None,
    };
    Command::request(RequestCode::UPDATE_AND_CREATE_TOPIC, 0).with_fields(&header)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_made_shown_and_deleted() {
    let node = node().await;
    let link = node.link().await;
    done(&link, create("T", Some("+message.type=FIFO"))).await;
    let one = done(&link, of_topic(RequestCode::GET_TOPIC_CONFIG, "T")).await;
    let config = TopicConfig::decode(&one.body).unwrap();
    assert_eq!(
        (config.read_queue_nums, config.write_queue_nums, config.order),
        (5, 6, true)
    );
    assert_eq!(config.attributes["message.type"], "FIFO");

    let all = Command::request(RequestCode::GET_ALL_TOPIC_CONFIG, 0);
    let answer = done(&link, all.clone()).await;
    let table = TopicConfigTable::decode(&answer.body).unwrap();
    assert_eq!(
        answer.field("totalTopicNum"),
        Some(&*table.topic_config_table.len().to_string())
    );
    assert!(table.topic_config_table.contains_key("T") && table.topic_config_table.contains_key("TBW102"));
    let page = GetAllTopicConfigHeader {
        topic_seq: Some(1),
        data_version: None,
        max_topic_num: Some(2),
    };
    let page = TopicConfigTable::decode(&done(&link, all.with_fields(&page)).await.body).unwrap();
    assert_eq!(page.topic_config_table.len(), 2);

    let system = done(
        &link,
        Command::request(RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_BROKER, 0),
    )
    .await;
    assert!(
        TopicList::decode(&system.body)
            .unwrap()
            .topic_list
            .contains(&"TBW102".to_owned())
    );

    done(&link, of_topic(RequestCode::DELETE_TOPIC_IN_BROKER, "T")).await;
    let gone = link
        .call(of_topic(RequestCode::GET_TOPIC_CONFIG, "T"), TIMEOUT)
        .await
        .unwrap();
    assert_eq!(gone.response_code(), ResponseCode::TOPIC_NOT_EXIST);
    done(&link, of_topic(RequestCode::DELETE_TOPIC_IN_BROKER, "T")).await;

    for refused in [
        create("bad name", None),
        create("TBW102", None),
        create("X", Some("nonsense")),
    ] {
        let answer = link.call(refused, TIMEOUT).await.unwrap();
        assert_eq!(
            answer.response_code(),
            ResponseCode::INVALID_PARAMETER,
            "{}",
            answer.remark()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_are_made_shown_and_deleted() {
    let node = node().await;
    let link = node.link().await;
    let config = SubscriptionGroupConfig {
        group_name: "g".to_owned(),
        retry_max_times: 3,
        ..SubscriptionGroupConfig::default()
    };
    let put =
        Command::request(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, 0).with_body(config.encode());
    done(&link, put).await;
    let get = Command::request(RequestCode::GET_SUBSCRIPTIONGROUP_CONFIG, 0)
        .with_fields(&GroupHeader { group: "g" });
    let answer = done(&link, get.clone()).await;
    assert_eq!(SubscriptionGroupConfig::decode(&answer.body).unwrap(), config);
    let all = done(
        &link,
        Command::request(RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG, 0),
    )
    .await;
    assert!(
        SubscriptionGroupTable::decode(&all.body)
            .unwrap()
            .subscription_group_table
            .contains_key("g")
    );
    let delete = DeleteGroupHeader {
        group_name: "g",
        clean_offset: true,
    };
    let delete = Command::request(RequestCode::DELETE_SUBSCRIPTIONGROUP, 0).with_fields(&delete);
    done(&link, delete.clone()).await;
    done(&link, delete).await;
    let gone = link.call(get, TIMEOUT).await.unwrap();
    assert_eq!(gone.response_code(), ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_and_progress_are_shown() {
    let node = node().await;
    let link = node.link().await;
    for _ in 0..3 {
        sent(&link, "T", 2, "", b"x").await;
    }
    let config = SubscriptionGroupConfig {
        group_name: "g".to_owned(),
        ..SubscriptionGroupConfig::default()
    };
    done(
        &link,
        Command::request(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, 0).with_body(config.encode()),
    )
    .await;
    let commit = UpdateConsumerOffsetHeader {
        consumer_group: "g",
        topic: "T",
        queue_id: 2,
        commit_offset: 1,
    };
    done(
        &link,
        Command::request(RequestCode::UPDATE_CONSUMER_OFFSET, 0).with_fields(&commit),
    )
    .await;

    let queue = MessageQueue {
        broker_name: "kourou".to_owned(),
        queue_id: 2,
        topic: "T".to_owned(),
    };
    let stats = done(&link, of_topic(RequestCode::GET_TOPIC_STATS_INFO, "T")).await;
    let table = TopicStatsTable::decode(&stats.body).unwrap().offset_table;
    assert_eq!(table.len(), 4);
    assert_eq!((table[&queue].min_offset, table[&queue].max_offset), (0, 3));

    let header = GetConsumeStatsHeader {
        consumer_group: "g",
        topic: None,
        topic_list: None,
    };
    let progress = done(
        &link,
        Command::request(RequestCode::GET_CONSUME_STATS, 0).with_fields(&header),
    )
    .await;
    let table = ConsumeStats::decode(&progress.body).unwrap().offset_table;
    assert_eq!(
        (table[&queue].broker_offset, table[&queue].consumer_offset),
        (3, 1)
    );

    let who = done(&link, of_topic(RequestCode::QUERY_TOPIC_CONSUME_BY_WHO, "T")).await;
    assert_eq!(GroupList::decode(&who.body).unwrap().group_list, ["g"]);
    let offsets = done(&link, Command::request(RequestCode::GET_ALL_CONSUMER_OFFSET, 0)).await;
    assert_eq!(
        ConsumerOffsetTable::decode(&offsets.body).unwrap().offset_table["T@g"][&2],
        1
    );
    let info = done(&link, Command::request(RequestCode::GET_BROKER_RUNTIME_INFO, 0)).await;
    let info = KvTable::decode(&info.body).unwrap().table;
    for key in [
        "getTotalTps",
        "msgPutTotalTodayNow",
        "brokerVersionDesc",
        "commitLogMaxOffset",
    ] {
        assert!(info.contains_key(key), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_by_end_and_by_time() {
    let node = node().await;
    let link = node.link().await;
    sent(&link, "T", 0, "", b"x").await;
    let queue = |code, queue_id| Command::request(code, 0).with_fields(&QueueHeader { topic: "T", queue_id });
    let offset = |answer: Command| OffsetResponse::decode(&answer).unwrap().offset;
    assert_eq!(
        offset(done(&link, queue(RequestCode::GET_MAX_OFFSET, 0)).await),
        1
    );
    assert_eq!(
        offset(done(&link, queue(RequestCode::GET_MAX_OFFSET, 1)).await),
        0
    );
    assert_eq!(
        offset(done(&link, queue(RequestCode::GET_MIN_OFFSET, 0)).await),
        0
    );
    let time = |timestamp_ms| {
        let header = SearchOffsetHeader {
            topic: "T",
            queue_id: 0,
            timestamp_ms,
            boundary_type: None,
        };
        Command::request(RequestCode::SEARCH_OFFSET_BY_TIMESTAMP, 0).with_fields(&header)
    };
    assert_eq!(offset(done(&link, time(0)).await), 0);
    assert_eq!(offset(done(&link, time(i64::MAX)).await), 1);
    let earliest = |answer: Command| TimestampResponse::decode(&answer).unwrap().timestamp_ms;
    assert!(earliest(done(&link, queue(RequestCode::GET_EARLIEST_MSG_STORETIME, 0)).await) > 0);
    assert_eq!(
        earliest(done(&link, queue(RequestCode::GET_EARLIEST_MSG_STORETIME, 1)).await),
        -1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_found_by_the_id_that_its_producer_got() {
    let node = node().await;
    let link = node.link().await;
    let answer = done(&link, send("T", 0, "", b"by id")).await;
    let id = OffsetMessageId::parse(SendMessageResponse::decode(&answer).unwrap().msg_id).unwrap();
    assert_eq!(id.store_host.to_string(), node.broker_address);
    let view = |position| {
        let header = ViewMessageHeader {
            topic: Some("T"),
            position,
        };
        Command::request(RequestCode::VIEW_MESSAGE_BY_ID, 0).with_fields(&header)
    };
    assert_eq!(bodies(&done(&link, view(id.position)).await), [b"by id".to_vec()]);
    for position in [id.position + 1, -1, i64::MAX] {
        let answer = link.call(view(position), TIMEOUT).await.unwrap();
        assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
    }
}
