use super::*;
use crate::broker::MASTER_ID;
use crate::topic::TopicSpec;

fn topic(name: &str) -> TopicSpec {
    TopicSpec {
        name: name.to_owned(),
        read_queues: 4,
        write_queues: 4,
        perm: 6,
        sys_flag: 0,
    }
}

fn registration(broker_id: i64, address: &str, counter: i64, topics: &[&str]) -> Registration {
    Registration {
        cluster: "C".to_owned(),
        broker_name: "b".to_owned(),
        broker_id,
        address: address.to_owned(),
        ha_address: format!("{address}-ha"),
        zone: None,
        heartbeat_timeout_ms: None,
        enable_acting_master: None,
        data_version: DataVersion {
            state_version: 0,
            timestamp_ms: 1,
            counter,
        },
        topics: topics.iter().map(|name| topic(name)).collect(),
        filter_servers: Vec::new(),
        connection: Some(ConnectionId(1)),
    }
}

fn with_broker() -> NameServer {
    let server = NameServer::default();
    server
        .register(&registration(0, "h:1", 1, &["T", "U"]), 0)
        .unwrap();
    server
}

fn perm_of(server: &NameServer, topic: &str) -> i32 {
    server.route(topic).unwrap().queues[0].perm
}

#[test]
fn a_registered_broker_is_routed() {
    let server = with_broker();
    let route = server.route("T").unwrap();
    assert_eq!(route.queues.len(), 1);
    assert_eq!(route.queues[0].write_queues, 4);
    assert_eq!(
        route.brokers[0].addresses,
        BTreeMap::from([(0, "h:1".to_owned())])
    );
    assert!(server.route("X").is_none());
}

#[test]
fn an_unknown_broker_with_one_topic_is_refused_and_leaves_nothing() {
    let server = NameServer::default();
    let refused = server.register(&registration(0, "h:1", 1, &["T"]), 0);
    assert!(matches!(refused, Err(RegisterError::IncrementalUnknown { .. })));
    assert_eq!(server.cluster_info(), ClusterInfo::default());
    assert!(server.route("T").is_none());
}

#[test]
fn a_known_broker_may_register_one_topic() {
    let server = with_broker();
    server.register(&registration(0, "h:1", 2, &["V"]), 0).unwrap();
    assert!(server.route("V").is_some());
    assert!(server.route("T").is_some(), "topics that are not named are kept");
}

#[test]
fn a_broker_without_topics_may_register() {
    let server = NameServer::default();
    server.register(&registration(0, "h:1", 1, &[]), 0).unwrap();
    assert_eq!(server.cluster_info().brokers.len(), 1);
}

#[test]
fn topics_are_rewritten_only_when_the_version_differs() {
    let server = with_broker();
    let mut again = registration(0, "h:1", 1, &["T", "U"]);
    again.topics[0].write_queues = 9;
    server.register(&again, 0).unwrap();
    assert_eq!(server.route("T").unwrap().queues[0].write_queues, 4);
    again.data_version.counter = 2;
    server.register(&again, 0).unwrap();
    assert_eq!(server.route("T").unwrap().queues[0].write_queues, 9);
}

#[test]
fn a_topic_that_lacks_the_broker_is_written_at_any_version() {
    let server = with_broker();
    server.delete_topic("T", None);
    server
        .register(&registration(0, "h:1", 1, &["T", "U"]), 0)
        .unwrap();
    assert!(server.route("T").is_some());
}

#[test]
fn missing_topics_go_only_when_the_option_says_so() {
    let server = with_broker();
    server
        .set_options([("deleteTopicWithBrokerRegistration", "true")])
        .unwrap();
    server
        .register(&registration(0, "h:1", 2, &["U", "V"]), 0)
        .unwrap();
    assert!(server.route("T").is_none());
    assert!(server.route("U").is_some());
}

#[test]
fn one_address_is_one_broker() {
    let server = with_broker();
    server
        .register(&registration(1, "h:2", 1, &["T", "U"]), 0)
        .unwrap();
    server
        .register(&registration(0, "h:2", 2, &["T", "U"]), 0)
        .unwrap();
    assert_eq!(
        server.members("C", "b").addresses,
        BTreeMap::from([(0, "h:2".to_owned())])
    );
}

