//! Checks of the gRPC service: any bytes to any method, against a broker with a message, a group and a consumer, and a lite topic with
//! its group.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request};
use http_body::Body as _;
use kourou_broker::group::GroupConfig;
use kourou_broker::topic::TopicConfig;
use kourou_broker::{Broker, BrokerOptions};
use kourou_engine::Options;
use kourou_engine::clock::SystemClock;
use kourou_engine::disk::sim::SimDisk;
use kourou_grpc::{Endpoint, Limits};
use tokio::runtime::{Builder, Runtime};

/// The methods, in the order of their numbers in an input.
pub const METHODS: [&str; 18] = [
    "apache.rocketmq.v2.MessagingService/QueryRoute",
    "apache.rocketmq.v2.MessagingService/Heartbeat",
    "apache.rocketmq.v2.MessagingService/SendMessage",
    "apache.rocketmq.v2.MessagingService/QueryAssignment",
    "apache.rocketmq.v2.MessagingService/ReceiveMessage",
    "apache.rocketmq.v2.MessagingService/AckMessage",
    "apache.rocketmq.v2.MessagingService/ForwardMessageToDeadLetterQueue",
    "apache.rocketmq.v2.MessagingService/PullMessage",
    "apache.rocketmq.v2.MessagingService/UpdateOffset",
    "apache.rocketmq.v2.MessagingService/GetOffset",
    "apache.rocketmq.v2.MessagingService/QueryOffset",
    "apache.rocketmq.v2.MessagingService/EndTransaction",
    "apache.rocketmq.v2.MessagingService/Telemetry",
    "apache.rocketmq.v2.MessagingService/NotifyClientTermination",
    "apache.rocketmq.v2.MessagingService/ChangeInvisibleDuration",
    "apache.rocketmq.v2.MessagingService/RecallMessage",
    "apache.rocketmq.v2.MessagingService/SyncLiteSubscription",
    "grpc.health.v1.Health/Check",
];

/// After so many calls a broker is replaced: what inputs have sent takes memory.
const CALLS_MAX: u32 = 2_000;
/// For how long an answer is read: a receive may wait for messages for as long as its caller likes.
const PATIENCE: Duration = Duration::from_millis(2);
const ANSWER_SIZE_BYTES_MAX: usize = 64 << 20;

struct Rig {
    runtime: Runtime,
    endpoint: Endpoint,
    calls: u32,
}

thread_local! {
    static RIG: RefCell<Option<Rig>> = const { RefCell::new(None) };
}

/// The first byte is the method, in the second's lowest bit whether the client has told its settings; the rest is the request.
pub fn grpc(data: &[u8]) {
    let Some(([method, settled], message)) = data.split_first_chunk() else {
        return;
    };
    let method = METHODS[usize::from(*method) % METHODS.len()];
    RIG.with_borrow_mut(|rig| {
        if rig.as_ref().is_none_or(|rig| rig.calls >= CALLS_MAX) {
            *rig = None;
            *rig = Some(Rig::new());
        }
        if let Some(rig) = rig {
            rig.calls += 1;
            let client = if settled & 1 == 0 { "known" } else { "stranger" };
            rig.runtime.block_on(call(&rig.endpoint, method, client, message));
        }
    });
}

