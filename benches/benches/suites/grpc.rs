//! The gRPC service from the bytes of a request to the bytes of its answer, without a connection: what HTTP/2 costs comes on top. The
//! disk is memory. The limit is a copy of the message into the log and out of it again.

use std::hint::black_box;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use criterion::{Criterion, Throughput};
use http::Request;
use http_body::Body as _;
use kourou_benches::memory_disk::MemoryDisk;
use kourou_benches::suite;
use kourou_broker::topic::TopicConfig;
use kourou_broker::{Broker, BrokerOptions};
use kourou_engine::Options;
use kourou_engine::clock::SystemClock;
use kourou_grpc::wire::v2::receive_message_response::Content;
use kourou_grpc::wire::v2::{
    AckMessageEntry, AckMessageRequest, AckMessageResponse, Code, Message, MessageQueue,
    ReceiveMessageRequest, ReceiveMessageResponse, Resource, SendMessageRequest, SendMessageResponse,
    SystemProperties,
};
use kourou_grpc::{Endpoint, Limits};
use prost::Message as _;
use tokio::runtime::{Builder, Runtime};

const BODY: &[u8] = &[7; 1024];
const TOPIC: &str = "bench";
const GROUP: &str = "bench-group";
const PREFIX_BYTES: usize = 5;

struct Service {
    runtime: Runtime,
    endpoint: Endpoint,
    sent: u64,
}

impl Service {
    fn start() -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let address = SocketAddr::from(([127, 0, 0, 1], 10911));
        let options = Options::new("/store");
        let disk = Arc::new(MemoryDisk::default());
        let broker = Broker::open(BrokerOptions::new(address), options, disk, Arc::new(SystemClock))
            .expect("a broker");
        let (told, made) = std::sync::mpsc::channel();
        broker.put_topic(TopicConfig::new(TOPIC, 1), move |stored| {
            let _ = told.send(stored.is_ok());
        });
        assert_eq!(made.recv(), Ok(true), "a topic");
        let endpoint = {
            let _inside = runtime.enter();
            Endpoint::new(broker, Limits::default(), address)
        };
        Self {
            runtime,
            endpoint,
            sent: 0,
        }
    }

    /// Calls a method; the messages of its answer.
    fn call(&self, method: &str, message: &impl prost::Message) -> Vec<Bytes> {
        let mut body = BytesMut::with_capacity(PREFIX_BYTES + message.encoded_len());
        body.put_u8(0);
        body.put_u32(message.encoded_len() as u32);
        message.encode(&mut body).expect("room");
        let request = Request::post(format!(
            "http://broker/apache.rocketmq.v2.MessagingService/{method}"
        ))
        .header("content-type", "application/grpc")
        .header("grpc-timeout", "30S")
        .header("x-mq-client-id", "bench")
        .header("x-mq-language", "JAVA")
        .body(body.freeze())
        .expect("a request");
        let mut answer = BytesMut::new();
        self.runtime.block_on(async {
            let mut body = pin!(self.endpoint.call(request).await.into_body());
            while let Some(frame) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await {
                if let Ok(data) = frame.expect("a frame").into_data() {
                    answer.extend_from_slice(&data);
                }
            }
        });
        let (mut rest, mut messages) = (answer.freeze(), Vec::new());
        while rest.len() >= PREFIX_BYTES {
            let prefix = rest.split_to(PREFIX_BYTES);
            let size = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
            messages.push(rest.split_to(size as usize));
        }
        messages
    }

    fn send(&mut self) {
        self.sent += 1;
        let request = SendMessageRequest {
            messages: vec![Message {
                topic: named(TOPIC),
                system_properties: Some(SystemProperties {
                    message_id: format!("01{:032X}", self.sent),
                    ..SystemProperties::default()
                }),
                body: Bytes::from_static(BODY),
                ..Message::default()
            }],
        };
        let answers = self.call("SendMessage", &request);
        let answer = SendMessageResponse::decode(answers[0].clone()).expect("an answer");
        assert_eq!(answer.status.expect("a status").code(), Code::Ok);
    }

    /// One message that was sent, received and acknowledged.
    fn consume(&self) {
        let request = ReceiveMessageRequest {
            group: named(GROUP),
            message_queue: Some(MessageQueue {
                topic: named(TOPIC),
                ..MessageQueue::default()
            }),
            batch_size: 1,
            invisible_duration: Some(prost_types::Duration {
                seconds: 60,
                nanos: 0,
            }),
            ..ReceiveMessageRequest::default()
        };
        let received = self
            .call("ReceiveMessage", &request)
            .into_iter()
            .find_map(|message| {
                match ReceiveMessageResponse::decode(message)
                    .expect("an answer")
                    .content
                {
                    Some(Content::Message(message)) => Some(message),
                    _ => None,
                }
            });
        let received = received
            .expect("a message")
            .system_properties
            .expect("properties");
        let request = AckMessageRequest {
            group: named(GROUP),
            topic: named(TOPIC),
            entries: vec![AckMessageEntry {
                message_id: received.message_id,
                receipt_handle: received.receipt_handle.expect("a handle"),
                ..AckMessageEntry::default()
            }],
        };
        let answers = self.call("AckMessage", &request);
        let answer = AckMessageResponse::decode(answers[0].clone()).expect("an answer");
        assert_eq!(answer.status.expect("a status").code(), Code::Ok);
    }
}

fn named(name: &str) -> Option<Resource> {
    Some(Resource {
        resource_namespace: String::new(),
        name: name.to_owned(),
    })
}

pub(crate) fn grpc(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("grpc");
    group.throughput(Throughput::Elements(1));
    let mut service = Service::start();
    group.bench_function("send", |bencher| bencher.iter(|| service.send()));
    let mut service = Service::start();
    group.bench_function("send, receive, ack", |bencher| {
        bencher.iter(|| {
            service.send();
            service.consume();
        });
    });
    let mut copy = BytesMut::with_capacity(2 * BODY.len());
    group.bench_function(
        format!("{}copy of the message in and out", suite::LIMIT),
        |bencher| {
            bencher.iter(|| {
                copy.clear();
                copy.extend_from_slice(black_box(BODY));
                copy.extend_from_slice(black_box(BODY));
                black_box(&copy);
            });
        },
    );
    group.finish();
}
