//! A broker on a simulated disk behind a real port, and requests as clients make them.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use kourou_broker::{Broker, BrokerOptions};
use kourou_engine::Options;
use kourou_engine::clock::SystemClock;
use kourou_engine::disk::sim::SimDisk;
use kourou_nameserver::NameServer;
use kourou_proto::body::{ConsumerData, HeartbeatData, SubscriptionData};
use kourou_proto::remoting::request::{PullMessageHeader, SendMessageHeader, SendNames};
use kourou_proto::remoting::response::{PullMessageResponse, SendMessageResponse};
use kourou_proto::{Command, HeaderFields, RequestCode, ResponseCode};
use kourou_remoting::client::{Client, Link};
use kourou_remoting::{
    BrokerEvents, IoThreads, Limits, Listener, NameServers, announce, keep_time, listen, serve_broker,
    serve_name_server,
};
use tokio_util::sync::CancellationToken;

pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// A broker and a name server that knows it, in this process. Stops when dropped.
pub(crate) struct Node {
    pub(crate) broker: Arc<Broker>,
    pub(crate) broker_address: String,
    pub(crate) names_address: String,
    pub(crate) shutdown: CancellationToken,
    _threads: Arc<IoThreads>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub(crate) async fn node() -> Node {
    node_with(Limits::default()).await
}

pub(crate) async fn node_with(limits: Limits) -> Node {
    node_with_both(limits, |_| ()).await
}

/// A node whose broker is opened otherwise.
pub(crate) async fn node_of(change: impl FnOnce(&mut BrokerOptions)) -> Node {
    node_with_both(Limits::default(), change).await
}

async fn node_with_both(limits: Limits, change: impl FnOnce(&mut BrokerOptions)) -> Node {
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let (broker_port, names_port) = (listen(any).unwrap(), listen(any).unwrap());
    let broker_address = broker_port.local_addr().unwrap();
    let names_address = names_port.local_addr().unwrap().to_string();

    let broker = broker_with(broker_address, change);
    let events = Arc::new(BrokerEvents::default());
    broker.set_listener(events.clone());
    let names = Arc::new(NameServer::default());
    let shutdown = CancellationToken::new();
    let to = NameServers {
        local: Some(names.clone()),
        remote: Vec::new(),
    };
    tokio::spawn(announce(broker.clone(), events.clone(), to, shutdown.clone()));
    tokio::spawn(keep_time(broker.clone(), events, shutdown.clone()));
    let threads = Arc::new(IoThreads::start(NonZeroUsize::MIN.saturating_add(1)).unwrap());
    tokio::spawn(serve_broker(
        Listener::from(broker_port).spread_over(&threads),
        broker.clone(),
        limits,
        shutdown.clone(),
    ));
    tokio::spawn(serve_name_server(
        vec![names_port.into()],
        names,
        Arc::new(SystemClock),
        limits,
        shutdown.clone(),
    ));
    Node {
        broker,
        broker_address: broker_address.to_string(),
        names_address,
        shutdown,
        _threads: threads,
    }
}

pub(crate) fn broker_at(address: SocketAddr) -> Arc<Broker> {
    broker_with(address, |_| ())
}

fn broker_with(address: SocketAddr, change: impl FnOnce(&mut BrokerOptions)) -> Arc<Broker> {
    let mut options = BrokerOptions::new(address);
    change(&mut options);
    let mut engine = Options::new("/store");
    engine.segment_size_bytes = 16 << 20;
    engine.ahead_size_bytes = 1 << 20;
    Broker::open(options, engine, Arc::new(SimDisk::new()), Arc::new(SystemClock)).unwrap()
}

impl Node {
    pub(crate) async fn link(&self) -> Link {
        Link::connect(&self.broker_address).await.unwrap()
    }

    pub(crate) async fn names(&self) -> Link {
        Link::connect(&self.names_address).await.unwrap()
    }

    /// A client whose pushes go to the receiver.
    pub(crate) fn listening_client(&self) -> (Client, std::sync::mpsc::Receiver<Command>) {
        let (sender, pushes) = std::sync::mpsc::channel();
        let client = Client::with_push(move |_, command| {
            let _ = sender.send(command);
        });
        (client, pushes)
    }
}

pub(crate) fn send(topic: &str, queue_id: i32, properties: &str, body: &[u8]) -> Command {
    let header = SendMessageHeader {
        names: SendNames::Short,
        producer_group: "pg",
        topic,
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        queue_id,
        sys_flag: 0,
        born_timestamp_ms: 1_700_000_000_000,
        flag: 0,
        properties,
        reconsume_times: 0,
        unit_mode: false,
        max_reconsume_times: None,
        batch: false,
        broker_name: None,
    };
    Command::request(RequestCode::SEND_MESSAGE_V2, 0)
        .with_fields(&header)
        .with_body(body.to_vec())
}

/// Sends one message and gives its offset.
pub(crate) async fn sent(link: &Link, topic: &str, queue_id: i32, properties: &str, body: &[u8]) -> i64 {
    let answer = link
        .call(send(topic, queue_id, properties, body), TIMEOUT)
        .await
        .unwrap();
    assert_eq!(
        answer.response_code(),
        ResponseCode::SUCCESS,
        "{}",
        answer.remark()
    );
    SendMessageResponse::decode(&answer).unwrap().queue_offset
}

pub(crate) const SUSPEND: i32 = 2;
pub(crate) const SUBSCRIPTION: i32 = 4;

/// A pull by a consumer that needs no heartbeat.
pub(crate) fn pull(topic: &str, queue_id: i32, offset: i64, subscription: &str, hold_ms: i64) -> Command {
    let header = PullMessageHeader {
        consumer_group: "cg",
        topic,
        queue_id,
        queue_offset: offset,
        max_msg_nums: 32,
        sys_flag: SUBSCRIPTION | if hold_ms > 0 { SUSPEND } else { 0 },
        commit_offset: 0,
        suspend_timeout_ms: hold_ms,
        subscription: Some(subscription),
        sub_version: 0,
        expression_type: None,
        max_msg_bytes: None,
        request_source: None,
        proxy_forward_client_id: None,
        broker_name: None,
    };
    Command::request(RequestCode::PULL_MESSAGE, 0).with_fields(&header)
}

pub(crate) fn place(answer: &Command) -> PullMessageResponse {
    PullMessageResponse::decode(answer).unwrap()
}

/// The bodies of a pull's records.
pub(crate) fn bodies(answer: &Command) -> Vec<Vec<u8>> {
    let mut rest = &answer.body[..];
    let mut bodies = Vec::new();
    while !rest.is_empty() {
        let record = kourou_engine::record::RecordView::parse(rest).unwrap();
        bodies.push(record.body().to_vec());
        rest = &rest[record.bytes().len()..];
    }
    bodies
}

pub(crate) fn heartbeat(client_id: &str, group: &str, topic: &str) -> Command {
    let subscription = SubscriptionData {
        topic: topic.to_owned(),
        sub_string: "*".to_owned(),
        sub_version: 1,
        ..SubscriptionData::default()
    };
    let consumer = ConsumerData {
        group_name: group.to_owned(),
        subscription_data_set: vec![subscription],
        ..ConsumerData::default()
    };
    let body = HeartbeatData {
        client_id: client_id.to_owned(),
        consumer_data_set: vec![consumer],
        ..HeartbeatData::default()
    };
    Command::request(RequestCode::HEART_BEAT, 0).with_body(body.encode())
}
