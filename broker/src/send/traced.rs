//! What a send says of itself, for the broker's traces.

use kourou_engine::record::{KEYS, UNIQ_KEY};

use super::{SendRequest, batch};
use crate::broker::Broker;
use crate::property::{self, Properties};
use crate::topic::MessageType;
use crate::trace::{SendTrace, Sent, SentMessage};

impl Broker {
    /// Begins the trace of a send, if the broker traces and the topic is traced.
    pub(super) fn begin_trace(
        &self,
        request: &SendRequest<'_>,
        properties: &Properties<'_>,
    ) -> Option<Box<SendTrace>> {
        self.begin_send_trace(&request.topic, |at_ms| Sent {
            at_ms,
            cost_ms: 0,
            group: request.producer_group.as_ref().into(),
            topic: request.topic.as_ref().into(),
            client: request.born_host,
            kind: kind(MessageType::of(properties)),
            stored: false,
            messages: self.messages_sent(request),
        })
    }

    fn messages_sent(&self, request: &SendRequest<'_>) -> Vec<SentMessage> {
        if !request.is_batch {
            return vec![message(&request.properties, request.body.len())];
        }
        batch::messages(&request.body, self.options.limits.batch_messages_max)
            // It is refused as a whole if one is broken.
            .map_while(|one| one.ok())
            .map(|one| message(one.properties, one.body.len()))
            .collect()
    }
}

fn message(properties: &[u8], body_size_bytes: usize) -> SentMessage {
    let mut message = SentMessage {
        body_size_bytes,
        ..SentMessage::default()
    };
    for (name, value) in property::entries(properties) {
        let field = match name {
            _ if name == UNIQ_KEY.as_bytes() => &mut message.id,
            _ if name == KEYS.as_bytes() => &mut message.keys,
            b"TAGS" => &mut message.tags,
            _ => continue,
        };
        *field = String::from_utf8_lossy(value).into();
    }
    message
}

/// The number of upstream's `MessageType` of clients: normal, half, committed, delayed, in order.
fn kind(message_type: MessageType) -> u8 {
    match message_type {
        MessageType::Transaction => 1,
        MessageType::Delay => 3,
        MessageType::Fifo => 4,
        _ => 0,
    }
}
