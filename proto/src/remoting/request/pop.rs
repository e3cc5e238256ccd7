//! Popping: messages handed out for a time and acknowledged one by one.

use crate::remoting::fields::header_fields;

/// Values of [`PopMessageHeader::init_mode`].
pub mod pop_init {
    /// A new group begins at the first message.
    pub const MIN: i32 = 0;
    /// A new group begins at the last message.
    pub const MAX: i32 = 1;
}

header_fields! {
    /// POP_MESSAGE (200050).
    pub struct PopMessageHeader<'a> {
        /// The consumer's group.
        consumer_group: &'a str => "consumerGroup",
        /// Where from.
        topic: &'a str => "topic",
        /// Which queue; below 0 any.
        queue_id: i32 => "queueId",
        /// Most messages wanted.
        max_msg_nums: i32 => "maxMsgNums",
        /// For how long nobody else gets them.
        invisible_ms: i64 => "invisibleTime",
        /// How long the request may be held for want of messages.
        poll_ms: i64 => "pollTime" or 0,
        /// When it was made, by the client's clock.
        born_timestamp_ms: i64 => "bornTime" or 0,
        /// See [`pop_init`].
        init_mode: i32 => "initMode" or 0,
        /// `TAG` if absent.
        expression_type: Option<&'a str> => "expType",
        /// The filter; all if absent.
        expression: Option<&'a str> => "exp",
        /// Whether a queue's messages go to one consumer at a time, in their order.
        order: bool => "order" or false,
        /// Names the attempt of a consumer in order.
        attempt_id: Option<&'a str> => "attemptId",
    }
}

header_fields! {
    /// ACK_MESSAGE (200051).
    pub struct AckMessageHeader<'a> {
        /// The consumer's group.
        consumer_group: &'a str => "consumerGroup",
        /// The topic that the message is stored in.
        topic: &'a str => "topic",
        /// Its queue.
        queue_id: i32 => "queueId",
        /// The handle.
        extra_info: &'a str => "extraInfo",
        /// Its offset.
        offset: i64 => "offset",
    }
}

header_fields! {
    /// PEEK_MESSAGE (200052).
    pub struct PeekMessageHeader<'a> {
        /// The consumer's group.
        consumer_group: &'a str => "consumerGroup",
        /// Where from.
        topic: &'a str => "topic",
        /// Which queue; below 0 any.
        queue_id: i32 => "queueId",
        /// Most messages wanted.
        max_msg_nums: i32 => "maxMsgNums",
    }
}

header_fields! {
    /// CHANGE_MESSAGE_INVISIBLETIME (200053).
    pub struct ChangeInvisibleTimeHeader<'a> {
        /// The consumer's group.
        consumer_group: &'a str => "consumerGroup",
        /// The topic that the message is stored in.
        topic: &'a str => "topic",
        /// Its queue.
        queue_id: i32 => "queueId",
        /// The handle.
        extra_info: &'a str => "extraInfo",
        /// Its offset.
        offset: i64 => "offset",
        /// For how long nobody else gets it, from now on.
        invisible_ms: i64 => "invisibleTime",
    }
}

header_fields! {
    /// NOTIFICATION (200054).
    pub struct NotificationHeader<'a> {
        /// The consumer's group.
        consumer_group: &'a str => "consumerGroup",
        /// Where from.
        topic: &'a str => "topic",
        /// Which queue; below 0 any.
        queue_id: i32 => "queueId",
        /// How long the request may be held for want of messages.
        poll_ms: i64 => "pollTime" or 0,
        /// When it was made, by the client's clock.
        born_timestamp_ms: i64 => "bornTime" or 0,
        /// Whether the consumer consumes in order.
        order: bool => "order" or false,
        /// Names the attempt of a consumer in order.
        attempt_id: Option<&'a str> => "attemptId",
    }
}

header_fields! {
    /// POLLING_INFO (200055).
    pub struct PollingInfoHeader<'a> {
        /// The consumer's group.
        consumer_group: &'a str => "consumerGroup",
        /// The topic.
        topic: &'a str => "topic",
        /// Which queue; below 0 any.
        queue_id: i32 => "queueId",
    }
}
