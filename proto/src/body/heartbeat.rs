//! HEART_BEAT (34): what a client is and what it subscribes to.

use std::collections::BTreeSet;

use super::names::{ConsumeFromWhere, ConsumeType, MessageModel};
use super::object::json_object;

json_object! {
    /// What a client tells every broker, every thirty seconds.
    pub struct HeartbeatData {
        /// The client.
        client_id: String => "clientID",
        /// The groups it consumes in.
        consumer_data_set: Vec<ConsumerData> => "consumerDataSet",
        /// Not 0 from clients that send subscriptions only when they change: a hash over them.
        heartbeat_fingerprint: i32 => "heartbeatFingerprint",
        /// The groups it produces in.
        producer_data_set: Vec<ProducerData> => "producerDataSet",
        /// Whether the subscriptions are left out, being those of the fingerprint.
        without_sub: bool => "withoutSub",
    }
}

json_object! {
    /// A group that a client produces in.
    pub struct ProducerData {
        /// The group.
        group_name: String => "groupName",
    }
}

json_object! {
    /// A group that a client consumes in.
    pub struct ConsumerData {
        /// Where the group starts without an offset.
        consume_from_where: ConsumeFromWhere => "consumeFromWhere",
        /// How messages get to it.
        consume_type: ConsumeType => "consumeType",
        /// The group.
        group_name: String => "groupName",
        /// Who gets a message.
        message_model: MessageModel => "messageModel",
        /// The topics and filters.
        subscription_data_set: Vec<SubscriptionData> => "subscriptionDataSet",
        /// Whether the consumer lives in a unit.
        unit_mode: bool => "unitMode",
    }
}

json_object! {
    /// A topic and a filter over it.
    #[derive(Eq)]
    pub struct SubscriptionData {
        /// Whether a filter class decides. Nobody uses it any more.
        class_filter_mode: bool => "classFilterMode",
        /// The hashes of the tags.
        code_set: BTreeSet<i32> => "codeSet",
        /// `TAG` or `SQL92`.
        expression_type: String => "expressionType" or "TAG".to_owned(),
        /// The filter as the application wrote it.
        sub_string: String => "subString",
        /// The client's clock when it subscribed.
        sub_version: i64 => "subVersion",
        /// The tags.
        tags_set: BTreeSet<String> => "tagsSet",
        /// The topic.
        topic: String => "topic",
    }
}
