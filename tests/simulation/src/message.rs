//! The messages of a simulation: each has a number, and all that is in it follows from that.

use std::borrow::Cow;

use bytes::Bytes;
use kourou_broker::transaction::Decision;
use kourou_engine::record::{NAME_END, VALUE_END};

/// A message, by its number.
pub type MessageId = u32;

/// What is special about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// Nothing.
    Plain,
    /// Its producer sends the next one when this one was acknowledged.
    Ordered {
        /// The producer.
        producer: usize,
        /// The message's number there.
        sequence: u32,
    },
    /// It is to be delivered at a time.
    Timer {
        /// When, by the broker's clock.
        due_ms: i64,
    },
    /// It is to be delivered after a delay that the broker defines.
    Level(i32),
    /// It is one half of a transaction.
    Half {
        /// What its producer will say; `None` if it says nothing, unless the transaction is resumed.
        decision: Option<Decision>,
    },
    /// It is sent together with others.
    Batched {
        /// The first of them.
        first: MessageId,
        /// Which of them it is.
        at: u32,
        /// How many there are.
        of: u32,
    },
    /// It belongs to a lite topic, whose messages are sent one after the other.
    Lite {
        /// Which.
        lite: u32,
        /// The message's number there.
        sequence: u32,
    },
    /// It has a priority.
    Urgent {
        /// Which: the higher the more urgent.
        priority: u32,
    },
    /// It asks for a reply.
    Question {
        /// Who waits for that.
        requester: usize,
    },
    /// It is the reply to another.
    Reply {
        /// To which.
        question: MessageId,
        /// Who waits for it.
        requester: usize,
    },
    /// It is none that may be sent to its topic.
    Misfit(Misfit),
}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// Its topic is for messages of another type.
    Type,
    /// It names a lite topic by what is no name.
    LiteName,
    /// It is in a batch that is none.
    Batch,
}

impl MessageKind {
    /// Whether it is for something else than for its topic's queue at once.
    pub fn waits(self) -> bool {
        matches!(self, Self::Timer { .. } | Self::Level(_) | Self::Half { .. })
    }

    /// Whether the broker is to refuse it.
    pub fn is_misfit(self) -> bool {
        matches!(self, Self::Misfit(_))
    }
}

/// The name of a lite topic, by its number.
pub(crate) fn lite_name(lite: u32) -> String {
    format!("session-{lite}")
}

/// What a client that waits for replies is called.
pub(crate) fn requester_name(requester: usize) -> String {
    format!("requester-{requester}")
}

/// What is in a message.
#[derive(Debug, Clone)]
pub struct Content {
    /// Its number.
    pub id: MessageId,
    /// What is special about it.
    pub kind: MessageKind,
    /// Where it goes.
    pub topic: &'static str,
    /// To which queue; below 0 the broker chooses.
    pub queue_id: i32,
    /// Its tag.
    pub tag: &'static str,
    /// The length of its body.
    pub body_size: usize,
}

impl Content {
    /// The body: the number, and bytes that follow from it.
    pub fn body(&self) -> Bytes {
        let mut body = format!("m{} ", self.id).into_bytes();
        let mut byte = self.id.wrapping_mul(0x9E37_79B9);
        while body.len() < self.body_size {
            byte = byte.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            body.push((byte >> 24) as u8);
        }
        body.into()
    }

    /// The unique key.
    pub fn unique_key(&self) -> String {
        format!("UNIQUE{:08}", self.id)
    }

    /// A property of the user's: a number from 0 to 9.
    pub fn weight(&self) -> u32 {
        self.id % 10
    }

    /// A key of the user's.
    pub fn key(&self) -> String {
        format!("key{}", self.id)
    }

    /// The property string that its producer sends.
    pub fn properties(&self) -> Cow<'static, [u8]> {
        let mut text = Vec::new();
        let mut push = |name: &str, value: &str| {
            text.extend_from_slice(name.as_bytes());
            text.push(NAME_END);
            text.extend_from_slice(value.as_bytes());
            text.push(VALUE_END);
        };
        push("UNIQ_KEY", &self.unique_key());
        push("KEYS", &self.key());
        push("TAGS", self.tag);
        push("weight", &self.weight().to_string());
        match self.kind {
            MessageKind::Plain
            | MessageKind::Ordered { .. }
            | MessageKind::Batched { .. }
            | MessageKind::Misfit(Misfit::Type | Misfit::Batch) => {}
            MessageKind::Lite { lite, .. } => push("__LITE_TOPIC", &lite_name(lite)),
            MessageKind::Misfit(Misfit::LiteName) => push("__LITE_TOPIC", "no name"),
            MessageKind::Urgent { priority } => push("_SYS_MSG_PRIORITY_", &priority.to_string()),
            MessageKind::Question { requester } => {
                push("CORRELATION_ID", &self.id.to_string());
                push("REPLY_TO_CLIENT", &requester_name(requester));
                push("TTL", "3000");
            }
            MessageKind::Reply { question, requester } => {
                push("CORRELATION_ID", &question.to_string());
                push("REPLY_TO_CLIENT", &requester_name(requester));
                push("MSG_TYPE", "reply");
            }
            MessageKind::Timer { due_ms } => push("TIMER_DELIVER_MS", &due_ms.to_string()),
            MessageKind::Level(level) => push("DELAY", &level.to_string()),
            MessageKind::Half { .. } => {
                push("TRAN_MSG", "true");
                push("PGROUP", crate::clients::TRANSACTION_GROUP);
            }
        }
        Cow::Owned(text)
    }
}

/// The number of the message that has this body; `None` if it is nobody's.
pub(crate) fn id_of(body: &[u8]) -> Option<MessageId> {
    let digits = body.strip_prefix(b"m")?;
    let end = digits.iter().position(|byte| *byte == b' ')?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}
