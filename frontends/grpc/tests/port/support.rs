//! A served broker, and a client made of the generated one.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kourou_broker::group::GroupConfig;
use kourou_broker::topic::TopicConfig;
use kourou_broker::{Broker, BrokerOptions};
use kourou_engine::Options as EngineOptions;
use kourou_engine::clock::SystemClock;
use kourou_engine::disk::sim::SimDisk;
use kourou_grpc::wire::v2::messaging_service_client::MessagingServiceClient;
use kourou_grpc::wire::v2::{
    Message, Publishing, Resource, Settings, Status, SystemProperties, TelemetryCommand, settings::PubSub,
    telemetry_command::Command,
};
use kourou_grpc::{Limits, Options};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::tokio_stream::Stream;

pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// A broker and its port. Stops when dropped.
pub(crate) struct Node {
    pub(crate) broker: Arc<Broker>,
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// The generated client.
pub(crate) type Client = MessagingServiceClient<Wire>;

pub(crate) async fn node() -> Node {
    node_with(Limits::default(), |_| {}).await
}

pub(crate) async fn node_with(limits: Limits, change: impl FnOnce(&mut BrokerOptions)) -> Node {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut engine = EngineOptions::new("/store");
    engine.segment_size_bytes = 16 << 20;
    engine.ahead_size_bytes = 1 << 20;
    let mut options = BrokerOptions::new(address);
    options.transaction_timeout_ms = 0;
    change(&mut options);
    let broker = Broker::open(options, engine, Arc::new(SimDisk::new()), Arc::new(SystemClock)).unwrap();
    let shutdown = CancellationToken::new();
    let options = Options {
        limits,
        threads: vec![tokio::runtime::Handle::current()],
        ..Options::default()
    };
    tokio::spawn(kourou_grpc::serve(
        listener,
        broker.clone(),
        options,
        shutdown.clone(),
    ));
    Node {
        broker,
        address,
        shutdown,
    }
}

impl Node {
    /// Makes a topic with a message type.
    pub(crate) async fn topic(&self, name: &str, queues: u32, message_type: &str) {
        let mut config = TopicConfig::new(name, queues);
        config
            .attributes
            .insert("message.type".to_owned(), message_type.to_owned());
        let (told, made) = tokio::sync::oneshot::channel();
        self.broker
            .put_topic(config, move |stored| told.send(stored).unwrap());
        made.await.unwrap().unwrap();
    }

    pub(crate) async fn group(&self, group: GroupConfig) {
        let (told, made) = tokio::sync::oneshot::channel();
        self.broker
            .put_group(&group, move |stored| told.send(stored.is_ok()).unwrap());
        assert!(made.await.unwrap());
    }

    pub(crate) async fn client(&self, client_id: &'static str) -> Client {
        MessagingServiceClient::new(self.wire(client_id).await)
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX)
    }

    pub(crate) async fn wire(&self, client_id: &'static str) -> Wire {
        self.wire_of(client_id, &http2::Builder::new(TokioExecutor::new()))
            .await
    }

    /// A connection on which little may be on its way of an answer that is not taken.
    pub(crate) async fn slow_wire(&self, client_id: &'static str) -> Wire {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(4_096);
        self.wire_of(client_id, &builder).await
    }

    async fn wire_of(&self, client_id: &'static str, builder: &http2::Builder<TokioExecutor>) -> Wire {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Wire {
            sender,
            address: self.address,
            client_id,
        }
    }
}

/// A connection that puts the headers of a client on every request.
#[derive(Clone)]
pub(crate) struct Wire {
    sender: SendRequest<Body>,
    address: SocketAddr,
    client_id: &'static str,
}

impl Service<Request<Body>> for Wire {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let uri = format!("http://{}{}", self.address, request.uri().path());
        *request.uri_mut() = uri.parse().unwrap();
        let headers = request.headers_mut();
        if !self.client_id.is_empty() {
            headers.insert("x-mq-client-id", self.client_id.parse().unwrap());
        }
        headers.insert("x-mq-language", "JAVA".parse().unwrap());
        Box::pin(self.sender.send_request(request))
    }
}

/// What a client says by Telemetry.
pub(crate) struct Said(mpsc::Receiver<TelemetryCommand>);

impl Stream for Said {
    type Item = TelemetryCommand;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<TelemetryCommand>> {
        self.0.poll_recv(context)
    }
}

/// A Telemetry stream.
pub(crate) struct Telemetry {
    pub(crate) say: mpsc::Sender<TelemetryCommand>,
    pub(crate) heard: Streaming<TelemetryCommand>,
}

impl Telemetry {
    pub(crate) async fn open(client: &mut Client) -> Self {
        let (say, said) = mpsc::channel(8);
        let heard = client.telemetry(Said(said)).await.unwrap().into_inner();
        Self { say, heard }
    }

    pub(crate) async fn settle(&mut self, settings: Settings) -> Result<Settings, tonic::Status> {
        let command = TelemetryCommand {
            status: None,
            command: Some(Command::Settings(settings)),
        };
        self.say.send(command).await.unwrap();
        match self.hear().await?.command {
            Some(Command::Settings(settings)) => Ok(settings),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn hear(&mut self) -> Result<TelemetryCommand, tonic::Status> {
        let heard = tokio::time::timeout(TIMEOUT, self.heard.message()).await.unwrap();
        heard.map(|command| command.unwrap())
    }
}

pub(crate) fn named(name: &str) -> Option<Resource> {
    Some(Resource {
        resource_namespace: String::new(),
        name: name.to_owned(),
    })
}

pub(crate) fn publishing(topics: &[&str]) -> Settings {
    Settings {
        pub_sub: Some(PubSub::Publishing(Publishing {
            topics: topics.iter().filter_map(|topic| named(topic)).collect(),
            ..Publishing::default()
        })),
        ..Settings::default()
    }
}

pub(crate) fn message(topic: &str, id: &str, body: &str) -> Message {
    Message {
        topic: named(topic),
        system_properties: Some(SystemProperties {
            message_id: id.to_owned(),
            ..SystemProperties::default()
        }),
        body: body.to_owned().into(),
        ..Message::default()
    }
}

pub(crate) fn code(status: &Option<Status>) -> kourou_grpc::wire::v2::Code {
    status.as_ref().unwrap().code()
}