#[test]
fn an_older_mastership_does_not_replace_a_newer_one() {
    let server = NameServer::default();
    let mut newer = registration(0, "h:1", 1, &["T", "U"]);
    newer.data_version.state_version = 5;
    server.register(&newer, 0).unwrap();
    let mut older = registration(0, "h:2", 9, &["T", "U"]);
    older.data_version.state_version = 4;
    assert_eq!(server.register(&older, 0), Ok(Registered::default()));
    assert_eq!(server.members("C", "b").addresses[&0], "h:1");
    older.data_version.state_version = 5;
    server.register(&older, 0).unwrap();
    assert_eq!(server.members("C", "b").addresses[&0], "h:2");
}

#[test]
fn a_moved_broker_survives_the_end_of_its_old_connection() {
    let server = with_broker();
    let mut moved = registration(0, "h:2", 2, &["T", "U"]);
    moved.connection = Some(ConnectionId(2));
    server.register(&moved, 0).unwrap();
    assert_eq!(server.connection_closed(ConnectionId(1)), 0);
    assert!(server.route("T").is_some());
}

#[test]
fn a_slave_is_told_its_master_and_its_topics_are_not_taken() {
    let server = with_broker();
    let told = server
        .register(&registration(1, "h:2", 1, &["T", "W"]), 0)
        .unwrap();
    assert_eq!(told.master_address.as_deref(), Some("h:1"));
    assert_eq!(told.ha_address.as_deref(), Some("h:1-ha"));
    assert!(server.route("W").is_none());
    let master = server
        .register(&registration(0, "h:1", 1, &["T", "U"]), 0)
        .unwrap();
    assert_eq!(master.master_address, None);
}

#[test]
fn the_lowest_slave_registers_read_only_topics_when_it_may_act() {
    let server = NameServer::new(Options {
        acting_master: true,
        ..Options::default()
    });
    let mut slave = registration(2, "h:2", 1, &["T", "U"]);
    slave.enable_acting_master = Some(true);
    server.register(&slave, 0).unwrap();
    let route = server.route("T").unwrap();
    assert_eq!(route.queues[0].perm, 4);
    assert_eq!(
        route.brokers[0].addresses,
        BTreeMap::from([(MASTER_ID, "h:2".to_owned())])
    );
    // Only the route presents it so; the table keeps the true id.
    assert_eq!(
        server.members("C", "b").addresses,
        BTreeMap::from([(2, "h:2".to_owned())])
    );
}

#[test]
fn losing_the_master_takes_the_write_bit_when_a_slave_may_act() {
    let server = NameServer::default();
    let mut master = registration(0, "h:1", 1, &["T", "U"]);
    master.enable_acting_master = Some(true);
    let mut slave = registration(1, "h:2", 1, &["T", "U"]);
    slave.enable_acting_master = Some(true);
    server.register(&master, 0).unwrap();
    server.register(&slave, 0).unwrap();
    assert_eq!(perm_of(&server, "T"), 6);
    server.unregister("C", "b", "h:1");
    assert_eq!(perm_of(&server, "T"), 4);
}

#[test]
fn losing_the_master_changes_nothing_otherwise() {
    let server = with_broker();
    server
        .register(&registration(1, "h:2", 1, &["T", "U"]), 0)
        .unwrap();
    server.unregister("C", "b", "h:1");
    assert_eq!(perm_of(&server, "T"), 6);
}

#[test]
fn the_last_member_takes_topics_and_cluster_with_it() {
    let server = with_broker();
    server.unregister("another cluster", "b", "h:1");
    assert!(server.route("T").is_none());
    assert_eq!(server.cluster_info(), ClusterInfo::default());
    assert!(server.all_topics().unwrap().is_empty());
}

#[test]
fn unregistering_a_stranger_changes_nothing() {
    let server = with_broker();
    server.unregister("C", "nobody", "h:9");
    server.unregister("C", "b", "h:9");
    assert!(server.route("T").is_some());
}

