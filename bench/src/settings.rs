//! What a run is told.

use std::time::Duration;

use kourou_proto::HeaderCodec;

use crate::error::BenchError;
use crate::trailer::TRAILER_BYTES;

const CONNECTIONS_MAX: usize = 1024;
const IN_FLIGHT_MAX: usize = 1 << 20;
const BATCH_MAX: usize = 4096;
const QUEUES_MAX: u32 = 1024;
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
const PULL_MAX: usize = 1 << 16;
const PASSES_MAX: usize = 1 << 20;
const THREADS_MAX: usize = 64;

/// Whom a run talks to, and how.
#[derive(Debug, Clone)]
pub struct Target {
    /// The broker's address: `host:port`.
    pub broker: String,
    /// The topic; without one, a new one of the run's own.
    pub topic: Option<String>,
    /// Queues of a topic that the run makes.
    pub queues: u32,
    /// Connections to the broker.
    pub connections: usize,
    /// Threads that serve them.
    pub threads: usize,
    /// How headers are written.
    pub codec: HeaderCodec,
    /// Processes whose use is reported.
    pub pids: Vec<u32>,
}

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub struct Payload {
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Messages of a request.
    pub batch: usize,
}

/// When a run ends.
#[derive(Debug, Clone, Copy)]
pub enum Length {
    /// After this time, the warm-up not counted.
    Time(Duration),
    /// After this many messages, the warm-up's included.
    Messages(u64),
}

/// A run with a fixed number of requests in flight.
#[derive(Debug, Clone)]
pub struct SendSettings {
    /// Where to.
    pub target: Target,
    /// What.
    pub payload: Payload,
    /// Where to send by gRPC, `host:port`. The topic is made, and what was sent is read back, at the target's broker.
    pub grpc: Option<String>,
    /// Requests in flight, over all connections.
    pub in_flight: usize,
    /// Whether each message is sent as half of a transaction, and committed once it is acknowledged.
    pub transactional: bool,
    /// When it ends.
    pub length: Length,
    /// What is sent in this time is not measured.
    pub warmup: Duration,
    /// Whether what was acknowledged is read back.
    pub audit: bool,
    /// Whether latency is told by time.
    pub timeline: bool,
}

/// A run at a fixed rate.
#[derive(Debug, Clone)]
pub struct LatencySettings {
    /// Where to.
    pub target: Target,
    /// What.
    pub payload: Payload,
    /// Messages a second.
    pub rate: f64,
    /// How long, the warm-up not counted.
    pub duration: Duration,
    /// What is sent in this time is not measured.
    pub warmup: Duration,
    /// Whether the topic is consumed meanwhile, and the time to the consumer told.
    pub end_to_end: bool,
    /// Whether what was acknowledged is read back.
    pub audit: bool,
    /// Whether latency is told by time.
    pub timeline: bool,
}

/// A run that reads a topic.
#[derive(Debug, Clone)]
pub struct PullSettings {
    /// What is read, and where.
    pub target: Target,
    /// What a topic is filled with.
    pub payload: Payload,
    /// Messages to send first.
    pub fill: Option<u64>,
    /// Messages of a pull at most.
    pub batch: u32,
    /// Pulls in flight, over all connections: at least one for each queue.
    pub in_flight: usize,
    /// How often everything is read.
    pub passes: u32,
    /// Whether checksums are computed, and a filled topic is read back before it is read.
    pub audit: bool,
}

fn check(what: &str, value: usize, max: usize) -> Result<(), BenchError> {
    if (1..=max).contains(&value) {
        return Ok(());
    }
    Err(BenchError::Settings(format!(
        "{what}: expected 1 to {max}, got {value}"
    )))
}

impl Target {
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        check("connections", self.connections, CONNECTIONS_MAX)?;
        check("threads", self.threads, THREADS_MAX)?;
        check("queues", self.queues as usize, QUEUES_MAX as usize)
    }
}

impl Payload {
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        check("messages a batch", self.batch, BATCH_MAX)?;
        if self.body_bytes < TRAILER_BYTES {
            return Err(BenchError::Settings(format!(
                "a body has at least {TRAILER_BYTES} bytes: they say who it is"
            )));
        }
        check("bytes of a body", self.body_bytes, BODY_BYTES_MAX)
    }
}

impl SendSettings {
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        self.target.check()?;
        self.payload.check()?;
        if self.transactional && self.payload.batch > 1 {
            return Err(BenchError::Settings(
                "a batch cannot be sent in a transaction".to_owned(),
            ));
        }
        if self.grpc.is_some() && (self.transactional || self.payload.batch > 1) {
            return Err(BenchError::Settings(
                "by gRPC single messages are sent, neither batches nor in transactions".to_owned(),
            ));
        }
        check("requests in flight", self.in_flight, IN_FLIGHT_MAX)
    }
}

impl LatencySettings {
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        self.target.check()?;
        self.payload.check()?;
        if self.rate.is_finite() && self.rate > 0.0 {
            return Ok(());
        }
        Err(BenchError::Settings(format!(
            "rate: expected messages a second, got {}",
            self.rate
        )))
    }
}

impl PullSettings {
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        self.target.check()?;
        self.payload.check()?;
        check("messages of a pull", self.batch as usize, PULL_MAX)?;
        check("pulls in flight", self.in_flight, IN_FLIGHT_MAX)?;
        check("passes", self.passes as usize, PASSES_MAX)
    }
}
