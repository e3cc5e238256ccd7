//! What waits in an outbox.

use bytes::Bytes;
use kourou_proto::Command;

use crate::broker_port::Sent;

/// An answer, or a command of our own, in the form that was cheapest to make where it was made.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A command with its body.
    Command(Command),
    /// A command whose body is a list of stored records.
    Records {
        /// The command; its own body is empty.
        head: Command,
        /// The body, in order.
        slices: Vec<Bytes>,
        /// Length of all slices.
        size_bytes: usize,
    },
    /// The outcome of a send, as the engine's thread left it.
    Sent(Box<Sent>),
}

/// What an answer without a body is taken to weigh.
const HEAD_SIZE_BYTES: usize = 256;

impl Outgoing {
    pub(crate) fn records(head: Command, slices: Vec<Bytes>) -> Self {
        let size_bytes = slices.iter().map(Bytes::len).sum();
        Self::Records {
            head,
            slices,
            size_bytes,
        }
    }

    pub(crate) fn size_bytes(&self) -> usize {
        HEAD_SIZE_BYTES
            + match self {
                Self::Command(command) => command.body.len(),
                Self::Records { size_bytes, .. } => *size_bytes,
                Self::Sent(_) => 0,
            }
    }
}
