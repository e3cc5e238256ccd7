//! Which kinds of message a topic takes, by its attribute `message.type`. The rule is the broker's.

use kourou_broker::topic::{MessageType as Kind, TopicConfig, TypeRule};

use crate::refusal::Refusal;
use crate::wire::v2::{Code, MessageType};

/// The kinds that a topic takes, as clients are told. A topic without the attribute takes normal messages.
pub(crate) fn accepted_types(topic: &TopicConfig) -> Vec<MessageType> {
    match Kind::of_topic(&topic.attributes).unwrap_or(Kind::Normal) {
        Kind::Mixed => vec![
            MessageType::Normal,
            MessageType::Fifo,
            MessageType::Delay,
            MessageType::Transaction,
        ],
        Kind::Normal => vec![MessageType::Normal],
        Kind::Fifo => vec![MessageType::Fifo],
        Kind::Delay => vec![MessageType::Delay],
        Kind::Transaction => vec![MessageType::Transaction],
        Kind::Priority => vec![MessageType::Priority],
        Kind::Lite => vec![MessageType::Lite],
        _ => vec![MessageType::Unspecified],
    }
}

/// Whether a topic takes a message of that kind.
pub(crate) fn check_type(topic: &TopicConfig, kind: MessageType) -> Result<(), Refusal> {
    let kind = match kind {
        MessageType::Unspecified => Kind::Unspecified,
        MessageType::Normal => Kind::Normal,
        MessageType::Fifo => Kind::Fifo,
        MessageType::Delay => Kind::Delay,
        MessageType::Transaction => Kind::Transaction,
        MessageType::Priority => Kind::Priority,
        MessageType::Lite => Kind::Lite,
    };
    topic
        .check_message_type(kind, TypeRule::Strict)
        .map_err(|error| Refusal::new(Code::MessagePropertyConflictWithType, error.to_string()))
}
