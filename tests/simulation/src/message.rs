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
        /// What its producer will say; `None` if it never says anything.
        decision: Option<Decision>,
    },
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
            MessageKind::Plain | MessageKind::Ordered { .. } => {}
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
