//! Bodies as a Java peer (rocketmq-remoting 5.3.3 with fastjson 1.2.83) writes them.

use super::*;
use crate::json::{JsonError, JsonErrorKind};
use crate::remoting::language::Language;

/// Reads the text and writes it back: everything in it has been understood, and is said in the same way.
fn same<T: PartialEq + std::fmt::Debug>(
    text: &str,
    decode: fn(&[u8]) -> Result<T, JsonError>,
    encode: fn(&T) -> Vec<u8>,
) -> T {
    let body = decode(text.as_bytes()).unwrap();
    let written = encode(&body);
    assert_eq!(String::from_utf8_lossy(&written), text);
    assert_eq!(decode(&written).unwrap(), body);
    body
}

macro_rules! golden {
    ($($test:ident: $type:ident = $text:literal;)*) => {$(
        #[test]
        fn $test() {
            same($text, $type::decode, $type::encode);
        }
    )*};
}

golden! {
    heartbeat_as_java_writes_it: HeartbeatData =
        r#"{"clientID":"10.0.0.1@77#1","consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":"cg","messageModel":"CLUSTERING","subscriptionDataSet":[{"classFilterMode":false,"codeSet":[2598919,2598920],"expressionType":"TAG","subString":"TagA || TagB","subVersion":1700000000000,"tagsSet":["TagA","TagB"],"topic":"TopicTest"}],"unitMode":false}],"heartbeatFingerprint":0,"producerDataSet":[{"groupName":"CLIENT_INNER_PRODUCER"}],"withoutSub":false}"#;
    consumerlist_as_java_writes_it: ConsumerList =
        r#"{"consumerIdList":["c1","c2"]}"#;
    lockreq_as_java_writes_it: LockBatchRequest =
        r#"{"clientId":"c1","consumerGroup":"cg","mqSet":[{"brokerName":"b","queueId":3,"topic":"T"}],"onlyThisBroker":false}"#;
    lockresp_as_java_writes_it: LockBatchResponse =
        r#"{"lockOKMQSet":[{"brokerName":"b","queueId":3,"topic":"T"}]}"#;
    route_as_java_writes_it: TopicRouteData =
        r#"{"brokerDatas":[{"brokerAddrs":{0:"10.0.0.1:10911",1:"10.0.0.2:10911"},"brokerName":"broker-a","cluster":"DefaultCluster","enableActingMaster":false}],"filterServerTable":{},"queueDatas":[{"brokerName":"broker-a","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]}"#;
    route_order_as_java_writes_it: TopicRouteData =
        r#"{"brokerDatas":[{"brokerAddrs":{0:"10.0.0.1:10911",1:"10.0.0.2:10911"},"brokerName":"broker-a","cluster":"DefaultCluster","enableActingMaster":false}],"filterServerTable":{},"orderTopicConf":"broker-a:4","queueDatas":[{"brokerName":"broker-a","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]}"#;
    cluster_as_java_writes_it: ClusterInfo =
        r#"{"brokerAddrTable":{"broker-a":{"brokerAddrs":{0:"10.0.0.1:10911",1:"10.0.0.2:10911"},"brokerName":"broker-a","cluster":"DefaultCluster","enableActingMaster":false}},"clusterAddrTable":{"DefaultCluster":["broker-a"]}}"#;
    topicconfig_as_java_writes_it: TopicConfig =
        r#"{"attributes":{},"order":false,"perm":6,"readQueueNums":8,"topicFilterType":"SINGLE_TAG","topicName":"T","topicSysFlag":0,"writeQueueNums":8}"#;
    dataversion_as_java_writes_it: DataVersion =
        r#"{"counter":12,"stateVersion":0,"timestamp":1700000000000}"#;
    kvtable_as_java_writes_it: KvTable =
        r#"{"table":{"k":"v"}}"#;
    topiclist_as_java_writes_it: TopicList =
        r#"{"topicList":["T","%RETRY%cg"]}"#;
    group_as_java_writes_it: SubscriptionGroupConfig =
        r#"{"attributes":{},"brokerId":0,"consumeBroadcastEnable":true,"consumeEnable":true,"consumeFromMinEnable":true,"consumeMessageOrderly":false,"consumeTimeoutMinute":15,"groupName":"cg","groupRetryPolicy":{"type":"CUSTOMIZED"},"groupSysFlag":0,"notifyConsumerIdsChangedEnable":true,"retryMaxTimes":16,"retryQueueNums":1,"whichBrokerWhenConsumeSlowly":1}"#;
    topicstats_as_java_writes_it: TopicStatsTable =
        r#"{"offsetTable":{{"brokerName":"b","queueId":0,"topic":"T"}:{"lastUpdateTimestamp":1700000000000,"maxOffset":9,"minOffset":1}},"topicPutTps":0.0}"#;
    consumestats_as_java_writes_it: ConsumeStats =
        r#"{"consumeTps":1.5,"offsetTable":{{"brokerName":"b","queueId":0,"topic":"T"}:{"brokerOffset":9,"consumerOffset":4,"lastTimestamp":3,"pullOffset":5}}}"#;
    consumerconn_as_java_writes_it: ConsumerConnection =
        r#"{"connectionSet":[{"clientAddr":"1.2.3.4:5","clientId":"c1","language":"GO","version":317}],"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY","messageModel":"CLUSTERING","subscriptionTable":{"TopicTest":{"classFilterMode":false,"codeSet":[2598919,2598920],"expressionType":"TAG","subString":"TagA || TagB","subVersion":1700000000000,"tagsSet":["TagA","TagB"],"topic":"TopicTest"}}}"#;
    producerconn_as_java_writes_it: ProducerConnection =
        r#"{"connectionSet":[{"clientAddr":"1.2.3.4:5","clientId":"c1","language":"GO","version":317}]}"#;
    offsets_as_java_writes_it: ConsumerOffsetTable =
        r#"{"dataVersion":{"counter":12,"stateVersion":0,"timestamp":1700000000000},"offsetTable":{"T@cg":{0:5,1:7}}}"#;
    reset_as_java_writes_it: ResetOffsetBody =
        r#"{"offsetTable":{{"brokerName":"b","queueId":0,"topic":"T"}:77}}"#;
    grouplist_as_java_writes_it: GroupList =
        r#"{"groupList":["cg"]}"#;
    checkclient_as_java_writes_it: CheckClientConfig =
        r#"{"clientId":"c","group":"g","namespace":"","subscriptionData":{"classFilterMode":false,"codeSet":[2598919,2598920],"expressionType":"TAG","subString":"TagA || TagB","subVersion":1700000000000,"tagsSet":["TagA","TagB"],"topic":"TopicTest"}}"#;
    membergroup_as_java_writes_it: BrokerMemberGroupBody =
        r#"{"brokerMemberGroup":{"brokerAddrs":{0:"10.0.0.1:10911",1:"10.0.0.2:10911"},"brokerName":"broker-a","cluster":"c"}}"#;
}

