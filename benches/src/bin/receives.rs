//! What idle gRPC consumers cost: so many clients, each with a connection, a Telemetry stream and a receive that waits.
//!
//! `cargo build --release -p kourou && cargo run --release -p kourou-benches --bin receives -- target/release/kourou [CONSUMERS]`
//!
//! Starts the broker on an empty folder, lets the consumers in, waits until the memory of the beginning has been given back, and looks at
//! what the process has then, altogether and for each consumer, and at its processor time over eight seconds: receives wait for twenty.
//! In the end it sees to it that all of them still wait.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use http::{Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kourou_benches::served::{Outcome, Served};
use kourou_grpc::wire::v2::{
    ClientType, MessageQueue, ReceiveMessageRequest, Resource, Settings, Subscription, SubscriptionEntry,
    TelemetryCommand, settings::PubSub, telemetry_command::Command,
};
use prost::Message;
use rustix::process::{Resource as Limit, getrlimit, setrlimit};
use tokio::task::JoinSet;

const CONSUMERS: usize = 1_000;
const GROUPS: usize = 10;
/// The bar.
const RESIDENT_BYTES_MAX: u64 = 100 << 20;
/// Until memory of the beginning has been given back.
const SETTLE: Duration = Duration::from_secs(5);
const WATCH: Duration = Duration::from_secs(8);

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let binary = arguments
        .next()
        .ok_or("say where the kourou binary is, e.g. target/release/kourou")?;
    let consumers = arguments.next().map_or(Ok(CONSUMERS), |count| count.parse())?;
    let mut limit = getrlimit(Limit::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Limit::Nofile, limit) {
        eprintln!("the limit of open files stays as it is: {error}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(Path::new(&binary), consumers))
}

async fn measure(binary: &Path, consumers: usize) -> Outcome<()> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let broker = Served::start_with_grpc(binary, &std::env::temp_dir(), port)?;
    broker.create_topic("idle", 16)?;
    tokio::time::sleep(SETTLE).await;
    let before = broker.resident_bytes()?;
    let mut waiting = Vec::with_capacity(consumers);
    for at in 0..consumers {
        waiting.push(Consumer::enter(SocketAddr::from(([127, 0, 0, 1], port)), at).await?);
    }
    // All at once, as the first must still wait when the last does.
    let mut beginning = JoinSet::new();
    for (at, mut consumer) in waiting.drain(..).enumerate() {
        beginning.spawn(async move { consumer.receive(at).await.map(|()| consumer) });
    }
    while let Some(begun) = beginning.join_next().await {
        waiting.push(begun??);
    }
    tokio::time::sleep(SETTLE).await;
    let (ticks, begin) = (broker.cpu_ticks()?, Instant::now());
    tokio::time::sleep(WATCH).await;
    let share = (broker.cpu_ticks()? - ticks) as f64
        / rustix::param::clock_ticks_per_second() as f64
        / begin.elapsed().as_secs_f64();
    let after = broker.resident_bytes()?;
    for (at, consumer) in waiting.iter_mut().enumerate() {
        if !consumer.waits() {
            return Err(format!("consumer {at} does not wait any more").into());
        }
    }
    println!(
        "{consumers} consumers: {:.1} MiB resident, {:.1} MiB before, {} bytes each, {:.2}% of a core",
        after as f64 / f64::from(1 << 20),
        before as f64 / f64::from(1 << 20),
        after.saturating_sub(before) / consumers.max(1) as u64,
        share * 100.0
    );
    if after > RESIDENT_BYTES_MAX {
        return Err(format!("more than {RESIDENT_BYTES_MAX} bytes").into());
    }
    Ok(())
}

/// A consumer that waits.
struct Consumer {
    received: Option<Response<Incoming>>,
    _telemetry: Response<Incoming>,
    sender: SendRequest<Said>,
    address: SocketAddr,
}

fn named(name: &str) -> Option<Resource> {
    Some(Resource {
        resource_namespace: String::new(),
        name: name.to_owned(),
    })
}

fn group(at: usize) -> Option<Resource> {
    named(&format!("idlers{}", at % GROUPS))
}

async fn call(
    sender: &mut SendRequest<Said>,
    address: SocketAddr,
    at: usize,
    method: &str,
    said: Said,
) -> Outcome<Response<Incoming>> {
    let request = Request::post(format!(
        "http://{address}/apache.rocketmq.v2.MessagingService/{method}"
    ))
    .header("content-type", "application/grpc")
    .header("te", "trailers")
    .header("x-mq-client-id", format!("idler@{at}"))
    .header("x-mq-language", "JAVA")
    .body(said)?;
    Ok(sender.send_request(request).await?)
}

impl Consumer {
    async fn enter(address: SocketAddr, at: usize) -> Outcome<Self> {
        let stream = tokio::net::TcpStream::connect(address).await?;
        let (mut sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let settings = Settings {
            client_type: Some(ClientType::PushConsumer.into()),
            pub_sub: Some(PubSub::Subscription(Subscription {
                group: group(at),
                subscriptions: vec![SubscriptionEntry {
                    topic: named("idle"),
                    expression: None,
                }],
                ..Subscription::default()
            })),
            ..Settings::default()
        };
        let telemetry = TelemetryCommand {
            status: None,
            command: Some(Command::Settings(settings)),
        };
        let telemetry = call(&mut sender, address, at, "Telemetry", Said::and_more(&telemetry)).await?;
        Ok(Self {
            received: None,
            _telemetry: telemetry,
            sender,
            address,
        })
    }

    async fn receive(&mut self, at: usize) -> Outcome<()> {
        let receive = ReceiveMessageRequest {
            group: group(at),
            message_queue: Some(MessageQueue {
                topic: named("idle"),
                id: -1,
                ..MessageQueue::default()
            }),
            batch_size: 32,
            auto_renew: true,
            ..ReceiveMessageRequest::default()
        };
        let said = Said::only(&receive);
        self.received = Some(call(&mut self.sender, self.address, at, "ReceiveMessage", said).await?);
        Ok(())
    }

    fn waits(&mut self) -> bool {
        let mut context = Context::from_waker(std::task::Waker::noop());
        self.received.as_mut().is_some_and(|received| {
            Pin::new(received.body_mut())
                .poll_frame(&mut context)
                .is_pending()
        })
    }
}

/// One message of a request, and perhaps an open end.
struct Said {
    frame: Option<Bytes>,
    is_open: bool,
}

impl Said {
    fn only(message: &impl Message) -> Self {
        let mut frame = BytesMut::with_capacity(message.encoded_len() + 5);
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.encoded_len()).unwrap_or(u32::MAX));
        frame.extend_from_slice(&message.encode_to_vec());
        Self {
            frame: Some(frame.freeze()),
            is_open: false,
        }
    }

    fn and_more(message: &impl Message) -> Self {
        Self {
            is_open: true,
            ..Self::only(message)
        }
    }
}

impl Body for Said {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.frame.take() {
            Some(frame) => Poll::Ready(Some(Ok(Frame::data(frame)))),
            None if self.is_open => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}
