//! Why a call has no answer.

use std::io;
use std::time::Duration;

use thiserror::Error;

/// Why a call has no answer. An answer with an error code is an answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The connection cannot be made.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Where to.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The connection ended before the answer came. The request may have been done.
    #[error("the connection to {address} was lost")]
    Lost {
        /// Where to.
        address: String,
    },
    /// No answer in time. The request may have been done.
    #[error("no answer from {address} within {} ms", timeout.as_millis())]
    Timeout {
        /// Where to.
        address: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// The peer takes requests more slowly than they are made; this one was not sent.
    #[error("too much is on its way to {address}")]
    Congested {
        /// Where to.
        address: String,
    },
}