#[test]
fn route_in_standard_json() {
    let text = r#"{"brokerDatas":[{"brokerAddrs":{"0":"10.0.0.1:10911","1":"10.0.0.2:10911"},"brokerName":"broker-a","cluster":"DefaultCluster","enableActingMaster":false}],"filterServerTable":{},"queueDatas":[{"brokerName":"broker-a","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]}"#;
    let route = same(text, TopicRouteData::decode, TopicRouteData::encode_standard);
    assert_eq!(route.broker_datas[0].broker_addrs[&1], "10.0.0.2:10911");
}

#[test]
fn topic_table_with_a_reference() {
    // Java writes the same object the second time as a reference; what it stood for is lost, the rest is not.
    let text = r#"{"dataVersion":{"counter":12,"stateVersion":0,"timestamp":1700000000000},"mappingDataVersion":{"$ref":"$.dataVersion"},"topicConfigTable":{"T":{"attributes":{},"order":false,"perm":6,"readQueueNums":8,"topicFilterType":"SINGLE_TAG","topicName":"T","topicSysFlag":0,"writeQueueNums":8},"T2":{"attributes":{"message.type":"FIFO"},"order":false,"perm":7,"readQueueNums":8,"topicFilterType":"SINGLE_TAG","topicName":"T2","topicSysFlag":0,"writeQueueNums":4}},"topicQueueMappingDetailMap":{},"topicQueueMappingInfoMap":{}}"#;
    let table = TopicConfigTable::decode(text.as_bytes()).unwrap();
    assert_eq!(
        table.data_version,
        DataVersion {
            counter: 12,
            state_version: 0,
            timestamp_ms: 1_700_000_000_000
        }
    );
    assert_eq!(table.mapping_data_version, DataVersion::default());
    assert_eq!(table.topic_config_table["T2"].attributes["message.type"], "FIFO");
    assert_eq!(TopicConfigTable::decode(&table.encode()).unwrap(), table);
}

