//! A message that a client sends: checked, and made what the broker stores.

use bytes::Bytes;
use kourou_broker::{Limits as BrokerLimits, lite};
use kourou_proto::message::properties::{NAME_VALUE_SEPARATOR, PROPERTY_SEPARATOR};
use kourou_proto::message::{property, sysflag};

use super::reserved::{LITE_TOPIC, PRIORITY, is_reserved};
use super::{positive, time_ms};
use crate::limits::message::{
    GROUP_SIZE_BYTES_END, PROPERTIES_SIZE_BYTES_MAX, RECOVERY_MAX, USER_PROPERTIES_MAX,
};
use crate::refusal::Refusal;
use crate::wire::v2::{Code, Encoding, Message, MessageType, SystemProperties};

/// What becomes of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) message_id: String,
    /// The message's kind, by what it says.
    pub(crate) kind: MessageType,
    /// The property string.
    pub(crate) properties: String,
    /// Of an ordered message, what it is ordered by.
    pub(crate) message_group: Option<String>,
    pub(crate) sys_flag: i32,
    pub(crate) born_ms: i64,
    pub(crate) body: Bytes,
}

/// Checks a message, in the order in which its faults are reported, and reads it.
pub(crate) fn draft(message: Message, limits: &BrokerLimits, now_ms: i64) -> Result<Draft, Refusal> {
    let system = message.system_properties.unwrap_or_default();
    check_body(&message.body, limits.body_size_bytes_max)?;
    let mut properties = PropertyText::default();
    if message.user_properties.len() > USER_PROPERTIES_MAX {
        return Err(Refusal::new(
            Code::MessagePropertiesTooLarge,
            format!(
                "the message has {} properties, at most {USER_PROPERTIES_MAX} are taken",
                message.user_properties.len()
            ),
        ));
    }
    for (name, value) in &message.user_properties {
        if is_reserved(name) || name.is_empty() || has_control(name) || has_control(value) {
            return Err(Refusal::new(
                Code::IllegalMessagePropertyKey,
                format!("the property {name:?} has a name that is reserved or empty, or control characters"),
            ));
        }
        properties.push(name, value);
    }
    if let Some(tag) = &system.tag {
        if is_blank(tag) || tag.contains('|') || has_control(tag) {
            return Err(Refusal::new(
                Code::IllegalMessageTag,
                "the tag is blank, or has a '|' or control characters",
            ));
        }
        properties.push(property::TAGS, tag);
    }
    if system.keys.iter().any(|key| is_blank(key) || has_control(key)) {
        return Err(Refusal::new(
            Code::IllegalMessageKey,
            "a key is blank or has control characters",
        ));
    }
    let keys = system.keys.join(" ");
    if !keys.is_empty() {
        properties.push(property::KEYS, &keys);
    }
    if properties.size_bytes > PROPERTIES_SIZE_BYTES_MAX {
        return Err(Refusal::new(
            Code::MessagePropertiesTooLarge,
            format!(
                "properties, tag and keys have {} bytes, at most {PROPERTIES_SIZE_BYTES_MAX} are taken",
                properties.size_bytes
            ),
        ));
    }
    if is_blank(&system.message_id) || has_control(&system.message_id) {
        return Err(Refusal::new(
            Code::IllegalMessageId,
            "the message id is blank or has control characters",
        ));
    }
    properties.push(property::UNIQ_KEY, &system.message_id);
    let kind = push_kind(&system, &mut properties)?;
    push_rest(&system, &mut properties)?;

    let is_compressed = system.body_encoding() == Encoding::Gzip;
    Ok(Draft {
        kind,
        properties: properties.text,
        sys_flag: if is_compressed { sysflag::COMPRESSED } else { 0 },
        born_ms: system.born_timestamp.as_ref().map_or(now_ms, time_ms),
        body: message.body,
        message_id: system.message_id,
        message_group: system.message_group,
    })
}

fn check_body(body: &[u8], max_bytes: usize) -> Result<(), Refusal> {
    if body.is_empty() {
        return Err(Refusal::new(Code::MessageBodyEmpty, "the message has no body"));
    }
    if body.len() > max_bytes {
        return Err(Refusal::new(
            Code::MessageBodyTooLarge,
            format!("the body has {} bytes, at most {max_bytes} are taken", body.len()),
        ));
    }
    Ok(())
}

