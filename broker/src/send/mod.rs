//! Sending: from a request to a durable record and its receipt.
//!
//! ```text
//!  send ---> check ---> topic missing? create it, durable, and check again
//!              |
//!              v
//!            place (retry limit -> dead letters; half of a transaction; delay -> schedule or timer topic; queue)
//!              |
//!              v
//!            encode (properties changed on the way, once) ---> stored before? ---> engine append ---> receipt
//! ```

mod append;
pub(crate) mod batch;
mod check;
mod once;
mod patience;
mod recent;
mod sending;
mod traced;

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use kourou_engine::AppendError;
use kourou_engine::record::EncodeError;
use thiserror::Error;

pub use batch::BatchError;
pub use patience::DiskPatience;
pub(crate) use recent::RecentSends;
pub use sending::{SendDone, Sending};

use crate::code;
use crate::flow::FlowRefusal;
use crate::lite::LiteNameError;
use crate::name::NameError;
use crate::text::Text;
use crate::timer::DelayError;
use crate::topic::{TopicError, TypeMismatch};

/// One send, single or batch, as any frontend has it. Cheap to make: texts may be borrowed, the body shares the frame it came
/// in.
#[derive(Debug, Clone)]
pub struct SendRequest<'a> {
    /// The producer's group.
    pub producer_group: Cow<'a, str>,
    /// The topic.
    pub topic: Cow<'a, str>,
    /// The topic that a new one copies.
    pub default_topic: Cow<'a, str>,
    /// Queues that a new topic gets at the most.
    pub default_topic_queues: i32,
    /// The queue; below 0 the broker chooses one.
    pub queue_id: i32,
    /// Flags of the message: compressed or not, and how.
    pub sys_flag: i32,
    /// When the producer made the message.
    pub born_ms: i64,
    /// Who sends it.
    pub born_host: SocketAddr,
    /// The user's flag.
    pub flag: i32,
    /// The property string.
    pub properties: Cow<'a, [u8]>,
    /// How often the message has been consumed before, on a resend to a retry topic.
    pub reconsume_times: i32,
    /// Whether the producer works in a unit.
    pub unit_mode: bool,
    /// How often the consumer wants the message tried, on a resend to a retry topic.
    pub reconsume_times_max: Option<i32>,
    /// Whether the body is a batch of messages.
    pub is_batch: bool,
    /// The body, as it is to be delivered; or the batch.
    pub body: Bytes,
}

impl SendRequest<'_> {
    /// The same, to be kept.
    pub fn into_owned(self) -> SendRequest<'static> {
        SendRequest {
            producer_group: Cow::Owned(self.producer_group.into_owned()),
            topic: Cow::Owned(self.topic.into_owned()),
            default_topic: Cow::Owned(self.default_topic.into_owned()),
            properties: Cow::Owned(self.properties.into_owned()),
            ..self
        }
    }
}

/// What became of a send. The messages are durable and readable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendReceipt {
    /// Where it is stored: the broker's address.
    pub store_host: SocketAddr,
    /// Where it is stored: the position in the log, of a batch that of its first message.
    pub position: u64,
    /// Of a batch, the positions of all its messages; empty otherwise.
    pub batch_positions: Vec<u64>,
    /// The queue it is in.
    pub queue_id: u32,
    /// Its offset there, of a batch that of its first message.
    pub queue_offset: u64,
    /// The message's unique id; empty for a batch that has none.
    pub transaction_id: String,
    /// Whether a batch was stored as one record, under the id in `transaction_id`.
    pub is_inner_batch: bool,
    /// What the message can be recalled with while it waits for its time; empty if it does not wait for one.
    pub recall_handle: String,
    /// The broker's region.
    pub region: Arc<str>,
    /// Whether the client should trace.
    pub trace_on: bool,
}

impl SendReceipt {
    /// The offset message id: in hexadecimal, address and position; of a batch all of them, joined by commas.
    pub fn offset_msg_id(&self) -> String {
        let mut id = String::new();
        self.push_offset_msg_id(&mut id);
        id
    }

    /// Appends the offset message id to `out`.
    pub fn push_offset_msg_id(&self, out: &mut String) {
        if self.batch_positions.is_empty() {
            push_offset_msg_id(out, self.store_host, self.position);
        }
        for (at, position) in self.batch_positions.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            push_offset_msg_id(out, self.store_host, *position);
        }
    }
}

/// The offset message id of the record at `position`.
pub fn offset_msg_id(store_host: SocketAddr, position: u64) -> String {
    let mut id = String::new();
    push_offset_msg_id(&mut id, store_host, position);
    id
}

fn push_offset_msg_id(id: &mut String, store_host: SocketAddr, position: u64) {
    match store_host.ip() {
        IpAddr::V4(ip) => push_hex(id, &ip.octets()),
        IpAddr::V6(ip) => push_hex(id, &ip.octets()),
    }
    push_hex(id, &u32::from(store_host.port()).to_be_bytes());
    push_hex(id, &position.to_be_bytes());
}

/// Appends bytes as hexadecimal digits, upper case.
pub(crate) fn push_hex<const N: usize>(out: &mut String, bytes: &[u8; N]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let pairs = bytes.map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]]);
    // Digits are text.
    out.push_str(std::str::from_utf8(pairs.as_flattened()).unwrap_or_default());
}