#[test]
fn group_table() {
    let text = r#"{"dataVersion":{"counter":12,"stateVersion":0,"timestamp":1700000000000},"subscriptionGroupTable":{"cg":{"attributes":{},"brokerId":0,"consumeBroadcastEnable":true,"consumeEnable":true,"consumeFromMinEnable":true,"consumeMessageOrderly":false,"consumeTimeoutMinute":15,"groupName":"cg","groupRetryPolicy":{"type":"CUSTOMIZED"},"groupSysFlag":0,"notifyConsumerIdsChangedEnable":true,"retryMaxTimes":16,"retryQueueNums":1,"whichBrokerWhenConsumeSlowly":1}}}"#;
    let table = SubscriptionGroupTable::decode(text.as_bytes()).unwrap();
    assert_eq!(table.subscription_group_table["cg"].retry_max_times, 16);
    assert_eq!(SubscriptionGroupTable::decode(&table.encode()).unwrap(), table);
}

#[test]
fn registration_in_both_forms() {
    let json = r#"{"filterServerList":[],"topicConfigSerializeWrapper":{"dataVersion":{"counter":12,"stateVersion":0,"timestamp":1700000000000},"mappingDataVersion":{"$ref":"$.topicConfigSerializeWrapper.dataVersion"},"topicConfigTable":{"T":{"attributes":{},"order":false,"perm":6,"readQueueNums":8,"topicFilterType":"SINGLE_TAG","topicName":"T","topicSysFlag":0,"writeQueueNums":8},"T2":{"attributes":{"message.type":"FIFO"},"order":false,"perm":7,"readQueueNums":8,"topicFilterType":"SINGLE_TAG","topicName":"T2","topicSysFlag":0,"writeQueueNums":4}},"topicQueueMappingDetailMap":{},"topicQueueMappingInfoMap":{}}}"#;
    let zlib = hex(
        "78da636060b0ac564ace2fcd2b492d52b23234d2512a2e492c490d4b2d2acecccf53b232d0512ac9cc4d050ae61600e5cd0d10a09681818109884543142c80d04c21d8d3cfddc7353ec4d15da11a24a91d620414375130479151029a569c989eaa57525990aa64a5e4e6e9e6af04362b3a16483200003dfa24ee",
    );
    let plain = RegisterBrokerBody::decode_from(json.as_bytes(), false, 479).unwrap();
    assert_eq!(plain.topic_config_table.topic_config_table.len(), 2);
    for compressed in [true, false] {
        let body = RegisterBrokerBody::decode_from(&zlib, compressed, 479).unwrap();
        assert_eq!(
            body.topic_config_table.topic_config_table,
            plain.topic_config_table.topic_config_table
        );
        assert_eq!(
            body.topic_config_table.data_version,
            plain.topic_config_table.data_version
        );
    }
    let again = RegisterBrokerBody::decode_from(&plain.encode_compressed(), true, 479).unwrap();
    assert_eq!(
        again.topic_config_table.topic_config_table,
        plain.topic_config_table.topic_config_table
    );
    let again = RegisterBrokerBody::decode_from(&plain.encode(), false, 479).unwrap();
    assert_eq!(again, plain);
    assert_eq!(
        RegisterBrokerBody::decode_from(b"", true, 479).unwrap(),
        RegisterBrokerBody::default()
    );
}

