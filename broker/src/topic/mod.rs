//! Topics: what they are called, how many queues they have, and who may do what with them.

mod attributes;
mod builtin;
mod create;
mod floors;
mod message_type;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;

use kourou_engine::AppendError;
use thiserror::Error;

pub use attributes::{AttributeChanges, AttributeError};
pub(crate) use create::Creations;
pub(crate) use floors::Floors;
pub use message_type::{MessageType, TypeMismatch, TypeRule};
pub(crate) use table::TopicTable;

use crate::code;
use crate::name::NameError;
use crate::state::Fields;
use crate::state::Writer;

/// Permission bits of topics and of the broker.
pub mod perm {
    /// New topics may be made after this one.
    pub const INHERIT: u32 = 1;
    /// May be sent to.
    pub const WRITE: u32 = 2;
    /// May be consumed.
    pub const READ: u32 = 4;
    /// Deliver by priority; stored, without effect: the attribute `message.type` decides.
    pub const PRIORITY: u32 = 8;

    /// Whether `perm` allows sending.
    pub const fn is_writable(perm: u32) -> bool {
        perm & WRITE != 0
    }

    /// Whether `perm` allows consuming.
    pub const fn is_readable(perm: u32) -> bool {
        perm & READ != 0
    }

    /// Whether `perm` lets new topics be made after its topic.
    pub const fn is_inherited(perm: u32) -> bool {
        perm & INHERIT != 0
    }
}

/// How many tags a message of a topic may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TopicFilterType {
    /// One.
    #[default]
    SingleTag,
    /// Several.
    MultiTag,
}

/// What is configured for one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfig {
    /// The topic's name.
    pub name: Arc<str>,
    /// Queues that can be consumed.
    pub read_queues: u32,
    /// Queues that can be sent to.
    pub write_queues: u32,
    /// [`perm`] bits.
    pub perm: u32,
    /// How many tags its messages may have.
    pub filter_type: TopicFilterType,
    /// Bits that clients define: 1 unit, 2 subscribed by units.
    pub sys_flag: i32,
    /// Whether the topic is meant for ordered messages.
    pub order: bool,
    /// Further settings, by name, e.g. `message.type`.
    pub attributes: BTreeMap<String, String>,
}

impl TopicConfig {
    /// A topic with as many read as write queues, readable and writable.
    pub fn new(name: impl Into<Arc<str>>, queues: u32) -> Self {
        Self {
            name: name.into(),
            read_queues: queues,
            write_queues: queues,
            perm: perm::READ | perm::WRITE,
            filter_type: TopicFilterType::SingleTag,
            sys_flag: 0,
            order: false,
            attributes: BTreeMap::new(),
        }
    }

    /// Whether a batch that has an id of its own is stored as one record in its queues.
    pub fn has_batch_queues(&self) -> bool {
        self.attributes
            .get(attributes::QUEUE_TYPE)
            .is_some_and(|kind| kind == attributes::BATCH_QUEUE)
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.text(&self.name);
        out.u32(self.read_queues);
        out.u32(self.write_queues);
        out.u32(self.perm);
        out.u8(u8::from(self.filter_type == TopicFilterType::MultiTag));
        out.i32(self.sys_flag);
        out.bool(self.order);
        out.pairs(&self.attributes);
    }

    pub(crate) fn decode(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            name: fields.text()?.into(),
            read_queues: fields.u32()?,
            write_queues: fields.u32()?,
            perm: fields.u32()?,
            filter_type: if fields.u8()? == 0 {
                TopicFilterType::SingleTag
            } else {
                TopicFilterType::MultiTag
            },
            sys_flag: fields.i32()?,
            order: fields.bool()?,
            attributes: fields.pairs()?,
        })
    }
}

/// Counts the changes of a table, so that name servers and replicas see that theirs is old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DataVersion {
    /// Raised when the meaning of the table changes; always 0 here.
    pub state_version: i64,
    /// When the last change was stored.
    pub timestamp_ms: i64,
    /// Changes so far.
    pub counter: i64,
}

impl DataVersion {
    pub(crate) fn bump(&mut self, now_ms: i64) {
        self.timestamp_ms = now_ms;
        self.counter += 1;
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.i64(self.state_version);
        out.i64(self.timestamp_ms);
        out.i64(self.counter);
    }

    pub(crate) fn decode(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            state_version: fields.i64()?,
            timestamp_ms: fields.i64()?,
            counter: fields.i64()?,
        })
    }
}

/// Hears of changes. Called on the engine's writer thread or on whichever thread caused the change: must be short, must not
/// block. Of a topic's creation it hears before the send that caused it is answered.
pub trait Listener: Send + Sync + 'static {
    /// A topic was made or changed. [`Self::topics_changed`] follows.
    fn topic_stored(&self, config: &TopicConfig) {
        let _ = config;
    }

    /// The topic table has changed: name servers should be told. See [`crate::Broker::topics_version`].
    fn topics_changed(&self) {}

    /// A timer is now due earlier than any before: whoever calls [`crate::Broker::deliver_due`] should do so at `due_ms`.
    fn timer_due(&self, due_ms: i64) {
        let _ = due_ms;
    }
}

/// Why a change of a topic was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TopicError {
    /// The name is not a topic's.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The topic is the system's.
    #[error("The topic[{topic}] is conflict with system topic.")]
    System {
        /// The topic.
        topic: String,
    },
    /// More queues than a topic may have.
    #[error("the topic[{topic}] has {queues} queues, at most {max_queues} are allowed")]
    TooManyQueues {
        /// The topic.
        topic: String,
        /// What was asked for.
        queues: u32,
        /// The limit.
        max_queues: u32,
    },
    /// An attribute cannot be set so.
    #[error(transparent)]
    Attribute(#[from] AttributeError),
    /// There are as many topics as there may be.
    #[error("the broker has {max_topics} topics, no more are allowed")]
    TooManyTopics {
        /// The limit.
        max_topics: usize,
    },
    /// There is no such topic.
    #[error("No topic in this broker. topic: {topic}")]
    NotFound {
        /// The topic.
        topic: String,
    },
    /// Too many requests wait for topics being created.
    #[error("too many requests wait for topics to be created")]
    Busy,
    /// The change could not be stored.
    #[error("{}", crate::send::append_remark(.0))]
    Store(AppendError),
}

impl TopicError {
    /// The protocol's number for it.
    pub fn response_code(&self) -> i32 {
        match self {
            Self::Name(_) | Self::System { .. } | Self::TooManyQueues { .. } | Self::Attribute(_) => {
                code::INVALID_PARAMETER
            }
            Self::TooManyTopics { .. } => code::SYSTEM_ERROR,
            Self::NotFound { .. } => code::TOPIC_NOT_EXIST,
            Self::Busy => code::SYSTEM_BUSY,
            Self::Store(source) => crate::send::append_code(source),
        }
    }
}
