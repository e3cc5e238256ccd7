//! Message types: what kind of message a topic is for, and of what kind a message is. One rule for every frontend.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

use super::TopicConfig;
use crate::property::{Names, Properties};
use crate::text::Text;

/// The attribute of a topic that names its type.
pub(crate) const MESSAGE_TYPE: &str = "message.type";

/// A kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageType {
    /// Nobody has said.
    Unspecified,
    /// Neither of the others.
    Normal,
    /// In order within its group: it has a sharding key.
    Fifo,
    /// Delivered later.
    Delay,
    /// Half of a transaction.
    Transaction,
    /// It has a priority.
    Priority,
    /// It belongs to a lite topic.
    Lite,
    /// Of a topic: all of them.
    Mixed,
}

impl MessageType {
    /// Those that there are.
    pub const ALL: [Self; 8] = [
        Self::Unspecified,
        Self::Normal,
        Self::Fifo,
        Self::Delay,
        Self::Transaction,
        Self::Priority,
        Self::Lite,
        Self::Mixed,
    ];

    /// Its name in attributes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "UNSPECIFIED",
            Self::Normal => "NORMAL",
            Self::Fifo => "FIFO",
            Self::Delay => "DELAY",
            Self::Transaction => "TRANSACTION",
            Self::Priority => "PRIORITY",
            Self::Lite => "LITE",
            Self::Mixed => "MIXED",
        }
    }

    /// The type of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// What the attributes of a topic say; `None` if nobody has said anything.
    pub fn of_topic(attributes: &BTreeMap<String, String>) -> Option<Self> {
        attributes.get(MESSAGE_TYPE).and_then(|name| Self::named(name))
    }

    /// What a message is, by its property string. The first that applies counts, in the order that upstream's clients go by:
    /// transaction, delay, order, priority, lite.
    pub fn of_message(properties: &[u8]) -> Self {
        Self::of(&Properties::read(properties))
    }

    pub(crate) fn of(properties: &Properties<'_>) -> Self {
        let has = |name| properties.present.intersects(name);
        if properties.is_transaction {
            Self::Transaction
        } else if has(Names::DELAY.and(Names::TIMER)) {
            Self::Delay
        } else if has(Names::SHARDING_KEY) {
            Self::Fifo
        } else if has(Names::PRIORITY) {
            Self::Priority
        } else if has(Names::LITE_TOPIC) {
            Self::Lite
        } else {
            Self::Normal
        }
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How strictly a frontend's clients are held to types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeRule {
    /// A topic without a type takes only normal messages, and order needs a sharding key: what the v2 clients keep to.
    Strict,
    /// A topic without a type takes everything, and one for order also what has no sharding key: remoting producers choose the queue
    /// themselves, and have never had to say more.
    Declared,
}

/// A message is not what its topic is for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "TopicMessageType validate failed, the expected type is {expected}, but actual type is {actual}: topic[{topic}] \
     takes only messages of its type; send to another topic, or change the topic's attribute message.type"
)]
pub struct TypeMismatch {
    /// The topic.
    pub topic: Text,
    /// What it is for.
    pub expected: MessageType,
    /// What the message is.
    pub actual: MessageType,
}

impl TopicConfig {
    /// Whether the topic takes messages of that type.
    ///
    /// # Errors
    /// If it does not.
    pub fn check_message_type(&self, actual: MessageType, rule: TypeRule) -> Result<(), TypeMismatch> {
        let expected = match (MessageType::of_topic(&self.attributes), rule) {
            (Some(MessageType::Mixed), _) => return Ok(()),
            (None | Some(MessageType::Unspecified), TypeRule::Declared) => return Ok(()),
            (None | Some(MessageType::Unspecified), TypeRule::Strict) => MessageType::Normal,
            (Some(expected), _) => expected,
        };
        let is_queue_chosen =
            rule == TypeRule::Declared && (expected, actual) == (MessageType::Fifo, MessageType::Normal);
        if expected == actual || is_queue_chosen {
            return Ok(());
        }
        Err(TypeMismatch {
            topic: Text::from(&*self.name),
            expected,
            actual,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_the_first_that_applies() {
        let cases: [(&[u8], MessageType); 9] = [
            (b"TAGS\x01a\x02", MessageType::Normal),
            (b"", MessageType::Normal),
            (b"__SHARDINGKEY\x01k\x02", MessageType::Fifo),
            (b"DELAY\x013\x02__SHARDINGKEY\x01k\x02", MessageType::Delay),
            (b"TIMER_DELIVER_MS\x013\x02", MessageType::Delay),
            (b"TRAN_MSG\x01true\x02DELAY\x013\x02", MessageType::Transaction),
            (b"TRAN_MSG\x01false\x02", MessageType::Normal),
            (
                b"_SYS_MSG_PRIORITY_\x012\x02__LITE_TOPIC\x01l\x02",
                MessageType::Priority,
            ),
            (b"__LITE_TOPIC\x01l\x02", MessageType::Lite),
        ];
        for (properties, expected) in cases {
            assert_eq!(MessageType::of_message(properties), expected);
        }
        for one in MessageType::ALL {
            assert_eq!(MessageType::named(one.name()), Some(one));
        }
    }

    #[test]
    fn a_topic_takes_its_type() {
        let topic = |name: Option<&str>| {
            let mut topic = TopicConfig::new("t", 1);
            if let Some(name) = name {
                topic.attributes.insert(MESSAGE_TYPE.to_owned(), name.to_owned());
            }
            topic
        };
        let concrete = &MessageType::ALL[1..7];
        for actual in concrete {
            for free in [None, Some("MIXED"), Some("UNSPECIFIED")] {
                assert_eq!(
                    topic(free).check_message_type(*actual, TypeRule::Declared),
                    Ok(())
                );
            }
            for expected in concrete {
                let topic = topic(Some(expected.name()));
                let strict = topic.check_message_type(*actual, TypeRule::Strict);
                let declared = topic.check_message_type(*actual, TypeRule::Declared);
                assert_eq!(strict.is_ok(), expected == actual);
                let chosen = (*expected, *actual) == (MessageType::Fifo, MessageType::Normal);
                assert_eq!(declared.is_ok(), expected == actual || chosen);
            }
        }
        let untyped = topic(None);
        assert_eq!(
            untyped.check_message_type(MessageType::Normal, TypeRule::Strict),
            Ok(())
        );
        let refused = untyped
            .check_message_type(MessageType::Delay, TypeRule::Strict)
            .unwrap_err();
        assert_eq!(
            (refused.expected, refused.actual),
            (MessageType::Normal, MessageType::Delay)
        );
        assert!(
            topic(Some("MIXED"))
                .check_message_type(MessageType::Lite, TypeRule::Strict)
                .is_ok()
        );
    }
}
