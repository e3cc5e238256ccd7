//! Who is connected.

use std::collections::BTreeMap;

use super::heartbeat::SubscriptionData;
use super::names::{ConsumeFromWhere, ConsumeType, MessageModel};
use super::object::json_object;
use crate::json::{FromJson, JsonError, Reader, ToJson, Writer};
use crate::remoting::language::Language;

json_object! {
    /// One client's connection.
    #[derive(Eq)]
    pub struct Connection {
        /// Where from, `ip:port`.
        client_addr: String => "clientAddr",
        /// The client.
        client_id: String => "clientId",
        /// What it is written in.
        language: Language => "language" or Language::Other,
        /// Its protocol version.
        version: i32 => "version",
    }
}

json_object! {
    /// Answers GET_CONSUMER_CONNECTION_LIST (203).
    pub struct ConsumerConnection {
        /// The members of the group.
        connection_set: Vec<Connection> => "connectionSet",
        /// Where the group starts without an offset.
        consume_from_where: ConsumeFromWhere => "consumeFromWhere",
        /// How messages get to it.
        consume_type: ConsumeType => "consumeType",
        /// Who gets a message.
        message_model: MessageModel => "messageModel",
        /// By topic.
        subscription_table: BTreeMap<String, SubscriptionData> => "subscriptionTable",
    }
}

json_object! {
    /// Answers GET_PRODUCER_CONNECTION_LIST (204).
    pub struct ProducerConnection {
        /// The members of the group.
        connection_set: Vec<Connection> => "connectionSet",
    }
}

impl FromJson for Language {
    fn from_json(reader: &mut Reader<'_>) -> Result<Self, JsonError> {
        if reader.null()? {
            return Ok(Self::Other);
        }
        Ok(Self::from_name(&reader.scalar_text()?))
    }
}

impl ToJson for Language {
    fn to_json(&self, writer: &mut Writer<'_>) {
        writer.string(self.name());
    }
}