impl Rig {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 10911));
        let mut engine = Options::new("/store");
        engine.segment_size_bytes = 16 << 20;
        engine.ahead_size_bytes = 1 << 20;
        let disk = Arc::new(SimDisk::new());
        let broker = Broker::open(BrokerOptions::new(address), engine, disk, Arc::new(SystemClock)).unwrap();
        let (told, made) = std::sync::mpsc::channel();
        for (name, message_type) in [("t", "MIXED"), ("l", "LITE")] {
            let mut topic = TopicConfig::new(name, 2);
            let takes = ("message.type".to_owned(), message_type.to_owned());
            topic.attributes.extend([takes]);
            let told = told.clone();
            broker.put_topic(topic, move |stored| {
                told.send(stored.map_err(|error| error.to_string())).unwrap();
            });
            made.recv().unwrap().unwrap();
        }
        let mut group = GroupConfig::new("lg");
        let bound = ("lite.bind.topic".to_owned(), "l".to_owned());
        group.attributes.extend([bound]);
        broker.put_group(&group, move |stored| {
            told.send(stored.map_err(|error| error.to_string())).unwrap();
        });
        made.recv().unwrap().unwrap();
        let rig = Self {
            endpoint: {
                let _inside = runtime.enter();
                Endpoint::new(broker, Limits::default(), address)
            },
            runtime,
            calls: 0,
        };
        // A producer and a consumer with settings, a message in the topic `t`.
        for seed in [SETTLE, SEND, BEGIN, BEGIN_NEXT, SUBSCRIBE, SEND_LITE] {
            let method = METHODS[usize::from(seed[0])];
            rig.runtime
                .block_on(call(&rig.endpoint, method, "known", &seed[2..]));
        }
        rig
    }
}

/// `Telemetry` with the settings of a push consumer of the group `g` of the topic `t`.
const SETTLE: &[u8] =
    b"\x0c\0\x12\x14\x08\x02\x32\x10\x0a\x03\x12\x01g\x12\x09\x0a\x03\x12\x01t\x12\x02\x08\x01";
/// `SendMessage` of `hello` to the topic `t`.
const SEND: &[u8] = b"\x02\0\x0a\x17\x0a\x03\x12\x01t\x1a\x09\x1a\x03m-1\x28\x01\x30\x01\x22\x05hello";
/// `UpdateOffset` of the group `g` to the beginning of the first queue of the topic `t`.
const BEGIN: &[u8] = b"\x08\0\x0a\x03\x12\x01g\x12\x11\x0a\x03\x12\x01t\x10\x00\x22\x08\x0a\x06kourou";
/// The same for the second one.
const BEGIN_NEXT: &[u8] = b"\x08\0\x0a\x03\x12\x01g\x12\x11\x0a\x03\x12\x01t\x10\x01\x22\x08\x0a\x06kourou";

/// `SyncLiteSubscription` of the group `lg` to `a` of the topic `l`.
const SUBSCRIBE: &[u8] = b"\x10\0\x12\x03\x12\x01l\x1a\x04\x12\x02lg\x22\x01a";
/// `SendMessage` of `hello` to `a` of the topic `l`.
const SEND_LITE: &[u8] =
    b"\x02\0\x0a\x1b\x0a\x03\x12\x01l\x1a\x0d\x1a\x03m-2\x28\x01\x30\x01\xaa\x01\x01a\x22\x05hello";

async fn call(endpoint: &Endpoint, method: &str, client: &str, message: &[u8]) {
    let mut body = BytesMut::with_capacity(message.len() + 5);
    body.put_u8(0);
    body.put_u32(u32::try_from(message.len()).unwrap());
    body.put_slice(message);
    let request = Request::post(format!("http://broker/{method}"))
        .header("content-type", "application/grpc")
        .header("grpc-timeout", "5S")
        .header("x-mq-client-id", client)
        .header("x-mq-language", "JAVA")
        .body(body.freeze())
        .unwrap();
    let answering = async {
        let response = endpoint.call(request).await;
        assert_eq!(response.status(), 200);
        let (head, body) = response.into_parts();
        let mut body = pin!(body);
        let (mut size_bytes, mut trailers) = (0, None);
        while let Some(frame) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await {
            let frame = frame.unwrap();
            size_bytes += frame.data_ref().map_or(0, Bytes::len);
            assert!(size_bytes < ANSWER_SIZE_BYTES_MAX);
            trailers = frame.into_trailers().ok().or(trailers);
        }
        assert!(has_status(&head.headers) || trailers.is_some_and(|trailers| has_status(&trailers)));
    };
    // What takes longer waits for something, rightly.
    let _ = tokio::time::timeout(PATIENCE, answering).await;
}

fn has_status(headers: &HeaderMap) -> bool {
    headers.contains_key("grpc-status")
}
