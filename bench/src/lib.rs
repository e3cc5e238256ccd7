//! Load for RocketMQ brokers, kourou's and Apache's: how fast they answer, how late, at what cost, and whether what
//! they acknowledged is there.
//!
//! | run | what it does |
//! |---|---|
//! | [`send`] | a closed loop: a fixed number of requests in flight, as fast as the broker answers |
//! | [`latency`] | an open loop: requests at fixed times, each measured from the time it was due |
//! | [`pull`] | reads a topic as fast as the broker answers |
//! | [`sink::serve`] | a broker that keeps nothing, as the floor and the ceiling of the others |
//!
//! The load shares the machine with the broker, so it is to cost little: one thread serves all connections, requests
//! are copies of a template in which only the message's own digits are written, answers are searched for their number
//! and not decoded, and everything for a connection goes out in one write.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod admin;
mod answer;
mod audit;
mod clock;
mod closed;
mod commit;
mod connection;
mod consumer;
mod crew;
mod drive;
mod error;
mod findings;
mod grpc;
mod latencies;
mod latency;
mod ledger;
mod open;
mod process;
mod pull;
mod read;
mod records;
mod report;
mod send;
mod settings;
pub mod sink;
mod stage;
mod template;
mod timeline;
mod trailer;
mod watch;

pub use error::BenchError;
pub use kourou_proto::HeaderCodec;
pub use latencies::LatencySummary;
pub use latency::latency;
pub use process::ProcessReport;
pub use pull::{PullAudit, PullReport, pull};
pub use report::{Audit, AuditReport, LoadReport, RefusalReport};
pub use send::send;
pub use settings::{LatencySettings, Length, Payload, PullSettings, SendSettings, Target};
pub use timeline::TimelineStep;
pub use watch::{OnProgress, Phase, Progress};