/// Why a send was refused. Unless it says otherwise, nothing was stored.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The broker takes no ordered messages.
    #[error("the broker[{broker}] sending message is forbidden")]
    BrokerNotWritable {
        /// The broker.
        broker: SocketAddr,
    },
    /// The topic's name is not a topic's.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The topic is the system's own.
    #[error("Sending message to topic[{topic}] is forbidden.")]
    TopicForbidden {
        /// The topic.
        topic: Text,
    },
    /// There is no such topic and none could be made.
    #[error("topic[{topic}] not exist, apply first please!")]
    TopicNotExist {
        /// The topic.
        topic: Text,
    },
    /// The topic had to be created and that failed.
    #[error(transparent)]
    TopicNotCreated(#[from] TopicError),
    /// The topic has no such queue.
    #[error(
        "request queueId[{queue_id}] is illegal, topic[{topic}] has {queues} queues. Producer: {producer}"
    )]
    QueueNotExist {
        /// The topic.
        topic: Text,
        /// What was asked for.
        queue_id: i32,
        /// What there is.
        queues: u32,
        /// Who asked.
        producer: SocketAddr,
    },
    /// The retry topic's group does not exist.
    #[error("subscription group not exist, {group}")]
    GroupNotExist {
        /// The group.
        group: String,
    },
    /// Transactions are not served, or the message is none and yet flagged as half of one.
    #[error("the broker[{broker}] sending transaction message is forbidden")]
    TransactionForbidden {
        /// The broker.
        broker: SocketAddr,
    },
    /// The message cannot be delivered when it says.
    #[error(transparent)]
    Delay(#[from] DelayError),
    /// As many messages wait for their time as may.
    #[error("timer message is under flow control, max num limit is {max_timers}")]
    TooManyTimers {
        /// The limit.
        max_timers: usize,
    },
    /// As many transactions are pending as may.
    #[error(
        "the broker has {max_transactions} pending transactions, no more are allowed until some are decided"
    )]
    TooManyTransactions {
        /// The limit.
        max_transactions: usize,
    },
    /// The lite topic's name is not one.
    #[error(transparent)]
    LiteName(#[from] LiteNameError),
    /// There are as many lite topics as there may be.
    #[error(
        "the broker has {topics_max} lite topics, no more are made until some expire (lite.topic.expiration of their topic)"
    )]
    TooManyLiteTopics {
        /// The limit.
        topics_max: usize,
    },
    /// The message is not of the type that its topic is for.
    #[error(transparent)]
    Type(#[from] TypeMismatch),
    /// It is too much just now.
    #[error(transparent)]
    Flow(#[from] FlowRefusal),
    /// The message cannot be stored as it is.
    #[error("the message is illegal, maybe msg body or properties length not matched: {0}")]
    Illegal(EncodeError),
    /// The batch cannot be stored as it is.
    #[error("the batch is illegal: {0}")]
    IllegalBatch(#[from] BatchError),
    /// The log did not take it.
    #[error("{}", append_remark(.0))]
    Store(AppendError),
}

impl SendError {
    /// The protocol's number for it.
    pub fn response_code(&self) -> i32 {
        match self {
            Self::BrokerNotWritable { .. }
            | Self::TopicForbidden { .. }
            | Self::TransactionForbidden { .. } => code::NO_PERMISSION,
            Self::Name(_) | Self::LiteName(_) | Self::QueueNotExist { .. } => code::INVALID_PARAMETER,
            Self::TopicNotExist { .. } => code::TOPIC_NOT_EXIST,
            Self::TopicNotCreated(source) => source.response_code(),
            Self::GroupNotExist { .. } => code::SUBSCRIPTION_GROUP_NOT_EXIST,
            Self::Delay(source) => source.response_code(),
            Self::TooManyTimers { .. } => code::SYSTEM_ERROR,
            Self::TooManyTransactions { .. } | Self::TooManyLiteTopics { .. } => code::SYSTEM_BUSY,
            Self::Type(_) | Self::Illegal(_) | Self::IllegalBatch(_) => code::MESSAGE_ILLEGAL,
            Self::Flow(refusal) => refusal.response_code(),
            Self::Store(source) => append_code(source),
        }
    }
}

/// The protocol's number for a refused append.
pub(crate) fn append_code(error: &AppendError) -> i32 {
    match error {
        AppendError::Busy { .. } => code::SYSTEM_BUSY,
        AppendError::TooLarge { .. } => code::MESSAGE_ILLEGAL,
        AppendError::Full { .. } | AppendError::Stopped(_) | AppendError::Closed => {
            code::SERVICE_NOT_AVAILABLE
        }
        _ => code::SYSTEM_ERROR,
    }
}

/// What a client is told of a refused append.
pub(crate) fn append_remark(error: &AppendError) -> String {
    match error {
        AppendError::Busy { .. } => {
            format!("[IN_FLIGHT_BYTES]broker busy: {error}")
        }
        AppendError::TooLarge { .. } => format!("the message is illegal: {error}"),
        AppendError::Full { .. } | AppendError::Stopped(_) | AppendError::Closed => {
            format!("service not available now. {error}")
        }
        other => other.to_string(),
    }
}