#[test]
fn a_closed_connection_takes_its_broker() {
    let server = with_broker();
    assert_eq!(server.connection_closed(ConnectionId(7)), 0);
    assert_eq!(server.connection_closed(ConnectionId(1)), 1);
    assert!(server.route("T").is_none());
}

#[test]
fn silence_expires_and_signs_of_life_do_not() {
    let server = with_broker();
    assert!(server.expire(120_000).is_empty());
    server.heartbeat("C", "h:1", 100_000);
    assert!(server.expire(220_000).is_empty());
    assert_eq!(server.data_version("C", "h:1", 200_000).unwrap().counter, 1);
    assert!(server.expire(320_000).is_empty());
    assert_eq!(server.expire(320_001), vec![ConnectionId(1)]);
    assert!(server.route("T").is_none());
}

#[test]
fn a_broker_chooses_its_own_timeout() {
    let server = NameServer::default();
    let mut quick = registration(0, "h:1", 1, &["T", "U"]);
    quick.heartbeat_timeout_ms = Some(10_000);
    server.register(&quick, 0).unwrap();
    assert_eq!(server.expire(10_001).len(), 1);
    quick.heartbeat_timeout_ms = Some(i64::MAX);
    quick.connection = None;
    server.register(&quick, 0).unwrap();
    assert!(server.expire(i64::MAX).is_empty());
    assert!(server.route("T").is_some());
}

#[test]
fn heartbeats_of_strangers_register_nobody() {
    let server = NameServer::default();
    server.heartbeat("C", "h:1", 0);
    assert_eq!(server.data_version("C", "h:1", 0), None);
    assert_eq!(server.cluster_info(), ClusterInfo::default());
}

#[test]
fn write_perm_is_wiped_and_added() {
    let server = with_broker();
    assert_eq!(server.wipe_write_perm("b"), 2);
    assert_eq!(perm_of(&server, "T"), 4);
    assert_eq!(server.add_write_perm("b"), 2);
    assert_eq!(perm_of(&server, "U"), 6);
    assert_eq!(server.wipe_write_perm("nobody"), 0);
}

#[test]
fn a_topic_is_deleted_in_one_cluster_only() {
    let server = with_broker();
    let mut other = registration(0, "h:5", 1, &["T", "U"]);
    other.cluster = "D".to_owned();
    other.broker_name = "d".to_owned();
    server.register(&other, 0).unwrap();
    server.delete_topic("T", Some("C"));
    server.delete_topic("T", Some("unknown"));
    assert_eq!(server.route("T").unwrap().queues[0].broker_name, "d");
    server.delete_topic("T", Some("D"));
    assert!(server.route("T").is_none());
    assert_eq!(server.topics_of_cluster("D").unwrap(), ["U"]);
    assert!(server.topics_of_cluster("unknown").unwrap().is_empty());
}

#[test]
fn a_single_topic_needs_known_brokers() {
    let server = with_broker();
    let queue = QueueData::of("b", &topic("S"));
    server.register_topic("S", vec![queue.clone()]);
    assert!(server.route("S").is_some());
    server.register_topic("R", vec![queue, QueueData::of("nobody", &topic("R"))]);
    assert!(server.route("R").is_none());
    server.register_topic("Q", Vec::new());
    assert!(server.route("Q").is_none());
}

#[test]
fn order_conf_is_told_to_brokers_and_on_demand_to_clients() {
    let server = with_broker();
    server.put_kv(ORDER_TOPIC_CONFIG, "T", "b:4").unwrap();
    let told = server
        .register(&registration(0, "h:1", 1, &["T", "U"]), 0)
        .unwrap();
    assert_eq!(told.order_conf.unwrap()["T"], "b:4");
    assert_eq!(server.route("T").unwrap().order_conf, None);
    server.set_options([("orderMessageEnable", "true")]).unwrap();
    assert_eq!(server.route("T").unwrap().order_conf.as_deref(), Some("b:4"));
    server.delete_kv(ORDER_TOPIC_CONFIG, "T");
    assert_eq!(server.kv_list(ORDER_TOPIC_CONFIG), None);
    assert_eq!(server.kv(ORDER_TOPIC_CONFIG, "T"), None);
}