/// What makes a message more than a normal one. The first that applies is its kind.
fn push_kind(system: &SystemProperties, properties: &mut PropertyText) -> Result<MessageType, Refusal> {
    let mut kind = MessageType::Normal;
    if let Some(lite_topic) = &system.lite_topic {
        lite::check_name(lite_topic)
            .map_err(|error| Refusal::new(Code::IllegalLiteTopic, error.to_string()))?;
        properties.push(LITE_TOPIC, lite_topic);
        kind = MessageType::Lite;
    }
    if let Some(priority) = system.priority {
        properties.push(PRIORITY, &priority.to_string());
        kind = MessageType::Priority;
    }
    if let Some(group) = &system.message_group {
        check_text(group, Code::IllegalMessageGroup, "the message group")?;
        if group.len() >= GROUP_SIZE_BYTES_END {
            return Err(Refusal::new(
                Code::IllegalMessageGroup,
                format!(
                    "the message group has {} bytes, it must have fewer than {GROUP_SIZE_BYTES_END}",
                    group.len()
                ),
            ));
        }
        properties.push(property::SHARDING_KEY, group);
        kind = MessageType::Fifo;
    }
    if let Some(deliver_at) = &system.delivery_timestamp {
        properties.push(property::TIMER_DELIVER_MS, &time_ms(deliver_at).to_string());
        kind = MessageType::Delay;
    }
    if system.message_type() == MessageType::Transaction {
        properties.push(property::TRAN_MSG, "true");
        if let Some(recovery) = &system.orphaned_transaction_recovery_duration {
            let recovery = positive(recovery).filter(|recovery| *recovery <= RECOVERY_MAX);
            let recovery = recovery.ok_or_else(|| {
                Refusal::new(
                    Code::BadRequest,
                    format!(
                        "a transaction is asked for within {} s at the most",
                        RECOVERY_MAX.as_secs()
                    ),
                )
            })?;
            if recovery.as_secs() > 0 {
                let seconds = recovery.as_secs().to_string();
                properties.push(property::CHECK_IMMUNITY_TIME_IN_SECONDS, &seconds);
            }
        }
        kind = MessageType::Transaction;
    }
    Ok(kind)
}

/// What is only passed on.
fn push_rest(system: &SystemProperties, properties: &mut PropertyText) -> Result<(), Refusal> {
    let texts = [
        (
            property::TRACE_CONTEXT,
            system.trace_context.as_deref(),
            "the trace context",
        ),
        (
            property::BORN_HOST,
            Some(system.born_host.as_str()),
            "the born host",
        ),
    ];
    for (name, text, what) in texts {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            check_text(text, Code::BadRequest, what)?;
            properties.push(name, text);
        }
    }
    Ok(())
}

