//! Why a run cannot be made, or was broken off.

use std::io;

use kourou_proto::{FrameError, HeaderError, ResponseCode};
use thiserror::Error;

/// Why there is no result. A run that was made but is bad (lost messages) has a result that says so.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The connection cannot be made.
    #[error(
        "cannot connect to {address}: {source}; is a broker running there? --broker HOST:PORT names another"
    )]
    Connect {
        /// Where to.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The connection to the port for gRPC cannot be made.
    #[error(
        "cannot connect to {address} by gRPC: {source}; --grpc HOST:PORT names another, and it has to take plain connections"
    )]
    ConnectGrpc {
        /// Where to.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A connection broke.
    #[error("connection {connection} to the broker failed: {source}")]
    Connection {
        /// Which connection, counted from 0.
        connection: usize,
        /// Why.
        source: io::Error,
    },
    /// The broker closed a connection.
    #[error("the broker closed connection {connection}")]
    Closed {
        /// Which connection, counted from 0.
        connection: usize,
    },
    /// What arrives is no frame.
    #[error("connection {connection}: {source}")]
    Frame {
        /// Which connection, counted from 0.
        connection: usize,
        /// What is wrong with it.
        source: FrameError,
    },
    /// A frame's header cannot be read.
    #[error("connection {connection}: {source}")]
    Header {
        /// Which connection, counted from 0.
        connection: usize,
        /// What is wrong with it.
        source: HeaderError,
    },
    /// An answer that belongs to no request, or that comes twice.
    #[error("connection {connection}: an answer to no request of ours, number {opaque}")]
    UnaskedAnswer {
        /// Which connection, counted from 0.
        connection: usize,
        /// The number in the answer.
        opaque: i32,
    },
    /// The broker refused what a run needs.
    #[error("the broker refused to {what}: {code}: {remark}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// The code of the answer.
        code: ResponseCode,
        /// The broker's words.
        remark: String,
    },
    /// The broker does not answer.
    #[error("no answer within {timeout_ms} ms to the request to {what}")]
    NoAnswer {
        /// What was asked.
        what: &'static str,
        /// How long was waited.
        timeout_ms: u64,
    },
    /// An answer without a field that it has to have.
    #[error("the answer to the request to {what} cannot be used: {problem}")]
    BadAnswer {
        /// What was asked.
        what: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The settings contradict each other or a limit.
    #[error("{0}")]
    Settings(String),
    /// The process to measure is not there.
    #[error("cannot read what process {pid} has used: {source}")]
    Process {
        /// The process.
        pid: u32,
        /// Why.
        source: io::Error,
    },
    /// The sink cannot listen.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The system refused what the loop needs.
    #[error("cannot wait for the connections: {0}")]
    Wait(io::Error),
    /// A histogram with bounds that cannot be.
    #[error("cannot make a histogram: {0}")]
    Histogram(hdrhistogram::CreationError),
    /// A thread of the run ended by a panic.
    #[error("a thread of the run panicked")]
    Panicked,
}