#[test]
fn lists_can_be_switched_off() {
    let server = with_broker();
    server
        .set_options([("enableAllTopicList", "false"), ("enableTopicList", "false")])
        .unwrap();
    assert_eq!(server.all_topics(), Err(DisabledError));
    assert_eq!(server.topics_of_cluster("C"), Err(DisabledError));
    assert_eq!(server.unit_topics(UnitTopics::Unit), Err(DisabledError));
}

#[test]
fn settings_change_together_or_not_at_all() {
    let server = NameServer::default();
    assert!(
        server
            .set_options([("orderMessageEnable", "true"), ("kvConfigPath", "x")])
            .is_err()
    );
    assert!(!server.options().order_message);
}

#[test]
fn system_topics_name_clusters_and_brokers() {
    let system = with_broker().system_topics();
    assert_eq!(system.topics, ["C", "b"]);
    assert_eq!(system.broker_address.as_deref(), Some("h:1"));
}

#[test]
fn unit_topics_go_by_their_flags() {
    let server = NameServer::default();
    let mut r = registration(0, "h:1", 1, &["plain", "unit", "sub", "both"]);
    for (index, flag) in [0, 1, 2, 3].into_iter().enumerate() {
        r.topics[index].sys_flag = flag;
    }
    server.register(&r, 0).unwrap();
    assert_eq!(server.unit_topics(UnitTopics::Unit).unwrap(), ["both", "unit"]);
    assert_eq!(
        server.unit_topics(UnitTopics::UnitSubscribed).unwrap(),
        ["both", "sub"]
    );
    assert_eq!(
        server.unit_topics(UnitTopics::UnitSubscribedNotUnit).unwrap(),
        ["sub"]
    );
}

#[test]
fn filter_servers_follow_their_broker() {
    let server = NameServer::default();
    let mut r = registration(0, "h:1", 1, &["T", "U"]);
    r.filter_servers = vec!["f:1".to_owned()];
    server.register(&r, 0).unwrap();
    assert_eq!(server.route("T").unwrap().filter_servers["h:1"], ["f:1"]);
    r.filter_servers.clear();
    server.register(&r, 0).unwrap();
    assert!(server.route("T").unwrap().filter_servers.is_empty());
}

#[test]
fn tables_are_bounded() {
    let limits = Limits {
        topics_max: 3,
        brokers_max: 1,
        members_max: 1,
        ..Limits::default()
    };
    let server = NameServer::new(Options {
        limits,
        ..Options::default()
    });
    server
        .register(&registration(0, "h:1", 1, &["T", "U"]), 0)
        .unwrap();
    server
        .register(&registration(0, "h:1", 2, &["T", "U", "V"]), 0)
        .unwrap();
    let topics = server.register(&registration(0, "h:1", 3, &["T", "W"]), 0);
    assert_eq!(
        topics,
        Err(RegisterError::Full {
            what: "topics",
            max: 3
        })
    );
    let member = server.register(&registration(1, "h:2", 1, &["T", "U"]), 0);
    assert!(matches!(member, Err(RegisterError::Full { max: 1, .. })));
    let mut other = registration(0, "h:3", 1, &["T", "U"]);
    other.broker_name = "c".to_owned();
    assert_eq!(
        server.register(&other, 0),
        Err(RegisterError::Full {
            what: "brokers",
            max: 1
        })
    );
    other.broker_name.clear();
    assert_eq!(
        server.register(&other, 0),
        Err(RegisterError::Empty { field: "brokerName" })
    );
}

#[test]
fn a_broker_that_changes_cluster_is_listed_once() {
    let server = with_broker();
    let mut moved = registration(0, "h:1", 2, &["T", "U"]);
    moved.cluster = "D".to_owned();
    server.register(&moved, 0).unwrap();
    let info = server.cluster_info();
    assert_eq!(info.clusters.keys().collect::<Vec<_>>(), ["D"]);
    assert_eq!(info.brokers["b"].cluster, "D");
    server.heartbeat("D", "h:1", 100_000);
    assert!(
        server.expire(130_000).is_empty(),
        "nothing is left of the old cluster"
    );
}