#[test]
fn registration_of_an_old_broker() {
    let json = r#"{"dataVersion":{"counter":1},"topicConfigTable":{"T":{"topicName":"T","perm":6}}}"#;
    let body = RegisterBrokerBody::decode_from(json.as_bytes(), false, 36).unwrap();
    assert!(body.topic_config_table.topic_config_table.contains_key("T"));
}

#[test]
fn damaged_registrations() {
    let decode = |plain: &[u8]| {
        use std::io::Write as _;
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        RegisterBrokerBody::decode_from(&encoder.finish().unwrap(), true, 479).unwrap_err()
    };
    let damaged = RegisterBodyError::Damaged;
    assert_eq!(
        RegisterBrokerBody::decode_from(b"x\x01junk", true, 479).unwrap_err(),
        damaged
    );
    assert_eq!(decode(&[0, 0, 0, 9, b'{']), damaged);
    assert_eq!(
        decode(&[0xff; 4]),
        RegisterBodyError::BadLength {
            part: "data version",
            value: -1
        }
    );
    assert_eq!(
        decode(&[0x7f; 8]),
        RegisterBodyError::BadLength {
            part: "data version",
            value: 0x7f7f_7f7f
        }
    );
    let topic = b"\0\0\0\x02{}\0\0\0\x01\0\0\0\x07T a 1 6";
    assert_eq!(
        decode(topic),
        RegisterBodyError::BadTopic {
            text: "T a 1 6".to_owned()
        }
    );
}

#[test]
fn bodies_of_other_clients() {
    let go = br#"{"clientID":"c","producerDataSet":[],"consumerDataSet":[{"groupName":"g","consumeType":"?","messageModel":"BROADCASTING","subscriptionDataSet":[{"topic":"T","subString":"*","tagsSet":null,"codeSet":null}]}]}"#;
    let heartbeat = HeartbeatData::decode(go).unwrap();
    let consumer = &heartbeat.consumer_data_set[0];
    assert_eq!(consumer.message_model, MessageModel::Broadcasting);
    assert_eq!(consumer.consume_type, ConsumeType::Actively);
    assert_eq!(consumer.subscription_data_set[0].expression_type, "TAG");
    let connection = Connection::decode(br#"{"language":"COBOL"}"#).unwrap();
    assert_eq!(connection.language, Language::Other);
}

#[test]
fn bodies_of_strangers() {
    assert_eq!(
        HeartbeatData::decode(b"").unwrap_err().kind,
        JsonErrorKind::UnexpectedEnd
    );
    assert_eq!(
        HeartbeatData::decode(b"[]").unwrap_err().kind,
        JsonErrorKind::WrongType("an object")
    );
    let wrong = br#"{"offsetTable":{"not a queue":{}}}"#;
    assert_eq!(
        TopicStatsTable::decode(wrong).unwrap_err().kind,
        JsonErrorKind::WrongType("an object")
    );
}

#[test]
fn raw_json_is_kept() {
    let text = br#"{"groupName":"g","groupRetryPolicy":{"type":"EXPONENTIAL","exponentialRetryPolicy":{"initial":5000}}}"#;
    let group = SubscriptionGroupConfig::decode(text).unwrap();
    let written = String::from_utf8(group.encode()).unwrap();
    assert!(written.contains(r#"{"type":"EXPONENTIAL","exponentialRetryPolicy":{"initial":5000}}"#));
}

fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}
