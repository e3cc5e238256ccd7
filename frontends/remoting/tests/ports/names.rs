use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kourou_engine::clock::SystemClock;
use kourou_nameserver::NameServer;
use kourou_proto::body::{
    BrokerMemberGroupBody, ClusterInfo, DataVersion, KvTable, RegisterBrokerBody, TopicConfig,
    TopicConfigTable, TopicList, TopicRouteData,
};
use kourou_proto::remoting::request::{
    BrokerIdentityHeader, GetBrokerMemberGroupHeader, GetRouteInfoHeader, KvKeyHeader, KvNamespaceHeader,
    PutKvConfigHeader, RegisterBrokerHeader,
};
use kourou_proto::{Command, RequestCode, ResponseCode};
use kourou_remoting::client::Link;
use kourou_remoting::{BrokerEvents, Limits, NameServers, announce, listen, serve_name_server};
use tokio_util::sync::CancellationToken;

use crate::support::{TIMEOUT, broker_at, node, sent};

fn get_route(topic: &str) -> Command {
    let header = GetRouteInfoHeader {
        topic,
        accept_standard_json_only: true,
    };
    Command::request(RequestCode::GET_ROUTEINFO_BY_TOPIC, 0).with_fields(&header)
}

async fn route(link: &Link, topic: &str) -> Option<TopicRouteData> {
    let answer = link.call(get_route(topic), TIMEOUT).await.unwrap();
    match answer.response_code() {
        ResponseCode::SUCCESS => Some(TopicRouteData::decode(&answer.body).unwrap()),
        ResponseCode::TOPIC_NOT_EXIST => None,
        code => panic!("{code}: {}", answer.remark()),
    }
}