fn check_text(text: &str, code: Code, what: &str) -> Result<(), Refusal> {
    if is_blank(text) || has_control(text) {
        return Err(Refusal::new(
            code,
            format!("{what} is blank or has control characters"),
        ));
    }
    Ok(())
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// A property string that is being written.
#[derive(Debug, Default)]
struct PropertyText {
    text: String,
    /// Bytes of names and values.
    size_bytes: usize,
}

impl PropertyText {
    fn push(&mut self, name: &str, value: &str) {
        self.size_bytes += name.len() + value.len();
        self.text.push_str(name);
        self.text.push(NAME_VALUE_SEPARATOR);
        self.text.push_str(value);
        self.text.push(PROPERTY_SEPARATOR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(change: impl FnOnce(&mut Message, &mut SystemProperties)) -> Message {
        let mut message = Message {
            body: Bytes::from_static(b"body"),
            ..Message::default()
        };
        let mut system = SystemProperties {
            message_id: "ID".to_owned(),
            ..SystemProperties::default()
        };
        change(&mut message, &mut system);
        message.system_properties = Some(system);
        message
    }

    fn drafted(change: impl FnOnce(&mut Message, &mut SystemProperties)) -> Result<Draft, Code> {
        draft(message(change), &BrokerLimits::default(), 5).map_err(|refusal| refusal.code)
    }

    #[test]
    fn what_is_stored() {
        let draft = drafted(|message, system| {
            message
                .user_properties
                .insert("colour".to_owned(), "red".to_owned());
            system.tag = Some("t".to_owned());
            system.keys = vec!["k1".to_owned(), "k2".to_owned()];
            system.message_group = Some("g".to_owned());
            system.born_timestamp = Some(super::super::timestamp(77));
        })
        .unwrap();
        assert_eq!(
            draft.properties,
            "colour\x01red\x02TAGS\x01t\x02KEYS\x01k1 k2\x02UNIQ_KEY\x01ID\x02__SHARDINGKEY\x01g\x02"
        );
        assert_eq!(
            (draft.kind, draft.born_ms, draft.sys_flag),
            (MessageType::Fifo, 77, 0)
        );
    }

    #[test]
    fn the_first_kind_that_applies() {
        let transaction = drafted(|_, system| {
            system.set_message_type(MessageType::Transaction);
            system.message_group = Some("g".to_owned());
            system.orphaned_transaction_recovery_duration = Some(super::super::duration(RECOVERY_MAX));
        })
        .unwrap();
        assert_eq!(transaction.kind, MessageType::Transaction);
        assert!(
            transaction
                .properties
                .contains("CHECK_IMMUNITY_TIME_IN_SECONDS\x013600\x02")
        );
        let delayed = drafted(|_, system| {
            system.delivery_timestamp = Some(super::super::timestamp(1_500));
            system.priority = Some(1);
        })
        .unwrap();
        assert_eq!(delayed.kind, MessageType::Delay);
        assert!(delayed.properties.contains("TIMER_DELIVER_MS\x011500\x02"));
        assert_eq!(
            drafted(|_, _| {}).map(|draft| draft.kind),
            Ok(MessageType::Normal)
        );
    }

    #[test]
    fn faults_by_their_codes() {
        let text = |text: &str| Some(text.to_owned());
        type Change = Box<dyn FnOnce(&mut Message, &mut SystemProperties)>;
        let faults: Vec<(Code, Change)> = vec![
            (
                Code::MessageBodyEmpty,
                Box::new(|message, _| message.body = Bytes::new()),
            ),
            (
                Code::MessageBodyTooLarge,
                Box::new(|message, _| message.body = vec![0; (4 << 20) + 1].into()),
            ),
            (
                Code::MessagePropertiesTooLarge,
                Box::new(|message, _| {
                    message.user_properties = (0..129).map(|at| (at.to_string(), String::new())).collect();
                }),
            ),
            (
                Code::IllegalMessagePropertyKey,
                Box::new(|message, _| {
                    drop(message.user_properties.insert("KEYS".to_owned(), "k".to_owned()))
                }),
            ),
            (
                Code::IllegalMessagePropertyKey,
                Box::new(|message, _| {
                    drop(message.user_properties.insert("a".to_owned(), "\u{2}".to_owned()))
                }),
            ),
            (
                Code::IllegalMessageTag,
                Box::new(move |_, system| system.tag = text(" ")),
            ),
            (
                Code::IllegalMessageTag,
                Box::new(move |_, system| system.tag = text("a|b")),
            ),
            (
                Code::IllegalMessageKey,
                Box::new(|_, system| system.keys = vec![String::new()]),
            ),
            (
                Code::MessagePropertiesTooLarge,
                Box::new(|_, system| system.keys = vec!["k".repeat(16_400)]),
            ),
            (
                Code::IllegalMessageId,
                Box::new(|_, system| system.message_id.clear()),
            ),
            (
                Code::IllegalMessageGroup,
                Box::new(|_, system| system.message_group = Some("g".repeat(64))),
            ),
            (
                Code::BadRequest,
                Box::new(|_, system| {
                    system.set_message_type(MessageType::Transaction);
                    system.orphaned_transaction_recovery_duration =
                        Some(super::super::duration(RECOVERY_MAX * 2));
                }),
            ),
        ];
        for (at, (code, change)) in faults.into_iter().enumerate() {
            assert_eq!(drafted(change).map(drop), Err(code), "fault {at}");
        }
    }
}
