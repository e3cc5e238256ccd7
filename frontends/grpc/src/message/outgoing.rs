//! A stored message as clients get it.

use std::fmt::Write as _;

use bytes::Bytes;
use kourou_broker::send::offset_msg_id;
use kourou_proto::message::stored::{StoredError, StoredMessage};
use kourou_proto::message::{properties, property};
use md5::{Digest as _, Md5};

use super::body::readable;
use super::reserved::{LITE_TOPIC, PRIORITY, is_reserved};
use super::timestamp;
use crate::wire::v2::{
    DeadLetterQueue, Digest, DigestType, Message, MessageType, Resource, SystemProperties,
};

/// The message in a record. Its body is a slice of the record, unless clients could not read that.
pub(crate) fn delivered(record: &Bytes) -> Result<Message, StoredError> {
    let (stored, _) = StoredMessage::parse(record)?;
    let (body, encoding) = readable(record.slice_ref(stored.body), stored.sys_flag);
    let mut system = SystemProperties {
        message_id: offset_msg_id(stored.store_host, u64::try_from(stored.position).unwrap_or(0)),
        body_digest: Some(Digest {
            r#type: DigestType::Md5.into(),
            checksum: md5_text(&body),
        }),
        body_encoding: encoding.into(),
        born_timestamp: Some(timestamp(stored.born_timestamp_ms)),
        born_host: stored.born_host.to_string(),
        store_timestamp: Some(timestamp(stored.store_timestamp_ms)),
        store_host: stored.store_host.to_string(),
        queue_id: stored.queue_id,
        queue_offset: Some(stored.queue_offset),
        delivery_attempt: Some(stored.reconsume_times.saturating_add(1)),
        ..SystemProperties::default()
    };
    let mut user = std::collections::BTreeMap::new();
    let mut said = Said::default();
    for (name, value) in properties::iter(stored.properties) {
        if !said.hear(name, value, &mut system) && !is_reserved(name) {
            user.insert(name.to_owned(), value.to_owned());
        }
    }
    system.set_message_type(said.kind(&system));
    if said.dead_topic.is_some() || said.dead_id.is_some() {
        system.dead_letter_queue = Some(DeadLetterQueue {
            topic: said.dead_topic.unwrap_or_default(),
            message_id: said.dead_id.unwrap_or_default(),
        });
    }
    Ok(Message {
        topic: Some(Resource {
            resource_namespace: String::new(),
            name: stored.topic.to_owned(),
        }),
        user_properties: user,
        system_properties: Some(system),
        body,
    })
}

/// What properties say beside the system's own.
#[derive(Debug, Default)]
struct Said {
    is_transaction: bool,
    is_delayed: bool,
    dead_topic: Option<String>,
    dead_id: Option<String>,
}

impl Said {
    /// Takes in a property that has a field of its own; false if it has none.
    fn hear(&mut self, name: &str, value: &str, system: &mut SystemProperties) -> bool {
        let text = || Some(value.to_owned());
        match name {
            property::TAGS => system.tag = text(),
            property::KEYS => {
                system.keys = value
                    .split(' ')
                    .filter(|key| !key.is_empty())
                    .map(str::to_owned)
                    .collect();
            }
            property::UNIQ_KEY => value.clone_into(&mut system.message_id),
            property::SHARDING_KEY => system.message_group = text(),
            property::TRACE_CONTEXT => system.trace_context = text(),
            property::BORN_HOST => value.clone_into(&mut system.born_host),
            LITE_TOPIC => system.lite_topic = text(),
            PRIORITY => system.priority = value.parse().ok(),
            property::TRAN_MSG => self.is_transaction = value.eq_ignore_ascii_case("true"),
            property::DELAY | property::TIMER_DELAY_SEC | property::TIMER_DELAY_MS => self.is_delayed = true,
            property::TIMER_DELIVER_MS => {
                self.is_delayed = true;
                system.delivery_timestamp = value.parse().ok().map(timestamp);
            }
            property::DLQ_ORIGIN_TOPIC => self.dead_topic = text(),
            property::DLQ_ORIGIN_MESSAGE_ID => self.dead_id = text(),
            _ => return false,
        }
        true
    }

    fn kind(&self, system: &SystemProperties) -> MessageType {
        if self.is_transaction {
            MessageType::Transaction
        } else if self.is_delayed {
            MessageType::Delay
        } else if system.message_group.is_some() {
            MessageType::Fifo
        } else if system.priority.is_some() {
            MessageType::Priority
        } else if system.lite_topic.is_some() {
            MessageType::Lite
        } else {
            MessageType::Normal
        }
    }
}

fn md5_text(body: &[u8]) -> String {
    let mut text = String::with_capacity(32);
    for byte in Md5::digest(body) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02X}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_hexadecimal() {
        assert_eq!(md5_text(b"abc"), "900150983CD24FB0D6963F7D28E17F72");
    }
}
