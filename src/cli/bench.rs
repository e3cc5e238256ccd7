//! `kourou bench`: what there is to type.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

/// Measure a broker, kourou's or Apache's: rates, latencies, what they cost, and whether everything is there
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// How fast: a fixed number of sends in flight, each answer making room for the next
    Send(BenchSend),
    /// How late: sends at a fixed rate, each measured from the time it was due
    Latency(BenchLatency),
    /// How fast a topic is read
    Pull(BenchPull),
    /// Answer sends at once and keep nothing: what the other runs measure at best
    Sink(BenchSink),
}

/// Whom a run talks to.
#[derive(Debug, Clone, Args)]
pub(crate) struct BenchTarget {
    /// The broker
    #[arg(long, short, value_name = "HOST:PORT", default_value = "127.0.0.1:10911")]
    pub(crate) broker: String,
    /// The topic; without it, a new one
    #[arg(long, value_name = "TOPIC")]
    pub(crate) topic: Option<String>,
    /// Queues of a topic that is made
    #[arg(long, default_value_t = 8)]
    pub(crate) queues: u32,
    /// Connections to the broker
    #[arg(long, short, default_value_t = 4)]
    pub(crate) connections: usize,
    /// Threads that serve the connections
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
    /// How headers are written
    #[arg(long, value_enum, default_value = "json")]
    pub(crate) codec: Codec,
    /// A process, such as the broker, whose processor time and memory are told; may be repeated
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Vec<u32>,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// How headers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Codec {
    /// As text, the usual way
    Json,
    /// In RocketMQ's binary form
    Binary,
}

/// What is sent.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct BenchPayload {
    /// Bytes of a message's body
    #[arg(long, default_value_t = 1024, value_name = "BYTES")]
    pub(crate) body: usize,
    /// Messages of a request
    #[arg(long, default_value_t = 1, value_name = "MESSAGES")]
    pub(crate) batch: usize,
    /// Do not read back what was acknowledged
    #[arg(long)]
    pub(crate) no_audit: bool,
    /// Tell latency by tenths of a second too
    #[arg(long)]
    pub(crate) timeline: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct BenchSend {
    /// Requests in flight, over all connections
    #[arg(long, short = 'f', default_value_t = 64)]
    pub(crate) in_flight: usize,
    /// Send in transactions: half messages, each committed once it is acknowledged
    #[arg(long, conflicts_with = "batch")]
    pub(crate) transactions: bool,
    /// Send by gRPC to this port; the topic is made, and what was sent is read back, at the broker
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, default_missing_value = "127.0.0.1:8081",
          conflicts_with_all = ["batch", "transactions"])]
    pub(crate) grpc: Option<String>,
    /// How long
    #[arg(long, short, default_value = "5", value_parser = seconds, conflicts_with = "count")]
    pub(crate) seconds: Duration,
    /// How many messages, instead of how long
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Seconds in the beginning that are not measured; by default 1, with --count 0
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) warmup: Option<Duration>,
    #[command(flatten)]
    pub(crate) payload: BenchPayload,
    #[command(flatten)]
    pub(crate) target: BenchTarget,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct BenchLatency {
    /// Messages a second
    #[arg(long, short, default_value_t = 1000.0)]
    pub(crate) rate: f64,
    /// How long
    #[arg(long, short, default_value = "10", value_parser = seconds)]
    pub(crate) seconds: Duration,
    /// Seconds in the beginning that are not measured
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) warmup: Duration,
    /// Consume the topic meanwhile, and tell the time to the consumer
    #[arg(long)]
    pub(crate) end_to_end: bool,
    #[command(flatten)]
    pub(crate) payload: BenchPayload,
    #[command(flatten)]
    pub(crate) target: BenchTarget,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct BenchPull {
    /// Send this many messages first
    #[arg(long, value_name = "MESSAGES", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) fill: Option<u64>,
    /// Bytes of the body of a message that is sent first
    #[arg(long, default_value_t = 1024, value_name = "BYTES")]
    pub(crate) body: usize,
    /// Messages of a pull at most
    #[arg(long, default_value_t = 32, value_name = "MESSAGES")]
    pub(crate) batch: u32,
    /// Pulls in flight, over all connections; at least one for each queue
    #[arg(long, short = 'f', default_value_t = 8)]
    pub(crate) in_flight: usize,
    /// How often everything is read
    #[arg(long, default_value_t = 1)]
    pub(crate) passes: u32,
    /// Do not compute checksums, and do not read back what was sent first
    #[arg(long)]
    pub(crate) no_audit: bool,
    #[command(flatten)]
    pub(crate) target: BenchTarget,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct BenchSink {
    /// Where to listen
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:10911")]
    pub(crate) listen: String,
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    text.parse()
        .ok()
        .and_then(|seconds: f64| Duration::try_from_secs_f64(seconds).ok())
        .ok_or("expected seconds")
}