async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < TIMEOUT, "it does not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_of_this_process_is_known_at_once_and_new_topics_soon() {
    let node = node().await;
    let names = node.names().await;
    let template = route(&names, "TBW102").await.unwrap();
    assert_eq!(template.queue_datas[0].perm, 7);
    assert_eq!(template.broker_datas[0].broker_addrs[&0], node.broker_address);
    assert!(route(&names, "T").await.is_none());
    sent(&node.link().await, "T", 0, "", b"x").await;
    let found = eventually(async || route(&names, "T").await).await;
    assert_eq!(
        (found.queue_datas[0].write_queue_nums, found.queue_datas[0].perm),
        (4, 6)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_clients_get_routes_in_their_own_json() {
    let node = node().await;
    let names = node.names().await;
    let standard = names.call(get_route("TBW102"), TIMEOUT).await.unwrap();
    assert!(String::from_utf8_lossy(&standard.body).contains(r#"{"0":""#));
    let header = GetRouteInfoHeader {
        topic: "TBW102",
        accept_standard_json_only: false,
    };
    let mut old = Command::request(RequestCode::GET_ROUTEINFO_BY_TOPIC, 0).with_fields(&header);
    old.header.version = 317;
    let old = names.call(old, TIMEOUT).await.unwrap();
    assert!(String::from_utf8_lossy(&old.body).contains(r#"{0:""#));
}

async fn name_server() -> (String, Arc<NameServer>, CancellationToken) {
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let listener = listen(any).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (names, shutdown) = (Arc::new(NameServer::default()), CancellationToken::new());
    let clock = Arc::new(SystemClock);
    tokio::spawn(serve_name_server(
        vec![listener.into()],
        names.clone(),
        clock,
        Limits::default(),
        shutdown.clone(),
    ));
    (address, names, shutdown)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_registers_far_away_tells_changes_comes_back_and_leaves() {
    let (address, names, names_shutdown) = name_server().await;
    let broker = broker_at(([127, 0, 0, 1], 1).into());
    let events = Arc::new(BrokerEvents::default());
    broker.set_listener(events.clone());
    let shutdown = CancellationToken::new();
    let to = NameServers {
        local: None,
        remote: vec![address.clone()],
    };
    let announcing = tokio::spawn(announce(broker.clone(), events, to, shutdown.clone()));
    eventually(async || names.route("TBW102")).await;

    let (made, done) = tokio::sync::oneshot::channel();
    broker.put_topic(kourou_broker::topic::TopicConfig::new("T", 3), |result| {
        let _ = made.send(result);
    });
    done.await.unwrap().unwrap();
    let found = eventually(async || names.route("T")).await;
    assert_eq!(found.queues[0].write_queues, 3);

    // The name server dies and another takes its port.
    names_shutdown.cancel();
    eventually(async || Link::connect(&address).await.is_err().then_some(())).await;
    let listener = eventually(async || listen(address.parse().unwrap()).ok()).await;
    let names = Arc::new(NameServer::default());
    let again = CancellationToken::new();
    let clock = Arc::new(SystemClock);
    tokio::spawn(serve_name_server(
        vec![listener.into()],
        names.clone(),
        clock,
        Limits::default(),
        again.clone(),
    ));
    eventually(async || names.route("T")).await;

    shutdown.cancel();
    announcing.await.unwrap();
    assert!(names.route("T").is_none());
    again.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_own_name_server_knows_a_topic_before_its_maker_is_answered() {
    let names = Arc::new(NameServer::default());
    let broker = broker_at(([127, 0, 0, 1], 1).into());
    let events = Arc::new(BrokerEvents::default());
    broker.set_listener(events.clone());
    let shutdown = CancellationToken::new();
    let to = NameServers {
        local: Some(names.clone()),
        remote: Vec::new(),
    };
    let announcing = tokio::spawn(announce(broker.clone(), events, to, shutdown.clone()));
    eventually(async || names.route("TBW102")).await;

    for queues in [3, 5] {
        let (made, done) = tokio::sync::oneshot::channel();
        let seen = names.clone();
        broker.put_topic(
            kourou_broker::topic::TopicConfig::new("T", queues),
            move |result| {
                let _ = made.send((result, seen.route("T")));
            },
        );
        let (result, route) = done.await.unwrap();
        result.unwrap();
        assert_eq!(route.unwrap().queues[0].write_queues, queues);
    }
    shutdown.cancel();
    announcing.await.unwrap();
}

fn registration(topics: &[&str], counter: i64) -> Command {
    let header = RegisterBrokerHeader {
        broker_name: "b",
        broker_addr: "10.0.0.1:10911",
        cluster_name: "C",
        ha_server_addr: "10.0.0.1:10912",
        broker_id: 0,
        heartbeat_timeout_ms: None,
        enable_acting_master: None,
        compressed: false,
        body_crc32: 0,
        zone_name: None,
    };
    let config = |name: &&str| {
        (
            name.to_string(),
            TopicConfig {
                topic_name: name.to_string(),
                ..TopicConfig::default()
            },
        )
    };
    let body = RegisterBrokerBody {
        filter_server_list: Vec::new(),
        topic_config_table: TopicConfigTable {
            data_version: DataVersion {
                counter,
                ..DataVersion::default()
            },
            topic_config_table: topics.iter().map(config).collect(),
            ..TopicConfigTable::default()
        },
    };
    Command::request(RequestCode::REGISTER_BROKER, 0)
        .with_fields(&header)
        .with_body(body.encode())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_broker_is_served_and_forgotten_with_its_connection() {
    let (address, _, _shutdown) = name_server().await;
    let (broker, client) = (
        Link::connect(&address).await.unwrap(),
        Link::connect(&address).await.unwrap(),
    );
    let answer = broker.call(registration(&["T", "U"], 1), TIMEOUT).await.unwrap();
    assert_eq!(
        answer.response_code(),
        ResponseCode::SUCCESS,
        "{}",
        answer.remark()
    );
    assert!(answer.body.is_empty());
    assert!(route(&client, "T").await.is_some());

    let info = client
        .call(Command::request(RequestCode::GET_BROKER_CLUSTER_INFO, 0), TIMEOUT)
        .await
        .unwrap();
    let info = ClusterInfo::decode(&info.body).unwrap();
    assert_eq!(info.cluster_addr_table["C"], ["b"]);

    let header = GetBrokerMemberGroupHeader {
        cluster_name: "C",
        broker_name: "b",
    };
    let request = Command::request(RequestCode::GET_BROKER_MEMBER_GROUP, 0).with_fields(&header);
    let members = client.call(request, TIMEOUT).await.unwrap();
    let members = BrokerMemberGroupBody::decode(&members.body)
        .unwrap()
        .broker_member_group;
    assert_eq!(members.broker_addrs[&0], "10.0.0.1:10911");

    let identity = BrokerIdentityHeader {
        broker_name: "b",
        broker_addr: "10.0.0.1:10911",
        cluster_name: "C",
        broker_id: 0,
    };
    for (counter, changed) in [(1, "false"), (2, "true")] {
        let version = DataVersion {
            counter,
            ..DataVersion::default()
        };
        let request = Command::request(RequestCode::QUERY_DATA_VERSION, 0)
            .with_fields(&identity)
            .with_body(version.encode());
        let answer = client.call(request, TIMEOUT).await.unwrap();
        assert_eq!(answer.field("changed"), Some(changed));
        assert_eq!(DataVersion::decode(&answer.body).unwrap().counter, 1);
    }

    let list = client
        .call(
            Command::request(RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, 0),
            TIMEOUT,
        )
        .await
        .unwrap();
    assert_eq!(TopicList::decode(&list.body).unwrap().topic_list, ["T", "U"]);

    drop(broker);
    eventually(async || route(&client, "T").await.is_none().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_registrations_are_refused_in_upstreams_words() {
    let (address, _, _shutdown) = name_server().await;
    let link = Link::connect(&address).await.unwrap();
    let answer = link.call(registration(&["T"], 1), TIMEOUT).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
    assert!(answer.remark().starts_with("register broker failed"));
    let damaged = registration(&["T", "U"], 1).with_field("bodyCrc32", "12345");
    let answer = link.call(damaged, TIMEOUT).await.unwrap();
    assert_eq!(answer.remark(), "crc32 not match");
    let answer = link
        .call(registration(&["T", "U"], 1).with_body("[not json"), TIMEOUT)
        .await
        .unwrap();
    assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
    assert!(route(&link, "T").await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_value_configuration() {
    let (address, _, _shutdown) = name_server().await;
    let link = Link::connect(&address).await.unwrap();
    let put = PutKvConfigHeader {
        namespace: "ns",
        key: "k",
        value: "v",
    };
    let put = Command::request(RequestCode::PUT_KV_CONFIG, 0).with_fields(&put);
    assert_eq!(
        link.call(put, TIMEOUT).await.unwrap().response_code(),
        ResponseCode::SUCCESS
    );
    let key = |code| {
        Command::request(code, 0).with_fields(&KvKeyHeader {
            namespace: "ns",
            key: "k",
        })
    };
    let answer = link.call(key(RequestCode::GET_KV_CONFIG), TIMEOUT).await.unwrap();
    assert_eq!(answer.field("value"), Some("v"));
    let list = Command::request(RequestCode::GET_KVLIST_BY_NAMESPACE, 0)
        .with_fields(&KvNamespaceHeader { namespace: "ns" });
    let answer = link.call(list.clone(), TIMEOUT).await.unwrap();
    assert_eq!(KvTable::decode(&answer.body).unwrap().table["k"], "v");
    link.call(key(RequestCode::DELETE_KV_CONFIG), TIMEOUT)
        .await
        .unwrap();
    let answer = link.call(list, TIMEOUT).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::QUERY_NOT_FOUND);

    let get = Command::request(RequestCode::GET_NAMESRV_CONFIG, 0);
    let set = |text: &str| Command::request(RequestCode::UPDATE_NAMESRV_CONFIG, 0).with_body(text.to_owned());
    let refused = link.call(set("kvConfigPath=/tmp/x\n"), TIMEOUT).await.unwrap();
    assert_eq!(refused.response_code(), ResponseCode::NO_PERMISSION);
    link.call(set("# a comment\norderMessageEnable = true\n"), TIMEOUT)
        .await
        .unwrap();
    let text = link.call(get, TIMEOUT).await.unwrap();
    assert!(String::from_utf8_lossy(&text.body).contains("orderMessageEnable=true\n"));
}
